/** Evaluation of predicates (41 §6). */
import { LEAVES, type LeafPredicate, type Predicate } from './predicate.js';
import { childrenOf } from './predicate-graph.js';
import { toolkitError } from './tag.js';
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
    // One character tells most other tags apart, without comparing texts.
    const unit = tag.charCodeAt(name.length);
    if (unit === 0x3d || unit === 0x3a) {
      if (tag.startsWith(name) && (test === undefined || test(tag.slice(name.length + 1)))) return true;
    } else if (test === undefined && tag === name) return true;
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

/** A node whose children are being looked at. */
interface OpenNode {
  readonly node: Predicate;
  readonly children: readonly Predicate[];
  next: number;
}

/** Short-circuiting evaluation that keeps the truth of every node with children, and its own stack. */
function bounded(root: Predicate, tags: readonly string[], metadata: Metadata): boolean {
  const truth = new Map<Predicate, boolean | undefined>();
  const open: OpenNode[] = [];
  // The truth of a node, or `undefined` when its children have to be looked at first.
  const enter = (node: Predicate): boolean | undefined => {
    const children = childrenOf(node);
    if (children === undefined) return leafHolds(node as LeafPredicate, tags, metadata);
    if (truth.has(node)) {
      const known = truth.get(node);
      if (known === undefined) throw toolkitError('predicate: a node contains itself');
      return known;
    }
    truth.set(node, undefined);
    open.push({ node, children, next: 0 });
    return undefined;
  };
  let last = enter(root);
  for (let top = open.at(-1); top; top = open.at(-1)) {
    const { type } = top.node;
    // `last` is the truth of the child before `next`, if there is one.
    const decided = type === 'not' ? top.next > 0 : top.next > 0 && last === (type === 'or');
    if (!decided && top.next < top.children.length) {
      last = enter(top.children[top.next++] as Predicate);
      continue;
    }
    open.pop();
    if (type === 'not') last = !last;
    else if (!decided) last = type === 'and';
    truth.set(top.node, last === true);
  }
  return last === true;
}

/**
 * Whether tags and metadata satisfy a predicate. A missing or malformed value makes a leaf false. The work is bounded by
 * the number of places in which distinct nodes stand times the number of tags, however the predicate is nested; a cycle
 * that is reached throws.
 */
export function evaluatePredicate(pred: Predicate, tags: readonly string[], metadata: Metadata): boolean {
  return direct(pred, tags, metadata, { visits: MAX_VISITS }, 0) ?? bounded(pred, tags, metadata);
}
