/** Announcements of one node over its sessions, and the index of what the others announced (40 §6–§8). */
import {
  ANNOUNCEMENT_SUBPROTOCOL,
  type Announcement,
  AnnouncementIntake,
  Announcer,
  type CapabilityFilter,
  CapabilityIndex,
  type CapabilitySet,
  type IndexedNode,
  type IntakeResult,
  localCopy,
  makeRoom,
  type NatClass,
  Outbox,
  type ScopeFilter,
} from '../../capabilities/index.js';
import { ChannelRate } from '../../channels/index.js';
import type { Packet } from '../batch.js';
import type { ControlHost, PeerTable } from './host.js';
import type { Subnets } from './subnets.js';

/** Options of the service. */
export interface CapabilityServiceOptions {
  /** Whether unsigned announcements are dropped; default true. */
  readonly requireSigned?: boolean;
  /** Who is where, which follows from what is announced. */
  readonly subnets: Subnets;
  /** Called when this node's own announcement was sent to all peers. */
  readonly onSent?: () => void;
}

/** Announcements that one session peer may send per second; a burst may be as large. */
const PER_PEER_AND_SECOND = 2000;

/** Nodes whose announcements a new peer is told: as many as the index holds by default. */
const MAX_PASSED = 65_536;
/** Bytes of these announcements. */
const MAX_PASSED_BYTES = 64 << 20;

const NEVER = Number.POSITIVE_INFINITY;

/** Announces, forwards, indexes, forgets. */
export class CapabilityService {
  readonly index: CapabilityIndex;
  readonly #host: ControlHost;
  readonly #peers: PeerTable;
  readonly #subnets: Subnets;
  readonly #onSent: (() => void) | undefined;
  readonly #announcer: Announcer;
  readonly #intake: AnnouncementIntake;
  readonly #outbox: Outbox;
  readonly #rates = new Map<bigint, ChannelRate>();
  /** Last announcement that each session peer made of itself, to be restored when it was silent only for a while. */
  readonly #own = new Map<bigint, Uint8Array>();
  /** Announcements of others as they are passed on, for peers that come later. */
  readonly #passed = new Map<bigint, Uint8Array>();
  #passedBytes = 0;
  #indexed: Announcement | undefined;
  #flooded = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #armedFor = NEVER;

