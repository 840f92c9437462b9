import { MeshringError } from '../errors.js';
import { type Log, TO_THE_END } from './log.js';

/** A log as one manager holds it: all handles that the manager gives out for one name share this. */
export class Opened {
  readonly log: Log;
  closed = false;
  /** Tails end before this sequence: what another manager appends after `close` is not theirs. */
  end = TO_THE_END;
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

  /** Ends waiting tails at once, others when they have delivered what is there, and flushes away from this thread. Idempotent: later calls give the same promise. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.closed = true;
      this.end = this.log.observe().nextSeq;
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
