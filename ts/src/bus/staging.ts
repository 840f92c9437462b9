/**
 * Producer side of the staging ring (layout and memory order: `native/src/bus/ring.rs`).
 *
 * An event is framed into memory that Rust sees, without a call. The position is published at a high-water mark, at
 * the end of the current tick, and before every call that must see it.
 */
import type { RawBus } from '../backend/bus.js';
import { door } from '../backend/choose.js';
import { MeshringError } from '../errors.js';
import { platform } from '../platform/node.js';

// Field offsets, in 32-bit words (RESULT_TS in 64-bit words).
const TAIL = 0;
const HEAD = 64 / 4;
const ASLEEP = 68 / 4;
const ACCEPT = 72 / 4;
const LIMIT = 76 / 4;
const STAGED = 128 / 4;
const COUNT = 132 / 4;
const CLOSED = 192 / 4;
const RESULT_SHARD = 196 / 4;
const RESULT_OK = 200 / 4;
const RESULT_TS = 208 / 8;
/** Byte offset of the first frame. */
const DATA = 256;
/** Header that sends the reader to the start of the data. */
const SKIP = -1;
/** Header flag: the payload starts with the event's hash. */
const HASHED = 1 << 30;

/** With a drain thread the position is published at least every so many bytes: each publication moves a cache line. */
const MARK_THREAD = 4096;
/** Without one, draining inline in chunks that stay in the cache. */
const MARK_INLINE = 64 << 10;
/** Below this length a byte loop is faster than a call of `set`. */
const SHORT = 24;

/** Buffer methods of Node that are missing elsewhere. */
interface TextWriter {
  utf8Write?(text: string, offset: number): number;
}

const encoder = new TextEncoder();

/** Result of a staged call that must know what became of its event. */
export interface Placed {
  /** Whether the event was accepted. */
  readonly accepted: boolean;
  /** Its shard. */
  readonly shardId: number;
  /** Its time stamp, ns since the node was created. */
  readonly timestamp: number;
}

/** End of a tick in which events were staged. */
export interface TickEnd {
  /** Whether somebody here waits for them: they are drained at once instead of by the thread. */
  eager(): boolean;
  /** Called after they were drained or published. */
  done(): void;
}

/** The one producer of a ring. */
export class Staging {
  private u8: Uint8Array = new Uint8Array();
  private i32: Int32Array = new Int32Array();
  private f64: Float64Array = new Float64Array();
  private writer: TextWriter | undefined;
  /** Data bytes of the ring. */
  private size = 0;
  /** Byte offset of the next frame. */
  private at = DATA;
  /** Byte offset up to which frames may be written without asking. */
  private end = DATA;
  /** Byte offset at which the position is published. */
  private mark = 0;
  /** Position = lap + at, wrapping. */
  private lap = -DATA;
  private published = 0;
  private count = 0;
  /** Events may be staged while `count` is below it (wrapping); only read when `limited`. */
  private accept = 0;
  /** Frames may be staged up to this position (wrapping); only read when `limited`. */
  private limit = 0;
  private scheduled = false;
  private readonly drainRing: () => void;
  private readonly wake: (() => void) | undefined;
  private readonly highWater: number;
  private readonly tick: () => void;
  /** Clock of the WebAssembly build, which has none of its own. */
  private readonly clock: (() => void) | undefined;
  private detached = false;
  /** Local memory stands in where external buffers are not allowed. */
  private local: Uint8Array | undefined;

  /**
   * @param raw the node's handle in Rust
   * @param limited whether the backpressure mode may refuse events (10 §3.4)
   * @param strong whether other threads read what is staged here before it is published and must be told apart from a
   *   shutdown in between: attached producers, and every producer where plain stores are not ordered
   * @param ticks what happens at the end of a tick in which events were staged
   * @param clock sets the clock before a drain (WebAssembly)
   */
  constructor(
    private readonly raw: RawBus,
    private readonly limited: boolean,
    private readonly strong: boolean,
    private readonly ticks: TickEnd,
    clock?: () => void,
  ) {
    this.clock = clock;
    const calls = raw.calls?.();
    if (calls) {
      this.drainRing = calls.drain;
      this.wake = calls.wake;
      this.highWater = MARK_THREAD;
    } else {
      this.drainRing = () => {
        clock?.();
        raw.drain?.();
      };
      this.highWater = MARK_INLINE;
    }
    this.tick = () => {
      this.scheduled = false;
      if (this.detached) return;
      if (this.ticks.eager()) this.drain();
      else this.publish();
      this.mark = 0;
      this.ticks.done();
    };
    this.map();
  }

