import { wrongType } from '../errors.js';
import { Dispatch } from './event.js';
import { Fold } from './fold.js';
import type { EventLog } from './log.js';
import type { Start } from './snapshot.js';
import type { Task, TasksModel } from './tasks-model.js';
import { high, low, u64 } from './u64.js';

/** Log and fold of the tasks: every write appends its event and is folded before it returns. */
export class TasksFold extends Fold<Task, TasksModel> {
  constructor(log: EventLog, origin: bigint, model: TasksModel, start: Start) {
    super(log, origin, model, start);
  }

  /** Adds a pending task, or puts it in place of the one with this id. */
  create(id: bigint | number, title: string, nowNs: bigint | number): bigint {
    return this.#titled('create', Dispatch.TaskCreated, id, title, nowNs);
  }

  /** Sets the title. */
  rename(id: bigint | number, title: string, nowNs: bigint | number): bigint {
    return this.#titled('rename', Dispatch.TaskRenamed, id, title, nowNs);
  }

  #titled(
    operation: 'create' | 'rename',
    dispatch: number,
    id: bigint | number,
    title: string,
    nowNs: bigint | number,
  ): bigint {
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
  complete(id: bigint | number, nowNs: bigint | number): bigint {
    return this.writeStamped('complete', Dispatch.TaskCompleted, id, nowNs, (...at) => this.model.completed(...at));
  }

  /** Removes a task. */
  delete(id: bigint | number): bigint {
    return this.writeDeleted(Dispatch.TaskDeleted, id);
  }
}
