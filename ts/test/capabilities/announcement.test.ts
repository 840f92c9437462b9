import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Announcement,
  canonicalSocketAddress,
  compareUtf8,
  decodeAnnouncement,
  encodeAnnouncement,
  peekAnnouncement,
  projectCapabilities,
  signAnnouncement,
  sortedDistinct,
  verifyAnnouncement,
  wellFormed,
} from '../../src/capabilities/index.js';
import { MeshringError } from '../../src/errors.js';
import { Identity } from '../../src/identity.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const wordy = fc.string({ unit: 'grapheme', maxLength: 12 }).map(wellFormed);
const announcement: fc.Arbitrary<Announcement> = fc
  .record({
    nodeId: u64,
    entityId: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    version: u64,
    timestampNs: u64,
    ttlSecs: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    tags: fc
      .array(
        wordy.filter((tag) => tag !== ''),
        { maxLength: 12 },
      )
      .map(sortedDistinct),
    metadata: fc.array(fc.tuple(wordy, wordy), { maxLength: 5 }).map((entries) => new Map(entries)),
    hopCount: fc.nat(255),
    reflexAddr: fc.constantFrom('203.0.113.5:9000', '[2001:db8::1]:9000', '[fe80::1%3]:1', undefined),
    signature: fc.option(fc.uint8Array({ minLength: 64, maxLength: 64 }), { nil: undefined }),
  })
  .map(({ reflexAddr, signature, ...rest }) => ({
    ...rest,
    ...(reflexAddr === undefined ? {} : { reflexAddr }),
    ...(signature === undefined ? {} : { signature }),
  }));

const text = (view: Uint8Array) => new TextDecoder().decode(view);
const base = {
  nodeId: 1n,
  entityId: new Uint8Array(32),
  version: 1n,
  timestampNs: 1n,
  ttlSecs: 1,
  tags: ['a'],
  metadata: new Map<string, string>(),
  hopCount: 0,
};
const json = text(encodeAnnouncement(base));
const decodes = (payload: string) => decodeAnnouncement(new TextEncoder().encode(payload)) !== undefined;

describe('announcement bytes', () => {
  it('decode what was encoded, and encode it again to the same bytes', () => {
    fc.assert(
      fc.property(announcement, (a) => {
        const bytes = encodeAnnouncement(a);
        const decoded = decodeAnnouncement(bytes);
        expect(decoded).toEqual(a);
        expect(decoded && text(encodeAnnouncement(decoded))).toBe(text(bytes));
      }),
    );
  });

  it('a look at the bytes finds the same as decoding them', () => {
    fc.assert(
      fc.property(announcement, (a) => {
        expect(peekAnnouncement(encodeAnnouncement(a))).toEqual({
          key: `${a.nodeId}:${a.version}`,
          direct: a.hopCount === 0,
        });
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(peekAnnouncement(bytes)).toBeUndefined();
      }),
    );
  });

  it('a signature covers everything but the hop count', () => {
    const signer = Identity.fromSeed(new Uint8Array(32).fill(5));
    fc.assert(
      fc.property(announcement, fc.nat(255), (a, hopCount) => {
        const signed = signAnnouncement(a, signer);
        const of = (change: Partial<Announcement>) => verifyAnnouncement({ ...signed, ...change });
        // The key in the announcement is not the signer's.
        expect(of({})).toBe(false);
        const own = signAnnouncement({ ...a, entityId: new Uint8Array(signer.entityId) }, signer);
        expect(verifyAnnouncement({ ...own, hopCount })).toBe(true);
        expect(verifyAnnouncement({ ...own, version: own.version ^ 1n })).toBe(false);
        expect(verifyAnnouncement({ ...own, tags: [...own.tags, '\u{10ffff}x'] })).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  it('arbitrary, cut and changed bytes decode to something or to nothing, never throw', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.json().map((value) => new TextEncoder().encode(value)),
          fc.tuple(announcement, fc.nat(), fc.nat(255)).map(([a, at, byte]) => {
            const bytes = encodeAnnouncement(a);
            bytes[at % bytes.length] = byte;
            return bytes;
          }),
          fc.tuple(announcement, fc.nat()).map(([a, at]) => encodeAnnouncement(a).slice(0, at % 400)),
        ),
        (bytes) => {
          const decoded = decodeAnnouncement(bytes);
          if (decoded) expect(decodeAnnouncement(encodeAnnouncement(decoded))).toEqual(decoded);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['unknown fields', json.replace('"version"', '"x":[1,{"y":null}],"version"'), true],
    ['whitespace and another order', ` {"ttl_secs":1, ${json.slice(1).replace('"ttl_secs":1,', '')} `, true],
    ['null for what is optional', json.replace(/\}$/, ',"signature":null,"reflex_addr":null}'), true],
    ['no metadata, no tags', json.replace(/"capabilities":.*$/, '"capabilities":{}}'), true],
    ['the last of two metadata keys', json.replace('"metadata":{}', '"metadata":{"a":"1","a":"2"}'), true],
    ['a known field twice', json.replace('"version"', '"version":1,"version"'), false],
    ['tags twice', json.replace('"tags"', '"tags":[],"tags"'), false],
    ['text behind it', `${json}x`, false],
    ['a missing field', json.replace('"version":1,', ''), false],
    ['a fraction', json.replace('"version":1', '"version":1.0'), false],
    ['an exponent', json.replace('"version":1', '"version":1e0'), false],
    ['a negative number', json.replace('"version":1', '"version":-1'), false],
    ['a number as text', json.replace('"version":1', '"version":"1"'), false],
    ['2^64', json.replace('"version":1', '"version":18446744073709551616'), false],
    ['a leading zero', json.replace('"version":1', '"version":01'), false],
    ['ttl of 2^32', json.replace('"ttl_secs":1', '"ttl_secs":4294967296'), false],
    ['null hops', json.replace(/\}$/, ',"hop_count":null}'), false],
    ['an empty tag', json.replace('"a"', '""'), false],
    ['a tag that is no text', json.replace('"a"', '1'), false],
    ['metadata that is no text', json.replace('"metadata":{}', '"metadata":{"a":1}'), false],
    ['a raw control character', json.replace('"a"', '"a\n"'), false],
    ['a lone surrogate', json.replace('"a"', '"\\ud800"'), false],
    ['an unknown escape', json.replace('"a"', '"\\x"'), false],
    ['a short key', json.replace('00"', '"'), false],
    ['a short signature', json.replace(/\}$/, ',"signature":"00"}'), false],
    ['an address with no port', json.replace(/\}$/, ',"reflex_addr":"1.2.3.4"}'), false],
    ['nesting without end', json.replace('"version"', `"x":${'['.repeat(4000)}${']'.repeat(3000)},"version"`), false],
    ['a byte order mark', `\ufeff${json}`, false],
    ['too long', json.replace('"a"', `"${'a'.repeat(8108)}"`), false],
  ])('%s', (_name, payload, good) => {
    expect(decodes(payload)).toBe(good);
  });

  it('8108 bytes decode, 8109 do not', () => {
    const longest = json.replace('"a"', `"${'a'.repeat(8108 - json.length + 1)}"`);
    expect([longest.length, decodes(longest), decodes(longest.replace('"a', '"aa'))]).toEqual([8108, true, false]);
  });

  it.each([
    ['203.0.113.5:9000', '203.0.113.5:9000'],
    ['[2001:DB8:0:0:0:0:0:1]:1', '[2001:db8::1]:1'],
    ['[::]:0', '[::]:0'],
    ['[1:0:0:2:0:0:0:3]:1', '[1:0:0:2::3]:1'],
    ['[1:2:3:4:5:6:0:8]:1', '[1:2:3:4:5:6:0:8]:1'],
    ['[::ffff:1.2.3.4]:1', '[::ffff:1.2.3.4]:1'],
    ['[::ffff:102:304]:1', '[::ffff:1.2.3.4]:1'],
    ['[fe80::1%7]:65535', '[fe80::1%7]:65535'],
    ['1.2.3.4:65536', undefined],
    ['1.2.3:1', undefined],
    ['1.2.3.04:1', undefined],
    ['1.2.3.256:1', undefined],
    ['[1::2::3]:1', undefined],
    ['[1:2:3:4:5:6:7:8:9]:1', undefined],
    ['[1:2:3:4:5:6:7::8]:1', undefined],
    ['[1:2:3:4:5:6:7::]:1', '[1:2:3:4:5:6:7:0]:1'],
    ['[12345::]:1', undefined],
    ['::1:1', undefined],
    ['', undefined],
  ])('address %s', (input, canonical) => {
    expect(canonicalSocketAddress(input)).toBe(canonical);
  });
});

