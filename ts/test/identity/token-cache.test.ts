import { describe, expect, it } from 'vitest';
import {
  coreIdentity,
  type DecodedToken,
  decodeToken,
  encodeToken,
  isTrustedIssuer,
  MAX_SLOTS,
  MAX_TOKENS_PER_SLOT,
  TokenCache,
  type TokenFields,
} from '../../src/identity/index.js';

const seed = (n: number) => new Uint8Array(32).fill(n);
const owner = coreIdentity.Identity.fromSeed(seed(1));
const alice = coreIdentity.Identity.fromSeed(seed(2));
const bob = coreIdentity.Identity.fromSeed(seed(3));
const CHANNEL = 77n;
const SUBSCRIBE = 2;

function token(issuer: coreIdentity.Identity, fields: Partial<TokenFields> = {}): DecodedToken {
  return decodeToken(
    encodeToken(
      {
        issuer: issuer.entityId,
        subject: alice.entityId,
        scopeBits: SUBSCRIBE,
        channelHash: CHANNEL,
        generation: 0,
        notBefore: 1000n,
        notAfter: 2000n,
        depth: 0,
        nonce: 1n,
        ...fields,
      },
      (message) => issuer.sign(message),
    ),
  );
}

const at = (seconds: bigint, skewSeconds = 0) => new TokenCache({ clock: () => seconds, skewSeconds });

describe('life of a token', () => {
  it.each([
    [999n, 0, false],
    [1000n, 0, true],
    [1999n, 0, true],
    [2000n, 0, false],
    [939n, 60, false],
    [940n, 60, true],
    [2059n, 60, true],
    [2060n, 60, false],
  ])('at %s with a tolerance of %s s: %s', (now, skew, good) => {
    const cache = at(now, skew);
    expect(cache.insert(token(owner))).toBe(true);
    expect(cache.check(alice.entityId, SUBSCRIBE, CHANNEL) !== undefined).toBe(good);
  });

  it('expired tokens stay until they are evicted', () => {
    let now = 1500n;
    const cache = new TokenCache({ clock: () => now });
    cache.insert(token(owner));
    cache.insert(token(owner, { scopeBits: 1, notAfter: 3000n }));
    now = 2000n;
    expect(cache.length).toBe(2);
    expect(cache.evictExpired()).toBe(1);
    expect(cache.length).toBe(1);
    now = 3000n;
    expect(cache.evictExpired()).toBe(1);
    expect([cache.length, cache.evictExpired()]).toEqual([0, 0]);
  });
});

describe('what a token allows', () => {
  it('only its subject, its action, its channel', () => {
    const cache = at(1500n);
    cache.insert(token(owner));
    expect(cache.check(alice.entityId, SUBSCRIBE, CHANNEL)).toBeDefined();
    expect(cache.check(bob.entityId, SUBSCRIBE, CHANNEL)).toBeUndefined();
    expect(cache.check(alice.entityId, 1, CHANNEL)).toBeUndefined();
    expect(cache.check(alice.entityId, 3, CHANNEL)).toBeUndefined();
    expect(cache.check(alice.entityId, 0, CHANNEL)).toBeUndefined();
    expect(cache.check(alice.entityId, SUBSCRIBE, 78n)).toBeUndefined();
  });

  it('a channel hash of 0 is an ordinary channel; only the wildcard bit is good for all', () => {
    const zero = at(1500n);
    zero.insert(token(owner, { channelHash: 0n }));
    expect(zero.check(alice.entityId, SUBSCRIBE, CHANNEL)).toBeUndefined();
    expect(zero.check(alice.entityId, SUBSCRIBE, 0n)).toBeDefined();
    const wild = at(1500n);
    wild.insert(token(owner, { scopeBits: SUBSCRIBE | 16, channelHash: 5n }));
    expect(wild.check(alice.entityId, SUBSCRIBE, CHANNEL)).toBeDefined();
    expect(wild.lookup(alice.entityId, CHANNEL)).toBeUndefined();
  });

  it('a generation below the floor of its issuer no longer; floors never fall', () => {
    const cache = at(1500n);
    cache.insert(token(owner, { generation: 4 }));
    cache.revokeBelow(owner.entityId, 4);
    expect(cache.check(alice.entityId, SUBSCRIBE, CHANNEL)).toBeDefined();
    cache.revokeBelow(owner.entityId, 5);
    cache.revokeBelow(owner.entityId, 1);
    expect(cache.check(alice.entityId, SUBSCRIBE, CHANNEL)).toBeUndefined();
  });

  it('a bad token never hides a good one', () => {
    const cache = at(1500n);
    cache.insert(token(owner, { scopeBits: 3, notAfter: 1200n }));
    cache.insert(token(owner));
    expect(cache.check(alice.entityId, SUBSCRIBE, CHANNEL)?.scopeBits).toBe(SUBSCRIBE);
    expect(cache.lookup(alice.entityId, CHANNEL)?.scopeBits).toBe(SUBSCRIBE);
  });
});

