/** A store in memory that can stall and fail on demand: a fault injector for the batch door. */
import {
  type Batch,
  type ShardPage,
  type StoreEvent,
  type Transport,
  TransportError,
  type TransportErrorKind,
} from '../../src/bus/transport.js';

export interface SeenBatch {
  readonly shardId: number;
  readonly sequenceStart: bigint;
  readonly nonce: bigint;
  readonly events: string[];
}

const utf8 = new TextDecoder();

export class FaultyTransport implements Transport {
  readonly name = 'faulty';
  /** Every attempt, failed ones included. */
  readonly attempts: SeenBatch[] = [];
  /** What is stored, by shard. */
  readonly stored = new Map<number, StoreEvent[]>();
  initError: TransportError | undefined;
  closed = 0;
  flushed = 0;
  /** Largest number of batches of one shard that were here at once. */
  overlap = 0;
  #failures: { kind: TransportErrorKind; stored: number }[] = [];
  #gate: { open: Promise<void>; release: () => void } | undefined;
  #waiting = new Set<() => void>();
  readonly #here = new Map<number, number>();
  /** Number behind the last event stored, by shard. */
  readonly #reached = new Map<number, number>();

  async init(): Promise<void> {
    if (this.initError) throw this.initError;
  }

  /** Batches wait from now on. */
  stall(): void {
    if (this.#gate) return;
    let release = () => {};
    const open = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#gate = { open, release };
  }

  /** Lets them go. */
  resume(): void {
    this.#gate?.release();
    this.#gate = undefined;
  }

  /** The next `times` attempts fail after having stored `stored` events. */
  fail(kind: TransportErrorKind, times: number, stored = 0): void {
    for (let i = 0; i < times; i++) this.#failures.push({ kind, stored });
  }

  /** Resolves when `condition` holds after some attempt. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  async onBatch(batch: Batch): Promise<void> {
    const events = Array.from(batch.ends, (end, i) => utf8.decode(batch.data.slice(i ? batch.ends[i - 1] : 0, end)));
    const { shardId, sequenceStart, nonce } = batch;
    this.attempts.push({ shardId, sequenceStart, nonce, events });
    const here = (this.#here.get(shardId) ?? 0) + 1;
    this.#here.set(shardId, here);
    this.overlap = Math.max(this.overlap, here);
    this.#changed();
    try {
      await this.#gate?.open;
      const failure = this.#failures.shift();
      const done = Math.max(0, (this.#reached.get(shardId) ?? 0) - Number(sequenceStart));
      const end = failure ? Math.min(events.length, Math.max(done, failure.stored)) : events.length;
      this.#store(batch, events, done, end);
      if (failure) throw new TransportError(failure.kind, 'injected', { stored: Math.max(done, failure.stored) });
    } finally {
      this.#here.set(shardId, here - 1);
      this.#changed();
    }
  }

  #store(batch: Batch, events: string[], from: number, to: number): void {
    const list = this.stored.get(batch.shardId) ?? [];
    this.stored.set(batch.shardId, list);
    this.#reached.set(batch.shardId, Number(batch.sequenceStart) + to);
    for (let i = from; i < to; i++) {
      const raw = new TextEncoder().encode(events[i]);
      list.push({ id: String(list.length + 1), raw, ts: batch.timestamps[i] as bigint });
    }
  }

  async flush(): Promise<void> {
    this.flushed += 1;
  }

  async shutdown(): Promise<void> {
    this.closed += 1;
  }

  async pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage> {
    const list = this.stored.get(shard) ?? [];
    const from = Number(afterId ?? 0);
    const events = list.slice(from, from + limit);
    return { events, nextId: events.at(-1)?.id, hasMore: list.length > from + limit };
  }

  checkId(id: string): string | undefined {
    return /^\d+$/.test(id) ? undefined : `position "${id}" is not a number`;
  }

  healthy(): boolean {
    return true;
  }

  /** Texts stored in a shard. */
  texts(shard = 0): string[] {
    return (this.stored.get(shard) ?? []).map((event) => utf8.decode(event.raw));
  }
}
