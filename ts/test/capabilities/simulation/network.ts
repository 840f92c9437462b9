import type { RawMesh } from '../../../src/backend/mesh.js';
import { canonicalChannelHash, publishStreamId, wireChannelHash } from '../../../src/channels/index.js';
import { Identity } from '../../../src/identity.js';
import type { Packet } from '../../../src/mesh/batch.js';
import { ControlPlane } from '../../../src/mesh/control/control-plane.js';
import { PUBLISHED } from '../../../src/mesh/control/fanout.js';
import type { ControlHost } from '../../../src/mesh/control/host.js';
import type { PeerEvent, PeerInfo } from '../../../src/mesh/core-node.js';
import { Inbox } from '../../../src/mesh/inbox.js';
import { seeded } from './random.js';
import type { VirtualTime } from './virtual-time.js';

/** Datagrams arrive at multiples of this, in milliseconds. */
const TICK_MS = 50;
const REPEAT_MS = 200;
/** Silence after which a peer counts as failed, and after which its session is gone. */
const FAILED_MS = 90_000;
const GONE_MS = 900_000;
const HELD = 65_536;

/** What is on its way: a message of a subprotocol, or a publish. */
interface Parcel {
  readonly link: Link;
  readonly from: SimNode;
  readonly to: SimNode;
  readonly packet: Packet;
}

/** A session between two nodes, and the way that its packets take. */
class Link {
  /** Whether packets get through. */
  up = true;
  /** Whether both ends gave it up. */
  gone = false;
  /** Whether each end took the other for failed. */
  failed = false;
  cutMs = 0;
  /** Reliable messages sent while the link was cut. */
  held: Parcel[] = [];

  constructor(
    readonly a: SimNode,
    readonly b: SimNode,
    /** Whether messages are acknowledged: between nodes of ours. */
    readonly reliable: boolean,
  ) {}

  other(node: SimNode): SimNode {
    return node === this.a ? this.b : this.a;
  }
}

/** A node: the control plane is the real one, sessions and sockets are the network's. */
export class SimNode implements ControlHost {
  readonly nodeId: bigint;
  readonly entityId: Uint8Array;
  readonly originHash: bigint;
  readonly inbox: Inbox;
  readonly raw: RawMesh;
  readonly driver: ControlHost['driver'];
  readonly control: ControlPlane;
  readonly links = new Map<bigint, Link>();
  /** Payloads received, by publisher. */
  readonly received = new Map<bigint, number>();
  closed = false;
  readonly #network: Network;
  readonly #handlers = new Map<number, (packet: Packet) => void>();
  readonly #peerListeners = new Set<(event: PeerEvent) => void>();
  readonly #closeListeners = new Set<() => void>();
  /** Channels that were granted to somebody, by their number less one. */
  readonly #granted: { channel: string; peers: Set<bigint> }[] = [];
  /** Numbers of expected channels, by publisher and stream. */
  readonly #expected = new Map<string, number>();

  constructor(
    network: Network,
    readonly name: number,
    readonly identity: Identity,
  ) {
    this.#network = network;
    this.nodeId = identity.nodeId;
    this.entityId = identity.entityId;
    this.originHash = identity.originHash;
    const engine: Partial<RawMesh> = {
      grantChannel: (peer, channel) => this.#grant(peer, channel),
      revokeChannel: (peer, channel) =>
        this.#granted.find((granted) => granted.channel === channel)?.peers.delete(peer) ?? false,
      publish: (_now, channel, peers, frames, length, _count, _flags, outcomes) => {
        for (const [at, peer] of peers.entries()) outcomes[at] = this.#publish(channel, peer, frames.slice(0, length));
        return outcomes.filter((outcome) => outcome === 0).length;
      },
      expectChannel: (publisher, stream, tag) => this.#expected.set(`${publisher}:${stream}`, tag) !== undefined,
      forgetChannel: (publisher, stream) => this.#expected.delete(`${publisher}:${stream}`),
      dropUnsolicited: () => {},
      identify: () => {},
      learnRoute: () => {},
      takeDeliveries: () => new Uint8Array(),
      block: () => {},
    };
    this.raw = engine as RawMesh;
    this.driver = { now: () => network.time.now * 1000, flush: () => {} };
    const unused = { datagrams: false, flushSoon: () => {} };
    this.inbox = new Inbox({
      ...this.driver,
      ...unused,
      raw: this.raw,
      address: '',
      onWake: () => {},
      close: async () => {},
    });
    this.control = new ControlPlane(this);
  }

