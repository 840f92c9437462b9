/** Compiled predicates and prepared sets: thresholds, versions and keys are parsed once (an addition of ours). */
import { leafHolds, type Metadata, type ValueTest, valueTest } from './evaluate.js';
import { LEAVES, type LeafPredicate, type Predicate } from './predicate.js';
import { type GraphNode, graphOf, type PredicateGraph, truthOf } from './predicate-graph.js';
import { separatorIndex } from './tag.js';
import { parseNumber } from './values.js';

/** Values of one key in a prepared set. */
interface KeyValues {
  readonly texts: string[];
  /** The texts as numbers, NaN for others; parsed when first asked for. */
  numbers: number[] | undefined;
}

/** A set whose tags are looked up by key instead of being searched. */
export class PreparedCapabilities {
  /** The tags that it was made of. */
  readonly tags: readonly string[];
  /** The metadata that it was made of. */
  readonly metadata: Metadata;
  readonly #keys = new Map<string, KeyValues>();

  constructor(tags: readonly string[], metadata: Metadata) {
    this.tags = tags;
    this.metadata = metadata;
    for (const tag of tags) {
      const cut = separatorIndex(tag);
      const name = cut < 0 ? tag : tag.slice(0, cut);
      let values = this.#keys.get(name);
      if (!values) {
        values = { texts: [], numbers: undefined };
        this.#keys.set(name, values);
      }
      if (cut >= 0) values.texts.push(tag.slice(cut + 1));
    }
  }

  /** Whether some tag has this key, with or without a value. @internal */
  has(name: string): boolean {
    return this.#keys.has(name);
  }

  /** Values of the key. @internal */
  texts(name: string): readonly string[] {
    return this.#keys.get(name)?.texts ?? NONE;
  }

  /** Values of the key as numbers. @internal */
  numbers(name: string): readonly number[] {
    const values = this.#keys.get(name);
    if (!values) return NO_NUMBERS;
    values.numbers ??= values.texts.map(parseNumber);
    return values.numbers;
  }
}

const NONE: readonly string[] = [];
const NO_NUMBERS: readonly number[] = [];

/** Prepares a set for many evaluations. The arguments must not be changed afterwards. */
export function prepareCapabilities(tags: readonly string[], metadata: Metadata = {}): PreparedCapabilities {
  return new PreparedCapabilities(tags, metadata);
}

/** A predicate ready for many evaluations. */
export interface CompiledPredicate {
  /** Truth on a prepared set. */
  matches(set: PreparedCapabilities): boolean;
  /** Truth on tags and metadata; the same answer as `evaluatePredicate`. */
  evaluate(tags: readonly string[], metadata: Metadata): boolean;
}

type Test = (set: PreparedCapabilities) => boolean;

/** Deeper or more widely shared predicates are evaluated node by node. */
const MAX_DEPTH = 128;
const MAX_TREE = 2048;

/** Compiles a predicate. Later changes of its nodes are not seen. Throws for cycles and unknown types. */
export function compilePredicate(pred: Predicate): CompiledPredicate {
  const graph = graphOf(pred);
  const tests = graph.nodes.map((node) => (node.op === 'leaf' ? leafTest(node.leaf) : undefined));
  const matches = graph.depth <= MAX_DEPTH && graph.treeSize <= MAX_TREE ? nested(graph, tests) : flat(graph, tests);
  return {
    matches,
    evaluate: (tags, metadata) => matches(new PreparedCapabilities(tags, metadata)),
  };
}

/** Closures that call each other: the quickest for predicates of ordinary size. */
function nested(graph: PredicateGraph, tests: readonly (Test | undefined)[]): Test {
  const built: Test[] = [];
  graph.nodes.forEach((node, index) => {
    built.push(tests[index] ?? combine(node, built));
  });
  return built.at(-1) ?? (() => false);
}

function combine(node: GraphNode, built: readonly Test[]): Test {
  if (node.op === 'leaf') return () => false;
  const children = node.children.map((child) => built[child] as Test);
  const [a, b, c] = children as [Test, Test, Test];
  if (node.op === 'not') return (set) => !a(set);
  if (children.length === 1) return a;
  if (node.op === 'and') {
    if (children.length === 2) return (set) => a(set) && b(set);
    if (children.length === 3) return (set) => a(set) && b(set) && c(set);
    return (set) => {
      for (const child of children) if (!child(set)) return false;
      return true;
    };
  }
  if (children.length === 2) return (set) => a(set) || b(set);
  return (set) => {
    for (const child of children) if (child(set)) return true;
    return false;
  };
}

function flat(graph: PredicateGraph, tests: readonly (Test | undefined)[]): Test {
  const byLeaf = new Map<LeafPredicate, Test>();
  graph.nodes.forEach((node, index) => {
    const test = tests[index];
    if (node.op === 'leaf' && test) byLeaf.set(node.leaf, test);
  });
  return (set) => truthOf(graph, (leaf) => byLeaf.get(leaf)?.(set) ?? false).at(-1) === 1;
}

function leafTest(original: LeafPredicate): Test {
  const leaf = structuredClone(original);
  const test = valueTest(leaf);
  if (LEAVES[leaf.type].on === 'metadata') return metadataTest(leaf.key as string, test);
  const { axis, key } = leaf.key as { axis: string; key: string };
  const name = `${axis}.${key}`;
  // Prepared sets cut at the first separator; a name with one in it matches texts that go past it.
  if (separatorIndex(name) >= 0) return (set) => leafHolds(leaf, set.tags, set.metadata);
  switch (leaf.type) {
    case 'numericAtLeast': {
      const { threshold } = leaf;
      return (set) => {
        for (const number of set.numbers(name)) if (number >= threshold) return true;
        return false;
      };
    }
    case 'numericAtMost': {
      const { threshold } = leaf;
      return (set) => {
        for (const number of set.numbers(name)) if (number <= threshold) return true;
        return false;
      };
    }
    case 'numericInRange': {
      const { min, max } = leaf;
      return (set) => {
        for (const number of set.numbers(name)) if (number >= min && number <= max) return true;
        return false;
      };
    }
    default:
      if (test === undefined) return (set) => set.has(name);
      return (set) => {
        for (const value of set.texts(name)) if (test(value)) return true;
        return false;
      };
  }
}

function metadataTest(key: string, test: ValueTest | undefined): Test {
  return ({ metadata }) => {
    if (!Object.hasOwn(metadata, key)) return false;
    const value = metadata[key];
    return test === undefined || (typeof value === 'string' && test(value));
  };
}
