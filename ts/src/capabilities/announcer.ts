/**
 * When a node says what about itself (40 §6, §16). No I/O and no timer: the owner asks `poll` at the `deadline`, after
 * every change, and sends what it gets to all peers.
 */
import { MeshringError } from '../errors.js';
import {
  ANNOUNCEMENT_TTL_SECS,
  type Announcement,
  type AnnouncementSigner,
  encodeAnnouncement,
  MAX_OWN_ANNOUNCEMENT_BYTES,
  signAnnouncement,
} from './announcement.js';
import { HOST_CLOCK, type IndexClock } from './capability-index.js';
import { announcedTags, type NatClass, projectCapabilities } from './project.js';
import type { CapabilitySet } from './types.js';

/** Shortest time between two broadcasts, in milliseconds. */
export const MIN_BROADCAST_MS = 10_000;

/** Options of an announcer. */
export interface AnnouncerOptions {
  /** Who announces. */
  readonly identity: AnnouncementSigner & { readonly nodeId: bigint; readonly entityId: Uint8Array };
  readonly clock?: IndexClock;
  /** Life of the announcements in seconds, 1..2^32−1, default 300. They are renewed after half of it. */
  readonly ttlSecs?: number;
}

/** What is announced besides that. */
interface Around {
  readonly services: readonly string[];
  readonly nat: NatClass;
  readonly reflexAddr: string | undefined;
}

/** What the node itself put into its announcements. */
interface Baseline {
  readonly tags: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Life in seconds. */
  readonly ttlSecs: number;
}

/** Makes the announcements of one node: versions, signatures, the rate limit, renewals. */
export class Announcer {
  readonly #identity: AnnouncerOptions['identity'];
  readonly #clock: IndexClock;
  readonly #ttlSecs: number;
  #baseline: Baseline | undefined;
  #around: Around = { services: [], nat: 'unknown', reflexAddr: undefined };
  /** The same as it was announced last. */
  #said = this.#around;
  #shortened = 0;
  #version = 0n;
  #latest: { readonly announcement: Announcement; readonly bytes: Uint8Array; readonly madeMs: number } | undefined;
  /** Whether the latest announcement still has to be broadcast. */
  #pending = false;
  #broadcastMs = Number.NEGATIVE_INFINITY;

  constructor(options: AnnouncerOptions) {
    this.#identity = options.identity;
    this.#clock = options.clock ?? HOST_CLOCK;
    this.#ttlSecs = options.ttlSecs ?? ANNOUNCEMENT_TTL_SECS;
  }

  /** The latest announcement, for the node's own index; `undefined` before the first one. */
  get latest(): Announcement | undefined {
    return this.#latest?.announcement;
  }

  /** Bytes of the latest announcement, for a peer that has just come. */
  get latestBytes(): Uint8Array | undefined {
    return this.#latest?.bytes;
  }

  /**
   * Announces a set. Throws `MeshringError`: `invalid-argument` for wrong types, `too-large` for a set that would not
   * survive the longest way; what was announced before stays then. `ttlSecs`: life of this set, instead of the usual one.
   */
  announce(caps: CapabilitySet, ttlSecs = this.#ttlSecs): Announcement {
    const { tags, metadata } = projectCapabilities(caps);
    return this.#make({ tags, metadata: new Map(Object.entries(metadata)), ttlSecs });
  }

  /** Changes the node's own tags (chains, heat) and announces. Nothing happens before the first `announce`. */
  editTags(edit: (tags: readonly string[]) => string[]): Announcement | undefined {
    return this.#baseline && this.#make({ ...this.#baseline, tags: edit(this.#baseline.tags) });
  }

  /** RPC services that the node serves; announces when they changed. Throws `too-large` and changes nothing then. */
  setServices(services: Iterable<string>): void {
    const next = [...new Set(services)].sort();
    if (next.join('\n') === this.#around.services.join('\n')) return;
    const around = { ...this.#around, services: next };
    if (this.#baseline) this.#make(this.#baseline, around);
    this.#around = around;
  }

  /** How the node is reached from outside; announces at once when it changed, unless there is no room for it (see `shortened`). */
  setNat(nat: NatClass, reflexAddr: string | undefined): void {
    if (nat === this.#around.nat && reflexAddr === this.#around.reflexAddr) return;
    this.#around = { ...this.#around, nat, reflexAddr };
    this.#broadcastMs = Number.NEGATIVE_INFINITY;
    this.renew();
  }

  /** Announces the same again under a new version: after a failed session has recovered, its peer forgot us. */
  renew(): void {
    if (!this.#baseline) return;
    try {
      this.#make(this.#baseline);
    } catch (error) {
      if (!(error instanceof MeshringError) || error.kind !== 'too-large') throw error;
      // Nobody has asked for this, so nobody could be told: what peers know already is said again.
      this.#shortened += 1;
      this.#make(this.#baseline, this.#said);
    }
  }

  /** Announcements whose address and NAT class are old ones, because the new ones would have made them too large. */
  get shortened(): number {
    return this.#shortened;
  }

  /** Bytes to send to all peers now, or `undefined`. */
  poll(): Uint8Array | undefined {
    const now = this.#clock.monotonicMs();
    if (this.#latest && now - this.#latest.madeMs >= this.#renewMs) this.renew();
    if (!this.#pending || now - this.#broadcastMs < MIN_BROADCAST_MS) return undefined;
    this.#pending = false;
    this.#broadcastMs = now;
    return this.#latest?.bytes;
  }

  /** When `poll` has something to do next, in the clock's milliseconds. */
  deadline(): number | undefined {
    if (!this.#latest) return undefined;
    const renewal = this.#latest.madeMs + this.#renewMs;
    return this.#pending ? Math.min(renewal, this.#broadcastMs + MIN_BROADCAST_MS) : renewal;
  }

  get #renewMs(): number {
    return (this.#baseline?.ttlSecs ?? this.#ttlSecs) * 500;
  }

  #make(baseline: Baseline, around = this.#around): Announcement {
    const timestampNs = this.#clock.wallNs();
    // Unix milliseconds: a restarted node is newer than what peers remember of it.
    const byClock = timestampNs / 1_000_000n;
    const version = byClock > this.#version ? byClock : this.#version + 1n;
    const announcement = signAnnouncement(
      {
        nodeId: this.#identity.nodeId,
        entityId: new Uint8Array(this.#identity.entityId),
        version,
        timestampNs,
        ttlSecs: baseline.ttlSecs,
        tags: announcedTags(baseline.tags, around.services, around.nat),
        metadata: baseline.metadata,
        hopCount: 0,
        ...(around.reflexAddr === undefined ? {} : { reflexAddr: around.reflexAddr }),
      },
      this.#identity,
    );
    const bytes = encodeAnnouncement(announcement);
    if (bytes.length > MAX_OWN_ANNOUNCEMENT_BYTES) {
      throw new MeshringError(
        'too-large',
        `capability: announcement is ${bytes.length} bytes, limit ${MAX_OWN_ANNOUNCEMENT_BYTES}`,
      );
    }
    this.#baseline = baseline;
    this.#said = around;
    this.#version = version;
    this.#latest = { announcement, bytes, madeMs: this.#clock.monotonicMs() };
    this.#pending = true;
    return announcement;
  }
}
