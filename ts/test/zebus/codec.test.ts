import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { MAX_TICKS, MIN_TICKS, TickClock, ticksFromWire } from '../../src/zebus/datetime.js';
import * as system from '../../src/zebus/system-messages.js';
import { FrameFactory } from '../../src/zebus/transport-message.js';
import {
  type AnyMessageType,
  decodeTransport,
  defineCommand,
  defineEvent,
  defineMessage,
  encodeTransport,
  guidBytes,
  guidText,
  PeerId,
  ZebusError,
} from '../../src/zebus.js';
import vectors from '../vectors/zebus-messages.json' with { type: 'json' };

const EchoCommand = defineCommand({
  namespace: 'Abc.Echo',
  name: 'EchoCommand',
  fields: { msg: { tag: 1, type: 'string', required: true } },
});
const MessageSent = defineEvent({
  namespace: 'SimpleChat',
  name: 'MessageSent',
  fields: {
    target: { tag: 1, type: 'string', required: true },
    sender: { tag: 2, type: 'string', required: true },
    text: { tag: 3, type: 'string', required: true },
  },
  routing: ['target'],
});
const UserConnected = defineEvent({
  namespace: 'SimpleChat',
  name: 'UserConnected',
  fields: { username: { tag: 1, type: 'string', required: true } },
});
const known = new Map<string, { decode(b: Uint8Array): object; encode(m: never): Uint8Array; fullName: string }>(
  [EchoCommand, MessageSent, UserConnected, ...Object.values(system)].flatMap((type) =>
    typeof type === 'object' && 'fullName' in type ? [[type.fullName, type as never]] : [],
  ),
);

describe('captured messages of real peers', () => {
  for (const vector of vectors.messages) {
    it(`${vector.name} decodes to what it says and re-encodes byte for byte`, () => {
      const frame = Buffer.from(vector.hex, 'hex');
      const message = decodeTransport(frame);
      const { transport } = vector;
      expect(message.messageType).toBe(transport.message_type_id.full_name);
      expect(message.originator.senderId.value).toBe(transport.originator.sender_id.value);
      expect(message.originator.senderEndpoint).toBe(transport.originator.sender_endpoint);
      expect(message.environment).toBe(transport.environment);
      expect(message.wasPersisted).toBe(transport.was_persisted);
      const id = Buffer.from(message.id);
      expect(id.readBigUInt64LE(0).toString()).toBe(transport.id.value.lo);
      expect(id.readBigUInt64LE(8).toString()).toBe(transport.id.value.hi);
      expect(Buffer.from(message.content).toString('hex')).toBe(vector.content_hex);
      expect(encodeTransport(message).toString('hex')).toBe(vector.hex);

      const type = known.get(message.messageType);
      if (type === undefined) throw new Error(`no type ${message.messageType}`);
      const content = type.decode(message.content);
      expect(Buffer.from(type.encode(content as never)).toString('hex')).toBe(vector.content_hex);
      expect(plain(content)).toEqual(plain(camel(vector.content)));
    });
  }
});

/** Comparable form: times as their wire value, GUIDs as lo and hi. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string' && /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(value)) {
    const bytes = guidBytes(value);
    return { lo: bytes.readBigUInt64LE(0).toString(), hi: bytes.readBigUInt64LE(8).toString() };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** The vectors' names are those of the schema. */
function camel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camel);
  if (typeof value !== 'object' || value === null) return value;
  if ('scale' in value && 'value' in value) return (value as { value: string }).value;
  const entries = Object.entries(value).map(([key, inner]) => {
    const name = key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    return [name === 'timestampUtc' ? 'timestamp' : name, camel(inner)] as const;
  });
  const out = Object.fromEntries(entries) as Record<string, unknown>;
  if ('bindingKey' in out) out.bindingKey = { parts: [], ...(out.bindingKey as object) };
  return out;
}

