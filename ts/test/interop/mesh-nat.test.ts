/** NAT traversal between our nodes and the published peer, in all roles, and through real NATs. */
import { afterEach, describe, expect, it } from 'vitest';
import { NetMesh } from '../../src/mesh/index.js';
import { LiveNode, LivePeer } from './live-peer.js';
import { labMissing, NatLab } from './nat-lab.js';
import { peerMissing } from './python.js';

const PSK = '42'.repeat(32);

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A node in a process of its own, ours or theirs, with the few calls that the stories need. */
interface Actor {
  readonly address: string;
  readonly key: string;
  readonly id: string;
  connect(to: Actor): Promise<void>;
  accept(from: Actor): Promise<unknown>;
  start(): Promise<void>;
  classify(): Promise<string>;
  announce(): Promise<void>;
  natOf(id: string): Promise<string>;
  probe(id: string): Promise<string>;
  /** Reaches the target; the counters of this node afterwards. */
  direct(target: Actor, coordinator: Actor): Promise<{ attempted: number; succeeded: number; fallbacks: number }>;
  /** Address under which this node has its session with a node, `relayed` or nothing; ours only. */
  session(id: string): Promise<string>;
  /** Sends an event on stream 4 and says whether it arrived. */
  talk(to: Actor): Promise<boolean>;
  poll(): Promise<string[]>;
}

const processes: { kill(): void }[] = [];

async function ours(bindAddr: string, netns?: string): Promise<Actor> {
  const live = new LiveNode(netns);
  processes.push(live);
  const made = await live.run<{ address: string; key: string; id: string }>(
    `const node = scope.node = await meshring.MeshNode.create({ ...given, heartbeatIntervalMs: 200 });
return { address: node.localAddress(), key: node.publicKey(), id: String(node.nodeId()) };`,
    { bindAddr, psk: PSK },
  );
  const actor: Actor = {
    ...made,
    connect: async ({ address, key, id }) => {
      await live.run('await scope.node.connect(given.address, given.key, BigInt(given.id))', { address, key, id });
    },
    accept: ({ id }) => live.run('return scope.node.accept(BigInt(given))', id),
    start: async () => void (await live.run('await scope.node.start()')),
    classify: () => live.run('await scope.node.reclassifyNat(); return scope.node.natType()'),
    announce: async () => void (await live.run('await scope.node.announceCapabilities({ tags: ["node"] })')),
    natOf: (id) => live.run('return scope.node.peerNatType(BigInt(given))', id),
    probe: (id) => live.run('return scope.node.probeReflex(BigInt(given))', id),
    direct: (target, coordinator) =>
      live.run(
        `await scope.node.connectDirect(BigInt(given.id), given.key, BigInt(given.coordinator));
const stats = scope.node.traversalStats();
return { attempted: Number(stats.punchesAttempted), succeeded: Number(stats.punchesSucceeded), fallbacks: Number(stats.relayFallbacks) };`,
        { id: target.id, key: target.key, coordinator: coordinator.id },
      ),
    session: (id) =>
      live.run(
        `const peer = scope.node.peers().find((one) => one.id === BigInt(given));
return peer ? (peer.relayed ? 'relayed' : peer.address) : 'none';`,
        id,
      ),
    talk: async (to) => {
      await live.run(
        `const stream = scope.node.openStream(BigInt(given), { streamId: 4n });
await scope.node.sendOnStream(stream, [Buffer.from('hello')]);`,
        to.id,
      );
      await until(async () => (await to.poll()).includes('hello'));
      return true;
    },
    poll: () => live.run('return (await scope.node.poll(100)).map((event) => event.raw)'),
  };
  return actor;
}

async function theirs(bindAddr: string, netns?: string): Promise<Actor> {
  const live = new LivePeer(netns);
  processes.push(live);
  const made = await live.run<{ key: string; id: string }>(
    `global node
node = net.NetMesh(given["address"], given["psk"], heartbeat_interval_ms=200, num_shards=1)
answer = {"key": node.public_key, "id": str(node.node_id)}`,
    { address: bindAddr, psk: PSK },
  );
  const actor: Actor = {
    address: bindAddr,
    ...made,
    connect: async ({ address, key, id }) => {
      await live.run('node.connect(given["address"], given["key"], int(given["id"]))', { address, key, id });
    },
    accept: ({ id }) => live.run('answer = node.accept(int(given))', id),
    start: async () => void (await live.run('node.start()')),
    classify: () => live.run('node.reclassify_nat()\nanswer = node.nat_type()'),
    announce: async () => void (await live.run('node.announce_capabilities({"tags": ["node"]})')),
    natOf: (id) => live.run('answer = node.peer_nat_type(int(given))', id),
    probe: (id) => live.run('answer = node.probe_reflex(int(given))', id),
    direct: (target, coordinator) =>
      live.run(
        `node.connect_direct(int(given["id"]), given["key"], int(given["coordinator"]))
stats = node.traversal_stats()
answer = {"attempted": stats["punches_attempted"], "succeeded": stats["punches_succeeded"], "fallbacks": stats["relay_fallbacks"]}`,
        { id: target.id, key: target.key, coordinator: coordinator.id },
      ),
    session: async () => 'unknown',
    talk: async (to) => {
      await live.run(
        `stream = node.open_stream(int(given), 4, "fire_and_forget", 65536)
node.send_on_stream(stream, [b"hello"])`,
        to.id,
      );
      await until(async () => (await to.poll()).includes('hello'));
      return true;
    },
    poll: () => live.run('answer = [e.raw for e in node.poll(100)]'),
  };
  return actor;
}

