import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  channelNameProblem,
  decodeExtension,
  decodeMembership,
  type ExtensionMessage,
  encodeExtension,
  encodeMembership,
  type MembershipMessage,
  Roster,
} from '../../src/channels/index.js';
import { channelHash, IdentityError } from '../../src/identity.js';

const name = fc.stringMatching(/^[a-z0-9_-]{1,8}(\/[a-z0-9_-]{1,8}){0,3}$/);
const nonce = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const message = fc.oneof(
  fc
    .record({
      type: fc.constant('subscribe' as const),
      nonce,
      channel: name,
      token: fc.option(fc.uint8Array({ minLength: 1, maxLength: 200 }), { nil: undefined }),
      queueGroup: fc.option(fc.string({ minLength: 1, maxLength: 60 }), { nil: undefined }),
    })
    .map(({ token, queueGroup, ...rest }) => ({
      ...rest,
      ...(token ? { token } : {}),
      ...(queueGroup ? { queueGroup } : {}),
    })),
  fc.record({ type: fc.constant('unsubscribe' as const), nonce, channel: name }),
  fc.record({
    type: fc.constant('ack' as const),
    nonce,
    accepted: fc.boolean(),
    reason: fc.constantFrom('none', 'unauthorized', 'unknown-channel', 'rate-limited', 'too-many-channels'),
  }),
) as fc.Arbitrary<MembershipMessage>;

describe('membership bytes', () => {
  it('decode what was encoded', () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(decodeMembership(encodeMembership(m))).toEqual(m);
      }),
    );
  });

  it('arbitrary and changed bytes decode to something canonical or to nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.tuple(message, fc.nat(), fc.nat(255)).map(([m, at, byte]) => {
            const bytes = encodeMembership(m);
            bytes[at % bytes.length] = byte;
            return bytes;
          }),
          fc
            .tuple(message, fc.uint8Array({ minLength: 1, maxLength: 4 }))
            .map(([m, more]) => Uint8Array.from([...encodeMembership(m), ...more])),
        ),
        (bytes) => {
          const decoded = decodeMembership(bytes);
          if (decoded) expect(decodeMembership(encodeMembership(decoded))).toEqual(decoded);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('reads no byte outside of its view', () => {
    const inner = encodeMembership({ type: 'unsubscribe', nonce: 1n, channel: 'abc' });
    const outer = new Uint8Array(inner.length + 20).fill(0x61);
    outer.set(inner, 10);
    expect(decodeMembership(outer.subarray(10, 10 + inner.length))).toEqual({
      type: 'unsubscribe',
      nonce: 1n,
      channel: 'abc',
    });
    expect(decodeMembership(outer.subarray(10, 10 + inner.length - 1))).toBeUndefined();
  });
});

const reason = fc.constantFrom('none', 'unauthorized', 'unknown-channel', 'rate-limited', 'too-many-channels');
const prefix = fc.oneof(name, fc.constant(''));
const extension = fc.oneof(
  fc.record({ type: fc.constant('dropped' as const), nonce, channel: name, reason }),
  fc.record({
    type: fc.constant('list' as const),
    nonce,
    prefix,
    after: prefix,
    tokens: fc.array(fc.uint8Array({ minLength: 169, maxLength: 169 }), { maxLength: 8 }),
  }),
  fc.record({
    type: fc.constant('listed' as const),
    nonce,
    reason,
    more: fc.boolean(),
    names: fc.uniqueArray(name, { maxLength: 30 }).map((names) => names.sort()),
  }),
  fc.record({ type: fc.constantFrom('changed' as const, 'unlist' as const), nonce, prefix }),
) as fc.Arbitrary<ExtensionMessage>;

