import { describe, expect, it } from 'vitest';
import { channelHash, delegateToken, Identity, Token, type TokenScope } from '../../src/identity.js';
import { peerMissing, runPeer } from './python.js';

const SEEDS = ['11', '22', '33'].map((byte) => Buffer.from(byte.repeat(32), 'hex'));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe.skipIf(peerMissing)('identity with the published peer', () => {
  it('derives the same ids, signatures and channel hashes', () => {
    const channels = ['a', 'sensors/temp', 'x'.repeat(255)];
    const theirs = runPeer<{ ids: [string, string, string, string][]; hashes: string[] }>(
      `import net
ids = [net.Identity.from_seed(bytes.fromhex(s)) for s in given["seeds"]]
answer = {"ids": [[i.entity_id.hex(), str(i.node_id), str(i.origin_hash), i.sign(b"hello").hex()] for i in ids],
          "hashes": [str(net.channel_hash(c)) for c in given["channels"]]}`,
      { seeds: SEEDS.map(hex), channels },
    );
    const ours = SEEDS.map((seed) => Identity.fromSeed(seed));
    expect(theirs.ids).toEqual(
      ours.map((i) => [hex(i.entityId), `${i.nodeId}`, `${i.originHash}`, hex(i.sign(Buffer.from('hello')))]),
    );
    expect(theirs.hashes).toEqual(channels.map((name) => `${channelHash(name)}`));
  });

  it('tokens issued here are parsed, verified, installed and delegated there', () => {
    const [issuer, holder, third] = SEEDS.map((seed) => Identity.fromSeed(seed)) as [Identity, Identity, Identity];
    const scope: TokenScope[] = ['delegate', 'subscribe'];
    const token = issuer.issueToken({
      subject: holder.entityId,
      scope,
      channel: 'sensors/temp',
      ttlSeconds: 3600,
      delegationDepth: 2,
    });
    const theirs = runPeer<Record<string, never>>(
      `import net
token = bytes.fromhex(given["token"])
flipped = bytearray(token); flipped[64] ^= 1
holder = net.Identity.from_seed(bytes.fromhex(given["holder"]))
holder.install_token(token)
parsed = net.parse_token(token)
child = net.delegate_token(holder, token, bytes.fromhex(given["third"]), ["subscribe", "publish"])
answer = {"verify": net.verify_token(token), "flipped": net.verify_token(bytes(flipped)), "expired": net.token_is_expired(token),
  "scope": parsed["scope"], "hash": str(parsed["channel_hash"]), "depth": parsed["delegation_depth"],
  "nonce": str(parsed["nonce"]), "cached": holder.lookup_token(holder.entity_id, "sensors/temp").hex(), "child": child.hex()}`,
      { token: hex(token.bytes), holder: hex(holder.toBytes()), third: hex(third.entityId) },
    );
    expect(theirs).toMatchObject({
      verify: true,
      flipped: false,
      expired: false,
      scope: ['subscribe', 'delegate'],
      hash: `${channelHash('sensors/temp')}`,
      depth: 2,
      nonce: `${token.nonce}`,
      cached: hex(token.bytes),
    });
    const child = Token.parse(Buffer.from(String(theirs.child), 'hex'));
    expect(child.verify()).toBe(true);
    expect(hex(child.issuer)).toBe(hex(holder.entityId));
    expect([...child.scope]).toEqual(['subscribe']);
    expect([child.delegationDepth, child.notAfterSeconds]).toEqual([1, token.notAfterSeconds]);
  });

  it('tokens issued there are parsed, verified, installed and delegated here', () => {
    const [issuer, holder, third] = SEEDS.map((seed) => Identity.fromSeed(seed)) as [Identity, Identity, Identity];
    const theirs = runPeer<{ tokens: string[] }>(
      `import net
issuer = net.Identity.from_seed(bytes.fromhex(given["issuer"]))
subject = bytes.fromhex(given["subject"])
answer = {"tokens": [issuer.issue_token(subject, scope, "a/b", 600, 1).hex() for scope in (["publish"], ["subscribe", "delegate"])]}`,
      { issuer: hex(issuer.toBytes()), subject: hex(holder.entityId) },
    );
    const [publish, delegable] = theirs.tokens.map((text) => Token.parse(Buffer.from(text, 'hex'))) as [Token, Token];
    for (const token of [publish, delegable]) {
      expect([token.verify(), token.isExpired(), token.isValid(1)]).toEqual([true, false, true]);
      expect(hex(token.issuer)).toBe(hex(issuer.entityId));
      expect(token.channelHash).toBe(channelHash('a/b'));
      holder.installToken(token);
    }
    expect(holder.tokenCacheLen).toBe(2);
    const child = delegateToken(holder, delegable, third.entityId, ['subscribe']);
    expect(() => delegateToken(holder, publish, third.entityId, [])).toThrow('token: delegation_not_allowed');
    const verdict = runPeer<boolean[]>(
      `import net
child = bytes.fromhex(given)
answer = [net.verify_token(child), net.token_is_expired(child), net.parse_token(child)["delegation_depth"] == 0]`,
      hex(child.bytes),
    );
    expect(verdict).toEqual([true, false, true]);
  });

  it('errors have the same texts', () => {
    const theirs = runPeer<string[]>(
      `import net
me = net.Identity.from_seed(bytes.fromhex(given))
def text(call):
    try:
        call(); return "ok"
    except Exception as e:
        return str(e)
answer = [text(lambda: net.Identity.from_seed(b"123")), text(lambda: me.issue_token(b"1", ["publish"], "a", 1)),
  text(lambda: me.issue_token(me.entity_id, ["root"], "a", 1)), text(lambda: me.issue_token(me.entity_id, [], "A", 1)),
  text(lambda: me.issue_token(me.entity_id, [], "a", 0)), text(lambda: net.parse_token(b"1")), text(lambda: me.install_token(bytes(169)))]`,
      hex(SEEDS[0] as Buffer),
    );
    const me = Identity.fromSeed(SEEDS[0] as Buffer).toNapi();
    const text = (call: () => unknown) => {
      try {
        call();
        return 'ok';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const strip = (line: string) => line.replace(/^(identity|token): /, '');
    expect(theirs.map(strip)).toEqual(
      [
        text(() => Identity.fromSeed(Buffer.from('123'))),
        text(() => me.issueToken(Buffer.from('1'), ['publish'], 'a', 1, 0)),
        text(() => me.issueToken(me.entityId, ['root'], 'a', 1, 0)),
        text(() => me.issueToken(me.entityId, [], 'A', 1, 0)),
        text(() => me.issueToken(me.entityId, [], 'a', 0, 0)),
        text(() => Token.parse(Buffer.from('1'))),
        text(() => me.installToken(Buffer.alloc(169))),
      ].map(strip),
    );
  });
});
