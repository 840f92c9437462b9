import { MeshringError } from '../errors.js';
import type { Log } from './log.js';
import type { RedexTailIter } from './tail.js';

/** A log as one manager holds it: all handles that the manager gives out for one name share this. */
export class Opened {
  readonly log: Log;
  readonly tails = new Set<RedexTailIter>();
  closed = false;
  #closing: Promise<void> | null = null;
  readonly #release: () => Promise<void>;

  constructor(log: Log, release: () => Promise<void>) {
    this.log = log;
    this.#release = release;
    log.holders += 1;
  }

  /** Throws `redex: <context>: file closed` after `close`. */
  check(context: string): void {
    if (this.closed) throw new MeshringError('closed', `redex: ${context}: file closed`);
  }

  /** Ends tails at once and flushes away from this thread. Idempotent: later calls give the same promise. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.closed = true;
      for (const tail of [...this.tails]) tail.fileClosed();
      this.log.holders -= 1;
      this.#closing = this.#watch(this.#release());
      this.log.wake();
    }
    return this.#closing;
  }

  /** Flushes dat, idx, ts. */
  sync(): Promise<void> {
    this.log.raiseBackground();
    return this.#watch(this.log.sync());
  }

  /** A failure that nobody awaits is raised by the next call instead of ending the process. */
  #watch(work: Promise<void>): Promise<void> {
    work.catch((error) => this.log.failedLater(error));
    return work;
  }
}
