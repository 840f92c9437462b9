import { describe, expect, inject, it } from 'vitest';
import * as toolkit from '../../src/capability-enhancements.js';
import * as schema from '../../src/capability-schema.js';
import { scorePlacement } from '../../src/capability-toolkit/index.js';
import coreRandom from '../vectors/capabilities-core-random.json';
import facade from '../vectors/capabilities-facade.json';

type Json = Record<string, unknown>;
const inPlace = inject('inPlaceVectors');
/** Cases of a file that is read in place, or `null` in a checkout without it. */
function casesOf(name: string): Json[] | null {
  const file = inPlace[`capabilities-${name}`] as { cases: Json[] } | null;
  return file?.cases ?? null;
}
const published = (name: string, check: (vector: Json) => void) => {
  const cases = casesOf(name);
  describe(`published fixture ${name}`, () => {
    it.skipIf(cases === null)('is there (../shared/vectors is read in place)', () => expect(cases).not.toHaveLength(0));
    for (const vector of cases ?? []) it(String(vector.name), () => check(vector));
  });
};

const wireOf = (value: unknown) => value as toolkit.PredicateWire;
const predOf = (value: unknown) => toolkit.predicateFromWire(wireOf(value));
const caps = (value: unknown) => value as toolkit.CapabilitySetWire;
const byText = (list: unknown[]) => [...list].sort((a, b) => (sortedJson(a) < sortedJson(b) ? -1 : 1));
function sortedJson(value: unknown): string {
  return JSON.stringify(Object.entries(value as Json).sort(([a], [b]) => (a < b ? -1 : 1)));
}
/** Result, or the message of the error. */
function outcome(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return { error: (error as Error).message, name: (error as Error).name };
  }
}
const expected = (vector: { result?: unknown; error?: string; name?: string }) =>
  vector.error === undefined ? vector.result : { error: vector.error, name: vector.name };

published('predicate_eval', (v) => {
  const tags = v.tags as string[];
  const metadata = v.metadata as Record<string, string>;
  const pred = predOf(v.wire);
  expect(toolkit.evaluatePredicate(pred, tags, metadata)).toBe(v.expected);
  expect(toolkit.compilePredicate(pred).evaluate(tags, metadata)).toBe(v.expected);
  expect(toolkit.evaluatePredicateWithTrace(pred, tags, metadata).result).toBe(v.expected);
});

published('predicate_trace', (v) => {
  const { result, trace } = toolkit.evaluatePredicateWithTrace(
    predOf(v.wire),
    v.tags as string[],
    v.metadata as Record<string, string>,
  );
  expect(result).toBe(v.expected_result);
  expect(trace).toEqual(v.expected_trace);
});

published('predicate_nrpc_envelope', (v) => {
  const pred = predOf(v.wire);
  expect(toolkit.predicateToWire(pred)).toEqual(v.wire);
  expect(JSON.parse(toolkit.predicateToRpcHeader(pred))).toEqual(v.wire);
  const { name, value } = toolkit.whereHeader(pred);
  expect(name).toBe('net-where');
  expect(toolkit.predicateFromRpcHeader(new TextDecoder().decode(value))).toEqual(pred);
});

published('predicate_debug_report', (v) => {
  const report = toolkit.predicateDebugReport(predOf(v.wire), v.contexts as toolkit.EvalContextWire[]);
  expect(report).toEqual({
    total_candidates: v.expected_total_candidates,
    matched: v.expected_matched,
    clause_stats: v.expected_clause_stats,
  });
  expect(toolkit.predicateDebugReportFromWire(JSON.parse(JSON.stringify(report)))).toEqual(report);
});

published('predicate_debug_report_redacted', (v) => {
  const keys = v.redact_keys as string[];
  const once = toolkit.redactMetadataKeys(v.report as toolkit.PredicateDebugReport, keys);
  expect(once).toEqual(v.redacted_report);
  expect(toolkit.redactMetadataKeys(once, keys)).toEqual(once);
});

published('capability_validation', (v) => {
  const report = schema.validateCapabilities(caps(v.caps));
  expect(byText(report.errors)).toEqual(byText(v.expected_errors as unknown[]));
  expect(byText(report.warnings)).toEqual(byText(v.expected_warnings as unknown[]));
});

published('capability_set_diff', (v) => {
  expect(toolkit.diffCapabilities(caps(v.prev), caps(v.curr))).toEqual({
    added_tags: v.expected_added_tags,
    removed_tags: v.expected_removed_tags,
    metadata_changes: v.expected_metadata_changes,
  });
});

published('placement_score', (v) => {
  const candidate = v.candidate as { node_id: string; tags: string[]; metadata: Record<string, string> };
  const config = v.config as { scope_filter?: string[] };
  const score = scorePlacement(
    { nodeId: BigInt(candidate.node_id), tags: candidate.tags, metadata: candidate.metadata },
    v.artifact as never,
    { scopeFilter: config.scope_filter },
  );
  if (v.expected_score === null) expect(score).toBeNull();
  else expect(score).toBeCloseTo(Number(v.expected_score), 6);
});

