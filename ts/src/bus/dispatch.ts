/** Carries the batches that Rust cuts to a transport: one at a time per shard, with retries (10 §3.5). */
import type { RawBus } from '../backend/bus.js';
import { MeshringError, messageOf } from '../errors.js';
import { delay } from '../flow/backoff.js';
import { type Batch, type Transport, TransportError } from './transport.js';

/** First delay before a retry, ms; it doubles up to 32 times that. */
const RETRY_MS = 100;
const RETRY_DOUBLINGS = 5;
/** Jitter of a delay, so that shards do not retry in step. */
const JITTER = 0.25;

/** What the dispatcher does around a batch, for producers that keep their state (11 §6.3). */
export interface BatchJournal {
  /** Before the first attempt. A failure gives the batch up. */
  before(batch: Batch): Promise<void> | void;
  /** After the transport has confirmed it. */
  after(batch: Batch): Promise<void> | void;
}

/** Settings of a dispatcher. */
export interface DispatchOptions {
  /** Number of shards. */
  readonly shards: number;
  /** Producer nonce of the node, never 0. */
  readonly nonce: bigint;
  /** Limit of one attempt, ms. */
  readonly timeoutMs: number;
  /** Retries of a batch before it is given up. */
  readonly retries: number;
  /** Journal of unconfirmed batches. */
  readonly journal?: BatchJournal | undefined;
  /** Sets the clock of a backend that has none. */
  readonly clock?: (() => void) | undefined;
}

/** A flush that waits for the events numbered up to `targets[shard]`. */
interface Barrier {
  readonly targets: Float64Array;
  resolve(): void;
}

/** Rejects with `error()` when `promise` takes longer than `ms`. The timer does not keep the process alive. */
export function within<T>(promise: Promise<T>, ms: number, error: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(error()), ms);
    if (typeof timer === 'object') (timer as { unref?: () => void }).unref?.();
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Dispatcher of one node. */
export class Dispatcher {
  readonly #raw: RawBus;
  readonly #transport: Transport;
  readonly #options: DispatchOptions;
  readonly #busy: Uint8Array;
  readonly #sending = new Set<Promise<void>>();
  readonly #barriers = new Set<Barrier>();
  readonly #stop = new AbortController();
  /** Questions to the store whose answers must not cover batches that are still here. */
  readonly #holds = new Set<Promise<void>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Events given up so far, and why the last ones were. */
  #lost = 0;
  #reason = '';

  constructor(raw: RawBus, transport: Transport, options: DispatchOptions) {
    this.#raw = raw;
    this.#transport = transport;
    this.#options = options;
    this.#busy = new Uint8Array(options.shards);
  }

