/** Peers that fail to subscribe too often are answered without a look for a while (32 §5). */

/** Failures in one window that lead to a pause. */
export const MAX_FAILURES = 16;
/** Length of a window, in milliseconds. */
export const WINDOW_MS = 60_000;
/** Length of a pause, in milliseconds. */
export const PAUSE_MS = 30_000;
/** Most peers that are remembered. */
const MAX_PEERS = 65_536;

type State =
  | { readonly kind: 'counting'; readonly since: number; failures: number }
  | { readonly kind: 'paused'; readonly until: number };

/** Counts failures by peer. Time comes from the caller, in milliseconds that never go back. */
export class AuthThrottle {
  readonly #peers = new Map<bigint, State>();

  /** Whether a peer's next request is refused unseen. */
  isPaused(peer: bigint, nowMs: number): boolean {
    const state = this.#peers.get(peer);
    if (state?.kind !== 'paused') return false;
    if (nowMs < state.until) return true;
    this.#peers.delete(peer);
    return false;
  }

  /** Counts a failure; the sixteenth of a window starts a pause. */
  failed(peer: bigint, nowMs: number): void {
    const state = this.#peers.get(peer);
    if (state?.kind === 'paused' && nowMs < state.until) return;
    if (state?.kind === 'counting' && nowMs - state.since < WINDOW_MS) {
      state.failures += 1;
      if (state.failures >= MAX_FAILURES) this.#peers.set(peer, { kind: 'paused', until: nowMs + PAUSE_MS });
      return;
    }
    if (!state && this.#peers.size >= MAX_PEERS) {
      const [oldest] = this.#peers.keys();
      if (oldest !== undefined) this.#peers.delete(oldest);
    }
    this.#peers.set(peer, { kind: 'counting', since: nowMs, failures: 1 });
  }

  /** A success wipes the counter; so does the end of the session. */
  clear(peer: bigint): void {
    this.#peers.delete(peer);
  }

  /** Number of remembered peers. */
  get size(): number {
    return this.#peers.size;
  }
}
