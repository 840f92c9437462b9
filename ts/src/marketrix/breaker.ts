/** Keeps away from an instance that cannot be reached (90 §7). */
import { Backoff } from '../flow/index.js';

/** Failures in a row that open the breaker. */
const FAILURES = 5;
const OPEN_MS = { baseMs: 1000, maxMs: 30_000, jitter: 'none' } as const;

/** Closed: everything passes. Open: nothing does. After a while one probe passes, and its result decides. */
export class Breaker {
  readonly #clock: () => number;
  readonly #backoff = new Backoff(OPEN_MS);
  #failures = 0;
  #openUntil = 0;
  #probing = false;

  /** `clock`: milliseconds, monotonic. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Whether an attempt may be made now. */
  get allows(): boolean {
    if (this.#failures < FAILURES) return true;
    return !this.#probing && this.#clock() >= this.#openUntil;
  }

  /** An attempt begins. */
  begin(): void {
    if (this.#failures >= FAILURES) this.#probing = true;
  }

  success(): void {
    this.#failures = 0;
    this.#probing = false;
    this.#backoff.reset();
  }

  failure(): void {
    this.#failures += 1;
    this.#probing = false;
    if (this.#failures >= FAILURES) this.#openUntil = this.#clock() + this.#backoff.next();
  }
}
