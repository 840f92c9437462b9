/**
 * The receiving half of a stream: bytes become messages as they arrive and wait here for the reader. While more than
 * a limit waits the stream is paused, its window runs empty and the other side's `send` waits.
 */
import type { Readable } from 'node:stream';
import type { Counters } from './counters.js';
import { FrameDecoder, type FrameOptions } from './frames.js';

/** Received bytes that may wait before the stream is paused. */
const PAUSE_BYTES = 256 * 1024;
/** The reader gives the event loop a turn after this many messages, or this many milliseconds. */
const MESSAGES_PER_TURN = 256;
const MS_PER_TURN = 1;
/** The clock is read every so many messages. */
const CLOCK_EVERY = 16;

/** What `unwrap` gives for a frame that is no message. */
export const SKIP = Symbol('no message');

/** Message in a frame, or `SKIP`. May throw a `protocol` error. */
export type Unwrap = (frame: unknown) => unknown;

interface Reader {
  resolve: (result: IteratorResult<unknown, undefined>) => void;
  reject: (error: Error) => void;
}

/** Queue of received messages. */
export class Inbox {
  readonly #stream: Readable;
  readonly #decoder: FrameDecoder;
  readonly #counters: Counters;
  readonly #onBadFrame: (error: Error) => void;
  #values: unknown[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;
  #paused = false;
  #ended = false;
  #failure: Error | undefined;
  #readers: Reader[] = [];
  #turnCount = 0;
  #turnStart = 0;
  #unwrap: Unwrap | undefined;

  constructor(stream: Readable, options: FrameOptions, counters: Counters, onBadFrame: (error: Error) => void) {
    this.#stream = stream;
    this.#decoder = new FrameDecoder(options);
    this.#counters = counters;
    this.#onBadFrame = onBadFrame;
  }

  /** Begins to read. */
  start(): void {
    this.#stream.on('data', (chunk: Buffer) => this.#arrived(chunk));
  }

  /** From now on, and for what waits already, messages are what `unwrap` gives for the frames. */
  unwrapWith(unwrap: Unwrap): void {
    const [values, sizes] = [this.#values.slice(this.#head), this.#sizes.slice(this.#head)];
    this.#unwrap = unwrap;
    this.#values = [];
    this.#sizes = [];
    this.#head = 0;
    this.#bytes = 0;
    try {
      for (const [i, value] of values.entries()) this.#queue(value, sizes[i] ?? 0);
    } catch (error) {
      this.#onBadFrame(error as Error);
    }
  }

  /** Whether the other side has ended, everything that it sent has been taken, and nothing broke. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Puts a frame back that was taken: it is the next one again. */
  unread(frame: unknown): void {
    this.#values.splice(this.#head, 0, frame);
    this.#sizes.splice(this.#head, 0, 0);
  }

  /** The other side has ended in order. @throws MarketrixError `protocol` when it ended inside a frame. */
  end(): void {
    if (this.#ended || this.#failure) return;
    this.#decoder.end();
    this.#ended = true;
    for (const reader of this.#readers.splice(0)) reader.resolve({ value: undefined, done: true });
  }

  /** Nothing more comes. Messages that arrived before can still be taken, then readers see the error. */
  fail(error: Error): void {
    if (this.#ended || this.#failure) return;
    this.#failure = error;
    for (const reader of this.#readers.splice(0)) reader.reject(error);
  }

  /** Drops everything that waits and ends. */
  discard(): void {
    this.#values = [];
    this.#sizes = [];
    this.#head = 0;
    this.#bytes = 0;
    if (!this.#failure) this.#ended = true;
    for (const reader of this.#readers.splice(0)) reader.resolve({ value: undefined, done: true });
  }

  /** The next message, in order; done when the other side has ended. */
  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#head < this.#values.length) {
      if (this.#turnOver()) return this.#nextTurn();
      return Promise.resolve({ value: this.#take(), done: false });
    }
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
    });
  }

  #take(): unknown {
    const value = this.#values[this.#head];
    this.#values[this.#head] = undefined;
    this.#bytes -= this.#sizes[this.#head] ?? 0;
    this.#head += 1;
    if (this.#head === this.#values.length) {
      this.#values = [];
      this.#sizes = [];
      this.#head = 0;
    }
    if (this.#paused && this.#bytes < PAUSE_BYTES / 2) {
      this.#paused = false;
      this.#stream.resume();
    }
    return value;
  }

  /** Whether the reader has taken so much in this turn of the event loop that others should have theirs. */
  #turnOver(): boolean {
    this.#turnCount += 1;
    if (this.#turnCount % CLOCK_EVERY !== 1) return false;
    const now = performance.now();
    if (this.#turnCount === 1) this.#turnStart = now;
    return this.#turnCount > MESSAGES_PER_TURN || now - this.#turnStart > MS_PER_TURN;
  }

  #nextTurn(): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#turnCount = 0;
        this.next().then(resolve, reject);
      });
    });
  }

  #arrived(chunk: Buffer): void {
    if (this.#ended || this.#failure) return;
    this.#counters.bytesReceived += chunk.length;
    try {
      this.#decoder.push(chunk, this.#deliver);
    } catch (error) {
      this.#onBadFrame(error as Error);
      return;
    }
    if (!this.#paused && this.#bytes > PAUSE_BYTES) {
      this.#paused = true;
      this.#stream.pause();
    }
  }

  readonly #deliver = (value: unknown, frameBytes: number): void => {
    this.#counters.messagesReceived += 1;
    this.#queue(value, frameBytes);
  };

  #queue(frame: unknown, frameBytes: number): void {
    const value = this.#unwrap ? this.#unwrap(frame) : frame;
    if (value === SKIP) return;
    const reader = this.#readers.shift();
    if (reader) {
      reader.resolve({ value, done: false });
      return;
    }
    this.#values.push(value);
    this.#sizes.push(frameBytes);
    this.#bytes += frameBytes;
  }
}
