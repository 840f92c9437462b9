/** What the adapters of both levels and both models have in common. */
import { wrongType } from '../errors.js';
import { platform } from '../platform/node.js';
import type { CortexSnapshot, Fold } from './fold.js';
import type { Model } from './model.js';
import { WriteToken } from './token.js';
import { u64 } from './u64.js';

/** Base of the adapters. */
export abstract class Adapter<Row extends { readonly id: bigint }, F extends Fold<Row, Model<Row>>> {
  /** @internal */
  protected readonly fold: F;

  /** @internal */
  constructor(fold: F) {
    this.fold = fold;
  }

  /**
   * The error that users of this level get.
   * @internal
   */
  protected raised(error: unknown): unknown {
    return error;
  }

  /** Number of entries, without any filter. */
  count(): number {
    return this.fold.count;
  }

  /**
   * Resolves when everything up to the sequence is folded; events that had to be skipped count. Rejects when the fold
   * stops first. A sequence that is never written waits for ever.
   */
  async waitForSeq(seq: bigint): Promise<void> {
    try {
      await this.fold.waitForSeq(u64(seq));
    } catch (error) {
      throw this.raised(error);
    }
  }

  /**
   * Resolves when the write that the token names is applied here; rejects after `deadlineMs` milliseconds (0 = look
   * once), at once when the token is of another origin, and when more than 1024 such waits are pending.
   */
  async waitForToken(token: WriteToken, deadlineMs: number): Promise<void> {
    try {
      if (!(token instanceof WriteToken)) throw wrongType('waitForToken', 'token', token, 'a WriteToken', 'InvalidArg');
      if (typeof deadlineMs !== 'number') {
        throw wrongType('waitForToken', 'deadlineMs', deadlineMs, 'a number', 'NumberExpected');
      }
      await this.fold.waitForToken(token, deadlineMs);
    } catch (error) {
      throw this.raised(error);
    }
  }

  /** State as bytes, with the sequence up to which the log is in it. Equal states give equal bytes. */
  snapshot(): CortexSnapshot {
    const { stateBytes, lastSeq } = this.fold.snapshot();
    const bytes = platform.bytes(stateBytes) as Buffer;
    return lastSeq === undefined ? { stateBytes: bytes } : { stateBytes: bytes, lastSeq };
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
