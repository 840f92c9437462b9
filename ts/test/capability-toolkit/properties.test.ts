import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compilePredicate,
  diffCapabilities,
  evaluatePredicate,
  evaluatePredicateWithTrace,
  type Predicate,
  placementFilterFromFn,
  predicateDebugReport,
  predicateFromRpcHeader,
  predicateFromWire,
  predicateToWire,
  redactMetadataKeys,
  redactTrace,
  requireTag,
  selectCandidates,
  standardPlacement,
  tagFromString,
  tagToString,
  withMetadata,
} from '../../src/capability-enhancements.js';
import { validateCapabilities } from '../../src/capability-schema.js';
import {
  bestPlacement,
  type PlacementArtifact,
  PlacementFilterRegistry,
  parseWireTag,
  scorePlacement,
} from '../../src/capability-toolkit/index.js';
import { MeshringError } from '../../src/errors.js';

const axis = fc.constantFrom('hardware', 'software', 'devices', 'dataforts');
const word = fc.oneof(
  fc.constantFrom('a', 'b', 'gpu', 'a.b', 'a=b', 'a:b', '', '1', '1.2.3', '64', '0x10', '1e3', 'inf', '-1', ' 1 '),
  fc.string({ maxLength: 4 }),
);
const tag = fc.oneof(
  fc.tuple(axis, word, fc.constantFrom('=', ':', ''), word).map(([a, k, s, v]) => `${a}.${k}${s}${s && v}`),
  fc.string({ minLength: 1 }),
);
const metadata = fc.dictionary(word, word);
const key = fc.record({ axis, key: word });
const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());
const leaf = fc.oneof(
  fc.record({ type: fc.constant('exists'), key }),
  fc.record({ type: fc.constant('equals'), key, value: word }),
  fc.record({ type: fc.constantFrom('numericAtLeast', 'numericAtMost'), key, threshold: number }),
  fc.record({ type: fc.constant('numericInRange'), key, min: number, max: number }),
  fc.record({ type: fc.constantFrom('semverAtLeast', 'semverAtMost', 'semverCompatible'), key, version: word }),
  fc.record({ type: fc.constant('stringPrefix'), key, prefix: word }),
  fc.record({ type: fc.constant('stringMatches'), key, pattern: word }),
  fc.record({ type: fc.constant('metadataExists'), key: word }),
  fc.record({ type: fc.constant('metadataEquals'), key: word, value: word }),
  fc.record({ type: fc.constant('metadataMatches'), key: word, pattern: word }),
  fc.record({ type: fc.constant('metadataNumericAtLeast'), key: word, threshold: number }),
) as fc.Arbitrary<Predicate>;
const predicate = fc.letrec<{ tree: Predicate }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.record({ type: fc.constantFrom('and', 'or'), children: fc.array(tie('tree'), { maxLength: 4 }) }),
    fc.record({ type: fc.constant('not'), child: tie('tree') }),
  ) as fc.Arbitrary<Predicate>,
})).tree;

/** Clauses that are true. */
const MANY: Predicate[] = Array.from({ length: 1100 }, () => ({ type: 'and', children: [] }));

function negatedOften(pred: Predicate): Predicate {
  let outer = pred;
  for (let i = 0; i < 130; i++) outer = { type: 'not', child: outer };
  return outer;
}

describe('tags', () => {
  it('parse and render are inverse, in both grammars', () => {
    fc.assert(
      fc.property(tag, (text) => {
        expect(tagToString(tagFromString(text))).toBe(text);
        expect(tagToString(parseWireTag(text))).toBe(text);
      }),
    );
  });

  it('validation and differences accept any set', () => {
    fc.assert(
      fc.property(fc.array(tag), fc.array(tag), metadata, metadata, (a, b, m, n) => {
        validateCapabilities({ tags: a, metadata: m });
        const diff = diffCapabilities({ tags: a, metadata: m }, { tags: b, metadata: n });
        expect(diff.added_tags.every((text) => b.includes(text))).toBe(true);
        expect(diff.removed_tags.every((text) => a.includes(text))).toBe(true);
        expect(diffCapabilities({ tags: b, metadata: n }, { tags: b, metadata: n })).toEqual({
          added_tags: [],
          removed_tags: [],
          metadata_changes: [],
        });
      }),
    );
  });
});

