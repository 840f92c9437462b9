/**
 * What goes out to each peer, at a rate that its intake takes. No I/O and no timer: the owner asks `poll` at the `deadline`
 * and after every `add`. An announcement replaces an older one of the same node that still waits. Peers that acknowledge
 * nothing get each announcement again, later and later: they know a copy by its version, and a copy may have been lost.
 */
import { HOST_CLOCK, type IndexClock } from './capability-index.js';
import { makeRoom } from './oldest.js';

/** Announcements that one peer is sent per second; a burst may be as large. Half of what its intake takes. */
export const SENT_PER_SECOND = 1000;
/** After how long an announcement is said again to peers that do not acknowledge, in milliseconds from the last time. */
export const REPEAT_AFTER_MS: readonly number[] = [1000, 3000, 9000];
/** How often peers at their rate are looked at, in milliseconds. */
const LOOK_MS = 50;
/** Announcements that may wait for one peer; the oldest go. */
const MAX_WAITING = 65_536;
/** Announcements that may wait to be said again, to all peers together; beyond, one is said once. */
const MAX_REPEATS = 65_536;

/** Options of an outbox. */
export interface OutboxOptions {
  /** Sends one announcement; `false` when it could not be sent. */
  readonly send: (peer: bigint, bytes: Uint8Array) => boolean;
  readonly clock?: IndexClock;
}

interface Lane {
  /** By node that announced, oldest first. */
  readonly waiting: Map<bigint, Uint8Array>;
  /** Latest bytes said to a peer that does not acknowledge, by node that announced. */
  readonly said: Map<bigint, Uint8Array>;
  readonly acknowledges: boolean;
  /** Whether the peer is silent: what it should know waits until it speaks again. */
  paused: boolean;
  tokens: number;
  atMs: number;
}

interface Repeat {
  readonly peer: bigint;
  readonly origin: bigint;
  readonly bytes: Uint8Array;
  readonly dueMs: number;
}

/** Announcements on their way to the peers of one node. */
export class Outbox {
  readonly #send: OutboxOptions['send'];
  readonly #clock: IndexClock;
  readonly #lanes = new Map<bigint, Lane>();
  /** Lanes in which something waits. */
  readonly #busy = new Set<bigint>();
  /** When they are looked at again. */
  #busyDueMs = 0;
  /** One queue a stage: all of its entries wait equally long, so that it is in order of time. */
  readonly #stages: Repeat[][] = REPEAT_AFTER_MS.map(() => []);
  #repeats = 0;

  constructor(options: OutboxOptions) {
    this.#send = options.send;
    this.#clock = options.clock ?? HOST_CLOCK;
  }

  /** Announcements that wait, first times and repetitions. */
  get size(): number {
    let size = this.#repeats;
    for (const { waiting } of this.#lanes.values()) size += waiting.size;
    return size;
  }

  /** A session began. `acknowledges`: whether it delivers messages for sure while it lasts. */
  open(peer: bigint, acknowledges: boolean): void {
    this.close(peer);
    this.#lanes.set(peer, {
      waiting: new Map(),
      said: new Map(),
      acknowledges,
      paused: false,
      tokens: SENT_PER_SECOND,
      atMs: this.#clock.monotonicMs(),
    });
  }

  /** A session ended. */
  close(peer: bigint): void {
    this.#lanes.delete(peer);
    this.#busy.delete(peer);
  }

  /** A peer is silent. Of each node only the latest announcement waits for it. */
  pause(peer: bigint): void {
    const lane = this.#lanes.get(peer);
    if (lane) lane.paused = true;
    this.#busy.delete(peer);
  }

  /** A silent peer speaks again; `poll` sends what it has missed. */
  resume(peer: bigint): void {
    const lane = this.#lanes.get(peer);
    if (!lane) return;
    lane.paused = false;
    if (lane.waiting.size > 0) this.#wait(peer);
  }

  /** Sends the announcement of `origin` to a peer as soon as its rate allows. Nothing without a session. */
  add(peer: bigint, origin: bigint, bytes: Uint8Array): void {
    const lane = this.#lanes.get(peer);
    if (!lane) return;
    if (!lane.paused && lane.waiting.size === 0 && this.#token(lane)) {
      this.#say(peer, lane, origin, bytes, 0);
      return;
    }
    this.#hold(lane, origin, bytes);
    if (!lane.paused) this.#wait(peer);
  }

  #hold(lane: Lane, origin: bigint, bytes: Uint8Array): void {
    makeRoom(lane.waiting, MAX_WAITING);
    lane.waiting.set(origin, bytes);
  }

  #wait(peer: bigint): void {
    if (this.#busy.size === 0) this.#busyDueMs = this.#clock.monotonicMs() + LOOK_MS;
    this.#busy.add(peer);
  }

  /** Sends what is due. */
  poll(): void {
    const now = this.#clock.monotonicMs();
    for (const [stage, queue] of this.#stages.entries()) {
      let done = 0;
      for (; done < queue.length; done++) {
        const { peer, origin, bytes, dueMs } = queue[done] as Repeat;
        if (dueMs > now) break;
        this.#repeats -= 1;
        const lane = this.#lanes.get(peer);
        // Replaced by a newer one, or the session is another.
        if (lane?.said.get(origin) !== bytes) continue;
        if (!lane.paused) {
          this.#say(peer, lane, origin, bytes, stage + 1);
          continue;
        }
        lane.said.delete(origin);
        if (!lane.waiting.has(origin)) this.#hold(lane, origin, bytes);
      }
      queue.splice(0, done);
    }
    for (const peer of this.#busy) {
      const lane = this.#lanes.get(peer);
      for (const [origin, bytes] of lane?.waiting ?? []) {
        if (!lane || !this.#token(lane)) break;
        lane.waiting.delete(origin);
        this.#say(peer, lane, origin, bytes, 0);
      }
      if (!lane || lane.waiting.size === 0) this.#busy.delete(peer);
    }
    this.#busyDueMs = now + LOOK_MS;
  }

  /** When `poll` has something to do next, in the clock's milliseconds. */
  deadline(): number | undefined {
    let first: number | undefined;
    for (const [next] of this.#stages) if (next && next.dueMs < (first ?? Number.POSITIVE_INFINITY)) first = next.dueMs;
    if (this.#busy.size > 0) first = Math.min(first ?? Number.POSITIVE_INFINITY, this.#busyDueMs);
    return first;
  }

  #token(lane: Lane): boolean {
    const now = this.#clock.monotonicMs();
    lane.tokens = Math.min(SENT_PER_SECOND, lane.tokens + ((now - lane.atMs) * SENT_PER_SECOND) / 1000);
    lane.atMs = now;
    if (lane.tokens < 1) return false;
    lane.tokens -= 1;
    return true;
  }

  #say(peer: bigint, lane: Lane, origin: bigint, bytes: Uint8Array, stage: number): void {
    const sent = this.#send(peer, bytes);
    const wait = REPEAT_AFTER_MS[stage];
    if ((sent && lane.acknowledges) || wait === undefined || this.#repeats >= MAX_REPEATS) {
      lane.said.delete(origin);
      return;
    }
    lane.said.set(origin, bytes);
    this.#stages[stage]?.push({ peer, origin, bytes, dueMs: this.#clock.monotonicMs() + wait });
    this.#repeats += 1;
  }
}
