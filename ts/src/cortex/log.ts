import type { Kept } from './kept.js';

/** What a fold needs of a log; `redex-log.ts` is the one over RedEX. */
export interface EventLog {
  /** Appends one event (copied in the call) and fills in its checksum; throws `redex: …`. */
  append(event: Uint8Array): bigint;
  /** Sequence that the next append gets. */
  next(): bigint;
  /** Moves the next sequence forward, so that the ones below are never given out. */
  advance(next: bigint): void;
  /**
   * Calls `visit` for some retained events from `from` on, in order. Returns how many it was: 0 at the end. `visit`
   * must not use the log.
   */
  read(from: bigint, visit: Visit): number;
  /** Tells the listener about everything that anybody appends from now on. Returns the end of it. */
  subscribe(listener: LogListener): () => void;
  /** Lowest retained sequence; the next one when nothing is retained. */
  first(): bigint;
  /** The state that compaction has left beside the log, and the paths of such states that are damaged. */
  kept(): { readonly kept: Kept | undefined; readonly damaged: readonly string[] };
  /** Puts a state beside the log, as durable as the log is, then removes the events that are in it. */
  compact(state: Kept): Promise<void>;
}

/** Gets one event: where it lies in `bytes` (valid during the call) and whether its checksum holds. */
export type Visit = (seq: bigint, bytes: Uint8Array, start: number, end: number, intact: boolean) => void;

/** Called in the thread of the fold; must not throw. */
export interface LogListener {
  /** Something was appended, by this adapter or another writer. */
  appended(): void;
  /** The log was closed: nothing more will come. */
  closed(): void;
}
