/** A RedEX log as folds see it. */
import { type CoreRedexFile, TO_THE_END } from '../redex/index.js';
import type { RedexEvent } from '../redex/types.js';
import { intact, seal } from './event.js';
import type { EventLog, LogListener, Visit } from './log.js';

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
    const seq = opened.log.appendEvent(event);
    if (seq !== undefined) return seq;
    seal(event);
    return opened.log.append(event);
  }

  next(): bigint {
    return this.#opened.log.observe().nextSeq;
  }

  advance(next: bigint): void {
    this.#opened.log.advance(next);
  }

  read(from: bigint, visit: Visit): number {
    const { log } = this.#opened;
    const count = log.readEvents(from, PAGE, visit);
    if (count !== 'large') return count;
    const events: RedexEvent[] = [];
    log.readInto(events, from, TO_THE_END, 1);
    for (const { seq, payload } of events) visit(seq, payload, 0, payload.length, intact(payload));
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
