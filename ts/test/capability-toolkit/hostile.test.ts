import { describe, expect, it } from 'vitest';
import {
  compilePredicate,
  evaluatePredicate,
  evaluatePredicateWithTrace,
  type Predicate,
  type PredicateWire,
  p,
  predicateDebugReport,
  predicateFromRpcHeader,
  predicateFromWire,
  predicateToRpcHeader,
  predicateToWire,
} from '../../src/capability-enhancements.js';
import { costsOf, graphOf, MAX_COST } from '../../src/capability-toolkit/predicate-graph.js';

const key = { axis: 'hardware', key: 'memory_gb' } as const;
const tags = Array.from({ length: 30 }, (_, i) => `hardware.k${i}=${i}`).concat('hardware.memory_gb=64');

/** A leaf under levels that each name the one below twice: 2^levels tree nodes from few bytes. */
function doubling(kind: 'and' | 'or', levels: number, threshold = 1): PredicateWire {
  const nodes: PredicateWire['nodes'] = [{ kind: 'numeric_at_least', key, threshold }];
  for (let i = 0; i < levels; i++) nodes.push({ kind, children: [i, i] });
  return { nodes, root_idx: levels };
}

describe('nodes shared many times over', () => {
  it.each([
    ['and', 1, true],
    ['or', 65, false],
    ['and', 65, false],
    ['or', 1, true],
  ] as const)(
    '90 doubled levels of %s (threshold %s) in one 4 KB header are evaluated node by node',
    (kind, threshold, result) => {
      const header = JSON.stringify(doubling(kind, 90, threshold));
      expect(header.length).toBeLessThan(4096);
      const pred = predicateFromRpcHeader(header);
      expect(evaluatePredicate(pred, tags, {})).toBe(result);
      expect(compilePredicate(pred).evaluate(tags, {})).toBe(result);
      const report = predicateDebugReport(pred, [{ tags, metadata: {} }]);
      expect(report.matched).toBe(result ? 1 : 0);
      expect(graphOf(pred).nodes).toHaveLength(91);
      expect(costsOf(graphOf(pred)).at(-1)).toBe(MAX_COST);
    },
  );

  it('what would be too large to write out is refused, not attempted', () => {
    const pred = predicateFromWire(doubling('and', 60));
    expect(() => predicateToWire(pred)).toThrow('predicateToWire: predicate has more than 100000 nodes');
    expect(() => predicateToRpcHeader(pred)).toThrow('100000');
    expect(() => evaluatePredicateWithTrace(pred, tags, {})).toThrow('the trace has more than 100000 clauses');
    // The first decisive child ends a level: a short trace is given.
    expect(evaluatePredicateWithTrace(predicateFromWire(doubling('or', 60)), tags, {}).result).toBe(true);
  });
});

describe('deep nesting', () => {
  it('10,000 negations need no stack', () => {
    let pred: Predicate = p.numericAtLeast(key, 1);
    for (let i = 0; i < 10_001; i++) pred = p.not(pred);
    expect(evaluatePredicate(pred, tags, {})).toBe(false);
    expect(compilePredicate(pred).evaluate(tags, {})).toBe(false);
    const wire = predicateToWire(pred);
    expect(wire.nodes).toHaveLength(10_002);
    expect(evaluatePredicate(predicateFromWire(wire), tags, {})).toBe(false);
    const { result, trace } = evaluatePredicateWithTrace(pred, tags, {});
    expect([result, trace.children[0]?.result]).toEqual([false, true]);
    expect(predicateDebugReport(pred, [{ tags, metadata: {} }]).clause_stats.at(0)).toEqual({
      label: 'Not',
      evaluated: 10_001,
      matched: 5000,
    });
    expect(costsOf(graphOf(pred)).at(-1)).toBe(30);
  });
});

describe('width', () => {
  it('100,000 children are looked at once each', () => {
    const leaf = p.numericAtLeast(key, 65);
    const pred = p.or(...Array.from({ length: 99_999 }, () => leaf));
    expect(evaluatePredicate(pred, tags, {})).toBe(false);
    expect(compilePredicate(pred).evaluate(tags, {})).toBe(false);
    expect(predicateToWire(pred).nodes).toHaveLength(100_000);
    expect(predicateDebugReport(pred, [{ tags, metadata: {} }]).clause_stats).toEqual([
      { label: 'NumericAtLeast(hardware.memory_gb >= 65)', evaluated: 99_999, matched: 0 },
      { label: 'Or(99999 clauses)', evaluated: 1, matched: 0 },
    ]);
  });
});

