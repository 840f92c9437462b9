/** Watches of `meshring/core`, which are pulled: each `next()` is a whole result, `null` the end. */
import type { MemoryFilter, TaskFilter } from './filter.js';
import { MemoryOperations } from './memories-adapter.js';
import type { Memory } from './memories-model.js';
import { TaskOperations } from './tasks-adapter.js';
import type { Task } from './tasks-model.js';
import type { Watch, WatchOptions } from './watch.js';

/** A watch that is pulled. */
export class WatchIter<Row extends { readonly id: bigint }> {
  readonly #watch: Watch<Row>;

  /** @internal */
  constructor(watch: Watch<Row>) {
    this.#watch = watch;
  }

  /** The next result that differs from the last; pending calls are served in order. Rows are frozen. */
  next(): Promise<Row[] | null> {
    return this.#watch.next();
  }

  /** Ends the iteration: pending and later `next()` give `null`. */
  close(): void {
    this.#watch.close();
  }
}

/** A watch and the result that it started from. */
export class SnapshotAndWatchIter<Row extends { readonly id: bigint }> extends WatchIter<Row> {
  readonly #snapshot: Row[];

  /** @internal */
  constructor(watch: Watch<Row>) {
    const snapshot = watch.takeSnapshot();
    super(watch);
    this.#snapshot = snapshot;
  }

  /** The result at the start, a new array on each read. */
  get snapshot(): Row[] {
    return this.#snapshot.slice();
  }
}

/** Watch of tasks. */
export class TaskWatchIter extends WatchIter<Task> {}
/** Watch of memories. */
export class MemoryWatchIter extends WatchIter<Memory> {}
/** Tasks at a moment and all changes after it. */
export class TasksSnapshotAndWatch extends SnapshotAndWatchIter<Task> {}
/** Memories at a moment and all changes after it. */
export class MemoriesSnapshotAndWatch extends SnapshotAndWatchIter<Memory> {}

/** Tasks with pulled watches. */
export abstract class PulledTasks<Written, Int extends bigint | number = bigint> extends TaskOperations<Written, Int> {
  /** Results of the filter: the current one first, then one for each change. */
  async watchTasks(filter?: TaskFilter | null, options?: WatchOptions): Promise<TaskWatchIter> {
    return new TaskWatchIter(this.watching(filter, options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatchTasks(filter?: TaskFilter | null, options?: WatchOptions): Promise<TasksSnapshotAndWatch> {
    return new TasksSnapshotAndWatch(this.watching(filter, options));
  }
}

/** Memories with pulled watches. */
export abstract class PulledMemories<Written, Int extends bigint | number = bigint> extends MemoryOperations<
  Written,
  Int
> {
  /** Results of the filter: the current one first, then one for each change. */
  async watchMemories(filter?: MemoryFilter | null, options?: WatchOptions): Promise<MemoryWatchIter> {
    return new MemoryWatchIter(this.watching(filter, options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatchMemories(
    filter?: MemoryFilter | null,
    options?: WatchOptions,
  ): Promise<MemoriesSnapshotAndWatch> {
    return new MemoriesSnapshotAndWatch(this.watching(filter, options));
  }
}
