/**
 * Signatures of texts for `titleContains` and `contentContains`: each three characters of the lower-cased text set one
 * of 63 bits. A text can only contain a needle whose bits it has; most others are ruled out without looking at them.
 * A signature is made when a query first meets the text, so that writes cost nothing for it.
 */

/** Characters that set one bit. */
const GRAM = 3;
/** Set in every signature that has been made. */
const MADE = 0x8000_0000;

let lo = 0;
let hi = 0;

function sign(text: string): void {
  lo = 0;
  hi = 0;
  for (let i = 0; i + GRAM <= text.length; i++) {
    let hash = Math.imul(text.charCodeAt(i), 0x9e3779b1) ^ Math.imul(text.charCodeAt(i + 1), 0x85ebca6b);
    hash = Math.imul(hash ^ text.charCodeAt(i + 2), 0xc2b2ae35);
    const bit = hash >>> 26;
    if (bit < 32) lo |= 1 << bit;
    else hi |= 1 << (bit - 32);
  }
  hi &= ~MADE;
}

/** A lower-cased text to look for. */
export class Needle {
  readonly text: string;
  readonly lo: number;
  readonly hi: number;

  constructor(text: string) {
    this.text = text.toLowerCase();
    sign(this.text);
    this.lo = lo;
    this.hi = hi;
  }

  /** Whether signatures can rule texts out. */
  get selective(): boolean {
    return (this.lo | this.hi) !== 0;
  }
}

/** Signatures by slot. */
export class Signatures {
  /** Low and high half for each slot; 0 = not made yet. */
  #halves = new Int32Array(0);

  /** Whether the text of a slot contains the needle, both lower-cased. */
  contains(slot: number, text: string, needle: Needle): boolean {
    const at = 2 * slot;
    if (at >= this.#halves.length) this.#grow(at);
    const halves = this.#halves;
    if (halves[at + 1] === 0) {
      const lower = text.toLowerCase();
      sign(lower);
      halves[at] = lo;
      halves[at + 1] = hi | MADE;
      return lower.includes(needle.text);
    }
    if (((halves[at] as number) & needle.lo) !== needle.lo) return false;
    if (((halves[at + 1] as number) & needle.hi) !== needle.hi) return false;
    return text.toLowerCase().includes(needle.text);
  }

  /** Calls `visit` for the slots below `end` whose text may contain the needle. */
  each(end: number, needle: Needle, visit: (slot: number) => void): void {
    if (end > 0 && 2 * end > this.#halves.length) this.#grow(2 * end);
    const halves = this.#halves;
    const { lo, hi } = needle;
    for (let slot = 0, at = 0; slot < end; slot++, at += 2) {
      const high = halves[at + 1] as number;
      if (high === 0 || (((halves[at] as number) & lo) === lo && (high & hi) === hi)) visit(slot);
    }
  }

  /** The text of a slot changes. */
  forget(slot: number): void {
    const at = 2 * slot + 1;
    if (at < this.#halves.length) this.#halves[at] = 0;
  }

  #grow(at: number): void {
    const halves = new Int32Array(Math.max(128, at * 2));
    halves.set(this.#halves);
    this.#halves = halves;
  }
}