describe('fields', () => {
  const Inner = defineMessage({
    namespace: 'Test',
    name: 'Inner',
    fields: { n: { tag: 1, type: 'sint64', required: true }, names: { tag: 2, type: 'string', repeated: true } },
  });
  const All = defineMessage({
    namespace: 'Test',
    name: 'All',
    fields: {
      string: { tag: 1, type: 'string' },
      bool: { tag: 2, type: 'bool' },
      bytes: { tag: 3, type: 'bytes' },
      int32: { tag: 4, type: 'int32' },
      int64: { tag: 5, type: 'int64' },
      uint32: { tag: 6, type: 'uint32' },
      uint64: { tag: 7, type: 'uint64' },
      sint32: { tag: 8, type: 'sint32' },
      sint64: { tag: 9, type: 'sint64' },
      fixed32: { tag: 10, type: 'fixed32' },
      fixed64: { tag: 11, type: 'fixed64' },
      sfixed32: { tag: 12, type: 'sfixed32' },
      sfixed64: { tag: 13, type: 'sfixed64' },
      float: { tag: 14, type: 'float' },
      double: { tag: 15, type: 'double' },
      inner: { tag: 16, type: Inner },
      many: { tag: 2000, type: Inner, repeated: true },
      ints: { tag: 536_870_911, type: 'int32', repeated: true },
    },
  });
  const root = protobuf.parse(
    `syntax = "proto2"; message Inner { required sint64 n = 1; repeated string names = 2; }
     message All { optional string string = 1; optional bool bool = 2; optional bytes bytes = 3; optional int32 int32 = 4;
       optional int64 int64 = 5; optional uint32 uint32 = 6; optional uint64 uint64 = 7; optional sint32 sint32 = 8;
       optional sint64 sint64 = 9; optional fixed32 fixed32 = 10; optional fixed64 fixed64 = 11; optional sfixed32 sfixed32 = 12;
       optional sfixed64 sfixed64 = 13; optional float float = 14; optional double double = 15; optional Inner inner = 16;
       repeated Inner many = 2000; repeated int32 ints = 536870911; }`,
    { keepCase: true },
  ).root;
  const Reference = root.lookupType('All');

  const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const text = fc.string({ unit: 'grapheme', maxLength: 80 });
  const inner = fc.record({ n: i64, names: fc.array(text, { maxLength: 4 }) });
  const all = fc.record(
    {
      string: text,
      bool: fc.boolean(),
      bytes: fc.uint8Array({ maxLength: 300 }),
      int32: i32,
      int64: i64,
      uint32: u32,
      uint64: u64,
      sint32: i32,
      sint64: i64,
      fixed32: u32,
      fixed64: u64,
      sfixed32: i32,
      sfixed64: i64,
      float: fc.float({ noNaN: true }),
      double: fc.double({ noNaN: true }),
      inner,
      many: fc.array(inner, { maxLength: 40 }),
      ints: fc.array(i32, { maxLength: 20 }),
    },
    { requiredKeys: ['many', 'ints'] },
  );

  it('come back as they were, and the bytes are those of protobufjs', () => {
    fc.assert(
      fc.property(all, (value) => {
        const bytes = All.encode(value);
        const reference = Reference.encode(Reference.fromObject(forReference(value) as object)).finish();
        expect(Buffer.from(bytes).toString('hex')).toBe(Buffer.from(reference).toString('hex'));
        const back = All.decode(bytes);
        expect({ ...back, bytes: back.bytes && [...back.bytes] }).toEqual({
          ...value,
          bytes: value.bytes && [...value.bytes],
        });
      }),
    );
  });

  function forReference(value: unknown): unknown {
    if (typeof value === 'bigint') return value.toString();
    if (value instanceof Uint8Array) return value;
    if (Array.isArray(value)) return value.map(forReference);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, forReference(each)]));
  }

  it('are read in any order, packed or not, past unknown fields', () => {
    const packed = Buffer.from([0xfa, 0xff, 0xff, 0xff, 0x0f, 3, 1, 2, 3]);
    const unknown = Buffer.from([0xa3, 0x06, 0x08, 0x01, 0xa4, 0x06]); // a group, number 100
    const string = Buffer.from([0x0a, 1, 0x61]);
    const decoded = All.decode(Buffer.concat([packed, unknown, string]));
    expect(decoded.ints).toEqual([1, 2, 3]);
    expect(decoded.string).toBe('a');
  });

  it('any bytes decode or give a codec error, and nothing else', () => {
    const types: AnyMessageType[] = [All, ...(Object.values(system) as unknown[])].filter(
      (type): type is AnyMessageType => typeof type === 'object' && type !== null && 'fullName' in type,
    );
    const mutated = fc
      .tuple(all, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }), fc.nat())
      .map(([value, changes, cut]) => {
        const bytes = Buffer.from(All.encode(value));
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes.subarray(0, cut % (bytes.length + 1));
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        for (const type of types) {
          try {
            type.decode(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(ZebusError);
            expect((error as ZebusError).kind).toBe('codec');
          }
        }
      }),
      { numRuns: process.env.MESHRING_SOAK ? 20_000 : 300 },
    );
  });

  it('deep nesting is refused, not followed', () => {
    const group = Buffer.alloc(10_000, 0x0b);
    expect(() => All.decode(group)).toThrow(ZebusError);
  });

  it('values of the wrong type are named', () => {
    expect(() => All.encode({ string: 5 as never, many: [], ints: [] })).toThrow(/^zebus:codec: Test\.All\.string: /);
    expect(() => Inner.encode({ n: 'x' as never, names: [] })).toThrow(/Test\.Inner\.n/);
  });
});

