/** The position of a stream in a bus, and the fetching that moves it (10 §7). Iterators of one stream share a feed. */
import { describeType, MeshringError, wrongType } from '../errors.js';
import type { RedisStreamDedup } from '../redis-dedup.js';
import type { PollRequest, PollResponseData, StoredEvent, SubscribeOpts } from '../types.js';
import { decodeCursor, encodeCursor, type Positions } from './cursor.js';
import { dedupMemory, unseen } from './dedup.js';
import { filterText } from './filter.js';
import { TAIL, WAIT, type WaitableBus } from './wait.js';

/** Anything that can be polled. */
export interface PollSource extends WaitableBus {
  /** One page, see `NetNode.poll`. */
  poll(request: PollRequest): Promise<PollResponseData>;
}

/** One iterator of a stream. */
export interface Consumer<T> {
  /** What the iterator yields for an event; may throw. */
  convert(event: StoredEvent): T;
  /** The iterator has ended. */
  closed: boolean;
}

/** A `next()` that waits for an event. */
interface Waiter {
  readonly consumer: Consumer<unknown>;
  deliver(event: StoredEvent): void;
  end(): void;
  fail(error: unknown): void;
}

const DEFAULT_LIMIT = 100;
const DEFAULT_INTERVAL = 5;
const DEFAULT_BACKOFF = 100;
/** Shortest wait between polls, ms: less would only spin. */
const MIN_INTERVAL = 1;
/** Fruitless polls after which a stream stops to trust that it is woken for a reason. */
const MAX_FRUITLESS = 8;
const LONGEST_TIMER = 2 ** 31 - 1;

function option(name: string, value: unknown, fallback: number, valid: (n: number) => boolean, needed: string): number {
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'number' && valid(value)) return value;
  const got = typeof value === 'number' ? String(value) : describeType(value);
  throw new MeshringError('invalid-argument', `subscribe: ${name} must be ${needed}, got ${got}`);
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER));
    signal.addEventListener('abort', done);
  });
}

function isClosed(error: unknown): boolean {
  return error instanceof Error && (('kind' in error && error.kind === 'closed') || error.message === CLOSED);
}

const CLOSED = 'EventBus has been shut down';

/** See the module. */
export class Feed {
  readonly #bus: PollSource;
  readonly #options: SubscribeOpts;
  readonly #limit: number;
  readonly #interval: number;
  readonly #backoff: number;
  readonly #dedup: RedisStreamDedup | undefined;

  /** Position behind the page at hand. */
  #cursor: string | undefined;
  /** Position in front of the page at hand. */
  #before: string | undefined;
  #page: readonly StoredEvent[] = [];
  #at = 0;

  /** `fromNow`: where the stream begins, until it is known. */
  #tail: Promise<string | undefined> | undefined;
  #filter: string | undefined;
  #stopped = false;
  #fetching = false;
  readonly #waiters = new Set<Waiter>();
  /** Ends the wait between two polls. */
  #pause: AbortController | undefined;
  /** Whether the next poll waits for data, and for how long on a bus that cannot tell. */
  #idle = false;
  #idleMs = 0;
  #nextIdleMs: number;
  #polledAt = 0;
  /** Polls in a row that brought nothing. */
  #fruitless = 0;

  constructor(bus: PollSource, options: SubscribeOpts) {
    if (typeof bus?.poll !== 'function') throw wrongType('subscribe', 'bus', bus, 'a bus with poll', 'InvalidArg');
    const positive = (n: number) => n >= 0;
    this.#bus = bus;
    this.#options = options;
    this.#limit = option('limit', options.limit, DEFAULT_LIMIT, (n) => Number.isInteger(n) && n > 0, 'an integer >= 1');
    const interval = option('pollIntervalMs', options.pollIntervalMs, DEFAULT_INTERVAL, positive, 'a number >= 0');
    const backoff = option('maxBackoffMs', options.maxBackoffMs, DEFAULT_BACKOFF, positive, 'a number >= 0');
    this.#interval = Math.max(MIN_INTERVAL, interval);
    this.#backoff = Math.max(this.#interval, backoff);
    this.#nextIdleMs = this.#interval;
    this.#dedup = dedupMemory(options.dedup);
    this.#cursor = options.cursor;
    this.#before = options.cursor;
    if (options.fromNow) {
      if (options.cursor !== undefined) {
        throw new MeshringError('invalid-argument', 'subscribe: cursor and fromNow exclude each other');
      }
      this.#findTail();
    }
  }

