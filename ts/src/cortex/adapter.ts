/** What the adapters of all levels and both models have in common. */
import { wrongType } from '../errors.js';
import { platform } from '../platform/node.js';
import { typed } from './errors.js';
import type { Query } from './filter.js';
import type { Fold } from './fold.js';
import type { Model } from './model.js';
import type { CortexSnapshot } from './snapshot.js';
import { WriteToken } from './token.js';
import { u64 } from './u64.js';
import type { Watch, WatchOptions } from './watch.js';

/** What sets the levels of the API apart: what a write gives, and how errors are thrown. */
export interface Level<Written> {
  /** What the writer of `seq` gets. */
  written(seq: bigint, origin: bigint): Written;
  /** What is thrown instead of the core's error. */
  raised(error: unknown): unknown;
}

/** `meshring/cortex`: sequences, typed errors. */
export const TYPED: Level<bigint> = { written: (seq) => seq, raised: typed };
/** The adapters of `meshring/core`: sequences, plain errors. */
export const PLAIN: Level<bigint> = { written: (seq) => seq, raised: (error) => error };

/** Options of `compact`. */
export interface CompactOptions {
  /** Also remove events that were skipped and what follows them. Default false. */
  dropSkipped?: boolean;
}

/** Base of the adapters. */
export abstract class Adapter<Row extends { readonly id: bigint }, Filter, F extends Fold<Row, Model<Row>>, Written> {
  /** @internal */
  protected readonly fold: F;
  readonly #level: Level<Written>;
  readonly #query: (filter: Filter | null | undefined) => Query;

  /** @internal */
  constructor(fold: F, level: Level<Written>, query: (filter: Filter | null | undefined) => Query) {
    this.fold = fold;
    this.#level = level;
    this.#query = query;
  }

  /**
   * Runs a write of the fold.
   * @internal
   */
  protected writing(write: () => bigint): Written {
    try {
      return this.#level.written(write(), this.fold.origin);
    } catch (error) {
      throw this.#level.raised(error);
    }
  }

  async #waiting<T>(wait: () => Promise<T>): Promise<T> {
    try {
      return await wait();
    } catch (error) {
      throw this.#level.raised(error);
    }
  }

  /** @internal */
  protected listing(filter: Filter | null | undefined): Row[] {
    return this.fold.list(this.#query(filter));
  }

  /** @internal */
  protected watching(filter: Filter | null | undefined, options: WatchOptions | undefined): Watch<Row> {
    return this.fold.watch(this.#query(filter), options);
  }

  /** Number of entries, without any filter. */
  count(): number {
    return this.fold.count;
  }

  /** Ours: number of entries that meet the filter's conditions; its limit does not count. */
  countWhere(filter?: Filter | null): number {
    return this.fold.countWhere(this.#query(filter));
  }

  /**
   * Resolves when everything up to the sequence is folded; events that had to be skipped count. Rejects when the fold
   * stops first. A sequence that is never written waits for ever, or until `signal` (ours) aborts: then it rejects with
   * the signal's reason.
   */
  waitForSeq(seq: bigint, options?: WatchOptions | null): Promise<void> {
    return this.#waiting(async () => this.fold.waitForSeq(u64(seq), options?.signal));
  }

  /**
   * Resolves when the write that the token names is applied here; rejects after `deadlineMs` milliseconds (0 = look
   * once), at once when the token is of another origin, and when more than 1024 such waits are pending.
   */
  waitForToken(token: WriteToken, deadlineMs: number): Promise<void> {
    return this.#waiting(async () => {
      if (!(token instanceof WriteToken)) throw wrongType('waitForToken', 'token', token, 'a WriteToken', 'InvalidArg');
      if (typeof deadlineMs !== 'number') {
        throw wrongType('waitForToken', 'deadlineMs', deadlineMs, 'a number', 'NumberExpected');
      }
      await this.fold.waitForToken(token, deadlineMs);
    });
  }

  /** State as bytes, with the sequence up to which the log is in it. Equal states give equal bytes. */
  snapshot(): CortexSnapshot {
    const { stateBytes, lastSeq } = this.fold.snapshot();
    const bytes = platform.bytes(stateBytes) as Buffer;
    return lastSeq === undefined ? { stateBytes: bytes } : { stateBytes: bytes, lastSeq };
  }

  /**
   * Ours: puts the state beside the log and removes the events that are in it, so that log and opening stay as small as
   * the state. Resolves to the last sequence that went, or undefined when there was none. In a directory the state is
   * durable before an event goes; the published package does not read it and then sees only the events after it. An
   * event that was skipped stops this from going further; `dropSkipped` gives such events up. Rejects with kind
   * `compact-failed` when the state or the log could not be written; the events are then still there.
   */
  compact(options?: CompactOptions | null): Promise<bigint | undefined> {
    return this.#waiting(() => this.fold.compact(options?.dropSkipped === true));
  }

  /** Stops folding and ends the watches; the state stays readable, the log open. Idempotent. */
  close(): void {
    this.fold.close();
  }

  /** Whether the adapter still follows its log. */
  isRunning(): boolean {
    return this.fold.running;
  }

  /** Events that were skipped: damaged, or not to be decoded. */
  foldErrors(): bigint {
    return this.fold.foldErrors;
  }

  /** The entry with this id. */
  get(id: bigint): Row | null {
    return this.fold.get(u64(id));
  }

  /** Whether there is an entry with this id. */
  exists(id: bigint): boolean {
    return this.fold.exists(u64(id));
  }
}
