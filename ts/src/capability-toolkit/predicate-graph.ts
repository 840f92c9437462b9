/**
 * A predicate as a list of its distinct nodes, children before parents. Work on it is bounded by what was handed in:
 * nothing recurses, a node that stands in many places is looked at once, and a cycle is an error.
 */
import { textOf } from '../errors.js';
import { LEAVES, type LeafPredicate, type Predicate } from './predicate.js';
import { toolkitError } from './tag.js';

/** A node whose children are positions in the list. */
export type GraphNode =
  | { readonly op: 'leaf'; readonly leaf: LeafPredicate }
  | { readonly op: 'and' | 'or' | 'not'; readonly children: readonly number[] };

/** Distinct nodes of a predicate; the root is the last one. */
export interface PredicateGraph {
  readonly nodes: readonly GraphNode[];
  /** Longest way from the root to a leaf, in nodes. */
  readonly depth: number;
  /** Number of nodes of the tree that it stands for; may be far more than `nodes.length`, up to Infinity. */
  readonly treeSize: number;
}

/** Highest static cost. */
export const MAX_COST = 0xffff_ffff;

/** Children of a node, or `undefined` for a leaf; throws for what is no predicate. */
export function childrenOf(node: Predicate): readonly Predicate[] | undefined {
  if (node === null || typeof node !== 'object') throw toolkitError(`predicate: ${textOf(node)} is not a predicate`);
  if (node.type === 'and' || node.type === 'or') {
    if (!Array.isArray(node.children)) throw toolkitError(`predicate: children of "${node.type}" must be an array`);
    return node.children;
  }
  if (node.type === 'not') return [node.child];
  if (!Object.hasOwn(LEAVES, node.type)) {
    throw toolkitError(`predicate: unknown type "${textOf((node as { type: unknown }).type)}"`);
  }
  return undefined;
}

const OPEN = -1;

/** Lists the distinct nodes. Time and memory grow with the nodes and edges that are there, not with the tree. */
export function graphOf(root: Predicate): PredicateGraph {
  const position = new Map<Predicate, number>();
  const nodes: GraphNode[] = [];
  const depths: number[] = [];
  const sizes: number[] = [];
  const stack: { node: Predicate; children: readonly Predicate[]; next: number }[] = [];

  const enter = (node: Predicate) => {
    const children = childrenOf(node);
    if (children === undefined) {
      position.set(node, nodes.length);
      nodes.push({ op: 'leaf', leaf: node as LeafPredicate });
      depths.push(1);
      sizes.push(1);
      return;
    }
    position.set(node, OPEN);
    stack.push({ node, children, next: 0 });
  };

  enter(root);
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    if (top.next < top.children.length) {
      const child = top.children[top.next++] as Predicate;
      const known = position.get(child);
      if (known === OPEN) throw toolkitError('predicate: a node contains itself');
      if (known === undefined) enter(child);
      continue;
    }
    stack.pop();
    const children = top.children.map((node) => position.get(node) ?? 0);
    let depth = 0;
    let size = 1;
    for (const index of children) {
      depth = Math.max(depth, depths[index] ?? 0);
      size += sizes[index] ?? 0;
    }
    position.set(top.node, nodes.length);
    nodes.push({ op: top.node.type as 'and' | 'or' | 'not', children });
    depths.push(depth + 1);
    sizes.push(size);
  }
  return { nodes, depth: depths.at(-1) ?? 0, treeSize: sizes.at(-1) ?? 0 };
}

/** Static cost of every node; saturates. */
export function costsOf(graph: PredicateGraph): number[] {
  const costs: number[] = [];
  for (const node of graph.nodes) {
    if (node.op === 'leaf') costs.push(LEAVES[node.leaf.type].cost);
    else {
      let cost = 0;
      for (const child of node.children) cost = Math.min(MAX_COST, cost + (costs[child] ?? 0));
      costs.push(cost);
    }
  }
  return costs;
}

/** Truth of every node, children first, from the truth of the leaves. */
export function truthOf(graph: PredicateGraph, leafTruth: (leaf: LeafPredicate) => boolean): Uint8Array {
  const truth = new Uint8Array(graph.nodes.length);
  graph.nodes.forEach((node, index) => {
    let value: boolean;
    if (node.op === 'leaf') value = leafTruth(node.leaf);
    else if (node.op === 'and') value = node.children.every((child) => truth[child] === 1);
    else if (node.op === 'or') value = node.children.some((child) => truth[child] === 1);
    else value = truth[node.children[0] ?? 0] !== 1;
    truth[index] = value ? 1 : 0;
  });
  return truth;
}
