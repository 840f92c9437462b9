/** Types of the event bus (module `types`). Fields marked + are additions to the published 0.19.0 types. */
import type { Filter } from './bus/filter.js';
import type { MeshNode } from './mesh/index.js';

/** What happens when a shard's ring is full (10 §3.4). */
export type BackpressureMode = 'drop_newest' | 'drop_oldest' | 'fail_producer';

/** Adaptive batching in front of a store (10 §2, +). */
export interface BatchConfig {
  /** Floor of the adaptive batch size, events. Default 1000, > 0. */
  minSize?: number;
  /** Ceiling of the adaptive batch size, events. Default 10000, >= `minSize`, at most 1000000. */
  maxSize?: number;
  /** Longest time that a partial batch waits, ms. Default 10, > 0. */
  maxDelayMs?: number;
  /** Adapt the size to the ingest rate; false: always `maxSize`. Default true. */
  adaptive?: boolean;
  /** Window of the rate estimate, ms. Default 100, > 0 when adaptive. */
  velocityWindowMs?: number;
}

/** Options of `NetNode.create`. */
export interface NetNodeConfig {
  /** Number of shards, 1..65535. Default: CPUs that the process may use. */
  shards?: number;
  /** Slots of a shard's ring, a power of two >= 1024. Default 1048576. */
  bufferCapacity?: number;
  /** Default `'drop_oldest'`. + `{ mode: 'sample', rate: N }` keeps every N-th event from 3/4 fill on. */
  backpressure?: BackpressureMode | { mode: 'sample'; rate: number };
  /** Where events go and come from. Default `{ type: 'memory' }`. */
  transport?: Transport;
  /** File that keeps the producer nonce over restarts (11 §6). */
  producerNoncePath?: string;
  /** + Whether each journalled batch is synced to disk. Default `'none'`: survives a process crash, not a power failure. */
  producerJournalSync?: 'none' | 'batch';
  /** + Batching, or one of two presets. */
  batch?: BatchConfig | 'high_throughput' | 'low_latency';
  /** + Limit of one transport operation, ms. Default 30000, > 0. */
  adapterTimeoutMs?: number;
  /** + Retries of a batch before it counts as failed. Default Infinity for transient errors. */
  adapterBatchRetries?: number;
  /** + Bytes of undrained events, for the node. Rust's default when absent. */
  maxPendingBytes?: number;
}

/** Options of the memory transport (+). */
export interface MemoryOptions {
  /** Retained events per shard. Default `bufferCapacity`. */
  maxEvents?: number;
  /** Retained bytes for the node, split evenly over the shards. Default 268435456. */
  maxBytes?: number;
  /** Retention time, ms. Default none. */
  maxAgeMs?: number;
  /**
   * Bytes of the log that are allocated and touched by `create`, 12 bytes of index an event included, so that a burst
   * never waits for fresh memory. Default 0: memory is taken as the log grows.
   */
  reserveBytes?: number;
}

/** Options of the Redis Streams transport (11 §4.1). */
export interface RedisOptions {
  /** `redis://` or `rediss://` with user, password, db number. */
  url: string;
  /** Key prefix. Default `'net'`. */
  prefix?: string;
  /** + Write through a server-side script that drops the duplicates of a retry. Default true. */
  exactlyOnce?: boolean;
  /** Events per transaction or script call. Default 1000, > 0. */
  pipelineSize?: number;
  /** Connections for writing. Default: number of shards. */
  poolSize?: number;
  /** ms, default 5000, > 0. */
  connectTimeoutMs?: number;
  /** One command, ms, default 1000, > 0. */
  commandTimeoutMs?: number;
  /** `MAXLEN ~ n` of each stream. Default none. */
  maxStreamLen?: number;
  /** + Shards to read, when more than this node writes. Default: own number of shards. */
  readShards?: number;
}

