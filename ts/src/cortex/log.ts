/** What a fold needs of a log; `redex-log.ts` is the one over RedEX. */
export interface EventLog {
  /** Appends one event (copied in the call); throws `redex: …`. */
  append(event: Uint8Array): bigint;
  /** Sequence that the next append gets. */
  next(): bigint;
  /** Moves the next sequence forward, so that the ones below are never given out. */
  advance(next: bigint): void;
  /**
   * Calls `visit` for some retained events from `from` on, in order; the bytes are valid during the call. Returns how
   * many it was: 0 at the end.
   */
  read(from: bigint, visit: (seq: bigint, event: Uint8Array) => void): number;
  /** Tells the listener about everything that anybody appends from now on. Returns the end of it. */
  subscribe(listener: LogListener): () => void;
  /** Lets go of the log; flushes and closes it when `owned`. */
  release?(): void;
}

/** Called in the thread of the fold; must not throw. */
export interface LogListener {
  /** Something was appended, by this adapter or another writer. */
  appended(): void;
  /** The log was closed: nothing more will come. */
  closed(): void;
}
