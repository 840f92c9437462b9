import { ZebusError } from '../../errors.js';

function malformed(what: string): ZebusError {
  return new ZebusError('codec', what);
}

/** Deepest nesting of messages and groups that is followed. */
export const MAX_DEPTH = 64;

/** Protobuf reader over one range of a buffer. Every read is checked; a malformed one throws `ZebusError('codec')`. */
export class ProtoReader {
  buffer: Buffer;
  pos: number;
  end: number;

  constructor(buffer: Buffer, pos = 0, end = buffer.length) {
    this.buffer = buffer;
    this.pos = pos;
    this.end = end;
  }

  /** Begins again with a whole buffer. */
  restart(buffer: Buffer): void {
    this.buffer = buffer;
    this.pos = 0;
    this.end = buffer.length;
  }

  get done(): boolean {
    return this.pos >= this.end;
  }

  /** Field key: number and wire type, `(number << 3) | type`. */
  tag(): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw malformed('invalid field number 0');
    return tag;
  }

  /** Low 32 bits of a varint, which may have up to ten bytes. */
  uint32(): number {
    const { buffer, end } = this;
    let { pos } = this;
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (pos >= end) throw malformed('truncated varint');
      const byte = buffer[pos++] as number;
      if (i < 5) value |= (byte & 0x7f) << (i * 7);
      if (byte < 0x80) {
        if (i === 9 && byte > 1) break;
        this.pos = pos;
        return value >>> 0;
      }
    }
    throw malformed('invalid varint');
  }

  int32(): number {
    return this.uint32() | 0;
  }

  sint32(): number {
    const value = this.uint32();
    return (value >>> 1) ^ -(value & 1);
  }

  uint64(): bigint {
    const { buffer, end } = this;
    let { pos } = this;
    let value = 0n;
    for (let i = 0; i < 10; i++) {
      if (pos >= end) throw malformed('truncated varint');
      const byte = buffer[pos++] as number;
      value |= BigInt(byte & 0x7f) << BigInt(i * 7);
      if (byte < 0x80) {
        if (i === 9 && byte > 1) break;
        this.pos = pos;
        return value;
      }
    }
    throw malformed('invalid varint');
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  sint64(): bigint {
    const value = this.uint64();
    return (value >> 1n) ^ -(value & 1n);
  }

  bool(): boolean {
    const from = this.pos;
    this.uint32();
    for (let i = from; i < this.pos; i++) if (((this.buffer[i] as number) & 0x7f) !== 0) return true;
    return false;
  }

  private take(size: number): number {
    const at = this.pos;
    if (size > this.end - at) throw malformed(`field of ${size} bytes exceeds the message`);
    this.pos = at + size;
    return at;
  }

  fixed32(): number {
    return this.buffer.readUInt32LE(this.take(4));
  }

  sfixed32(): number {
    return this.buffer.readInt32LE(this.take(4));
  }

  fixed64(): bigint {
    return this.buffer.readBigUInt64LE(this.take(8));
  }

  sfixed64(): bigint {
    return this.buffer.readBigInt64LE(this.take(8));
  }

  float(): number {
    return this.buffer.readFloatLE(this.take(4));
  }

  double(): number {
    return this.buffer.readDoubleLE(this.take(8));
  }

  /** Length prefix of a field that lies wholly inside; `pos` is left at its first byte. */
  size(): number {
    const size = this.uint32();
    if (size > this.end - this.pos) throw malformed(`field of ${size} bytes exceeds the message`);
    return size;
  }

  /** Length-delimited bytes: a view on the buffer, not a copy. */
  bytes(): Buffer {
    const size = this.size();
    const at = this.take(size);
    return this.buffer.subarray(at, at + size);
  }

  string(): string {
    const size = this.size();
    const at = this.take(size);
    if (size < 24) {
      let text = '';
      for (let i = at; i < at + size; i++) {
        const byte = this.buffer[i] as number;
        if (byte > 0x7f) return this.buffer.toString('utf8', at, at + size);
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return this.buffer.toString('utf8', at, at + size);
  }

  /** Reader of a nested message. */
  message(): ProtoReader {
    const size = this.size();
    const at = this.take(size);
    return new ProtoReader(this.buffer, at, at + size);
  }

  /** Passes over the value of a field that is not known. */
  skip(tag: number, depth = 0): void {
    switch (tag & 7) {
      case 0:
        this.uint32();
        return;
      case 1:
        this.take(8);
        return;
      case 2:
        this.take(this.size());
        return;
      case 3:
        if (depth >= MAX_DEPTH) throw malformed('groups nested too deeply');
        for (;;) {
          const inner = this.tag();
          if ((inner & 7) === 4) {
            if (inner >>> 3 !== tag >>> 3) throw malformed('group ended by another field');
            return;
          }
          this.skip(inner, depth + 1);
        }
      case 5:
        this.take(4);
        return;
      default:
        throw malformed(`invalid wire type ${tag & 7}`);
    }
  }
}
