/** `NetMesh`: the lower-level mesh node, whose errors are plain. */
import { CALL } from '../backend/mesh.js';
import type { CapabilityFilter, CapabilitySet, NatClass, ScopeFilter } from '../capabilities/index.js';
import {
  type PlacementFilterFn,
  type Predicate,
  placementFilters,
  type StandardPlacement,
} from '../capability-toolkit/index.js';
import type { ChannelConfig } from '../channels/index.js';
import { wrongType } from '../errors.js';
import type { SubnetId } from '../subnets/index.js';
import { abortable } from './abortable.js';
import { checkAddress, checkInteger, checkU64 } from './check.js';
import {
  type AnnounceOptions,
  type ChannelStats,
  type ChannelStream,
  type ChannelStreamOptions,
  ControlPlane,
  type PublishConfig,
  type PublishReport,
  type SubscriberInfo,
  type SubscriptionEvent,
  type SubscriptionInfo,
  type TokenSource,
} from './control/index.js';
import { CoreNode, checkTarget, type MeshConfig, type PeerEvent, type PeerInfo, shown } from './core-node.js';
import type { EventFilter, MeshEvent } from './inbox.js';
import { type DirectPath, Traversal, type TraversalStats } from './nat/index.js';
import { type NetStream, openStream, type StreamConfig, type StreamStats, streamStats } from './net-stream.js';
import { watchPeers } from './peer-watch.js';
import { Reconnector } from './reconnect.js';
import { resolveAddress } from './resolve.js';
import { checkEvents, pushTo, sendOnStream, sendWithRetries } from './sending.js';
import { type MeshStoredEvent, storedEvent } from './stored-event.js';

/** What `on` tells of (+). */
export interface NodeChanges {
  /** A peer. */
  peer: PeerEvent;
  /** A subscription of this node. */
  subscription: SubscriptionEvent;
}

/** Options of `connect` (+). */
export interface ConnectOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal;
  /**
   * Call the peer again whenever it has left (goodbye, or long silence), after 0.5, 1, 2 … 30 s, until `disconnect` or
   * `shutdown`. Default false: then only a peer that lost the session is called again.
   */
  readonly reconnect?: boolean;
}

/** A mesh node (30 §1). */
export class NetMesh {
  readonly #core: CoreNode;
  readonly #control: ControlPlane;
  readonly #traversal: Traversal;
  readonly #reconnector: Reconnector;

  private constructor(core: CoreNode, config: MeshConfig) {
    this.#core = core;
    this.#control = new ControlPlane(core, config);
    this.#traversal = new Traversal(core, this.#control.capabilities, config);
    this.#reconnector = new Reconnector(core);
  }

  /** Binds the socket; nothing is answered before `accept`, `connect` or `start`. */
  static async create(config: MeshConfig): Promise<NetMesh> {
    return new NetMesh(await CoreNode.create(config), config);
  }

  /** @internal Engine, queues and message handlers, for the subsystems on top. */
  static coreOf(node: NetMesh): CoreNode {
    return node.#core;
  }

  /** @internal Discovery and channels, for the subsystems on top. */
  static controlOf(node: NetMesh): ControlPlane {
    return node.#control;
  }

