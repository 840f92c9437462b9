/** What happens to a received announcement: checks, forwarding, indexing (40 §7). */
import { METADATA_RESERVED_KEYS, METADATA_RESERVED_PREFIXES } from '../capability-toolkit/index.js';
import {
  type Announcement,
  decodeAnnouncement,
  encodeAnnouncement,
  hasDerivedNodeId,
  MAX_HOPS,
  peekAnnouncement,
  verifyAnnouncement,
} from './announcement.js';
import { type CapabilityIndex, HOST_CLOCK, type IndexClock } from './capability-index.js';
import { makeRoom } from './oldest.js';

/** Why an announcement was dropped. */
export type DropReason =
  | 'malformed'
  | 'not-the-announcer'
  | 'own'
  | 'seen'
  | 'unsigned'
  | 'bad-signature'
  | 'wrong-node-id'
  | 'wrong-entity';

/** Outcome of one announcement. */
export type IntakeResult =
  | { readonly dropped: DropReason }
  | {
      readonly dropped: undefined;
      readonly announcement: Announcement;
      /** Whether it is in the index now. */
      readonly indexed: boolean;
      /** Whether a signature was there and right. */
      readonly verified: boolean;
      /** Whether it came from the announcer itself, verified: its entity and subnet may be derived from it. */
      readonly pins: boolean;
      /** Bytes for the other peers, or `undefined` when it has travelled far enough. */
      readonly forward: Uint8Array | undefined;
    };

/** Options of an intake. */
export interface IntakeOptions {
  readonly ownNodeId: bigint;
  readonly index: CapabilityIndex;
  /** Default true. */
  readonly requireSigned?: boolean;
  readonly clock?: IndexClock;
  /** Most remembered announcements; default 131,072. */
  readonly maxSeen?: number;
}

/** How long an announcement is remembered, in milliseconds. */
export const SEEN_MS = 600_000;
/** Most tags `heat:blob:` that the index keeps of one announcement. */
export const MAX_BLOB_HEAT_TAGS = 256;