  /** Whether the node was shut down, here or on another thread. */
  get closed(): boolean {
    if (this.u8.length === 0) this.map();
    return this.i32[CLOSED] !== 0;
  }

  /** Whether events go by a call each, because external buffers are not allowed here. */
  get direct(): boolean {
    return this.local !== undefined;
  }

  /** Lets go of the ring, after the node was shut down: its memory may be used for something else. */
  detach(): void {
    this.detached = true;
    this.local = new Uint8Array(DATA);
    this.map();
    this.i32[CLOSED] = 1;
    this.at = DATA;
    this.end = DATA;
  }

  /** Renews the views: the memory of the WebAssembly instance moves when it grows. */
  private map(): void {
    const { raw } = this;
    let bytes: Uint8Array;
    if (this.local) {
      bytes = this.local;
    } else if (raw.ringPointer && raw.ringLength && door.memory) {
      bytes = new Uint8Array(door.memory.buffer, raw.ringPointer(), raw.ringLength());
    } else {
      const buffer = raw.ringBuffer?.();
      // Without shared memory each event is handed over by a call: a ring of no size sends all events there.
      if (!buffer) this.local = new Uint8Array(DATA);
      bytes = buffer ? new Uint8Array(buffer) : (this.local as Uint8Array);
    }
    this.u8 = bytes;
    this.i32 = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    this.f64 = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
    const view = platform.bytes(bytes) as Uint8Array & TextWriter;
    this.writer = typeof view.utf8Write === 'function' ? view : undefined;
    this.size = bytes.byteLength - DATA;
  }

  /** Stages bytes. False: refused by the backpressure mode, or the node is shut down. */
  bytes(data: Uint8Array): boolean {
    const length = data.length;
    const at = this.at;
    const next = (at + length + 7) & ~3;
    if (next > this.end || this.u8.length === 0) return this.bytesSlowly(data);
    if (this.limited && !this.fits(next - at)) return this.ask(data);
    if (this.i32[CLOSED] !== 0) return false;
    this.i32[at >> 2] = length;
    const u8 = this.u8;
    if (length < SHORT) {
      for (let i = 0, to = at + 4; i < length; i++, to++) u8[to] = data[i] as number;
    } else {
      u8.set(data, at + 4);
    }
    return this.staged(next);
  }

  /** Stages text as UTF-8; a lone surrogate becomes U+FFFD. */
  text(text: string): boolean {
    const at = this.at;
    const writer = this.writer;
    // At most three bytes a UTF-16 unit.
    if (at + text.length * 3 + 7 > this.end || writer === undefined || this.u8.length === 0) {
      return this.textSlowly(text);
    }
    if (this.limited && !this.fits(text.length * 3 + 7)) return this.ask(encoder.encode(text));
    if (this.i32[CLOSED] !== 0) return false;
    const length = (writer as Required<TextWriter>).utf8Write(text, at + 4);
    this.i32[at >> 2] = length;
    return this.staged((at + length + 7) & ~3);
  }

  /** Stages bytes under a given hash, which is not checked. */
  hashed(data: Uint8Array, hash: bigint): boolean {
    const length = data.length + 8;
    const next = (this.at + length + 7) & ~3;
    if (this.closed) return false;
    if (next > this.end && !this.makeRoom(length)) return this.push(data, hash).accepted;
    if (this.limited && !this.fits(length + 7)) return this.push(data, hash).accepted;
    const at = this.at;
    this.i32[at >> 2] = length | HASHED;
    this.i32[(at >> 2) + 1] = Number(BigInt.asIntN(32, hash));
    this.i32[(at >> 2) + 2] = Number(BigInt.asIntN(32, hash >> 32n));
    this.u8.set(data, at + 12);
    return this.staged((at + length + 7) & ~3);
  }

