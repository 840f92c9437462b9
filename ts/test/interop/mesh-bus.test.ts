/** The mesh transport of the bus with the published peer at the other end, in either role. */
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { generateNetKeypair } from '../../src/core.js';
import { NetNode } from '../../src/node.js';
import type { MeshOptions, StoredEvent } from '../../src/types.js';
import { LivePeer } from './live-peer.js';
import { peerMissing } from './python.js';

const PSK = '6b'.repeat(32);
const keys = generateNetKeypair();

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

type Reliability = NonNullable<MeshOptions['reliability']>;

interface Link {
  readonly ours: NetNode;
  readonly peer: LivePeer;
  /** The peer again, in a process of its own. */
  restart(): { peer: LivePeer; made: Promise<unknown> };
}

describe.skipIf(peerMissing)('the mesh transport and the published peer', () => {
  const nodes: NetNode[] = [];
  const peers: LivePeer[] = [];

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.shutdown().catch(() => undefined)));
    for (const peer of peers.splice(0)) peer.kill();
  });

  async function link(role: 'initiator' | 'responder', reliability: Reliability, theirShards = 1): Promise<Link> {
    const [a, b] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const initiator = { peerPublicKey: keys.publicKey };
    const start = (): { peer: LivePeer; made: Promise<unknown> } => {
      const peer = new LivePeer();
      peers.push(peer);
      const made = peer.run(
        `global bus
bus = net.Net(num_shards=given["shards"], net_bind_addr=given["bind"], net_peer_addr=given["peer"], net_psk=given["psk"],
    net_reliability=given["reliability"], net_heartbeat_interval_ms=200, net_session_timeout_ms=2000, **given["more"])
answer = True`,
        {
          shards: theirShards,
          bind: b,
          peer: a,
          psk: PSK,
          reliability,
          more:
            role === 'initiator'
              ? { net_role: 'responder', net_secret_key: keys.secretKey, net_public_key: keys.publicKey }
              : { net_role: 'initiator', net_peer_public_key: keys.publicKey },
        },
      );
      return { peer, made };
    };
    const { peer, made } = start();
    const created = NetNode.create({
      shards: 4,
      transport: {
        type: 'mesh',
        bind: a,
        peer: b,
        psk: PSK,
        role,
        reliability,
        heartbeatIntervalMs: 200,
        sessionTimeoutMs: 2000,
        ...(role === 'initiator' ? initiator : keys),
      },
    });
    const [ours] = await Promise.all([created, made]);
    nodes.push(ours);
    return { ours, peer, restart: start };
  }

  const pollTheirs = (peer: LivePeer, count: number) =>
    peer.run<string[]>(
      `answer = []
end = time.time() + 10
while len(answer) < given and time.time() < end:
    answer += [event.raw for event in bus.poll(100000)]
    time.sleep(0.005)`,
      count,
    );

  const theirsSend = (peer: LivePeer, texts: string[]) => peer.run('bus.ingest_raw_batch(given); answer = 1', texts);

  async function pollOurs(node: NetNode, count: number, limit: number): Promise<StoredEvent[]> {
    const out: StoredEvent[] = [];
    let cursor: string | undefined;
    while (out.length < count) {
      const page = await node.poll(cursor === undefined ? { limit } : { limit, cursor });
      expect(page.events.length).toBeLessThanOrEqual(limit);
      out.push(...page.events);
      cursor = page.nextId ?? cursor;
      if (page.events.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return out;
  }

  for (const role of ['initiator', 'responder'] as const) {
    for (const reliability of ['none', 'light', 'full'] as const) {
      it(`we are the ${role}, reliability ${reliability}: events both ways, in order, none lost or invented`, async () => {
        const { ours, peer } = await link(role, reliability);
        const forth = Array.from({ length: 400 }, (_, n) => `{"forth": ${n}, "pad":"${'é'.repeat(n % 40)}"}`);
        const back = Array.from({ length: 300 }, (_, n) => `{"back": ${n}}`);
        expect(ours.emitRawBatch(forth)).toBe(400);
        await ours.flush();
        expect((await pollTheirs(peer, 400)).sort()).toEqual([...forth].sort());
        await theirsSend(peer, back);
        const events = await pollOurs(ours, 300, 100);
        expect(events.map((event) => event.raw)).toEqual(back);
        // Their heartbeats and ours have passed meanwhile; nothing but events became events.
        await new Promise((resolve) => setTimeout(resolve, 500));
        expect((await ours.poll({ limit: 1000 })).events).toHaveLength(300);
        expect(await peer.run<number>('answer = len(bus.poll(1000).events)')).toBe(0);
      });
    }
  }

  it('three times the limit in small pages: none is lost', async () => {
    const { ours, peer } = await link('responder', 'none', 3);
    const texts = Array.from({ length: 15 }, (_, n) => `{"n":${n}}`);
    await theirsSend(peer, texts);
    const events = await pollOurs(ours, 15, 5);
    expect(events.map((event) => event.raw).sort()).toEqual([...texts].sort());
    // Streams 0, 1, 2 of theirs are shards of ours; ids are unique within a shard, stamps rise.
    expect(new Set(events.map((event) => `${event.shardId}/${event.id}`)).size).toBe(15);
    expect(new Set(events.map((event) => event.shardId)).size).toBeGreaterThan(1);
    expect(events.every((event) => event.insertionTs > 0)).toBe(true);
  });

  it('an event of 8108 bytes arrives at either end; 8109 are refused here', async () => {
    const { ours, peer } = await link('initiator', 'none');
    const largest = `{"pad":"${'x'.repeat(8108 - 10)}"}`;
    expect(largest.length).toBe(8108);
    expect(ours.fire(largest)).toBe(true);
    expect(ours.fire(`${largest} `)).toBe(false);
    expect(() => ours.emitRaw(`${largest} `)).toThrow('event too large: 8109 bytes, limit 8108');
    expect(await pollTheirs(peer, 1)).toEqual([largest]);
    await theirsSend(peer, [largest]);
    expect((await pollOurs(ours, 1, 10))[0]?.raw).toBe(largest);
  });

  it('a peer that dies and comes back is met again', async () => {
    const { ours, peer, restart } = await link('initiator', 'none');
    ours.fire('{"n":1}');
    expect(await pollTheirs(peer, 1)).toEqual(['{"n":1}']);
    peer.kill();
    const again = restart();
    await again.made;
    ours.fire('{"n":2}');
    await ours.flush();
    expect(await pollTheirs(again.peer, 1)).toEqual(['{"n":2}']);
    await theirsSend(again.peer, ['{"n":3}']);
    expect((await pollOurs(ours, 1, 10))[0]?.raw).toBe('{"n":3}');
  });
});
