/** The bus as the two doors export it; implemented in `native/src/addon/bus.rs` and `wasm/src/bus.rs`. */
import type { RawFilter } from './filter.js';

/** Part of {@link Door}. */
export interface BusDoor {
  /** A node of its own (`settings`, see {@link settingsOf}) or, addon only, a view of the node `id` of this process. */
  readonly Bus: new (
    settings?: Float64Array | null,
    id?: bigint,
  ) => RawBus;
  /** Memory of the WebAssembly instance; absent on the addon. */
  readonly memory?: { readonly buffer: ArrayBuffer };
}

/** Settings of a node's shards. */
export interface BusSettings {
  /** Number of shards. */
  readonly shards: number;
  /** Queues in front of a store; otherwise retained logs. */
  readonly queue: boolean;
  /** Backpressure of a queue. */
  readonly mode: 'drop_oldest' | 'drop_newest' | 'fail_producer' | 'sample';
  /** Every N-th event is kept by `sample`. */
  readonly sampleRate: number;
  /** Most events of a shard. */
  readonly maxEvents: number;
  /** Most bytes of a shard. */
  readonly maxBytes: number;
  /** Oldest age of an event in a retained log, ms; 0 = none. */
  readonly maxAgeMs: number;
  /** Floor of a batch, events. */
  readonly batchMin: number;
  /** Ceiling of a batch, events. */
  readonly batchMax: number;
  /** Whether the size of a batch follows the rate. */
  readonly batchAdaptive: boolean;
  /** Window of the rate estimate, ms. */
  readonly batchWindowMs: number;
  /** Longest wait of a partial batch, ms. */
  readonly batchDelayMs: number;
  /** Bytes of a staging ring. */
  readonly ringBytes: number;
  /** Bytes of each shard that are allocated and touched at the start, index (12 bytes an event) included. */
  readonly reserveBytes: number;
}

/** The settings as numbers, in the order that Rust expects. */
export function settingsOf(s: BusSettings): Float64Array {
  return Float64Array.of(
    s.shards,
    s.queue ? 1 : 0,
    ['drop_oldest', 'drop_newest', 'fail_producer', 'sample'].indexOf(s.mode),
    s.sampleRate,
    s.maxEvents,
    s.maxBytes,
    s.maxAgeMs * 1e6,
    s.batchMin,
    s.batchMax,
    s.batchAdaptive ? 1 : 0,
    s.batchWindowMs * 1e6,
    s.batchDelayMs * 1e6,
    s.ringBytes,
    s.reserveBytes,
  );
}

/** Counters of a node, in this order. */
export const CounterNames = [
  'ingested',
  'rejected',
  'evicted',
  'failed',
  'dispatched',
  'batches',
  'expired',
  'pending',
] as const;

/** A batch as Rust cuts it. Each property is read once. */
export interface RawBatch {
  readonly sequenceStart: bigint;
  readonly data: Uint8Array;
  readonly ends: Uint32Array;
  readonly timestamps: BigUint64Array;
  /** Frees the handle (WebAssembly only). */
  free?(): void;
}

/** One producer's view of a node in Rust. */
export interface RawBus {
  /** Id under which other threads attach (addon only). */
  share?(): bigint;
  /** Number of shards, and 1 if they are queues. */
  shape(): ArrayLike<number>;
  /** Addon: the staging ring, or null where external buffers are not allowed. */
  ringBuffer?(): ArrayBuffer | null;
  /** WebAssembly: address of the staging ring in the module's memory. */
  ringPointer?(): number;
  /** WebAssembly: its length. */
  ringLength?(): number;
  /** Addon: the two calls of the hot path, functions without arguments. */
  calls?(): { drain(): void; wake(): void };
  /** WebAssembly: takes everything staged. */
  drain?(): void;
  /** WebAssembly: sets the clock, ns since the node was created. */
  tick?(now: number): void;
  /** WebAssembly: whether a batch became worth looking at. */
  takeAttention?(): boolean;
  /** Addon: registers the (unreferenced) wake-up of this environment. */
  onWake?(wake: () => void): void;
  /** Addon: says whether somebody here waits for readable events. */
  setWaiting?(waiting: boolean): void;
  /** Drains everything that any thread has staged. */
  sweep(): void;
  /** Addon: what became of the last event, for producers that cannot see the ring: accepted (1 or 0), shard, time stamp. */
  answer?(): ArrayLike<number> & Iterable<number>;
  /** Stores an event that is too large for the ring. */
  push(raw: Uint8Array, hash?: bigint): void;
  /** A page of a shard's log; layout in `native/src/bus/page.rs`. */
  read(shard: number, after: number, limit: number, maxBytes: number, maxScan: number): Uint8Array;
  /** As {@link read}, only events that match. */
  readFiltered(
    shard: number,
    after: number,
    limit: number,
    maxBytes: number,
    maxScan: number,
    filter: RawFilter,
  ): Uint8Array;
  /** The latest time stamp given. */
  lastStamp(): bigint;
  /** Numbers of the oldest retained and of the newest event of each shard, alternating. */
  positions(): ArrayLike<number>;
  /** Number of the newest event of each shard that was confirmed or given up, with all before it. */
  acknowledged(): ArrayLike<number>;
  /** First the ns until the next batch is due (-1: none), then the shards whose batch is due now. */
  due(): ArrayLike<number>;
  /** Cuts the next batch of a shard. */
  takeBatch(shard: number): RawBatch | null | undefined;
  /** The transport is done with the batch of a shard. */
  finishBatch(shard: number, stored: number): void;
  /** Lets the numbering of a shard's batches start higher. */
  startSequence(shard: number, sequence: bigint): void;
  /** Stores inbound events of a shard. */
  place(shard: number, data: Uint8Array, ends: Uint32Array): void;
  /** Stores inbound packets as `RawMesh.takeDeliveries` gives them; the shard is the stream id modulo the number of shards. */
  placePackets(batch: Uint8Array): void;
  /** Gives up every queued event. */
  giveUp(): number;
  /** Counters in the order of {@link CounterNames}. */
  counters(): BigUint64Array;
  /** Owner: refuses further events everywhere and takes what was staged. Attached: leaves. */
  close(): void;
  /** Addon: ends the thread and the calls into this environment. */
  release?(): void;
  /** WebAssembly: frees the node. */
  free?(): void;
}