/** The gate between the sessions and the index: remembers what it saw and who speaks for which session. */
export class AnnouncementIntake {
  readonly #options: IntakeOptions;
  readonly #clock: IndexClock;
  readonly #seen = new Map<string, number>();
  readonly #entities = new Map<bigint, Uint8Array>();
  /** Version of the last announcement that came from its maker. */
  readonly #versions = new Map<bigint, bigint>();
  readonly #drops = new Map<DropReason, number>();

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#clock = options.clock ?? HOST_CLOCK;
  }

  /** How many announcements were dropped, by reason. */
  get drops(): ReadonlyMap<DropReason, number> {
    return this.#drops;
  }

  /** Entity that a session peer proved to be, if it announced itself. */
  entityOf(peer: bigint): Uint8Array | undefined {
    return this.#entities.get(peer);
  }

  /** Handles the payload of one event that came over the session with `from`. */
  receive(payload: Uint8Array, from: bigint): IntakeResult {
    const result = this.#receive(payload, from);
    if (result.dropped !== undefined) this.#drops.set(result.dropped, (this.#drops.get(result.dropped) ?? 0) + 1);
    return result;
  }

  #receive(payload: Uint8Array, from: bigint): IntakeResult {
    // Most of what arrives in a mesh are further copies over other ways.
    const peek = peekAnnouncement(payload);
    if (peek && this.#seen.has(`${peek.key}:${peek.direct}`)) return { dropped: 'seen' };
    const a = decodeAnnouncement(payload);
    if (!a) return { dropped: 'malformed' };
    const direct = a.hopCount === 0;
    if (direct && a.nodeId !== from) return { dropped: 'not-the-announcer' };
    if (a.nodeId === this.#options.ownNodeId) return { dropped: 'own' };
    // A relayed copy must not hide the direct one, which alone proves who the peer is.
    const key = `${a.nodeId}:${a.version}:${direct}`;
    if (this.#seen.has(key)) return { dropped: 'seen' };
    const verified = a.signature !== undefined;
    if (!verified && (this.#options.requireSigned ?? true)) return { dropped: 'unsigned' };
    if (verified && !verifyAnnouncement(a)) return { dropped: 'bad-signature' };
    if (!this.#isKnownKey(a) && !hasDerivedNodeId(a)) return { dropped: 'wrong-node-id' };
    const pins = verified && direct;
    if (pins) {
      const pinned = this.#entities.get(from);
      if (pinned && !pinned.every((byte, i) => byte === a.entityId[i])) return { dropped: 'wrong-entity' };
      this.#entities.set(from, a.entityId);
    }
    this.#remember(key);
    if (direct) this.#versions.set(from, a.version);
    const forward = a.hopCount < MAX_HOPS ? encodeAnnouncement({ ...a, hopCount: a.hopCount + 1 }) : undefined;
    const indexed = this.#options.index.index(localCopy(a), direct);
    return { dropped: undefined, announcement: a, indexed, verified, pins, forward };
  }

  /** What is in the index came through the same checks: the id follows from the key. */
  #isKnownKey({ nodeId, entityId }: Announcement): boolean {
    const known = this.#options.index.get(nodeId)?.entityId;
    return known?.every((byte, i) => byte === entityId[i]) ?? false;
  }

  /** Forgets a failed peer: its entity, and its entry in the index. */
  peerFailed(peer: bigint): void {
    this.#entities.delete(peer);
    this.#options.index.remove(peer);
  }

  /** A session with a peer begins: what it said in an earlier one counts as never seen, its version included. */
  sessionOpened(peer: bigint): void {
    if (this.#unsee(peer)) this.#options.index.remove(peer);
  }

  /** Takes an announcement that was received before: its maker was silent for a while and is back. A newer one stays. */
  restore(payload: Uint8Array, from: bigint): IntakeResult {
    this.#unsee(from);
    return this.receive(payload, from);
  }

  #unsee(peer: bigint): boolean {
    const version = this.#versions.get(peer);
    if (version === undefined) return false;
    for (const direct of [true, false]) this.#seen.delete(`${peer}:${version}:${direct}`);
    return this.#versions.delete(peer);
  }

  /** Removes what is over: entries of the index, and announcements seen more than ten minutes ago. */
  sweep(): void {
    this.#options.index.sweep();
    const limit = this.#clock.monotonicMs() - SEEN_MS;
    for (const [key, at] of this.#seen) {
      if (at > limit) break; // in order of time
      this.#seen.delete(key);
    }
    for (const [peer, version] of this.#versions) {
      if (!this.#seen.has(`${peer}:${version}:true`)) this.#versions.delete(peer);
    }
  }

  #remember(key: string): void {
    const { maxSeen = 131_072 } = this.#options;
    makeRoom(this.#seen, maxSeen);
    this.#seen.set(key, this.#clock.monotonicMs());
  }
}

/** What the index may know: no reserved metadata, heat only of chains that the node holds, and not too much of it. */
export function localCopy(a: Announcement): Announcement {
  const metadata = new Map(
    [...a.metadata].filter(
      ([key]) =>
        !METADATA_RESERVED_KEYS.includes(key) && !METADATA_RESERVED_PREFIXES.some((prefix) => key.startsWith(prefix)),
    ),
  );
  if (!a.tags.some((tag) => tag.startsWith('heat:'))) return { ...a, metadata };
  let blobs = 0;
  const tags = a.tags.filter((tag) => {
    if (!tag.startsWith('heat:')) return true;
    if (tag.startsWith('heat:blob:')) return ++blobs <= MAX_BLOB_HEAT_TAGS;
    const chain = `causal:${tag.slice('heat:'.length).split('=', 1)[0] ?? ''}`;
    return a.tags.some((other) => other.startsWith(chain));
  });
  return { ...a, metadata, tags };
}