describe('bounds', () => {
  it('a slot keeps 32 scopes, refreshes in place, and drops the 33rd', () => {
    const cache = at(1500n);
    for (let i = 1; i <= 33; i++) cache.insert(token(owner, { scopeBits: i << 5 }));
    expect(cache.length).toBe(MAX_TOKENS_PER_SLOT);
    cache.insert(token(owner, { scopeBits: 1 << 5, nonce: 9n, notAfter: 1600n }));
    expect(cache.length).toBe(MAX_TOKENS_PER_SLOT);
    expect(cache.lookup(alice.entityId, CHANNEL)?.nonce).toBe(9n);
  });

  it('a wrong signature is not stored', () => {
    const forged = token(owner);
    const cache = at(1500n);
    expect(cache.insert(decodeToken(forged.bytes.slice().fill(1, 64, 65)))).toBe(false);
    expect(cache.length).toBe(0);
  });

  it('new slots beyond the limit are dropped, existing ones refreshed', { timeout: 300_000 }, () => {
    const maxSlots = process.env.MESHRING_SOAK ? MAX_SLOTS : 256;
    const cache = new TokenCache({ clock: () => 1500n, maxSlots });
    for (let i = 0; i <= maxSlots; i++) cache.insert(token(owner, { channelHash: BigInt(i) }));
    expect(cache.length).toBe(maxSlots);
    cache.insert(token(owner, { channelHash: 0n, nonce: 8n }));
    expect(cache.length).toBe(maxSlots);
    expect(cache.lookup(alice.entityId, 0n)?.nonce).toBe(8n);
  });
});

describe('issuer rule', () => {
  const presented = token(bob, { notAfter: 1900n });

  it('trusts the owner and a list, and anyone only when asked to', () => {
    const cache = at(1500n);
    expect(isTrustedIssuer(token(owner), owner.entityId, 'owner', cache)).toBe(true);
    expect(isTrustedIssuer(presented, owner.entityId, 'owner', cache)).toBe(false);
    expect(isTrustedIssuer(token(alice), owner.entityId, 'owner', cache)).toBe(false);
    expect(isTrustedIssuer(presented, owner.entityId, [bob.entityId], cache)).toBe(true);
    expect(isTrustedIssuer(presented, owner.entityId, 'any', cache)).toBe(true);
  });

  const parent: Partial<TokenFields> = { subject: bob.entityId, scopeBits: SUBSCRIBE | 8, depth: 1, notAfter: 1900n };
  it.each([
    ['a delegation by the owner', parent, true],
    ['one for every channel', { ...parent, scopeBits: SUBSCRIBE | 8 | 16, channelHash: 1n }, true],
    ['one on another channel', { ...parent, channelHash: 1n }, false],
    ['one without the delegate scope', { ...parent, scopeBits: SUBSCRIBE }, false],
    ['one without depth', { ...parent, depth: 0 }, false],
    ['one of another generation', { ...parent, generation: 1 }, false],
    ['one that ends before the child', { ...parent, notAfter: 1899n }, false],
    ['one that is not valid yet', { ...parent, notBefore: 1501n }, false],
  ])('%s', (_name, fields, trusted) => {
    const cache = at(1500n);
    cache.insert(token(owner, fields));
    expect(isTrustedIssuer(presented, owner.entityId, 'owner', cache)).toBe(trusted);
  });

  it('follows several steps, and ends on circles', () => {
    const cache = at(1500n);
    const carol = coreIdentity.Identity.fromSeed(seed(4));
    cache.insert(token(carol, { ...parent, depth: 1 }));
    cache.insert(token(bob, { ...parent, subject: carol.entityId, depth: 1 }));
    expect(isTrustedIssuer(presented, owner.entityId, 'owner', cache)).toBe(false);
    cache.insert(token(owner, { ...parent, subject: carol.entityId, depth: 2 }));
    expect(isTrustedIssuer(presented, owner.entityId, 'owner', cache)).toBe(true);
  });
});
