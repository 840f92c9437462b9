import { type LogDoor, LogStatus, type RawLog } from '../backend/log.js';
import { MeshringError, messageOf } from '../errors.js';
import { platform } from '../platform/node.js';
import { DATA, LogArea } from './area.js';
import { U64_MAX } from './config.js';
import { Stage } from './stage.js';
import type { LogStorage } from './storage.js';
import type { RedexEvent, RedexFileStats } from './types.js';

/** Where a persistent log lives. */
export interface LogHome {
  readonly storage: LogStorage;
  /** Directory of the channel. */
  readonly root: string;
}

/** Positions in a log, read in one step. */
export interface LogBounds {
  /** Sequence that the next append gets. */
  readonly nextSeq: bigint;
  /** Lowest retained sequence; `nextSeq` when nothing is retained. */
  readonly firstSeq: bigint;
  /** Every event below this sequence that ever was is gone through retention. */
  readonly evictedBelow: bigint;
  /** Retained events. */
  readonly events: bigint;
  /** Retained payload bytes. */
  readonly bytes: bigint;
}

const KINDS: Record<number, string> = {
  [LogStatus.closed]: 'closed',
  [LogStatus.tooLarge]: 'too-large',
  [LogStatus.overflow]: 'overflow',
  [LogStatus.io]: 'io',
  [LogStatus.poisoned]: 'poisoned',
  [LogStatus.locked]: 'locked',
};

/** The class of payloads: what `subarray` of the platform's bytes would make, without its cost. */
const Bytes = bytesClass();

function bytesClass(): new (buffer: ArrayBuffer, offset: number, length: number) => Buffer {
  const sample = platform.bytes(new Uint8Array(0));
  const species = (sample.constructor as { [Symbol.species]?: unknown })[Symbol.species];
  const made = typeof species === 'function' && species !== sample.constructor ? species : Uint8Array;
  if ((made as { prototype: unknown }).prototype === Object.getPrototypeOf(sample)) {
    return made as new (
      buffer: ArrayBuffer,
      offset: number,
      length: number,
    ) => Buffer;
  }
  return class {
    constructor(buffer: ArrayBuffer, offset: number, length: number) {
      // biome-ignore lint/correctness/noConstructorReturn: stands in for a class that this platform does not show
      return platform.bytes(new Uint8Array(buffer, offset, length)) as Buffer;
    }
  } as new (
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ) => Buffer;
}

const areas = new WeakMap<LogDoor, LogArea>();

/** This thread's area of a backend. */
export function areaOf(door: LogDoor): LogArea {
  let area = areas.get(door);
  if (!area) {
    area = new LogArea(door);
    areas.set(door, area);
  }
  return area;
}

/**
 * One log as all handles of this thread see it: appends, reads, and the wake-up of whoever waits for the next event.
 * Handles and managers ({@link Opened}) add their own open and closed state.
 */
export class Log {
  /** Channel name. */
  readonly name: string;
  /** Whether it is mirrored to storage. */
  readonly persistent: boolean;
  /** Where its files are; null for logs in memory. */
  readonly home: LogHome | null;
  /** How many managers hold it open. */
  holders = 0;
  /** True after {@link detach}. */
  detached = false;
  /** Ends background flushes. */
  stopFlushing: () => void = () => {};
  /** Called with the number of events after each append. */
  onAppended: ((count: number) => void) | null = null;
  readonly raw: RawLog;
  readonly #area: LogArea;
  readonly #append: () => void;
  readonly #door: LogDoor;
  #appendEvent: (() => void) | null = null;
  #stage: Stage | null;
  readonly #needsClock: boolean;
  #waiting: (() => void)[] = [];
  #remote = false;
  #compacting = false;
  #failure: unknown = null;

  /** `staged`: appends may be handed to Rust later, together; only for logs in memory that need no append times. */
  constructor(name: string, home: LogHome | null, door: LogDoor, raw: RawLog, staged = false) {
    this.name = name;
    this.persistent = home !== null;
    this.home = home;
    this.raw = raw;
    this.#area = areaOf(door);
    this.#needsClock = door.logAppender === undefined;
    const area = this.#area;
    this.#append = door.logAppender?.(raw, false) ?? (() => raw.append(area.length));
    this.#door = door;
    const failed = () => this.failedLater(this.failure('append'));
    this.#stage = staged ? new Stage(area, raw, this.#append, failed) : null;
  }

