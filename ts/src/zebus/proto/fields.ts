import { DomainError, messageOf, ZebusError } from '../../errors.js';
import { dateFromTicks, type Ticks, ticksFromDate, ticksFromWire, wireFromTicks } from '../datetime.js';
import { guidBytes, guidText } from '../guid.js';
import type { MessageType } from '../message-type.js';
import { MAX_DEPTH, ProtoReader } from './reader.js';
import type { ProtoWriter } from './writer.js';

/** Scalar types of protobuf, and the peers' `Guid` (text) and `DateTime` (`Date`; `ticks` keeps all 100 ns). */
export type ScalarType =
  | 'string'
  | 'bool'
  | 'bytes'
  | 'int32'
  | 'int64'
  | 'uint32'
  | 'uint64'
  | 'sint32'
  | 'sint64'
  | 'fixed32'
  | 'fixed64'
  | 'sfixed32'
  | 'sfixed64'
  | 'float'
  | 'double'
  | 'guid'
  | 'datetime'
  | 'ticks';

/** One field of a message. */
export interface FieldDef {
  /** Field number, 1 to 2^29 − 1. */
  readonly tag: number;
  /** A scalar type, or another message. */
  // biome-ignore lint/suspicious/noExplicitAny: a field may hold any message type
  readonly type: ScalarType | MessageType<any, any>;
  /** A list; a missing one is empty. */
  readonly repeated?: boolean;
  /** Always written, also with its default value; a missing one reads as the default value. */
  readonly required?: boolean;
}

/** Fields of a message by name. */
export type FieldDefs = Readonly<Record<string, FieldDef>>;

type ScalarOf<S> = S extends 'string' | 'guid'
  ? string
  : S extends 'bool'
    ? boolean
    : S extends 'bytes'
      ? Uint8Array
      : S extends 'int64' | 'uint64' | 'sint64' | 'fixed64' | 'sfixed64' | 'ticks'
        ? bigint
        : S extends 'datetime'
          ? Date
          : S extends MessageType<infer T, infer _I>
            ? T
            : number;
type InitScalarOf<S> = S extends MessageType<infer _T, infer I> ? I : ScalarOf<S>;
type Flat<T> = { -readonly [K in keyof T]: T[K] };

/** What a message with these fields is after decoding. */
export type FieldsOf<F extends FieldDefs> = Flat<
  {
    [K in keyof F as F[K] extends { repeated: true } | { required: true } ? K : never]: F[K] extends { repeated: true }
      ? ScalarOf<F[K]['type']>[]
      : ScalarOf<F[K]['type']>;
  } & {
    [K in keyof F as F[K] extends { repeated: true } | { required: true } ? never : K]?: ScalarOf<F[K]['type']>;
  }
>;

/** What `create` takes for these fields: lists may be left out. */
export type InitOf<F extends FieldDefs> = Flat<
  {
    [K in keyof F as F[K] extends { required: true } ? K : never]: InitScalarOf<F[K]['type']>;
  } & {
    [K in keyof F as F[K] extends { required: true } ? never : K]?: F[K] extends { repeated: true }
      ? readonly InitScalarOf<F[K]['type']>[]
      : InitScalarOf<F[K]['type']>;
  }
>;

type Plain = Record<string, unknown>;

/** Encoder and decoder of a message's fields. */
export interface FieldCodec {
  write(message: Plain, writer: ProtoWriter): void;
  read(reader: ProtoReader, target: Plain, depth: number): void;
}

/** Message types made from fields give this to messages that hold them. */
export const FIELD_CODEC: unique symbol = Symbol('zebus.fields');

/** A message type whose codec is known field by field. */
export interface Nested {
  readonly [FIELD_CODEC]?: FieldCodec;
  blank(): Plain;
  encode(message: Plain): Uint8Array;
  decode(bytes: Uint8Array): Plain;
}

interface Scalar {
  wire: 0 | 1 | 2 | 5;
  zero: () => unknown;
  write(writer: ProtoWriter, value: never): void;
  read(reader: ProtoReader, depth: number): unknown;
}

const big = (value: number | bigint): bigint => BigInt(value);
const zero = () => 0;
const zeroBig = () => 0n;

