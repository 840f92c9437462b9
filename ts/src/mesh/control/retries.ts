/**
 * Attempts to get subscriptions back, publisher by publisher: few at a time as long as they are refused, and so few refused
 * ones in a minute that they do not make a publisher pause this node (32 §5).
 */
import { MAX_FAILURES, WINDOW_MS } from '../../channels/index.js';
import { later } from './requests.js';

/** An attempt; resolves with whether the publisher refused it. It must not reject. */
export type Attempt = () => Promise<'accepted' | 'refused' | 'failed'>;

interface Lane {
  readonly waiting: Attempt[];
  running: number;
  /** How many may be under way: more with each success, few again after a refusal. */
  room: number;
  refused: number;
  /** When the first of them was refused, ms. */
  since: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

const AT_ONCE = 8;
const MOST_AT_ONCE = 64;

/** Attempts that wait for their turn. Each subscription has at most one here. */
export class Retries {
  readonly #lanes = new Map<bigint, Lane>();
  readonly #monotonicMs: () => number;

  /** `monotonicMs`: milliseconds that never go back. */
  constructor(monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
  }

  /** Makes the attempt when it is its turn. */
  add(publisher: bigint, attempt: Attempt): void {
    let lane = this.#lanes.get(publisher);
    if (!lane) {
      lane = { waiting: [], running: 0, room: AT_ONCE, refused: 0, since: 0, timer: undefined };
      this.#lanes.set(publisher, lane);
    }
    lane.waiting.push(attempt);
    this.#advance(publisher, lane);
  }

  /** A session with the publisher has begun: what it refused before counts no longer. */
  reset(publisher: bigint): void {
    const lane = this.#lanes.get(publisher);
    if (!lane) return;
    lane.refused = 0;
    this.#advance(publisher, lane);
  }

  /** Forgets everything. */
  close(): void {
    for (const { timer, waiting } of this.#lanes.values()) {
      clearTimeout(timer);
      waiting.length = 0;
    }
    this.#lanes.clear();
  }

  #advance(publisher: bigint, lane: Lane): void {
    if (this.#monotonicMs() - lane.since >= WINDOW_MS) lane.refused = 0;
    // A publisher that accepts one after the other is not expected to refuse many at once.
    const mayFail = () => lane.room > AT_ONCE || lane.refused + lane.running < MAX_FAILURES - 1;
    while (lane.running < lane.room && mayFail()) {
      const attempt = lane.waiting.shift();
      if (!attempt) break;
      lane.running += 1;
      void attempt().then((outcome) => {
        lane.running -= 1;
        if (outcome === 'accepted') {
          lane.refused = 0;
          lane.room = Math.min(MOST_AT_ONCE, lane.room + 1);
        } else if (outcome === 'refused') {
          if (lane.refused++ === 0) lane.since = this.#monotonicMs();
          lane.room = AT_ONCE;
        }
        this.#advance(publisher, lane);
      });
    }
    if (lane.running > 0) return;
    if (lane.waiting.length > 0) {
      clearTimeout(lane.timer);
      const left = lane.since + WINDOW_MS - this.#monotonicMs();
      lane.timer = later(() => this.#advance(publisher, lane), Math.max(1, left));
    } else if (lane.refused === 0 && this.#lanes.get(publisher) === lane) this.#lanes.delete(publisher);
  }
}
