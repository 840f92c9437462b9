import { describe, expect, it } from 'vitest';
import { AnnouncementIntake, Announcer, CapabilityIndex } from '../../src/capabilities/index.js';
import { Identity } from '../../src/identity.js';

/** Replayable random numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One node of the simulated mesh: everything but the sockets is real. */
class SimNode {
  readonly announcer: Announcer;
  readonly index: CapabilityIndex;
  readonly intake: AnnouncementIntake;
  readonly links = new Set<SimNode>();

  constructor(
    readonly identity: Identity,
    clock: { wallNs(): bigint; monotonicMs(): number },
  ) {
    this.announcer = new Announcer({ identity, clock });
    this.index = new CapabilityIndex({ clock, ownNodeId: identity.nodeId });
    this.intake = new AnnouncementIntake({ ownNodeId: identity.nodeId, index: this.index, clock });
    this.announcer.announce({ tags: ['sim', `n:${identity.nodeId}`] });
  }

  get id(): bigint {
    return this.identity.nodeId;
  }
}

/** Nodes, links between them, a clock, and packets that may get lost. */
class World {
  readonly nodes: SimNode[] = [];
  readonly random: () => number;
  ms = 0;
  loss = 0;
  #packets: { from: SimNode; to: SimNode; bytes: Uint8Array }[] = [];
  readonly #clock = {
    wallNs: () => 1_800_000_000_000_000_000n + BigInt(this.ms) * 1_000_000n,
    monotonicMs: () => this.ms,
  };

  constructor(seed: number) {
    this.random = seeded(seed);
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)] as T;
  }

  /** A node that joins, or comes back with the seed that it had. */
  join(name: number, links: number): SimNode {
    const seed = new Uint8Array(32);
    new DataView(seed.buffer).setUint32(0, name + 1);
    const node = new SimNode(Identity.fromSeed(seed), this.#clock);
    const others = this.nodes.slice();
    this.nodes.push(node);
    for (let i = 0; i < links && others.length > 0; i++) this.link(node, this.pick(others));
    return node;
  }

  link(a: SimNode, b: SimNode): void {
    if (a === b || a.links.has(b)) return;
    a.links.add(b);
    b.links.add(a);
    // Both forgot each other when a link failed before: a new version, and the latest to the one who came.
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.announcer.renew();
      this.send(from, to, from.announcer.latestBytes);
    }
  }

  unlink(a: SimNode, b: SimNode): void {
    if (!a.links.delete(b)) return;
    b.links.delete(a);
    a.intake.peerFailed(b.id);
    b.intake.peerFailed(a.id);
  }

  leave(node: SimNode): void {
    for (const other of [...node.links]) this.unlink(node, other);
    this.nodes.splice(this.nodes.indexOf(node), 1);
  }

  send(from: SimNode, to: SimNode, bytes: Uint8Array | undefined): void {
    if (bytes && this.random() >= this.loss) this.#packets.push({ from, to, bytes });
  }

  /** One second: what is due is broadcast, and packets run as far as they get. */
  second(): void {
    this.ms += 1000;
    for (const node of this.nodes) {
      const bytes = node.announcer.poll();
      for (const peer of node.links) this.send(node, peer, bytes);
      if (this.ms % 60_000 === 0) node.intake.sweep();
    }
    while (this.#packets.length > 0) {
      const packets = this.#packets;
      this.#packets = [];
      for (const { from, to, bytes } of packets) {
        if (!to.links.has(from)) continue;
        const result = to.intake.receive(bytes, from.id);
        if (result.dropped !== undefined || !result.forward) continue;
        for (const peer of to.links) if (peer !== from) this.send(to, peer, result.forward);
      }
    }
  }

  run(seconds: number): void {
    for (let i = 0; i < seconds; i++) this.second();
  }

  /** Nodes that do not see exactly the living others. */
  astray(): SimNode[] {
    const alive = new Set(this.nodes.map((node) => node.id));
    return this.nodes.filter((node) => {
      const found = new Set(node.index.findNodes({ requireTags: ['sim'] }));
      found.add(node.id);
      return found.size !== alive.size || [...alive].some((id) => !found.has(id));
    });
  }
}

const SIZE = process.env.MESHRING_SOAK ? 1000 : 24;
const SEEDS = process.env.MESHRING_SOAK ? [1] : [1, 2];

describe.each(SEEDS)('discovery in a simulated mesh, seed %s', (seed) => {
  it('converges, survives loss, churn and a partition, and forgets the dead', { timeout: 3_600_000 }, () => {
    const world = new World(seed);
    for (let i = 0; i < SIZE; i++) world.join(i, 3);
    world.run(30);
    expect(world.astray()).toEqual([]);

    // Loss and churn: a tenth leaves, some come back under the same identity, others are new.
    world.loss = 0.2;
    const gone = Array.from({ length: SIZE / 10 }, () => {
      const node = world.pick(world.nodes);
      world.leave(node);
      world.run(5);
      return node;
    });
    for (const node of gone.slice(0, gone.length / 2)) {
      const name = new DataView(new Uint8Array(node.identity.toBytes()).buffer).getUint32(0) - 1;
      world.join(name, 3);
      world.run(5);
    }
    for (let i = 0; i < SIZE / 20; i++) world.join(10_000 + i, 3);
    world.run(60);

    // A partition: no link between the halves for longer than an announcement lives.
    const half = new Set(world.nodes.slice(0, world.nodes.length / 2));
    const cut: [SimNode, SimNode][] = [];
    for (const a of half) for (const b of a.links) if (!half.has(b)) cut.push([a, b]);
    for (const [a, b] of cut) world.unlink(a, b);
    world.run(400);
    for (const node of half) {
      const seen = node.index.findNodes({ requireTags: ['sim'] });
      expect(seen.every((id) => [...half].some((other) => other.id === id))).toBe(true);
    }

    // Healing: everybody finds everybody, and nobody else, within a life and a sweep.
    for (const [a, b] of cut) world.link(a, b);
    // Nodes that the partition left without any link join again.
    for (const node of world.nodes) if (node.links.size === 0) world.link(node, world.pick([...half]));
    world.loss = 0.02;
    world.run(300);
    world.loss = 0;
    world.run(160);
    expect(world.astray().map((node) => node.id)).toEqual([]);
    for (const node of world.nodes) expect(node.index.size).toBeLessThanOrEqual(world.nodes.length);
  });
});
