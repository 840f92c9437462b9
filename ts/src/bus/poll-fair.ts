/** A page without order between shards: each gets its share, what is left goes to those that have more (10 §5.1.5). */
import type { PagePlan } from './poll.js';
import { MAX_PER_SHARD, type ShardProgress } from './shard-progress.js';
import type { StoredEvent } from './stored-event.js';

/**
 * A number that depends on the positions alone: the same cursor gives the same page, and the shard that is served first
 * when the page has fewer places than shards changes from page to page.
 */
function rotation(shards: readonly ShardProgress[]): number {
  let hash = 0x811c9dc5;
  for (const { start, shard } of shards) {
    if (start === undefined) continue;
    for (let i = 0; i < start.length; i++) hash = Math.imul(hash ^ start.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ shard, 0x01000193);
  }
  // The low bits of the hash alone are weak.
  hash ^= hash >>> 15;
  return (hash >>> 0) % shards.length;
}

/** See the module. */
export class FairPage implements PagePlan {
  readonly #shards: readonly ShardProgress[];
  readonly #limit: number;
  readonly #overfetch: number;
  #started = false;

  constructor(shards: readonly ShardProgress[], limit: number, overfetch: number) {
    this.#shards = shards;
    this.#limit = limit;
    this.#overfetch = overfetch;
  }

  next(): boolean {
    if (!this.#started) {
      this.#started = true;
      const share = Math.ceil(this.#limit / this.#shards.length);
      const want = Math.min(share * this.#overfetch, this.#limit, MAX_PER_SHARD);
      for (const shard of this.#shards) shard.want = want;
      return true;
    }
    let missing = this.#limit;
    let readable = 0;
    for (const shard of this.#shards) {
      missing -= shard.count;
      if (shard.readable) readable += 1;
    }
    if (missing <= 0 || readable === 0) return false;
    const want = Math.ceil(missing / readable);
    for (const shard of this.#shards) if (shard.readable) shard.want = want;
    return true;
  }

  events(): StoredEvent[] {
    const events: StoredEvent[] = [];
    const quota = this.#quotas();
    for (const [i, shard] of this.#shards.entries()) shard.takeInto(events, quota[i] ?? 0);
    return events;
  }

  /** How many events of each shard the page gets. */
  #quotas(): Uint32Array {
    const shards = this.#shards;
    const quota = new Uint32Array(shards.length);
    const first = rotation(shards);
    let left = this.#limit;
    let sharing = shards.length;
    while (left > 0 && sharing > 0) {
      const share = Math.ceil(left / sharing);
      sharing = 0;
      for (let k = 0; k < shards.length && left > 0; k++) {
        const i = (first + k) % shards.length;
        const has = quota[i] ?? 0;
        const rest = (shards[i]?.count ?? 0) - has;
        const given = Math.min(share, rest, left);
        quota[i] = has + given;
        left -= given;
        if (rest > given) sharing += 1;
      }
    }
    return quota;
  }
}
