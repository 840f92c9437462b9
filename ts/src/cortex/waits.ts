import { hold, release } from './alive.js';

/** Promises that wait for a sequence, in order of their sequences. */
export interface Wait {
  readonly seq: bigint;
  /** Called once: the sequence is reached, or `error` says why it won't be. */
  settle(error?: unknown): void;
}

/** What ends a wait early. */
export interface Patience {
  /** Rejects with its reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Rejects with `late()` after so many milliseconds. */
  readonly deadlineMs?: number;
  readonly late?: () => Error;
}

const LONGEST_MS = 2 ** 31 - 1;
/** Waits hold what they wait for. */
const keep = new WeakMap<Wait, object>();

/** See `Wait`; as many as there are calls pending. Settling costs only for those that are settled. */
export class Waits {
  /** Ascending by sequence. */
  #queue: Wait[] = [];

  /** Number of promises pending. */
  get size(): number {
    return this.#queue.length;
  }

  /** Resolves when `seq` is reached. Until it settles, the process stays, and so does `owner`. */
  until(seq: bigint, owner: object, { signal, deadlineMs, late }: Patience): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const wait: Wait = {
        seq,
        settle: (error) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
          release(wait);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const give = (error: unknown) => {
        this.#drop(wait);
        wait.settle(error);
      };
      const abort = () => give(signal?.reason);
      this.#add(wait);
      hold(wait);
      keep.set(wait, owner);
      signal?.addEventListener('abort', abort, { once: true });
      if (deadlineMs !== undefined) timer = setTimeout(() => give(late?.()), Math.min(deadlineMs, LONGEST_MS));
    });
  }

  #add(wait: Wait): void {
    let from = 0;
    let to = this.#queue.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#queue[middle] as Wait).seq <= wait.seq) from = middle + 1;
      else to = middle;
    }
    this.#queue.splice(from, 0, wait);
  }

  #drop(wait: Wait): void {
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