  /** Ed25519 public key of the identity, 32 bytes. */
  entityId(): Buffer {
    this.#core.check();
    return shown(this.#core.entityId.slice());
  }

  /** X25519 public key, 64 hex digits. */
  publicKey(): string {
    this.#core.check();
    return Array.from(this.#core.publicKey, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  /** Node id. */
  nodeId(): bigint {
    this.#core.check();
    return this.#core.nodeId;
  }

  /** + Origin hash of the identity. */
  get originHash(): bigint {
    return this.#core.originHash;
  }

  /** + `ip:port` of the socket. */
  localAddress(): string {
    this.#core.check();
    return this.#core.driver.address;
  }

  /** Connects to a node that waits in `accept` or is started. + `peerAddr` may have a host name. */
  async connect(peerAddr: string, peerPublicKey: string, peerNodeId: bigint, opts: ConnectOptions = {}): Promise<void> {
    const key = await this.#call(CALL.auto, peerAddr, peerPublicKey, peerNodeId, opts.signal);
    if (opts.reconnect) this.#reconnector.keep(peerNodeId, peerAddr, key);
    else this.#reconnector.drop(peerNodeId);
  }

  async #call(how: number, text: string, publicKey: string, peer: bigint, signal?: AbortSignal): Promise<Uint8Array> {
    const core = this.#core;
    core.check();
    const key = checkTarget(how === CALL.via ? 'connectVia' : 'connect', text, publicKey, peer);
    const address = resolveAddress('invalid peer address', text, core.driver.address);
    await core.connect(
      how,
      typeof address === 'string' ? address : await abortable(address, signal),
      key,
      peer,
      signal,
    );
    return key;
  }

  /** + Connects over a relay at `relayAddr`, or to a started node there. */
  async connectVia(
    relayAddr: string,
    peerPublicKey: string,
    peerNodeId: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.#call(CALL.via, relayAddr, peerPublicKey, peerNodeId, opts.signal);
  }

  /** + Connects over the next hop of the routing table. */
  async connectRouted(peerPublicKey: string, peerNodeId: bigint, opts: { signal?: AbortSignal } = {}): Promise<void> {
    this.#core.check();
    const key = checkTarget('connectRouted', '0.0.0.0:0', peerPublicKey, peerNodeId);
    await this.#core.connect(CALL.routed, '', key, peerNodeId, opts.signal);
  }

  /** Waits for one handshake of that node; resolves with its address. */
  async accept(peerNodeId: bigint, opts: { signal?: AbortSignal } = {}): Promise<string> {
    this.#core.check();
    checkU64('accept', 'peerNodeId', peerNodeId);
    return (await this.#core.accept(peerNodeId, opts.signal)).link;
  }

  /** + Waits for a handshake of any node of ours, or of any at all once started. */
  async acceptAny(opts: { signal?: AbortSignal } = {}): Promise<{ peerNodeId: bigint; address: string }> {
    this.#core.check();
    const { peer, link } = await this.#core.accept(null, opts.signal);
    return { peerNodeId: peer, address: link };
  }

  /** Begins heartbeats, pingwaves, relaying, answers to started-node handshakes. */
  async start(opts: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#core.start(opts.signal);
    this.#traversal.start();
  }

  /** Sessions, silent ones included. */
  peerCount(): number {
    return this.#core.raw.peerCount();
  }

  /** + All peers. */
  peers(): PeerInfo[] {
    this.#core.check();
    return this.#core.peers();
  }

  /** + Ends the session with a peer; nodes of ours are told. */
  disconnect(peerNodeId: bigint): boolean {
    this.#reconnector.drop(checkU64('disconnect', 'peerNodeId', peerNodeId));
    this.#core.driver.flush();
    const done = this.#core.raw.disconnect(this.#core.driver.now(), peerNodeId);
    this.#core.driver.flush();
    // An engine driven from this thread would tell it with the next datagram only; no listener runs before the return.
    queueMicrotask(() => this.#core.catchUp());
    return done;
  }

  /** Opens a stream or returns a handle of the open one (its first configuration stays). */
  openStream(peerNodeId: bigint, config: StreamConfig): NetStream {
    return openStream(this.#core, peerNodeId, config);
  }

  /** Closes a stream for this end; unknown ones are fine. */
  closeStream(peerNodeId: bigint, streamId: bigint): void {
    checkU64('closeStream', 'peerNodeId', peerNodeId);
    checkU64('closeStream', 'streamId', streamId);
    this.#core.raw.closeStream(this.#core.driver.now(), peerNodeId, streamId);
  }

  /**
   * Sends events, all or nothing. Resolves when they are handed to the socket; on a reliable stream between nodes of ours
   * when they are kept until the peer has them. Calls of one tick on such a stream share packets.
   */
  async sendOnStream(stream: NetStream, events: Buffer[]): Promise<void> {
    sendOnStream(this.#core, stream, events);
  }

  /** As `sendOnStream`, tried again after 5, 10, 20 … 200 ms while there is no credit. */
  async sendWithRetry(
    stream: NetStream,
    events: Buffer[],
    maxRetries = 8,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#core.check();
    checkEvents('sendWithRetry', events);
    const retries = checkInteger('maxRetries', maxRetries, 0, 2 ** 32 - 1, 8);
    await sendWithRetries(this.#core, stream, events, retries, opts.signal);
  }

  /** As `sendWithRetry` with 4096 retries. */
  async sendBlocking(stream: NetStream, events: Buffer[], opts: { signal?: AbortSignal } = {}): Promise<void> {
    this.#core.check();
    checkEvents('sendBlocking', events);
    await sendWithRetries(this.#core, stream, events, 4096, opts.signal);
  }

  /** A stream in numbers; null when peer or stream is unknown. */
  streamStats(peerNodeId: bigint, streamId: bigint): StreamStats | null {
    return streamStats(this.#core, peerNodeId, streamId);
  }

  /** Sends one event on stream 0 to the peer whose address is exactly `peerAddr`. */
  async pushTo(peerAddr: string, data: Buffer): Promise<boolean> {
    pushTo(this.#core, peerAddr, data);
    return true;
  }

  /** Removes and returns up to `limit` events of all shards, oldest first; never waits. */
  async poll(limit: number): Promise<MeshStoredEvent[]> {
    this.#core.check();
    const most = checkInteger('limit', limit, 0, 2 ** 32 - 1, 0);
    const shards = BigInt(Math.max(1, this.#core.numShards));
    return this.#core.inbox.poll(most).map((event) => storedEvent(event, shards));
  }

  /** + Events as they arrive; ends at shutdown. Keeps the process alive. */
  async *events(filter: EventFilter = {}): AsyncGenerator<MeshEvent, void, void> {
    this.#core.check();
    const done = this.#core.hold();
    try {
      yield* this.#core.inbox.events(filter);
    } finally {
      done();
    }
  }

  /** + Calls the callback with events in batches as they arrive; returns the function that ends it. Does not keep the process alive. */
  onEvents(callback: (events: MeshEvent[]) => void, filter: EventFilter = {}): () => void {
    this.#core.check();
    return this.#core.inbox.onEvents(callback, filter);
  }

  /**
   * + Calls the listener when a peer joins, is lost, recovers, moves or leaves, or when a subscription of this node begins,
   * is lost, dropped or got back; returns the function that ends it.
   */
  on<K extends keyof NodeChanges>(what: K, listener: (event: NodeChanges[K]) => void): () => void;
  on(what: keyof NodeChanges, listener: (event: never) => void): () => void {
    this.#core.check();
    if (what === 'peer') return this.#core.onPeer(listener as (event: PeerEvent) => void);
    if (what === 'subscription') return this.#control.onSubscription(listener as (event: SubscriptionEvent) => void);
    throw wrongType('on', 'what', what, "'peer' or 'subscription'", 'InvalidArg');
  }

  /** + Changes of peers as they happen; ends at shutdown or with the signal. Keeps the process alive. */
  peerEvents(opts: { signal?: AbortSignal } = {}): AsyncGenerator<PeerEvent, void, void> {
    return watchPeers(this.#core, opts);
  }

  /** Adds a direct-metric route. */
  addRoute(destNodeId: bigint, nextHop: string): void {
    checkU64('addRoute', 'destNodeId', destNodeId);
    checkAddress('invalid next hop address', nextHop);
    this.#core.raw.addRoute(this.#core.driver.now(), destNodeId, nextHop);
  }

  /** + All routes. */
  routes(): { id: bigint; nextHop: string; metric: number }[] {
    const list = JSON.parse(this.#core.raw.routes()) as { id: string; nextHop: string; metric: number }[];
    return list.map((route) => ({ ...route, id: BigInt(route.id) }));
  }

  /** Nodes in the topology graph, without self. */
  discoveredNodes(): number {
    return this.#core.raw.discoveredNodes();
  }

  /** + Counters: datagrams, drops by cause, retransmissions. */
  stats(): Record<string, number> {
    const engine = JSON.parse(this.#core.raw.stats()) as Record<string, number>;
    return { ...engine, ...this.#control.stats(), ...this.#traversal.stats() };
  }

  /** What kind of NAT this node is behind; `unknown` before the first classification. */
  natType(): NatClass {
    return this.#traversal.natType();
  }

  /** Own public `ip:port`, as peers saw it last or as it was told; null when unknown. */
  reflexAddr(): string | null {
    return this.#traversal.reflexAddr();
  }

  /** What a node announced about its NAT; `unknown` when nothing. */
  peerNatType(peerNodeId: bigint): NatClass {
    return this.#traversal.peerNatType(peerNodeId);
  }

  /** Asks a peer under which `ip:port` it knows this node; rejects with `traversal: reflex-timeout` after three seconds. */
  probeReflex(peerNodeId: bigint, opts: { signal?: AbortSignal } = {}): Promise<string> {
    return this.#traversal.probeReflex(peerNodeId, opts.signal);
  }

  /** Finds class and address anew by asking two peers. No effect with fewer, or while an override is set. */
  reclassifyNat(): Promise<void> {
    return this.#traversal.reclassifyNat();
  }

  /** Punches and fallbacks so far. */
  traversalStats(): TraversalStats {
    return this.#traversal.traversalStats();
  }

  /**
   * Reaches a node on the shortest way that the NATs of both allow, arranged by a peer of both, which relays otherwise.
   * `publicKey`: 64 hex digits or 32 bytes. + Tells which way it is. An existing session is kept.
   */
  async connectDirect(
    peerNodeId: bigint,
    publicKey: string | Uint8Array,
    coordinator: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<{ path: DirectPath }> {
    return { path: await this.#traversal.connectDirect(peerNodeId, publicKey, coordinator, opts.signal) };
  }

  /** This node is reached at `ip:port`: its class is `open`, and peers are no longer asked. */
  setReflexOverride(external: string): void {
    this.#traversal.setReflexOverride(external);
  }

  /** Ends `setReflexOverride`; class and address are unknown again. */
  clearReflexOverride(): void {
    this.#traversal.clearReflexOverride();
  }

  /**
   * Announces what this node offers: to all peers (at most every ten seconds, the latest counts), to each new peer, and
   * anew before it expires. Rejects for wrong types, and for a set of more than 8093 bytes.
   */
  announceCapabilities(caps: CapabilitySet, opts: AnnounceOptions = {}): Promise<void> {
    return this.#control.announce(caps, opts);
  }

  /** Ids of the nodes that satisfy a filter, this one included; in no particular order. */
  findNodes(filter: CapabilityFilter): bigint[] {
    return this.#control.findNodes(filter);
  }

  /** The same, within a scope: by default whatever is not local to a subnet. */
  findNodesScoped(filter: CapabilityFilter, scope: ScopeFilter = { kind: 'any' }): bigint[] {
    return this.#control.findNodesScoped(filter, scope);
  }

  /** + Ids of the nodes whose announced tags and metadata satisfy a predicate. Time grows with the number of nodes. */
  findNodesMatching(predicate: Predicate): bigint[] {
    return this.#control.findNodesMatching(predicate);
  }

  /**
   * + Ids of the nodes that a placement admits, smallest first. Its custom filter must be registered in this process;
   * nobody is admitted otherwise.
   */
  selectNodes(placement: StandardPlacement): bigint[] {
    return this.#control.selectNodes(placement);
  }

  /**
   * Adds a custom filter that placements name by its id (`withCustomFilterId`), for all nodes of this process. `false` when
   * the id is taken; the filter that has it stays. Throws for wrong types, and after `shutdown`.
   */
  registerPlacementFilter(id: string, fn: PlacementFilterFn): boolean {
    this.#core.check();
    if (typeof id !== 'string') throw wrongType('registerPlacementFilter', 'id', id, 'a string', 'StringExpected');
    if (typeof fn !== 'function') throw wrongType('registerPlacementFilter', 'fn', fn, 'a function', 'InvalidArg');
    return placementFilters.register(id, fn);
  }

  /** Removes a custom filter; `false` when there is none of this id. Also after `shutdown`. */
  unregisterPlacementFilter(id: string): boolean {
    return placementFilters.unregister(id);
  }

  /** Whether there is a custom filter of this id. Also after `shutdown`. */
  hasPlacementFilter(id: string): boolean {
    return placementFilters.has(id);
  }

  /** + Subnet of a peer by this node's policy; `undefined` when unknown. */
  peerSubnet(peerNodeId: bigint): SubnetId | undefined {
    this.#core.check();
    return this.#control.peerSubnet(peerNodeId);
  }

  /** Adds or replaces a channel that others may subscribe to at this node. */
  registerChannel(config: ChannelConfig): void {
    this.#control.registerChannel(config);
  }

  /** + Removes a channel and its subscribers; `false` when there is none. */
  unregisterChannel(name: string): boolean {
    return this.#control.unregisterChannel(name);
  }

  /** + Registered channels. */
  channels(): ChannelConfig[] {
    return this.#control.channels();
  }

  /** + Subscribers of a channel of this node, with what was delivered to them. */
  subscribers(channel: string): SubscriberInfo[] {
    return this.#control.subscribers(channel);
  }

  /** + A registered channel in numbers; `undefined` when there is none. */
  channelStats(channel: string): ChannelStats | undefined {
    return this.#control.channelStats(channel);
  }

  /** + Subscriptions of this node. Lost and dropped ones are asked for again. */
  subscriptions(): SubscriptionInfo[] {
    return this.#control.listSubscriptions();
  }

  /** Subscribes to a channel of a peer; rejects with the reason of the refusal, or after 5 s without an answer. */
  async subscribeChannel(
    publisherNodeId: bigint,
    channel: string,
    token?: TokenSource,
    opts: { queueGroup?: string; signal?: AbortSignal } = {},
  ): Promise<void> {
    const { queueGroup, signal } = opts;
    signal?.throwIfAborted();
    const before = signal !== undefined && this.#control.isSubscribed(publisherNodeId, channel);
    const work = this.#control.subscribeChannel(publisherNodeId, channel, { token, queueGroup });
    try {
      await abortable(work, signal);
    } catch (error) {
      // Who gave up does not want what comes late.
      const undo = () => this.#control.unsubscribeChannel(publisherNodeId, channel);
      if (signal?.aborted && !before) work.then(undo).catch(() => {});
      throw error;
    }
  }

  /** Ends a subscription; fine when there is none. */
  async unsubscribeChannel(
    publisherNodeId: bigint,
    channel: string,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    opts.signal?.throwIfAborted();
    await abortable(this.#control.unsubscribeChannel(publisherNodeId, channel), opts.signal);
  }

  /** Sends a payload of at most 8108 bytes to every subscriber of a channel. */
  publish(channel: string, payload: Buffer, config?: PublishConfig): Promise<PublishReport> {
    return this.#control.publish(channel, [payload], config);
  }

  /** + Sends several payloads to every subscriber, all or none of them, in as few packets as possible. */
  publishMany(channel: string, payloads: readonly Buffer[], config?: PublishConfig): Promise<PublishReport> {
    return this.#control.publish(channel, payloads, config);
  }

  /**
   * + Messages of a channel as they arrive. With `publisher` it subscribes there first and ends the subscription with the
   * iteration; without, it shows what `subscribeChannel` subscribed to.
   */
  subscribe(channel: string, opts: ChannelStreamOptions = {}): ChannelStream {
    return this.#control.subscribe(channel, opts);
  }

  /** + Keeps a token: a delegation that proves an issuer, or what a subscriber need not present. */
  installToken(token: Uint8Array): void {
    this.#control.installToken(token);
  }

  #kept: (() => void) | undefined;

  /** + Keeps the process alive until `unref` or `shutdown`. */
  ref(): this {
    this.#core.check();
    this.#kept ??= this.#core.hold();
    return this;
  }

  /** + Undoes `ref`: an idle node lets the process end, which is the default. */
  unref(): this {
    this.#kept?.();
    this.#kept = undefined;
    return this;
  }

  /** Ends the node: up to `drainMs` (default 1000) for unacknowledged events, then goodbye. */
  async shutdown(opts: { drainMs?: number } = {}): Promise<void> {
    await this.#core.shutdown(checkInteger('drainMs', opts.drainMs, 0, 2 ** 31 - 1, 1000));
  }

  /** `shutdown` without an error when already closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#core.closed) await this.#core.shutdown(1000);
  }
}
