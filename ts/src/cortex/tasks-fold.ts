import { wrongType } from '../errors.js';
import { Dispatch } from './event.js';
import { Fold, type Start } from './fold.js';
import type { EventLog } from './log.js';
import type { Task, TasksModel } from './tasks-model.js';
import { high, low, u64 } from './u64.js';

/** Log and fold of the tasks: every write appends its event and is folded before it returns. */
export class TasksFold extends Fold<Task, TasksModel> {
  constructor(log: EventLog, origin: bigint, model: TasksModel, start: Start) {
    super(log, origin, model, start);
  }

  /** Adds a pending task, or puts it in place of the one with this id. */
  create(id: bigint, title: string, nowNs: bigint): bigint {
    return this.#titled('create', Dispatch.TaskCreated, id, title, nowNs);
  }

  /** Sets the title. */
  rename(id: bigint, title: string, nowNs: bigint): bigint {
    return this.#titled('rename', Dispatch.TaskRenamed, id, title, nowNs);
  }

  #titled(operation: 'create' | 'rename', dispatch: number, id: bigint, title: string, nowNs: bigint): bigint {
    const key = u64(id);
    const now = u64(nowNs);
    if (typeof title !== 'string') throw wrongType(operation, 'title', title, 'a string', 'StringExpected');
    const lo = low(key);
    const hi = high(key);
    const nowLo = low(now);
    const nowHi = high(now);
    const tail = this.begin(operation);
    tail.u64(lo, hi);
    const written = tail.string(title);
    tail.u64(nowLo, nowHi);
    const seq = this.write(operation, dispatch);
    if (this.due) {
      if (dispatch === Dispatch.TaskCreated) this.model.created(lo, hi, written, nowLo, nowHi);
      else this.model.renamed(lo, hi, written, nowLo, nowHi);
      this.wrote(seq);
    }
    return seq;
  }

  /** Completes a task. */
  complete(id: bigint, nowNs: bigint): bigint {
    const key = u64(id);
    const now = u64(nowNs);
    const tail = this.begin('complete');
    tail.u64(low(key), high(key));
    tail.u64(low(now), high(now));
    const seq = this.write('complete', Dispatch.TaskCompleted);
    if (this.due) {
      this.model.completed(low(key), high(key), low(now), high(now));
      this.wrote(seq);
    }
    return seq;
  }

  /** Removes a task. */
  delete(id: bigint): bigint {
    const key = u64(id);
    const tail = this.begin('delete');
    tail.u64(low(key), high(key));
    const seq = this.write('delete', Dispatch.TaskDeleted);
    if (this.due) {
      this.model.deleted(low(key), high(key));
      this.wrote(seq);
    }
    return seq;
  }
}