  constructor(host: ControlHost, peers: PeerTable, options: CapabilityServiceOptions) {
    this.#host = host;
    this.#peers = peers;
    const { subnets, requireSigned = true } = options;
    this.#subnets = subnets;
    this.#onSent = options.onSent;
    this.index = new CapabilityIndex({
      ownNodeId: host.nodeId,
      sameSubnet: (id) => {
        const subnet = subnets.of(id);
        return subnet === undefined ? subnets.policy !== undefined : subnet === subnets.own;
      },
    });
    this.#intake = new AnnouncementIntake({ ownNodeId: host.nodeId, index: this.index, requireSigned });
    this.#announcer = new Announcer({
      identity: { nodeId: host.nodeId, entityId: host.entityId, sign: (message) => host.sign(message) },
    });
    this.#outbox = new Outbox({ send: (peer, bytes) => host.sendMessage(peer, ANNOUNCEMENT_SUBPROTOCOL, bytes) });
    host.onMessage(ANNOUNCEMENT_SUBPROTOCOL, (packet) => this.#receive(packet));
  }

  /** Announces a set; throws for wrong types and for a set that is too large. */
  announce(caps: CapabilitySet, ttlSecs?: number): void {
    this.#announcer.announce(caps, ttlSecs);
    this.#pump();
  }

  /** Changes the node's own tags and announces; nothing before the first announcement. */
  editTags(edit: (tags: readonly string[]) => string[]): void {
    this.#announcer.editTags(edit);
    this.#pump();
  }

  /** RPC services that the node serves. */
  setServices(services: Iterable<string>): void {
    this.#announcer.setServices(services);
    this.#pump();
  }

  /** How the node is reached from outside. */
  setNat(nat: NatClass, reflexAddr: string | undefined): void {
    this.#announcer.setNat(nat, reflexAddr);
    this.#pump();
  }

  /** Ids of the nodes that satisfy a filter. */
  find(filter: CapabilityFilter): bigint[] {
    return this.index.findNodes(filter);
  }

  /** The same within a scope. */
  findScoped(filter: CapabilityFilter, scope: ScopeFilter): bigint[] {
    return this.index.findNodesScoped(filter, scope);
  }

  /** What is known about a node. */
  get(nodeId: bigint): IndexedNode | undefined {
    return this.index.get(nodeId);
  }

  /** Tags that a node announced last. */
  tagsOf(nodeId: bigint): readonly string[] {
    return this.index.get(nodeId)?.tags ?? [];
  }

  /** Tags that this node announced last. */
  ownTags(): readonly string[] {
    return this.#announcer.latest?.tags ?? [];
  }

  /** Entity that a session peer proved to be. */
  entityOf(peer: bigint): Uint8Array | undefined {
    return this.#intake.entityOf(peer);
  }

  /** Subnet of a session peer, packed. */
  subnetOf(peer: bigint): number | undefined {
    return this.#subnets.of(peer);
  }

  /** A session was made: the peer gets to know us, and whom we know. */
  peerJoined(peer: bigint): void {
    this.#rates.delete(peer);
    // Who comes again may have been restarted.
    this.#own.delete(peer);
    this.#intake.sessionOpened(peer);
    this.#outbox.open(peer, this.#peers.get(peer)?.protocol === 'meshring');
    this.#greet(peer);
    for (const [node, bytes] of this.#passed) {
      if (!this.index.get(node)) this.#unpass(node);
      else if (node !== peer) this.#outbox.add(peer, node, bytes);
    }
    this.#pump();
  }

  #greet(peer: bigint): void {
    const bytes = this.#announcer.latestBytes;
    if (bytes) this.#outbox.add(peer, this.#host.nodeId, bytes);
  }

  #unpass(node: bigint): void {
    this.#passedBytes -= this.#passed.get(node)?.length ?? 0;
    this.#passed.delete(node);
  }

  /** A peer is silent: what it announced counts no longer. */
  peerFailed(peer: bigint): void {
    this.#outbox.pause(peer);
    this.#forget(peer);
    // Between nodes of ours the engine looks for another way first.
    if (this.#peers.get(peer)?.protocol !== 'meshring') this.#renew();
  }

  /** Who lost us forgets us, and has seen what others could tell it of us: only a new version reaches it over them. */
  #renew(): void {
    this.#announcer.renew();
    this.#pump();
  }

  #forget(peer: bigint): void {
    this.#intake.peerFailed(peer);
    this.#subnets.forget(peer);
  }

  /** A silent peer speaks again, in the same session: it is known again, and it may have forgotten us. */
  peerRecovered(peer: bigint): void {
    const bytes = this.#own.get(peer);
    if (bytes) this.#take(this.#intake.restore(bytes, peer), bytes, peer);
    // The published peer remembers that it has seen this version, and takes only a new one.
    if (this.#peers.get(peer)?.protocol !== 'meshring') this.#announcer.renew();
    this.#outbox.resume(peer);
    this.#greet(peer);
    this.#pump();
  }

  /** A session ended. */
  peerLeft(peer: bigint): void {
    this.#outbox.close(peer);
    this.#own.delete(peer);
    this.#rates.delete(peer);
    this.#forget(peer);
    this.#renew();
  }

  /** Removes what is over. */
  sweep(): void {
    this.#intake.sweep();
  }

  /** Numbers for `stats()`. */
  stats(): Record<string, number> {
    let dropped = this.#flooded;
    for (const [reason, count] of this.#intake.drops) if (reason !== 'seen' && reason !== 'own') dropped += count;
    return {
      announcementsDropped: dropped,
      announcementsShortened: this.#announcer.shortened,
      nodesIndexed: this.index.size,
    };
  }

  /** No timer runs afterwards. */
  close(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
  }

  #receive(packet: Packet): void {
    let rate = this.#rates.get(packet.peer);
    if (!rate) {
      rate = new ChannelRate(PER_PEER_AND_SECOND, performance.now());
      this.#rates.set(packet.peer, rate);
    }
    for (const event of packet.events) {
      if (rate.take(1, performance.now())) this.#take(this.#intake.receive(event, packet.peer), event, packet.peer);
      else this.#flooded += 1;
    }
  }

  #take(result: IntakeResult, bytes: Uint8Array, from: bigint): void {
    if (result.dropped !== undefined) return;
    const { announcement, forward, pins } = result;
    if (pins) {
      this.#own.set(from, Uint8Array.from(bytes));
      this.#subnets.peerAnnounced(from, announcement.tags);
    }
    if (announcement.hopCount > 0) this.#learnRoute(announcement, from);
    if (forward && result.indexed) {
      this.#unpass(announcement.nodeId);
      this.#passed.set(announcement.nodeId, forward);
      this.#passedBytes += forward.length;
      if (this.#passed.size > MAX_PASSED || this.#passedBytes > MAX_PASSED_BYTES) {
        makeRoom(this.#passed, this.#passed.size, (_, old) => {
          this.#passedBytes -= old.length;
        });
      }
    }
    if (forward) this.#forward(forward, announcement.nodeId, from);
  }

  /** Who passed an announcement on is a way to its maker (21 §4). */
  #learnRoute({ nodeId, hopCount }: Announcement, from: bigint): void {
    const { address } = this.#peers.get(from) ?? {};
    if (address === undefined || this.#host.closed) return;
    const { raw, driver } = this.#host;
    raw.learnRoute(driver.now(), nodeId, address, hopCount + 2);
  }

  /** Sends one copy per address, but neither back nor towards the origin. */
  #forward(bytes: Uint8Array, origin: bigint, from: bigint): void {
    const served = new Set([this.#peers.get(from)?.address, this.#peers.get(origin)?.address]);
    for (const relayed of [false, true]) {
      for (const [peer, { address, relayed: overRelay }] of this.#peers) {
        if (overRelay !== relayed || peer === origin || peer === from || served.has(address)) continue;
        served.add(address);
        this.#outbox.add(peer, origin, bytes);
      }
    }
    this.#arm();
  }

  /** Does what is due and arms the timer for what will be. */
  #pump(): void {
    if (this.#host.closed) return;
    const bytes = this.#announcer.poll();
    const latest = this.#announcer.latest;
    if (latest && latest !== this.#indexed) {
      this.#indexed = latest;
      this.#subnets.announced(latest.tags);
      this.index.index(localCopy(latest), true);
    }
    // Every session gets its copy, relayed ones too: only a node's own word proves who it is.
    if (bytes) {
      for (const peer of this.#peers.keys()) this.#outbox.add(peer, this.#host.nodeId, bytes);
      this.#onSent?.();
    }
    this.#outbox.poll();
    this.#arm();
  }

  #arm(): void {
    const deadline = Math.min(this.#announcer.deadline() ?? NEVER, this.#outbox.deadline() ?? NEVER);
    if (this.#timer !== undefined && deadline === this.#armedFor) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#armedFor = deadline;
    if (deadline === NEVER || this.#host.closed) return;
    const wait = Math.min(2 ** 31 - 1, Math.max(1, Math.ceil(deadline - performance.now())));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, wait);
    (this.#timer as { unref?: () => void }).unref?.();
  }
}
