/**
 * A queue between one side that produces and one that consumes, bounded by a capacity: the producer waits (or is told
 * "full") while the consumer is behind, so that memory stays flat.
 */

/** Options of {@link BoundedQueue}. */
export interface BoundedQueueOptions<T> {
  /** Total size that may be queued: items, or whatever `sizeOf` counts (for example bytes). Above 0. */
  capacity: number;
  /** Size of one item. Default: every item counts 1. It must always give the same for the same item. */
  sizeOf?: (item: T) => number;
}

interface Waiter<T> {
  item: T;
  size: number;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

type Reader<T> = { resolve: (result: IteratorResult<T, undefined>) => void; reject: (reason: unknown) => void };

/**
 * First in, first out; items of waiting producers keep their order too. An item larger than the whole capacity is
 * admitted when the queue is empty, so that it cannot wait for ever.
 *
 * `for await` takes items until the queue is closed and empty; leaving the loop early closes the queue and drops what
 * is left. Several readers may wait at once: each item goes to one of them, in order of waiting.
 */
export class BoundedQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #capacity: number;
  readonly #sizeOf: (item: T) => number;
  #items: (T | undefined)[] = [];
  #head = 0;
  #size = 0;
  #closed = false;
  #error: { reason: unknown } | undefined;
  #writers: Waiter<T>[] = [];
  #readers: Reader<T>[] = [];

  /** @throws RangeError when the capacity is not above 0. */
  constructor({ capacity, sizeOf = () => 1 }: BoundedQueueOptions<T>) {
    if (!(capacity > 0)) throw new RangeError(`bounded queue: capacity must be above 0, got ${capacity}`);
    this.#capacity = capacity;
    this.#sizeOf = sizeOf;
  }

  /** Number of items that can be taken at once. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Sum of the sizes of the queued items. */
  get size(): number {
    return this.#size;
  }

  /** Number of producers that wait for room. */
  get waiting(): number {
    return this.#writers.length;
  }

  /** Whether `close` was called. Queued items can still be taken. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Queues the item if there is room now. Returns false, and does nothing, when the queue is full or closed. */
  tryPush(item: T): boolean {
    if (this.#closed) return false;
    const reader = this.#readers.shift();
    if (reader) {
      reader.resolve({ value: item, done: false });
      return true;
    }
    const size = this.#sizeOf(item);
    if (this.#writers.length > 0 || !this.#fits(size)) return false;
    this.#append(item, size);
    return true;
  }

  /**
   * Queues the item, waiting for room. Resolves when it is queued (not when it is taken).
   *
   * @throws the reason given to `close`, or an Error `queue is closed`, when the queue is or gets closed before there
   * is room; the signal's reason when that aborts first. The item is not queued then.
   */
  push(item: T, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(this.#closedReason());
    if (this.tryPush(item)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#writers.splice(this.#writers.indexOf(waiter), 1);
        reject(signal?.reason);
        this.#admit();
      };
      const waiter: Waiter<T> = {
        item,
        size: this.#sizeOf(item),
        resolve: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        reject: (reason) => {
          signal?.removeEventListener('abort', onAbort);
          reject(reason);
        },
      };
      this.#writers.push(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Takes the oldest item, or returns undefined when there is none now. */
  tryShift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head] as T;
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.#size -= this.#sizeOf(item);
    if (this.#writers.length > 0) this.#admit();
    return item;
  }

  /** Takes the oldest item, waiting for one. Done when the queue is closed and empty. */
  next(): Promise<IteratorResult<T, undefined>> {
    if (this.length > 0) return Promise.resolve({ value: this.tryShift() as T, done: false });
    if (this.#error) return Promise.reject(this.#error.reason);
    if (this.#closed) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
    });
  }

  /**
   * Ends the queue: nothing more is accepted and waiting producers are rejected. What is queued can still be taken;
   * after that readers see the end, or `reason` as an error when one is given. Only the first call counts.
   */
  close(reason?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    if (reason !== undefined) this.#error = { reason };
    const [writers, readers] = [this.#writers, this.#readers];
    this.#writers = [];
    this.#readers = [];
    for (const writer of writers) writer.reject(this.#closedReason());
    for (const reader of readers) {
      if (this.#error) reader.reject(this.#error.reason);
      else reader.resolve({ value: undefined, done: true });
    }
  }

  /** Drops and returns everything that is queued; waiting producers then get room. */
  drain(): T[] {
    const items = this.#items.slice(this.#head) as T[];
    this.#items = [];
    this.#head = 0;
    this.#size = 0;
    this.#admit();
    return items;
  }

  /** Called when a `for await` loop is left early: closes the queue and drops what is queued. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    this.drain();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #fits(size: number): boolean {
    return this.#head === this.#items.length || this.#size + size <= this.#capacity;
  }

  #append(item: T, size: number): void {
    this.#items.push(item);
    this.#size += size;
  }

  /** Moves items of waiting producers into the queue while there is room. */
  #admit(): void {
    for (let first = this.#writers[0]; first && this.#fits(first.size); first = this.#writers[0]) {
      this.#writers.shift();
      this.#append(first.item, first.size);
      first.resolve();
    }
  }

  #closedReason(): unknown {
    return this.#error ? this.#error.reason : new Error('queue is closed');
  }
}
