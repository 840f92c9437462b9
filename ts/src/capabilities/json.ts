/**
 * A strict reader for the JSON of announcements. Unlike `JSON.parse` it keeps 64-bit integers exact, tells `1` from
 * `1.0`, shows duplicate fields, and has a limit on nesting.
 */

/** The text is not what it should be. Never leaves the decoder. */
export class JsonMalformed extends Error {}

const MAX_NESTING = 128;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/sy;

/** Whether a character that JSON wants escaped stands in the text. */
function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x20) return true;
  return false;
}

function unquote(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    throw new JsonMalformed('not a string');
  }
}

/** Reads one JSON text from front to back. */
export class JsonReader {
  readonly #text: string;
  #at = 0;
  #nesting = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Fields of the object that comes next, in their order; the callback must read each value. */
  object(field: (name: string) => void): void {
    this.#expect(0x7b);
    this.#enter();
    if (this.#peek() === 0x7d) this.#at += 1;
    else {
      do {
        this.#peek();
        const name = this.string();
        this.#expect(0x3a);
        field(name);
      } while (this.#more(0x7d));
    }
    this.#nesting -= 1;
  }

  /** Elements of the array that comes next; the callback must read each. */
  array(element: () => void): void {
    this.#expect(0x5b);
    this.#enter();
    if (this.#peek() === 0x5d) this.#at += 1;
    else {
      do element();
      while (this.#more(0x5d));
    }
    this.#nesting -= 1;
  }

  /** The string that comes next. Lone surrogate escapes are malformed. */
  string(): string {
    this.#peek();
    if (this.#text.charCodeAt(this.#at) !== 0x22) throw new JsonMalformed('not a string');
    const end = this.#text.indexOf('"', this.#at + 1);
    if (end < 0) throw new JsonMalformed('not a string');
    const plain = this.#text.slice(this.#at + 1, end);
    if (!plain.includes('\\')) {
      if (hasControl(plain)) throw new JsonMalformed('not a string');
      this.#at = end + 1;
      return plain;
    }
    const value = unquote(this.#match(STRING));
    if (/[\ud800-\udfff]/u.test(value)) throw new JsonMalformed('lone surrogate');
    return value;
  }

  /** The integer that comes next, in [0, `max`]; fractions, exponents and signs are malformed. */
  integer(max: bigint): bigint {
    this.#peek();
    const digits = this.#match(NUMBER);
    if (!/^[0-9]{1,20}$/.test(digits)) throw new JsonMalformed('not an unsigned integer');
    const value = BigInt(digits);
    if (value > max) throw new JsonMalformed('integer out of range');
    return value;
  }

  /** Whether the next value is `null`; it is read then. */
  isNull(): boolean {
    if (this.#peek() !== 0x6e) return false;
    this.#literal('null');
    return true;
  }

  /** Reads over any value. */
  skip(): void {
    switch (this.#peek()) {
      case 0x7b:
        this.object(() => this.skip());
        break;
      case 0x5b:
        this.array(() => this.skip());
        break;
      case 0x22:
        this.string();
        break;
      case 0x74:
        this.#literal('true');
        break;
      case 0x66:
        this.#literal('false');
        break;
      case 0x6e:
        this.#literal('null');
        break;
      default:
        this.#match(NUMBER);
    }
  }

  /** Only whitespace may be left. */
  end(): void {
    if (!Number.isNaN(this.#peek())) throw new JsonMalformed('text behind the value');
  }

  #enter(): void {
    this.#nesting += 1;
    if (this.#nesting > MAX_NESTING) throw new JsonMalformed('nested too deep');
  }

  #peek(): number {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return unit;
      this.#at += 1;
    }
  }

  #expect(unit: number): void {
    if (this.#peek() !== unit) throw new JsonMalformed('unexpected character');
    this.#at += 1;
  }

  #more(close: number): boolean {
    const unit = this.#peek();
    this.#at += 1;
    if (unit === 0x2c) return true;
    if (unit === close) return false;
    throw new JsonMalformed('unexpected character');
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) throw new JsonMalformed('unexpected character');
    this.#at = pattern.lastIndex;
    return found[0];
  }

  #literal(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) throw new JsonMalformed('unexpected character');
    this.#at += word.length;
  }
}
