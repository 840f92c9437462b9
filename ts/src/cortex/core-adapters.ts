/** The adapters of `meshring/core`: positional arguments, pull iterators, plain errors `cortex: …`. */
import { PLAIN } from './adapter.js';
import type { MemoriesFold } from './memories-fold.js';
import { type AnyRedex, openMemories, openTasks } from './open.js';
import { PulledMemories, PulledTasks } from './pull.js';
import type { TasksFold } from './tasks-fold.js';

/** Event-sourced tasks over the log `cortex/tasks`. Writes return the sequence of their event. */
export class TasksAdapter extends PulledTasks<bigint> {
  /** @internal */
  constructor(fold: TasksFold) {
    super(fold, PLAIN);
  }

  /** Opens the log and folds all of it. `originHash` names this writer. */
  static async open(redex: AnyRedex, originHash: bigint, persistent = false): Promise<TasksAdapter> {
    return new TasksAdapter(await openTasks({ redex, origin: originHash, persistent }));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static async openFromSnapshot(
    redex: AnyRedex,
    originHash: bigint,
    stateBytes: Uint8Array,
    lastSeq?: bigint | null,
    persistent = false,
  ): Promise<TasksAdapter> {
    const snapshot = { stateBytes, lastSeq };
    return new TasksAdapter(await openTasks({ redex, origin: originHash, persistent, snapshot }));
  }
}

/** Event-sourced memories over the log `cortex/memories`. Writes return the sequence of their event. */
export class MemoriesAdapter extends PulledMemories<bigint> {
  /** @internal */
  constructor(fold: MemoriesFold) {
    super(fold, PLAIN);
  }

  /** Opens the log and folds all of it. `originHash` names this writer. */
  static async open(redex: AnyRedex, originHash: bigint, persistent = false): Promise<MemoriesAdapter> {
    return new MemoriesAdapter(await openMemories({ redex, origin: originHash, persistent }));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static async openFromSnapshot(
    redex: AnyRedex,
    originHash: bigint,
    stateBytes: Uint8Array,
    lastSeq?: bigint | null,
    persistent = false,
  ): Promise<MemoriesAdapter> {
    const snapshot = { stateBytes, lastSeq };
    return new MemoriesAdapter(await openMemories({ redex, origin: originHash, persistent, snapshot }));
  }
}