  /** Stages bytes, drains, and tells what became of the event. The answer is valid until the next call. */
  placeBytes(data: Uint8Array): Placed {
    if (this.u8.length === 0) this.map();
    if (!this.makeRoom(data.length)) return this.push(data);
    const at = this.at;
    this.i32[at >> 2] = data.length;
    this.u8.set(data, at + 4);
    return this.settle((at + data.length + 7) & ~3);
  }

  /** As {@link placeBytes}, for text. */
  placeText(text: string): Placed {
    if (this.u8.length === 0) this.map();
    if (this.writer === undefined || !this.makeRoom(text.length * 3)) return this.placeBytes(encoder.encode(text));
    const at = this.at;
    const length = (this.writer as Required<TextWriter>).utf8Write(text, at + 4);
    this.i32[at >> 2] = length;
    return this.settle((at + length + 7) & ~3);
  }

  /** Makes everything staged visible to the drain, and wakes it if it sleeps. */
  publish(): void {
    if (this.u8.length === 0) this.map();
    const tail = (this.lap + this.at) | 0;
    if (tail === this.published || this.local) return;
    if (this.wake === undefined) {
      this.drain();
      return;
    }
    this.published = tail;
    this.mark = this.scheduled ? this.at + this.highWater : 0;
    Atomics.store(this.i32, TAIL, tail);
    if (Atomics.load(this.i32, ASLEEP) === 1) {
      // One call is enough: the drain thread sets the flag again when it goes to sleep the next time.
      Atomics.store(this.i32, ASLEEP, 0);
      this.wake();
    }
  }

  /** Drains everything staged, on this thread. */
  drain(): void {
    this.drainRing();
    if (this.u8.length === 0) this.map();
    this.published = (this.lap + this.at) | 0;
    this.end = this.local ? DATA : DATA + this.size;
    this.mark = this.scheduled ? this.at + this.highWater : 0;
  }

  /** Lets other threads attach; returns the id under which they do. */
  share(): bigint {
    const id = this.raw.share?.();
    if (id === undefined) throw new MeshringError('unsupported', 'shareable is not available on the wasm backend');
    this.forgetPromise();
    return id;
  }

  /** Whether a frame of `need` bytes surely fits. */
  private fits(need: number): boolean {
    if (this.promised(need)) return true;
    this.accept = Atomics.load(this.i32, ACCEPT);
    this.limit = Atomics.load(this.i32, LIMIT);
    return this.promised(need);
  }

  private promised(need: number): boolean {
    return ((this.count - this.accept) | 0) < 0 && ((this.lap + this.at + need - this.limit) | 0) <= 0;
  }

  /** Something else took room: what was promised before no longer holds. */
  private forgetPromise(): void {
    this.accept = this.count;
  }

  /** The frame that ends at `next` is complete. */
  private staged(next: number): boolean {
    this.at = next;
    this.count = (this.count + 1) | 0;
    if (this.strong) return this.stagedStrongly();
    this.i32[COUNT] = this.count;
    this.i32[STAGED] = this.lap + next;
    if (next >= this.mark) this.reachedMark();
    return true;
  }

  private stagedStrongly(): boolean {
    const tail = (this.lap + this.at) | 0;
    Atomics.store(this.i32, COUNT, this.count);
    Atomics.store(this.i32, STAGED, tail);
    if (this.at >= this.mark) this.reachedMark();
    if (Atomics.load(this.i32, CLOSED) === 0) return true;
    // Closed while this event was staged: it counts if the last sweep takes it. The call waits for that sweep, which
    // runs under the same lock.
    this.drainRing();
    return ((Atomics.load(this.i32, HEAD) - tail) | 0) >= 0;
  }

