/** Sets of tags and metadata in their wire shape: helpers that copy, and the difference of two sets (41 §3, §10). */
import { type AxisSeparator, semanticTag, type TaxonomyAxis, tagFromString, tagToString, toolkitError } from './tag.js';

/** What an announcement says about a node. */
export interface CapabilitySetWire {
  tags: string[];
  metadata: Record<string, string>;
}

/** Change of one metadata key. */
export type MetadataChange =
  | { kind: 'added'; key: string; value: string }
  | { kind: 'removed'; key: string; prev_value: string }
  | { kind: 'updated'; key: string; prev_value: string; new_value: string };

/** What changed between two sets. */
export interface CapabilitySetDiff {
  added_tags: string[];
  removed_tags: string[];
  metadata_changes: MetadataChange[];
}

/** A fresh empty set. */
export function emptyCapabilities(): CapabilitySetWire {
  return { tags: [], metadata: {} };
}

function withTag(caps: CapabilitySetWire, tag: string): CapabilitySetWire {
  return { tags: [...new Set(caps.tags).add(tag)], metadata: { ...caps.metadata } };
}

/** A copy with the tag `<axis>.<key>`; duplicates of tags are removed. */
export function requireTag(caps: CapabilitySetWire, axis: TaxonomyAxis, key: string): CapabilitySetWire {
  if (key === '') throw toolkitError('requireTag: key must be non-empty');
  return withTag(caps, tagToString({ kind: 'axisPresent', axis, key }));
}

/** A copy with the tag `<axis>.<key><separator><value>`; duplicates of tags are removed. */
export function requireAxisValue(
  caps: CapabilitySetWire,
  axis: TaxonomyAxis,
  key: string,
  value: string,
  separator: AxisSeparator = '=',
): CapabilitySetWire {
  if (key === '') throw toolkitError('requireAxisValue: key must be non-empty');
  if (value === '') throw toolkitError('requireAxisValue: value must be non-empty');
  return withTag(caps, tagToString({ kind: 'axisValue', axis, key, value, separator }));
}

/** A copy with the metadata entry set. */
export function withMetadata(caps: CapabilitySetWire, key: string, value: string): CapabilitySetWire {
  if (key === '') throw toolkitError('withMetadata: key must be non-empty');
  const metadata = { ...caps.metadata };
  // `__proto__` is a key like any other.
  Object.defineProperty(metadata, key, { value, enumerable: true, configurable: true, writable: true });
  return { tags: [...caps.tags], metadata };
}

/** Tags by meaning, each with the last spelling of its set. */
function bySense(tags: readonly string[]): Map<string, string> {
  return new Map(tags.map((tag) => [semanticTag(tagFromString(tag)), tag]));
}

function missingFrom(tags: Map<string, string>, others: Map<string, string>): string[] {
  return [...tags].flatMap(([sense, tag]) => (others.has(sense) ? [] : [tag])).sort();
}

/** What to do to get from `prev` to `curr`. Tags that differ only in their separator are the same. */
export function diffCapabilities(prev: CapabilitySetWire, curr: CapabilitySetWire): CapabilitySetDiff {
  const [before, after] = [bySense(prev.tags), bySense(curr.tags)];
  const metadata_changes: MetadataChange[] = [];
  const keys = new Set([...Object.keys(prev.metadata), ...Object.keys(curr.metadata)]);
  for (const key of [...keys].sort()) {
    const prev_value = Object.hasOwn(prev.metadata, key) ? prev.metadata[key] : undefined;
    const new_value = Object.hasOwn(curr.metadata, key) ? curr.metadata[key] : undefined;
    if (prev_value === undefined) {
      if (new_value !== undefined) metadata_changes.push({ kind: 'added', key, value: new_value });
    } else if (new_value === undefined) metadata_changes.push({ kind: 'removed', key, prev_value });
    else if (new_value !== prev_value) metadata_changes.push({ kind: 'updated', key, prev_value, new_value });
  }
  return { added_tags: missingFrom(after, before), removed_tags: missingFrom(before, after), metadata_changes };
}
