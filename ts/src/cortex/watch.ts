/**
 * Watches: iterators over the results of a query, one for each observed change. A change costs a watch the test of the
 * changed entry against the filter; the result is brought up to date from the touched entries when somebody reads.
 */
import { hold, release } from './alive.js';
import type { Query } from './filter.js';
import type { Model, Observer } from './model.js';
import { matches, select } from './query.js';
import { high, low } from './u64.js';

/** Additions to the published watches and waits. */
export interface WatchOptions {
  /** Ends the iteration, or the wait, when it aborts. */
  signal?: AbortSignal | undefined;
}

/** What a watch needs of its fold. */
interface Source {
  /** Folds what is outstanding. */
  refresh(): void;
}

/** So many touched entries, or this part of the result: then reading anew is cheaper than following them. */
const FOLLOWED_LEAST = 1024;
/** Up to so many changes are put into the result one by one; more are merged in one pass. */
const FEW = 16;

type Value = bigint;

/** One iterator. Everything is O(1) until the first change or the first `next()`. */
export class Watch<Row extends { readonly id: bigint }> {
  readonly #source: Source;
  readonly #model: Model<Row>;
  readonly #query: Query;
  /** The last result delivered, or the one to be delivered first. Never handed out itself. */
  #rows: Row[] | undefined;
  /** The first result has been delivered (or dropped, for `snapshotAndWatch`). */
  #begun = false;
  /**
   * Ids touched since `#rows`, with the sort value that they have there (undefined: not there); undefined as a whole
   * = too many, read anew.
   */
  #touched: Map<bigint, Value | undefined> | undefined = new Map();
  readonly #pending: { resolve(result: Row[] | null): void; reject(error: unknown): void }[] = [];
  #scheduled = false;
  #state: 'live' | 'ending' | 'done' = 'live';
  readonly #signal: AbortSignal | undefined;
  /** Holds the watch weakly: a signal may live longer than a watch that nobody reads any more. */
  readonly #abort = weakClose(this);
  #registry: Watches<Row> | undefined;