const SCALARS: Readonly<Record<ScalarType, Scalar>> = {
  string: { wire: 2, zero: () => '', write: (w, v: string) => w.string(v), read: (r) => r.string() },
  bytes: {
    wire: 2,
    zero: () => new Uint8Array(0),
    write: (w, v: Uint8Array) => w.bytes(v),
    read: (r) => r.bytes(),
  },
  bool: { wire: 0, zero: () => false, write: (w, v: boolean) => w.byte(v ? 1 : 0), read: (r) => r.bool() },
  int32: { wire: 0, zero, write: (w, v: number) => w.int32(v), read: (r) => r.int32() },
  uint32: { wire: 0, zero, write: (w, v: number) => w.uint32(v), read: (r) => r.uint32() },
  sint32: { wire: 0, zero, write: (w, v: number) => w.sint32(v), read: (r) => r.sint32() },
  int64: { wire: 0, zero: zeroBig, write: (w, v: bigint) => w.uint64(big(v)), read: (r) => r.int64() },
  uint64: { wire: 0, zero: zeroBig, write: (w, v: bigint) => w.uint64(big(v)), read: (r) => r.uint64() },
  sint64: { wire: 0, zero: zeroBig, write: (w, v: bigint) => w.sint64(big(v)), read: (r) => r.sint64() },
  fixed32: { wire: 5, zero, write: (w, v: number) => w.fixed32(v), read: (r) => r.fixed32() },
  sfixed32: { wire: 5, zero, write: (w, v: number) => w.fixed32(v), read: (r) => r.sfixed32() },
  fixed64: { wire: 1, zero: zeroBig, write: (w, v: bigint) => w.fixed64(big(v)), read: (r) => r.fixed64() },
  sfixed64: { wire: 1, zero: zeroBig, write: (w, v: bigint) => w.fixed64(big(v)), read: (r) => r.sfixed64() },
  float: { wire: 5, zero, write: (w, v: number) => w.float(v), read: (r) => r.float() },
  double: { wire: 1, zero, write: (w, v: number) => w.double(v), read: (r) => r.double() },
  guid: {
    wire: 2,
    zero: () => '00000000-0000-0000-0000-000000000000',
    write: (w, v: string) => writeGuid(w, guidBytes(v)),
    read: (r) => guidText(readGuid(r.message())),
  },
  datetime: {
    wire: 2,
    zero: () => new Date(0),
    write: (w, v: Date) => writeTicks(w, ticksFromDate(v)),
    read: (r) => dateFromTicks(readTicks(r.message())),
  },
  ticks: {
    wire: 2,
    zero: zeroBig,
    write: (w, v: Ticks) => writeTicks(w, big(v)),
    read: (r) => readTicks(r.message()),
  },
};

/** Length-delimited `Guid` of 16 bytes in wire order. */
export function writeGuid(writer: ProtoWriter, bytes: Uint8Array): void {
  writer.byte(18);
  writer.byte(0x09);
  writer.raw(bytes.subarray(0, 8));
  writer.byte(0x11);
  writer.raw(bytes.subarray(8, 16));
}

/** The 16 bytes of a `Guid`; a missing half is zero. */
export function readGuid(reader: ProtoReader): Buffer {
  const bytes = Buffer.alloc(16);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x09) bytes.writeBigUInt64LE(reader.fixed64(), 0);
    else if (tag === 0x11) bytes.writeBigUInt64LE(reader.fixed64(), 8);
    else reader.skip(tag);
  }
  return bytes;
}

function writeTicks(writer: ProtoWriter, ticks: Ticks): void {
  const wire = wireFromTicks(ticks);
  const mark = writer.open();
  writer.byte(0x08);
  writer.sint64(wire.value);
  writer.byte(0x10);
  writer.int32(wire.scale);
  writer.byte(0x18);
  writer.int32(wire.kind ?? 0);
  writer.close(mark);
}

function readTicks(reader: ProtoReader): Ticks {
  let value = 0n;
  let scale = 0;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x08) value = reader.sint64();
    else if (tag === 0x10) scale = reader.int32();
    else reader.skip(tag);
  }
  return ticksFromWire({ value, scale });
}

function messageScalar(type: Nested): Scalar {
  return {
    wire: 2,
    zero: () => type.blank(),
    write: (writer, value: Plain) => {
      const codec = type[FIELD_CODEC];
      if (codec === undefined) {
        writer.bytes(type.encode(value));
        return;
      }
      const mark = writer.open();
      codec.write(value, writer);
      writer.close(mark);
    },
    read: (reader, depth) => {
      if (depth >= MAX_DEPTH) throw new ZebusError('codec', 'messages nested too deeply');
      const inner = reader.message();
      const codec = type[FIELD_CODEC];
      if (codec === undefined) return type.decode(inner.buffer.subarray(inner.pos, inner.end));
      const target = type.blank();
      codec.read(inner, target, depth + 1);
      return target;
    },
  };
}

