/** Keep-alives towards an address, and the wait for one from there (33 A6). */
import type { NatHost } from './host.js';

/** Offsets from the fire time, ms. */
const OFFSETS_MS = [0, 100, 250];
/** The longest lead that is believed, ms: clocks differ, and no timer may be parked for hours. */
const MAX_LEAD_MS = 5000;
/** How long after the fire time a keep-alive is awaited, ms. */
const PATIENCE_MS = 5000;

interface Train {
  readonly timers: Set<ReturnType<typeof setTimeout>>;
  end(heard: boolean): void;
}

/** All punches under way; at most as many as the engine awaits keep-alives (64). */
export class Trains {
  readonly #host: NatHost;
  /** By the link that is punched. */
  readonly #trains = new Map<string, Train>();

  constructor(host: NatHost) {
    this.#host = host;
    // The engine tells only awaited ones, each once; the rest of the train still leaves, for the other end's sake.
    host.onKeepAlive((from) => this.#trains.get(from)?.end(true));
  }

  /**
   * Sends three keep-alives to a link from a Unix time (ms) on. Resolves with whether one of `sender` came from there within
   * five seconds; `false` also when a newer train to the same link takes the place. `undefined` when too many are under way.
   */
  run(link: string, sender: bigint, fireAtMs: number): Promise<boolean> | undefined {
    const { raw, driver } = this.#host;
    if (!raw.expectKeepAlive(link, sender)) return undefined;
    this.#trains.get(link)?.end(false);
    this.#drop(link);
    const lead = Math.min(MAX_LEAD_MS, Math.max(0, fireAtMs - Date.now()));
    // All offsets count from one start, so that late timers do not add up.
    const start = performance.now() + lead;
    return new Promise((end) => {
      const train: Train = { timers: new Set(), end };
      this.#trains.set(link, train);
      for (const offset of OFFSETS_MS) {
        this.#at(train, start + offset, () => {
          raw.sendKeepAlive(driver.now(), link);
          driver.flush();
        });
      }
      this.#at(train, start + PATIENCE_MS, () => {
        raw.expectKeepAlive(link);
        this.#trains.delete(link);
        end(false);
      });
    });
  }

  /** Ends all. */
  close(): void {
    for (const [link, train] of this.#trains) {
      this.#drop(link);
      train.end(false);
    }
  }

  #at(train: Train, when: number, work: () => void): void {
    const timer = setTimeout(
      () => {
        train.timers.delete(timer);
        work();
      },
      Math.max(0, when - performance.now()),
    );
    (timer as { unref?: () => void }).unref?.();
    train.timers.add(timer);
  }

  /** No timer of the train runs afterwards. */
  #drop(link: string): void {
    for (const timer of this.#trains.get(link)?.timers ?? []) clearTimeout(timer);
    this.#trains.delete(link);
  }
}
