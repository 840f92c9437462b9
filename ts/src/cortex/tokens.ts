/** `Tasks` and `Memories` of `meshring/core`: the adapters in the call forms of the read-your-writes guide. */
import { Adapter } from './adapter.js';
import {
  lastSeqOf,
  MemoriesSnapshotAndWatch,
  MemoryWatchIter,
  TasksSnapshotAndWatch,
  TaskWatchIter,
} from './core-adapters.js';
import { typed, typedLater } from './errors.js';
import { type MemoryFilter, memoryQuery, type TaskFilter, taskQuery } from './filter.js';
import type { CortexSnapshot } from './fold.js';
import type { MemoriesFold } from './memories-fold.js';
import type { Memory } from './memories-model.js';
import { type AnyRedex, openMemories, openTasks } from './open.js';
import type { TasksFold } from './tasks-fold.js';
import type { Task } from './tasks-model.js';
import { WriteToken } from './token.js';
import { u64 } from './u64.js';
import type { WatchOptions } from './watch.js';

/** What a write gives: its sequence, and a token that a reader can wait for. */
export interface Written {
  readonly seq: bigint;
  readonly token: WriteToken;
}

/** The origin of writes, or an object with it. */
export type Origin = bigint | number | { originHash: bigint | number; persistent?: boolean };

function originOf(origin: Origin): { origin: bigint; persistent: boolean } {
  if (typeof origin === 'object' && origin !== null) {
    return { origin: u64(origin.originHash), persistent: origin.persistent === true };
  }
  return { origin: u64(origin), persistent: false };
}

/** Event-sourced tasks whose writes return tokens. Throws CortexError. */
export class Tasks extends Adapter<Task, TasksFold> {
  /** Opens the log and folds all of it. */
  static open(redex: AnyRedex, origin: Origin): Promise<Tasks> {
    return typedLater(
      async () => new Tasks(await openTasks({ redex, ...originOf(origin), context: 'TasksAdapter open failed' })),
    );
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(redex: AnyRedex, origin: Origin, snapshot: CortexSnapshot): Promise<Tasks> {
    return typedLater(async () => {
      const from = { stateBytes: snapshot?.stateBytes, lastSeq: lastSeqOf(snapshot?.lastSeq) };
      const context = 'TasksAdapter open_from_snapshot failed';
      return new Tasks(await openTasks({ redex, ...originOf(origin), context, snapshot: from }));
    });
  }

  protected override raised(error: unknown): unknown {
    return typed(error);
  }

  #written(write: () => bigint): Written {
    try {
      const seq = write();
      return { seq, token: new WriteToken(this.fold.origin, seq) };
    } catch (error) {
      throw typed(error);
    }
  }

  /** Adds a pending task; one with this id is replaced. */
  create(id: bigint | number, title: string, nowNs: bigint | number): Written {
    return this.#written(() => this.fold.create(u64(id), title, u64(nowNs)));
  }

  /** Sets the title. */
  rename(id: bigint | number, newTitle: string, nowNs: bigint | number): Written {
    return this.#written(() => this.fold.rename(u64(id), newTitle, u64(nowNs)));
  }

  /** Completes. */
  complete(id: bigint | number, nowNs: bigint | number): Written {
    return this.#written(() => this.fold.complete(u64(id), u64(nowNs)));
  }

  /** Removes. */
  delete(id: bigint | number): Written {
    return this.#written(() => this.fold.delete(u64(id)));
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

/** Event-sourced memories whose writes return tokens. Throws CortexError. */
export class Memories extends Adapter<Memory, MemoriesFold> {
  /** Opens the log and folds all of it. */
  static open(redex: AnyRedex, origin: Origin): Promise<Memories> {
    return typedLater(
      async () =>
        new Memories(await openMemories({ redex, ...originOf(origin), context: 'MemoriesAdapter open failed' })),
    );
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(redex: AnyRedex, origin: Origin, snapshot: CortexSnapshot): Promise<Memories> {
    return typedLater(async () => {
      const from = { stateBytes: snapshot?.stateBytes, lastSeq: lastSeqOf(snapshot?.lastSeq) };
      const context = 'MemoriesAdapter open_from_snapshot failed';
      return new Memories(await openMemories({ redex, ...originOf(origin), context, snapshot: from }));
    });
  }

  protected override raised(error: unknown): unknown {
    return typed(error);
  }

  #written(write: () => bigint): Written {
    try {
      const seq = write();
      return { seq, token: new WriteToken(this.fold.origin, seq) };
    } catch (error) {
      throw typed(error);
    }
  }

  /** Adds a memory; of a known one it replaces content, tags and source. */
  store(id: bigint | number, content: string, tags: string[], source: string, nowNs: bigint | number): Written {
    return this.#written(() => this.fold.store(u64(id), content, tags, source, u64(nowNs)));
  }

  /** The same as `store`. */
  insert(id: bigint | number, content: string, tags: string[], source: string, nowNs: bigint | number): Written {
    return this.store(id, content, tags, source, nowNs);
  }

  /** Replaces the tags. */
  retag(id: bigint | number, tags: string[], nowNs: bigint | number): Written {
    return this.#written(() => this.fold.retag(u64(id), tags, u64(nowNs)));
  }

  /** Pins. */
  pin(id: bigint | number, nowNs: bigint | number): Written {
    return this.#written(() => this.fold.pin(u64(id), u64(nowNs)));
  }

  /** Takes the pin away. */
  unpin(id: bigint | number, nowNs: bigint | number): Written {
    return this.#written(() => this.fold.unpin(u64(id), u64(nowNs)));
  }

  /** Removes. */
  delete(id: bigint | number): Written {
    return this.#written(() => this.fold.delete(u64(id)));
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