  constructor(source: Source, model: Model<Row>, query: Query, options?: WatchOptions | null) {
    this.#source = source;
    this.#model = model;
    this.#query = query;
    this.#signal = options?.signal;
    if (this.#signal?.aborted) this.#state = 'done';
    else this.#signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** Called by the registry that tells this watch about changes. */
  registered(registry: Watches<Row>): void {
    this.#registry = registry;
  }

  /** The current result, taken as already delivered: `next()` gives what differs from it. */
  takeSnapshot(): Row[] {
    this.#rows = this.#read(this.#query.limit);
    this.#begun = true;
    return this.#rows.slice();
  }

  /** The next result, or `null` at the end. */
  next(): Promise<Row[] | null> {
    if (this.#state === 'done') return Promise.resolve(null);
    if (this.#pending.length === 0) {
      this.#source.refresh();
      const result = this.#take();
      if (result !== undefined) return Promise.resolve(result);
      if (this.#state === 'ending') {
        this.close();
        return Promise.resolve(null);
      }
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
      hold(this);
    });
  }

  /** Ends the iteration at once. */
  close(): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#registry?.delete(this);
    this.#rows = undefined;
    this.#touched = undefined;
    release(this);
    for (const { resolve } of this.#pending.splice(0)) resolve(null);
  }

  /** Nothing more will change: ends after the last different result. */
  end(): void {
    if (this.#state !== 'live') return;
    this.#state = 'ending';
    if (this.#pending.length > 0) {
      this.#flush();
      this.close();
    }
  }

  /** An entry is about to change or vanish. */
  changing(slot: number): void {
    if (this.#touched === undefined || !matches(this.#model, slot, this.#query)) return;
    this.#rows ??= this.#read(this.#query.limit);
    const id = this.#model.table.ids[slot] as bigint;
    if (!this.#touched.has(id)) this.#touch(id, this.#value(slot));
  }

  /** An entry is there with new content. */
  changed(slot: number): void {
    if (this.#touched === undefined) {
      this.#schedule();
      return;
    }
    if (!matches(this.#model, slot, this.#query)) {
      if (this.#touched.size > 0) this.#schedule();
      return;
    }
    const id = this.#model.table.ids[slot] as bigint;
    if (this.#rows === undefined) {
      // The result before this change: had the entry been in it, `changing` would have read it.
      const rows = this.#read(this.#query.limit + 1).filter((row) => row.id !== id);
      if (rows.length > this.#query.limit) rows.length = this.#query.limit;
      this.#rows = rows;
    }
    if (!this.#touched.has(id)) this.#touch(id, undefined);
    this.#schedule();
  }

  #touch(id: bigint, value: Value | undefined): void {
    this.#touched?.set(id, value);
    if ((this.#touched?.size ?? 0) > Math.max(FOLLOWED_LEAST, (this.#rows?.length ?? 0) / 2)) this.#touched = undefined;
    this.#schedule();
  }

  /** Changes of one tick give one result. */
  #schedule(): void {
    if (this.#scheduled || this.#pending.length === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#state === 'live') this.#flush();
    });
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    const result = this.#take();
    if (result === undefined) return;
    const [first] = this.#pending.splice(0, 1);
    if (this.#pending.length === 0) release(this);
    first?.resolve(result);
  }

  /** The result if it is the first or differs from the last one. */
  #take(): Row[] | undefined {
    if (!this.#begun) {
      this.#begun = true;
      // What changed since the creation comes with the next call.
      this.#rows ??= this.#read(this.#query.limit);
      return this.#rows.slice();
    }
    const last = this.#rows ?? [];
    if (this.#touched?.size === 0) return undefined;
    const touched = this.#touched;
    if (touched !== undefined && touched.size <= FEW && last.length + touched.size <= this.#query.limit) {
      this.#touched = new Map();
      return this.#patch(last, touched) ? last.slice() : undefined;
    }
    const rows = touched === undefined ? this.#read(this.#query.limit) : this.#update(last, touched);
    this.#touched = new Map();
    if (rows.length === last.length && rows.every((row, i) => this.#same(row, last[i] as Row))) return undefined;
    this.#rows = rows;
    return rows.slice();
  }

  #same(a: Row, b: Row): boolean {
    return a === b || this.#model.sameRow(a, b);
  }

  #read(limit: number): Row[] {
    return select(this.#model, { ...this.#query, limit }).map((slot) => this.#row(slot));
  }

  /** Rows are shared by successive results, so they are frozen. */
  #row(slot: number): Row {
    return this.#model.frozenRow(slot);
  }

  /** Puts the touched entries as they are now into a result that the limit does not cut. Returns whether it changed. */
  #patch(rows: Row[], touched: Map<bigint, Value | undefined>): boolean {
    let changed = false;
    for (const [id, value] of touched) {
      const row = this.#current(id);
      const at = value === undefined ? -1 : this.#at(rows, value, id, false);
      const old = at < 0 ? undefined : (rows[at] as Row);
      if (old === row || (old !== undefined && row !== undefined && this.#model.sameRow(old, row))) continue;
      changed = true;
      const inPlace = row !== undefined && this.#valueOf(row) === value;
      if (old !== undefined && inPlace) {
        rows[at] = row;
        continue;
      }
      if (old !== undefined) rows.splice(at, 1);
      if (row !== undefined) rows.splice(this.#at(rows, this.#valueOf(row), id, false), 0, row);
    }
    return changed;
  }

  /** The row of an entry if it meets the query now. */
  #current(id: bigint): Row | undefined {
    const slot = this.#model.table.find(low(id), high(id));
    return slot >= 0 && matches(this.#model, slot, this.#query) ? this.#row(slot) : undefined;
  }

  /** The last result with the touched entries as they are now. */
  #update(last: Row[], touched: Map<bigint, Value | undefined>): Row[] {
    const { limit } = this.#query;
    const fresh: Row[] = [];
    for (const id of touched.keys()) {
      const row = this.#current(id);
      if (row !== undefined) fresh.push(row);
    }
    const rows = this.#merge(last, touched, fresh);
    if (rows.length <= limit && last.length < limit) return rows;
    // The last result was cut: entries that it did not show are known to come after its last row only.
    const edge = last[last.length - 1];
    if (last.length < limit || edge === undefined) return rows.slice(0, limit);
    const known = this.#at(rows, this.#valueOf(edge), edge.id, true);
    return known >= limit ? rows.slice(0, limit) : this.#read(limit);
  }

  #merge(last: Row[], touched: Map<bigint, Value | undefined>, fresh: Row[]): Row[] {
    fresh.sort((a, b) => this.#compare(this.#valueOf(a), a.id, this.#valueOf(b), b.id));
    const rows: Row[] = [];
    let next = 0;
    for (const row of last) {
      if (touched.has(row.id)) continue;
      for (; next < fresh.length; next++) {
        const candidate = fresh[next] as Row;
        if (this.#compare(this.#valueOf(candidate), candidate.id, this.#valueOf(row), row.id) > 0) break;
        rows.push(candidate);
      }
      rows.push(row);
    }
    for (; next < fresh.length; next++) rows.push(fresh[next] as Row);
    return rows;
  }

  /** Place of (value, id) in sorted rows; `after`: behind an equal one. */
  #at(rows: readonly Row[], value: Value, id: bigint, after: boolean): number {
    let from = 0;
    let to = rows.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const row = rows[middle] as Row;
      const sign = this.#compare(this.#valueOf(row), row.id, value, id);
      if (sign < 0 || (after && sign === 0)) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #compare(value: Value, id: bigint, otherValue: Value, otherId: bigint): number {
    const { descending } = this.#query;
    if (value !== otherValue) return value < otherValue === descending ? 1 : -1;
    return id === otherId ? 0 : id < otherId ? -1 : 1;
  }

  /** What an entry is sorted by. */
  #value(slot: number): Value {
    const { table } = this.#model;
    const column = { id: table.ids, created: table.created, updated: table.updated }[this.#query.key];
    return column[slot] as bigint;
  }

  #valueOf(row: Row): Value {
    return this.#model.sortValue(row, this.#query.key);
  }
}

/** Closes a watch that may have been collected meanwhile. */
function weakClose(watch: { close(): void }): () => void {
  const weak = new WeakRef(watch);
  return () => weak.deref()?.close();
}

/** The watches of one adapter. An abandoned watch is collected; a pending one is held by its reader. */
export class Watches<Row extends { readonly id: bigint }> implements Observer {
  readonly #model: Model<Row>;
  readonly #refs = new Map<WeakRef<Watch<Row>>, true>();
  readonly #refOf = new WeakMap<Watch<Row>, WeakRef<Watch<Row>>>();
  readonly #collected = new FinalizationRegistry<WeakRef<Watch<Row>>>((ref) => this.#forget(ref));

  constructor(model: Model<Row>) {
    this.#model = model;
  }

  add(watch: Watch<Row>): void {
    const ref = new WeakRef(watch);
    this.#refs.set(ref, true);
    this.#refOf.set(watch, ref);
    this.#collected.register(watch, ref, ref);
    watch.registered(this);
    this.#model.observer = this;
  }

  delete(watch: Watch<Row>): void {
    const ref = this.#refOf.get(watch);
    if (ref === undefined) return;
    this.#collected.unregister(ref);
    this.#forget(ref);
  }

  #forget(ref: WeakRef<Watch<Row>>): void {
    this.#refs.delete(ref);
    if (this.#refs.size === 0) this.#model.observer = undefined;
  }

  changing(slot: number): void {
    for (const ref of this.#refs.keys()) ref.deref()?.changing(slot);
  }

  changed(slot: number): void {
    for (const ref of this.#refs.keys()) ref.deref()?.changed(slot);
  }

  /** Ends all of them. */
  end(): void {
    for (const ref of [...this.#refs.keys()]) ref.deref()?.end();
  }
}