function keyBytes(tag: number, wire: number): Uint8Array {
  const bytes: number[] = [];
  let rest = tag * 8 + wire;
  while (rest > 0x7f) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

interface Compiled extends Scalar {
  name: string;
  tag: number;
  key: Uint8Array;
  repeated: boolean;
  required: boolean;
}

function compile(owner: string, name: string, def: FieldDef): Compiled {
  if (!Number.isInteger(def.tag) || def.tag < 1 || def.tag > 0x1fff_ffff) {
    throw new ZebusError('configuration', `${owner}.${name}: tag must be 1 to 536870911, got ${def.tag}`);
  }
  const scalar = typeof def.type === 'string' ? SCALARS[def.type] : messageScalar(def.type as unknown as Nested);
  if (scalar === undefined) throw new ZebusError('configuration', `${owner}.${name}: unknown type ${def.type}`);
  return {
    ...scalar,
    name,
    tag: def.tag,
    key: keyBytes(def.tag, scalar.wire),
    repeated: def.repeated ?? false,
    required: def.required ?? false,
  };
}

function failed(owner: string, name: string, error: unknown): never {
  if (error instanceof ZebusError || error instanceof DomainError) throw error;
  const text = messageOf(error);
  throw new ZebusError('codec', `${owner}.${name}: ${text}`, { messageType: owner, cause: error });
}

/** The codec of a message with these fields, and the value of every field of an empty message. */
export function compileFields(owner: string, defs: FieldDefs): { codec: FieldCodec; fill(target: Plain): void } {
  const fields = Object.entries(defs)
    .map(([name, def]) => compile(owner, name, def))
    .sort((a, b) => a.tag - b.tag);
  const byTag = new Map(fields.map((field) => [field.tag, field]));
  if (byTag.size !== fields.length) throw new ZebusError('configuration', `${owner}: a tag is used twice`);

  const codec: FieldCodec = {
    write(message, writer) {
      for (let f = 0; f < fields.length; f++) {
        const field = fields[f] as Compiled;
        const value = message[field.name];
        try {
          if (field.repeated) {
            if (value === undefined || value === null) continue;
            for (const item of value as Iterable<unknown>) {
              writer.raw(field.key);
              field.write(writer, item as never);
            }
          } else if (value !== undefined && value !== null) {
            writer.raw(field.key);
            field.write(writer, value as never);
          } else if (field.required) {
            writer.raw(field.key);
            field.write(writer, field.zero() as never);
          }
        } catch (error) {
          failed(owner, field.name, error);
        }
      }
    },
    read(reader, target, depth) {
      let next = 0;
      while (!reader.done) {
        const tag = reader.tag();
        const number = tag >>> 3;
        // Peers write in ascending order: the field after the last one is nearly always the right guess.
        let field = fields[next];
        if (field?.tag !== number) field = byTag.get(number);
        if (field === undefined) {
          reader.skip(tag);
          continue;
        }
        next = fields.indexOf(field) + (field.repeated ? 0 : 1);
        const wire = tag & 7;
        if (wire === field.wire) {
          const value = field.read(reader, depth);
          if (field.repeated) (target[field.name] as unknown[]).push(value);
          else target[field.name] = value;
        } else if (wire === 2 && field.repeated && field.wire !== 2) {
          const packed = reader.message();
          while (!packed.done) (target[field.name] as unknown[]).push(field.read(packed, depth));
        } else {
          throw new ZebusError('codec', `${owner}.${field.name}: wire type ${wire} instead of ${field.wire}`, {
            messageType: owner,
          });
        }
      }
    },
  };
  const filled = fields.filter((field) => field.repeated || field.required);
  return {
    codec,
    fill(target) {
      for (const field of filled) target[field.name] = field.repeated ? [] : field.zero();
    },
  };
}

/** Reads all fields from bytes. */
export function readAll(codec: FieldCodec, bytes: Uint8Array, target: Plain): void {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  codec.read(new ProtoReader(buffer), target, 0);
}
