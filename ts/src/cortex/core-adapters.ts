/** The adapters of `meshring/core`: positional arguments, pull iterators, plain errors `cortex: …`. */
import { Adapter } from './adapter.js';
import { type MemoryFilter, memoryQuery, type TaskFilter, taskQuery } from './filter.js';
import type { MemoriesFold } from './memories-fold.js';
import type { Memory } from './memories-model.js';
import { type AnyRedex, openMemories, openTasks } from './open.js';
import type { TasksFold } from './tasks-fold.js';
import type { Task } from './tasks-model.js';
import { u64 } from './u64.js';
import type { Watch, WatchOptions } from './watch.js';

/** A watch that is pulled: each `next()` is a whole result, `null` the end. */
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

/** Checks a last sequence. */
export function lastSeqOf(lastSeq: bigint | null | undefined): bigint | undefined {
  return lastSeq === undefined || lastSeq === null ? undefined : u64(lastSeq);
}

/** Event-sourced tasks over the log `cortex/tasks`. Writes return the sequence of their event. */
export class TasksAdapter extends Adapter<Task, TasksFold> {
  /** Opens the log and folds all of it. */
  static async open(redex: AnyRedex, originHash: bigint, persistent = false): Promise<TasksAdapter> {
    const origin = u64(originHash);
    return new TasksAdapter(await openTasks({ redex, origin, persistent, context: 'TasksAdapter open failed' }));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static async openFromSnapshot(
    redex: AnyRedex,
    originHash: bigint,
    stateBytes: Uint8Array,
    lastSeq?: bigint | null,
    persistent = false,
  ): Promise<TasksAdapter> {
    const origin = u64(originHash);
    const snapshot = { stateBytes, lastSeq: lastSeqOf(lastSeq) };
    const context = 'TasksAdapter open_from_snapshot failed';
    return new TasksAdapter(await openTasks({ redex, origin, persistent, context, snapshot }));
  }

  /** Adds a pending task; one with this id is replaced. */
  create(id: bigint, title: string, nowNs: bigint): bigint {
    return this.fold.create(id, title, nowNs);
  }

  /** Sets the title; an unknown id changes nothing. */
  rename(id: bigint, newTitle: string, nowNs: bigint): bigint {
    return this.fold.rename(id, newTitle, nowNs);
  }

  /** Completes; an unknown id changes nothing. */
  complete(id: bigint, nowNs: bigint): bigint {
    return this.fold.complete(id, nowNs);
  }

  /** Removes; an unknown id changes nothing. */
  delete(id: bigint): bigint {
    return this.fold.delete(id);
  }

  /** Tasks that meet the filter. */
  listTasks(filter?: TaskFilter | null): Task[] {
    return this.fold.list(taskQuery(filter));
  }

  /** Number of tasks that meet the filter's conditions. */
  countWhere(filter?: TaskFilter | null): number {
    return this.fold.countWhere(taskQuery(filter));
  }

  /** Results of the filter: the current one first, then one for each change. */
  async watchTasks(filter?: TaskFilter | null, options?: WatchOptions): Promise<TaskWatchIter> {
    return new TaskWatchIter(this.fold.watch(taskQuery(filter), options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatchTasks(filter?: TaskFilter | null, options?: WatchOptions): Promise<TasksSnapshotAndWatch> {
    return new TasksSnapshotAndWatch(this.fold.watch(taskQuery(filter), options));
  }
}

/** Event-sourced memories over the log `cortex/memories`. Writes return the sequence of their event. */
export class MemoriesAdapter extends Adapter<Memory, MemoriesFold> {
  /** Opens the log and folds all of it. */
  static async open(redex: AnyRedex, originHash: bigint, persistent = false): Promise<MemoriesAdapter> {
    const origin = u64(originHash);
    return new MemoriesAdapter(
      await openMemories({ redex, origin, persistent, context: 'MemoriesAdapter open failed' }),
    );
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static async openFromSnapshot(
    redex: AnyRedex,
    originHash: bigint,
    stateBytes: Uint8Array,
    lastSeq?: bigint | null,
    persistent = false,
  ): Promise<MemoriesAdapter> {
    const origin = u64(originHash);
    const snapshot = { stateBytes, lastSeq: lastSeqOf(lastSeq) };
    const context = 'MemoriesAdapter open_from_snapshot failed';
    return new MemoriesAdapter(await openMemories({ redex, origin, persistent, context, snapshot }));
  }

  /** Adds a memory; of a known one it replaces content, tags and source and keeps pin and createdNs. */
  store(id: bigint, content: string, tags: string[], source: string, nowNs: bigint): bigint {
    return this.fold.store(id, content, tags, source, nowNs);
  }

  /** Replaces the tags; an unknown id changes nothing. */
  retag(id: bigint, tags: string[], nowNs: bigint): bigint {
    return this.fold.retag(id, tags, nowNs);
  }

  /** Pins; an unknown id changes nothing. */
  pin(id: bigint, nowNs: bigint): bigint {
    return this.fold.pin(id, nowNs);
  }

  /** Takes the pin away; an unknown id changes nothing. */
  unpin(id: bigint, nowNs: bigint): bigint {
    return this.fold.unpin(id, nowNs);
  }

  /** Removes; an unknown id changes nothing. */
  delete(id: bigint): bigint {
    return this.fold.delete(id);
  }

  /** Memories that meet the filter. */
  listMemories(filter?: MemoryFilter | null): Memory[] {
    return this.fold.list(memoryQuery(filter));
  }

  /** Number of memories that meet the filter's conditions. */
  countWhere(filter?: MemoryFilter | null): number {
    return this.fold.countWhere(memoryQuery(filter));
  }

  /** Results of the filter: the current one first, then one for each change. */
  async watchMemories(filter?: MemoryFilter | null, options?: WatchOptions): Promise<MemoryWatchIter> {
    return new MemoryWatchIter(this.fold.watch(memoryQuery(filter), options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatchMemories(
    filter?: MemoryFilter | null,
    options?: WatchOptions,
  ): Promise<MemoriesSnapshotAndWatch> {
    return new MemoriesSnapshotAndWatch(this.fold.watch(memoryQuery(filter), options));
  }
}
