import { MeshringError } from '../errors.js';
import { hold, release } from './alive.js';
import type { Opened } from './opened.js';
import type { RedexEvent, TailOptions } from './types.js';

/** Events that a tail reads ahead: bounds its memory, spares crossings. */
const READ_AHEAD = 64;

interface Pending {
  resolve(event: RedexEvent | null): void;
  reject(error: unknown): void;
}

/**
 * Live iterator over a log: a cursor, not a queue. It delivers every event from its start on, without gap or
 * duplicate, however slowly it is read; only when retention has removed its position does `next()` throw the lagged
 * error, once, and then end (50 §4).
 */
export class RedexTailIter {
  readonly #opened: Opened;
  #cursor: bigint;
  #ahead: RedexEvent[] = [];
  #taken = 0;
  #lagged: boolean;
  #ended = false;
  #pending: Pending[] = [];
  #stopWaiting: (() => void) | null = null;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.close();

  /** Made by `RedexFile.tail`. */
  constructor(opened: Opened, from: bigint, options: TailOptions = {}) {
    this.#opened = opened;
    this.#cursor = from;
    const { nextSeq, firstSeq } = opened.log.observe();
    this.#lagged = from < nextSeq && firstSeq > from;
    this.#signal = options.signal;
    if (opened.closed) this.#end();
  }

  /** The next event, or null at the end. Pending calls are served in order. */
  next(): Promise<RedexEvent | null> {
    if (this.#pending.length === 0) {
      try {
        const event = this.#take();
        if (event !== undefined) return Promise.resolve(event);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
      this.#wait();
    });
  }

  /** Ends the iteration; pending and later `next()` resolve to null. */
  close(): void {
    if (this.#ended) return;
    this.#end();
    this.#serve();
  }

  /** An event, null at the end, or undefined when one has to wait. */
  #take(): RedexEvent | null | undefined {
    if (this.#signal?.aborted) this.#end();
    if (this.#ended) return null;
    if (this.#lagged) {
      this.#end();
      throw new MeshringError('lagged', 'redex: tail: tail subscriber lagged; stream disconnected');
    }
    if (this.#taken === this.#ahead.length && !this.#readAhead()) {
      if (!this.#opened.closed) return undefined;
      this.#end();
      return null;
    }
    const event = this.#ahead[this.#taken];
    this.#taken += 1;
    return event ?? null;
  }

  #readAhead(): boolean {
    this.#ahead = [];
    this.#taken = 0;
    const { log } = this.#opened;
    const last = log.readInto(this.#ahead, this.#cursor, this.#opened.end, READ_AHEAD);
    if (log.evictedAtLastRead() > this.#cursor) {
      this.#end();
      throw new MeshringError('lagged', 'redex: tail: tail subscriber lagged; stream disconnected');
    }
    if (last === null) return false;
    this.#cursor = last + 1n;
    return true;
  }

  #wait(): void {
    if (this.#stopWaiting) return;
    hold();
    // Only while somebody waits: an idle tail that is dropped must be held by nothing.
    this.#signal?.addEventListener('abort', this.#abort);
    const back = this.#opened.log.wait(() => {
      this.#waitEnded();
      this.#serve();
    });
    this.#stopWaiting = () => {
      back();
      this.#waitEnded();
    };
    // Another thread may have appended between the read and the registration.
    if (this.#opened.log.persistent) this.#serve();
  }

  #waitEnded(): void {
    this.#stopWaiting = null;
    this.#signal?.removeEventListener('abort', this.#abort);
    release();
  }

  #serve(): void {
    for (let first = this.#pending[0]; first; first = this.#pending[0]) {
      try {
        const event = this.#take();
        if (event === undefined) break;
        this.#pending.shift();
        first.resolve(event);
      } catch (error) {
        this.#pending.shift();
        first.reject(error);
      }
    }
    if (this.#pending.length === 0) this.#stopWaiting?.();
    else this.#wait();
  }

  #end(): void {
    this.#ended = true;
    this.#ahead = [];
    this.#taken = 0;
  }
}