/** Joins nodes that are not started: callers call, one waits for each. */
async function join(hub: Actor, ...callers: Actor[]): Promise<void> {
  for (const caller of callers) {
    const accepted = hub.accept(caller);
    await caller.connect(hub);
    await accepted;
  }
}

const KINDS = { ours, theirs };

async function freeAddress(): Promise<string> {
  const probe = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK });
  const address = probe.localAddress();
  await probe.shutdown();
  return address;
}

const make = async (kind: keyof typeof KINDS) => KINDS[kind](await freeAddress());

afterEach(() => {
  for (const one of processes.splice(0)) one.kill();
});

if (peerMissing !== undefined) it(`the published peer is not tested here: ${peerMissing}`, () => {});
const withPeer = peerMissing === undefined ? describe : () => {};

withPeer('NAT traversal with the published peer', () => {
  it('each tells the other its address', async () => {
    const [us, them] = [await make('ours'), await make('theirs')];
    await join(them, us);
    await Promise.all([us.start(), them.start()]);
    expect(await us.probe(them.id)).toBe(us.address);
    expect(await them.probe(us.id)).toBe(them.address);
  });

  it('each classifies itself with the help of both kinds', async () => {
    const [us, them, other] = [await make('ours'), await make('theirs'), await make('ours')];
    await join(them, us, other);
    await join(us, other);
    await Promise.all([us, them, other].map((node) => node.start()));
    await until(async () => (await us.classify()) === 'open');
    await until(async () => (await them.classify()) === 'open');
  });
});

const reason = labMissing();
if (reason !== undefined) it(`real NATs are not tested here: ${reason}`, () => {});
else {
  describe('through real NATs', () => {
    let lab: NatLab;

    afterEach(async () => lab.close());

    /** Two nodes behind NATs, and two with public addresses that both know; the first one is the coordinator. */
    async function world(
      kinds: [a: keyof typeof KINDS, b: keyof typeof KINDS, hub: keyof typeof KINDS],
      nats: ['cone' | 'symmetric', 'cone' | 'symmetric'],
    ): Promise<{ a: Actor; b: Actor; hub: Actor }> {
      lab = new NatLab();
      const hub = await KINDS[kinds[2]](`${lab.address('10.99.0.1')}:9000`, lab.outside);
      const helper = await ours(`${lab.address('10.99.0.2')}:9000`, lab.outside);
      const a = await KINDS[kinds[0]]('192.168.1.2:9000', await lab.behind(nats[0], '10.99.1.1'));
      const b = await KINDS[kinds[1]]('192.168.1.2:9000', await lab.behind(nats[1], '10.99.2.1'));
      for (const one of [hub, helper]) await join(one, a, b);
      await Promise.all([a, b, hub, helper].map((node) => node.start()));
      for (const [node, nat] of [
        [a, nats[0]],
        [b, nats[1]],
      ] as const) {
        await until(async () => (await node.classify()) === nat);
        await node.announce();
      }
      await until(async () => (await a.natOf(b.id)) === nats[1] && (await hub.natOf(b.id)) === nats[1]);
      return { a, b, hub };
    }

    const pairs = (
      [
        ['ours', 'ours', 'ours'],
        ['ours', 'theirs', 'ours'],
        ['theirs', 'ours', 'ours'],
        ['theirs', 'theirs', 'ours'],
        ['ours', 'ours', 'theirs'],
        ['ours', 'theirs', 'theirs'],
        ['theirs', 'ours', 'theirs'],
      ] as const
    ).filter((kinds) => !peerMissing || kinds.every((kind) => kind === 'ours'));

    it.each(pairs)('a punch: %s to %s, introduced by %s', async (...kinds) => {
      const { a, b, hub } = await world([...kinds], ['cone', 'cone']);
      expect(await a.direct(b, hub)).toEqual({ attempted: 1, succeeded: 1, fallbacks: 0 });
      expect(await a.session(b.id)).toMatch(kinds[0] === 'ours' ? /^10\.99\.2\.1:/ : /^unknown$/);
      expect(await a.talk(b)).toBe(true);
      expect(await b.talk(a)).toBe(true);
    });

    it('symmetric NATs on both sides: relayed at once', async () => {
      const { a, b, hub } = await world(['ours', 'ours', 'ours'], ['symmetric', 'symmetric']);
      expect(await a.direct(b, hub)).toEqual({ attempted: 0, succeeded: 0, fallbacks: 1 });
      expect(await a.session(b.id)).toBe('relayed');
      expect(await a.talk(b)).toBe(true);
    });

    it('a symmetric NAT on one side: the punch fails and the relay serves', async () => {
      const { a, b, hub } = await world(['ours', 'ours', 'ours'], ['symmetric', 'cone']);
      expect(await a.direct(b, hub)).toEqual({ attempted: 1, succeeded: 0, fallbacks: 1 });
      expect(await a.session(b.id)).toBe('relayed');
      expect(await b.talk(a)).toBe(true);
    });
  });
}
