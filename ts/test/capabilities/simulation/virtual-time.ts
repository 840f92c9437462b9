import { vi } from 'vitest';

interface Due {
  at: number;
  order: number;
  readonly every: number | undefined;
  readonly work: () => void;
  ended: boolean;
}

const realImmediate = globalThis.setImmediate;

/** Timers and clocks of the whole process, run by hand: an hour passes as fast as its work is done. */
export class VirtualTime {
  /** Milliseconds since the beginning. */
  now = 0;
  #order = 0;
  /** A heap: the first is the one that is due first; equal ones in order of their making. */
  readonly #heap: Due[] = [];

  /** Puts itself in place of the host's timers and clocks, until `vi.unstubAllGlobals` and `vi.restoreAllMocks`. */
  install(): void {
    const begin = 1_800_000_000_000;
    vi.stubGlobal('performance', { now: () => this.now, timeOrigin: begin });
    vi.spyOn(Date, 'now').mockImplementation(() => begin + Math.floor(this.now));
    vi.stubGlobal('setTimeout', (work: () => void, ms = 0) => this.#arm(work, ms, undefined));
    vi.stubGlobal('setInterval', (work: () => void, ms = 0) => this.#arm(work, ms, ms));
    for (const name of ['clearTimeout', 'clearInterval']) {
      vi.stubGlobal(name, (due: Due | undefined) => {
        if (due) due.ended = true;
      });
    }
  }

  /** Calls `work` after so many milliseconds. */
  after(ms: number, work: () => void): void {
    this.#arm(work, ms, undefined);
  }

  /** Lets milliseconds pass. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      // What waits for promises goes on before the time does.
      await new Promise<void>((resolve) => {
        realImmediate(resolve);
      });
      const first = this.#heap[0];
      if (!first || first.at > end) break;
      this.now = first.at;
      while (this.#heap[0]?.at === this.now) {
        const due = this.#pop();
        if (!due || due.ended) continue;
        due.work();
        if (due.every === undefined || due.ended) continue;
        due.at = this.now + due.every;
        due.order = this.#order++;
        this.#push(due);
      }
    }
    this.now = end;
  }

  #arm(work: () => void, ms: number, every: number | undefined): Due {
    const due = { at: this.now + Math.max(1, ms), order: this.#order++, every, work, ended: false };
    this.#push(due);
    return due;
  }

  #push(due: Due): void {
    const heap = this.#heap;
    heap.push(due);
    for (let at = heap.length - 1; at > 0; ) {
      const up = (at - 1) >> 1;
      if (before(heap[up] as Due, due)) break;
      heap[at] = heap[up] as Due;
      heap[up] = due;
      at = up;
    }
  }

  #pop(): Due | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let least = at;
      for (const child of [left, right]) {
        if (child < heap.length && before(heap[child] as Due, heap[least] as Due)) least = child;
      }
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least] as Due, heap[at] as Due];
      at = least;
    }
  }
}

function before(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
