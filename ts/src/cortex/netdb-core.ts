/** NetDb of `meshring/core`: both models over one private manager. */
import { wrongType } from '../errors.js';
import { platform } from '../platform/node.js';
import { CoreRedex } from '../redex/index.js';
import type { CompactOptions } from './adapter.js';
import { MemoriesAdapter, TasksAdapter } from './core-adapters.js';
import { cortexError } from './errors.js';
import type { MemoriesFold } from './memories-fold.js';
import { openMemories, openTasks } from './open.js';
import { type Bundle, type BundleEntry, decodeBundle, encodeBundle } from './snapshot.js';
import type { TasksFold } from './tasks-fold.js';
import { u64 } from './u64.js';

/** Options of `NetDb.open`. */
export interface NetDbOpenConfig {
  /** Directory of the logs; counts only with `persistent`. */
  persistentDir?: string;
  /** Origin of this writer: 0 to 2^64 − 1, as a number up to 2^53 − 1. */
  originHash: bigint | number;
  /** Mirror the logs to `persistentDir`. Default false. */
  persistent?: boolean;
  /** Open the tasks. Default false. */
  withTasks?: boolean;
  /** Open the memories. Default false. */
  withMemories?: boolean;
}

/** Snapshot of all models. */
export interface NetDbBundle {
  stateBytes: Buffer;
}

/** Both folds and their manager. */
export interface NetDbParts {
  readonly redex: CoreRedex;
  /** Settled when the logs are closed. */
  closed: Promise<void> | undefined;
  readonly tasks: TasksFold | null;
  readonly memories: MemoriesFold | null;
}

/** Opens what the config asks for, from a bundle when there is one. Throws the core's texts. */
export async function openParts(config: NetDbOpenConfig, bundle?: Uint8Array | null): Promise<NetDbParts> {
  if (typeof config !== 'object' || config === null)
    throw wrongType('NetDb.open', 'config', config, 'an object', 'InvalidArg');
  const origin = u64(config.originHash);
  const persistent = config.persistent === true;
  const from: Bundle | undefined = bundle === undefined ? undefined : decodeBundle(bundle);
  const redex = new CoreRedex(config.persistentDir);
  const verb = from === undefined ? 'open' : 'restore';
  const options = (model: 'tasks' | 'memories', snapshot: BundleEntry | undefined) => {
    return { redex, origin, persistent, context: `NetDb ${verb} ${model}`, snapshot };
  };
  let tasks: TasksFold | null = null;
  try {
    if (config.withTasks === true) tasks = await openTasks(options('tasks', from?.tasks));
    const memories = config.withMemories === true ? await openMemories(options('memories', from?.memories)) : null;
    return { redex, closed: undefined, tasks, memories };
  } catch (error) {
    tasks?.close();
    closeLogs(redex);
    throw error;
  }
}

/** Bytes of all models: tasks first, then memories; each is consistent in itself. */
export function bundleOf({ tasks, memories }: NetDbParts): NetDbBundle {
  const bytes = encodeBundle({ tasks: tasks?.snapshot(), memories: memories?.snapshot() });
  return { stateBytes: platform.bytes(bytes) as Buffer };
}

/** Closes both folds, whatever the first one throws, then the manager's files away from the caller. */
export function closeParts(parts: NetDbParts): void {
  if (parts.closed !== undefined) return;
  let failure: unknown;
  for (const [name, fold] of [
    ['tasks', parts.tasks],
    ['memories', parts.memories],
  ] as const) {
    try {
      fold?.close();
    } catch (cause) {
      failure ??= cortexError('closed', `close ${name}: ${cause instanceof Error ? cause.message : cause}`, cause);
    }
  }
  parts.closed = closeLogs(parts.redex);
  if (failure !== undefined) throw failure;
}

/** A failed last flush is for whoever awaits it; nobody has to. */
function closeLogs(redex: CoreRedex): Promise<void> {
  const closing = redex.close();
  closing.catch((error: unknown) => platform.warnOnce(`closing the logs of a NetDb failed: ${String(error)}`));
  return closing;
}

/** NetDb at either level: its adapters, and how errors are thrown. */
export abstract class Database<Tasks, Memories> {
  readonly #parts: NetDbParts;
  readonly #raised: (error: unknown) => unknown;
  readonly #tasks: Tasks | null;
  readonly #memories: Memories | null;

  /** @internal */
  constructor(
    parts: NetDbParts,
    TasksOf: new (fold: TasksFold) => Tasks,
    MemoriesOf: new (fold: MemoriesFold) => Memories,
    raised: (error: unknown) => unknown,
  ) {
    this.#parts = parts;
    this.#raised = raised;
    this.#tasks = parts.tasks && new TasksOf(parts.tasks);
    this.#memories = parts.memories && new MemoriesOf(parts.memories);
  }

  #raising<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#raised(error);
    }
  }

  /** The tasks, or null when not enabled. */
  get tasks(): Tasks | null {
    return this.#tasks;
  }

  /** The memories, or null when not enabled. */
  get memories(): Memories | null {
    return this.#memories;
  }

  /** State of both models as bytes; each is consistent in itself. */
  snapshot(): NetDbBundle {
    return this.#raising(() => bundleOf(this.#parts));
  }

  /** Ours: compacts both models, one after the other; see the adapters. */
  async compact(options?: CompactOptions): Promise<void> {
    try {
      await this.#parts.tasks?.compact(options?.dropSkipped === true);
      await this.#parts.memories?.compact(options?.dropSkipped === true);
    } catch (error) {
      throw this.#raised(error);
    }
  }

  /** Ours: settled when `close` has flushed and closed the logs; undefined before `close`. */
  get closed(): Promise<void> | undefined {
    return this.#parts.closed;
  }

  /** Closes both models and their logs; the last flush runs away from the caller. Idempotent. */
  close(): void {
    this.#raising(() => closeParts(this.#parts));
  }
}

/** Tasks and memories over one private manager of logs. */
export class NetDb extends Database<TasksAdapter, MemoriesAdapter> {
  /** @internal */
  constructor(parts: NetDbParts) {
    super(parts, TasksAdapter, MemoriesAdapter, (error) => error);
  }

  /** Opens the enabled models. */
  static async open(config: NetDbOpenConfig): Promise<NetDb> {
    return new NetDb(await openParts(config));
  }

  /** Opens the enabled models from a bundle; a model that is not in it starts fresh. */
  static async openFromSnapshot(config: NetDbOpenConfig, bundle: NetDbBundle): Promise<NetDb> {
    return new NetDb(await openParts(config, bundle?.stateBytes ?? null));
  }
}
