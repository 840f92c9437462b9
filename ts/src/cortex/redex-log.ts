/** A RedEX log as folds see it. */
import { MeshringError, messageOf } from '../errors.js';
import { type CoreRedexFile, type Log, TO_THE_END } from '../redex/index.js';
import type { RedexEvent } from '../redex/types.js';
import { intact, seal } from './event.js';
import { type Kept, readKept, removeOlder, writeKept } from './kept.js';
import type { EventLog, LogListener, Visit } from './log.js';

/** Events that are read at a time. */
const PAGE = 4096;

type Opened = CoreRedexFile['opened'];

/** What is kept beside logs in memory. */
const inMemory = new WeakMap<Log, Kept>();

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

  first(): bigint {
    return this.#opened.log.observe().firstSeq;
  }

  kept(): { kept: Kept | undefined; damaged: readonly string[] } {
    const { log } = this.#opened;
    return log.home === null ? { kept: inMemory.get(log), damaged: [] } : readKept(log.home);
  }

  async compact(state: Kept): Promise<void> {
    const { log } = this.#opened;
    const isKept = () => (this.kept().kept?.lastSeq ?? -1n) >= state.lastSeq;
    if (log.home === null) {
      if (!isKept()) inMemory.set(log, state);
    } else if (!isKept()) {
      await writeKept(log.home, state).catch((cause: unknown) => {
        // Another thread that got further removes what was on its way here.
        if (!isKept()) throw new MeshringError('io', `redex: compact: io: ${messageOf(cause)}`, { cause });
      });
    }
    this.#opened.check('compact');
    log.trim(state.lastSeq + 1n);
    await log.compact();
    if (log.home !== null) removeOlder(log.home, state.lastSeq);
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