  /** Sends no further batch until `question` has been answered or has failed. */
  holdFor(question: Promise<unknown>): void {
    const nothing = () => {};
    // A store that never answers must not stop deliveries for ever.
    const answer = within(question, this.#options.timeoutMs, () => new Error('no answer'));
    const hold: Promise<void> = answer.then(nothing, nothing).finally(() => this.#holds.delete(hold));
    this.#holds.add(hold);
  }

  /** Sends what is due and arms the timer for what will be. */
  poke(): void {
    if (this.#stop.signal.aborted) return;
    this.#options.clock?.();
    const due = this.#raw.due();
    for (let i = 1; i < due.length; i++) this.#start(due[i] as number);
    if (this.#barriers.size > 0) this.#force();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const wait = due[0] as number;
    if (wait < 0) return;
    this.#timer = setTimeout(() => this.poke(), Math.ceil(wait / 1e6));
    // Events that wait for a fuller batch do not keep the process alive: that is what flush and shutdown are for.
    if (typeof this.#timer === 'object') (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Resolves when every event stored in the queues so far has been confirmed or given up. */
  drained(): Promise<void> {
    const positions = this.#raw.positions();
    const targets = Float64Array.from(
      { length: this.#options.shards },
      (_, shard) => positions[2 * shard + 1] as number,
    );
    return new Promise((resolve) => {
      const barrier: Barrier = { targets, resolve };
      this.#barriers.add(barrier);
      this.poke();
      this.#settle();
    });
  }

  /** Resolves when no batch is with the transport. */
  async lastAttempts(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending);
  }

  /** Events given up since the node was created, and the reason of the last one. */
  get losses(): { readonly count: number; readonly reason: string } {
    return { count: this.#lost, reason: this.#reason };
  }

  /** After {@link stop}: what is still queued is lost, and nobody waits for it any more. */
  giveUp(): void {
    this.#lost += this.#raw.giveUp();
    for (const barrier of this.#barriers) barrier.resolve();
    this.#barriers.clear();
  }

  /** Whether no batch is with the transport. */
  get settled(): boolean {
    return !this.#busy.includes(1);
  }

  /** Stops retrying and sending; batches that are with the transport end by themselves. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }

  /** Sends, whatever their size, the batches that a barrier waits for. */
  #force(): void {
    const positions = this.#raw.positions();
    for (let shard = 0; shard < this.#options.shards; shard++) {
      const first = positions[2 * shard] as number;
      const waits = [...this.#barriers].some((barrier) => first <= (barrier.targets[shard] as number));
      if (waits && first <= (positions[2 * shard + 1] as number)) this.#start(shard);
    }
  }

  #start(shard: number): void {
    if (this.#busy[shard] === 1) return;
    const raw = this.#raw.takeBatch(shard);
    if (!raw) return;
    this.#busy[shard] = 1;
    const { sequenceStart, data, ends, timestamps } = raw;
    raw.free?.();
    const batch: Batch = {
      shardId: shard,
      sequenceStart,
      nonce: this.#options.nonce,
      count: ends.length,
      data,
      ends,
      timestamps,
    };
    // `#send` handles its failures; what escapes is a defect and must be seen.
    const sending = this.#send(batch).finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  async #send(batch: Batch): Promise<void> {
    let stored = 0;
    try {
      const { journal } = this.#options;
      if (journal) await journal.before(batch);
      stored = await this.#attempts(batch);
      if (journal) await journal.after(batch);
    } catch (error) {
      if (error instanceof TransportError) stored = Math.max(stored, Math.min(error.stored, batch.count));
      this.#reason = messageOf(error);
      this.#lost += batch.count - stored;
    }
    this.#raw.finishBatch(batch.shardId, stored);
    this.#busy[batch.shardId] = 0;
    this.#settle();
    this.poke();
  }

  /** Tries until the batch is stored. Throws the last error when it is given up. */
  async #attempts(batch: Batch): Promise<number> {
    for (let attempt = 0; ; attempt++) {
      while (this.#holds.size > 0) await Promise.all(this.#holds);
      try {
        await within(
          this.#transport.onBatch(batch),
          this.#options.timeoutMs,
          () => new TransportError('transient', `no answer within ${this.#options.timeoutMs} ms`),
        );
        return batch.count;
      } catch (error) {
        const retryable = error instanceof TransportError && error.retryable;
        if (!retryable || attempt >= this.#options.retries || this.#stop.signal.aborted) throw error;
        const base = RETRY_MS * 2 ** Math.min(attempt, RETRY_DOUBLINGS);
        const jittered = base * (1 + JITTER * (2 * Math.random() - 1));
        try {
          await delay(jittered, { signal: this.#stop.signal });
        } catch {
          // Stopped while waiting: the transport's error is the reason.
          throw error;
        }
      }
    }
  }

  /** Resolves barriers whose events are done. */
  #settle(): void {
    if (this.#barriers.size === 0) return;
    const positions = this.#raw.positions();
    for (const barrier of this.#barriers) {
      const open = barrier.targets.some(
        (target, shard) => this.#busy[shard] === 1 || (positions[2 * shard] as number) <= target,
      );
      if (open) continue;
      this.#barriers.delete(barrier);
      barrier.resolve();
    }
  }
}

/** Text of a failure behind `Flush failed: ` and the like. */
export function notDelivered(what: 'Flush' | 'Shutdown', count: number, reason: string): MeshringError {
  const kind = what === 'Flush' ? 'flush-failed' : 'shutdown-failed';
  const error = new MeshringError(kind, `${what} failed: ${reason}`);
  return Object.assign(error, { undelivered: count });
}
