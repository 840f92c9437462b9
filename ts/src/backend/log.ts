import type { LogStorage, StoredFile } from '../redex/storage.js';

/**
 * Append-only logs. Calls that are made for every event pass their bytes through an *area*: memory that Rust and
 * JavaScript both see, one per thread. Its layout (little-endian; `LogArea` in ts/src/redex/area.ts):
 *
 * | offset | |
 * |---|---|
 * | 0 | u64 out: sequence; after `observe`: next, first retained, evicted below, events, payload bytes |
 * | 40 | f64 in: unix ms (WebAssembly only) |
 * | 48 | u32 out: status (0 = done, otherwise the code of `LogStatus`) |
 * | 52 | u32 out of `read`: offset in the area of the payload bytes |
 * | 56 | u32 in: length of the payload for `logAppender` |
 * | 60 | u32 out of appends: payload bytes that the log still takes (2^32-1 = that or more) |
 * | 64 | payload; of `appendBatch`: payloads, and at the end of the area, backwards, their u32 lengths; of `read`: per event u64 seq, u32 length, u32 flags and checksum |
 */
export interface LogDoor {
  /** This thread's area. Its length is 0 after WebAssembly memory has grown: ask again. Null where memory cannot be shared. */
  logArea(): Uint8Array | null;
  /** A log in memory; `2^64-1` = no bound. */
  openLogMemory(maxEvents: bigint, maxBytes: bigint, maxAgeMs: bigint): RawLog;
  /** A log in a directory of the file system (addon only). `everyN` and `intervalMs`: background flushes, 0 = none. */
  openLogFiles?(
    root: string,
    maxEvents: bigint,
    maxBytes: bigint,
    maxAgeMs: bigint,
    everyN: bigint,
    intervalMs: number,
  ): RawLog;
  /** A log on a storage driver (WebAssembly only). */
  openLogStorage?(
    storage: LogStorage,
    root: string,
    maxEvents: bigint,
    maxBytes: bigint,
    maxAgeMs: bigint,
    nowMs: number,
  ): RawLog;
  /** `append` (`events`: `appendEvent`) of one log as a function of its own: cheaper than a method (addon only). */
  logAppender?(log: RawLog, events: boolean): () => void;
  /** 28-bit checksum of a payload. */
  logChecksum(payload: Uint8Array): number;
  /** The 16 bytes of a manifest. */
  logManifest(generation: number): Uint8Array;
  /** Generation of a manifest, 0 when it is invalid. */
  logReadManifest(bytes: Uint8Array): number;
  /** One 20-byte record. */
  logRecord(seq: bigint, offset: number, payload: Uint8Array, inline: boolean): Uint8Array;
  /** Begins to check the files of a generation without changing them. */
  logVerifier(datLength: number, tsLength: number): RawVerifier;
}

/** Handle of a log in Rust. Methods that can fail leave a status in the area; `failure()` is its text. */
export interface RawLog {
  /** Appends the `length` bytes in the area. */
  append(length: number): void;
  /** The same for an event of CortEX: the checksum in its header is filled in. */
  appendEvent(length: number): void;
  /** Appends bytes that are too long for the area. */
  appendBytes(payload: Uint8Array, nowMs: number): void;
  /** Appends `count` payloads that lie in the area. */
  appendBatch(count: number): void;
  /** Appends a batch that is too long for the area. */
  appendPacked(lengths: Uint32Array, bytes: Uint8Array, nowMs: number): void;
  /**
   * Puts events with `from <= seq < to` into the area, at most `max` and as many as fit; returns how many.
   * 0 with status `large` = the next one does not fit (its seq at offset 0): use `payload`.
   */
  read(from: bigint, to: bigint, max: number): number;
  /** Replaces flags and checksum of the `count` events that were just read by 1 (intact event of CortEX) or 0. */
  checkEvents(count: number): void;
  /** Moves the next sequence forward, so that the ones below are never given out. */
  advance(next: bigint): void;
  /** Drops every event below a sequence; the files keep them until the next compaction. */
  trim(below: bigint): void;
  /** The payload of one event. */
  payload(seq: bigint): Uint8Array;
  /** Applies retention in memory and writes next, first, evicted below, events, bytes to the area. */
  observe(nowMs: number): void;
  /** Text of the last failure. */
  failure(): string;
  /** JSON with the fields of `RedexFileStats` that Rust knows. */
  stats(): string;
  /** Whether the files under the path are still the open ones. */
  isLive(): boolean;
  /** Marks the log closed: appends fail from now on (WebAssembly only; the addon's `close` does it). */
  shut?(): void;
  /** Flushes dat, idx, ts away from this thread (addon only). */
  sync?(): Promise<void>;
  /** After `shut`: flushes, trims and closes the files, releases the lock (addon only). */
  close?(): Promise<void>;
  /** The same on this thread, for WebAssembly; the caller has flushed the files. */
  closeNow?(): void;
  /** The open files dat, idx, ts of a log on a storage driver (WebAssembly only). */
  files?(): StoredFile[];
  /** Notes the outcome of a flush that the caller made (WebAssembly only). */
  flushed?(ok: boolean, nowMs: number): void;
  /** Whether enough was evicted to rewrite the files. */
  compactionDue(): boolean;
  /** Rewrites the files without what was evicted (addon only: away from this thread). */
  compact?(): Promise<void>;
  /** One slice of the same; false when done. `force` = also when little was evicted (WebAssembly only). */
  compactStep?(): boolean;
  /** Calls back on this thread when another thread has appended, or closed the log (addon only). */
  onRemote?(callback: () => void): void;
  /** Frees the memory now (WebAssembly only). */
  free?(): void;
}

/** Check of a generation: all records of `idx` go to `take`, then all of them again, in pieces, to `check`. */
export interface RawVerifier {
  /** The next complete records. */
  take(idx: Uint8Array): void;
  /** The next complete records; `dat` begins at `from` in its file and has the payloads that they name. */
  check(idx: Uint8Array, dat: Uint8Array, from: number): void;
  /** JSON: `{ records, events, nextSeq, torn, dat, missingTimes, damage: [{ file, offset, record, seq, reason }] }`. */
  result(): string;
  /** Frees the memory now (WebAssembly only). */
  free?(): void;
}

/** Values of the area's status word. */
export const LogStatus = {
  done: 0,
  closed: 1,
  tooLarge: 2,
  overflow: 3,
  io: 4,
  poisoned: 5,
  large: 6,
  locked: 7,
} as const;
