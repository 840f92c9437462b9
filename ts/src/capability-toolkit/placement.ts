/** Declarative placement: configuration, builder, custom filters, and what a configuration means (41 §11, §13). */
import { compilePredicate, type PreparedCapabilities, prepareCapabilities } from './compile.js';
import type { Predicate } from './predicate.js';
import { type PredicateWire, predicateFromWire, predicateToWire } from './predicate-wire.js';
import { type AxisSeparator, parseWireTag, semanticTag, type TaxonomyAxis, tagToString, toolkitError } from './tag.js';

/** Where something may run. Data only; `selectCandidates` applies it. */
export interface StandardPlacement {
  /** Tags that a candidate must have, by meaning: the separator of a value does not matter. */
  requireTags?: string[];
  /** Tags that it must not have, by meaning. */
  forbidTags?: string[];
  /** Metadata entries that it must have. */
  requireMetadata?: Record<string, string>;
  /** A condition that it must satisfy. */
  predicate?: PredicateWire;
  /** Most candidates, those with the smallest node ids. */
  limit?: number;
  /** A registered custom filter that must accept it. */
  customFilterId?: string;
}

/** A node that may be chosen. */
export interface PlacementCandidate {
  nodeId: bigint;
  tags: string[];
  metadata: Record<string, string>;
}

/** A candidate that is only looked at. */
export interface CandidateView {
  readonly nodeId: bigint;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** The same prepared, when somebody has it. @internal */
  readonly prepared?: PreparedCapabilities;
}

/** Whether a candidate is acceptable. */
export type PlacementFilterFn = (candidate: PlacementCandidate) => boolean;

/** A filter with its id. */
export interface RegisteredPlacementFilter {
  id: string;
  fn: PlacementFilterFn;
}

/** Builds a `StandardPlacement` step by step. `build` may be called several times. */
export class StandardPlacementBuilder {
  readonly #requireTags: string[] = [];
  readonly #forbidTags: string[] = [];
  readonly #requireMetadata: [string, string][] = [];
  #predicate: PredicateWire | undefined;
  #limit: number | undefined;
  #customFilterId: string | undefined;

  /** The tag `<axis>.<key>` must be there. */
  requireTag(axis: TaxonomyAxis, key: string): this {
    this.#requireTags.push(tagToString({ kind: 'axisPresent', axis, key }));
    return this;
  }

  /** The tag `<axis>.<key><separator><value>` must be there. */
  requireAxisValue(axis: TaxonomyAxis, key: string, value: string, separator: AxisSeparator = '='): this {
    this.#requireTags.push(tagToString({ kind: 'axisValue', axis, key, value, separator }));
    return this;
  }

  /** The tag `<axis>.<key>` must not be there. */
  forbidTag(axis: TaxonomyAxis, key: string): this {
    this.#forbidTags.push(tagToString({ kind: 'axisPresent', axis, key }));
    return this;
  }

  /** The metadata entry must be there. */
  requireMetadata(key: string, value: string): this {
    this.#requireMetadata.push([key, value]);
    return this;
  }

  /** The predicate, as a tree or in its flat form, must hold. */
  withPredicate(predicate: Predicate | PredicateWire): this {
    const wire = predicate as PredicateWire;
    this.#predicate =
      Array.isArray(wire.nodes) && typeof wire.root_idx === 'number'
        ? { nodes: [...wire.nodes], root_idx: wire.root_idx }
        : predicateToWire(predicate as Predicate);
    return this;
  }

  /** At most `n` candidates (rounded down). */
  withLimit(n: number): this {
    if (!Number.isFinite(n) || n < 0) {
      throw toolkitError('StandardPlacementBuilder.withLimit: n must be non-negative finite');
    }
    this.#limit = Math.floor(n);
    return this;
  }

  /** The custom filter of this id must accept. */
  withCustomFilterId(id: string): this {
    if (id === '') throw toolkitError('StandardPlacementBuilder.withCustomFilterId: id must be non-empty');
    this.#customFilterId = id;
    return this;
  }