/** Options of the JetStream transport (11 §5.1). */
export interface JetStreamOptions {
  /** `nats://host:port`, several separated by commas. */
  url: string;
  /** Prefix of stream names and subjects. Default `'net'`. */
  prefix?: string;
  /** ms, default 5000, > 0. */
  connectTimeoutMs?: number;
  /** ms, default 5000, > 0. */
  requestTimeoutMs?: number;
  /** Messages per stream; 0 or absent = unlimited. */
  maxMessages?: number;
  /** Bytes per stream; 0 or absent = unlimited. */
  maxBytes?: number;
  /** Age of messages, ms; absent = unlimited. */
  maxAgeMs?: number;
  /** Replicas of created streams, >= 1. Default 1. */
  replicas?: number;
  /** + Window in which the server drops duplicates, ms. Default 3600000. */
  dedupWindowMs?: number;
  /** + Storage of created streams. Default `'file'`. */
  storage?: 'file' | 'memory';
  /** + What to do when an existing stream differs from these options. Default `'warn'`. */
  existingStream?: 'warn' | 'error';
  /** + Shards to read, when more than this node writes. Default: own number of shards. */
  readShards?: number;
}

/** Options of the mesh transport: one encrypted peer over UDP (11 §8). */
export interface MeshOptions {
  /** Local `ip:port`; IPv6 in brackets. */
  bind: string;
  /** The peer's `ip:port`. */
  peer: string;
  /** Pre-shared key, 64 hex digits. */
  psk: string;
  /** Default `'initiator'`. */
  role?: 'initiator' | 'responder';
  /** 64 hex digits; required for the initiator. */
  peerPublicKey?: string;
  /** 64 hex digits; required for the responder. */
  secretKey?: string;
  /** 64 hex digits; required for the responder. */
  publicKey?: string;
  /** Default `'none'`. */
  reliability?: 'none' | 'light' | 'full';
  /** ms, default 5000, >= 10. */
  heartbeatIntervalMs?: number;
  /** ms, default 30000, > `heartbeatIntervalMs`. */
  sessionTimeoutMs?: number;
  /** Hint. Default false. */
  batchedIo?: boolean;
  /** 1..16384, default 64. */
  packetPoolSize?: number;
}

/**
 * Options of the channels of a mesh node (+): emitted events are published on the channel that their field `_channel` names,
 * as typed channels write it; what arrives on subscribed channels is read, with `_channel` set in JSON objects.
 */
export interface ChannelsOptions {
  /** The mesh node. It stays open when the bus is shut down. */
  node: MeshNode;
  /** Channel of events that name none. Without it such events are lost: `flush` and `shutdown` reject, `stats` counts. */
  publish?: string;
  /** Channels that are read, names or wildcards like `sensors/*`. Default: whatever the node is subscribed to. */
  channels?: readonly string[];
  /** Default: the channel's `reliable`, else `'fire_and_forget'`. */
  reliability?: 'fire_and_forget' | 'reliable';
}

/** Where a node's events go and come from. */
export type Transport =
  | ({ type: 'memory' } & MemoryOptions)
  | ({ type: 'redis' } & RedisOptions)
  | ({ type: 'jetstream' } & JetStreamOptions)
  | ({ type: 'mesh' } & MeshOptions)
  | ({ type: 'channels' } & ChannelsOptions);

/** Where an accepted event went. */
export interface Receipt {
  /** Shard, a pure function of the event's bytes. */
  shardId: number;
  /** Insertion time stamp: nanoseconds since the node was created; exact up to 2^53 (104 days). */
  timestamp: number;
}

/** Counters of a node; all monotonic. `eventsIngested = eventsDispatched + eventsEvicted + eventsFailed + eventsPending` at rest. */
export interface Stats {
  /** Events accepted. */
  eventsIngested: bigint;
  /** Events refused, evicted from a ring, or given up by the transport. */
  eventsDropped: bigint;
  /** + Refused at ingest. */
  eventsRejected?: bigint;
  /** + Evicted by `drop_oldest` before they were drained. */
  eventsEvicted?: bigint;
  /** + Given up by the transport. */
  eventsFailed?: bigint;
  /** + Confirmed by the transport. */
  eventsDispatched?: bigint;
  /** + Batches confirmed by the transport. */
  batchesDispatched?: bigint;
  /** + Accepted and neither confirmed nor lost. */
  eventsPending?: bigint;
  /** + Mesh: events received. */
  eventsReceived?: bigint;
  /** + Mesh: events that arrived and found the receive queue full. */
  eventsLost?: bigint;
  /** + Channels: events that named no channel. */
  eventsUnrouted?: bigint;
  /** + Mesh with reliability `'light'`: events sent and given up, because the peer did not acknowledge them within `sessionTimeoutMs`. */
  lost?: bigint;
  /** + Redis: false when the server refuses scripts. */
  exactlyOnce?: boolean;
}

