import { LogStatus, type RawLog } from '../backend/log.js';
import { DATA, type LogArea } from './area.js';

/**
 * Appends to one log in memory that wait in the area to be handed to Rust together. Nobody can see the difference: such
 * a log belongs to one thread, and every other use of the area, by this log or another, hands them over first
 * ({@link LogArea.settle}). Rust has said before how many bytes the log still takes, so what is staged is accepted.
 */
export class Stage {
  readonly #area: LogArea;
  readonly #raw: RawLog;
  readonly #append: () => void;
  readonly #failed: () => void;
  readonly #self = new WeakRef(this);
  /** Sequence of the next append, while `#room` is not -1, but for `#beyond` that were appended after it. */
  #next = 0n;
  #beyond = 0;
  /** Payload bytes that the log takes besides what is staged; -1 = not known. */
  #room = -1;
  #count = 0;
  #at = DATA;
  /** Word of the next length. */
  #word = 0;

  /** `append`: hands over one payload whose length is in the area. `failed`: an accepted append could not be made. */
  constructor(area: LogArea, raw: RawLog, append: () => void, failed: () => void) {
    this.#area = area;
    this.#raw = raw;
    this.#append = append;
    this.#failed = failed;
  }

  /** Stages a payload and returns its sequence. Undefined: append it directly and {@link learn} from that. */
  add(payload: Uint8Array): bigint | undefined {
    const area = this.#area;
    const { length } = payload;
    if (length > this.#room) return undefined;
    if (area.bytes.length === 0) area.renew();
    if (area.owner !== this.#self || this.#at + length > this.#word * 4) {
      area.settle();
      // Handing over what was staged has changed what is known.
      if (length > area.stageable || length > this.#room) return undefined;
      this.#next = BigInt.asUintN(64, this.#next + BigInt(this.#beyond));
      this.#beyond = 0;
      area.owner = this.#self;
      this.#at = DATA;
      this.#word = area.words.length - 1;
    }
    area.bytes.set(payload, this.#at);
    area.words[this.#word] = length;
    this.#at += length;
    this.#word -= 1;
    this.#count += 1;
    this.#room -= length;
    const seq = this.#next;
    this.#next = BigInt.asUintN(64, seq + 1n);
    return seq;
  }

  /** A direct append of `count` events was given this first sequence, and the area holds its outcome. */
  learn(first: bigint, count: number): void {
    this.#next = first;
    this.#beyond = count;
    this.#room = this.#area.left;
  }

  /** Something else than `append` has changed the log. */
  forget(): void {
    this.#room = -1;
  }

  /** Hands over what is staged. Called by the area. */
  drain(): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    const area = this.#area;
    if (count === 1) {
      area.length = this.#at - DATA;
      this.#append();
    } else this.#raw.appendBatch(count);
    if (area.bytes.length === 0) area.renew();
    this.#room = area.left;
    if (area.status !== LogStatus.done) {
      this.forget();
      this.#failed();
    }
  }
}
