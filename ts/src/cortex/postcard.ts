/**
 * The postcard encoding (<https://postcard.jamesmunns.com/wire-format>) as far as the models use it: LEB128 varints of
 * at most 10 bytes, strings and lists with a varint length, one-byte booleans and options (51 §2).
 */

/** Bytes that do not decode; the message is the decoder's text without any prefix. */
export class DecodeError extends Error {}

const END = 'Hit the end of buffer, expected more data';
const VARINT = "Found a varint that didn't terminate. Is the usize too big for this platform?";
const BOOL = "Found a bool that wasn't 0 or 1";
const OPTION = "Found an Option discriminant that wasn't 0 or 1";
const UTF8 = 'Tried to parse invalid utf-8';
const ENUM = 'Serde Deserialization Error';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
/** Longest text that is copied character by character rather than by the platform's encoder. */
const SHORT = 48;
const SURROGATE = /\p{Surrogate}/gu;

/** `text` with U+FFFD in place of lone surrogates: what its UTF-8 form says. */
export function wellFormed(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) >= 0xd800) return text.replace(SURROGATE, '\ufffd');
  }
  return text;
}

/** Writes into a buffer that grows. The bytes are valid until the next `reset`. */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  /** `capacity`: bytes to have room for at once. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Number of bytes written. */
  get length(): number {
    return this.#length;
  }

  /** The buffer itself; bytes up to `length` are written. */
  get buffer(): Uint8Array {
    return this.#bytes;
  }

  /** Forgets everything and leaves `gap` bytes free in front. */
  reset(gap = 0): void {
    this.#reserve(gap);
    this.#length = gap;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  /** One byte. */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** Varint of a 64-bit value in halves. */
  u64(lo: number, hi: number): void {
    this.#reserve(10);
    const bytes = this.#bytes;
    let at = this.#length;
    let l = lo >>> 0;
    let h = hi >>> 0;
    while (h !== 0) {
      bytes[at++] = (l & 0x7f) | 0x80;
      l = ((l >>> 7) | (h << 25)) >>> 0;
      h >>>= 7;
    }
    while (l > 0x7f) {
      bytes[at++] = (l & 0x7f) | 0x80;
      l >>>= 7;
    }
    bytes[at++] = l;
    this.#length = at;
  }

  /** Varint of a length or count below 2^32. */
  count(value: number): void {
    this.u64(value, 0);
  }

  /** Length and bytes. */
  blob(value: Uint8Array): void {
    this.count(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** Length and UTF-8. Returns the text as it was written: with U+FFFD in place of lone surrogates. */
  string(value: string): string {
    const units = value.length;
    if (units <= SHORT) {
      this.#reserve(units + 1);
      const bytes = this.#bytes;
      const start = this.#length + 1;
      let i = 0;
      for (; i < units; i++) {
        const unit = value.charCodeAt(i);
        if (unit > 0x7f) break;
        bytes[start + i] = unit;
      }
      if (i === units) {
        bytes[start - 1] = units;
        this.#length = start + units;
        return value;
      }
    }
    // One unit is at most three bytes; the text is written behind the longest length prefix and moved down.
    this.#reserve(units * 3 + 5);
    const at = this.#length;
    const { written } = encoder.encodeInto(value, this.#bytes.subarray(at + 5));
    this.count(written);
    this.#bytes.copyWithin(this.#length, at + 5, at + 5 + written);
    this.#length += written;
    return written === units ? value : wellFormed(value);
  }

  /** What was written, as a view. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Reads one message; every method throws `DecodeError` at bad bytes. */
export class Reader {
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;
  #end = 0;
  /** Low and high half of the last `u64`. */
  lo = 0;
  hi = 0;

  /** Starts at `start` of `bytes`. */
  open(bytes: Uint8Array, start = 0, end = bytes.length): this {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    return this;
  }

  /** One byte. */
  byte(): number {
    if (this.#at >= this.#end) throw new DecodeError(END);
    return this.#bytes[this.#at++] as number;
  }

  /** Varint into `lo` and `hi`: at most 10 bytes, the tenth at most 1. */
  u64(): void {
    let lo = 0;
    let hi = 0;
    for (let i = 0, shift = 0; i < 10; i++, shift += 7) {
      const byte = this.byte();
      const bits = byte & 0x7f;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi |= bits >>> 4;
      } else hi |= bits << (shift - 32);
      if (byte < 0x80) {
        if (i === 9 && byte > 1) throw new DecodeError(VARINT);
        this.lo = lo >>> 0;
        this.hi = hi >>> 0;
        return;
      }
    }
    throw new DecodeError(VARINT);
  }

  /** Length or count. More than what is left in the buffer can't be satisfied by any item. */
  count(): number {
    this.u64();
    if (this.hi !== 0 || this.lo > this.#end - this.#at) throw new DecodeError(END);
    return this.lo;
  }

  /** Length and bytes, as a view. */
  blob(): Uint8Array {
    const length = this.count();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Length and UTF-8. */
  string(): string {
    const length = this.count();
    this.#at += length;
    try {
      return utf8.decode(this.#bytes.subarray(this.#at - length, this.#at));
    } catch (cause) {
      throw new DecodeError(UTF8, { cause });
    }
  }

  /** Boolean. */
  bool(): boolean {
    const byte = this.byte();
    if (byte > 1) throw new DecodeError(BOOL);
    return byte === 1;
  }

  /** Discriminant of an option: whether a value follows. */
  option(): boolean {
    const byte = this.byte();
    if (byte > 1) throw new DecodeError(OPTION);
    return byte === 1;
  }

  /** Variant of an enum with `variants` members. */
  variant(variants: number): number {
    this.u64();
    if (this.hi !== 0 || this.lo >= variants) throw new DecodeError(ENUM);
    return this.lo;
  }
}
