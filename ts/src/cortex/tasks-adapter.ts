import { Adapter, type Level } from './adapter.js';
import { type TaskFilter, taskQuery } from './filter.js';
import type { TasksFold } from './tasks-fold.js';
import type { Task } from './tasks-model.js';

/** Writes and queries of tasks, the same at every level. `Int`: what 64-bit arguments may be. */
export abstract class TaskOperations<Written, Int extends bigint | number = bigint> extends Adapter<
  Task,
  TaskFilter,
  TasksFold,
  Written
> {
  /** @internal */
  constructor(fold: TasksFold, level: Level<Written>) {
    super(fold, level, taskQuery);
  }

  /** Adds a pending task; one with this id is replaced. `nowNs` is your clock, kept as createdNs and updatedNs. */
  create(id: Int, title: string, nowNs: Int): Written {
    return this.writing(() => this.fold.create(id, title, nowNs));
  }

  /** Sets the title; an unknown id changes nothing. */
  rename(id: Int, newTitle: string, nowNs: Int): Written {
    return this.writing(() => this.fold.rename(id, newTitle, nowNs));
  }

  /** Completes, again also a completed one; an unknown id changes nothing. */
  complete(id: Int, nowNs: Int): Written {
    return this.writing(() => this.fold.complete(id, nowNs));
  }

  /** Removes; an unknown id changes nothing. */
  delete(id: Int): Written {
    return this.writing(() => this.fold.delete(id));
  }

  /** Tasks that meet the filter, as new objects; ids ascend unless `orderBy` says otherwise. */
  listTasks(filter?: TaskFilter | null): Task[] {
    return this.listing(filter);
  }
}