describe('membership bytes between nodes of ours', () => {
  it('decode what was encoded, and are nothing to the published package', () => {
    fc.assert(
      fc.property(extension, (m) => {
        const bytes = encodeExtension(m);
        expect(decodeExtension(bytes)).toEqual(m);
        expect(decodeMembership(bytes)).toBeUndefined();
      }),
    );
  });

  it('arbitrary, changed, cut and longer bytes decode to something canonical or to nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.tuple(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 64 })).map(([t, b]) => [t, ...b]),
          fc.tuple(extension, fc.nat(), fc.nat(255)).map(([m, at, byte]) => {
            const bytes = encodeExtension(m);
            bytes[at % bytes.length] = byte;
            return [...bytes];
          }),
          fc.tuple(extension, fc.nat()).map(([m, end]) => {
            const bytes = encodeExtension(m);
            return [...bytes.subarray(0, end % bytes.length)];
          }),
          fc
            .tuple(extension, fc.uint8Array({ minLength: 1, maxLength: 4 }))
            .map(([m, more]) => [...encodeExtension(m), ...more]),
        ),
        (list) => {
          const bytes = Uint8Array.from(list);
          const decoded = decodeExtension(bytes);
          if (decoded) expect([...encodeExtension(decoded)]).toEqual(list);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('refuse names out of order, wrong counts, and what could not be read back', () => {
    const listed = { type: 'listed', nonce: 1n, reason: 'none', more: false } as const;
    for (const names of [
      ['b', 'a'],
      ['a', 'a'],
    ]) {
      expect(decodeExtension(encodeExtension({ ...listed, names }))).toBeUndefined();
    }
    const bytes = encodeExtension({ ...listed, names: ['a', 'b'] });
    bytes[11] = 3;
    expect(decodeExtension(bytes)).toBeUndefined();
    const list = { type: 'list', nonce: 1n, prefix: 'a', after: '' } as const;
    expect(() => encodeExtension({ ...list, tokens: [new Uint8Array(3)] })).toThrow(RangeError);
    expect(() => encodeExtension({ ...list, tokens: Array(9).fill(new Uint8Array(169)) })).toThrow(RangeError);
    expect(() => encodeExtension({ ...list, prefix: 'A', tokens: [] })).toThrow('channel: invalid name');
  });
});

describe('channel names', () => {
  it('any text has a hash or an IdentityError with the reason', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), name, fc.string({ maxLength: 2000, minLength: 250 })),
        (text) => {
          const problem = channelNameProblem(text);
          if (problem === undefined) expect(channelHash(text)).toBeTypeOf('bigint');
          else
            expect(() => channelHash(text)).toThrow(
              new IdentityError(`invalid channel name: ${problem}`, { kind: 'invalid-channel-name' }),
            );
        },
      ),
    );
  });

  it('lengths count bytes', () => {
    expect(channelNameProblem('é'.repeat(600))).toBe('channel name too long (1200 > 255)');
    expect(channelNameProblem('\u{1f600}'.repeat(1000))).toBe('channel name too long (4000 > 255)');
    expect(channelNameProblem('a'.repeat(255))).toBeUndefined();
  });
});

describe('roster', () => {
  it('agrees with a plain model', () => {
    const step = fc.record({
      op: fc.constantFrom('add', 'remove', 'drop'),
      peer: fc.bigInt({ min: 1n, max: 4n }),
      channel: fc.constantFrom('a', 'b'),
      group: fc.constantFrom(undefined, 'g', 'h'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const roster = new Roster();
        const model = new Map<string, string | undefined>();
        for (const { op, peer, channel, group } of steps) {
          if (op === 'add') {
            roster.add(channel, peer, group);
            model.set(`${channel}:${peer}`, group);
          } else if (op === 'remove') expect(roster.remove(channel, peer)).toBe(model.delete(`${channel}:${peer}`));
          else {
            roster.removePeer(peer);
            for (const key of model.keys()) if (key.endsWith(`:${peer}`)) model.delete(key);
          }
        }
        for (const channel of ['a', 'b']) {
          const members = [...model].filter(([key]) => key.startsWith(`${channel}:`));
          const groups = new Set(members.map(([, group]) => group).filter((group) => group !== undefined));
          const dispatched = roster.dispatch(channel);
          expect(dispatched).toHaveLength(members.filter(([, group]) => group === undefined).length + groups.size);
          expect(new Set(dispatched).size).toBe(dispatched.length);
          expect(roster.membersOf(channel)).toHaveLength(members.length);
        }
      }),
    );
  });
});
