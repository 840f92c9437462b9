/** The flat form of predicates that travels in the `net-where` header (41 §5). */
import { textOf } from '../errors.js';
import { platform } from '../platform/node.js';
import { LEAVES, type LeafPredicate, type Predicate } from './predicate.js';
import { graphOf } from './predicate-graph.js';
import { TAXONOMY_AXES, type TagKey, toolkitError } from './tag.js';

/** One node of the flat form. Children are positions of earlier nodes. */
export type PredicateNode =
  | { kind: 'exists'; key: TagKey }
  | { kind: 'equals'; key: TagKey; value: string }
  | { kind: 'numeric_at_least'; key: TagKey; threshold: number }
  | { kind: 'numeric_at_most'; key: TagKey; threshold: number }
  | { kind: 'numeric_in_range'; key: TagKey; min: number; max: number }
  | { kind: 'semver_at_least'; key: TagKey; version: string }
  | { kind: 'semver_at_most'; key: TagKey; version: string }
  | { kind: 'semver_compatible'; key: TagKey; version: string }
  | { kind: 'string_prefix'; key: TagKey; prefix: string }
  | { kind: 'string_matches'; key: TagKey; pattern: string }
  | { kind: 'metadata_exists'; key: string }
  | { kind: 'metadata_equals'; key: string; value: string }
  | { kind: 'metadata_matches'; key: string; pattern: string }
  | { kind: 'metadata_numeric_at_least'; key: string; threshold: number }
  | { kind: 'and'; children: number[] }
  | { kind: 'or'; children: number[] }
  | { kind: 'not'; child: number };

/** Flat form: children come before their parents. */
export interface PredicateWire {
  nodes: PredicateNode[];
  root_idx: number;
}

/** Name of the RPC header that carries a predicate. */
export const RPC_WHERE_HEADER = 'net-where';
/** Longest header value that a service accepts, in bytes. */
export const MAX_WHERE_BYTES = 4096;
/** Most nodes of an emitted flat form: a shared node is emitted once per use. */
export const MAX_TREE_NODES = 100_000;

const encoder = new TextEncoder();
const TYPE_OF_KIND = new Map(
  (Object.keys(LEAVES) as LeafPredicate['type'][]).map((type) => [LEAVES[type].kind, type] as const),
);

function leafToNode(leaf: LeafPredicate): PredicateNode {
  const shape = LEAVES[leaf.type];
  const node: Record<string, unknown> = { kind: shape.kind };
  node.key = shape.on === 'metadata' ? leaf.key : { axis: (leaf.key as TagKey).axis, key: (leaf.key as TagKey).key };
  for (const { name, type } of shape.fields) {
    const value = (leaf as unknown as Record<string, unknown>)[name];
    if (type === 'number' && !Number.isFinite(value)) {
      throw toolkitError(`predicateToWire: ${name} of ${shape.kind} must be a finite number, got ${textOf(value)}`);
    }
    node[name] = value;
  }
  return node as PredicateNode;
}

/** Flat form of a predicate, children left to right. Throws when its tree has more than 100,000 nodes. */
export function predicateToWire(pred: Predicate): PredicateWire {
  const graph = graphOf(pred);
  if (graph.treeSize > MAX_TREE_NODES) {
    throw toolkitError(`predicateToWire: predicate has more than ${MAX_TREE_NODES} nodes`);
  }
  const nodes: PredicateNode[] = [];
  const root: { at: number; emitted: number[] } = { at: graph.nodes.length - 1, emitted: [] };
  const stack = [root];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const node = graph.nodes[top.at];
    if (node === undefined) break;
    if (node.op !== 'leaf' && top.emitted.length < node.children.length) {
      stack.push({ at: node.children[top.emitted.length] ?? 0, emitted: [] });
      continue;
    }
    stack.pop();
    if (node.op === 'leaf') nodes.push(leafToNode(node.leaf));
    else if (node.op === 'not') nodes.push({ kind: 'not', child: top.emitted[0] ?? 0 });
    else nodes.push({ kind: node.op, children: top.emitted });
    stack.at(-1)?.emitted.push(nodes.length - 1);
  }
  return { nodes, root_idx: nodes.length - 1 };
}