  check(): void {
    if (this.closed) throw new Error('closed');
  }

  sign(message: Uint8Array): Uint8Array {
    return this.identity.sign(message);
  }

  async roomWithin(): Promise<void> {}

  hold(): () => void {
    return () => {};
  }

  onMessage(subprotocol: number, handler: (packet: Packet) => void): () => void {
    this.#handlers.set(subprotocol, handler);
    return () => this.#handlers.delete(subprotocol);
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#peerListeners.add(listener);
    return () => this.#peerListeners.delete(listener);
  }

  onClose(listener: () => void): () => void {
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  sendMessage(peer: bigint, subprotocol: number, message: Uint8Array): boolean {
    const link = this.links.get(peer);
    if (!link || this.closed) return false;
    const packet = {
      peer: this.nodeId,
      streamId: BigInt(subprotocol),
      sequence: 0n,
      subprotocol,
      channelHash: 0,
      originHash: 0,
      isPublish: false,
      channel: 0,
    };
    this.#network.send(
      { link, from: this, to: link.other(this), packet: { ...packet, events: [message] } },
      link.reliable,
    );
    return true;
  }

  #grant(peer: bigint, channel: string): number {
    let at = this.#granted.findIndex((granted) => granted.channel === channel);
    if (at < 0) at = this.#granted.push({ channel, peers: new Set() }) - 1;
    this.#granted[at]?.peers.add(peer);
    return at + 1;
  }

  #publish(number: number, peer: bigint, frames: Uint8Array): number {
    const granted = this.#granted[number - 1];
    if (!granted?.peers.has(peer)) return PUBLISHED.notGranted;
    const link = this.links.get(peer);
    if (!link) return PUBLISHED.noSession;
    const hash = canonicalChannelHash(granted.channel);
    const packet = {
      peer: this.nodeId,
      streamId: publishStreamId(hash),
      sequence: 0n,
      subprotocol: 0,
      channelHash: wireChannelHash(hash),
      originHash: 0,
      isPublish: true,
      channel: 0,
      events: [frames],
    };
    this.#network.send({ link, from: this, to: link.other(this), packet }, link.reliable);
    return PUBLISHED.sent;
  }

  /** A packet arrives. */
  take(packet: Packet): void {
    if (packet.subprotocol !== 0) this.#handlers.get(packet.subprotocol)?.(packet);
    else if (this.inbox.channelOf(this.#expected.get(`${packet.peer}:${packet.streamId}`) ?? 0) !== undefined)
      this.received.set(packet.peer, (this.received.get(packet.peer) ?? 0) + 1);
  }

  /** Something happened to a peer. */
  tell(type: PeerEvent['type'], other: SimNode, link: Link): void {
    if (this.closed) return;
    const peer: PeerInfo = {
      id: other.nodeId,
      address: `10.0.0.1:${other.name + 1}`,
      state: 'healthy',
      relayed: false,
      protocol: link.reliable ? 'meshring' : 'net-0.19',
      mtu: 1200,
      unsolicited: 0,
    };
    const event = { type, id: other.nodeId, ...(type === 'left' ? {} : { peer }) };
    for (const listener of this.#peerListeners) listener(event);
  }

  close(): void {
    this.closed = true;
    for (const listener of this.#closeListeners) listener();
  }
}

/** Nodes, links between them, packets that get lost, and one seed for all that is left to chance. */
export class Network {
  readonly nodes: SimNode[] = [];
  readonly random: () => number;
  /** Part of the packets that get lost. */
  loss = 0;
  /** Part of the links on which nothing is acknowledged. */
  plainShare = 0.15;
  /** Packets that arrived. */
  packets = 0;
  readonly #ticks = new Map<number, Parcel[]>();

  constructor(
    seed: number,
    readonly time: VirtualTime,
  ) {
    this.random = seeded(seed);
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)] as T;
  }

  /** A node that joins, or comes back under the name that it had, with links to others. */
  join(name: number, links: number): SimNode {
    const seed = new Uint8Array(32);
    new DataView(seed.buffer).setUint32(0, name + 1);
    const node = new SimNode(this, name, Identity.fromSeed(seed));
    const others = this.nodes.slice();
    this.nodes.push(node);
    for (let tries = 0; node.links.size < Math.min(links, others.length) && tries < 100; tries++) {
      this.link(node, this.pick(others));
    }
    return node;
  }

  /** Makes a session, unless there is one. */
  link(a: SimNode, b: SimNode): void {
    if (a === b) return;
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const known = one.links.get(other.nodeId);
      // The new session takes the place of one whose other end was restarted.
      if (known?.other(one).closed) this.end(known);
    }
    if (a.links.has(b.nodeId)) return;
    const link = new Link(a, b, this.random() >= this.plainShare);
    a.links.set(b.nodeId, link);
    b.links.set(a.nodeId, link);
    a.tell('joined', b, link);
    b.tell('joined', a, link);
  }

  /** Nothing gets through any more. After a while the ends notice. */
  cut(link: Link): void {
    link.up = false;
    link.cutMs = this.time.now;
    this.time.after(FAILED_MS, () => {
      if (link.gone || link.up || this.time.now - link.cutMs < FAILED_MS) return;
      link.failed = true;
      link.a.tell('lost', link.b, link);
      link.b.tell('lost', link.a, link);
    });
    this.time.after(GONE_MS, () => {
      if (!link.gone && !link.up && this.time.now - link.cutMs >= GONE_MS) this.end(link);
    });
  }

  /** Packets get through again. */
  mend(link: Link): void {
    if (link.gone || link.up) return;
    link.up = true;
    if (link.failed) {
      link.failed = false;
      link.a.tell('recovered', link.b, link);
      link.b.tell('recovered', link.a, link);
    }
    for (const parcel of link.held.splice(0)) this.send(parcel, true);
  }

  /** Ends a session. */
  end(link: Link): void {
    link.gone = true;
    link.held.length = 0;
    link.a.links.delete(link.b.nodeId);
    link.b.links.delete(link.a.nodeId);
    link.a.tell('left', link.b, link);
    link.b.tell('left', link.a, link);
  }

  /** A node stops: with a goodbye, or so that the others have to notice. */
  leave(node: SimNode, goodbye: boolean): void {
    this.nodes.splice(this.nodes.indexOf(node), 1);
    node.close();
    for (const link of [...node.links.values()]) {
      if (goodbye) this.end(link);
      else this.cut(link);
    }
  }

  send(parcel: Parcel, reliable: boolean): void {
    const { link } = parcel;
    if (link.gone) return;
    if (!link.up) {
      if (reliable && link.held.length < HELD) link.held.push(parcel);
      return;
    }
    let delay = 1 + this.random() * 100;
    while (this.loss > 0 && this.random() < this.loss) {
      if (!reliable) return;
      delay += REPEAT_MS;
    }
    const tick = Math.ceil((this.time.now + delay) / TICK_MS);
    const waiting = this.#ticks.get(tick);
    if (waiting) {
      waiting.push(parcel);
      return;
    }
    this.#ticks.set(tick, [parcel]);
    this.time.after(tick * TICK_MS - this.time.now, () => this.#arrive(tick));
  }

  #arrive(tick: number): void {
    const parcels = this.#ticks.get(tick) ?? [];
    this.#ticks.delete(tick);
    for (const parcel of parcels) {
      const { link, to, packet } = parcel;
      if (link.gone || to.closed) continue;
      if (!link.up) {
        // Cut while it was under way.
        if (link.reliable) link.held.push(parcel);
        continue;
      }
      this.packets += 1;
      to.take(packet);
    }
  }

  /** All links that have an end here. */
  links(): Set<Link> {
    return new Set(this.nodes.flatMap((node) => [...node.links.values()]));
  }
}