describe('recorded expectations', () => {
  it.each(facade.tagFromString)('tagFromString $input', (v) => {
    expect(outcome(() => toolkit.tagFromString(v.input))).toEqual(expected(v));
  });
  it.each(facade.tagFromUserString)('tagFromUserString $input', (v) => {
    expect(outcome(() => toolkit.tagFromUserString(v.input))).toEqual(expected(v));
  });
  it.each(facade.tagToString)('tagToString $result', (v) => {
    expect(toolkit.tagToString(v.tag as toolkit.Tag)).toBe(v.result);
  });
  it.each(facade.startsWithReservedPrefix)('startsWithReservedPrefix $input', (v) => {
    expect(toolkit.startsWithReservedPrefix(v.input)).toBe(v.result);
  });
  it.each(facade.predicates)('predicate $label: wire, header, label, result', (v) => {
    const pred = v.ast as toolkit.Predicate;
    expect(toolkit.predicateToWire(pred)).toEqual(v.wire);
    expect(toolkit.predicateToRpcHeader(pred)).toBe(v.header);
    expect(toolkit.predicateFromRpcHeader(v.header)).toEqual(pred);
    const { result, trace } = toolkit.evaluatePredicateWithTrace(pred, [], {});
    expect(trace.label).toBe(v.label);
    expect(result).toBe(v.empty_context_result);
    expect(toolkit.evaluatePredicate(pred, [], {})).toBe(result);
    expect(toolkit.compilePredicate(pred).evaluate([], {})).toBe(result);
  });
  it.each(facade.predicateFromWire_errors)('$error', (v) => {
    expect(outcome(() => predOf(v.wire))).toEqual({ error: v.error, name: v.name });
  });
  const key = { axis: 'hardware', key: 'k' } as const;
  const both = (pred: toolkit.Predicate, tag: string) => {
    const result = toolkit.evaluatePredicate(pred, [tag], {});
    expect(toolkit.compilePredicate(pred).evaluate([tag], {})).toBe(result);
    return result;
  };
  it.each(facade.numeric_value_at_least_minus_1e300)('number "$value"', (v) => {
    expect(both(toolkit.p.numericAtLeast(key, -1e300), `hardware.k=${v.value}`)).toBe(v.expected);
  });
  it.each(facade.semver_value_at_least_0)('version "$value"', (v) => {
    expect(both(toolkit.p.semverAtLeast(key, '0'), `hardware.k=${v.value}`)).toBe(v.expected);
  });
  it.each(facade.semver_compatible)('$value ~= $version', (v) => {
    expect(both(toolkit.p.semverCompatible(key, v.version), `hardware.k=${v.value}`)).toBe(v.expected);
  });
  it.each(facade.eval_extra)('$tags', (v) => {
    expect(toolkit.evaluatePredicate(predOf(v.wire), v.tags, v.metadata)).toBe(v.expected);
    expect(toolkit.compilePredicate(predOf(v.wire)).evaluate(v.tags, v.metadata)).toBe(v.expected);
  });
  it.each(facade.renderDebugReport)('renders $report.total_candidates candidates', (v) => {
    expect(toolkit.renderDebugReport(v.report)).toBe(v.result);
  });
  it.each(facade.predicateDebugReportFromWire)('$error', (v) => {
    expect(outcome(() => toolkit.predicateDebugReportFromWire(v.input))).toEqual({ error: v.error, name: v.name });
  });
  it.each(facade.validateCapabilities_extra)('validates $caps.tags', (v) => {
    expect(schema.validateCapabilities(caps(v.caps))).toEqual(v.report);
  });
  it.each(facade.diffCapabilities_extra)('difference $result', (v) => {
    expect(toolkit.diffCapabilities(caps(v.prev), caps(v.curr))).toEqual(v.result);
  });
  const calls: (() => unknown)[] = [
    () => toolkit.requireTag(caps({ tags: ['x', 'x'], metadata: {} }), 'hardware', 'gpu'),
    () => toolkit.requireAxisValue(caps({ tags: ['software.os=linux'], metadata: {} }), 'software', 'os', 'linux'),
    () => toolkit.requireTag(toolkit.emptyCapabilities(), 'hardware', ''),
    () => toolkit.requireAxisValue(toolkit.emptyCapabilities(), 'hardware', 'k', ''),
    () => toolkit.tagKey('software', ''),
    () => toolkit.standardPlacement().withCustomFilterId(''),
  ];
  it.each(facade.builders.map((v, i) => ({ ...v, run: calls[i] })))('$call', (v) => {
    expect(outcome(v.run ?? (() => undefined))).toEqual(expected(v as never));
  });
});

describe("random predicates and sets, evaluated by the peer's core", () => {
  it.each(coreRandom.predicates.map((v, index) => ({ ...v, index })))('predicate $index', (v) => {
    const metadata = v.metadata as unknown as Record<string, string>;
    const pred = predOf(v.wire);
    expect(toolkit.evaluatePredicate(pred, v.tags, metadata)).toBe(v.expected);
    expect(toolkit.compilePredicate(pred).evaluate(v.tags, metadata)).toBe(v.expected);
    const { result, trace } = toolkit.evaluatePredicateWithTrace(pred, v.tags, metadata);
    expect(result).toBe(v.expected);
    expect(trace).toEqual(v.trace);
    expect(toolkit.predicateToWire(pred)).toEqual(v.wire);
  });
  it.each(coreRandom.validation.map((v, index) => ({ ...v, index })))('set $index', (v) => {
    const report = schema.validateCapabilities(caps(v.caps));
    const wanted = v as unknown as { errors?: unknown[]; warnings?: unknown[]; report?: schema.ValidationReport };
    const { errors, warnings } = (wanted.report ?? wanted) as { errors: unknown[]; warnings: unknown[] };
    expect(byText(report.errors)).toEqual(byText(errors));
    expect(byText(report.warnings)).toEqual(byText(warnings));
  });
});
