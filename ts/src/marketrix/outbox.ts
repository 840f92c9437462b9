/**
 * The sending half of a stream: frames are written one behind the other into a buffer that goes out once per turn of
 * the event loop, so that a thousand small messages make a few DATA frames. What waits is bounded in bytes.
 */
import type { Writable } from 'node:stream';
import { MarketrixError } from '../errors.js';
import type { Counters } from './counters.js';
import { type Endian, HEADER_BYTES, tooLarge, writeLength } from './frames.js';

const MIN_SLAB = 1024;
const MAX_SLAB = 64 * 1024;
/** `send` gives the event loop a turn after this many messages. */
const MESSAGES_PER_TURN = 256;
const DONE = Promise.resolve();

export interface OutboxOptions {
  endian: Endian;
  /** Largest payload that the other side takes. */
  maxFrameBytes: number;
  maxQueuedBytes: number;
  counters: Counters;
}

interface Waiting {
  text: string;
  resolve: () => void;
  reject: (error: Error) => void;
}

/** Made only where somebody gets it: most streams close with nobody waiting. */
function closedError(): MarketrixError {
  return new MarketrixError('closed', 'the stream is closed');
}

/** Queue of frames before a stream of HTTP/2. */
export class Outbox {
  readonly #stream: Writable;
  readonly #options: OutboxOptions;
  #slab = Buffer.alloc(0);
  /** Start of what is not handed over yet, and end of what is filled, in the slab. */
  #from = 0;
  #used = 0;
  #nextSlab = MIN_SLAB;
  #sealed: Buffer[] = [];
  /** Accepted bytes that the connection has not taken yet. */
  #queued = 0;
  #writing = false;
  #scheduled = false;
  #sinceTurn = 0;
  #waiting: Waiting[] = [];
  #failure: Error | undefined;
  #ending: { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } | undefined;
  #finished = false;
  #closed = false;

