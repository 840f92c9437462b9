/**
 * Pages of the log in memory are made without waiting, so a loop of polls would run as microtasks alone: no timer, no
 * socket and no `AbortSignal.timeout` would get its turn. This gives them one.
 */

/** Longest time that polls take in a row, ms. */
const SLICE_MS = 10;

function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve);
      return;
    }
    // Browsers hold timers back for some milliseconds, messages not.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** Turns of the event loop between the polls of one bus. */
export class Turns {
  #last = performance.now();

  /** The event loop has just had a turn. */
  taken(): void {
    this.#last = performance.now();
  }

  /** After a poll: a promise when the event loop must get a turn before the answer is given. */
  due(empty: boolean): Promise<void> | undefined {
    if (!empty && performance.now() - this.#last < SLICE_MS) return undefined;
    return turn().then(() => this.taken());
  }
}