describe('predicates', () => {
  it('plain, compiled and traced evaluation agree; the wire form is faithful', () => {
    fc.assert(
      fc.property(predicate, fc.array(tag, { maxLength: 12 }), metadata, (pred, tags, meta) => {
        const result = evaluatePredicate(pred, tags, meta);
        expect(compilePredicate(pred).evaluate(tags, meta)).toBe(result);
        // Behind more clauses, and deeper, than plain recursion goes.
        expect(evaluatePredicate({ type: 'and', children: [...MANY, pred, pred] }, tags, meta)).toBe(result);
        expect(evaluatePredicate(negatedOften(pred), tags, meta)).toBe(result);
        const { result: traced, trace } = evaluatePredicateWithTrace(pred, tags, meta);
        expect([traced, trace.result]).toEqual([result, result]);
        const wire = predicateToWire(pred);
        expect(predicateToWire(predicateFromWire(wire))).toEqual(wire);
        expect(evaluatePredicate(predicateFromWire(JSON.parse(JSON.stringify(wire))), tags, meta)).toBe(result);
        const report = predicateDebugReport(pred, [{ tags, metadata: meta }]);
        expect(report.matched).toBe(result ? 1 : 0);
        let clauses = 0;
        const count = (clause: typeof trace): void => {
          clauses += 1;
          clause.children.forEach(count);
        };
        count(trace);
        expect(report.clause_stats.reduce((sum, stats) => sum + stats.evaluated, 0)).toBe(clauses);
      }),
      { numRuns: 300 },
    );
  });

  it('arbitrary header texts give a predicate, a SyntaxError or the spec’d error', () => {
    const table = fc.record({
      nodes: fc.array(
        fc.oneof(
          fc.record({
            kind: fc.constantFrom('exists', 'equals', 'and', 'not', 'x'),
            key: fc.anything(),
            value: fc.anything(),
          }),
          fc.record({ kind: fc.constantFrom('and', 'or'), children: fc.array(fc.oneof(fc.nat(3), fc.anything())) }),
          fc.record({ kind: fc.constant('not'), child: fc.nat(3) }),
          fc.anything(),
        ),
        { maxLength: 5 },
      ),
      root_idx: fc.oneof(fc.integer(), fc.double()),
    });
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      table.map((value) => JSON.stringify(value, (_, x: unknown) => (typeof x === 'bigint' ? 0 : x))),
    );
    fc.assert(
      fc.property(text, (header) => {
        try {
          evaluatePredicate(predicateFromRpcHeader(header), [], {});
        } catch (error) {
          expect(error instanceof SyntaxError || error instanceof MeshringError).toBe(true);
          if (error instanceof MeshringError) expect(error.message).toMatch(/^predicate(FromWire| wire payload)/);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a key that only begins like a listed one keeps its value', () => {
    const entry = (label: string) => ({ label, evaluated: 1, matched: 0 });
    const report = {
      total_candidates: 1,
      matched: 0,
      clause_stats: [entry('MetadataMatches(a contains b contains "x")'), entry('MetadataMatches(a contains ""q")')],
    };
    expect(redactMetadataKeys(report, ['a']).clause_stats.map(({ label }) => label)).toEqual([
      'MetadataMatches(a contains "<redacted>")',
      'MetadataMatches(a contains b contains "x")',
    ]);
  });

  it('no value of a redacted key survives, and redacting twice changes nothing', () => {
    fc.assert(
      fc.property(predicate, word, (pred, name) => {
        const tagged: Predicate = {
          type: 'or',
          children: [
            { type: 'metadataEquals', key: name, value: 'S3CRET\nx' },
            { type: 'metadataMatches', key: name, pattern: 'S3CRET' },
            pred,
          ],
        };
        const report = redactMetadataKeys(predicateDebugReport(tagged, [{ tags: [], metadata: {} }]), [name]);
        expect(JSON.stringify(report)).not.toContain('S3CRET');
        expect(redactMetadataKeys(report, [name])).toEqual(report);
        const { trace } = evaluatePredicateWithTrace(tagged, [], {});
        expect(JSON.stringify(redactTrace(trace, [name]))).not.toContain('S3CRET');
      }),
    );
  });
});

describe('sets', () => {
  it('helpers copy, and any key can be metadata', () => {
    const start = { tags: ['a', 'a'], metadata: { x: '1' } };
    const next = withMetadata(requireTag(start, 'hardware', 'gpu'), '__proto__', 'y');
    expect(start).toEqual({ tags: ['a', 'a'], metadata: { x: '1' } });
    expect(next.tags).toEqual(['a', 'hardware.gpu']);
    expect(Object.entries(next.metadata)).toEqual([
      ['x', '1'],
      ['__proto__', 'y'],
    ]);
    expect(diffCapabilities(start, next).metadata_changes).toEqual([{ kind: 'added', key: '__proto__', value: 'y' }]);
  });
});

describe('placement', () => {
  const candidate = (nodeId: bigint, ...tags: string[]) => ({ nodeId, tags, metadata: { zone: `z${nodeId}` } });

  it('a configuration selects by tags, metadata, predicate, filter and limit', () => {
    const builder = standardPlacement().requireTag('hardware', 'gpu').forbidTag('devices', 'printer');
    const first = builder.build();
    const second = builder
      .withPredicate({ type: 'numericAtLeast', key: { axis: 'hardware', key: 'memory_gb' }, threshold: 8 })
      .withLimit(1.9)
      .withCustomFilterId('odd')
      .build();
    expect(Object.isFrozen(first)).toBe(true);
    expect(Object.keys(first)).toEqual(['requireTags', 'forbidTags', 'requireMetadata', 'predicate']);
    expect([first.predicate, first.requireMetadata, second.limit]).toEqual([undefined, undefined, 1]);
    const nodes = [
      candidate(5n, 'hardware.gpu', 'hardware.memory_gb=8'),
      candidate(3n, 'hardware.gpu', 'hardware.memory_gb=16'),
      candidate(2n, 'hardware.gpu', 'hardware.memory_gb=32'),
      candidate(1n, 'hardware.gpu', 'devices.printer'),
    ];
    const filters = new PlacementFilterRegistry(() => {});
    expect(selectCandidates(first, nodes).map((node) => node.nodeId)).toEqual([2n, 3n, 5n]);
    expect(selectCandidates(second, nodes, filters)).toEqual([]);
    expect(filters.register('odd', ({ nodeId }) => nodeId % 2n === 1n)).toBe(true);
    expect(filters.register('odd', () => true)).toBe(false);
    expect(selectCandidates(second, nodes, filters).map((node) => node.nodeId)).toEqual([3n]);
    expect([filters.unregister('odd'), filters.unregister('odd'), filters.has('odd')]).toEqual([true, false, false]);
    expect(() => standardPlacement().withLimit(-1)).toThrow(
      'StandardPlacementBuilder.withLimit: n must be non-negative finite',
    );
  });

  it('tags of a configuration compare by meaning', () => {
    const config = standardPlacement()
      .requireAxisValue('software', 'os', 'linux', ':')
      .forbidTag('devices', 'printer')
      .build();
    const nodes = [
      candidate(1n, 'software.os=linux'),
      candidate(2n, 'software.os:linux', 'devices.printer=x', ''),
      candidate(3n, 'software.os=linux', 'devices.printer'),
      candidate(4n, 'software.os'),
    ];
    expect(selectCandidates(config, nodes).map((node) => node.nodeId)).toEqual([1n, 2n]);
    const forbids = { forbidTags: ['software.os:linux'] };
    expect(selectCandidates(forbids, nodes).map((node) => node.nodeId)).toEqual([4n]);
  });

  it('an id without a filter refuses, and is reported', () => {
    const heard: string[] = [];
    const filters = new PlacementFilterRegistry((id, error) => heard.push(`${id}: ${(error as Error).message}`));
    expect(filters.accepts('gone', candidate(1n))).toBe(false);
    expect(heard).toEqual(['gone: no placement filter "gone" is registered: register it before it is used']);
  });

  it('a filter that throws refuses, and is reported', () => {
    const heard: string[] = [];
    const filters = new PlacementFilterRegistry((id, error) => heard.push(`${id}: ${(error as Error).message}`));
    const { id, fn } = placementFilterFromFn(() => {
      throw new Error('no');
    });
    filters.register(id, fn);
    expect(id).toMatch(/^pf-[0-9]+$/);
    expect(filters.accepts(id, candidate(1n))).toBe(false);
    expect(heard).toEqual([`${id}: no`]);
    expect(placementFilterFromFn(() => true, '').id).toBe('');
  });

  it('scores: vetoes, resources, colocation, intents, anti-affinity', () => {
    const none = { tags: [], metadata: {} };
    const daemon = (metadata: Record<string, string> = {}, tags: string[] = []): PlacementArtifact => ({
      kind: 'daemon',
      required: { tags, metadata },
      optional: none,
    });
    expect(scorePlacement(undefined, daemon())).toBeNull();
    expect(scorePlacement(candidate(1n), daemon({}, ['x']))).toBeNull();
    expect(scorePlacement(candidate(1n, 'hardware.cpu_cores=8'), daemon())).toBeCloseTo(0.5, 6);
    expect(scorePlacement(candidate(1n, 'hardware.cpu_cores=nan'), daemon())).toBe(1);
    const held = candidate(1n, 'causal:ab:9');
    expect(scorePlacement(held, daemon({ 'colocate-with': 'ab' }), { colocation: 'soft' })).toBe(1);
    expect(scorePlacement(held, daemon({ 'colocate-with': 'a' }), { colocation: 'soft' })).toBeCloseTo(0.7, 6);
    expect(scorePlacement(held, daemon({ 'colocate-with-strict': 'a' }), { colocation: 'soft' })).toBe(0);
    expect(
      scorePlacement(candidate(1n, 'hardware.cpu_cores=2'), daemon({ intent: 'cpu-bound' }), { intent: 'strict' }),
    ).toBe(0);
    expect(scorePlacement(candidate(1n), daemon({ intent: 'unheard-of' }), { intent: 'strict' })).toBe(1);
    expect(scorePlacement(candidate(1n), daemon(), { intent: 'any-of-local', intents: new Map() })).toBe(1);
    expect(scorePlacement(candidate(1n), daemon(), {}, undefined, { leadershipShare: 0.31 })).toBeCloseTo(0.4, 6);
    expect(scorePlacement(candidate(1n), daemon(), {}, undefined, { leadershipShare: Number.NaN })).toBe(1);
    expect(scorePlacement(candidate(1n), daemon(), { maxRttMs: 5 }, undefined, { rttMs: 6 })).toBe(0);
    expect(
      scorePlacement(candidate(1n), daemon(), { customFilterId: 'gone' }, new PlacementFilterRegistry(() => {})),
    ).toBeNull();
    const blob = { kind: 'blob', sizeBytes: (1n << 30n) + 1n } as const;
    const store = candidate(1n, 'dataforts.blob.storage', 'dataforts.blob.disk_free_gb=2');
    expect(scorePlacement(store, blob, { resource: 'storage' })).toBe(1);
    expect(scorePlacement({ ...store, tags: [...store.tags, 'dataforts:blob-storage-unhealthy'] }, blob)).toBeNull();
    expect(scorePlacement(candidate(1n, 'dataforts.blob.storage', 'dataforts.blob.disk_free_gb=1'), blob)).toBeNull();
  });

  it('the best: score, then round trip, then node id; NaN never wins', () => {
    const of = (id: bigint, score: number, rttMs?: number) => ({ candidate: candidate(id), score, rttMs });
    const best = bestPlacement([of(9n, Number.NaN), of(4n, 0.5), of(3n, 0.5, 2), of(2n, 0.5, 9), of(1n, 0.4, 1)]);
    expect(best?.candidate.nodeId).toBe(3n);
    expect(bestPlacement([of(2n, 1), of(1n, 1)])?.candidate.nodeId).toBe(1n);
    expect(bestPlacement([of(2n, Number.NaN)])).toBeUndefined();
  });
});
