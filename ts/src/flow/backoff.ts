/** How long to wait between attempts: exponential growth to a ceiling, spread by jitter so that many peers that lost
 * the same server do not come back in step. */

/** Options of {@link Backoff}. */
export interface BackoffOptions {
  /** First delay in milliseconds, above 0. */
  baseMs: number;
  /** Ceiling of the delay in milliseconds, at least `baseMs`. */
  maxMs: number;
  /** Growth per attempt, at least 1. Default 2. */
  factor?: number;
  /**
   * `'full'` (default): uniform between 0 and the delay. `'none'`: the delay itself. A number f in 0…1: uniform within
   * ± f of the delay (and never above `maxMs`).
   */
  jitter?: 'full' | 'none' | number;
  /** Source of numbers in [0, 1). Default `Math.random`. */
  random?: () => number;
}

/** Delays of a run of failed attempts. `next()` after each failure, `reset()` after a success. */
export class Backoff {
  #attempts = 0;
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #jitter: 'full' | 'none' | number;
  readonly #random: () => number;

  /** @throws RangeError when an option is outside its range. */
  constructor(options: BackoffOptions) {
    const { baseMs, maxMs, factor = 2, jitter = 'full', random = Math.random } = options;
    if (!(baseMs > 0)) throw new RangeError(`backoff: baseMs must be above 0, got ${baseMs}`);
    if (!(maxMs >= baseMs)) throw new RangeError(`backoff: maxMs must be at least baseMs ${baseMs}, got ${maxMs}`);
    if (!(factor >= 1)) throw new RangeError(`backoff: factor must be at least 1, got ${factor}`);
    if (typeof jitter === 'number' && !(jitter >= 0 && jitter <= 1)) {
      throw new RangeError(`backoff: jitter must be 'full', 'none' or 0 to 1, got ${jitter}`);
    }
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#factor = factor;
    this.#jitter = jitter;
    this.#random = random;
  }

  /** Number of delays taken since the last reset. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The delay before the next attempt without jitter, in milliseconds. */
  get ceilingMs(): number {
    return Math.min(this.#maxMs, this.#baseMs * this.#factor ** this.#attempts);
  }

  /** Milliseconds to wait now; the following delay is longer. */
  next(): number {
    const ceiling = this.ceilingMs;
    this.#attempts += 1;
    if (this.#jitter === 'none') return ceiling;
    if (this.#jitter === 'full') return this.#random() * ceiling;
    return Math.min(this.#maxMs, ceiling * (1 + this.#jitter * (2 * this.#random() - 1)));
  }

  /** Starts again at `baseMs`. */
  reset(): void {
    this.#attempts = 0;
  }
}

/** Options of {@link delay}. */
export interface DelayOptions {
  /** Ends the wait early: the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Whether the wait keeps a Node process alive. Default true. */
  ref?: boolean;
}

/** Resolves after `ms` milliseconds; rejects with `signal.reason` as soon as the signal is aborted. */
export function delay(ms: number, { signal, ref = true }: DelayOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    if (!ref && typeof timer === 'object') (timer as { unref?: () => void }).unref?.();
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
