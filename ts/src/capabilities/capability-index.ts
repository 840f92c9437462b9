/** The incremental index of announcements, and queries over it (40 §8–§10). */
import {
  compilePredicate,
  type Predicate,
  type PreparedCapabilities,
  prepareCapabilities,
  type StandardPlacement,
  selectCandidates,
} from '../capability-toolkit/index.js';
import { originHashOf } from '../identity/index.js';
import type { Announcement } from './announcement.js';
import { type Requirements, requirementsOf, viewSatisfies } from './filter.js';
import { type NodeScope, scopeOf, scopeTest } from './scope.js';
import type { CapabilityFilter, ScopeFilter } from './types.js';
import { type CapabilityView, viewOf } from './view.js';

/** Clock of an index. */
export interface IndexClock {
  /** Unix time in nanoseconds. */
  wallNs(): bigint;
  /** Milliseconds that never go back. */
  monotonicMs(): number;
}

/** The host's clocks. */
export const HOST_CLOCK: IndexClock = {
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
  monotonicMs: () => performance.now(),
};

/** Options of an index. */
export interface CapabilityIndexOptions {
  readonly clock?: IndexClock;
  /** Most nodes; default 65,536. Beyond, the nodes that were refreshed longest ago go (a 64th at a time), direct peers last. */
  readonly maxNodes?: number;
  /** Id of this node: it is in its own subnet. */
  readonly ownNodeId?: bigint;
  /** Whether another node is in this node's subnet; default: none is. */
  readonly sameSubnet?: (nodeId: bigint) => boolean;
}

/** What is known about a node. */
export interface IndexedNode {
  readonly nodeId: bigint;
  readonly entityId: Uint8Array;
  readonly version: bigint;
  /** In UTF-8 order. */
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly reflexAddr: string | undefined;
}

/** Metadata as an object without a prototype, so that every name is data. */
function plainMetadata(metadata: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  return Object.freeze(Object.assign(Object.create(null) as Record<string, string>, Object.fromEntries(metadata)));
}

const NO_METADATA = plainMetadata(new Map());

class Entry implements IndexedNode {
  readonly nodeId: bigint;
  readonly entityId: Uint8Array;
  readonly version: bigint;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly reflexAddr: string | undefined;
  /** Low 32 bits of the origin hash. */
  readonly origin: number;
  readonly view: CapabilityView;
  #scope: NodeScope | undefined;
  #prepared: PreparedCapabilities | undefined;

  constructor(
    a: Announcement,
    readonly direct: boolean,
    readonly bornMs: number,
    readonly lifeMs: number,
    /** What was known of the node before: what follows from equal tags and keys is taken over. */
    before?: Entry,
  ) {
    this.nodeId = a.nodeId;
    this.entityId = a.entityId;
    this.version = a.version;
    const sameTags = before?.hasTags(a.tags) ?? false;
    this.tags = before && sameTags ? before.tags : a.tags;
    this.metadata = a.metadata.size === 0 ? NO_METADATA : plainMetadata(a.metadata);
    this.reflexAddr = a.reflexAddr;
    this.origin = before?.hasEntity(a.entityId) ? before.origin : Number(originHashOf(a.entityId) & 0xffff_ffffn);
    if (before && sameTags) {
      this.view = before.view;
      this.#scope = before.#scope;
    } else this.view = viewOf(a.tags);
  }

  hasEntity(entityId: Uint8Array): boolean {
    return entityId.length === this.entityId.length && this.entityId.every((byte, i) => byte === entityId[i]);
  }

  hasTags(tags: readonly string[]): boolean {
    return tags.length === this.tags.length && this.tags.every((tag, i) => tag === tags[i]);
  }

  get scope(): NodeScope {
    this.#scope ??= scopeOf(this.tags);
    return this.#scope;
  }

  get prepared(): PreparedCapabilities {
    this.#prepared ??= prepareCapabilities(this.tags, this.metadata);
    return this.#prepared;
  }

  /** An entry of 0 seconds lives until the next sweep. */
  isVisible(nowMs: number): boolean {
    return this.lifeMs === 0 || nowMs - this.bornMs < this.lifeMs;
  }
}

/** A node's place in the sets, which stays while its announcements come and go. */
interface Slot {
  entry: Entry;
}

/** Sets by name; empty ones are removed. */
class Inverted<K> {
  readonly #sets = new Map<K, Set<Slot>>();

  add(key: K, slot: Slot): void {
    const set = this.#sets.get(key);
    if (set) set.add(slot);
    else this.#sets.set(key, new Set([slot]));
  }

  remove(key: K, slot: Slot): void {
    const set = this.#sets.get(key);
    if (set?.delete(slot) && set.size === 0) this.#sets.delete(key);
  }

  get(key: K): ReadonlySet<Slot> {
    return this.#sets.get(key) ?? NOBODY;
  }

  get size(): number {
    return this.#sets.size;
  }
}

const NOBODY: ReadonlySet<Slot> = new Set();
const NS_PER_SECOND = 1_000_000_000n;

