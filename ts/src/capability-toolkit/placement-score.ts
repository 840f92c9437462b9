/** Scores of candidates for daemons, chains and blobs (41 §12). */
import type { CapabilitySetWire } from './capability-set.js';
import type { PlacementCandidate, PlacementFilterRegistry } from './placement.js';
import { parseWireTag, semanticTag } from './tag.js';
import { parseNumber } from './values.js';

/** What is to be placed. */
export type PlacementArtifact =
  | { readonly kind: 'daemon'; readonly required: CapabilitySetWire; readonly optional: CapabilitySetWire }
  | { readonly kind: 'chain' | 'replica'; readonly capabilities: CapabilitySetWire }
  | { readonly kind: 'blob'; readonly sizeBytes: bigint };

/** What a named intent asks of a node; tags compare by meaning. */
export type IntentRequirement = (tags: readonly string[]) => boolean;

/** Weights and limits of a scoring. Everything is off by default but the compute resources. */
export interface PlacementScoreConfig {
  /** Scope labels, with or without `scope:`; a node needs one of them. */
  readonly scopeFilter?: readonly string[];
  /** Longest measured round trip, in milliseconds. */
  readonly maxRttMs?: number;
  /** `strict`: the artifact's own intent; `any-of-local`: any intent of the registry. */
  readonly intent?: 'strict' | 'any-of-local';
  readonly intents?: ReadonlyMap<string, IntentRequirement>;
  /** Default `ignore`. */
  readonly colocation?: 'ignore' | 'soft' | 'strict';
  /** Default `compute`. */
  readonly resource?: 'compute' | 'storage' | 'both';
  /** Registered filter that has the last word. */
  readonly customFilterId?: string;
}

/** What is known about a candidate besides its announcement. */
export interface PlacementMeasurements {
  /** Measured round trip in milliseconds. */
  readonly rttMs?: number;
  /** Part of all leaderships that the node holds, 0..1. */
  readonly leadershipShare?: number;
}

/** Intents known from the start. */
export const DEFAULT_INTENTS: ReadonlyMap<string, IntentRequirement> = new Map<string, IntentRequirement>([
  ['ml-training', (tags) => hasTag(tags, 'hardware.gpu') && numericTag(tags, 'hardware.gpu.vram_gb', 24)],
  ['inference', (tags) => hasTag(tags, 'hardware.gpu') && tags.some((tag) => tag.startsWith('software.model.'))],
  ['cpu-bound', (tags) => numericTag(tags, 'hardware.cpu_cores', 4)],
  ['sensor-telemetry', (tags) => tags.some((tag) => tag.startsWith('devices.'))],
]);

function hasTag(tags: readonly string[], wanted: string): boolean {
  return tags.some((tag) => tag !== '' && semanticTag(parseWireTag(tag)) === wanted);
}

function numericTag(tags: readonly string[], name: string, atLeast: number): boolean {
  return (numberOf(tags, name) ?? Number.NaN) >= atLeast;
}

/** Value of a numeric tag; the greatest tag wins, and what is out of [0, 1e15] counts as absent. */
function numberOf(tags: readonly string[], name: string): number | undefined {
  let greatest = '';
  for (const tag of tags) {
    const unit = tag.charCodeAt(name.length);
    if ((unit === 0x3d || unit === 0x3a) && tag > greatest && tag.startsWith(name)) greatest = tag;
  }
  const number = parseNumber(greatest.slice(name.length + 1));
  return number >= 0 && number <= 1e15 ? number : undefined;
}

function scopeAxis(tags: readonly string[], filter: readonly string[] | undefined): number {
  if (!filter || filter.length === 0) return 1;
  const bodies = new Set(tags.filter((tag) => tag.startsWith('scope:')).map((tag) => tag.slice('scope:'.length)));
  return filter.some((label) => bodies.has(label) || (label.startsWith('scope:') && bodies.has(label.slice(6))))
    ? 1
    : 0;
}

function artifactMetadata(artifact: PlacementArtifact, key: string): string | undefined {
  const sets =
    artifact.kind === 'daemon'
      ? [artifact.required, artifact.optional]
      : artifact.kind === 'blob'
        ? []
        : [artifact.capabilities];
  return sets.find(({ metadata }) => Object.hasOwn(metadata, key))?.metadata[key];
}

function intentAxis(tags: readonly string[], artifact: PlacementArtifact, config: PlacementScoreConfig): number {
  if (config.intent === undefined) return 1;
  const intents = config.intents ?? DEFAULT_INTENTS;
  if (config.intent === 'any-of-local') {
    return intents.size === 0 || [...intents.values()].some((satisfied) => satisfied(tags)) ? 1 : 0;
  }
  const satisfied = intents.get(artifactMetadata(artifact, 'intent') ?? '');
  return satisfied === undefined || satisfied(tags) ? 1 : 0;
}

