/** Predicates over tags and metadata: the tree and its builders (41 §4). */
import type { TagKey } from './tag.js';

/** A condition on a set of tags and metadata. Plain objects; a node may stand in several places. */
export type Predicate =
  | { type: 'exists'; key: TagKey }
  | { type: 'equals'; key: TagKey; value: string }
  | { type: 'numericAtLeast'; key: TagKey; threshold: number }
  | { type: 'numericAtMost'; key: TagKey; threshold: number }
  | { type: 'numericInRange'; key: TagKey; min: number; max: number }
  | { type: 'semverAtLeast'; key: TagKey; version: string }
  | { type: 'semverAtMost'; key: TagKey; version: string }
  | { type: 'semverCompatible'; key: TagKey; version: string }
  | { type: 'stringPrefix'; key: TagKey; prefix: string }
  | { type: 'stringMatches'; key: TagKey; pattern: string }
  | { type: 'metadataExists'; key: string }
  | { type: 'metadataEquals'; key: string; value: string }
  | { type: 'metadataMatches'; key: string; pattern: string }
  | { type: 'metadataNumericAtLeast'; key: string; threshold: number }
  | { type: 'and'; children: Predicate[] }
  | { type: 'or'; children: Predicate[] }
  | { type: 'not'; child: Predicate };

/** A condition without children. */
export type LeafPredicate = Exclude<Predicate, { type: 'and' | 'or' | 'not' }>;

/** Builders of predicates. Nothing is checked here; `p` has no state. */
export const p = {
  /** Some tag of the key, with or without a value. */
  exists: (key: TagKey): Predicate => ({ type: 'exists', key }),
  /** Some value of the key equals `value`. */
  equals: (key: TagKey, value: string): Predicate => ({ type: 'equals', key, value }),
  /** Some value is a number ≥ `threshold`. */
  numericAtLeast: (key: TagKey, threshold: number): Predicate => ({ type: 'numericAtLeast', key, threshold }),
  /** Some value is a number ≤ `threshold`. */
  numericAtMost: (key: TagKey, threshold: number): Predicate => ({ type: 'numericAtMost', key, threshold }),
  /** Some value is a number in [`min`, `max`]. */
  numericInRange: (key: TagKey, min: number, max: number): Predicate => ({ type: 'numericInRange', key, min, max }),
  /** Some value is a version ≥ `version`. */
  semverAtLeast: (key: TagKey, version: string): Predicate => ({ type: 'semverAtLeast', key, version }),
  /** Some value is a version ≤ `version`. */
  semverAtMost: (key: TagKey, version: string): Predicate => ({ type: 'semverAtMost', key, version }),
  /** Some value is a version that a caret range of `version` holds. */
  semverCompatible: (key: TagKey, version: string): Predicate => ({ type: 'semverCompatible', key, version }),
  /** Some value starts with `prefix`. */
  stringPrefix: (key: TagKey, prefix: string): Predicate => ({ type: 'stringPrefix', key, prefix }),
  /** Some value contains `pattern` (a text, not a regular expression). */
  stringMatches: (key: TagKey, pattern: string): Predicate => ({ type: 'stringMatches', key, pattern }),
  /** The metadata key is there. */
  metadataExists: (key: string): Predicate => ({ type: 'metadataExists', key }),
  /** The metadata value equals `value`. */
  metadataEquals: (key: string, value: string): Predicate => ({ type: 'metadataEquals', key, value }),
  /** The metadata value contains `pattern`. */
  metadataMatches: (key: string, pattern: string): Predicate => ({ type: 'metadataMatches', key, pattern }),
  /** The metadata value is a number ≥ `threshold`. */
  metadataNumericAtLeast: (key: string, threshold: number): Predicate => ({
    type: 'metadataNumericAtLeast',
    key,
    threshold,
  }),
  /** All of them; true for none. */
  and: (...children: Predicate[]): Predicate => ({ type: 'and', children }),
  /** At least one of them; false for none. */
  or: (...children: Predicate[]): Predicate => ({ type: 'or', children }),
  /** The contrary: a missing or malformed value makes a leaf false, and its negation true. */
  not: (child: Predicate): Predicate => ({ type: 'not', child }),
};

/** One field of a leaf besides its key. */
export interface LeafField {
  readonly name: string;
  readonly type: 'string' | 'number';
}

/** What the other modules need to know of each leaf. */
export interface LeafShape {
  /** Name in the wire form. */
  readonly kind: string;
  /** Whether the key names a typed tag or a metadata entry. */
  readonly on: 'tag' | 'metadata';
  readonly fields: readonly LeafField[];
  /** Static cost by which a trace orders siblings. */
  readonly cost: number;
}

const text = (name: string): LeafField => ({ name, type: 'string' });
const number = (name: string): LeafField => ({ name, type: 'number' });

/** Every kind of leaf, by the tree's name. */
export const LEAVES: Readonly<Record<LeafPredicate['type'], LeafShape>> = {
  exists: { kind: 'exists', on: 'tag', fields: [], cost: 20 },
  equals: { kind: 'equals', on: 'tag', fields: [text('value')], cost: 21 },
  numericAtLeast: { kind: 'numeric_at_least', on: 'tag', fields: [number('threshold')], cost: 30 },
  numericAtMost: { kind: 'numeric_at_most', on: 'tag', fields: [number('threshold')], cost: 30 },
  numericInRange: { kind: 'numeric_in_range', on: 'tag', fields: [number('min'), number('max')], cost: 30 },
  semverAtLeast: { kind: 'semver_at_least', on: 'tag', fields: [text('version')], cost: 60 },
  semverAtMost: { kind: 'semver_at_most', on: 'tag', fields: [text('version')], cost: 60 },
  semverCompatible: { kind: 'semver_compatible', on: 'tag', fields: [text('version')], cost: 60 },
  stringPrefix: { kind: 'string_prefix', on: 'tag', fields: [text('prefix')], cost: 40 },
  stringMatches: { kind: 'string_matches', on: 'tag', fields: [text('pattern')], cost: 50 },
  metadataExists: { kind: 'metadata_exists', on: 'metadata', fields: [], cost: 10 },
  metadataEquals: { kind: 'metadata_equals', on: 'metadata', fields: [text('value')], cost: 11 },
  metadataMatches: { kind: 'metadata_matches', on: 'metadata', fields: [text('pattern')], cost: 45 },
  metadataNumericAtLeast: {
    kind: 'metadata_numeric_at_least',
    on: 'metadata',
    fields: [number('threshold')],
    cost: 25,
  },
};
