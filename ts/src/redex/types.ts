import type { LogStorage } from './storage.js';

/** Options of `new Redex(options)`. */
export interface RedexOptions {
  /** Directory below which persistent files live, one folder per channel. Without it every file is in memory. */
  persistentDir?: string;
  /** Ours: a storage driver of your own; the default is files in Node, and OPFS or memory in browsers. */
  storage?: LogStorage;
}

/** Options of `Redex.openFile`. They count on the first open of a name; later opens share that file. */
export interface RedexFileConfig {
  /** Mirror every append to disk (needs `persistentDir`). Default false. */
  persistent?: boolean;
  /** Flush in the background after this many appended events (> 0). Excludes `fsyncIntervalMs`. */
  fsyncEveryN?: bigint;
  /** Flush in the background every so many milliseconds (integer > 0). Excludes `fsyncEveryN`. */
  fsyncIntervalMs?: number;
  /** Keep at most this many events. */
  retentionMaxEvents?: bigint;
  /** Keep at most this many bytes (20 per event and its payload). */
  retentionMaxBytes?: bigint;
  /** Keep events at most this many milliseconds. */
  retentionMaxAgeMs?: bigint;
  /** Replication over the mesh; needs `enableReplication(mesh)` first. */
  replication?: ReplicationConfigJs;
}

/** Replication of one file. */
export interface ReplicationConfigJs {
  factor?: number;
  heartbeatMs?: bigint;
  placement?: 'standard' | 'pinned' | 'colocation-strict';
  pinnedNodes?: bigint[];
  leaderPinned?: bigint;
  onUnderCapacity?: 'withdraw' | 'evict-oldest';
  replicationBudgetFraction?: number;
}

/** One event of a log. */
export interface RedexEvent {
  /** Sequence number, assigned by `append`. */
  seq: bigint;
  /** The bytes: a copy, `Buffer` in Node. */
  payload: Buffer;
  /** Low 28 bits of XXH3-64 of the payload. */
  checksum: number;
  /** True for 8-byte records that another writer stored inline. */
  isInline: boolean;
}

/** Options of a tail. */
export interface TailOptions {
  /** Ends the iteration when it aborts. */
  signal?: AbortSignal;
}

/** State of one open file, as `Redex.stats()` reports it. */
export interface RedexFileStats {
  /** Channel name. */
  readonly name: string;
  /** Retained events. */
  readonly events: bigint;
  /** Retained payload bytes. */
  readonly bytes: bigint;
  /** Sequence number that the next append gets. */
  readonly nextSeq: bigint;
  /** Whether it is mirrored to storage. */
  readonly persistent: boolean;
  /** Live generation on disk, 0 for memory files. */
  readonly generation: number;
  /** Unix ms of the last completed flush, 0 if none. */
  readonly lastFsyncMs: number;
  /** Failed background flushes. */
  readonly fsyncFailures: number;
  /** Damaged records that the last open found and set aside. */
  readonly damagedRecords: number;
  /** Records that a crash had left unfinished at the end; the last open dropped them. */
  readonly tornRecords: number;
  /** True when a failed write could not be undone; appends fail until the file is opened again. */
  readonly poisoned: boolean;
}

/** What `Redex.stats()` returns. */
export interface RedexStats {
  /** Where persistent files live. */
  readonly storage: string;
  /** The open files, sorted by name. */
  readonly files: readonly RedexFileStats[];
}
