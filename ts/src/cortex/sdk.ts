/** The adapters and NetDb of `meshring/cortex`: option objects, typed errors, `for await`. */
import type { Redex } from '../redex/index.js';
import { Adapter } from './adapter.js';
import {
  MemoriesAdapter as CoreMemoriesAdapter,
  TasksAdapter as CoreTasksAdapter,
  lastSeqOf,
} from './core-adapters.js';
import { typed, typedLater } from './errors.js';
import { type MemoryFilter, memoryQuery, type TaskFilter, taskQuery } from './filter.js';
import type { CortexSnapshot } from './fold.js';
import type { MemoriesFold } from './memories-fold.js';
import type { Memory } from './memories-model.js';
import {
  bundleOf,
  NetDb as CoreNetDb,
  closeParts,
  type NetDbBundle,
  type NetDbOpenConfig,
  type NetDbParts,
  openParts,
} from './netdb-core.js';
import { openMemories, openTasks } from './open.js';
import type { TasksFold } from './tasks-fold.js';
import type { Task } from './tasks-model.js';
import { u64 } from './u64.js';
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
export class TasksAdapter extends Adapter<Task, TasksFold> {
  /** The lower-level adapter on the same state. */
  readonly napi: CoreTasksAdapter;

  /** @internal */
  constructor(fold: TasksFold) {
    super(fold);
    this.napi = new CoreTasksAdapter(fold);
  }