  /** Position behind the last event that was taken; undefined at the beginning of the store. */
  get cursor(): string | undefined {
    if (this.#at === this.#page.length) return this.#cursor;
    if (this.#at === 0) return this.#before;
    const positions: Positions = this.#before === undefined ? new Map() : decodeCursor(this.#before);
    for (let i = 0; i < this.#at; i++) {
      const event = this.#page[i];
      if (event) positions.set(event.shardId, event.id);
    }
    return encodeCursor(positions);
  }

  /** Ends all iterations; events fetched and not taken stay unread. */
  stop(): void {
    this.#stopped = true;
    for (const waiter of this.#waiters) waiter.end();
    this.#waiters.clear();
    this.#pause?.abort();
  }

  /** The next event for an iterator. */
  next<T>(consumer: Consumer<T>): Promise<IteratorResult<T, undefined>> {
    if (this.#options.signal?.aborted) this.stop();
    if (this.#stopped || consumer.closed) return Promise.resolve({ done: true, value: undefined });
    const event = this.#take();
    if (event) {
      try {
        return Promise.resolve({ done: false, value: consumer.convert(event) });
      } catch (error) {
        consumer.closed = true;
        return Promise.reject(error);
      }
    }
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        consumer.closed = true;
        reject(error);
      };
      this.#waiters.add({
        consumer,
        deliver(event) {
          try {
            resolve({ done: false, value: consumer.convert(event) });
          } catch (error) {
            fail(error);
          }
        },
        end() {
          consumer.closed = true;
          resolve({ done: true, value: undefined });
        },
        fail,
      });
      if (!this.#fetching) void this.#fetch();
    });
  }

  /** Ends one iterator; nothing goes on for it. */
  leave(consumer: Consumer<unknown>): void {
    consumer.closed = true;
    for (const waiter of this.#waiters) {
      if (waiter.consumer !== consumer) continue;
      waiter.end();
      this.#waiters.delete(waiter);
    }
    if (this.#waiters.size === 0) this.#pause?.abort();
  }

  #take(): StoredEvent | undefined {
    return this.#at < this.#page.length ? this.#page[this.#at++] : undefined;
  }

  /** Fetches while somebody waits. Never rejects. */
  async #fetch(): Promise<void> {
    this.#fetching = true;
    const { signal } = this.#options;
    const stop = () => this.stop();
    signal?.addEventListener('abort', stop);
    try {
      while (this.#waiters.size > 0) {
        await this.#wait();
        if (this.#waiters.size === 0) break;
        await this.#poll();
        for (const waiter of this.#waiters) {
          const event = this.#take();
          if (!event) break;
          this.#waiters.delete(waiter);
          waiter.deliver(event);
        }
      }
    } catch (error) {
      // A bus that was shut down has no more events: the iterations end.
      const closed = isClosed(error);
      for (const waiter of this.#waiters) closed ? waiter.end() : waiter.fail(error);
      this.#waiters.clear();
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#fetching = false;
    }
  }

  async #wait(): Promise<void> {
    if (!this.#idle) return;
    const pause = new AbortController();
    const { signal } = pause;
    this.#pause = pause;
    try {
      // A bus that wakes its streams for nothing again and again is treated as one that must be polled.
      if (this.#fruitless > MAX_FRUITLESS) await this.#delay(signal);
      if (signal.aborted) return;
      const wait = this.#bus[WAIT]?.(this.#cursor, signal, this.#options.shards);
      if (!wait || (await wait) === false) await this.#delay(signal);
    } finally {
      this.#pause = undefined;
    }
  }

  /** Waits until the next poll of a bus that cannot say when there are events. */
  async #delay(signal: AbortSignal): Promise<void> {
    const left = this.#polledAt + this.#idleMs - performance.now();
    if (left > 0) await delay(left, signal);
  }

  async #poll(): Promise<void> {
    if (this.#tail) {
      const tail = this.#tail;
      this.#tail = undefined;
      try {
        this.#cursor = await tail;
      } catch (error) {
        this.#findTail();
        throw error;
      }
    }
    const before = this.#cursor;
    const { events, nextId, hasMore } = await this.#bus.poll(this.#request(before));
    if (this.#stopped) return;
    this.#polledAt = performance.now();
    const moved = nextId !== undefined && nextId !== null && nextId !== before;
    this.#before = before;
    this.#page = unseen(events, this.#dedup);
    this.#at = 0;
    if (moved) this.#cursor = nextId;
    const full = events.length >= this.#limit;
    this.#idle = !full && !(moved && (hasMore || events.length === 0));
    if (events.length > 0 || moved) {
      this.#fruitless = 0;
      this.#idleMs = this.#interval;
      this.#nextIdleMs = this.#interval;
    } else {
      this.#fruitless += 1;
      this.#idleMs = this.#nextIdleMs;
      this.#nextIdleMs = Math.min(this.#backoff, this.#nextIdleMs * 2);
    }
  }

  #request(cursor: string | undefined): PollRequest {
    const { filter, ordering, shards } = this.#options;
    // A foreign bus knows filters as text only.
    this.#filter ??= filter === undefined || filter === null ? '' : filterText(filter);
    const request: PollRequest = { limit: this.#limit };
    if (cursor !== undefined) request.cursor = cursor;
    if (this.#filter !== '') request.filter = this.#filter;
    if (ordering !== undefined) request.ordering = ordering;
    if (shards !== undefined) request.shards = shards;
    return request;
  }

  #findTail(): void {
    const { shards } = this.#options;
    const bus = this.#bus;
    const walk = async () => {
      const tail = bus[TAIL] ? await bus[TAIL]() : null;
      if (tail !== null) return tail;
      let cursor: string | undefined;
      for (;;) {
        const request: PollRequest = { limit: 1000 };
        if (cursor !== undefined) request.cursor = cursor;
        if (shards !== undefined) request.shards = shards;
        const { nextId, hasMore } = await bus.poll(request);
        if (!hasMore || nextId === undefined || nextId === cursor) return nextId ?? cursor;
        cursor = nextId;
      }
    };
    // The promise may fail before anybody iterates; the failure is thrown from the loop.
    this.#tail = walk();
    this.#tail.catch(() => {});
  }
}

/** Iterates a feed. */
export class FeedIterator<T> implements AsyncIterableIterator<T, undefined, unknown> {
  readonly #feed: Feed;
  readonly #consumer: Consumer<T>;

  constructor(feed: Feed, convert: (event: StoredEvent) => T) {
    this.#feed = feed;
    this.#consumer = { convert, closed: false };
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#feed.next(this.#consumer);
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#feed.leave(this.#consumer);
    return Promise.resolve({ done: true, value: undefined });
  }

  throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    this.#feed.leave(this.#consumer);
    return Promise.reject(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
