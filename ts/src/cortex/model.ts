/** What tasks and memories have in common: a folded state that applies events, answers queries and tells observers. */
import type { Query } from './filter.js';
import type { Reader, Writer } from './postcard.js';
import type { Postings, Searchable } from './query.js';
import { type Key, Table } from './table.js';

/** Sees every change of a model, before and after it. */
export interface Observer {
  /** An entry is about to change or vanish. */
  changing(slot: number): void;
  /** An entry is there with new content. */
  changed(slot: number): void;
}

/** Folded state of one model. `Row` is what users get. */
export abstract class Model<Row extends { readonly id: bigint }> implements Searchable {
  readonly table = new Table();
  /** The watches, while there are any. */
  observer: Observer | undefined;

  /** Applies one event; throws `DecodeError` when its tail does not decode. Unknown dispatches do nothing. */
  abstract apply(dispatch: number, tail: Reader): void;
  /** Removes the entry with an id, if there is one. */
  abstract deleted(lo: number, hi: number): void;
  /** The entry in a slot, as a new object. */
  abstract row(slot: number): Row;
  /** The same for sharing: nothing of it can be changed. */
  abstract frozenRow(slot: number): Row;
  /** What a row is sorted by. */
  abstract sortValue(row: Row, key: Key): bigint;
  /** Whether two objects say the same. */
  abstract sameRow(a: Row, b: Row): boolean;
  abstract postings(query: Query): Postings | undefined;
  abstract eachText(query: Query, visit: (slot: number) => void): void;
  abstract matchesText(slot: number, query: Query): boolean;
  /** Writes one entry of a snapshot, without its key. */
  protected abstract encodeRow(slot: number, to: Writer): void;
  /** Reads one entry of a snapshot, without its key, and puts it in. */
  protected abstract decodeRow(from: Reader): void;

  /** Slots in id order. */
  *slots(): Generator<number, void, undefined> {
    const [zero, one] = this.table.orders;
    const cursors = [zero.id.ascending(), one.id.ascending()] as const;
    let [a, b] = [cursors[0].next(), cursors[1].next()];
    while (a >= 0 || b >= 0) {
      if (b < 0 || (a >= 0 && zero.id.compare(a, b) < 0)) {
        yield a;
        a = cursors[0].next();
      } else {
        yield b;
        b = cursors[1].next();
      }
    }
  }

  /** The state as bytes (51 §4.3), ids ascending, so that equal states give equal bytes. */
  encode(to: Writer): void {
    to.count(this.table.size);
    const ids = this.table.id32;
    for (const slot of this.slots()) {
      to.u64(ids[2 * slot] as number, ids[2 * slot + 1] as number);
      this.encodeRow(slot, to);
    }
  }

  /** Removes every entry. */
  clear(): void {
    const ids = this.table.id32;
    for (const slot of [...this.slots()]) this.deleted(ids[2 * slot] as number, ids[2 * slot + 1] as number);
  }

  /** Fills an empty state from bytes. Entries may come in any order; of equal keys the last wins. */
  decode(from: Reader): void {
    const count = from.count();
    for (let i = 0; i < count; i++) {
      from.u64();
      this.decodeRow(from);
    }
  }
}
