import { Dispatch } from './event.js';
import { type Query, TaskStatus } from './filter.js';
import { Model } from './model.js';
import type { Reader, Writer } from './postcard.js';
import type { Postings } from './query.js';
import { Signatures } from './signatures.js';
import type { Key } from './table.js';

/** Stored task record. Times are Unix nanoseconds of whoever wrote. */
export interface Task {
  id: bigint;
  title: string;
  status: TaskStatus;
  createdNs: bigint;
  updatedNs: bigint;
}

const PENDING = 0;
const COMPLETED = 1;

/** Folded state of `cortex/tasks`. The table's flag is the status. */
export class TasksModel extends Model<Task> {
  readonly #titles: string[] = [];
  readonly #signatures = new Signatures();

  apply(dispatch: number, tail: Reader): void {
    switch (dispatch) {
      case Dispatch.TaskCreated: {
        tail.u64();
        const { lo, hi } = tail;
        const title = tail.string();
        tail.u64();
        this.created(lo, hi, title, tail.lo, tail.hi);
        break;
      }
      case Dispatch.TaskRenamed: {
        tail.u64();
        const { lo, hi } = tail;
        const title = tail.string();
        tail.u64();
        this.renamed(lo, hi, title, tail.lo, tail.hi);
        break;
      }
      case Dispatch.TaskCompleted: {
        tail.u64();
        const { lo, hi } = tail;
        tail.u64();
        this.completed(lo, hi, tail.lo, tail.hi);
        break;
      }
      case Dispatch.TaskDeleted:
        tail.u64();
        this.deleted(tail.lo, tail.hi);
        break;
      default:
    }
  }

  /** Puts a pending task in place of whatever has the id. */
  created(lo: number, hi: number, title: string, nowLo: number, nowHi: number): void {
    this.#put(lo, hi, title, PENDING, nowLo, nowHi, nowLo, nowHi);
  }

  #put(
    lo: number,
    hi: number,
    title: string,
    status: 0 | 1,
    createdLo: number,
    createdHi: number,
    updatedLo: number,
    updatedHi: number,
  ): void {
    const { table } = this;
    const known = table.find(lo, hi);
    if (known >= 0) {
      this.observer?.changing(known);
      table.remove(known);
    }
    const slot = table.insert(lo, hi, status, createdLo, createdHi, updatedLo, updatedHi);
    this.#titles[slot] = title;
    this.#signatures.forget(slot);
    this.observer?.changed(slot);
  }

  /** Sets the title of a known task. */
  renamed(lo: number, hi: number, title: string, nowLo: number, nowHi: number): void {
    const slot = this.table.find(lo, hi);
    if (slot < 0) return;
    this.observer?.changing(slot);
    this.#titles[slot] = title;
    this.#signatures.forget(slot);
    this.table.update(slot, this.table.flags[slot] === COMPLETED ? COMPLETED : PENDING, nowLo, nowHi);
    this.observer?.changed(slot);
  }

  /** Completes a known task; again on a completed one moves updatedNs. */
  completed(lo: number, hi: number, nowLo: number, nowHi: number): void {
    const slot = this.table.find(lo, hi);
    if (slot < 0) return;
    this.observer?.changing(slot);
    this.table.update(slot, COMPLETED, nowLo, nowHi);
    this.observer?.changed(slot);
  }

  /** Removes a known task. */
  deleted(lo: number, hi: number): void {
    const slot = this.table.find(lo, hi);
    if (slot < 0) return;
    this.observer?.changing(slot);
    this.table.remove(slot);
    this.#titles[slot] = '';
  }

  row(slot: number): Task {
    const { table } = this;
    const createdNs = table.created[slot] as bigint;
    return {
      id: table.ids[slot] as bigint,
      title: this.#titles[slot] as string,
      status: table.flags[slot] === COMPLETED ? TaskStatus.Completed : TaskStatus.Pending,
      createdNs,
      updatedNs: table.updatedOf(slot, createdNs),
    };
  }

  frozenRow(slot: number): Task {
    return Object.freeze(this.row(slot));
  }

  sortValue(row: Task, key: Key): bigint {
    return key === 'id' ? row.id : key === 'created' ? row.createdNs : row.updatedNs;
  }

  sameRow(a: Task, b: Task): boolean {
    return (
      a.id === b.id &&
      a.title === b.title &&
      a.status === b.status &&
      a.createdNs === b.createdNs &&
      a.updatedNs === b.updatedNs
    );
  }

  postings(_query: Query): Postings | undefined {
    return undefined;
  }

  eachText({ needle }: Query, visit: (slot: number) => void): void {
    if (needle !== undefined) this.#signatures.each(this.table.used, needle, visit);
  }

  matchesText(slot: number, query: Query): boolean {
    const { needle } = query;
    return needle === undefined || this.#signatures.contains(slot, this.#titles[slot] as string, needle);
  }

  protected encodeRow(slot: number, to: Writer): void {
    const { id32, created32, updated32, flags } = this.table;
    to.u64(id32[2 * slot] as number, id32[2 * slot + 1] as number);
    to.string(this.#titles[slot] as string);
    to.byte(flags[slot] as number);
    to.u64(created32[2 * slot] as number, created32[2 * slot + 1] as number);
    to.u64(updated32[2 * slot] as number, updated32[2 * slot + 1] as number);
  }

  protected decodeRow(from: Reader): void {
    from.u64();
    const { lo, hi } = from;
    const title = from.string();
    const status = from.variant(2) === 1 ? COMPLETED : PENDING;
    from.u64();
    const createdLo = from.lo;
    const createdHi = from.hi;
    from.u64();
    this.#put(lo, hi, title, status, createdLo, createdHi, from.lo, from.hi);
  }
}