function holdsChain(tags: readonly string[], hash: string): boolean {
  const body = `causal:${hash}`;
  return tags.some((tag) => tag.startsWith(body) && ['', ':', '['].includes(tag.charAt(body.length)));
}

function colocationAxis(tags: readonly string[], artifact: PlacementArtifact, config: PlacementScoreConfig): number {
  const policy = config.colocation ?? 'ignore';
  if (policy === 'ignore') return 1;
  const must = artifactMetadata(artifact, 'colocate-with-strict');
  if (must !== undefined && !holdsChain(tags, must)) return 0;
  const may = artifactMetadata(artifact, 'colocate-with');
  if (may === undefined || holdsChain(tags, may)) return 1;
  return policy === 'soft' ? 0.7 : 0;
}

const saturation = (value: number, half: number) => (value <= 0 ? 0 : value / (value + half));

function resourceAxis(tags: readonly string[], kind: 'compute' | 'storage' | 'both'): number {
  const mean = (values: (number | undefined)[]) => {
    const present = values.filter((value) => value !== undefined);
    return present.length === 0 ? undefined : present.reduce((sum, value) => sum + value, 0) / present.length;
  };
  const part = (name: string, half: number) => {
    const value = numberOf(tags, name);
    return value === undefined ? undefined : saturation(value, half);
  };
  const compute = () =>
    mean([part('hardware.cpu_cores', 8), part('hardware.memory_gb', 16), part('hardware.gpu.vram_gb', 16)]);
  const storage = () => part('dataforts.capacity_gb', 1000);
  if (kind === 'compute') return compute() ?? 1;
  if (kind === 'storage') return storage() ?? 1;
  return mean([compute(), storage()]) ?? 1;
}

function admits(tags: readonly string[], artifact: PlacementArtifact): boolean {
  if (artifact.kind === 'daemon') {
    const have = new Set(tags);
    return artifact.required.tags.every((tag) => have.has(tag));
  }
  if (artifact.kind === 'blob') {
    const needed = Number((artifact.sizeBytes + (1n << 30n) - 1n) >> 30n);
    return (
      tags.includes('dataforts.blob.storage') &&
      !tags.includes('dataforts:blob-storage-unhealthy') &&
      (numberOf(tags, 'dataforts.blob.disk_free_gb') ?? 0) >= needed
    );
  }
  return true;
}

const clamped = (score: number) => (score > 0 ? Math.min(1, score) : 0);

/**
 * Score in [0, 1] of a candidate for an artifact, or `null` when it must not be taken. `candidate` is `undefined` when
 * the index does not know the node.
 */
export function scorePlacement(
  candidate: PlacementCandidate | undefined,
  artifact: PlacementArtifact,
  config: PlacementScoreConfig = {},
  filters?: PlacementFilterRegistry,
  measured: PlacementMeasurements = {},
): number | null {
  if (candidate === undefined) return null;
  if (config.customFilterId !== undefined && !filters?.accepts(config.customFilterId, candidate)) return null;
  const { tags } = candidate;
  if (!admits(tags, artifact)) return null;
  const { maxRttMs } = config;
  const { rttMs, leadershipShare = 0 } = measured;
  const axes = [
    scopeAxis(tags, config.scopeFilter),
    maxRttMs !== undefined && rttMs !== undefined && rttMs > maxRttMs ? 0 : 1,
    intentAxis(tags, artifact, config),
    colocationAxis(tags, artifact, config),
    resourceAxis(tags, config.resource ?? 'compute'),
    leadershipShare > 0.3 ? 0.4 : 1,
  ];
  // Single precision, as every other implementation computes it.
  return axes.reduce((product, axis) => Math.fround(product * Math.fround(clamped(axis))), 1);
}

/** A candidate with its score and measurements. */
export interface ScoredCandidate {
  readonly candidate: PlacementCandidate;
  readonly score: number;
  readonly rttMs?: number;
}

/** The best of the candidates: highest score, then shortest measured round trip, then smallest node id. */
export function bestPlacement(scored: Iterable<ScoredCandidate>): ScoredCandidate | undefined {
  let best: ScoredCandidate | undefined;
  for (const next of scored) {
    if (!Number.isFinite(next.score)) continue;
    if (best === undefined || isBetter(next, best)) best = next;
  }
  return best;
}

function isBetter(a: ScoredCandidate, b: ScoredCandidate): boolean {
  if (a.score !== b.score) return a.score > b.score;
  const [first, second] = [a.rttMs ?? Number.POSITIVE_INFINITY, b.rttMs ?? Number.POSITIVE_INFINITY];
  if (first !== second) return first < second;
  return a.candidate.nodeId < b.candidate.nodeId;
}
