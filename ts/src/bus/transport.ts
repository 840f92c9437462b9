/**
 * What carries batches of events to a store and reads them back (specification 11 §1).
 *
 * Rust cuts the batches; a transport stores them. Batches of one shard never overlap, those of different shards may.
 */

import type { RawBus } from '../backend/bus.js';
import type { CompiledFilter } from './filter.js';
import type { ReadPage } from './reader.js';

/** Events of one shard, packed: event `i` is `data.subarray(i === 0 ? 0 : ends[i - 1], ends[i])`. */
export interface Batch {
  /** Shard of every event in this batch. */
  readonly shardId: number;
  /** Number of events in all earlier batches of this shard (10 §3.3). A retried batch keeps its number. */
  readonly sequenceStart: bigint;
  /** Producer nonce of the node, never 0. */
  readonly nonce: bigint;
  /** Number of events, at least 1. */
  readonly count: number;
  /** The events back to back. Valid until the promise of `onBatch` settles. */
  readonly data: Uint8Array;
  /** End offset of each event in `data`. */
  readonly ends: Uint32Array;
  /** Insertion time stamp of each event: nanoseconds since the node was created. */
  readonly timestamps: BigUint64Array;
}

/** One event as a store returns it. */
export interface StoreEvent {
  /** Id in the store, unique and ordered within a shard. */
  readonly id: string;
  /** Payload bytes. */
  readonly raw: Uint8Array;
  /** Insertion time stamp, nanoseconds. */
  readonly ts: bigint;
  /** Stable id over retries, where the store has one. */
  readonly dedupId?: string;
}

/** Part of a shard. */
export interface ShardPage {
  /** At most `limit` readable events in order. */
  readonly events: StoreEvent[];
  /** Id of the last entry looked at, also of unreadable ones; undefined if there was none. */
  readonly nextId: string | undefined;
  /** Whether at least one more entry exists. */
  readonly hasMore: boolean;
}

/** Kinds of transport failures; the first two are retried. */
export type TransportErrorKind = 'transient' | 'backpressure' | 'connection' | 'fatal' | 'shutdown' | 'serialization';

const PREFIX: Record<TransportErrorKind, string> = {
  transient: 'transient error: ',
  backpressure: 'backend backpressure',
  connection: 'connection error: ',
  fatal: 'fatal error: ',
  shutdown: 'adapter is shut down',
  serialization: 'serialization error: ',
};

/** Failure of a transport. `message` begins with the words of specification 11 §1. */
export class TransportError extends Error {
  /** What kind of failure it is; decides whether a batch is retried. */
  readonly kind: TransportErrorKind;
  /**
   * How many events at the start of the batch are stored. The same batch is passed again for a retry: the transport
   * remembers where it stopped. When the batch is given up, only the events behind these have failed.
   */
  readonly stored: number;

  constructor(kind: TransportErrorKind, text = '', options: { cause?: unknown; stored?: number } = {}) {
    super(kind === 'backpressure' || kind === 'shutdown' ? PREFIX[kind] : PREFIX[kind] + text, {
      cause: options.cause,
    });
    this.kind = kind;
    this.stored = options.stored ?? 0;
  }

  /** Whether the same batch may be tried again. */
  get retryable(): boolean {
    return this.kind === 'transient' || this.kind === 'backpressure';
  }
}

/** What a node tells its transport at the start. */
export interface TransportContext {
  /** Number of shards of the node. */
  readonly shards: number;
  /** Limit of one operation, ms. */
  readonly timeoutMs: number;
  /** Prints a warning once per node. */
  warn(text: string): void;
}

/** What a peer has sent, kept like the log in memory. */
export interface InboundLog {
  /** The log. */
  readonly raw: RawBus;
  /** Calls back when events were added. */
  onAppend(callback: () => void): void;
  /** Adds what has arrived and was not taken yet: what the peer knows to be here is read by the next poll. */
  collect?(): void;
}

/** A store or a peer that takes batches. */
export interface Transport {
  /** Name in messages: `memory`, `redis`, `jetstream`, `net`. */
  readonly name: string;
  /** Connects; nothing keeps running when it fails. */
  init(context: TransportContext): Promise<void>;
  /** Stores all events of the batch in order, or fails so that a retry of the same batch is safe. */
  onBatch(batch: Batch): Promise<void>;
  /** Resolves when everything stored before is durable in the sense of the transport. */
  flush(): Promise<void>;
  /** Closes; idempotent. Timers and sockets are gone afterwards. */
  shutdown(): Promise<void>;
  /** Reads at most `limit` events behind `afterId` (exclusive; undefined = from the beginning). */
  pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage>;
  /**
   * As `pollShard`, with the filter applied where the bytes are and without an object per event (see `ShardReader.read`).
   * Without it the node adapts `pollShard`.
   */
  read?(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): Promise<ReadPage>;
  /** Where it is set after `init`, the node reads this log and calls neither `pollShard` nor `read`. */
  readonly inbound?: InboundLog | undefined;
  /** Largest event that it carries, bytes. Default 16 MiB. */
  readonly maxEventBytes?: number;
  /** Number of shards to read, when it is not the node's own number; known after `init`. */
  readonly readShards?: number | undefined;
  /** Reason why `id` cannot be a position in this store, or undefined. Text: `position "x" is not a … id (<form>)`. */
  checkId(id: string): string | undefined;
  /** Whether the connection stands. */
  healthy(): boolean;
  /**
   * Resolves when one of the shards may have entries behind its position, or when `signal` aborts.
   * Without it the node polls.
   */
  waitForData?(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void>;
  /**
   * Id of the newest entry of each of the shards that has one, as of now. Without it a stream that starts with what
   * comes next walks through the store.
   */
  tail?(shards: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /** Additional counters for `stats()`. */
  stats?(): Record<string, unknown>;
}
