/** Evaluation of predicates (41 §6). */
import { LEAVES, type LeafPredicate, type Predicate } from './predicate.js';
import { childrenOf, graphOf, truthOf } from './predicate-graph.js';
import { compareVersions, isCompatible, parseNumber, parseVersion, type Version } from './values.js';

/** Metadata of a set. Only own properties count. */
export type Metadata = Readonly<Record<string, string>>;

/** A test of one value. */
export type ValueTest = (value: string) => boolean;

/** The test that a leaf makes on a value; `undefined` when it only asks whether the key is there. */
export function valueTest(leaf: LeafPredicate): ValueTest | undefined {
  switch (leaf.type) {
    case 'exists':
    case 'metadataExists':
      return undefined;
    case 'equals':
    case 'metadataEquals':
      return (value) => value === leaf.value;
    case 'numericAtLeast':
    case 'metadataNumericAtLeast':
      return (value) => parseNumber(value) >= leaf.threshold;
    case 'numericAtMost':
      return (value) => parseNumber(value) <= leaf.threshold;
    case 'numericInRange':
      return (value) => {
        const number = parseNumber(value);
        return number >= leaf.min && number <= leaf.max;
      };
    case 'semverAtLeast':
      return versionTest(leaf.version, (value, reference) => compareVersions(value, reference) >= 0);
    case 'semverAtMost':
      return versionTest(leaf.version, (value, reference) => compareVersions(value, reference) <= 0);
    case 'semverCompatible':
      return versionTest(leaf.version, isCompatible);
    case 'stringPrefix':
      return (value) => value.startsWith(leaf.prefix);
    case 'stringMatches':
    case 'metadataMatches':
      return (value) => value.includes(leaf.pattern);
  }
}

function versionTest(text: string, holds: (value: Version, reference: Version) => boolean): ValueTest {
  const reference = parseVersion(text);
  if (!reference) return () => false;
  return (value) => {
    const version = parseVersion(value);
    return version !== undefined && holds(version, reference);
  };
}

/** Truth of a leaf, tag by tag. */
export function leafHolds(leaf: LeafPredicate, tags: readonly string[], metadata: Metadata): boolean {
  const test = valueTest(leaf);
  if (LEAVES[leaf.type].on === 'metadata') {
    const key = leaf.key as string;
    if (!Object.hasOwn(metadata, key)) return false;
    const value = metadata[key];
    return test === undefined || (typeof value === 'string' && test(value));
  }
  const { axis, key } = leaf.key as { axis: string; key: string };
  const name = `${axis}.${key}`;
  for (const tag of tags) {
    if (!tag.startsWith(name)) continue;
    if (tag.length === name.length) {
      if (test === undefined) return true;
      continue;
    }
    const unit = tag.charCodeAt(name.length);
    if (unit !== 0x3d && unit !== 0x3a) continue;
    if (test === undefined || test(tag.slice(name.length + 1))) return true;
  }
  return false;
}

/** Nodes visited and levels entered by the direct way before the bounded one takes over. */
const MAX_VISITS = 1024;
const MAX_LEVELS = 128;

/** Direct, short-circuiting evaluation; `undefined` when a limit is reached. */
function direct(
  node: Predicate,
  tags: readonly string[],
  metadata: Metadata,
  budget: { visits: number },
  level: number,
): boolean | undefined {
  budget.visits -= 1;
  if (budget.visits < 0 || level > MAX_LEVELS) return undefined;
  const children = childrenOf(node);
  if (children === undefined) return leafHolds(node as LeafPredicate, tags, metadata);
  if (node.type === 'not') {
    const inner = direct(node.child, tags, metadata, budget, level + 1);
    return inner === undefined ? undefined : !inner;
  }
  const decisive = node.type === 'or';
  for (const child of children) {
    const value = direct(child, tags, metadata, budget, level + 1);
    if (value === undefined || value === decisive) return value;
  }
  return !decisive;
}

/**
 * Whether tags and metadata satisfy a predicate. A missing or malformed value makes a leaf false. The work is bounded by
 * the number of distinct nodes times the number of tags, however the predicate is nested; a cycle throws.
 */
export function evaluatePredicate(pred: Predicate, tags: readonly string[], metadata: Metadata): boolean {
  const quick = direct(pred, tags, metadata, { visits: MAX_VISITS }, 0);
  if (quick !== undefined) return quick;
  return truthOf(graphOf(pred), (leaf) => leafHolds(leaf, tags, metadata)).at(-1) === 1;
}
