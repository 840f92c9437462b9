/**
 * Follows a log and keeps a model's state up to date with it. A write of this adapter is folded in the call that
 * appends it; what others append is folded at the end of the same tick, and before any read. The fold holds a position
 * in the log and no queue, so there is nothing that a burst of writes could overflow.
 */
import type { MeshringError } from '../errors.js';
import { cortexError, logText } from './errors.js';
import { HEADER, OFFSET, putHeader, read32 } from './event.js';
import type { Query } from './filter.js';
import { follow } from './follow.js';
import type { EventLog, Visit } from './log.js';
import type { Model } from './model.js';
import { DecodeError, Reader, Writer } from './postcard.js';
import { countMatches, select } from './query.js';
import { restore, type Start } from './snapshot.js';
import { hex16, type WriteToken } from './token.js';
import { high, join, low, U64_MAX, u64 } from './u64.js';
import { Waits } from './waits.js';
import { Watch, Watches, type WatchOptions } from './watch.js';

/** First guess at the bytes of an entry in a snapshot. */
const BYTES_OF_ENTRY = 48;
/** Waits for tokens that one adapter allows at a time. */
const MAX_TOKEN_WAITS = 1024;
/** While opening, the event loop gets a turn after so many milliseconds. */
const SLICE_MS = 12;

const writer = new Writer();
const reader = new Reader();

/** See the head of this file. */
export class Fold<Row extends { readonly id: bigint }, M extends Model<Row> = Model<Row>> {
  readonly model: M;
  readonly #log: EventLog;
  readonly #origin: bigint;
  readonly #originLo: number;
  readonly #originHi: number;
  readonly #watches: Watches<Row>;
  readonly #unsubscribe: () => void;
  readonly #folding = new Waits();
  readonly #applying = new Waits();
  /** Next sequence to fold. */
  #next: bigint;
  /** Whether every sequence from the start on was applied; then the applied watermark is `#next - 1`. */
  #whole = true;
  /** The applied watermark once it stands still. */
  #frozen: bigint | undefined;
  /** The state at that moment: events after it that are folded once more would not lead to the same state. */
  #frozenState: Uint8Array | undefined;
  #counter: bigint;
  #foldErrors = 0n;
  /** Where the log goes on when a read did not begin at the next sequence. */
  #gap: bigint | undefined;
  #compacting: Promise<unknown> = Promise.resolve();
  #state: 'running' | 'closed' | 'log closed' = 'running';
  /** Why the last events of a log that was closed could not be folded. */
  #failure: unknown;
  /** Something was appended that is not folded yet. */
  #behind = false;
  #appending = false;
  /** Set by `write`. */
  protected due = false;

  constructor(log: EventLog, origin: bigint, model: M, start: Start) {
    this.#log = log;
    this.#origin = origin;
    this.#originLo = low(origin);
    this.#originHi = high(origin);
    this.model = model;
    this.#counter = start.counter;
    this.#next = start.lastSeq === undefined ? 0n : start.lastSeq + 1n;
    this.#watches = new Watches(model);
    this.#unsubscribe = follow(log, this);
  }

  /** Folds what the log holds; resolves when the end at the time of the call is reached. */
  async replay(): Promise<this> {
    const end = this.#log.next();
    let turn = performance.now() + SLICE_MS;
    while (this.#next < end && this.#page()) {
      if (performance.now() < turn) continue;
      await new Promise<void>((resolve) => setTimeout(resolve));
      turn = performance.now() + SLICE_MS;
    }
    return this;
  }

  /** Origin of own writes. */
  get origin(): bigint {
    return this.#origin;
  }

  /** Whether the fold follows the log. */
  get running(): boolean {
    return this.#state === 'running';
  }

  /** Events that were skipped because they did not decode or their checksum was wrong. */
  get foldErrors(): bigint {
    this.#sync();
    return this.#foldErrors;
  }