describe('malformed trees and tables', () => {
  it('a node that contains itself is an error everywhere', () => {
    const pred = p.and(p.exists(key)) as Extract<Predicate, { type: 'and' }>;
    pred.children.push(p.not(pred));
    const set = ['hardware.memory_gb'];
    for (const call of [
      () => evaluatePredicate(pred, set, {}),
      () => compilePredicate(pred),
      () => evaluatePredicateWithTrace(pred, set, {}),
      () => predicateToWire(pred),
    ]) {
      expect(call).toThrow('predicate: a node contains itself');
    }
  });

  it('unknown types and holes are errors', () => {
    for (const bad of [{ type: 'constructor' }, { type: 'no' }, null, undefined, 3, { type: 'not' }, { type: 'and' }]) {
      expect(() => evaluatePredicate(p.and(bad as never), [], {})).toThrow(/^predicate: /);
      expect(() => compilePredicate(p.and(bad as never))).toThrow(/^predicate: /);
    }
  });

  it.each([
    [{ nodes: [{ kind: 'maybe' }], root_idx: 0 }, 'predicateFromWire: unknown node kind "maybe" at 0'],
    [{ nodes: [{ kind: '__proto__' }], root_idx: 0 }, 'predicateFromWire: unknown node kind "__proto__" at 0'],
    [{ nodes: [{ kind: 'equals', key, value: 1 }], root_idx: 0 }, 'predicateFromWire: node 0: value must be a string'],
    [
      { nodes: [{ kind: 'numeric_at_least', key, threshold: null }], root_idx: 0 },
      'predicateFromWire: node 0: threshold must be a finite number',
    ],
    [
      { nodes: [{ kind: 'exists', key: { axis: 'moon', key: 'a' } }], root_idx: 0 },
      'predicateFromWire: node 0: key.axis must be one of hardware, software, devices, dataforts',
    ],
    [{ nodes: [{ kind: 'metadata_exists', key: {} }], root_idx: 0 }, 'predicateFromWire: node 0: key must be a string'],
    [
      { nodes: [{ kind: 'and', children: {} }], root_idx: 0 },
      'predicateFromWire: node 0: children must be an array of indices',
    ],
    [{ nodes: [null], root_idx: 0 }, 'predicateFromWire: node 0 must be an object'],
    [{ nodes: {} }, 'predicateFromWire: nodes must be an array'],
    [null, 'predicateFromWire: nodes must be an array'],
  ])('%j', (wire, message) => {
    expect(() => predicateFromWire(wire as never)).toThrow(message);
  });

  it('headers: 4096 bytes pass, 4097 do not, and are not parsed', () => {
    const leaf = (length: number) => p.metadataEquals('k', 'x'.repeat(length));
    const frame = predicateToRpcHeader(leaf(0)).length;
    expect(predicateToRpcHeader(leaf(4096 - frame))).toHaveLength(4096);
    expect(() => predicateToRpcHeader(leaf(4097 - frame))).toThrow(
      'predicate wire encoding 4097 bytes exceeds header cap 4096',
    );
    expect(() => predicateFromRpcHeader('{'.repeat(4097))).toThrow(
      'predicate wire payload 4097 bytes exceeds header cap 4096',
    );
    expect(() => predicateFromRpcHeader('{')).toThrow(SyntaxError);
    expect(() => predicateToRpcHeader(p.numericAtLeast(key, Number.NaN))).toThrow('must be a finite number');
  });

  it('long numbers and versions take linear time', () => {
    const digits = '1'.repeat(1_000_000);
    expect(evaluatePredicate(p.numericAtLeast(key, 0), [`hardware.memory_gb=${digits}x`], {})).toBe(false);
    expect(evaluatePredicate(p.numericAtLeast(key, 0), [`hardware.memory_gb=${digits}`], {})).toBe(true);
    expect(evaluatePredicate(p.semverAtLeast(key, '0'), [`hardware.memory_gb=${digits}`], {})).toBe(false);
    expect(evaluatePredicate(p.semverAtLeast(key, '0'), [`hardware.memory_gb=${' '.repeat(100_000)}x`], {})).toBe(
      false,
    );
  });

  it('members of Object.prototype are no metadata', () => {
    for (const name of ['toString', 'constructor', '__proto__']) {
      expect(evaluatePredicate(p.metadataExists(name), [], {})).toBe(false);
      expect(compilePredicate(p.metadataExists(name)).evaluate([], {})).toBe(false);
    }
    const own = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
    expect(evaluatePredicate(p.metadataEquals('__proto__', 'x'), [], own)).toBe(true);
  });
});
