/**
 * A page in order of insertion time stamps (10 §5.1.6): the oldest head of all shards comes first, and an event is
 * delivered only while every shard shows its head or is known to have none, so the order holds across pages too.
 */
import type { PagePlan } from './poll.js';
import { MAX_PER_SHARD, type ShardProgress } from './shard-progress.js';
import type { StoredEvent } from './stored-event.js';

/** Least number of events that a shard which ran dry is asked for. */
const MIN_REFILL = 64;

function before(a: ShardProgress, b: ShardProgress): boolean {
  if (a.headHigh !== b.headHigh) return a.headHigh < b.headHigh;
  if (a.headLow !== b.headLow) return a.headLow < b.headLow;
  return a.shard < b.shard;
}

/** See the module. */
export class MergedPage implements PagePlan {
  readonly #shards: readonly ShardProgress[];
  readonly #limit: number;
  readonly #share: number;
  readonly #horizonHigh: number;
  readonly #horizonLow: number;
  /** Binary heap of the shards with a head; the oldest head is at 0. */
  readonly #heap: ShardProgress[] = [];
  readonly #events: StoredEvent[] = [];
  #started = false;
  /** Shards whose next event is not known yet. */
  #dry: readonly ShardProgress[];

  constructor(shards: readonly ShardProgress[], limit: number, overfetch: number, horizon: bigint | undefined) {
    this.#shards = shards;
    this.#limit = limit;
    this.#share = Math.min(Math.ceil(limit / shards.length) * overfetch, limit, MAX_PER_SHARD);
    this.#horizonHigh = horizon === undefined ? Number.POSITIVE_INFINITY : Number(horizon >> 32n);
    this.#horizonLow = horizon === undefined ? 0 : Number(horizon & 0xffffffffn);
    this.#dry = shards;
  }

  next(): boolean {
    if (!this.#started) {
      this.#started = true;
      for (const shard of this.#shards) shard.want = this.#share;
      return true;
    }
    const waiting: ShardProgress[] = [];
    let blocked = false;
    for (const shard of this.#dry) {
      if (shard.taken < shard.count) this.#push(shard);
      else if (shard.readable) waiting.push(shard);
      else blocked ||= shard.stalled;
    }
    this.#dry = waiting;
    if (blocked) return false;
    if (waiting.length === 0) {
      const dry = this.#merge();
      if (!dry) return false;
      this.#dry = [dry];
    }
    const left = this.#limit - this.#events.length;
    const want = Math.min(left, Math.max(MIN_REFILL, 2 * this.#share));
    for (const shard of this.#dry) shard.want = want;
    return true;
  }

  events(): StoredEvent[] {
    return this.#events;
  }

  /** Delivers until the page is full or nothing can follow; answers the shard that must be read first to go on. */
  #merge(): ShardProgress | undefined {
    const heap = this.#heap;
    const events = this.#events;
    while (events.length < this.#limit) {
      const oldest = heap[0];
      if (!oldest || this.#beyondHorizon(oldest)) return undefined;
      events.push(oldest.take());
      if (oldest.taken < oldest.count) {
        this.#siftDown();
        continue;
      }
      this.#pop();
      if (oldest.readable) return events.length < this.#limit ? oldest : undefined;
      if (oldest.stalled) return undefined;
    }
    return undefined;
  }

  #beyondHorizon(shard: ShardProgress): boolean {
    if (shard.headHigh !== this.#horizonHigh) return shard.headHigh > this.#horizonHigh;
    return shard.headLow > this.#horizonLow;
  }

  #push(shard: ShardProgress): void {
    const heap = this.#heap;
    let at = heap.push(shard) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent];
      if (!other || !before(shard, other)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = shard;
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (!last || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#siftDown();
  }

  /** Puts the root where it belongs. */
  #siftDown(): void {
    const heap = this.#heap;
    const shard = heap[0];
    if (!shard) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      let smaller = heap[child];
      if (!smaller) break;
      const right = heap[child + 1];
      if (right && before(right, smaller)) {
        smaller = right;
        child += 1;
      }
      if (!before(smaller, shard)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = shard;
  }
}
