/** Promises that wait for a sequence, in order of their sequences. */
export interface Wait {
  readonly seq: bigint;
  /** Called once: the sequence is reached, or `error` says why it won't be. */
  settle(error?: Error): void;
}

/** See `Wait`. Settling costs only for those that are settled. */
export class Waits {
  /** Ascending by sequence. */
  #queue: Wait[] = [];

  /** Number of promises pending. */
  get size(): number {
    return this.#queue.length;
  }

  add(wait: Wait): void {
    let from = 0;
    let to = this.#queue.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#queue[middle] as Wait).seq <= wait.seq) from = middle + 1;
      else to = middle;
    }
    this.#queue.splice(from, 0, wait);
  }

  /** Takes one out without settling it. */
  drop(wait: Wait): void {
    const at = this.#queue.indexOf(wait);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  /** Everything up to `seq` is reached. */
  reach(seq: bigint): void {
    let count = 0;
    while (count < this.#queue.length && (this.#queue[count] as Wait).seq <= seq) count++;
    for (const wait of this.#queue.splice(0, count)) wait.settle();
  }

  /** Nothing more will be reached. */
  fail(error: (wait: Wait) => Error): void {
    for (const wait of this.#queue.splice(0)) wait.settle(error(wait));
  }
}
