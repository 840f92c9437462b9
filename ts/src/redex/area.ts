import type { LogDoor } from '../backend/log.js';
import type { Stage } from './stage.js';

const SEQ = 0;
const NOW = 40 / 8;
const STATUS = 48 / 4;
const BYTES_AT = 52 / 4;
const LENGTH = 56 / 4;
const LEFT = 60 / 4;
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
  /** Longest payload that can be staged with its length; -1 = nothing can. */
  stageable = -1;
  /** Whose appends are staged in here. Weak: a log that nobody uses any more need not get them. */
  owner: WeakRef<Stage> | null = null;
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
    this.stageable = this.room - 4;
  }

  /** Hands over appends that are staged in here: call before any other use. */
  settle(): void {
    const { owner } = this;
    if (owner === null) return;
    this.owner = null;
    // The memory may have grown since the bytes were staged: they are still there, but the views are not.
    if (this.bytes.length === 0) this.renew();
    owner.deref()?.drain();
  }

  /** Length for an append without arguments. */
  set length(bytes: number) {
    this.words[LENGTH] = bytes;
  }

  get length(): number {
    return this.words[LENGTH] ?? 0;
  }

  /** Payload bytes that the log of the last append still takes. */
  get left(): number {
    return this.words[LEFT] ?? 0;
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