  /** The configuration so far: frozen, and unaffected by further steps. */
  build(): StandardPlacement {
    return Object.freeze({
      requireTags: this.#requireTags.length > 0 ? [...this.#requireTags] : undefined,
      forbidTags: this.#forbidTags.length > 0 ? [...this.#forbidTags] : undefined,
      requireMetadata: this.#requireMetadata.length > 0 ? Object.fromEntries(this.#requireMetadata) : undefined,
      predicate: this.#predicate && { nodes: [...this.#predicate.nodes], root_idx: this.#predicate.root_idx },
      ...(this.#limit === undefined ? {} : { limit: this.#limit }),
      ...(this.#customFilterId === undefined ? {} : { customFilterId: this.#customFilterId }),
    });
  }
}

/** A fresh builder. */
export function standardPlacement(): StandardPlacementBuilder {
  return new StandardPlacementBuilder();
}

let filterCount = 0;

/** Gives a filter an id: the explicit one, or `pf-1`, `pf-2`, … */
export function placementFilterFromFn(fn: PlacementFilterFn, explicitId?: string | null): RegisteredPlacementFilter {
  return { id: explicitId ?? `pf-${++filterCount}`, fn };
}

/** Custom filters by id. A filter in use finishes with its old function. */
export class PlacementFilterRegistry {
  readonly #filters = new Map<string, PlacementFilterFn>();
  readonly #report: (id: string, error: unknown) => void;

  /** `report` hears of filters that throw and of ids without a filter; by default they are printed to stderr. */
  constructor(report?: (id: string, error: unknown) => void) {
    this.#report = report ?? ((id, error) => console.error(`TsfnPlacementFilter[${id}]:`, error));
  }

  /** Adds a filter; `false` when the id is taken. */
  register(id: string, fn: PlacementFilterFn): boolean {
    if (this.#filters.has(id)) return false;
    this.#filters.set(id, fn);
    return true;
  }

  /** Removes a filter; `false` when there is none. */
  unregister(id: string): boolean {
    return this.#filters.delete(id);
  }

  /** Whether there is a filter of this id. */
  has(id: string): boolean {
    return this.#filters.has(id);
  }

  /** Whether the filter of this id accepts. A missing filter, a throw, and anything but `true` refuse. */
  accepts(id: string, candidate: CandidateView): boolean {
    const fn = this.#filters.get(id);
    if (!fn) {
      this.#report(id, toolkitError(`no placement filter "${id}" is registered: register it before it is used`));
      return false;
    }
    try {
      return (
        fn({
          nodeId: candidate.nodeId,
          tags: [...candidate.tags],
          metadata: { ...candidate.metadata },
        }) === true
      );
    } catch (error) {
      this.#report(id, error);
      return false;
    }
  }
}

/** The filters of this process: those of `registerPlacementFilter` of any of its nodes. */
export const placementFilters = new PlacementFilterRegistry();

const sense = (tag: string): string => (tag === '' ? '' : semanticTag(parseWireTag(tag)));

/**
 * The candidates that a configuration admits, smallest node id first (an addition of ours). `filters` is where the custom
 * filter is looked up; by default among those that were registered on a node of this process.
 */
export function selectCandidates<T extends CandidateView>(
  placement: StandardPlacement,
  candidates: Iterable<T>,
  filters: PlacementFilterRegistry = placementFilters,
): T[] {
  const { requireMetadata = {}, predicate, limit, customFilterId } = placement;
  const requireTags = (placement.requireTags ?? []).map(sense);
  const forbidTags = (placement.forbidTags ?? []).map(sense);
  const compiled = predicate && compilePredicate(predicateFromWire(predicate));
  const chosen = [...candidates].filter((candidate) => {
    const tags = new Set(requireTags.length + forbidTags.length > 0 ? candidate.tags.map(sense) : []);
    return (
      requireTags.every((tag) => tags.has(tag)) &&
      !forbidTags.some((tag) => tags.has(tag)) &&
      Object.entries(requireMetadata).every(
        ([key, value]) => Object.hasOwn(candidate.metadata, key) && candidate.metadata[key] === value,
      ) &&
      (compiled === undefined ||
        compiled.matches(candidate.prepared ?? prepareCapabilities(candidate.tags, candidate.metadata)))
    );
  });
  chosen.sort((a, b) => (a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0));
  const accepted: T[] = [];
  for (const candidate of chosen) {
    if (limit !== undefined && accepted.length >= limit) break;
    if (customFilterId === undefined || filters.accepts(customFilterId, candidate)) accepted.push(candidate);
  }
  return accepted;
}
