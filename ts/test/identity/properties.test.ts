import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { decodeToken, encodeToken, hasValidSignature } from '../../src/identity/index.js';
import { delegateToken, Identity, Token, TokenError } from '../../src/identity.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const key = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('token bytes', () => {
  it('encode, decode, encode is the identity', () => {
    fc.assert(
      fc.property(
        key,
        key,
        u32,
        u64,
        u32,
        u64,
        u64,
        fc.nat(255),
        u64,
        (seed, subject, scopeBits, channelHash, generation, notBefore, notAfter, depth, nonce) => {
          const issuer = Identity.fromSeed(seed);
          const fields = {
            issuer: new Uint8Array(issuer.entityId),
            subject,
            scopeBits,
            channelHash,
            generation,
            notBefore,
            notAfter,
            depth,
            nonce,
          };
          const bytes = encodeToken(fields, (message) => issuer.sign(message));
          const decoded = decodeToken(bytes);
          expect(decoded).toMatchObject(fields);
          expect(hasValidSignature(decoded)).toBe(true);
          expect(Buffer.from(encodeToken(decoded, (message) => issuer.sign(message)))).toEqual(Buffer.from(bytes));
        },
      ),
      { numRuns: 50 },
    );
  });

  it('any flipped bit makes the signature wrong', () => {
    const issuer = Identity.generate();
    const { bytes } = issuer.issueToken({ subject: issuer.entityId, scope: ['admin'], channel: 'a', ttlSeconds: 60 });
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Uint8Array.from(bytes, (byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(Token.parse(flipped).verify()).toBe(false);
    }
  });

  it('arbitrary bytes parse or give invalid_format, nothing else', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ minLength: 169, maxLength: 169 })),
        (bytes) => {
          try {
            const token = Token.parse(bytes);
            expect(bytes.length).toBe(169);
            expect(token.verify()).toBe(false);
            expect(typeof token.isExpired()).toBe('boolean');
            JSON.stringify(token);
          } catch (error) {
            expect(error).toBeInstanceOf(TokenError);
            expect(error).toMatchObject({ kind: 'invalid_format' });
          }
        },
      ),
    );
  });
});

describe('secrets', () => {
  it('show in no rendering', () => {
    const seed = Buffer.from('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 'hex');
    const identity = Identity.fromSeed(seed);
    const token = identity.issueToken({ subject: identity.entityId, scope: ['publish'], channel: 'a', ttlSeconds: 60 });
    const shown = [identity, identity.toNapi(), token, { identity, token }].flatMap((value) => [
      inspect(value, { depth: 9, showHidden: true }),
      JSON.stringify(value),
    ]);
    for (const text of shown) {
      expect(text).not.toMatch(/00112233|00 11 22 33|0, 17, 34, 51/);
      expect(text).not.toContain(token.bytes.subarray(105).toString('hex').slice(0, 16));
    }
  });
});

describe('clock', () => {
  it('a token lives exactly its seconds; a child ends with its parent', () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 });
    try {
      const [a, b] = [Identity.generate(), Identity.generate()];
      const parent = a.issueToken({
        subject: b.entityId,
        scope: ['subscribe', 'delegate'],
        channel: 'a',
        ttlSeconds: 10,
        delegationDepth: 2,
      });
      expect(parent.notBefore).toEqual(new Date(1_800_000_000_000));
      vi.setSystemTime(1_800_000_004_999);
      const child = delegateToken(b, parent, a.entityId, ['subscribe']);
      expect(child.notBeforeSeconds).toBe(1_800_000_004n);
      expect(child.notAfterSeconds).toBe(parent.notAfterSeconds);
      vi.setSystemTime(1_800_000_009_999);
      expect([parent.isExpired(), parent.isValid(), parent.remainingSeconds()]).toEqual([false, true, 1]);
      vi.setSystemTime(1_800_000_010_000);
      expect([parent.isExpired(), parent.isValid(), parent.verify()]).toEqual([true, false, true]);
      expect(parent.isValid(60)).toBe(true);
      expect(() => delegateToken(b, parent, a.entityId, [])).toThrow(expect.objectContaining({ kind: 'expired' }));
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("an identity's own cache", () => {
  it('holds what was installed, not what was issued; wrappers of one core identity share it', () => {
    const [issuer, holder] = [Identity.generate(), Identity.generate()];
    const token = issuer.issueToken({ subject: holder.entityId, scope: ['publish'], channel: 'a/b', ttlSeconds: 60 });
    expect([issuer.tokenCacheLen, holder.lookupToken(holder.entityId, 'a/b')]).toEqual([0, null]);
    holder.installToken(token);
    const twin = Identity.fromNapi(holder.toNapi());
    expect(twin.tokenCacheLen).toBe(1);
    expect(twin.lookupToken(holder.entityId, 'a/b')?.bytes).toEqual(token.bytes);
    expect(twin.lookupToken(issuer.entityId, 'a/b')).toBeNull();
  });

  it('has public bytes as Buffer in Node', () => {
    const identity = Identity.generate();
    for (const bytes of [identity.entityId, identity.toBytes(), identity.sign(Buffer.from('x'))]) {
      expect(Buffer.isBuffer(bytes)).toBe(true);
    }
  });
});