/** What a node knows about the others, by announcement. Queries are synchronous and never return expired entries. */
export class CapabilityIndex {
  readonly #slots = new Map<bigint, Slot>();
  readonly #byTag = new Inverted<string>();
  readonly #byModel = new Inverted<string>();
  readonly #byTool = new Inverted<string>();
  readonly #byOrigin = new Inverted<number>();
  readonly #clock: IndexClock;
  readonly #maxNodes: number;
  readonly #options: CapabilityIndexOptions;
  #mutations = 0n;
  #ambiguous = 0;

  constructor(options: CapabilityIndexOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? HOST_CLOCK;
    this.#maxNodes = options.maxNodes ?? 65_536;
  }

  /** Number of entries, expired ones that were not swept yet included. */
  get size(): number {
    return this.#slots.size;
  }

  /** Grows by one with every change. */
  get mutationVersion(): bigint {
    return this.#mutations;
  }

  /** How often a second node claimed the low 32 bits of an origin hash. */
  get originCollisions(): number {
    return this.#ambiguous;
  }

  /** Number of distinct tags, models and tools in the index. */
  get termCount(): number {
    return this.#byTag.size + this.#byModel.size + this.#byTool.size;
  }

  /**
   * Takes an announcement in: `false` when it has expired or is no newer than what is known. It lives for its rest of
   * life at most, so a replay never extends it.
   */
  index(a: Announcement, direct = false): boolean {
    const wall = this.#clock.wallNs();
    const age = wall > a.timestampNs ? (wall - a.timestampNs) / NS_PER_SECOND : 0n;
    const left = BigInt(a.ttlSecs) - age;
    if (a.ttlSecs > 0 && left <= 0n) return false;
    const slot = this.#slots.get(a.nodeId);
    const known = slot?.entry;
    if (known && a.version <= known.version) return false;
    const entry = new Entry(a, direct, this.#clock.monotonicMs(), a.ttlSecs === 0 ? 0 : Number(left) * 1000, known);
    if (slot && known) {
      // Equal tags are taken over as they are.
      const sameTerms = known.tags === entry.tags && known.origin === entry.origin;
      const sameOrigin = known.origin === entry.origin;
      if (!sameTerms) this.#unlink(slot, sameOrigin);
      slot.entry = entry;
      if (!sameTerms) this.#link(slot, sameOrigin);
      // Moved to the end: the map is in order of refreshment.
      this.#slots.delete(a.nodeId);
      this.#slots.set(a.nodeId, slot);
    } else {
      if (this.#slots.size >= this.#maxNodes) this.#makeRoom();
      const fresh: Slot = { entry };
      this.#slots.set(a.nodeId, fresh);
      this.#link(fresh);
    }
    this.#mutations += 1n;
    return true;
  }

  /** Forgets a node, its version included. */
  remove(nodeId: bigint): boolean {
    const slot = this.#slots.get(nodeId);
    if (!slot) return false;
    this.#unlink(slot);
    this.#slots.delete(nodeId);
    this.#mutations += 1n;
    return true;
  }

  /** Removes every entry whose life is over; returns the ids. */
  sweep(): bigint[] {
    const now = this.#clock.monotonicMs();
    const gone: bigint[] = [];
    for (const { entry } of this.#slots.values()) if (now - entry.bornMs >= entry.lifeMs) gone.push(entry.nodeId);
    for (const nodeId of gone) this.remove(nodeId);
    return gone;
  }

  /** What is known about a node now. */
  get(nodeId: bigint): IndexedNode | undefined {
    const entry = this.#slots.get(nodeId)?.entry;
    return entry?.isVisible(this.#clock.monotonicMs()) ? entry : undefined;
  }

  /** The node of an origin hash (low 32 bits), when exactly one claims it. */
  byOrigin(origin: number): IndexedNode | 'ambiguous' | undefined {
    const now = this.#clock.monotonicMs();
    const claimants = [...this.#byOrigin.get(origin >>> 0)]
      .map(({ entry }) => entry)
      .filter((entry) => entry.isVisible(now));
    return claimants.length > 1 ? 'ambiguous' : claimants[0];
  }

  /** Ids of the nodes that satisfy a filter, in no particular order. */
  findNodes(filter: CapabilityFilter): bigint[] {
    const found: bigint[] = [];
    this.#each(requirementsOf(filter), (entry) => found.push(entry.nodeId));
    return found;
  }

  /** The same, narrowed to a scope: by default whatever is not local to a subnet. */
  findNodesScoped(filter: CapabilityFilter, scope: ScopeFilter = { kind: 'any' }): bigint[] {
    const inScope = scopeTest(
      scope,
      (id) => id === this.#options.ownNodeId || (this.#options.sameSubnet?.(id) ?? false),
    );
    const found: bigint[] = [];
    this.#each(requirementsOf(filter), (entry) => {
      if (inScope(entry.scope, entry.nodeId)) found.push(entry.nodeId);
    });
    return found;
  }

  /** Ids of the nodes whose tags and metadata satisfy a predicate (an addition of ours). */
  findNodesMatching(predicate: Predicate): bigint[] {
    const compiled = compilePredicate(predicate);
    const now = this.#clock.monotonicMs();
    const found: bigint[] = [];
    for (const { entry } of this.#slots.values()) {
      if (entry.isVisible(now) && compiled.matches(entry.prepared)) found.push(entry.nodeId);
    }
    return found;
  }

  /**
   * Ids of the nodes that a placement admits, smallest first (an addition of ours). A custom filter is looked up among those
   * of this process. Time grows with the number of nodes.
   */
  selectNodes(placement: StandardPlacement): bigint[] {
    const now = this.#clock.monotonicMs();
    const visible: Entry[] = [];
    for (const { entry } of this.#slots.values()) if (entry.isVisible(now)) visible.push(entry);
    return selectCandidates(placement, visible).map(({ nodeId }) => nodeId);
  }

  /** The node that satisfies a filter best; the smallest id of equal ones. Weights in [0, 1]. */
  findBestNode(
    filter: CapabilityFilter,
    weights: { memory?: number; vram?: number; speed?: number; loaded?: number } = {},
  ): { nodeId: bigint; score: number } | undefined {
    const weight = (value = 0) => (value > 0 ? Math.min(1, value) : 0);
    let best: { nodeId: bigint; score: number } | undefined;
    this.#each(requirementsOf(filter), ({ nodeId, view }) => {
      const { models } = view;
      const speed = models.reduce((most, model) => Math.max(most, model.tokensPerSec), 0);
      const loaded = models.length === 0 ? 0 : models.filter((model) => model.loaded).length / models.length;
      const score =
        1 +
        weight(weights.memory) * Math.min(view.memoryGb / 256, 1) +
        weight(weights.vram) * Math.min(view.vramGb / 80, 1) +
        weight(weights.speed) * Math.min(speed / 1000, 1) +
        weight(weights.loaded) * loaded;
      if (!best || score > best.score || (score === best.score && nodeId < best.nodeId)) best = { nodeId, score };
    });
    return best;
  }

  /** Calls `found` for every visible entry that satisfies the requirements, starting from the smallest set. */
  #each(need: Requirements, found: (entry: Entry) => void): void {
    const sets = need.tags.map((tag) => this.#byTag.get(tag));
    if (need.gpu) sets.push(this.#byTag.get('hardware.gpu'));
    sets.sort((a, b) => a.size - b.size);
    const any = [need.models.map((id) => this.#byModel.get(id)), need.tools.map((id) => this.#byTool.get(id))].filter(
      (choices) => choices.length > 0,
    );
    const [smallest = undefined, ...others] = sets;
    const candidates = smallest ?? (any[0] ? union(any[0]) : this.#slots.values());
    const plain =
      need.minMemoryMb === undefined &&
      need.minContextLength === undefined &&
      need.modalities.length === 0 &&
      !need.gpu;
    const now = this.#clock.monotonicMs();
    candidate: for (const slot of candidates) {
      for (const other of others) if (!other.has(slot)) continue candidate;
      for (const choices of any) if (!choices.some((choice) => choice.has(slot))) continue candidate;
      const { entry } = slot;
      if (!entry.isVisible(now)) continue;
      if (plain || viewSatisfies(need, entry.view, true)) found(entry);
    }
  }

  /** `keepsOrigin`: the node claims its origin as before, so nobody new claims it. */
  #link(slot: Slot, keepsOrigin = false): void {
    const { origin, tags, view } = slot.entry;
    for (const tag of tags) this.#byTag.add(tag, slot);
    for (const id of view.modelIds) this.#byModel.add(id, slot);
    for (const id of view.toolIds) this.#byTool.add(id, slot);
    if (keepsOrigin) return;
    this.#byOrigin.add(origin, slot);
    if (this.#byOrigin.get(origin).size === 2) this.#ambiguous += 1;
  }

  #unlink(slot: Slot, keepsOrigin = false): void {
    const { origin, tags, view } = slot.entry;
    for (const tag of tags) this.#byTag.remove(tag, slot);
    for (const id of view.modelIds) this.#byModel.remove(id, slot);
    for (const id of view.toolIds) this.#byTool.remove(id, slot);
    if (!keepsOrigin) this.#byOrigin.remove(origin, slot);
  }

  /** Several at once, so that a full index does not look for room at every new node. */
  #makeRoom(): void {
    const wanted = Math.max(1, Math.floor(this.#maxNodes / 64));
    const victims: bigint[] = [];
    for (const keepsDirect of [true, false]) {
      for (const { entry } of this.#slots.values()) {
        if (victims.length === wanted) break;
        if (keepsDirect === (entry.direct || entry.nodeId === this.#options.ownNodeId)) continue;
        victims.push(entry.nodeId);
      }
    }
    for (const nodeId of victims) this.remove(nodeId);
  }
}

function union(sets: readonly ReadonlySet<Slot>[]): Set<Slot> {
  const all = new Set<Slot>();
  for (const set of sets) for (const slot of set) all.add(slot);
  return all;
}
