/** Which clauses select how much of a corpus: reports, their redaction and rendering (41 §8). */
import type { Predicate } from './predicate.js';
import { toolkitError } from './tag.js';
import { type ClauseTrace, planTruth, ranChildren, tracePlan } from './trace.js';

/** One candidate of a corpus. */
export interface EvalContextWire {
  tags: string[];
  metadata: Record<string, string>;
}

/** How often a clause ran, and how often it was true. */
export interface ClauseStats {
  label: string;
  evaluated: number;
  matched: number;
}

/** Report over a corpus; `clause_stats` sorted by label. */
export interface PredicateDebugReport {
  total_candidates: number;
  matched: number;
  clause_stats: ClauseStats[];
}

/** Adds up entries of one label and sorts by label. */
function merged(entries: Iterable<ClauseStats>): ClauseStats[] {
  const byLabel = new Map<string, ClauseStats>();
  for (const { label, evaluated, matched } of entries) {
    const known = byLabel.get(label);
    if (known) {
      known.evaluated += evaluated;
      known.matched += matched;
    } else byLabel.set(label, { label, evaluated, matched });
  }
  return [...byLabel.values()].sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
}

/** Traces every context and counts clauses by label. A clause that stands in several places counts in each. */
export function predicateDebugReport(pred: Predicate, contexts: readonly EvalContextWire[]): PredicateDebugReport {
  const plan = tracePlan(pred);
  const size = plan.graph.nodes.length;
  const evaluated = new Float64Array(size);
  const matchedBy = new Float64Array(size);
  const visits = new Float64Array(size);
  let matched = 0;
  for (const { tags, metadata } of contexts) {
    const truth = planTruth(plan, tags, metadata);
    matched += truth[size - 1] ?? 0;
    visits.fill(0);
    visits[size - 1] = 1;
    // Parents stand behind their children: going backwards, the visits of a node are known before it passes them on.
    for (let index = size - 1; index >= 0; index--) {
      const times = visits[index] ?? 0;
      if (times === 0) continue;
      evaluated[index] = (evaluated[index] ?? 0) + times;
      if (truth[index] === 1) matchedBy[index] = (matchedBy[index] ?? 0) + times;
      for (const child of ranChildren(plan, truth, index)) visits[child] = (visits[child] ?? 0) + times;
    }
  }
  const entries = plan.labels.flatMap((label, index) =>
    evaluated[index] ? [{ label, evaluated: evaluated[index] ?? 0, matched: matchedBy[index] ?? 0 }] : [],
  );
  return { total_candidates: contexts.length, matched, clause_stats: merged(entries) };
}

/** Checks and copies a report that came as JSON; unknown fields are left out. */
export function predicateDebugReportFromWire(x: unknown): PredicateDebugReport {
  const report = (x ?? {}) as Partial<Record<keyof PredicateDebugReport, unknown>>;
  const { total_candidates, matched, clause_stats } = report;
  if (typeof total_candidates !== 'number' || typeof matched !== 'number' || !Array.isArray(clause_stats)) {
    throw toolkitError(
      'predicateDebugReportFromWire: expected { total_candidates: number, matched: number, clause_stats: array }',
    );
  }
  return {
    total_candidates,
    matched,
    clause_stats: clause_stats.map((entry: unknown) => {
      const stats = (entry ?? {}) as Partial<Record<keyof ClauseStats, unknown>>;
      if (typeof stats.label !== 'string' || typeof stats.evaluated !== 'number' || typeof stats.matched !== 'number') {
        throw toolkitError(`predicateDebugReportFromWire: bad clause_stats entry ${JSON.stringify(entry)}`);
      }
      return { label: stats.label, evaluated: stats.evaluated, matched: stats.matched };
    }),
  };
}

const REDACTED = '<redacted>';
/** Clauses whose label shows a metadata value: name, what stands between key and value, what stands for the rest. */
const VALUE_LABELS = [
  ['MetadataEquals(', '=', REDACTED],
  ['MetadataMatches(', ' contains "', `${REDACTED}"`],
  ['MetadataNumericAtLeast(', ' >= ', REDACTED],
] as const;

/** A function that hides the values of some metadata keys in a label. */
function labelRedaction(keys: Iterable<string>): (label: string) => string {
  // Of two keys that both fit, the shorter one hides more.
  const sorted = [...new Set(keys)].sort((a, b) => a.length - b.length);
  return (label) => {
    for (const [name, between, instead] of VALUE_LABELS) {
      if (!label.startsWith(name) || !label.endsWith(')')) continue;
      const key = sorted.find((candidate) => label.startsWith(candidate + between, name.length));
      return key === undefined ? label : `${name}${key}${between}${instead})`;
    }
    return label;
  };
}

/** A copy in which the values of these metadata keys are hidden; entries that become equal are added up. */
export function redactMetadataKeys(report: PredicateDebugReport, keys: Iterable<string>): PredicateDebugReport {
  const redact = labelRedaction(keys);
  return {
    total_candidates: report.total_candidates,
    matched: report.matched,
    clause_stats: merged(report.clause_stats.map((entry) => ({ ...entry, label: redact(entry.label) }))),
  };
}

/** A copy of a trace in which the values of these metadata keys are hidden (an addition of ours). */
export function redactTrace(trace: ClauseTrace, keys: Iterable<string>): ClauseTrace {
  const redact = labelRedaction(keys);
  const copy = (clause: ClauseTrace): ClauseTrace => ({
    label: redact(clause.label),
    result: clause.result,
    children: [],
  });
  const root = copy(trace);
  const open: [ClauseTrace, ClauseTrace][] = [[trace, root]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [from, to] = next;
    for (const child of from.children) {
      const made = copy(child);
      to.children.push(made);
      open.push([child, made]);
    }
  }
  return root;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0.0%' : `${((100 * part) / whole).toFixed(1)}%`;
}

/** The report as text. */
export function renderDebugReport(report: PredicateDebugReport): string {
  const lines = [
    'Predicate evaluation report',
    '\u2500'.repeat(41),
    `Total candidates: ${report.total_candidates}`,
    `Matched:          ${report.matched} (${percent(report.matched, report.total_candidates)})`,
    '',
    'Per-clause stats (alphabetical):',
    ...report.clause_stats.map(({ label, evaluated, matched }) => {
      const counts = `evaluated ${String(evaluated).padStart(5)}, matched ${String(matched).padStart(5)}`;
      return `  ${label.padEnd(60)} ${counts} (${percent(matched, evaluated)})`;
    }),
  ];
  return `${lines.join('\n')}\n`;
}
