/** What our buses offer to streams beyond `poll`. A bus without these methods is polled. */

/**
 * Resolves when events may be readable behind a cursor (at once if there are some), when the bus is shut down, or when
 * the signal aborts; never rejects because of the signal. With `shards` only these count. The answer `false` says that
 * the bus cannot wait for its store: the stream polls. Keeps the process alive while it is pending.
 */
export const WAIT: unique symbol = Symbol('meshring.bus.wait');

/**
 * Cursor behind everything that is readable now; undefined for an empty store; null when the bus cannot tell: the
 * stream walks through the store. On the log in memory events emitted before the call are behind the answer and later
 * ones in front of it; a store behind a network answers for what has reached it, never for what this node emits later.
 */
export const TAIL: unique symbol = Symbol('meshring.bus.tail');

/** The waiting part of a bus. */
export interface WaitableBus {
  /** See {@link WAIT}. */
  [WAIT]?(cursor: string | undefined, signal: AbortSignal, shards?: readonly number[]): Promise<unknown>;
  /** See {@link TAIL}. */
  [TAIL]?(): Promise<string | undefined | null> | string | undefined | null;
}
