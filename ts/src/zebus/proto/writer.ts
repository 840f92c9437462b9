import { fillGuid } from '../guid.js';

/** Bytes of one slab; frames are cut from it, so that a frame costs no allocation of its own. */
const SLAB = 64 * 1024;

/**
 * Single-pass protobuf writer. It writes into a slab shared by consecutive messages; `finish` cuts the written part
 * off, and what was cut is never written again (a socket may still hold it).
 */
export class ProtoWriter {
  private buffer = Buffer.allocUnsafeSlow(SLAB);
  private start = 0;
  private pos = 0;

  /** Bytes written since the last `finish`. */
  get length(): number {
    return this.pos - this.start;
  }

  /** Cuts off what was written. */
  finish(): Buffer {
    const out = this.buffer.subarray(this.start, this.pos);
    this.start = this.pos;
    return out;
  }

  /** Forgets what was written since the last `finish`. */
  discard(): void {
    this.pos = this.start;
  }

  private ensure(room: number): void {
    if (this.pos + room <= this.buffer.length) return;
    const written = this.pos - this.start;
    const next = Buffer.allocUnsafeSlow(Math.max(SLAB, (written + room) * 2));
    this.buffer.copy(next, 0, this.start, this.pos);
    this.buffer = next;
    this.start = 0;
    this.pos = written;
  }

  /** Unsigned varint of up to 32 bits. */
  uint32(value: number): void {
    this.ensure(5);
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.buffer[this.pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.buffer[this.pos++] = rest;
  }

  /** Signed 32-bit varint: negative numbers take ten bytes. */
  int32(value: number): void {
    if (value >= 0) this.uint32(value);
    else this.uint64(BigInt.asUintN(64, BigInt(value | 0)));
  }

  /** Zig-zag 32-bit varint. */
  sint32(value: number): void {
    this.uint32(((value << 1) ^ (value >> 31)) >>> 0);
  }

  /** Varint of 64 bits; negative values as two's complement. */
  uint64(value: bigint): void {
    this.ensure(10);
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.buffer[this.pos++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buffer[this.pos++] = Number(rest);
  }

  /** Zig-zag 64-bit varint. */
  sint64(value: bigint): void {
    const signed = BigInt.asIntN(64, value);
    this.uint64((signed << 1n) ^ (signed >> 63n));
  }

  /** Little-endian 32 bits. */
  fixed32(value: number): void {
    this.ensure(4);
    this.pos = this.buffer.writeInt32LE(value | 0, this.pos);
  }

  /** Little-endian 64 bits. */
  fixed64(value: bigint): void {
    this.ensure(8);
    this.pos = this.buffer.writeBigUInt64LE(BigInt.asUintN(64, value), this.pos);
  }

  float(value: number): void {
    this.ensure(4);
    this.pos = this.buffer.writeFloatLE(value, this.pos);
  }

  double(value: number): void {
    this.ensure(8);
    this.pos = this.buffer.writeDoubleLE(value, this.pos);
  }

  byte(value: number): void {
    this.ensure(1);
    this.buffer[this.pos++] = value;
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array): void {
    const length = bytes.length;
    this.ensure(length);
    // A short copy is done before `set` has begun.
    if (length <= 96) {
      for (let i = 0; i < length; i++) this.buffer[this.pos + i] = bytes[i] as number;
    } else {
      this.buffer.set(bytes, this.pos);
    }
    this.pos += length;
  }

  /** Bytes as they are, with a fresh GUID written over the places of its two halves. */
  rawWithGuid(bytes: Uint8Array, lo: number, hi: number): void {
    // First the room: making it may move everything.
    this.ensure(bytes.length);
    const at = this.pos;
    this.raw(bytes);
    fillGuid(this.buffer, at + lo, at + hi);
  }

  /** Length-delimited bytes. */
  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.raw(value);
  }

  /** Length-delimited UTF-8 text. */
  string(value: string): void {
    const length = value.length;
    if (length < 32 && this.shortAscii(value, length)) return;
    const size = Buffer.byteLength(value, 'utf8');
    this.uint32(size);
    this.ensure(size);
    this.buffer.write(value, this.pos, size, 'utf8');
    this.pos += size;
  }

  private shortAscii(value: string, length: number): boolean {
    this.ensure(length + 1);
    const { buffer } = this;
    const from = this.pos + 1;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return false;
      buffer[from + i] = unit;
    }
    buffer[this.pos] = length;
    this.pos = from + length;
    return true;
  }

  /** Opens a length-delimited field; hand the result to `close`. One byte is kept for the length. */
  open(): number {
    this.ensure(1);
    const at = this.pos++;
    return at - this.start;
  }

  /** Writes the length of what came since `open`, moving it up when the length needs more than the kept byte. */
  close(mark: number): void {
    const at = this.start + mark;
    const length = this.pos - at - 1;
    if (length < 0x80) {
      this.buffer[at] = length;
      return;
    }
    const extra = length < 0x4000 ? 1 : length < 0x20_0000 ? 2 : length < 0x1000_0000 ? 3 : 4;
    this.ensure(extra);
    const from = this.start + mark;
    this.buffer.copyWithin(from + 1 + extra, from + 1, this.pos);
    const end = this.pos + extra;
    this.pos = from;
    this.uint32(length);
    this.pos = end;
  }
}
