/** Self check: an event loop that is late all the time makes a peer a bad choice for others (90 §7). */

const TICK_MS = 1000;
const TICKS = 10;
/** Lateness within ten seconds that counts as unwell, ms. */
const LIMIT_MS = 2000;

/** Sum of how late the last ten ticks of a second were. */
export class LagWindow {
  readonly #late: number[] = [];

  /** Adds a tick; returns whether the window is above the limit. */
  add(lateMs: number): boolean {
    this.#late.push(Math.max(0, lateMs));
    if (this.#late.length > TICKS) this.#late.shift();
    return this.#late.reduce((sum, late) => sum + late, 0) > LIMIT_MS;
  }
}

/** Calls `onChange` when the event loop gets late, and when it has recovered. Returns what stops it. */
export function watchLag(onChange: (late: boolean) => void): () => void {
  const window = new LagWindow();
  let late = false;
  let before = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const over = window.add(now - before - TICK_MS);
    before = now;
    if (over === late) return;
    late = over;
    onChange(late);
  }, TICK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