/** A JSON value; integers beyond 2^53 as bigint. */
export type FilterValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly FilterValue[]
  | { readonly [key: string]: FilterValue };

/** A filter as JSON text, as the object that the text stands for, or built with `Filter` (10 §6). */
export type FilterInput = string | Filter | { readonly [key: string]: unknown };

/** Order of the events of a page: by shard, or merged by insertion time stamp over all shards and pages. */
export type Ordering = 'none' | 'insertion_ts';

/** Request of one page. */
export interface PollRequest {
  /** Events at most, an integer >= 0. */
  limit: number;
  /** `nextId` of the page before. Default: from the beginning. */
  cursor?: string;
  /** Only events that match. Text, + object or `Filter`. */
  filter?: FilterInput;
  /** Default `'none'`. */
  ordering?: Ordering;
  /** + Only these shards. Default all. */
  shards?: number[];
  /** + Redis: leave out events whose `dedupId` was seen; a number is the capacity of the memory for ids. */
  dedup?: boolean | number;
}

/** An event read back. */
export interface StoredEvent {
  /** Id in the store, unique within a shard. */
  id: string;
  /** Payload, exactly as emitted; `''` if it is not valid UTF-8 (then see `rawBytes`). */
  raw: string;
  /** Insertion time stamp, nanoseconds; exact up to 2^53. */
  insertionTs: number;
  /** Shard that was read. */
  shardId: number;
  /** + Stable id over a producer's retries, where the store has one. */
  dedupId?: string;
  /** + Payload bytes, made when read (not enumerable). */
  readonly rawBytes?: Uint8Array;
}

/** One page. */
export interface PollResponseData {
  /** At most `limit` events. */
  events: StoredEvent[];
  /** Cursor for the next page; undefined when there is nothing to resume from. */
  nextId?: string | undefined;
  /** Whether unread events remain behind `nextId`. */
  hasMore: boolean;
  /** + Shards that could not be read; present when there are some. */
  failedShards?: number[];
  /** + Events that the store had evicted between the cursor and its first event; present when there are some. */
  lost?: number;
  /** + Present and true when the page ended because one call looks at a bounded number of entries. */
  truncated?: boolean;
}

/** Options of `subscribe`, `subscribeTyped` and channels. */
export interface SubscribeOpts {
  /** Events per poll, 1 or more. Default 100. */
  limit?: number;
  /** Only events that match; `''` = no filter. */
  filter?: FilterInput;
  /** Default `'none'`. */
  ordering?: Ordering;
  /** For stores that are polled: wait after a page that was not full, and first idle wait, ms. Default 5. */
  pollIntervalMs?: number;
  /** Idle wait doubles from `pollIntervalMs` up to this, ms. Default 100. */
  maxBackoffMs?: number;
  /** + Start behind this position instead of at the beginning of the store. */
  cursor?: string;
  /** + Start with events emitted after the call of `subscribe`. */
  fromNow?: boolean;
  /** + Aborting ends the iteration like `stop()`. */
  signal?: AbortSignal;
  /** + Only these shards. Default all. */
  shards?: number[];
  /** + As in `PollRequest`. */
  dedup?: boolean | number;
}

// The names of the core package that this module has always re-exported (from here only, not from the index).
export type { EventBusOptions } from './bus/core-options.js';
export type { Net as NapiNet } from './bus/net.js';
/** An event as the low-level bus polls it: the bytes are always there. */
export type NapiStoredEvent = StoredEvent & { readonly rawBytes: Buffer };
/** A page of the low-level bus. */
export type NapiPollResponse = Omit<PollResponseData, 'events'> & { events: NapiStoredEvent[] };
/** Where an event of the low-level bus went. */
export type NapiIngestResult = Receipt;
/** Counters of the low-level bus. */
export type NapiStats = Stats;