describe('codecs from elsewhere', () => {
  const { root } = protobuf.parse('syntax = "proto2"; package Echo; message EchoCommand { required string msg = 1; }');
  const reference = root.lookupType('Echo.EchoCommand');

  it('a protobufjs type is a codec', () => {
    const type = defineCommand<{ msg: string }>({ namespace: 'Echo', name: 'EchoCommand', codec: reference as never });
    const bytes = type.encode({ msg: 'hello' });
    expect(Buffer.from(bytes).toString('hex')).toBe('0a0568656c6c6f');
    const back = type.decode(bytes);
    expect(back.msg).toBe('hello');
    expect(type.is(back)).toBe(true);
    expect(() => type.decode(Buffer.from([0x0a, 0xff]))).toThrow(/^zebus:codec: /);
  });

  it('so is anything with encode and decode, or toBinary and fromBinary', () => {
    const json = defineEvent<{ n: number }>({
      namespace: 'Test',
      name: 'Json',
      codec: { encode: (m) => Buffer.from(JSON.stringify(m)), decode: (b) => JSON.parse(Buffer.from(b).toString()) },
    });
    expect(json.decode(json.encode({ n: 1 }))).toEqual({ n: 1 });
    const binary = defineEvent<{ n: number }>({
      namespace: 'Test',
      name: 'Binary',
      codec: { toBinary: (m) => Buffer.from([m.n]), fromBinary: (b) => ({ n: b[0] ?? 0 }) },
    });
    expect(binary.decode(binary.encode({ n: 7 }))).toEqual({ n: 7 });
  });
});

describe('frames made for sending', () => {
  it('each has an id of its own and says the same as any other encoding, across all slabs of the writer', () => {
    const originator = { senderId: new PeerId('A.0'), senderEndpoint: 'tcp://a:1', machineName: 'a' };
    const factory = new FrameFactory(originator, 'test');
    const type = EchoCommand as unknown as AnyMessageType;
    const ids = new Set<string>();
    for (let n = 0; n < 3000; n++) {
      const msg = 'x'.repeat((n * 7) % 400);
      const { id, bytes } = factory.command(type, EchoCommand.create({ msg }));
      const message = decodeTransport(bytes);
      expect(Buffer.from(message.id).equals(id)).toBe(true);
      expect(EchoCommand.decode(message.content).msg).toBe(msg);
      expect(encodeTransport(message).equals(bytes)).toBe(true);
      expect(guidText(id)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      ids.add(guidText(id));
    }
    expect(ids.size).toBe(3000);
  });
});

describe('identifiers and times', () => {
  it('text and bytes of a GUID follow the .NET layout', () => {
    const bytes = Buffer.from('33221100554477668899aabbccddeeff', 'hex');
    expect(guidText(bytes)).toBe('00112233-4455-6677-8899-aabbccddeeff');
    expect(guidBytes('00112233-4455-6677-8899-AABBCCDDEEFF').equals(bytes)).toBe(true);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (any) => {
        expect([...guidBytes(guidText(any))]).toEqual([...any]);
      }),
    );
  });

  it('every scale of a time is read', () => {
    expect(ticksFromWire({ value: 1n, scale: 0 })).toBe(864_000_000_000n);
    expect(ticksFromWire({ value: 1n, scale: 1 })).toBe(36_000_000_000n);
    expect(ticksFromWire({ value: 1n, scale: 2 })).toBe(600_000_000n);
    expect(ticksFromWire({ value: 1n, scale: 3 })).toBe(10_000_000n);
    expect(ticksFromWire({ value: 1n, scale: 4 })).toBe(10_000n);
    expect(ticksFromWire({ value: 1n, scale: 5 })).toBe(1n);
    expect(ticksFromWire({ value: 1n, scale: 15 })).toBe(MAX_TICKS);
    expect(ticksFromWire({ value: -1n, scale: 15 })).toBe(MIN_TICKS);
    expect(() => ticksFromWire({ value: 1n, scale: 9 })).toThrow(/invalid time scale/);
  });

  it('times keep all 100 ns through a descriptor', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: MIN_TICKS, max: MAX_TICKS }), (ticks) => {
        const bytes = system.WirePeerDescriptor.encode({ subscriptions: [], isPersistent: false, timestamp: ticks });
        expect(system.WirePeerDescriptor.decode(bytes).timestamp).toBe(ticks);
      }),
    );
  });

  it('time stamps of one peer strictly increase, whatever the clock does', () => {
    const times = [1000, 1000, 999, 1001, 5];
    const clock = new TickClock(() => times.shift() ?? 0);
    const stamps = [1, 2, 3, 4, 5].map(() => clock.next());
    expect(stamps).toEqual([10_000_000n, 10_000_001n, 10_000_002n, 10_010_000n, 10_010_001n]);
  });
});
