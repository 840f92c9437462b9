import type { LogDoor } from '../backend/log.js';

const SEQ = 0;
const NOW = 40 / 8;
const STATUS = 48 / 4;
const BYTES_AT = 52 / 4;
/** Word that holds the length for an append without arguments. */
export const LENGTH = 56 / 4;
/** Where payloads start. */
export const DATA = 64;

/** The memory through which one thread and Rust exchange events (layout: ts/src/backend/log.ts). */
export class LogArea {
  bytes: Uint8Array = new Uint8Array(0);
  words: Uint32Array = new Uint32Array(0);
  longs: BigUint64Array = new BigUint64Array(0);
  #floats: Float64Array = new Float64Array(0);
  /** Payload bytes that fit. */
  room = 0;
  readonly #door: LogDoor;

  constructor(door: LogDoor) {
    this.#door = door;
    this.renew();
  }

  /** Views go stale when WebAssembly memory grows: call before each use unless `bytes.length` is not 0. */
  renew(): void {
    const bytes = this.#door.logArea();
    if (!bytes) return;
    this.bytes = bytes;
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    this.longs = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
    this.#floats = new Float64Array(bytes.buffer, bytes.byteOffset, 8);
    this.room = bytes.byteLength - DATA;
  }

  /** Status of the last call. */
  get status(): number {
    return this.words[STATUS] ?? 0;
  }

  /** Sequence that the last append was given. */
  get seq(): bigint {
    return this.longs[SEQ] ?? 0n;
  }

  /** Where the payload bytes of the last read begin. */
  get bytesAt(): number {
    return this.words[BYTES_AT] ?? 0;
  }

  /** Wall clock for a core that has none. */
  set now(ms: number) {
    this.#floats[NOW] = ms;
  }
}
