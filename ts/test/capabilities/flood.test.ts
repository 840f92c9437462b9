import { afterEach, describe, expect, it } from 'vitest';
import { ANNOUNCEMENT_SUBPROTOCOL, encodeAnnouncement, signAnnouncement } from '../../src/capabilities/index.js';
import { encodeMembership, MAX_CHANNELS_PER_PEER, MEMBERSHIP_SUBPROTOCOL } from '../../src/channels/index.js';
import { Identity } from '../../src/identity.js';
import { Nodes, until } from '../mesh/nodes.js';

/** Announcements of made-up nodes, as if they had been passed on. */
function strangers(count: number): Uint8Array[] {
  const seed = new Uint8Array(32);
  return Array.from({ length: count }, (_, n) => {
    new DataView(seed.buffer).setUint32(0, n + 1);
    const identity = Identity.fromSeed(seed);
    const about = {
      nodeId: identity.nodeId,
      entityId: identity.entityId,
      version: 1n,
      timestampNs: BigInt(Date.now()) * 1_000_000n,
      ttlSecs: 300,
      tags: ['stranger', `n${n}`],
      metadata: new Map(),
      hopCount: 0,
    };
    return encodeAnnouncement({ ...signAnnouncement(about, identity), hopCount: 1 });
  });
}

const ROUNDS = 20;

describe.each(['addon', 'wasm'] as const)('a peer that floods a node on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  it('with announcements and subscriptions fills only its own share, and others go on', {
    timeout: 60_000,
  }, async () => {
    const [victim, friend] = await nodes.pair();
    const attacker = await nodes.make();
    await nodes.join(attacker, victim);
    const id = victim.nodeId();
    const { core } = await nodes.below(attacker);
    const flood = strangers(500);
    const names = Array.from({ length: MAX_CHANNELS_PER_PEER + 200 }, (_, n) => `c/${n}`);
    for (const name of ['a', ...names]) victim.registerChannel({ name });
    await friend.subscribeChannel(id, 'a');
    const messages = friend.subscribe('a');
    const stats = () => victim.stats() as Record<string, number>;

    let nonce = 0n;
    let round = 0;
    const yields = () => new Promise((resolve) => setImmediate(resolve));
    const attack = async () => {
      while (round < ROUNDS) {
        for (const bytes of flood) core.sendMessage(id, ANNOUNCEMENT_SUBPROTOCOL, bytes);
        await yields();
        for (const channel of names) {
          const message = encodeMembership({ type: 'subscribe', nonce: nonce++, channel });
          core.sendMessage(id, MEMBERSHIP_SUBPROTOCOL, message);
          if (nonce % 100n === 0n) await yields();
        }
      }
    };
    // In between, everything works for somebody else.
    const attacking = attack();
    for (; round < ROUNDS; round++) {
      if (round === 3) await friend.announceCapabilities({ tags: ['friend'] });
      expect((await victim.publish('a', Buffer.from(`${round}`), { reliability: 'reliable' })).delivered).toBe(1);
      const { value } = await messages.next();
      expect(`${value?.payload}`).toBe(`${round}`);
    }
    await attacking;
    await until(() => victim.findNodes({ requireTags: ['friend'] }).length === 1);
    expect(stats().nodesIndexed).toBeLessThanOrEqual(flood.length + 1);
    await until(() => names.some((name) => victim.subscribers(name).length > 0));
    const joined = names.filter((name) => victim.subscribers(name).length > 0);
    expect(joined.length).toBeLessThanOrEqual(MAX_CHANNELS_PER_PEER);
    // Whoever it was is still served when the flood is over.
    const channel = joined[0] as string;
    expect((await victim.publish(channel, Buffer.from('x'))).delivered).toBe(1);
  });
});
