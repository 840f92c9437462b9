/** `Tasks` and `Memories` of `meshring/core`: the adapters in the call forms of the read-your-writes guide. */
import type { Level } from './adapter.js';
import { typed, typedLater } from './errors.js';
import type { MemoriesFold } from './memories-fold.js';
import { type AnyRedex, given, openMemories, openTasks } from './open.js';
import { PulledMemories, PulledTasks } from './pull.js';
import type { CortexSnapshot } from './snapshot.js';
import type { TasksFold } from './tasks-fold.js';
import { WriteToken } from './token.js';

/** What a write gives: its sequence, and a token that a reader can wait for. */
export interface Written {
  readonly seq: bigint;
  readonly token: WriteToken;
}

/** The origin of writes, or an object with it. */
export type Origin = bigint | number | { originHash: bigint | number; persistent?: boolean };

function originOf(origin: Origin): { origin: bigint | number; persistent: boolean } {
  if (typeof origin === 'object' && origin !== null) {
    return { origin: origin.originHash, persistent: origin.persistent === true };
  }
  return { origin, persistent: false };
}

const TOKENS: Level<Written> = {
  written: (seq, origin) => ({ seq, token: new WriteToken(origin, seq) }),
  raised: typed,
};

/** Event-sourced tasks whose writes return tokens. Throws CortexError. */
export class Tasks extends PulledTasks<Written, bigint | number> {
  /** @internal */
  constructor(fold: TasksFold) {
    super(fold, TOKENS);
  }

  /** Opens the log and folds all of it. */
  static open(redex: AnyRedex, origin: Origin): Promise<Tasks> {
    return typedLater(async () => new Tasks(await openTasks({ redex, ...originOf(origin) })));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(redex: AnyRedex, origin: Origin, snapshot: CortexSnapshot): Promise<Tasks> {
    const from = given(snapshot);
    return typedLater(async () => new Tasks(await openTasks({ redex, ...originOf(origin), snapshot: from })));
  }
}

/** Event-sourced memories whose writes return tokens. Throws CortexError. */
export class Memories extends PulledMemories<Written, bigint | number> {
  /** @internal */
  constructor(fold: MemoriesFold) {
    super(fold, TOKENS);
  }

  /** Opens the log and folds all of it. */
  static open(redex: AnyRedex, origin: Origin): Promise<Memories> {
    return typedLater(async () => new Memories(await openMemories({ redex, ...originOf(origin) })));
  }

  /** Starts from a snapshot and folds what the log has after it. */
  static openFromSnapshot(redex: AnyRedex, origin: Origin, snapshot: CortexSnapshot): Promise<Memories> {
    const from = given(snapshot);
    return typedLater(async () => new Memories(await openMemories({ redex, ...originOf(origin), snapshot: from })));
  }

  /** The same as `store`. */
  insert(id: bigint | number, content: string, tags: string[], source: string, nowNs: bigint | number): Written {
    return this.store(id, content, tags, source, nowNs);
  }
}