  private reachedMark(): void {
    if (this.scheduled) {
      this.publish();
      return;
    }
    this.scheduled = true;
    this.mark = this.at + this.highWater;
    queueMicrotask(this.tick);
  }

  private bytesSlowly(data: Uint8Array): boolean {
    if (this.u8.length === 0) this.map();
    if (this.i32[CLOSED] !== 0) return false;
    if (!this.makeRoom(data.length)) return this.push(data).accepted;
    return this.bytes(data);
  }

  private textSlowly(text: string): boolean {
    if (this.u8.length === 0) this.map();
    if (this.i32[CLOSED] !== 0) return false;
    if (this.writer === undefined) return this.encodeInto(text);
    if (text.length * 3 > this.size >> 2) return this.bytes(encoder.encode(text));
    return this.makeRoom(text.length * 3) ? this.text(text) : this.bytes(encoder.encode(text));
  }

  /** Where there is no `utf8Write`: the standard way. */
  private encodeInto(text: string): boolean {
    if (!this.makeRoom(text.length * 3)) return this.bytes(encoder.encode(text));
    if (this.limited && !this.fits(text.length * 3 + 7)) return this.ask(encoder.encode(text));
    const at = this.at;
    const { written } = encoder.encodeInto(text, this.u8.subarray(at + 4, this.end));
    this.i32[at >> 2] = written;
    return this.staged((at + written + 7) & ~3);
  }

  /** Acceptance can't be known here: the event is placed by a call. */
  private ask(data: Uint8Array): boolean {
    if (this.i32[CLOSED] !== 0) return false;
    return this.placeBytes(data).accepted;
  }

  /** The frame that ends at `next` is complete; drains and reads the answer. */
  private settle(next: number): Placed {
    this.at = next;
    this.count = (this.count + 1) | 0;
    if (this.strong) {
      Atomics.store(this.i32, COUNT, this.count);
      Atomics.store(this.i32, STAGED, (this.lap + next) | 0);
    } else {
      this.i32[COUNT] = this.count;
      this.i32[STAGED] = this.lap + next;
    }
    this.drain();
    this.notice();
    return this.answer();
  }

  private answer(): Placed {
    if (this.local) {
      const [accepted, shardId, timestamp] = this.raw.answer?.() ?? [];
      return { accepted: accepted === 1, shardId: shardId ?? 0, timestamp: timestamp ?? 0 };
    }
    return {
      accepted: this.i32[RESULT_OK] === 1,
      shardId: this.i32[RESULT_SHARD] as number,
      timestamp: this.f64[RESULT_TS] as number,
    };
  }

  /** An event that is too large for the ring, behind what is staged. */
  private push(data: Uint8Array, hash?: bigint): Placed {
    this.clock?.();
    this.raw.push(data, hash);
    this.forgetPromise();
    if (this.u8.length === 0) this.map();
    this.published = (this.lap + this.at) | 0;
    this.end = this.local ? DATA : DATA + this.size;
    this.notice();
    return this.answer();
  }

  /** Waiters learn at the end of the tick of what was drained here. */
  private notice(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(this.tick);
  }

  /** Makes room for a frame with `length` payload bytes; false when it is too large for the ring. */
  private makeRoom(length: number): boolean {
    // Never less than what the fast paths ask for.
    const need = (length + 11) & ~3;
    if (need > this.size >> 2) return false;
    if (this.at + need <= this.end) return true;
    let room = this.room();
    const left = DATA + this.size - this.at;
    const wrap = need > left;
    if (room < (wrap ? need + left : need)) {
      this.drain();
      room = this.size;
    }
    if (wrap) {
      if (left >= 4) this.i32[this.at >> 2] = SKIP;
      this.lap = (this.lap + this.at - DATA + left) | 0;
      room -= left;
      this.mark = Math.max(0, this.mark - this.at + DATA);
      this.at = DATA;
    }
    this.end = Math.min(DATA + this.size, this.at + room);
    return true;
  }

  /** Free bytes of the ring. */
  private room(): number {
    const used = (this.lap + this.at - Atomics.load(this.i32, HEAD)) | 0;
    return this.size - used;
  }
}
