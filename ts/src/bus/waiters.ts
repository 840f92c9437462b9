/** Those of one thread who wait until a node has readable events. */

/** What waiters look at. */
export interface Watched {
  /** Whether the node was shut down. */
  closed(): boolean;
  /** Asks for a wake-up with the next event. */
  announce(): void;
}

/**
 * Nodes that somebody waits for: a wake-up must find them although nothing else may refer to them any more (the waiting
 * loop is reachable only through the promise that they resolve).
 */
const awaited = new Set<Waiters>();

/** The waiters of one node. */
export class Waiters {
  readonly #watched: Watched;
  readonly #wake = new Set<() => void>();

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  /** Whether somebody waits. */
  get some(): boolean {
    return this.#wake.size > 0;
  }

  /** Lets everybody look again. */
  wakeAll(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
    awaited.delete(this);
  }

  /** Resolves when `ready` holds, when the node is shut down, or when the signal aborts. */
  async until(ready: () => boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#watched.closed()) {
      let wake = () => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      // Registered before the look, so that an event in between is not missed.
      this.#wake.add(wake);
      awaited.add(this);
      signal.addEventListener('abort', wake);
      this.#watched.announce();
      try {
        if (ready()) return;
        await woken;
      } finally {
        this.#wake.delete(wake);
        if (this.#wake.size === 0) awaited.delete(this);
        signal.removeEventListener('abort', wake);
      }
    }
  }
}
