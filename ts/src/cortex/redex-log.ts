/** A RedEX log as folds see it. */
import { type CoreRedexFile, TO_THE_END } from '../redex/index.js';
import type { RedexEvent } from '../redex/types.js';
import type { EventLog, LogListener } from './log.js';

/** Events that are read at a time. */
const PAGE = 4096;

type Opened = CoreRedexFile['opened'];

/** See `EventLog`. */
export class RedexLog implements EventLog {
  readonly #opened: Opened;

  constructor(file: CoreRedexFile) {
    this.#opened = file.opened;
  }

  append(event: Uint8Array): bigint {
    const opened = this.#opened;
    if (opened.closed) opened.check('append');
    return opened.log.append(event);
  }

  next(): bigint {
    return this.#opened.log.observe().nextSeq;
  }

  advance(next: bigint): void {
    this.#opened.log.advance(next);
  }

  read(from: bigint, visit: (seq: bigint, event: Uint8Array) => void): number {
    const events: RedexEvent[] = [];
    this.#opened.log.readInto(events, from, TO_THE_END, PAGE);
    for (const { seq, payload } of events) visit(seq, payload);
    return events.length;
  }

  subscribe(listener: LogListener): () => void {
    const { log } = this.#opened;
    let back: (() => void) | undefined;
    const wake = () => {
      if (this.#opened.closed || log.detached) {
        back = undefined;
        listener.closed();
        return;
      }
      // The log wakes its waiters once each.
      back = log.wait(wake);
      listener.appended();
    };
    back = log.wait(wake);
    return () => back?.();
  }
}
