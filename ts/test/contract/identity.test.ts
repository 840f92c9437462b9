import { describe, expect, it } from 'vitest';
import { publishStreamId, wireChannelHash } from '../../src/channels/index.js';
import * as core from '../../src/core.js';
import { publicKeyOf, signWith, verifySignature } from '../../src/identity/ed25519.js';
import { noblePublicKey, nobleSign, nobleVerify } from '../../src/identity/ed25519-noble.js';
import { encodeToken } from '../../src/identity/index.js';
import {
  channelHash,
  delegateToken,
  Identity,
  IdentityError,
  Token,
  TokenError,
  type TokenScope,
} from '../../src/identity.js';
import names from '../vectors/channels-names.json';
import delegation from '../vectors/identity-delegation.json';
import keys from '../vectors/identity-keys.json';
import tokens from '../vectors/identity-tokens.json';

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (view: Uint8Array) => Array.from(view, (b) => b.toString(16).padStart(2, '0')).join('');
/** Text of what a call throws, or `ok`. */
function outcome(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe('keys', () => {
  it.each(keys.keys)('seed $seed gives the recorded ids and signatures, by Rust and by TypeScript', (key) => {
    const seed = bytes(key.seed);
    const identity = Identity.fromSeed(seed);
    expect(hex(identity.entityId)).toBe(key.entityId);
    expect(identity.originHash).toBe(BigInt(key.originHash));
    expect(identity.nodeId).toBe(BigInt(key.nodeId));
    expect(hex(identity.toBytes())).toBe(key.seed);
    expect(hex(noblePublicKey(seed))).toBe(key.entityId);
    for (const { message, signature } of key.signatures) {
      expect(hex(identity.sign(bytes(message)))).toBe(signature);
      expect(hex(nobleSign(seed, bytes(message)))).toBe(signature);
      expect(Identity.verify(identity.entityId, bytes(message), bytes(signature))).toBe(true);
      expect(nobleVerify(identity.entityId, bytes(message), bytes(signature))).toBe(true);
    }
  });

  it('two generated identities differ', () => {
    const [a, b] = [Identity.generate(), Identity.generate()];
    expect(hex(a.entityId)).not.toBe(hex(b.entityId));
    expect(Identity.verify(a.entityId, bytes('00'), a.sign(bytes('00')))).toBe(true);
    expect(Identity.verify(b.entityId, bytes('00'), a.sign(bytes('00')))).toBe(false);
  });

  it('the seed shows neither in JSON nor in text', () => {
    const identity = Identity.fromSeed(new Uint8Array(32).fill(7));
    for (const text of [JSON.stringify(identity), String(identity), JSON.stringify(identity.toNapi())]) {
      expect(text).not.toMatch(/0707070707|7,7,7,7/);
    }
  });

  it('refuses seeds of other lengths and other types', () => {
    for (const length of [0, 31, 33]) {
      const error = (() => {
        try {
          Identity.fromSeed(new Uint8Array(length));
        } catch (caught) {
          return caught;
        }
        return undefined;
      })();
      expect(error).toBeInstanceOf(IdentityError);
      expect(error).toMatchObject({ name: 'IdentityError', message: `seed must be 32 bytes, got ${length}` });
    }
    expect(() => core.Identity.fromSeed(new Uint8Array(3))).toThrow('identity: seed must be 32 bytes, got 3');
    expect(() => Identity.fromSeed('01'.repeat(16) as never)).toThrow(expect.objectContaining({ code: 'InvalidArg' }));
  });
});

describe('strict verification: Rust and TypeScript give the same answer', () => {
  const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
  const P = 2n ** 255n - 19n;
  const le = (value: bigint) => Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  const both = (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => {
    const answer = verifySignature(key, message, signature);
    expect(nobleVerify(key, message, signature)).toBe(answer);
    return answer;
  };
  const seed = new Uint8Array(32).fill(9);
  const key = publicKeyOf(seed);
  const message = bytes('68656c6c6f');
  const signature = new Uint8Array(signWith(seed, message));

  it('accepts the genuine one, refuses every flipped bit of it', () => {
    expect(both(key, message, signature)).toBe(true);
    for (let bit = 0; bit < 512; bit += 7) {
      const flipped = signature.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(both(key, message, flipped)).toBe(false);
    }
  });

  it('refuses a scalar that was malleated by the group order', () => {
    let s = 0n;
    for (let i = 31; i >= 0; i--) s = (s << 8n) | BigInt(signature[32 + i] ?? 0);
    const malleated = signature.slice();
    malleated.set(le(s + ORDER), 32);
    expect(both(key, message, malleated)).toBe(false);
  });

  it('refuses points of small order, also in encodings that are not canonical', () => {
    const small = [
      le(0n),
      le(1n),
      le(P - 1n),
      le(P),
      le(P + 1n),
      le(1n | (1n << 255n)),
      bytes('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
      bytes('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'),
    ];
    for (const point of small) {
      for (const r of [...small, signature.slice(0, 32)]) {
        const forged = new Uint8Array(64);
        forged.set(r);
        expect(both(point, message, forged)).toBe(false);
        expect(both(key, message, forged)).toBe(false);
      }
    }
  });

  it('refuses wrong lengths without an exception', () => {
    expect(both(key.slice(1), message, signature)).toBe(false);
    expect(both(key, message, signature.slice(1))).toBe(false);
    expect(both(new Uint8Array(), message, new Uint8Array())).toBe(false);
  });
});

describe('tokens', () => {
  it.each(tokens.valid)('scope $scopeBits on $channel: the same 169 bytes, the same parsed view', (vector) => {
    const issuer = core.Identity.fromSeed(bytes(vector.issuerSeed));
    const made = encodeToken(
      {
        issuer: issuer.entityId,
        subject: Identity.fromSeed(bytes(vector.subjectSeed)).entityId,
        scopeBits: vector.scopeBits,
        channelHash: BigInt(vector.channelHash),
        generation: vector.issuerGeneration,
        notBefore: BigInt(vector.notBefore),
        notAfter: BigInt(vector.notAfter),
        depth: vector.delegationDepth,
        nonce: BigInt(vector.nonce),
      },
      (message) => issuer.sign(message),
    );
    expect(hex(made)).toBe(vector.bytes);
    if (vector.channel !== null) expect(channelHash(vector.channel)).toBe(BigInt(vector.channelHash));

    const view = core.parseToken(bytes(vector.bytes));
    expect(view).toMatchObject({
      scope: vector.parse.scope,
      channelHash: BigInt(vector.parse.channelHash),
      notBefore: BigInt(vector.parse.notBefore),
      notAfter: BigInt(vector.parse.notAfter),
      delegationDepth: vector.parse.delegationDepth,
      nonce: BigInt(vector.parse.nonce),
    });
    expect(hex(view.issuer)).toBe(vector.parse.issuer);
    expect(hex(view.subject)).toBe(vector.parse.subject);
    expect(core.verifyToken(bytes(vector.bytes))).toBe(vector.verify);
    expect(core.tokenIsExpired(bytes(vector.bytes))).toBe(vector.isExpiredAtGeneration);

    const token = Token.parse(bytes(vector.bytes));
    expect([...token.scope]).toEqual(vector.parse.scope);
    expect(token.notAfterSeconds).toBe(BigInt(vector.notAfter));
    expect(token.issuerGeneration).toBe(vector.issuerGeneration);
    expect(token.wildcard).toBe((vector.scopeBits & 16) !== 0);
    expect(token.verify()).toBe(true);
    expect(hex(token.toBuffer())).toBe(vector.bytes);
  });

  it.each(tokens.rejected)('$name: the recorded texts', (vector) => {
    const raw = bytes(vector.bytes);
    expect(outcome(() => core.parseToken(raw))).toBe(vector.parse);
    if (typeof vector.verify === 'boolean') expect(core.verifyToken(raw)).toBe(vector.verify);
    else expect(outcome(() => core.verifyToken(raw))).toBe(vector.verify);
    const holder = Identity.generate();
    expect(outcome(() => holder.installToken(raw))).toBe(vector.install);
    expect(holder.tokenCacheLen).toBe(0);
  });

  it('a life of 0 seconds, fractions and negative numbers are refused', () => {
    const issuer = Identity.generate();
    const issue = (ttlSeconds: number) =>
      issuer.issueToken({ subject: issuer.entityId, scope: ['publish'], channel: 'a', ttlSeconds });
    expect(() => issue(0)).toThrow(
      expect.objectContaining({
        name: 'TokenError',
        kind: 'invalid_format',
        code: 'zero_ttl',
        message: 'token: zero_ttl',
      }),
    );
    for (const ttl of [-1, 1.7, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => issue(ttl)).toThrow(IdentityError);
    }
    expect(issue(2 ** 32 - 1).remainingSeconds()).toBeGreaterThan(2 ** 32 - 10);
  });

  it('checks arguments in the documented order', () => {
    const issuer = Identity.generate();
    const all = { subject: new Uint8Array(3) as Buffer, scope: ['root' as TokenScope], channel: 'A', ttlSeconds: 0 };
    const subject = issuer.entityId;
    expect(outcome(() => issuer.issueToken(all))).toBe('unknown scope "root"');
    expect(outcome(() => issuer.issueToken({ ...all, scope: [] }))).toBe('entity_id must be 32 bytes, got 3');
    expect(outcome(() => issuer.issueToken({ ...all, scope: [], subject }))).toMatch(/^invalid channel name: /);
    expect(outcome(() => issuer.issueToken({ ...all, scope: [], subject, channel: 'a' }))).toBe('token: zero_ttl');
  });

  it('is an independent copy of what was parsed', () => {
    const issuer = Identity.generate();
    const token = issuer.issueToken({ subject: issuer.entityId, scope: ['publish'], channel: 'a', ttlSeconds: 60 });
    const raw = new Uint8Array(token.bytes);
    const parsed = Token.parse(raw);
    raw.fill(0);
    expect(parsed.verify()).toBe(true);
    expect(parsed.isValid()).toBe(true);
    expect(JSON.stringify(parsed)).not.toContain(hex(token.bytes).slice(-64));
  });
});

describe('delegation', () => {
  it.each(delegation.cases)('$name', (vector) => {
    const signer = Identity.fromSeed(bytes(vector.signerSeed));
    const call = () =>
      delegateToken(
        signer,
        bytes(vector.parentBytes),
        bytes(vector.newSubject),
        vector.restrictedScope as TokenScope[],
      );
    const result = vector.result as { error?: string; scope: string[]; [field: string]: unknown };
    if (result.error !== undefined) {
      expect(call).toThrow(expect.objectContaining({ name: 'TokenError', message: result.error }));
      return;
    }
    const child = call();
    expect(hex(child.issuer)).toBe(result.issuer);
    expect(hex(child.subject)).toBe(result.subject);
    expect([...child.scope]).toEqual(result.scope);
    expect(child.channelHash).toBe(BigInt(String(result.channelHash)));
    expect(child.notAfterSeconds).toBe(BigInt(String(result.notAfter)));
    expect(child.delegationDepth).toBe(result.delegationDepth);
    expect(child.issuerGeneration).toBe(result.issuerGeneration);
    expect(new DataView(new Uint8Array(child.bytes).buffer).getUint32(64, true)).toBe(result.rawScopeBits);
    expect(child.verify()).toBe(result.verify);
  });

  it('an unknown scope is an IdentityError with the core text', () => {
    const signer = Identity.generate();
    const parent = signer.issueToken({ subject: signer.entityId, scope: ['delegate'], channel: 'a', ttlSeconds: 9 });
    expect(() => delegateToken(signer, parent, signer.entityId, ['root' as TokenScope])).toThrow(
      expect.objectContaining({
        name: 'IdentityError',
        kind: 'unknown-scope',
        message: 'unknown scope "root"; expected publish | subscribe | admin | delegate',
      }),
    );
    expect(() => delegateToken(signer, new Uint8Array(3), signer.entityId, [])).toThrow(TokenError);
  });
});

describe('channel names', () => {
  it.each(names.names)('$name', (vector) => {
    const entry = vector as {
      name: string;
      valid: boolean;
      error?: string;
      hash?: string;
      wireHash16?: number;
      publishStreamId?: string;
    };
    if (!entry.valid) {
      expect(() => channelHash(entry.name)).toThrow(
        expect.objectContaining({ kind: 'invalid-channel-name', message: `invalid channel name: ${entry.error}` }),
      );
      return;
    }
    const hash = channelHash(entry.name);
    expect(hash).toBe(BigInt(entry.hash ?? 0));
    expect(wireChannelHash(hash)).toBe(entry.wireHash16);
    expect(publishStreamId(hash)).toBe(BigInt(entry.publishStreamId ?? 0));
  });
});