  constructor(stream: Writable, options: OutboxOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Bytes that are accepted and not yet taken by the connection. */
  get queued(): number {
    return this.#queued;
  }

  /** Whether `end` was called or the stream broke. */
  get ended(): boolean {
    return this.#ending !== undefined || this.#failure !== undefined || this.#closed;
  }

  /** Whether everything, and the end, was handed to the connection. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Limits frames to what the other side said that it takes. */
  limitFrames(bytes: number): void {
    if (bytes < this.#options.maxFrameBytes) this.#options.maxFrameBytes = bytes;
  }

  /** Queues a JSON text as one frame. See `PeerStream.send`. */
  send(text: string): Promise<void> {
    const refused = this.#refusal(text);
    if (refused) return Promise.reject(refused);
    if (this.#waiting.length > 0 || this.#queued > this.#options.maxQueuedBytes / 2) {
      return new Promise((resolve, reject) => {
        this.#waiting.push({ text, resolve, reject });
      });
    }
    this.#append(text);
    if (++this.#sinceTurn < MESSAGES_PER_TURN) return DONE;
    this.#sinceTurn = 0;
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Queues a JSON text as one frame if there is room. @throws MarketrixError `frame-too-large`. */
  trySend(text: string): boolean {
    if (this.ended) return false;
    const refused = this.#refusal(text);
    if (refused) throw refused;
    const { maxQueuedBytes } = this.#options;
    const size = HEADER_BYTES + text.length;
    if (this.#waiting.length > 0 || (this.#queued > 0 && this.#queued + size > maxQueuedBytes)) return false;
    this.#append(text);
    return true;
  }

  /** Half-closes after everything accepted and waiting; resolves when the connection has taken all. */
  end(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#closed && !this.#ending) return Promise.reject(closedError());
    if (!this.#ending) {
      let [resolve, reject] = [() => {}, (_: Error) => {}];
      const promise = new Promise<void>((onDone, onError) => {
        [resolve, reject] = [onDone, onError];
      });
      promise.catch(() => {});
      this.#ending = { promise, resolve, reject };
      this.#flush();
    }
    return this.#ending.promise;
  }

  /** The stream is gone: `end` has succeeded if everything was handed over, else everybody who waits is told. */
  closed(): void {
    this.#closed = true;
    if (this.#failure) return;
    if (this.#finished) this.#ending?.resolve();
    else if (this.#ending || this.#waiting.length > 0 || this.#queued > 0) this.fail(closedError());
  }

  /** The stream broke or was closed: everybody who waits is told. */
  fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#sealed = [];
    this.#slab = Buffer.alloc(0);
    this.#from = 0;
    this.#used = 0;
    for (const { reject } of waiting) reject(error);
    this.#ending?.reject(error);
  }

  #refusal(text: string): Error | undefined {
    if (this.#failure) return this.#failure;
    if (this.#ending) return new MarketrixError('closed', 'send after end');
    if (this.#closed) return closedError();
    const { maxFrameBytes } = this.#options;
    // A UTF-16 unit takes at most three bytes of UTF-8.
    if (text.length * 3 <= maxFrameBytes) return undefined;
    const length = Buffer.byteLength(text);
    return length > maxFrameBytes ? tooLarge(length, maxFrameBytes) : undefined;
  }

  #append(text: string): void {
    const { endian, counters } = this.#options;
    const most = HEADER_BYTES + text.length * 3;
    let bytes: number;
    if (most > MAX_SLAB / 2) {
      this.#seal();
      const length = Buffer.byteLength(text);
      const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
      writeLength(frame, length, 0, endian);
      frame.write(text, HEADER_BYTES);
      this.#sealed.push(frame);
      bytes = frame.length;
    } else {
      if (most > this.#slab.length - this.#used) this.#renewSlab(most);
      const length = this.#slab.write(text, this.#used + HEADER_BYTES);
      writeLength(this.#slab, length, this.#used, endian);
      bytes = HEADER_BYTES + length;
      this.#used += bytes;
    }
    this.#queued += bytes;
    counters.messagesSent += 1;
    counters.bytesSent += bytes;
    if (!this.#scheduled && !this.#writing) {
      this.#scheduled = true;
      process.nextTick(() => {
        this.#scheduled = false;
        this.#flush();
      });
    }
  }

  #seal(): void {
    if (this.#used > this.#from) this.#sealed.push(this.#slab.subarray(this.#from, this.#used));
    this.#from = this.#used;
  }

  /** Slabs grow with the traffic of the stream, so that a thousand idle streams stay small. */
  #renewSlab(most: number): void {
    this.#seal();
    while (this.#nextSlab < most) this.#nextSlab *= 2;
    this.#slab = Buffer.allocUnsafe(this.#nextSlab);
    this.#nextSlab = Math.min(MAX_SLAB, this.#nextSlab * 2);
    this.#from = 0;
    this.#used = 0;
  }

  #flush(): void {
    if (this.#writing || this.#failure || this.#finished) return;
    this.#seal();
    const batch = this.#sealed;
    if (batch.length === 0) {
      if (this.#ending && this.#waiting.length === 0) this.#finish();
      return;
    }
    this.#sealed = [];
    this.#writing = true;
    const size = batch.reduce((sum, part) => sum + part.length, 0);
    const closing = this.#ending !== undefined && this.#waiting.length === 0;
    if (closing) this.#finished = true;
    this.#stream.cork();
    batch.forEach((part, i) => {
      const last = i === batch.length - 1;
      if (!last) this.#stream.write(part);
      else if (closing) this.#stream.end(part, () => this.#gone(size));
      else this.#stream.write(part, (error) => this.#taken(size, error));
    });
    this.#stream.uncork();
  }

  #taken(size: number, error: Error | null | undefined): void {
    this.#writing = false;
    this.#queued -= size;
    if (error) return; // the stream's own 'error' and 'close' events tell what happened
    while (this.#waiting.length > 0 && this.#queued <= this.#options.maxQueuedBytes / 2) {
      const first = this.#waiting.shift();
      if (!first) break;
      this.#append(first.text);
      first.resolve();
    }
    this.#flush();
  }

  #finish(): void {
    this.#finished = true;
    this.#stream.end(() => this.#gone(0));
  }

  /** The last byte is handed over, or the stream broke before. */
  #gone(size: number): void {
    this.#queued -= size;
    if (!this.#failure) this.#ending?.resolve();
  }
}
