/** Opening of the two models' folds over a manager's logs. */
import { wrongType } from '../errors.js';
import { CoreRedex, Redex } from '../redex/index.js';
import { cortexError, type Fold, logText, type Start } from './fold.js';
import type { EventLog } from './log.js';
import { MemoriesFold } from './memories-fold.js';
import { MemoriesModel } from './memories-model.js';
import type { Model } from './model.js';
import { RedexLog } from './redex-log.js';
import { restore } from './snapshot.js';
import { TasksFold } from './tasks-fold.js';
import { TasksModel } from './tasks-model.js';

/** A manager of either level. */
export type AnyRedex = CoreRedex | Redex;

/** How a fold is opened. */
export interface OpenOptions {
  readonly redex: AnyRedex;
  /** Origin of own writes. */
  readonly origin: bigint;
  /** Mirror the log to the manager's directory. */
  readonly persistent: boolean;
  /** Beginning of error texts, for example `TasksAdapter open failed`. */
  readonly context: string;
  /** State to start from instead of the log's beginning. */
  readonly snapshot?: { readonly stateBytes: Uint8Array; readonly lastSeq?: bigint | undefined } | undefined;
}

const NOTHING: Start = { counter: 0n, lastSeq: undefined };

/** Opens the log `cortex/tasks` and folds it. */
export function openTasks(options: OpenOptions): Promise<TasksFold> {
  return open('tasks', new TasksModel(), TasksFold, options);
}

/** Opens the log `cortex/memories` and folds it. */
export function openMemories(options: OpenOptions): Promise<MemoriesFold> {
  return open('memories', new MemoriesModel(), MemoriesFold, options);
}

async function open<Row extends { readonly id: bigint }, M extends Model<Row>, F extends Fold<Row, M>>(
  name: 'tasks' | 'memories',
  model: M,
  FoldOf: new (log: EventLog, origin: bigint, model: M, start: Start) => F,
  { redex, origin, persistent, context, snapshot }: OpenOptions,
): Promise<F> {
  const start = snapshot === undefined ? NOTHING : restore(model, name, context, snapshot.stateBytes, snapshot.lastSeq);
  const log = openLog(redex, `cortex/${name}`, persistent, context);
  // A log that is shorter than the snapshot must not give out sequences that the snapshot has in it already.
  if (start.lastSeq !== undefined && log.next() <= start.lastSeq) log.advance(start.lastSeq + 1n);
  const fold = new FoldOf(log, origin, model, start);
  await fold.replay();
  return fold;
}

function openLog(redex: AnyRedex, channel: string, persistent: boolean, context: string): EventLog {
  const core = redex instanceof Redex ? redex.napi : redex;
  if (!(core instanceof CoreRedex)) throw wrongType('open', 'redex', redex, 'a Redex', 'InvalidArg');
  try {
    return new RedexLog(core.openFile(channel, { persistent }));
  } catch (cause) {
    throw cortexError('open-failed', `${context}: ${logText(cause)}`, cause);
  }
}