describe('order of tags', () => {
  it('is that of the UTF-8 bytes', () => {
    fc.assert(
      fc.property(wordy, wordy, (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
      }),
      { numRuns: 500 },
    );
  });
});

describe('what is announced', () => {
  it('wrong types are errors with a code, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            hardware: fc.anything(),
            software: fc.anything(),
            models: fc.anything(),
            tools: fc.anything(),
            tags: fc.anything(),
            limits: fc.anything(),
          },
          { requiredKeys: [] },
        ),
        (caps) => {
          try {
            const { tags } = projectCapabilities(caps as never);
            expect(tags).toEqual(sortedDistinct(tags));
          } catch (error) {
            expect(error).toBeInstanceOf(MeshringError);
            expect((error as MeshringError).kind).toBe('invalid-argument');
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    [
      { hardware: { gpu: { vramGb: 1 } } },
      'Missing field `model` on HardwareJs.gpu on CapabilitySetJs.hardware',
      'InvalidArg',
    ],
    [{ models: [{}] }, 'Missing field `modelId` on CapabilitySetJs.models', 'InvalidArg'],
    [{ hardware: { storageGb: 1.5 } }, /storageGb must be a bigint/, 'BigintExpected'],
    [{ software: { runtimes: [['python']] } }, /runtimes/, 'StringExpected'],
    [{ tags: 'prod' }, /tags must be an array/, 'ArrayExpected'],
    [null, /capabilities must be an object/, 'InvalidArg'],
  ])('%j', (caps, message, code) => {
    expect(() => projectCapabilities(caps as never)).toThrow(message);
    expect(() => projectCapabilities(caps as never)).toThrow(expect.objectContaining({ code }));
  });

  it('storage of any size, lone surrogates, metadata of one’s own', () => {
    const tagsOf = (storageGb: unknown) => projectCapabilities({ hardware: { storageGb } as never }).tags;
    expect([tagsOf(5), tagsOf(2n ** 64n - 1n), tagsOf(2n ** 64n), tagsOf(-1n)]).toEqual([
      ['hardware.storage_gb=5'],
      ['hardware.storage_gb=18446744073709551615'],
      [],
      [],
    ]);
    const wire = projectCapabilities({ tags: ['a\ud800'], metadata: { owner: 'me', 'tool::x::input_schema': 'no' } });
    expect(wire).toEqual({ tags: ['a\ufffd'], metadata: { owner: 'me' } });
  });
});
