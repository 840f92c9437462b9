/** Small stories on the simulated network: each would wait for a renewal, or for ever, if something were forgotten. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ANNOUNCEMENT_SUBPROTOCOL, encodeAnnouncement, signAnnouncement } from '../../../src/capabilities/index.js';
import { Identity } from '../../../src/identity.js';
import { Network, type SimNode } from './network.js';
import { VirtualTime } from './virtual-time.js';

let time: VirtualTime;
let network: Network;

beforeEach(() => {
  time = new VirtualTime();
  time.install();
  network = new Network(1, time);
  network.plainShare = 0;
});

afterEach(() => {
  for (const node of network.nodes) node.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function node(name: number, ttlSecs = 300): SimNode {
  const made = network.join(name, 0);
  void made.control.announce({ tags: [`n${name}`] }, { ttlSecs });
  return made;
}

const sees = (one: SimNode, other: SimNode) =>
  one.control.findNodes({ requireTags: [`n${other.name}`] }).includes(other.nodeId);

function link(a: SimNode, b: SimNode) {
  network.link(a, b);
  const made = a.links.get(b.nodeId);
  if (!made) throw new Error('no link');
  return made;
}

describe('who was known', () => {
  it('is found over another peer again after a session ends, as soon as announcements may be broadcast', async () => {
    const [a, b, c] = [node(1), node(2), node(3)];
    const direct = link(a, b);
    link(a, c);
    link(c, b);
    await time.pass(20_000);
    expect(sees(b, a)).toBe(true);
    network.end(direct);
    expect(sees(b, a)).toBe(false);
    await time.pass(1000);
    expect([sees(b, a), sees(a, b)]).toEqual([true, true]);
  });

  it('is known to whoever comes later, be they thousands', async () => {
    const [hub, source, late] = [node(1), node(2), node(3)];
    link(hub, source);
    const seed = new Uint8Array(32);
    for (let n = 0; n < 2500; n++) {
      new DataView(seed.buffer).setUint32(0, 1000 + n);
      const identity = Identity.fromSeed(seed);
      const { nodeId, entityId } = identity;
      const timestampNs = BigInt(Date.now()) * 1_000_000n;
      const about = {
        nodeId,
        entityId,
        version: 1n,
        timestampNs,
        ttlSecs: 300,
        tags: ['far'],
        metadata: new Map(),
        hopCount: 0,
      };
      const bytes = encodeAnnouncement({ ...signAnnouncement(about, identity), hopCount: 1 });
      source.sendMessage(hub.nodeId, ANNOUNCEMENT_SUBPROTOCOL, bytes);
      if (n % 500 === 0) await time.pass(500);
    }
    await time.pass(1000);
    expect(hub.control.stats()).toMatchObject({ nodesIndexed: 2502, announcementsDropped: 0 });
    link(late, hub);
    await time.pass(5000);
    expect(late.control.stats()).toMatchObject({ nodesIndexed: 2503, announcementsDropped: 0 });
  });

  it('is known as it is now after a silence that was longer than its announcement lives', async () => {
    const [a, b, c] = [node(1, 60), node(2, 60), node(3, 60)];
    const silent = link(a, b);
    link(b, c);
    await time.pass(1000);
    network.cut(silent);
    await time.pass(300_000);
    expect([sees(b, a), sees(c, a), sees(a, b), sees(a, c)]).toEqual([false, false, false, false]);
    void a.control.announce({ tags: ['n1', 'changed'] }, { ttlSecs: 60 });
    network.mend(silent);
    await time.pass(2000);
    expect([sees(b, a), sees(c, a), sees(a, b), sees(a, c)]).toEqual([true, true, true, true]);
    expect(c.control.findNodes({ requireTags: ['changed'] })).toEqual([a.nodeId]);
  });

  it('is known with what it says after a restart, also far away', async () => {
    const [a, b, c] = [node(1), node(2), node(3)];
    link(a, b);
    link(b, c);
    await time.pass(1000);
    for (const goodbye of [false, true]) {
      const old = network.nodes.find(({ name }) => name === 1) as SimNode;
      network.leave(old, goodbye);
      await time.pass(100);
      const back = network.join(1, 0);
      void back.control.announce({ tags: ['n1', `again ${goodbye}`] });
      link(back, b);
      await time.pass(1000);
      for (const other of [b, c]) {
        expect(other.control.findNodes({ requireTags: [`again ${goodbye}`] })).toEqual([a.nodeId]);
      }
    }
  });

  it('stays known while another peer floods: 2000 announcements a second are looked at, the others counted', async () => {
    const [victim, flooder, friend] = [node(1), node(2), node(3)];
    link(victim, flooder);
    link(victim, friend);
    await time.pass(1000);
    const { nodeId, entityId } = flooder.identity;
    const about = {
      nodeId,
      entityId,
      version: 1n,
      timestampNs: 1n,
      ttlSecs: 300,
      tags: ['x'],
      metadata: new Map(),
      hopCount: 0,
    };
    // Copies of what was seen cost little and are not counted, unless they are too many.
    const copy = encodeAnnouncement(signAnnouncement(about, flooder.identity));
    const ROUNDS = 50;
    for (let n = 0; n < ROUNDS; n++) {
      for (let i = 0; i < 400; i++) flooder.sendMessage(victim.nodeId, ANNOUNCEMENT_SUBPROTOCOL, copy);
      await time.pass(10);
    }
    void friend.control.announce({ tags: ['n3', 'again'] });
    await time.pass(12_000);
    // 2000 at once and as many a second for half a second.
    expect(victim.control.stats().announcementsDropped).toBeGreaterThan(ROUNDS * 400 - 3500);
    expect(victim.control.stats().announcementsDropped).toBeLessThan(ROUNDS * 400 - 2500);
    expect(victim.control.findNodes({ requireTags: ['again'] })).toEqual([friend.nodeId]);
    expect(victim.control.stats().nodesIndexed).toBe(3);
  });

  it('is known to peers that acknowledge nothing, in spite of loss', async () => {
    network.plainShare = 1;
    network.loss = 0.1;
    const line = Array.from({ length: 12 }, (_, n) => node(n));
    for (const [n, one] of line.slice(1).entries()) link(line[n] as SimNode, one);
    await time.pass(60_000);
    for (const one of line) expect(line.filter((other) => !sees(one, other))).toEqual([]);
  });
});
