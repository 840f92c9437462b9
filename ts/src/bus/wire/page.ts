/** Packed pages as Rust makes them from a server's answer; layout in `native/src/record/page.rs`. */
import { StoredEvent, storedEvent } from '../stored-event.js';
import type { StoreEvent } from '../transport.js';

const HEADER_WORDS = 8;

/** Readable events of one answer in columns, and what was looked at. */
export class PackedPage {
  readonly #bytes: Buffer;
  readonly #payloadEnds: Uint32Array;
  readonly #idEnds: Uint32Array;
  readonly #dedupEnds: Uint32Array;
  readonly #payloads: number;
  readonly #ids: number;
  readonly #dedups: number;
  readonly #ascii: boolean;
  /** Number of readable events. */
  readonly count: number;
  /** Number of entries looked at. */
  readonly looked: number;
  /** Number of entries that could not be read. */
  readonly unreadable: number;
  /** Id of the last entry looked at, if any. */
  readonly lastId: string | undefined;
  /** Id of the first entry that could not be read, if any. */
  readonly firstUnreadable: string | undefined;
  /** Time stamps, low word first. */
  readonly stamps: Uint32Array;

  constructor(packed: Uint8Array) {
    const aligned = packed.byteOffset % 4 === 0 ? packed : new Uint8Array(packed);
    const bytes = Buffer.from(aligned.buffer, aligned.byteOffset, aligned.byteLength);
    this.#bytes = bytes;
    const words = (at: number, length: number) => new Uint32Array(bytes.buffer, bytes.byteOffset + 4 * at, length);
    const [n = 0, looked = 0, unreadable = 0, ascii = 0, lastStart = 0, lastEnd = 0, badStart = 0, badEnd = 0] = words(
      0,
      HEADER_WORDS,
    );
    this.count = n;
    this.looked = looked;
    this.unreadable = unreadable;
    this.#ascii = ascii === 1;
    this.stamps = words(HEADER_WORDS, 2 * n);
    this.#payloadEnds = words(HEADER_WORDS + 2 * n, n);
    this.#idEnds = words(HEADER_WORDS + 3 * n, n);
    this.#dedupEnds = words(HEADER_WORDS + 4 * n, n);
    this.#payloads = 4 * (HEADER_WORDS + 5 * n);
    this.#ids = this.#payloads + (n > 0 ? (this.#payloadEnds[n - 1] ?? 0) : 0);
    this.#dedups = this.#ids + (n > 0 ? (this.#idEnds[n - 1] ?? 0) : 0);
    const texts = this.#dedups + (n > 0 ? (this.#dedupEnds[n - 1] ?? 0) : 0);
    this.lastId = looked > 0 ? bytes.toString('latin1', texts + lastStart, texts + lastEnd) : undefined;
    this.firstUnreadable = unreadable > 0 ? bytes.toString('latin1', texts + badStart, texts + badEnd) : undefined;
  }

  /** Payloads back to back, for filters that test a whole page at once; event `i` ends at `payloadEnds[i]`. */
  get payloads(): Uint8Array {
    return this.#bytes.subarray(this.#payloads, this.#ids);
  }

  /** See {@link payloads}. */
  get payloadEnds(): Uint32Array {
    return this.#payloadEnds;
  }

  /** Payload of event `i`; shares the page's memory. */
  payload(i: number): Uint8Array {
    return this.#bytes.subarray(
      this.#payloads + start(this.#payloadEnds, i),
      this.#payloads + end(this.#payloadEnds, i),
    );
  }

  /** Store id of event `i`. */
  id(i: number): string {
    return this.#bytes.toString('latin1', this.#ids + start(this.#idEnds, i), this.#ids + end(this.#idEnds, i));
  }

  /** Dedup id of event `i`, if the entry has one. */
  dedupId(i: number): string | undefined {
    const [from, to] = [start(this.#dedupEnds, i), end(this.#dedupEnds, i)];
    return from === to ? undefined : this.#bytes.toString('utf8', this.#dedups + from, this.#dedups + to);
  }

  /** Exact time stamp of event `i`. */
  timestamp(i: number): bigint {
    return (BigInt(this.stamps[2 * i + 1] ?? 0) << 32n) | BigInt(this.stamps[2 * i] ?? 0);
  }

  /** Event `i` as users see it. */
  event(i: number, shard: number): StoredEvent {
    const ts = (this.stamps[2 * i + 1] ?? 0) * 0x1_0000_0000 + (this.stamps[2 * i] ?? 0);
    const dedupId = this.dedupId(i);
    if (!this.#ascii) return storedEvent(this.id(i), this.payload(i), ts, shard, dedupId);
    const from = this.#payloads + start(this.#payloadEnds, i);
    const text = this.#bytes.toString('latin1', from, this.#payloads + end(this.#payloadEnds, i));
    const event = new StoredEvent(this.id(i), text, ts, shard);
    if (dedupId !== undefined) event.dedupId = dedupId;
    return event;
  }

  /** Event `i` as a transport answers it. */
  storeEvent(i: number): StoreEvent {
    const dedupId = this.dedupId(i);
    const event = { id: this.id(i), raw: this.payload(i), ts: this.timestamp(i) };
    return dedupId === undefined ? event : { ...event, dedupId };
  }
}

function start(ends: Uint32Array, i: number): number {
  return i === 0 ? 0 : (ends[i - 1] ?? 0);
}

function end(ends: Uint32Array, i: number): number {
  return ends[i] ?? 0;
}
