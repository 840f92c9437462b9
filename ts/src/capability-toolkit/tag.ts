/** Typed capability tags: `hardware.gpu`, `software.os=linux`, `scope:tenant:a`, anything else (41 §2). */
import { MeshringError } from '../errors.js';

/** The four namespaces of typed tags. */
export type TaxonomyAxis = 'hardware' | 'software' | 'devices' | 'dataforts';

/** The four axes, in their order. */
export const TAXONOMY_AXES: readonly TaxonomyAxis[] = Object.freeze(['hardware', 'software', 'devices', 'dataforts']);

/** Prefixes of tags that applications may not create, in the order in which they are tested. */
export const RESERVED_PREFIXES: readonly string[] = Object.freeze(['causal:', 'fork-of:', 'heat:', 'scope:']);

/** Key of a typed tag: `<axis>.<key>`. */
export interface TagKey {
  axis: TaxonomyAxis;
  key: string;
}

/** What separates key and value. Both mean the same. */
export type AxisSeparator = ':' | '=';

/** A parsed tag. */
export type Tag =
  | { kind: 'axisPresent'; axis: TaxonomyAxis; key: string }
  | { kind: 'axisValue'; axis: TaxonomyAxis; key: string; value: string; separator: AxisSeparator }
  | { kind: 'reserved'; prefix: string; body: string }
  | { kind: 'legacy'; raw: string };

/** A plain error of the toolkit. */
export function toolkitError(message: string): MeshringError {
  return new MeshringError('invalid-argument', message);
}

/** Key of a typed tag; the key must not be empty. */
export function tagKey(axis: TaxonomyAxis, key: string): TagKey {
  if (key === '') throw toolkitError(`tagKey: key must be non-empty (axis=${axis})`);
  return { axis, key };
}

/** The first reserved prefix that `s` starts with. */
export function startsWithReservedPrefix(s: string): string | undefined {
  return RESERVED_PREFIXES.find((prefix) => s.startsWith(prefix));
}

/** Text of a tag, as it is announced. */
export function tagToString(tag: Tag): string {
  switch (tag.kind) {
    case 'axisPresent':
      return `${tag.axis}.${tag.key}`;
    case 'axisValue':
      return `${tag.axis}.${tag.key}${tag.separator}${tag.value}`;
    case 'reserved':
      return tag.prefix + tag.body;
    case 'legacy':
      return tag.raw;
  }
}

/** Parses any tag. A typed tag with an empty key or value is `legacy` here. */
export function tagFromString(s: string): Tag {
  if (s === '') throw toolkitError('tagFromString: tag must be non-empty');
  const tag = parseWireTag(s);
  if ((tag.kind === 'axisPresent' || tag.kind === 'axisValue') && tag.key === '') return { kind: 'legacy', raw: s };
  if (tag.kind === 'axisValue' && tag.value === '') return { kind: 'legacy', raw: s };
  return tag;
}

/** Parses a tag of an application: reserved prefixes are refused. */
export function tagFromUserString(s: string): Tag {
  if (s === '') throw toolkitError('tagFromUserString: tag must be non-empty');
  const prefix = startsWithReservedPrefix(s);
  if (prefix !== undefined) {
    throw toolkitError(
      `tag ${JSON.stringify(s)} starts with reserved prefix ${JSON.stringify(prefix)}; user code cannot emit reserved-prefix tags`,
    );
  }
  return tagFromString(s);
}

/** Index of the first `=` or `:` at or after `from`, or −1. */
export function separatorIndex(s: string, from = 0): number {
  for (let i = from; i < s.length; i++) {
    const unit = s.charCodeAt(i);
    if (unit === 0x3d || unit === 0x3a) return i;
  }
  return -1;
}

/**
 * The grammar of everything that comes from announcements (40 §2): keys and values may be empty.
 * `tagToString(parseWireTag(s)) === s` for every `s` that is not empty.
 */
export function parseWireTag(s: string): Tag {
  const prefix = startsWithReservedPrefix(s);
  if (prefix !== undefined) return { kind: 'reserved', prefix, body: s.slice(prefix.length) };
  const dot = s.indexOf('.');
  const axis = TAXONOMY_AXES.find((name) => name.length === dot && s.startsWith(name));
  if (axis === undefined) return { kind: 'legacy', raw: s };
  const cut = separatorIndex(s, dot + 1);
  if (cut < 0) return { kind: 'axisPresent', axis, key: s.slice(dot + 1) };
  const separator: AxisSeparator = s[cut] === '=' ? '=' : ':';
  return { kind: 'axisValue', axis, key: s.slice(dot + 1, cut), value: s.slice(cut + 1), separator };
}

/** A text that two tags share when they mean the same: the separator of a value does not matter. */
export function semanticTag(tag: Tag): string {
  // A key holds no separator, so the first one of the text is the value's.
  return tag.kind === 'axisValue' ? `${tag.axis}.${tag.key}=${tag.value}` : tagToString(tag);
}
