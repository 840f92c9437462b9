/** Two published peers whose session runs over a relay of ours: all that they send without routing header arrives (21 §14.3). */
import { afterEach, describe, expect, it } from 'vitest';
import { MeshNode, NetMesh } from '../../src/mesh/index.js';
import { LivePeer } from './live-peer.js';
import { peerMissing } from './python.js';

const PSK = '42'.repeat(32);
/** An address that nobody answers at. */
const DEAD = '127.0.0.1:9';

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function freeAddress(): Promise<string> {
  const probe = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK });
  const address = probe.localAddress();
  await probe.shutdown();
  return address;
}

/** Credit of a stream, as its sender sees it. */
interface StreamNumbers {
  readonly remaining: number;
  readonly received: number;
  readonly refused: number;
}

class Peer {
  readonly #process = new LivePeer();
  readonly #events: string[] = [];
  address = '';
  key = '';
  id = '';

  async open(): Promise<this> {
    this.address = await freeAddress();
    const made = await this.run<{ key: string; id: string }>(
      `global node
node = net.NetMesh(given["address"], given["psk"], heartbeat_interval_ms=200, num_shards=1)
answer = {"key": node.public_key, "id": str(node.node_id)}`,
      { address: this.address, psk: PSK },
    );
    return Object.assign(this, made);
  }

  run<T = unknown>(code: string, given: unknown = null): Promise<T> {
    return this.#process.run<T>(code, given);
  }

  /** Opens a stream with a window and sends numbered events, each in a packet of its own; waits for credit as the peer does. */
  async send(to: Peer, stream: number, window: number, tag: string, count: number): Promise<void> {
    await this.run(
      `stream = node.open_stream(int(given["to"]), given["stream"], "fire_and_forget", given["window"])
for n in range(given["count"]):
    node.send_blocking(stream, [f"{given['tag']}-{n}".encode()])`,
      { to: to.id, stream, window, tag, count },
    );
  }

  numbers(to: Peer, stream: number): Promise<StreamNumbers> {
    return this.run(
      `stats = node.stream_stats(int(given["to"]), given["stream"])
answer = {"remaining": stats.tx_credit_remaining, "received": stats.credit_grants_received, "refused": stats.backpressure_events}`,
      { to: to.id, stream },
    );
  }

  /** All events that came so far, in the order in which they came. */
  async events(prefix: string): Promise<string[]> {
    this.#events.push(...(await this.run<string[]>('answer = [e.raw for e in node.poll(1000)]')));
    return this.#events.filter((event) => event.startsWith(prefix));
  }

  async connect(address: string, key: string, id: string): Promise<void> {
    await this.run('node.connect(given["address"], given["key"], int(given["id"]))', { address, key, id });
  }

  kill(): void {
    this.#process.kill();
  }
}

const peers: Peer[] = [];
let relay: MeshNode | undefined;

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.kill();
  await relay?.shutdown();
  relay = undefined;
});

/** A relay of ours and two peers that have a session with it; with `direct` the second one has one with the first as well. */
async function around(direct: boolean): Promise<[Peer, Peer, MeshNode]> {
  const hub = await MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK, heartbeatIntervalMs: 200 });
  relay = hub;
  for (let n = 0; n < 2; n++) {
    const peer = new Peer();
    peers.push(peer);
    await peer.open();
    const accepted = hub.accept(BigInt(peer.id));
    await peer.connect(hub.localAddress(), hub.publicKey(), `${hub.nodeId()}`);
    await accepted;
  }
  const [a, b] = peers as [Peer, Peer];
  if (direct) {
    const accepted = a.run('node.accept(int(given))', b.id);
    await b.connect(a.address, a.key, a.id);
    await accepted;
  }
  await hub.start();
  await Promise.all([a, b].map((peer) => peer.run('node.start()')));
  return [a, b, hub];
}

/** The caller begins a session with the other end over the relay. */
async function call(from: Peer, to: Peer, hub: MeshNode): Promise<void> {
  await to.run('node.set_reflex_override(given)\nnode.announce_capabilities({"tags": ["node"]})', DEAD);
  await until(async () => (await from.run('answer = node.peer_nat_type(int(given))', to.id)) === 'open');
  const forwarded = hub.stats().forwarded ?? 0;
  // The address is dead, so the call goes over the routing table.
  const fallbacks = await from.run(
    `node.connect_direct(int(given["id"]), given["key"], int(given["relay"]))
answer = node.traversal_stats()["relay_fallbacks"]`,
    { id: to.id, key: to.key, relay: `${hub.nodeId()}` },
  );
  expect(fallbacks).toBe(1);
  expect(hub.stats().forwarded).toBeGreaterThanOrEqual(forwarded + 2);
  for (const peer of [from, to]) expect(await peer.run('answer = node.peer_count()')).toBe(2);
}

const names = (tag: string, count: number) => Array.from({ length: count }, (_, n) => `${tag}-${n}`);

if (peerMissing !== undefined) it(`relays between published peers are not tested here: ${peerMissing}`, () => {});
const withPeer = peerMissing === undefined ? describe : () => {};

withPeer('two published peers over a relay of ours', () => {
  it('streams both ways, far beyond their windows: the grants pass too', async () => {
    const [a, b, hub] = await around(false);
    await call(a, b, hub);
    // A window of six packets or so.
    await Promise.all([a.send(b, 4, 600, 'forth', 60), b.send(a, 6, 600, 'back', 60)]);
    await until(async () => (await b.events('forth')).length >= 60 && (await a.events('back')).length >= 60);
    expect(await b.events('forth')).toEqual(names('forth', 60));
    expect(await a.events('back')).toEqual(names('back', 60));
    for (const [from, to, stream] of [
      [a, b, 4],
      [b, a, 6],
    ] as const) {
      await until(async () => (await from.numbers(to, stream)).remaining === 600);
      expect((await from.numbers(to, stream)).received).toBeGreaterThanOrEqual(60);
    }
    expect(hub.stats().unknownSession).toBe(0);
  });

  // The peer seals a subscription for the session at the address it goes to, which is the relay's: it can't be made over a relay.
  it('publishes to one that subscribed before the way led over the relay', async () => {
    const [a, b, hub] = await around(true);
    await a.run('node.register_channel("news")');
    await b.run('node.subscribe_channel(int(given), "news")', a.id);
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      await from.run('node.add_route(int(given["id"]), given["relay"])', { id: to.id, relay: hub.localAddress() });
    }
    await call(b, a, hub);
    const before = hub.stats().forwarded ?? 0;
    for (const payload of names('news', 20)) {
      expect(await a.run('answer = node.publish("news", given.encode())\nanswer.pop("errors")', payload)).toEqual({
        attempted: 1,
        delivered: 1,
      });
    }
    await until(async () => (await b.events('news')).length >= 20);
    expect(await b.events('news')).toEqual(names('news', 20));
    expect(hub.stats().forwarded).toBeGreaterThanOrEqual(before + 20);
  });
});
