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

/** Messages that came in one piece of data. */
interface Batch {
  readonly values: unknown[];
  /** Bytes of that piece, given back when the last message is taken. */
  readonly bytes: number;
}

/** Queue of received messages. */
export class Inbox {
  readonly #stream: Readable;
  readonly #decoder: FrameDecoder;
  readonly #counters: Counters;
  readonly #onBadFrame: (error: Error) => void;
  /** What the reader takes from now, and what waits behind it. */
  #current: Batch = { values: [], bytes: 0 };
  #head = 0;
  #waiting: Batch[] = [];
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
    this.#unwrap = unwrap;
    const frames = [...this.#current.values.slice(this.#head), ...this.#waiting.flatMap(({ values }) => values)];
    const bytes = this.#bytes;
    this.#clear();
    const values: unknown[] = [];
    try {
      for (const frame of frames) {
        const value = unwrap(frame);
        if (value !== SKIP) values.push(value);
      }
    } catch (error) {
      this.#onBadFrame(error as Error);
    }
    this.#queue(values, bytes);
  }

  /** Puts a frame back that was taken: it is the next one again. */
  unread(frame: unknown): void {
    const left = this.#current.values.slice(this.#head);
    this.#current = { values: [frame, ...left], bytes: this.#current.bytes };
    this.#head = 0;
  }

  /** Whether the other side has ended, and nothing broke before. */
  get ended(): boolean {
    return this.#ended;
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
    this.#clear();
    if (!this.#failure) this.#ended = true;
    for (const reader of this.#readers.splice(0)) reader.resolve({ value: undefined, done: true });
  }

  /** The next message, in order; done when the other side has ended. */
  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#head < this.#current.values.length || this.#advance()) {
      if (this.#turnOver()) return this.#nextTurn();
      const value = this.#current.values[this.#head];
      this.#current.values[this.#head] = undefined;
      this.#head += 1;
      if (this.#head === this.#current.values.length) this.#advance();
      return Promise.resolve({ value, done: false });
    }
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
    });
  }

  /** The current batch is taken: the window moves on, and the next batch begins if there is one. */
  #advance(): boolean {
    this.#bytes -= this.#current.bytes;
    const next = this.#waiting.shift();
    this.#current = next ?? { values: [], bytes: 0 };
    this.#head = 0;
    if (this.#paused && this.#bytes < PAUSE_BYTES / 2) {
      this.#paused = false;
      this.#stream.resume();
    }
    return next !== undefined;
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
    const values: unknown[] = [];
    let bad: unknown;
    try {
      const unwrap = this.#unwrap;
      this.#decoder.push(chunk, (frame) => {
        const value = unwrap ? unwrap(frame) : frame;
        if (value !== SKIP) values.push(value);
      });
    } catch (error) {
      bad = error;
    }
    // What came before a bad frame is delivered before the error.
    this.#counters.messagesReceived += values.length;
    this.#queue(values, chunk.length);
    if (bad) this.#onBadFrame(bad as Error);
    else if (!this.#paused && this.#bytes > PAUSE_BYTES) {
      this.#paused = true;
      this.#stream.pause();
    }
  }

  #queue(values: unknown[], bytes: number): void {
    if (values.length === 0) return;
    let taken = 0;
    while (taken < values.length && this.#readers.length > 0) {
      this.#readers.shift()?.resolve({ value: values[taken], done: false });
      taken += 1;
    }
    if (taken === values.length) return;
    const batch = { values: taken > 0 ? values.slice(taken) : values, bytes };
    this.#bytes += bytes;
    if (this.#head < this.#current.values.length) this.#waiting.push(batch);
    else {
      this.#current = batch;
      this.#head = 0;
    }
  }

  #clear(): void {
    this.#current = { values: [], bytes: 0 };
    this.#head = 0;
    this.#waiting = [];
    this.#bytes = 0;
  }
}
