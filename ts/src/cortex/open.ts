/** Opening of the two models' folds over a manager's logs. */
import { wrongType } from '../errors.js';
import { CoreRedex, Redex } from '../redex/index.js';
import { cortexError, logText } from './errors.js';
import type { Fold } from './fold.js';
import type { EventLog } from './log.js';
import { MemoriesFold } from './memories-fold.js';
import { MemoriesModel } from './memories-model.js';
import type { Model } from './model.js';
import { RedexLog } from './redex-log.js';
import { type Given, restore, type Start } from './snapshot.js';
import { TasksFold } from './tasks-fold.js';
import { TasksModel } from './tasks-model.js';
import { u64 } from './u64.js';

/** A manager of either level. */
export type AnyRedex = CoreRedex | Redex;

/** How a fold is opened. */
export interface OpenOptions {
  readonly redex: AnyRedex;
  /** Origin of own writes. */
  readonly origin: bigint | number;
  /** Mirror the log to the manager's directory. */
  readonly persistent: boolean;
  /** Beginning of error texts; by default `TasksAdapter open failed` and the like. */
  readonly context?: string;
  /** State to start from instead of the log's beginning. */
  readonly snapshot?: Given | undefined;
}

/** Takes a snapshot from an argument; `open` refuses what is none. */
export function given(snapshot: Given | null | undefined): Given {
  return { stateBytes: snapshot?.stateBytes as Uint8Array, lastSeq: snapshot?.lastSeq };
}

const NOTHING: Start = { counter: 0n, lastSeq: undefined };

/** Opens the log `cortex/tasks` and folds it. */
export function openTasks(options: OpenOptions): Promise<TasksFold> {
  return open(TASKS, options);
}

/** Opens the log `cortex/memories` and folds it. */
export function openMemories(options: OpenOptions): Promise<MemoriesFold> {
  return open(MEMORIES, options);
}

/** What there is of each model. */
interface Kind<Row extends { readonly id: bigint }, M extends Model<Row>, F extends Fold<Row, M>> {
  readonly name: 'tasks' | 'memories';
  readonly adapter: string;
  readonly Model: new () => M;
  readonly Fold: new (log: EventLog, origin: bigint, model: M, start: Start) => F;
}

const TASKS = { name: 'tasks', adapter: 'TasksAdapter', Model: TasksModel, Fold: TasksFold } as const;
const MEMORIES = { name: 'memories', adapter: 'MemoriesAdapter', Model: MemoriesModel, Fold: MemoriesFold } as const;

async function open<Row extends { readonly id: bigint }, M extends Model<Row>, F extends Fold<Row, M>>(
  { name, adapter, Model, Fold }: Kind<Row, M, F>,
  { redex, origin, persistent, context, snapshot }: OpenOptions,
): Promise<F> {
  const writer = u64(origin);
  const model = new Model();
  const verb = snapshot === undefined ? 'open' : 'open_from_snapshot';
  const failing = context ?? `${adapter} ${verb} failed`;
  let start = snapshot === undefined ? NOTHING : restore(model, name, failing, snapshot);
  const log = openLog(redex, `cortex/${name}`, persistent, failing);
  const { kept, damaged } = opening(failing, () => log.kept());
  if (kept !== undefined && (start.lastSeq === undefined || start.lastSeq < kept.lastSeq)) {
    model.clear();
    start = restore(model, name, failing, kept);
  }
  if (damaged.length > 0 && log.first() > (start.lastSeq ?? -1n) + 1n) {
    throw cortexError(
      'restore-failed',
      `${failing}: ${damaged[0]} is damaged and the log begins at ${log.first()}: ` +
        'open with a snapshot of your own, or remove that file to go on with the events that are left',
    );
  }
  // A log that is shorter than the snapshot must not give out sequences that the snapshot has in it already.
  if (start.lastSeq !== undefined && log.next() <= start.lastSeq) log.advance(start.lastSeq + 1n);
  const fold = new Fold(log, writer, model, start);
  await fold.replay();
  return fold;
}

function openLog(redex: AnyRedex, channel: string, persistent: boolean, context: string): EventLog {
  const core = redex instanceof Redex ? redex.napi : redex;
  if (!(core instanceof CoreRedex)) throw wrongType('open', 'redex', redex, 'a Redex', 'InvalidArg');
  return opening(context, () => new RedexLog(core.openFile(channel, { persistent })));
}

function opening<T>(context: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw cortexError('open-failed', `${context}: ${logText(cause)}`, cause);
  }
}
