/**
 * The control plane of many nodes in one process: everything but sessions and sockets is real, time is virtual.
 * `MESHRING_SIM_SEED` and `MESHRING_SIM_NODES` repeat a run; a failure prints both.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Network, type SimNode } from './network.js';
import { VirtualTime } from './virtual-time.js';

const soak = process.env.MESHRING_SOAK !== undefined;
const SIZE = Number(process.env.MESHRING_SIM_NODES ?? (soak ? 1000 : 120));
const SEED = Number(process.env.MESHRING_SIM_SEED ?? 1);
/** Life of the announcements, and the gap between renewals, in seconds. */
const TTL = 600;
/** Sessions that a node begins; it has about twice as many. */
const DEGREE = 4;
const channel = (node: SimNode) => `n/${node.name}`;

let time: VirtualTime;
const begun = performance.now.bind(performance);

beforeEach(() => {
  time = new VirtualTime();
  time.install();
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** What a node does when it begins: it announces, offers a channel, and subscribes to those of two peers. */
function begin(node: SimNode): void {
  void node.control.announce({ tags: ['sim', `n:${node.nodeId}`] }, { ttlSecs: TTL });
  node.control.registerChannel({ name: channel(node) });
}

/** Node ids of the publishers that each node subscribed to. */
const wanted = new Map<SimNode, Set<bigint>>();

function subscribe(node: SimNode, to: SimNode): void {
  const list = wanted.get(node) ?? new Set();
  wanted.set(node, list.add(to.nodeId));
  node.control.subscribeChannel(to.nodeId, channel(to)).catch(() => list.delete(to.nodeId));
}

function peersOf(node: SimNode): SimNode[] {
  return [...node.links.values()].map((link) => link.other(node));
}

/** What nodes do not see exactly the living others: `node: missing, too many`. */
function astray(nodes: readonly SimNode[], alive = nodes): string[] {
  const ids = new Set(alive.map(({ nodeId }) => nodeId));
  return nodes.flatMap((node) => {
    const found = new Set(node.control.findNodes({ requireTags: ['sim'] }));
    const missing = [...ids].filter((id) => !found.has(id)).length;
    const tooMany = [...found].filter((id) => !ids.has(id)).length;
    return missing + tooMany === 0 ? [] : [`${node.name}: ${missing} missing, ${tooMany} too many`];
  });
}

/** Seconds until the condition holds; fails after `most`. */
async function within(most: number, problems: () => string[]): Promise<number> {
  for (let second = 0; second < most; second++) {
    if (problems().length === 0) return second;
    await time.pass(1000);
  }
  expect(problems().slice(0, 10), `seed ${SEED}, ${SIZE} nodes, after ${most} s`).toEqual([]);
  return most;
}

/** Publishes on every channel and looks who received. */
async function unheard(nodes: readonly SimNode[]): Promise<string[]> {
  for (const node of nodes) node.received.clear();
  for (const node of nodes) await node.control.publish(channel(node), [new Uint8Array(1)]);
  await time.pass(3000);
  return nodes.flatMap((node) =>
    [...(wanted.get(node) ?? [])]
      // A publisher that is gone, or whose session is, has nothing to be subscribed to.
      .filter((id) => node.links.get(id)?.other(node).closed === false)
      .filter((id) => node.received.get(id) !== 1)
      .map((id) => `${node.name} got ${node.received.get(id) ?? 0} of ${node.links.get(id)?.other(node).name}`),
  );
}

describe(`${SIZE} nodes, seed ${SEED}`, () => {
  it('find each other and keep their subscriptions through loss, churn and a partition', {
    timeout: 7_200_000,
  }, async () => {
    const network = new Network(SEED, time);
    const { nodes } = network;
    const started = begun();
    const took: Record<string, number> = {};

    // All begin within 20 s, with loss.
    network.loss = 0.05;
    for (let name = 0; name < SIZE; name++) {
      begin(network.join(name, DEGREE));
      await time.pass(20_000 / SIZE);
    }
    for (const node of nodes) for (let n = 0; n < 2; n++) subscribe(node, network.pick(peersOf(node)));
    took['after the beginning'] = await within(60, () => astray(nodes));

    // Churn: some go with a goodbye and some without; of both, half come back under the same identity.
    network.loss = 0.15;
    for (let n = 0; n < Math.ceil(SIZE / 20); n++) {
      const node = network.pick(nodes);
      network.leave(node, n % 2 === 0);
      wanted.delete(node);
      await time.pass(1000);
      if (n % 4 < 2) {
        const back = network.join(node.name, DEGREE);
        begin(back);
        subscribe(back, network.pick(peersOf(back)));
      }
      if (n % 4 === 3) begin(network.join(SIZE + n, DEGREE));
    }
    // Who was left by everybody begins sessions anew.
    for (const node of nodes) if (node.links.size === 0) network.link(node, network.pick(nodes));
    const missing = () => astray(nodes).filter((text) => !text.includes(' 0 missing'));
    took['after churn'] = await within(60, missing);

    // A partition for longer than an announcement lives.
    network.loss = 0.05;
    await time.pass(100_000);
    const half = new Set(nodes.slice(0, nodes.length / 2));
    const between = [...network.links()].filter(({ a, b }) => half.has(a) !== half.has(b));
    for (const link of between) network.cut(link);
    // Nodes that it leaves alone get a link on their side.
    for (const node of nodes) {
      const side = nodes.filter((other) => half.has(other) === half.has(node));
      if (!peersOf(node).some((peer) => side.includes(peer))) network.link(node, network.pick(side));
    }
    await time.pass((TTL + 30) * 1000);
    for (const node of nodes) {
      const seen = node.control.findNodes({ requireTags: ['sim'] });
      const side = new Set(nodes.filter((other) => half.has(other) === half.has(node)).map(({ nodeId }) => nodeId));
      expect(seen.filter((id) => !side.has(id))).toEqual([]);
    }

    // It heals: within a minute, long before a renewal, everybody finds everybody, and nobody who is gone.
    for (const link of between) network.mend(link);
    took['after the partition'] = await within(60, () => astray(nodes));
    network.loss = 0;
    await time.pass(60_000);
    expect(await unheard(nodes)).toEqual([]);
    for (const node of nodes) {
      expect(node.control.stats().nodesIndexed).toBeLessThanOrEqual(nodes.length + SIZE / 10);
    }
    const { heapUsed, rss } = process.memoryUsage();
    const mb = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MB`;
    console.info(
      `${SIZE} nodes, seed ${SEED}: ${Math.round((begun() - started) / 1000)} s for ${Math.round(time.now / 1000)} s, ` +
        `${network.packets} packets, heap ${mb(heapUsed)}, resident ${mb(rss)}; seconds to agree: ${JSON.stringify(took)}`,
    );
    for (const node of nodes) node.close();
  });
});
