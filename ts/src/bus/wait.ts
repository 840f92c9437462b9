/** What our buses offer to streams beyond `poll`. A bus without these methods is polled. */

/**
 * Resolves when events may be readable behind a cursor (at once if there are some), when the bus is shut down, or when
 * the signal aborts. Never rejects because of the signal. Keeps the process alive while it is pending.
 */
export const WAIT: unique symbol = Symbol('meshring.bus.wait');

/** Cursor behind everything that is readable now; undefined for an empty store. */
export const TAIL: unique symbol = Symbol('meshring.bus.tail');

/** The waiting part of a bus. */
export interface WaitableBus {
  /** See {@link WAIT}. */
  [WAIT]?(cursor: string | undefined, signal: AbortSignal): Promise<void>;
  /** See {@link TAIL}. Events emitted before the call are behind the answer, later ones are in front of it. */
  [TAIL]?(): Promise<string | undefined> | string | undefined;
}
