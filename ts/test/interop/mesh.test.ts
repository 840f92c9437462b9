import { afterEach, describe, expect, it } from 'vitest';
import { NetMesh } from '../../src/mesh/index.js';
import { LivePeer } from './live-peer.js';
import { peerMissing } from './python.js';

const PSK = '42'.repeat(32);
const TIMES = { heartbeatIntervalMs: 100, sessionTimeoutMs: 400 };

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** A port that is free now: the peer's own address can't be asked for. */
async function freePort(): Promise<number> {
  const probe = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK });
  const port = Number(probe.localAddress().split(':')[1]);
  await probe.shutdown();
  return port;
}

interface Theirs {
  peer: LivePeer;
  address: string;
  key: string;
  id: bigint;
}

describe.skipIf(peerMissing)('mesh with the published peer', () => {
  const nodes: NetMesh[] = [];
  const peers: LivePeer[] = [];

  async function ours(more: object = {}): Promise<NetMesh> {
    const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK, ...TIMES, ...more });
    nodes.push(node);
    return node;
  }

  async function theirs(psk = PSK): Promise<Theirs> {
    const peer = new LivePeer();
    peers.push(peer);
    const address = `127.0.0.1:${await freePort()}`;
    const made = await peer.run<{ key: string; id: string }>(
      `global node
node = net.NetMesh(given["address"], given["psk"], heartbeat_interval_ms=100, session_timeout_ms=400)
answer = {"key": node.public_key, "id": str(node.node_id)}`,
      { address, psk },
    );
    return { peer, address, key: made.key, id: BigInt(made.id) };
  }

  const pollTheirs = async (them: Theirs, count: number): Promise<string[]> =>
    them.peer.run<string[]>(
      `answer = []
end = time.time() + 10
while len(answer) < given and time.time() < end:
    answer += [e.raw for e in node.poll(1000)]
    time.sleep(0.01)`,
      count,
    );

  async function pollOurs(node: NetMesh, count: number): Promise<string[]> {
    const out: string[] = [];
    await until(async () => {
      out.push(...(await node.poll(1000)).map((event) => event.raw));
      return out.length >= count;
    });
    return out;
  }

  async function talk(us: NetMesh, them: Theirs): Promise<void> {
    for (const [streamId, reliability] of [
      [40n, 'fire_and_forget'],
      [44n, 'reliable'],
    ] as const) {
      const texts = Array.from({ length: 200 }, (_, n) => `{"s":${streamId},"n":${n}}`);
      const stream = us.openStream(them.id, { streamId, reliability });
      await us.sendOnStream(
        stream,
        texts.map((text) => Buffer.from(text)),
      );
      expect(await pollTheirs(them, 200)).toEqual(texts);
      await them.peer.run(
        `s = node.open_stream(int(given["id"]), given["stream"], given["mode"])
node.send_on_stream(s, [t.encode() for t in given["texts"]])`,
        { id: us.nodeId().toString(), stream: Number(streamId), mode: reliability, texts },
      );
      expect(await pollOurs(us, 200)).toEqual(texts);
    }
  }

  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.kill();
    for (const node of nodes.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
  });

  it('we connect to its accept; events both ways, largest and empty ones too', async () => {
    const [us, them] = [await ours(), await theirs()];
    const accepted = them.peer.run('answer = node.accept(int(given))', us.nodeId().toString());
    await us.connect(them.address, them.key, them.id);
    await accepted;
    expect(us.peers()[0]).toMatchObject({ protocol: 'net-0.19', relayed: false });
    await Promise.all([us.start(), them.peer.run('node.start()')]);
    await talk(us, them);
    const stream = us.openStream(them.id, { streamId: 48n });
    await us.sendOnStream(stream, [Buffer.alloc(8108, 97)]);
    expect((await pollTheirs(them, 1))[0]).toHaveLength(8108);
    await us.sendOnStream(
      stream,
      Array.from({ length: 2028 }, () => Buffer.alloc(0)),
    );
    expect(await pollTheirs(them, 2028)).toHaveLength(2028);
  });

  it('it connects to our accept', async () => {
    const [us, them] = [await ours(), await theirs()];
    const accepted = us.accept(them.id);
    await them.peer.run('node.connect(given["address"], given["key"], int(given["id"]))', {
      address: us.localAddress(),
      key: us.publicKey(),
      id: us.nodeId().toString(),
    });
    expect(await accepted).toBe(them.address);
    await Promise.all([us.start(), them.peer.run('node.start()')]);
    await talk(us, them);
  });

  it('we connect to it when it is started: by a routed handshake', async () => {
    const [us, them] = [await ours({ handshakeTimeoutMs: 1000 }), await theirs()];
    await them.peer.run('node.start()');
    await us.connect(them.address, them.key, them.id);
    await us.start();
    await talk(us, them);
  });

  it('credit: a window drains and refills in both directions', async () => {
    const [us, them] = [await ours(), await theirs()];
    const accepted = them.peer.run('answer = node.accept(int(given))', us.nodeId().toString());
    await us.connect(them.address, them.key, them.id);
    await accepted;
    await Promise.all([us.start(), them.peer.run('node.start()')]);
    const stream = us.openStream(them.id, { streamId: 8n, windowBytes: 20_000 });
    const events = Array.from({ length: 100 }, (_, n) => Buffer.from(`${n}`.padEnd(1000)));
    await us.sendBlocking(stream, events);
    expect((await pollTheirs(them, 100)).map(Number)).toEqual(events.map((_, n) => n));
    await until(() => us.streamStats(them.id, 8n)?.txCreditRemaining === 20_000);
    await them.peer.run(
      `s = node.open_stream(int(given), 12, "fire_and_forget", 20000)
for n in range(100):
    node.send_blocking(s, [str(n).ljust(1000).encode()])`,
      us.nodeId().toString(),
    );
    expect((await pollOurs(us, 100)).map(Number)).toEqual(events.map((_, n) => n));
  });

  it('heartbeats keep both ends for many timeouts, and a vanished peer is lost, then gone', async () => {
    const [us, them] = [await ours(), await theirs()];
    const accepted = them.peer.run('answer = node.accept(int(given))', us.nodeId().toString());
    await us.connect(them.address, them.key, them.id);
    await accepted;
    await Promise.all([us.start(), them.peer.run('node.start()')]);
    const seen: string[] = [];
    us.on('peer', (event) => seen.push(event.type));
    const datagrams = us.stats().datagramsIn ?? 0;
    await until(() => (us.stats().datagramsIn ?? 0) > datagrams + 60);
    expect(seen).toEqual([]);
    expect(await them.peer.run('answer = node.peer_count()')).toBe(1);
    them.peer.kill();
    await until(() => seen.includes('lost'));
    expect(seen).toEqual(['suspected', 'lost']);
    expect(us.peerCount()).toBe(1);
  });

  it('reconnects after it restarts with another key', async () => {
    const us = await ours({ handshakeTimeoutMs: 1000 });
    await us.start();
    for (let round = 0; round < 2; round++) {
      const them = await theirs();
      await them.peer.run('node.start()');
      await us.connect(them.address, them.key, them.id);
      await talk(us, them);
      them.peer.kill();
    }
  });

  it('is called again when it slept while more was sent than its window reaches', async () => {
    const [us, them] = [await ours({ handshakeTimeoutMs: 1000 }), await theirs()];
    await them.peer.run('node.start()');
    await us.connect(them.address, them.key, them.id);
    await us.start();
    await talk(us, them);
    const handshakes = us.stats().handshakes;
    them.peer.pause();
    for (let n = 0; n < 4000; n++) await us.pushTo(them.address, Buffer.from(`lost ${n}`));
    const silent = us.stats().datagramsIn;
    const sent = us.stats().datagramsOut ?? 0;
    // Several heartbeats, so that its silence is noticed.
    await until(() => (us.stats().datagramsOut ?? 0) > sent + 10);
    expect(us.stats().datagramsIn).toBe(silent);
    them.peer.resume();
    await until(() => us.stats().handshakes !== handshakes);
    // What its socket had kept came before the handshake.
    await them.peer.run('node.poll(10000)');
    await talk(us, them);
  });

  it('wrong psk and wrong key are refused on both sides', async () => {
    const us = await ours({ handshakeTimeoutMs: 200 });
    const them = await theirs('43'.repeat(32));
    const accepting = them.peer.run('node.accept(int(given))', us.nodeId().toString()).catch((error: Error) => error);
    await expect(us.connect(them.address, them.key, them.id)).rejects.toThrow(
      'connect failed: connection error: handshake timeout',
    );
    them.peer.kill();
    await accepting;
    expect(us.peerCount()).toBe(0);
  });

  it('it relays between two of ours', async () => {
    const [a, c, relay] = [
      await ours({ handshakeTimeoutMs: 1000 }),
      await ours({ handshakeTimeoutMs: 1000 }),
      await theirs(),
    ];
    await relay.peer.run('node.start()');
    await Promise.all([a.start(), c.start()]);
    await a.connect(relay.address, relay.key, relay.id);
    await c.connect(relay.address, relay.key, relay.id);
    await a.connectVia(relay.address, c.publicKey(), c.nodeId());
    expect(a.peers().find((peer) => peer.id === c.nodeId())).toMatchObject({ relayed: true, protocol: 'meshring' });
    const stream = a.openStream(c.nodeId(), { streamId: 5n, reliability: 'reliable' });
    const texts = Array.from({ length: 500 }, (_, n) => `event ${n}`);
    for (const text of texts) await a.sendBlocking(stream, [Buffer.from(text)]);
    expect(await pollOurs(c, 500)).toEqual(texts);
  });
});
