/** How far one shard was read and delivered within one poll. */
import { MeshringError } from '../errors.js';
import type { CompiledFilter } from './filter.js';
import type { ReadPage, ShardReader } from './reader.js';
import type { StoredEvent } from './stored-event.js';

/** Most events that one poll takes from one shard, and most entries that it looks at there for a filter. */
export const MAX_PER_SHARD = 10_000;

/** Pages read from a shard and the place in them up to which events were delivered. */
export class ShardProgress {
  readonly shard: number;
  /** Position at which the poll began. */
  readonly start: string | undefined;
  /** Matching events to read next; 0 = none. */
  want = 0;
  /** Events read so far. */
  count = 0;
  /** Events delivered so far. */
  taken = 0;
  /** More entries exist behind what was read. */
  more = true;
  /** The bound on one poll's work was reached here: nothing more is read in this poll. */
  stalled = false;
  /** Why the shard could not be read. */
  failure: unknown;
  /** Entries that the store had evicted before they could be read. */
  lost = 0;

  /** Time stamp of the next event to deliver; valid while `taken < count`. */
  headHigh = 0;
  /** Low word of the same. */
  headLow = 0;

  readonly #pages: ReadPage[] = [];
  #scan = MAX_PER_SHARD;
  /** Page and place in it of the next event to deliver. */
  #page = 0;
  #index = 0;
  /** Position behind the pages that were delivered wholly. */
  #behind: string | undefined;

  constructor(shard: number, start: string | undefined) {
    this.shard = shard;
    this.start = start;
    this.#behind = start;
  }

  /** Whether another read can bring events. */
  get readable(): boolean {
    return this.more && !this.stalled && this.failure === undefined;
  }

  /** Whether something is left behind the position reached. */
  get unread(): boolean {
    return this.taken < this.count || (this.more && this.failure === undefined);
  }

  /** Reads `want` events. Answers a promise only when the reader does. */
  read(reader: ShardReader, filter: CompiledFilter | undefined): Promise<void> | undefined {
    const limit = Math.min(this.want, MAX_PER_SHARD - this.count);
    const after = this.#readUpTo();
    this.want = 0;
    try {
      const page = reader.read(this.shard, after, limit, Math.max(this.#scan, limit), filter);
      if (page instanceof Promise) {
        return page.then(
          (page) => this.#add(page, limit),
          (error: unknown) => this.#fail(error),
        );
      }
      this.#add(page, limit);
    } catch (error) {
      this.#fail(error);
    }
    return undefined;
  }

  /** Appends the next `count` events, of which there must be so many. */
  takeInto(events: StoredEvent[], count: number): void {
    for (let left = count; left > 0; ) {
      const page = this.#pages[this.#page];
      if (!page) return;
      const from = this.#index;
      const to = Math.min(page.count, from + left);
      for (let i = from; i < to; i++) events.push(page.event(i));
      this.taken += to - from;
      left -= to - from;
      this.#index = to;
      this.#leavePage(page);
    }
    this.#head();
  }

  /** The next event; only while `taken < count`. Leaves the head of the shard at the event behind it. */
  take(): StoredEvent {
    const page = this.#pages[this.#page];
    if (!page) throw new RangeError('no event left in this shard');
    const event = page.event(this.#index);
    const next = this.#index + 1;
    this.taken += 1;
    this.#index = next;
    if (next < page.count) {
      this.headLow = page.stamps[2 * next] as number;
      this.headHigh = page.stamps[2 * next + 1] as number;
    } else {
      this.#leavePage(page);
      this.#head();
    }
    return event;
  }

  #leavePage(page: ReadPage): void {
    if (this.#index < page.count) return;
    this.#behind = page.position ?? this.#behind;
    this.#page += 1;
    this.#index = 0;
    this.#skipEmpty();
  }

  /** Position behind the events delivered and, when all were, behind everything looked at. */
  reached(): string | undefined {
    const page = this.#pages[this.#page];
    return page && this.#index > 0 ? page.id(this.#index - 1) : this.#behind;
  }

  #readUpTo(): string | undefined {
    for (let i = this.#pages.length - 1; i >= 0; i--) {
      const position = this.#pages[i]?.position;
      if (position !== undefined) return position;
    }
    return this.start;
  }

  #add(page: ReadPage, asked: number): void {
    this.#pages.push(page);
    this.count += page.count;
    this.#scan -= page.count;
    this.more = page.hasMore;
    this.lost += page.lost ?? 0;
    // Fewer than asked for although there is more: the reader looked at all entries that it may.
    this.stalled = page.hasMore && (page.count < asked || this.count >= MAX_PER_SHARD || this.#scan <= 0);
    this.#skipEmpty();
    this.#head();
  }

  #fail(error: unknown): void {
    if (error instanceof MeshringError && error.kind === 'closed') throw error;
    // What was read before stays good; the position does not move beyond it.
    this.failure = error ?? new Error('unknown failure');
  }

  #skipEmpty(): void {
    for (let page = this.#pages[this.#page]; page && page.count === 0; page = this.#pages[this.#page]) {
      this.#behind = page.position ?? this.#behind;
      this.#page += 1;
    }
  }

  #head(): void {
    const page = this.#pages[this.#page];
    if (!page) return;
    this.headLow = page.stamps[2 * this.#index] ?? 0;
    this.headHigh = page.stamps[2 * this.#index + 1] ?? 0;
  }
}