  /** Opens the log and folds all of it. `originHash` names this writer. */
  static open(redex: Redex, originHash: bigint | number, opts?: AdapterOptions): Promise<TasksAdapter> {
    return typedLater(async () => {
      const context = 'TasksAdapter open failed';
      const fold = await openTasks({ redex, origin: u64(originHash), persistent: opts?.persistent === true, context });
      return new TasksAdapter(fold);
    });
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(
    redex: Redex,
    originHash: bigint | number,
    snapshot: CortexSnapshot,
    opts?: AdapterOptions,
  ): Promise<TasksAdapter> {
    return typedLater(async () => {
      const context = 'TasksAdapter open_from_snapshot failed';
      const origin = u64(originHash);
      const from = { stateBytes: snapshot?.stateBytes, lastSeq: lastSeqOf(snapshot?.lastSeq) };
      const persistent = opts?.persistent === true;
      return new TasksAdapter(await openTasks({ redex, origin, persistent, context, snapshot: from }));
    });
  }

  protected override raised(error: unknown): unknown {
    return typed(error);
  }

  /** Adds a pending task; one with this id is replaced. `nowNs` is your clock, kept as createdNs and updatedNs. */
  create(id: bigint, title: string, nowNs: bigint): bigint {
    try {
      return this.fold.create(id, title, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Sets the title; an unknown id changes nothing. */
  rename(id: bigint, newTitle: string, nowNs: bigint): bigint {
    try {
      return this.fold.rename(id, newTitle, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Completes; an unknown id changes nothing. */
  complete(id: bigint, nowNs: bigint): bigint {
    try {
      return this.fold.complete(id, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Removes; an unknown id changes nothing. */
  delete(id: bigint): bigint {
    try {
      return this.fold.delete(id);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Tasks that meet the filter, as new objects. */
  listTasks(filter?: TaskFilter | null): Task[] {
    return this.fold.list(taskQuery(filter));
  }

  /** Ours: number of tasks that meet the filter's conditions. */
  countWhere(filter?: TaskFilter | null): number {
    return this.fold.countWhere(taskQuery(filter));
  }

  /**
   * Results of the filter: the current one first, then one for each change; a slow reader gets the newest. The rows are
   * shared between results and frozen.
   */
  async watch(filter?: TaskFilter | null, options?: WatchOptions): Promise<AsyncIterable<Task[]>> {
    return new Results(this.fold.watch(taskQuery(filter), options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatch(filter?: TaskFilter | null, options?: WatchOptions): Promise<SnapshotAndWatch<Task>> {
    return snapshotAndWatch(this.fold.watch(taskQuery(filter), options));
  }
}

/**
 * Event-sourced memories. Every write appends an event to the log `cortex/memories`, is folded before the call returns,
 * and returns its sequence. Throws CortexError.
 */
export class MemoriesAdapter extends Adapter<Memory, MemoriesFold> {
  /** The lower-level adapter on the same state. */
  readonly napi: CoreMemoriesAdapter;

  /** @internal */
  constructor(fold: MemoriesFold) {
    super(fold);
    this.napi = new CoreMemoriesAdapter(fold);
  }

  /** Opens the log and folds all of it. `originHash` names this writer. */
  static open(redex: Redex, originHash: bigint | number, opts?: AdapterOptions): Promise<MemoriesAdapter> {
    return typedLater(async () => {
      const context = 'MemoriesAdapter open failed';
      const persistent = opts?.persistent === true;
      return new MemoriesAdapter(await openMemories({ redex, origin: u64(originHash), persistent, context }));
    });
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(
    redex: Redex,
    originHash: bigint | number,
    snapshot: CortexSnapshot,
    opts?: AdapterOptions,
  ): Promise<MemoriesAdapter> {
    return typedLater(async () => {
      const context = 'MemoriesAdapter open_from_snapshot failed';
      const origin = u64(originHash);
      const from = { stateBytes: snapshot?.stateBytes, lastSeq: lastSeqOf(snapshot?.lastSeq) };
      const persistent = opts?.persistent === true;
      return new MemoriesAdapter(await openMemories({ redex, origin, persistent, context, snapshot: from }));
    });
  }

  protected override raised(error: unknown): unknown {
    return typed(error);
  }

  /** Adds a memory; of a known one it replaces content, tags and source and keeps pin and createdNs. */
  store(id: bigint, content: string, tags: string[], source: string, nowNs: bigint): bigint {
    try {
      return this.fold.store(id, content, tags, source, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Replaces the tags; an unknown id changes nothing. */
  retag(id: bigint, tags: string[], nowNs: bigint): bigint {
    try {
      return this.fold.retag(id, tags, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Pins; an unknown id changes nothing. */
  pin(id: bigint, nowNs: bigint): bigint {
    try {
      return this.fold.pin(id, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Takes the pin away; an unknown id changes nothing. */
  unpin(id: bigint, nowNs: bigint): bigint {
    try {
      return this.fold.unpin(id, nowNs);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Removes; an unknown id changes nothing. */
  delete(id: bigint): bigint {
    try {
      return this.fold.delete(id);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Memories that meet the filter, as new objects. */
  listMemories(filter?: MemoryFilter | null): Memory[] {
    return this.fold.list(memoryQuery(filter));
  }

  /** Ours: number of memories that meet the filter's conditions. */
  countWhere(filter?: MemoryFilter | null): number {
    return this.fold.countWhere(memoryQuery(filter));
  }

  /**
   * Results of the filter: the current one first, then one for each change; a slow reader gets the newest. The rows are
   * shared between results and frozen.
   */
  async watch(filter?: MemoryFilter | null, options?: WatchOptions): Promise<AsyncIterable<Memory[]>> {
    return new Results(this.fold.watch(memoryQuery(filter), options));
  }

  /** The current result and every later one, without a gap. */
  async snapshotAndWatch(filter?: MemoryFilter | null, options?: WatchOptions): Promise<SnapshotAndWatch<Memory>> {
    return snapshotAndWatch(this.fold.watch(memoryQuery(filter), options));
  }
}

/** Tasks and memories over one private manager of logs. */
export class NetDb {
  /** The lower-level object on the same state. */
  readonly napi: CoreNetDb;
  readonly #parts: NetDbParts;
  readonly #tasks: TasksAdapter | null;
  readonly #memories: MemoriesAdapter | null;

  /** @internal */
  constructor(parts: NetDbParts) {
    this.#parts = parts;
    this.napi = new CoreNetDb(parts);
    this.#tasks = parts.tasks && new TasksAdapter(parts.tasks);
    this.#memories = parts.memories && new MemoriesAdapter(parts.memories);
  }

  /** Opens the enabled models. */
  static open(config: NetDbOpenConfig): Promise<NetDb> {
    return typedLater(async () => new NetDb(await openParts(config)));
  }

  /** Opens the enabled models from a bundle; a model that is not in it starts fresh. */
  static openFromSnapshot(config: NetDbOpenConfig, bundle: NetDbBundle): Promise<NetDb> {
    return typedLater(async () => new NetDb(await openParts(config, bundle?.stateBytes ?? null)));
  }

  /** The tasks, or null when not enabled. */
  get tasks(): TasksAdapter | null {
    return this.#tasks;
  }

  /** The memories, or null when not enabled. */
  get memories(): MemoriesAdapter | null {
    return this.#memories;
  }

  /** State of both models as bytes; each is consistent in itself. */
  snapshot(): NetDbBundle {
    try {
      return bundleOf(this.#parts);
    } catch (error) {
      throw typed(error);
    }
  }

  /** Ours: settled when `close` has flushed and closed the logs; undefined before `close`. */
  get closed(): Promise<void> | undefined {
    return this.#parts.closed;
  }

  /** Closes both models and their logs; the last flush runs away from the caller. Idempotent. */
  close(): void {
    try {
      closeParts(this.#parts);
    } catch (error) {
      throw typed(error);
    }
  }
}
