/** Which clauses decided: traces of evaluations (41 §7). */
import { leafHolds, type Metadata } from './evaluate.js';
import type { LeafPredicate, Predicate } from './predicate.js';
import { costsOf, type GraphNode, graphOf, type PredicateGraph, truthOf } from './predicate-graph.js';
import { MAX_TREE_NODES } from './predicate-wire.js';
import { toolkitError } from './tag.js';

/** One evaluated clause. Children that did not run are absent. Labels hold values of metadata: handle as sensitive. */
export interface ClauseTrace {
  label: string;
  result: boolean;
  children: ClauseTrace[];
}

function leafLabel(leaf: LeafPredicate): string {
  const name = typeof leaf.key === 'string' ? leaf.key : `${leaf.key.axis}.${leaf.key.key}`;
  switch (leaf.type) {
    case 'exists':
      return `Exists(${name})`;
    case 'equals':
      return `Equals(${name}=${leaf.value})`;
    case 'numericAtLeast':
      return `NumericAtLeast(${name} >= ${leaf.threshold})`;
    case 'numericAtMost':
      return `NumericAtMost(${name} <= ${leaf.threshold})`;
    case 'numericInRange':
      return `NumericInRange(${name} in [${leaf.min}, ${leaf.max}])`;
    case 'semverAtLeast':
      return `SemverAtLeast(${name} >= ${leaf.version})`;
    case 'semverAtMost':
      return `SemverAtMost(${name} <= ${leaf.version})`;
    case 'semverCompatible':
      return `SemverCompatible(${name} ~= ${leaf.version})`;
    case 'stringPrefix':
      return `StringPrefix(${name} starts with ${JSON.stringify(leaf.prefix)})`;
    case 'stringMatches':
      return `StringMatches(${name} contains ${JSON.stringify(leaf.pattern)})`;
    case 'metadataExists':
      return `MetadataExists(${name})`;
    case 'metadataEquals':
      return `MetadataEquals(${name}=${leaf.value})`;
    case 'metadataMatches':
      return `MetadataMatches(${name} contains ${JSON.stringify(leaf.pattern)})`;
    case 'metadataNumericAtLeast':
      return `MetadataNumericAtLeast(${name} >= ${leaf.threshold})`;
  }
}

/** Text that names a clause in traces and reports. */
export function labelOf(node: GraphNode): string {
  if (node.op === 'leaf') return leafLabel(node.leaf);
  if (node.op === 'not') return 'Not';
  return `${node.op === 'and' ? 'And' : 'Or'}(${node.children.length} clauses)`;
}

/** A predicate prepared for tracing: labels, and children in the order in which they run. */
export interface TracePlan {
  readonly graph: PredicateGraph;
  readonly labels: readonly string[];
  readonly order: readonly (readonly number[])[];
}

/** Children of `and` and `or` run by ascending static cost, equal ones as they were written. */
export function tracePlan(pred: Predicate): TracePlan {
  const graph = graphOf(pred);
  const costs = costsOf(graph);
  const order = graph.nodes.map((node) =>
    node.op === 'leaf' ? [] : [...node.children].sort((a, b) => (costs[a] ?? 0) - (costs[b] ?? 0)),
  );
  return { graph, labels: graph.nodes.map(labelOf), order };
}

/** The children that ran: all up to the first decisive one. */
export function ranChildren(plan: TracePlan, truth: Uint8Array, index: number): readonly number[] {
  const children = plan.order[index] ?? [];
  const node = plan.graph.nodes[index];
  if (node === undefined || node.op === 'leaf' || node.op === 'not') return children;
  const decisive = node.op === 'or' ? 1 : 0;
  const stop = children.findIndex((child) => truth[child] === decisive);
  return stop < 0 ? children : children.slice(0, stop + 1);
}

/** Truth of every node of the plan. */
export function planTruth(plan: TracePlan, tags: readonly string[], metadata: Metadata): Uint8Array {
  return truthOf(plan.graph, (leaf) => leafHolds(leaf, tags, metadata));
}

/**
 * Truth with the clauses that ran. The result always equals `evaluatePredicate`. Throws when the trace would have more
 * than 100,000 clauses (a predicate whose nodes are shared many times over).
 */
export function evaluatePredicateWithTrace(
  pred: Predicate,
  tags: readonly string[],
  metadata: Metadata,
): { result: boolean; trace: ClauseTrace } {
  const plan = tracePlan(pred);
  const truth = planTruth(plan, tags, metadata);
  let left = MAX_TREE_NODES;
  const clause = (index: number): ClauseTrace => {
    left -= 1;
    if (left < 0) {
      throw toolkitError(`evaluatePredicateWithTrace: the trace has more than ${MAX_TREE_NODES} clauses`);
    }
    return { label: plan.labels[index] ?? '', result: truth[index] === 1, children: [] };
  };
  const root = plan.graph.nodes.length - 1;
  const trace = clause(root);
  const open: [number, ClauseTrace][] = [[root, trace]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [index, parent] = next;
    for (const child of ranChildren(plan, truth, index)) {
      const made = clause(child);
      parent.children.push(made);
      open.push([child, made]);
    }
  }
  return { result: trace.result, trace };
}
