/** The adapters and NetDb of `meshring/cortex`: option objects, typed errors, `for await`. */
import type { Redex } from '../redex/index.js';
import { TYPED } from './adapter.js';
import { MemoriesAdapter as CoreMemoriesAdapter, TasksAdapter as CoreTasksAdapter } from './core-adapters.js';
import { typed, typedLater } from './errors.js';
import type { MemoryFilter, TaskFilter } from './filter.js';
import { MemoryOperations } from './memories-adapter.js';
import type { MemoriesFold } from './memories-fold.js';
import type { Memory } from './memories-model.js';
import {
  NetDb as CoreNetDb,
  Database,
  type NetDbBundle,
  type NetDbOpenConfig,
  type NetDbParts,
  openParts,
} from './netdb-core.js';
import { given, openMemories, openTasks } from './open.js';
import type { CortexSnapshot } from './snapshot.js';
import { TaskOperations } from './tasks-adapter.js';
import type { TasksFold } from './tasks-fold.js';
import type { Task } from './tasks-model.js';
import type { Watch, WatchOptions } from './watch.js';

/** A result and everything that follows it, taken from one state. */
export interface SnapshotAndWatch<T> {
  readonly snapshot: T[];
  readonly updates: AsyncIterable<T[]>;
}

/** Options of the adapters' `open`. */
export interface AdapterOptions {
  /** Mirror the log to the manager's `persistentDir`. Default false. */
  persistent?: boolean;
}

/** `for await` over a watch; leaving the loop closes it. */
class Results<Row extends { readonly id: bigint }> implements AsyncIterable<Row[]> {
  readonly #watch: Watch<Row>;

  constructor(watch: Watch<Row>) {
    this.#watch = watch;
  }

  [Symbol.asyncIterator](): AsyncIterator<Row[]> {
    const watch = this.#watch;
    let done = false;
    return {
      async next() {
        const value = done ? null : await watch.next();
        if (value !== null) return { value, done: false };
        done = true;
        return { value: undefined, done: true };
      },
      async return() {
        done = true;
        watch.close();
        return { value: undefined, done: true };
      },
    };
  }
}

function snapshotAndWatch<Row extends { readonly id: bigint }>(watch: Watch<Row>): SnapshotAndWatch<Row> {
  return { snapshot: watch.takeSnapshot(), updates: new Results(watch) };
}

/**
 * Event-sourced tasks. Every write appends an event to the log `cortex/tasks`, is folded before the call returns, and
 * returns its sequence. Throws CortexError.
 */
export class TasksAdapter extends TaskOperations<bigint> {
  /** The lower-level adapter on the same state. */
  readonly napi: CoreTasksAdapter;

  /** @internal */
  constructor(fold: TasksFold) {
    super(fold, TYPED);
    this.napi = new CoreTasksAdapter(fold);
  }

  /** Opens the log and folds all of it. `originHash` names this writer. */
  static open(redex: Redex, originHash: bigint | number, opts?: AdapterOptions): Promise<TasksAdapter> {
    const options = { redex, origin: originHash, persistent: opts?.persistent === true };
    return typedLater(async () => new TasksAdapter(await openTasks(options)));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(
    redex: Redex,
    originHash: bigint | number,
    snapshot: CortexSnapshot,
    opts?: AdapterOptions,
  ): Promise<TasksAdapter> {
    const options = { redex, origin: originHash, persistent: opts?.persistent === true, snapshot: given(snapshot) };
    return typedLater(async () => new TasksAdapter(await openTasks(options)));
  }

  /**
   * Results of the filter: the current one first, then one for each change; a slow reader gets the newest. The rows are
   * shared between results and frozen.
   */
  async watch(filter?: TaskFilter | null, options?: WatchOptions): Promise<AsyncIterable<Task[]>> {
    return new Results(this.watching(filter, options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatch(filter?: TaskFilter | null, options?: WatchOptions): Promise<SnapshotAndWatch<Task>> {
    return snapshotAndWatch(this.watching(filter, options));
  }
}

/**
 * Event-sourced memories. Every write appends an event to the log `cortex/memories`, is folded before the call returns,
 * and returns its sequence. Throws CortexError.
 */
export class MemoriesAdapter extends MemoryOperations<bigint> {
  /** The lower-level adapter on the same state. */
  readonly napi: CoreMemoriesAdapter;

  /** @internal */
  constructor(fold: MemoriesFold) {
    super(fold, TYPED);
    this.napi = new CoreMemoriesAdapter(fold);
  }

  /** Opens the log and folds all of it. `originHash` names this writer. */
  static open(redex: Redex, originHash: bigint | number, opts?: AdapterOptions): Promise<MemoriesAdapter> {
    const options = { redex, origin: originHash, persistent: opts?.persistent === true };
    return typedLater(async () => new MemoriesAdapter(await openMemories(options)));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(
    redex: Redex,
    originHash: bigint | number,
    snapshot: CortexSnapshot,
    opts?: AdapterOptions,
  ): Promise<MemoriesAdapter> {
    const options = { redex, origin: originHash, persistent: opts?.persistent === true, snapshot: given(snapshot) };
    return typedLater(async () => new MemoriesAdapter(await openMemories(options)));
  }

  /** As for tasks. */
  async watch(filter?: MemoryFilter | null, options?: WatchOptions): Promise<AsyncIterable<Memory[]>> {
    return new Results(this.watching(filter, options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatch(filter?: MemoryFilter | null, options?: WatchOptions): Promise<SnapshotAndWatch<Memory>> {
    return snapshotAndWatch(this.watching(filter, options));
  }
}

/** Tasks and memories over one private manager of logs. Throws CortexError and NetDbError. */
export class NetDb extends Database<TasksAdapter, MemoriesAdapter> {
  /** The lower-level object on the same state. */
  readonly napi: CoreNetDb;

  /** @internal */
  constructor(parts: NetDbParts) {
    super(parts, TasksAdapter, MemoriesAdapter, typed);
    this.napi = new CoreNetDb(parts);
  }

  /** Opens the enabled models. */
  static open(config: NetDbOpenConfig): Promise<NetDb> {
    return typedLater(async () => new NetDb(await openParts(config)));
  }

  /** Opens the enabled models from a bundle; a model that is not in it starts fresh. */
  static openFromSnapshot(config: NetDbOpenConfig, bundle: NetDbBundle): Promise<NetDb> {
    return typedLater(async () => new NetDb(await openParts(config, bundle?.stateBytes ?? null)));
  }
}