function nodeToPredicate(raw: unknown, self: number, done: readonly Predicate[]): Predicate {
  const bad = (field: string, type: string) =>
    toolkitError(`predicateFromWire: node ${self}: ${field} must be ${type}`);
  if (raw === null || typeof raw !== 'object') throw toolkitError(`predicateFromWire: node ${self} must be an object`);
  const node = raw as Record<string, unknown>;
  const childAt = (index: unknown): Predicate => {
    const child = Number.isInteger(index) && (index as number) >= 0 ? done[index as number] : undefined;
    if (child === undefined) {
      throw toolkitError(`predicateFromWire: child index ${textOf(index)} not strictly less than self ${self}`);
    }
    return child;
  };
  const { kind } = node;
  if (kind === 'not') return { type: 'not', child: childAt(node.child) };
  if (kind === 'and' || kind === 'or') {
    if (!Array.isArray(node.children)) throw bad('children', 'an array of indices');
    return { type: kind, children: node.children.map(childAt) };
  }
  const type = typeof kind === 'string' ? TYPE_OF_KIND.get(kind) : undefined;
  if (type === undefined) {
    const shown = typeof kind === 'string' ? kind : typeof kind;
    throw toolkitError(`predicateFromWire: unknown node kind "${shown}" at ${self}`);
  }
  const shape = LEAVES[type];
  const leaf: Record<string, unknown> = { type };
  if (shape.on === 'metadata') {
    if (typeof node.key !== 'string') throw bad('key', 'a string');
    leaf.key = node.key;
  } else {
    const key = node.key as { axis?: unknown; key?: unknown } | null | undefined;
    if (key === null || typeof key !== 'object' || typeof key.key !== 'string') throw bad('key', '{ axis, key }');
    const axis = TAXONOMY_AXES.find((name) => name === key.axis);
    if (axis === undefined) throw bad('key.axis', `one of ${TAXONOMY_AXES.join(', ')}`);
    leaf.key = { axis, key: key.key };
  }
  for (const { name, type: wanted } of shape.fields) {
    const value = node[name];
    if (wanted === 'string' ? typeof value !== 'string' : !Number.isFinite(value)) {
      throw bad(name, wanted === 'string' ? 'a string' : 'a finite number');
    }
    leaf[name] = value;
  }
  return leaf as Predicate;
}

/**
 * Tree of a flat form. A node that several parents name is one object in all of them, so a small form stays small.
 * Throws for indices that are not smaller than their owner's, unknown kinds and wrong field types.
 */
export function predicateFromWire(wire: PredicateWire): Predicate {
  const { nodes, root_idx } = (wire ?? {}) as { nodes?: unknown; root_idx?: unknown };
  if (!Array.isArray(nodes)) throw toolkitError('predicateFromWire: nodes must be an array');
  const done: Predicate[] = [];
  for (let self = 0; self < nodes.length; self++) done.push(nodeToPredicate(nodes[self], self, done));
  const root = Number.isInteger(root_idx) && (root_idx as number) >= 0 ? done[root_idx as number] : undefined;
  if (root === undefined) {
    throw toolkitError(`predicateFromWire: root_idx ${textOf(root_idx)} out of range [0, ${nodes.length})`);
  }
  return root;
}

/** Header text of a predicate; throws above 4096 bytes, which no service accepts. */
export function predicateToRpcHeader(pred: Predicate): string {
  const text = JSON.stringify(predicateToWire(pred));
  const bytes = encoder.encode(text).length;
  if (bytes > MAX_WHERE_BYTES) {
    throw toolkitError(`predicate wire encoding ${bytes} bytes exceeds header cap ${MAX_WHERE_BYTES}`);
  }
  return text;
}

/** Predicate of a header text. `SyntaxError` when it is not JSON; a text above 4096 bytes is not even parsed. */
export function predicateFromRpcHeader(value: string): Predicate {
  const bytes = value.length > MAX_WHERE_BYTES ? value.length : encoder.encode(value).length;
  if (bytes > MAX_WHERE_BYTES) {
    throw toolkitError(`predicate wire payload ${bytes} bytes exceeds header cap ${MAX_WHERE_BYTES}`);
  }
  return predicateFromWire(JSON.parse(value) as PredicateWire);
}

/** Request header for an RPC call: services that look for it answer only with what matches. */
export function whereHeader(pred: Predicate): { name: typeof RPC_WHERE_HEADER; value: Buffer } {
  return { name: RPC_WHERE_HEADER, value: platform.bytes(encoder.encode(predicateToRpcHeader(pred))) as Buffer };
}