  /** Appends one payload and returns its sequence. */
  append(payload: Uint8Array): bigint {
    if (this.#failure !== null) this.raiseBackground();
    const staged = this.#stage?.add(payload);
    if (staged !== undefined) {
      if (this.#waiting.length !== 0) this.wake();
      return staged;
    }
    const area = this.#fresh();
    if (payload.length <= area.room) {
      area.bytes.set(payload, DATA);
      area.length = payload.length;
      this.#append();
    } else {
      this.raw.appendBytes(payload, Date.now());
    }
    return this.#appended('append', 1);
  }

  /** Appends an event of CortEX whose checksum is not filled in yet; undefined when it is too long for that. */
  appendEvent(event: Uint8Array): bigint | undefined {
    if (this.#failure !== null) this.raiseBackground();
    const area = this.#fresh();
    if (event.length > area.room) return undefined;
    area.bytes.set(event, DATA);
    this.#appendEvent ??= this.#door.logAppender?.(this.raw, true) ?? (() => this.raw.appendEvent(area.length));
    area.length = event.length;
    this.#appendEvent();
    return this.#appended('append', 1);
  }

  /** Appends all payloads or none; null for no payloads. */
  appendBatch(payloads: readonly Uint8Array[]): bigint | null {
    if (this.#failure !== null) this.raiseBackground();
    const area = this.#fresh();
    let total = payloads.length * 4;
    for (const payload of payloads) total += payload.length;
    if (total <= area.room) {
      let at = DATA;
      let word = area.words.length;
      for (const payload of payloads) {
        area.words[--word] = payload.length;
        area.bytes.set(payload, at);
        at += payload.length;
      }
      this.raw.appendBatch(payloads.length);
    } else {
      const lengths = Uint32Array.from(payloads, (payload) => payload.length);
      const packed = new Uint8Array(total - payloads.length * 4);
      let at = 0;
      for (const payload of payloads) {
        packed.set(payload, at);
        at += payload.length;
      }
      this.raw.appendPacked(lengths, packed, Date.now());
    }
    const first = this.#appended('append_batch', payloads.length);
    return payloads.length === 0 ? null : first;
  }

  /**
   * Calls `visit` for events of CortEX from `from` on, at most `max` and as many as one crossing carries, with where
   * each lies in `bytes` and whether its checksum holds. Returns how many it was. `visit` must not use the log.
   */
  readEvents(
    from: bigint,
    max: number,
    visit: (seq: bigint, bytes: Uint8Array, start: number, end: number, intact: boolean) => void,
  ): number | 'large' {
    const area = this.#fresh();
    const count = this.raw.read(from, TO_THE_END, max);
    if (area.bytes.length === 0) area.renew();
    if (count === 0) return area.status === LogStatus.large ? 'large' : 0;
    this.raw.checkEvents(count);
    const { words, longs, bytes } = area;
    let start = area.bytesAt;
    for (let i = 0, word = DATA / 4; i < count; i += 1, word += 4) {
      const end = start + (words[word + 2] ?? 0);
      visit(longs[word >> 1] ?? 0n, bytes, start, end, words[word + 3] === 1);
      start = end;
    }
    return count;
  }

  /** All retained events with `from <= seq < to`. */
  readRange(from: bigint, to: bigint): RedexEvent[] {
    this.observe();
    const all: RedexEvent[] = [];
    let next = from;
    while (next < to) {
      const last = this.readInto(all, next, to, 0xffff_ffff);
      if (last === null) break;
      next = last + 1n;
    }
    return all;
  }

  /**
   * Adds to `events` those with `from <= seq < to`, at most `max` and as many as one crossing carries. Returns the
   * last sequence, or null when there is none. Does not apply retention.
   */
  readInto(events: RedexEvent[], from: bigint, to: bigint, max: number): bigint | null {
    const area = this.#fresh();
    const count = this.raw.read(from, to, max);
    if (area.bytes.length === 0) area.renew();
    if (count === 0) return area.status === LogStatus.large ? this.#readLarge(events, area) : null;
    const { words, longs } = area;
    let total = 0;
    for (let i = 0, word = DATA / 4 + 2; i < count; i += 1, word += 4) total += words[word] ?? 0;
    const slab = area.bytes.buffer.slice(
      area.bytes.byteOffset + area.bytesAt,
      area.bytes.byteOffset + area.bytesAt + total,
    ) as ArrayBuffer;
    let at = 0;
    let seq = 0n;
    for (let i = 0, word = DATA / 4; i < count; i += 1, word += 4) {
      const end = at + (words[word + 2] ?? 0);
      const tag = words[word + 3] ?? 0;
      seq = longs[word >> 1] ?? 0n;
      events.push({
        seq,
        payload: new Bytes(slab, at, end - at),
        checksum: tag & 0x0fff_ffff,
        isInline: tag >= 0x8000_0000,
      });
      at = end;
    }
    return seq;
  }

  #readLarge(events: RedexEvent[], area: LogArea): bigint {
    const seq = area.seq;
    const tag = area.words[DATA / 4] ?? 0;
    const payload = platform.bytes(this.raw.payload(seq)) as Buffer;
    events.push({ seq, payload, checksum: tag & 0x0fff_ffff, isInline: false });
    return seq;
  }

  /** Applies retention in memory and returns the positions. */
  observe(): LogBounds {
    const area = this.#fresh();
    this.raw.observe(Date.now());
    if (area.bytes.length === 0) area.renew();
    const [nextSeq = 0n, firstSeq = 0n, evictedBelow = 0n, events = 0n, bytes = 0n] = area.longs;
    return { nextSeq, firstSeq, evictedBelow, events, bytes };
  }

  /** `evictedBelow` as it was when this thread last read. */
  evictedAtLastRead(): bigint {
    const area = this.#area;
    // A long event is read by a call of its own, under which memory may have grown.
    if (area.bytes.length === 0) area.renew();
    return area.longs[2] ?? 0n;
  }

  /** Moves the next sequence forward, so that the ones below are never given out. */
  advance(next: bigint): void {
    this.#fresh();
    this.#stage?.forget();
    this.raw.advance(next);
  }

  /** Drops every event below a sequence; the files keep them until the next compaction. */
  trim(below: bigint): void {
    this.#fresh();
    this.raw.trim(below);
  }

  /** Flushes dat, idx, ts, away from this thread where the platform can. */
  async sync(): Promise<void> {
    if (!this.persistent) return;
    if (this.raw.sync) return this.#described('sync', this.raw.sync());
    await this.#described('sync', this.#flushFiles());
    this.raw.flushed?.(true, Date.now());
  }

  async #flushFiles(): Promise<void> {
    for (const file of this.raw.files?.() ?? []) await (file.syncLater ? file.syncLater() : file.sync());
  }

  /** Flushes, trims and closes the files. Memory stays readable. */
  async close(): Promise<void> {
    this.#fresh();
    this.#stage = null;
    this.raw.shut?.();
    if (this.raw.close) return this.#described('close', this.raw.close());
    try {
      await this.#described('close', this.#flushFiles());
      this.raw.flushed?.(true, Date.now());
    } finally {
      // Whatever the flush said: the log is given back.
      this.closeNow();
    }
  }

  /** The rest of a close that has begun, on this thread. */
  closeNow(): void {
    this.#fresh();
    if (!this.raw.closeNow) return;
    this.raw.closeNow();
    if (this.#fresh().status !== LogStatus.done) throw this.failure('close');
  }

  /** The files were removed or replaced under it: its handles behave as closed. */
  detach(): void {
    this.raw.shut?.();
    this.detached = true;
    this.wake();
    if (this.raw.close) this.raw.close().catch(() => {});
    else this.raw.closeNow?.();
  }

  /** Starts a compaction that nobody awaits. */
  compactLater(): void {
    if (this.#compacting) return;
    this.#compacting = true;
    this.compact()
      .catch((error: unknown) => this.failedLater(error))
      .finally(() => {
        this.#compacting = false;
      });
  }

  /** Rewrites the files without what retention has removed. */
  async compact(): Promise<void> {
    if (!this.persistent) return;
    if (this.raw.compact) return this.#described('compact', this.raw.compact());
    await this.#described('compact', this.#compactSteps());
  }

  async #compactSteps(): Promise<void> {
    while (this.raw.compactStep?.()) await new Promise((resolve) => setTimeout(resolve, 0));
  }

  async #described(context: string, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const text = messageOf(error);
      const detail = text.startsWith('io: ') ? text : `io: ${text}`;
      throw new MeshringError('io', `redex: ${context}: ${detail}`, { cause: error });
    }
  }

  /** What Rust knows about this log. */
  stats(): RedexFileStats {
    const { events, bytes, nextSeq } = this.observe();
    const known = JSON.parse(this.raw.stats()) as Omit<RedexFileStats, 'name' | 'events' | 'bytes' | 'nextSeq'>;
    return { name: this.name, events, bytes, nextSeq, ...known, persistent: this.persistent };
  }

  /** Calls `waiter` once, after the next append or close. The result takes it back. */
  wait(waiter: () => void): () => void {
    this.#waiting.push(waiter);
    if (!this.#remote && this.persistent && this.raw.onRemote) {
      this.#remote = true;
      this.raw.onRemote(() => this.wake());
    }
    return () => {
      const at = this.#waiting.indexOf(waiter);
      if (at >= 0) this.#waiting.splice(at, 1);
    };
  }

  /** Calls everyone who waits. */
  wake(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const waiter of waiting) waiter();
  }

  /** Remembers a failure that happened after the call which caused it had returned. */
  failedLater(error: unknown): void {
    this.#failure = error;
  }

  /** Throws such a failure, once. */
  raiseBackground(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
  }

  /** The error for the status that the last call left. */
  failure(context: string, status = this.#area.status): MeshringError {
    return new MeshringError(KINDS[status] ?? 'io', `redex: ${context}: ${this.raw.failure()}`);
  }

  #fresh(): LogArea {
    const area = this.#area;
    area.settle();
    if (area.bytes.length === 0) area.renew();
    if (this.#needsClock) area.now = Date.now();
    return area;
  }

  #appended(context: string, count: number): bigint {
    const area = this.#area;
    if (area.bytes.length === 0) area.renew();
    if (area.status !== LogStatus.done) throw this.failure(context);
    const seq = area.seq;
    this.#stage?.learn(seq, count);
    if (this.onAppended !== null) this.onAppended(count);
    if (this.#waiting.length !== 0) this.wake();
    return seq;
  }
}

/** `to` of a read without an end. */
export const TO_THE_END = U64_MAX;
