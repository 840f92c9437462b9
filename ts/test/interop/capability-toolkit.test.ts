import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  diffCapabilities,
  evaluatePredicate,
  evaluatePredicateWithTrace,
  type Predicate,
  predicateDebugReport,
  predicateToWire,
  renderDebugReport,
  tagFromString,
} from '../../src/capability-enhancements.js';
import { validateCapabilities } from '../../src/capability-schema.js';
import { normalizeGpuVendor } from '../../src/core.js';
import { peerMissing, runPeer } from './python.js';

// One value a key: with several, the peer's helpers look at the first only. One separator: its Python helpers take
// `a=b` and `a:b` for different in a difference, unlike the other ones.
const axis = fc.constantFrom('hardware', 'software', 'devices');
const word = fc.constantFrom('gpu', 'a', 'memory_gb', 'os', 'model.0.id', 'runtime.x');
const value = fc.constantFrom('1', '64', '1.5', '1e3', 'x', '1.2.3', '0.2.9', 'linux', '-1', '.5', '1.2.3.4');
const key = fc.record({ axis, key: word });
const leaf = fc.oneof(
  fc.record({ type: fc.constant('exists'), key }),
  fc.record({ type: fc.constant('equals'), key, value }),
  fc.record({
    type: fc.constantFrom('numericAtLeast', 'numericAtMost'),
    key,
    threshold: fc.constantFrom(0.5, 1.5, 64.25),
  }),
  fc.record({ type: fc.constant('semverAtLeast'), key, version: value }),
  fc.record({ type: fc.constant('stringPrefix'), key, prefix: value }),
  fc.record({ type: fc.constant('stringMatches'), key, pattern: value }),
  fc.record({ type: fc.constant('metadataExists'), key: word }),
  fc.record({ type: fc.constant('metadataEquals'), key: word, value }),
  fc.record({ type: fc.constant('metadataNumericAtLeast'), key: word, threshold: fc.constantFrom(0.5, 64.5) }),
) as fc.Arbitrary<Predicate>;
const predicate = fc.letrec<{ tree: Predicate }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.record({ type: fc.constantFrom('and', 'or'), children: fc.array(tie('tree'), { maxLength: 3 }) }),
    fc.record({ type: fc.constant('not'), child: tie('tree') }),
  ) as fc.Arbitrary<Predicate>,
})).tree;
const caps = fc.record({
  tags: fc.uniqueArray(fc.tuple(axis, word, fc.constantFrom('=', ''), value), {
    selector: ([a, k]) => `${a}.${k}`,
    maxLength: 6,
  }),
  metadata: fc.dictionary(word, value, { noNullPrototype: true }),
});
const contexts = caps.map(({ tags, metadata }) => ({
  tags: tags.map(([a, k, s, v]) => `${a}.${k}${s}${s && v}`),
  metadata,
}));

describe.skipIf(peerMissing)('the toolkit and the published helpers agree', () => {
  it('on predicates, traces, reports, differences and validation of random input', () => {
    const samples = fc.sample(fc.tuple(predicate, contexts, contexts), { numRuns: 150, seed: 20_261_121 });
    const given = samples.map(([pred, a, b]) => ({ wire: predicateToWire(pred), a, b }));
    type Answer = { result: boolean; trace: unknown; report: unknown; text: string; diff: unknown; check: unknown };
    const theirs = runPeer<Answer[]>(
      `import dataclasses, net_sdk
def plain(x):
    if dataclasses.is_dataclass(x):
        return {f.name: plain(getattr(x, f.name)) for f in dataclasses.fields(x)}
    if isinstance(x, (list, tuple)):
        return [plain(y) for y in x]
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return x
def one(g):
    pred = net_sdk.predicate_from_wire(g["wire"])
    tags, meta = g["a"]["tags"], g["a"]["metadata"]
    traced = net_sdk.evaluate_predicate_with_trace(pred, tags, meta)
    report = net_sdk.predicate_debug_report(pred, [g["a"], g["b"]])
    return {"result": net_sdk.evaluate_predicate(pred, tags, meta), "trace": plain(traced),
      "report": plain(report), "diff": plain(net_sdk.diff_capabilities(g["a"], g["b"])),
      "check": plain(net_sdk.validate_capabilities(g["a"]))}
answer = [one(g) for g in given]`,
      given,
    );
    samples.forEach(([pred, a, b], i) => {
      const their = theirs[i] as Answer;
      expect(evaluatePredicate(pred, a.tags, a.metadata)).toBe(their.result);
      const { result, trace } = evaluatePredicateWithTrace(pred, a.tags, a.metadata);
      const text = JSON.stringify(their.trace);
      expect(text).toContain(JSON.stringify(result));
      for (const clause of trace.children) expect(text).toContain(JSON.stringify(clause.label));
      const report = predicateDebugReport(pred, [a, b]);
      expect(their.report).toMatchObject({ total_candidates: report.total_candidates, matched: report.matched });
      expect((their.report as typeof report).clause_stats).toEqual(report.clause_stats);
      expect(renderDebugReport(report)).toContain(`Total candidates: ${report.total_candidates}`);
      const diff = diffCapabilities(a, b);
      expect(their.diff).toMatchObject({ added_tags: diff.added_tags, removed_tags: diff.removed_tags });
      const check = validateCapabilities(a);
      const { errors, warnings } = their.check as { errors: unknown[]; warnings: unknown[] };
      expect([errors.length, warnings.length]).toEqual([check.errors.length, check.warnings.length]);
    });
  });

  it('on tags and vendors', () => {
    const tags = ['hardware.gpu', 'software.os=linux', 'scope:tenant:a', 'prod', 'hardware.k=', 'hardware.a:b=c'];
    const vendors = ['NVIDIA', 'amd', ' amd', 'x', ''];
    const theirs = runPeer<{ kinds: string[]; vendors: string[] }>(
      `import net, net_sdk
answer = {"kinds": [type(net_sdk.tag_from_string(t)).__name__ for t in given["tags"]],
  "vendors": [net.normalize_gpu_vendor(v) for v in given["vendors"]]}`,
      { tags, vendors },
    );
    const kinds = tags.map((tag) => tagFromString(tag).kind);
    expect(theirs.kinds.map((name) => name.replace('Tag', '').toLowerCase())).toEqual(
      kinds.map((kind) => kind.toLowerCase()),
    );
    expect(theirs.vendors).toEqual(vendors.map(normalizeGpuVendor));
  });
});