  /** Number of entries. */
  get count(): number {
    this.#sync();
    return this.model.table.size;
  }

  /** Starts a write: the returned writer takes the tail; `write` ends it. */
  protected begin(operation: string): Writer {
    if (this.#state === 'closed') throw cortexError('closed', `${operation} failed: adapter closed`);
    if (this.#next > U64_MAX) throw cortexError('append-failed', `${operation} failed: redex: no sequence is left`);
    writer.reset(HEADER);
    return writer;
  }

  /**
   * Appends the event in the writer. When it is the next one to fold, `due` is true afterwards, for the
   * caller to apply its own arguments and call `wrote`; otherwise everything up to it has been folded from the log.
   */
  protected write(operation: string, dispatch: number): bigint {
    const counter = this.#counter;
    this.#counter = BigInt.asUintN(64, counter + 1n);
    const event = writer.view();
    putHeader(event, dispatch, this.#originLo, this.#originHi, low(counter), high(counter));
    let seq: bigint;
    this.#appending = true;
    try {
      seq = this.#log.append(event);
    } catch (cause) {
      throw cortexError('append-failed', `${operation} failed: ${logText(cause)}`, cause);
    } finally {
      this.#appending = false;
    }
    this.due = this.#state === 'running' && seq === this.#next;
    if (!this.due && this.#state === 'running') {
      this.#behind = true;
      this.#sync();
    }
    return seq;
  }

  /** The caller has applied the event that `write` called due. */
  protected wrote(seq: bigint): void {
    this.#next = seq + 1n;
    if (this.#folding.size + this.#applying.size > 0) this.#settle();
  }

  /** Writes an event whose tail is an id and a time; `apply` is its effect when it is the next one to fold. */
  protected writeStamped(
    operation: string,
    dispatch: number,
    id: bigint | number,
    nowNs: bigint | number,
    apply: (lo: number, hi: number, nowLo: number, nowHi: number) => void,
  ): bigint {
    const key = u64(id);
    const now = u64(nowNs);
    const tail = this.begin(operation);
    tail.u64(low(key), high(key));
    tail.u64(low(now), high(now));
    const seq = this.write(operation, dispatch);
    if (this.due) {
      apply(low(key), high(key), low(now), high(now));
      this.wrote(seq);
    }
    return seq;
  }

  /** Writes the event that removes an entry. */
  protected writeDeleted(dispatch: number, id: bigint | number): bigint {
    const key = u64(id);
    this.begin('delete').u64(low(key), high(key));
    const seq = this.write('delete', dispatch);
    if (this.due) {
      this.model.deleted(low(key), high(key));
      this.wrote(seq);
    }
    return seq;
  }

  /** Called by the log. */
  onAppended(): void {
    if (this.#appending || this.#behind || this.#state !== 'running') return;
    this.#behind = true;
    queueMicrotask(() => {
      try {
        this.#sync();
      } catch {
        // The position has not moved: the next call tries again and throws.
      }
    });
  }

  /** Called by the log. */
  onLogClosed(): void {
    try {
      this.#stop('log closed');
    } catch (error) {
      // Whoever closes the log is not concerned; the next call of this adapter throws it.
      this.#failure = error;
    }
  }

  /** Folds what others have appended since. */
  #sync(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#behind || this.#state !== 'running') return;
    while (this.#page());
    this.#behind = false;
  }

  /** Folds one page of the log; returns whether the position has moved. */
  #page(): boolean {
    const from = this.#next;
    // Behind the last sequence there is none to come.
    if (from > U64_MAX) return false;
    if (this.#log.read(from, this.#visit) === 0) {
      // Behind the position there is nothing, and yet sequences were given out: what had them is gone, unless another
      // thread has appended meanwhile.
      const end = this.#log.next();
      if (end > from && this.#log.read(from, this.#visit) === 0) this.#leap(end);
    }
    if (this.#gap !== undefined) {
      const to = this.#gap;
      this.#gap = undefined;
      this.#leap(to);
    }
    const moved = this.#next !== from;
    if (moved && this.#folding.size + this.#applying.size > 0) this.#settle();
    return moved;
  }

  readonly #visit: Visit = (seq, bytes, start, end, intact) => {
    if (this.#gap !== undefined) return;
    if (seq !== this.#next) {
      this.#gap = seq;
      return;
    }
    if (!this.#apply(bytes, start, end, intact)) this.#freeze();
    this.#next = seq + 1n;
  };

  /** An event is skipped or missing: what comes after it is no prefix of the log any more. */
  #freeze(): void {
    if (!this.#whole) return;
    this.#frozen = this.#applied();
    if (this.#frozen !== undefined) this.#frozenState = this.#encode();
    this.#whole = false;
  }

  /** The events from the position up to `to` are gone: from the log for good, or into a kept state. */
  #leap(to: bigint): void {
    const { kept } = this.#log.kept();
    if (kept === undefined || kept.lastSeq < this.#next) {
      this.#freeze();
      this.#next = to;
      return;
    }
    this.model.clear();
    const { counter } = restore(this.model, 'kept', 'compacted state', kept);
    if (counter > this.#counter) this.#counter = counter;
    this.#next = kept.lastSeq + 1n;
    this.#whole = true;
    this.#frozen = undefined;
    this.#frozenState = undefined;
  }

  #apply(bytes: Uint8Array, start: number, end: number, intact: boolean): boolean {
    if (!intact) {
      this.#foldErrors++;
      return false;
    }
    try {
      this.model.apply(bytes[start] as number, reader.open(bytes, start + HEADER, end));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#foldErrors++;
      return false;
    }
    const origin = start + OFFSET.origin;
    if (read32(bytes, origin) === this.#originLo && read32(bytes, origin + 4) === this.#originHi) {
      const at = start + OFFSET.counter;
      const counter = join(read32(bytes, at), read32(bytes, at + 4));
      if (counter !== U64_MAX && counter >= this.#counter) this.#counter = counter + 1n;
    }
    return true;
  }

  /** Highest sequence processed. */
  #folded(): bigint | undefined {
    return this.#next === 0n ? undefined : this.#next - 1n;
  }

  /** Highest sequence up to which everything was applied. */
  #applied(): bigint | undefined {
    return this.#whole ? this.#folded() : this.#frozen;
  }

  #settle(): void {
    const folded = this.#folded();
    if (folded !== undefined) this.#folding.reach(folded);
    const applied = this.#applied();
    if (applied !== undefined) this.#applying.reach(applied);
  }

  /** Resolves when the sequence is folded (skipped events count). */
  waitForSeq(seq: bigint, signal?: AbortSignal): Promise<void> {
    this.#sync();
    if (seq < this.#next) return Promise.resolve();
    const stopped = () => {
      const folded = this.#folded();
      const text = folded === undefined ? 'None' : `Some(${folded})`;
      return cortexError('fold-stopped', `wait_for_seq: fold task stopped; folded_through=${text}`);
    };
    if (this.#state !== 'running') return Promise.reject(stopped());
    return this.#folding.until(seq, this, { signal });
  }

  /** Resolves when the token's write is applied. */
  waitForToken(token: WriteToken, deadlineMs: number): Promise<void> {
    const fail = (kind: string, detail: string) => Promise.reject(cortexError(kind, `wait_for_token: ${detail}`));
    if (token.originHash !== this.#origin) {
      return fail('wrong-origin', `token origin ${hex16(token.originHash)} != adapter origin ${hex16(this.#origin)}`);
    }
    this.#sync();
    const applied = this.#applied();
    if (applied !== undefined && token.seq <= applied) return Promise.resolve();
    if (this.#state !== 'running') return Promise.reject(this.#stoppedBeforeToken());
    const late = () => cortexError('timeout', 'wait_for_token: read-your-writes wait timed out');
    if (!(deadlineMs > 0)) return Promise.reject(late());
    if (this.#applying.size >= MAX_TOKEN_WAITS) {
      return fail('queue-full', 'read-your-writes wait-queue saturated; retry later');
    }
    return this.#applying.until(token.seq, this, { deadlineMs, late });
  }

  #stoppedBeforeToken(): MeshringError {
    const applied = this.#applied();
    const how =
      applied === undefined ? 'before applying any event' : `before reaching token seq (applied through ${applied})`;
    return cortexError('fold-stopped', `wait_for_token: fold task stopped ${how}`);
  }

  /** Entries that meet the query, as new objects. */
  list(query: Query): Row[] {
    this.#sync();
    return select(this.model, query).map((slot) => this.model.row(slot));
  }

  /** The entry with an id. */
  get(id: bigint): Row | null {
    this.#sync();
    const slot = this.model.table.find(low(id), high(id));
    return slot < 0 ? null : this.model.row(slot);
  }

  /** Whether there is an entry with this id. */
  exists(id: bigint): boolean {
    this.#sync();
    return this.model.table.find(low(id), high(id)) >= 0;
  }

  /** Number of entries that meet the query's conditions. */
  countWhere(query: Query): number {
    this.#sync();
    return countMatches(this.model, query);
  }

  /** Watches a query. */
  watch(query: Query, options?: WatchOptions): Watch<Row> {
    this.#sync();
    const watch = new Watch(this, this.model, query, options);
    if (this.#state === 'running') this.#watches.add(watch);
    else watch.end();
    return watch;
  }

  /** Folds what is outstanding; the watches call it before they answer. */
  refresh(): void {
    this.#sync();
  }

  /** State and applied watermark of the same moment. */
  snapshot(): { stateBytes: Uint8Array; lastSeq: bigint | undefined } {
    this.#sync();
    return { stateBytes: this.#encode(), lastSeq: this.#applied() };
  }

  #encode(): Uint8Array {
    const inner = new Writer(64 + this.model.table.size * BYTES_OF_ENTRY);
    this.model.encode(inner);
    const whole = new Writer(inner.length + 20);
    whole.u64(low(this.#counter), high(this.#counter));
    whole.blob(inner.view());
    return whole.view();
  }

  /** See the adapters. */
  compact(dropSkipped: boolean): Promise<bigint | undefined> {
    const done = this.#compacting.then(() => this.#compact(dropSkipped));
    this.#compacting = done.catch(() => undefined);
    return done;
  }

  async #compact(dropSkipped: boolean): Promise<bigint | undefined> {
    if (this.#state === 'closed') throw cortexError('closed', 'compact failed: adapter closed');
    this.#sync();
    const lastSeq = dropSkipped ? this.#folded() : this.#applied();
    if (lastSeq === undefined) return undefined;
    const stateBytes = (dropSkipped ? undefined : this.#frozenState) ?? this.#encode();
    try {
      await this.#log.compact({ stateBytes, lastSeq });
    } catch (cause) {
      throw cortexError('compact-failed', `compact failed: ${logText(cause)}`, cause);
    }
    return lastSeq;
  }

  /** Stops folding. The state stays readable, the log stays open. */
  close(): void {
    this.#stop('closed');
  }

  #stop(state: 'closed' | 'log closed'): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'log closed') {
      this.#state = state;
      return;
    }
    this.#behind = true;
    try {
      this.#sync();
    } finally {
      this.#end(state);
    }
  }

  #end(state: 'closed' | 'log closed'): void {
    this.#state = state;
    this.#unsubscribe();
    const folded = this.#folded();
    const through = folded === undefined ? 'None' : `Some(${folded})`;
    this.#folding.fail(() => cortexError('fold-stopped', `wait_for_seq: fold task stopped; folded_through=${through}`));
    this.#applying.fail(() => this.#stoppedBeforeToken());
    this.#watches.end();
  }
}
