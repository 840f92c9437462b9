/** `MeshNode`: the facade's mesh node, with error classes. Channels and capabilities are put on top of it. */
import type { CapabilityFilter, CapabilitySet, NatClass, ScopeFilter } from '../capabilities/index.js';
import type { PlacementFilterFn, Predicate, StandardPlacement } from '../capability-toolkit/index.js';
import type { ChannelConfig } from '../channels/index.js';
import { BackpressureError, MeshringError, NotConnectedError } from '../errors.js';
import type { Token } from '../identity/index.js';
import type { SubnetId } from '../subnets/index.js';
import {
  type AnnounceOptions,
  type ChannelStats,
  type ChannelStream,
  type ChannelStreamOptions,
  type ControlPlane,
  classifyChannelError,
  type PublishConfig,
  type PublishReport,
  type SubscriberInfo,
  type SubscriptionInfo,
  type TokenSource,
} from './control/index.js';
import type { CoreNode, MeshConfig, PeerEvent, PeerInfo } from './core-node.js';
import type { EventFilter, MeshEvent } from './inbox.js';
import type { DirectPath, TraversalStats } from './nat/index.js';
import { type ConnectOptions, NetMesh, type NodeChanges } from './net-mesh.js';
import type { NetStream, StreamConfig, StreamStats } from './net-stream.js';
import type { MeshStoredEvent } from './stored-event.js';

/** A stream of a peer; made by `openStream`. */
export interface MeshStream {
  /** Node id. */
  readonly peerNodeId: bigint;
  /** Stream id. */
  readonly streamId: bigint;
  /** The lower-level handle; for compatibility only. */
  readonly _native: unknown;
  /**
   * + Until the stream takes more: a full packet by default, or events of so many `bytes` altogether, 4 added for each. Others
   * may take the room before you do. Rejects with `NotConnectedError` when the stream is gone.
   */
  ready?(opts?: { bytes?: number; signal?: AbortSignal }): Promise<void>;
}

/** Text that begins so becomes the class; everything else passes unchanged. */
function classified(error: unknown): unknown {
  const text = error instanceof Error ? error.message : '';
  if (text.startsWith('stream would block')) return new BackpressureError(text, { cause: error });
  if (text.startsWith('stream not connected')) return new NotConnectedError(text, { cause: error });
  return error;
}

async function classify(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw classified(error);
  }
}

async function channelWork<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw classifyChannelError(error);
  }
}

function channelCall<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw classifyChannelError(error);
  }
}

/** Options of `subscribeChannel`. */
export interface SubscribeOptions {
  /**
   * What the publisher wants to see. + Several tokens: the one that fits the channel is presented, with a wildcard all of them
   * (up to 8). + A function: asked with the channel's name (or the wildcard) when a token is needed, and again before it expires.
   */
  token?: TokenSource;
  /** + Queue group: of its members one receives each payload. */
  queueGroup?: string;
  /** + Gives up waiting; a subscription that comes about later is ended. */
  signal?: AbortSignal;
}

let making = false;

/** A mesh node (30 §1). */
export class MeshNode {
  readonly #mesh: NetMesh;

  private constructor(mesh: NetMesh) {
    if (!making) throw new TypeError('MeshNode has no public constructor; use await MeshNode.create(config)');
    this.#mesh = mesh;
    Object.defineProperty(this, 'native', { value: mesh, enumerable: false });
  }

  /** Binds the socket; nothing is answered before `accept`, `connect` or `start`. */
  static async create(config: MeshConfig): Promise<MeshNode> {
    const mesh = await NetMesh.create(config);
    making = true;
    try {
      return new MeshNode(mesh);
    } finally {
      making = false;
    }
  }

  /** @internal Engine, queues and message handlers, for the subsystems on top. */
  static coreOf(node: MeshNode): CoreNode {
    return NetMesh.coreOf(node.#mesh);
  }

  /** @internal Discovery and channels, for the subsystems on top. */
  static controlOf(node: MeshNode): ControlPlane {
    return NetMesh.controlOf(node.#mesh);
  }

  /** The lower-level node; for compatibility only. */
  get _native(): NetMesh {
    return this.#mesh;
  }

  /** Ed25519 public key of the identity, 32 bytes. */
  entityId(): Buffer {
    return this.#mesh.entityId();
  }

  /** X25519 public key, 64 hex digits; new at every create unless `staticKey` is given. */
  publicKey(): string {
    return this.#mesh.publicKey();
  }

  /** Node id. */
  nodeId(): bigint {
    return this.#mesh.nodeId();
  }

  /** + Origin hash of the identity. */
  get originHash(): bigint {
    return this.#mesh.originHash;
  }

  /** + `ip:port` of the socket. */
  localAddress(): string {
    return this.#mesh.localAddress();
  }

  /** Connects to a node that waits in `accept` or is started. + `peerAddr` may have a host name. */
  connect(peerAddr: string, peerPublicKey: string, peerNodeId: bigint, opts: ConnectOptions = {}): Promise<void> {
    return this.#mesh.connect(peerAddr, peerPublicKey, peerNodeId, opts);
  }

  /** + Connects over a relay. */
  connectVia(
    relayAddr: string,
    peerPublicKey: string,
    peerNodeId: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    return this.#mesh.connectVia(relayAddr, peerPublicKey, peerNodeId, opts);
  }

  /** + Connects over the next hop of the routing table. */
  connectRouted(peerPublicKey: string, peerNodeId: bigint, opts: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#mesh.connectRouted(peerPublicKey, peerNodeId, opts);
  }

  /** Waits for one handshake of that node; resolves with its address. */
  accept(peerNodeId: bigint, opts: { signal?: AbortSignal } = {}): Promise<string> {
    return this.#mesh.accept(peerNodeId, opts);
  }

  /** + Waits for a handshake of any node. */
  acceptAny(opts: { signal?: AbortSignal } = {}): Promise<{ peerNodeId: bigint; address: string }> {
    return this.#mesh.acceptAny(opts);
  }

  /** Begins heartbeats, pingwaves, relaying, answers to strangers. */
  start(opts: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#mesh.start(opts);
  }

  /** Sessions, silent ones included. */
  peerCount(): number {
    return this.#mesh.peerCount();
  }

  /** + All peers. */
  peers(): PeerInfo[] {
    return this.#mesh.peers();
  }

  /** + Ends the session with a peer. */
  disconnect(peerNodeId: bigint): boolean {
    return this.#mesh.disconnect(peerNodeId);
  }

  /** Opens a stream or returns a handle of the open one. */
  openStream(peerNodeId: bigint, config: StreamConfig): MeshStream & Required<Pick<MeshStream, 'ready'>> {
    const native = this.#mesh.openStream(peerNodeId, config);
    return {
      peerNodeId: native.peerNodeId,
      streamId: native.streamId,
      _native: native,
      ready: (opts) => classify(native.ready(opts)),
    };
  }

  /** Closes a stream for this end; unknown ones are fine. */
  closeStream(peerNodeId: bigint, streamId: bigint): void {
    this.#mesh.closeStream(peerNodeId, streamId);
  }

  /** Sends events, all or nothing; `BackpressureError` when the credit does not suffice, `NotConnectedError` for a dead handle. */
  sendOnStream(stream: MeshStream, events: Buffer[]): Promise<void> {
    return classify(this.#mesh.sendOnStream(stream?._native as NetStream, events));
  }

  /** As `sendOnStream`, tried again after 5, 10, 20 … 200 ms while there is no credit. */
  sendWithRetry(
    stream: MeshStream,
    events: Buffer[],
    maxRetries = 8,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    return classify(this.#mesh.sendWithRetry(stream?._native as NetStream, events, maxRetries, opts));
  }

  /** As `sendWithRetry` with 4096 retries. */
  sendBlocking(stream: MeshStream, events: Buffer[], opts: { signal?: AbortSignal } = {}): Promise<void> {
    return classify(this.#mesh.sendBlocking(stream?._native as NetStream, events, opts));
  }

  /** A stream in numbers; null when peer or stream is unknown. */
  streamStats(peerNodeId: bigint, streamId: bigint): StreamStats | null {
    return this.#mesh.streamStats(peerNodeId, streamId);
  }

  /** + Removes and returns up to `limit` events, oldest first; never waits. */
  poll(limit: number): Promise<MeshStoredEvent[]> {
    return this.#mesh.poll(limit);
  }

  /** + Events as they arrive; ends at shutdown or with the signal. */
  events(filter: EventFilter = {}): AsyncGenerator<MeshEvent, void, void> {
    return this.#mesh.events(filter);
  }

  /** + Calls the callback with events in batches; returns the function that ends it. */
  onEvents(callback: (events: MeshEvent[]) => void, filter: EventFilter = {}): () => void {
    return this.#mesh.onEvents(callback, filter);
  }

  /** + Calls the listener for each change of a peer, or of a subscription; returns the function that ends it. */
  on<K extends keyof NodeChanges>(what: K, listener: (event: NodeChanges[K]) => void): () => void {
    return this.#mesh.on(what, listener);
  }

  /** + Changes of peers as they happen; ends at shutdown or with the signal. */
  peerEvents(opts: { signal?: AbortSignal } = {}): AsyncGenerator<PeerEvent, void, void> {
    return this.#mesh.peerEvents(opts);
  }

  /** + All routes. */
  routes(): { id: bigint; nextHop: string; metric: number }[] {
    return this.#mesh.routes();
  }

  /** + Counters: datagrams, drops by cause, retransmissions. */
  stats(): Record<string, number> {
    return this.#mesh.stats();
  }

  /** What kind of NAT this node is behind; `unknown` before the first classification. */
  natType(): NatClass {
    return this.#mesh.natType();
  }

  /** Own public `ip:port`, as peers saw it last or as it was told; null when unknown. */
  reflexAddr(): string | null {
    return this.#mesh.reflexAddr();
  }

  /** What a node announced about its NAT; `unknown` when nothing. */
  peerNatType(peerNodeId: bigint): NatClass {
    return this.#mesh.peerNatType(peerNodeId);
  }

  /** Asks a peer under which `ip:port` it knows this node; rejects with `traversal: reflex-timeout` after three seconds. */
  probeReflex(peerNodeId: bigint, opts: { signal?: AbortSignal } = {}): Promise<string> {
    return this.#mesh.probeReflex(peerNodeId, opts);
  }

  /** Finds class and address anew by asking two peers. No effect with fewer, or while an override is set. */
  reclassifyNat(): Promise<void> {
    return this.#mesh.reclassifyNat();
  }

  /** Punches and fallbacks so far. */
  traversalStats(): TraversalStats {
    return this.#mesh.traversalStats();
  }

  /**
   * Reaches a node on the shortest way that the NATs of both allow, arranged by a peer of both, which relays otherwise.
   * `publicKey`: 64 hex digits or 32 bytes. + Tells which way it is. An existing session is kept.
   */
  connectDirect(
    peerNodeId: bigint,
    publicKey: string | Uint8Array,
    coordinator: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<{ path: DirectPath }> {
    return this.#mesh.connectDirect(peerNodeId, publicKey, coordinator, opts);
  }

  /** This node is reached at `ip:port`: its class is `open`, and peers are no longer asked. */
  setReflexOverride(external: string): void {
    this.#mesh.setReflexOverride(external);
  }

  /** Ends `setReflexOverride`; class and address are unknown again. */
  clearReflexOverride(): void {
    this.#mesh.clearReflexOverride();
  }

  /**
   * Announces what this node offers: to all peers (at most every ten seconds, the latest counts), to each new peer, and
   * anew before it expires. Rejects for wrong types, and for a set of more than 8093 bytes.
   */
  announceCapabilities(caps: CapabilitySet, opts: AnnounceOptions = {}): Promise<void> {
    return this.#mesh.announceCapabilities(caps, opts);
  }

  /** Ids of the nodes that satisfy a filter, this one included; in no particular order. */
  findNodes(filter: CapabilityFilter): bigint[] {
    return this.#mesh.findNodes(filter);
  }

  /** The same, within a scope: by default whatever is not local to a subnet. */
  findNodesScoped(filter: CapabilityFilter, scope: ScopeFilter = { kind: 'any' }): bigint[] {
    return this.#mesh.findNodesScoped(filter, scope);
  }

  /** + Ids of the nodes whose announced tags and metadata satisfy a predicate. Time grows with the number of nodes. */
  findNodesMatching(predicate: Predicate): bigint[] {
    return this.#mesh.findNodesMatching(predicate);
  }

  /**
   * + Ids of the nodes that a placement admits, smallest first. Its custom filter must be registered in this process;
   * nobody is admitted otherwise.
   */
  selectNodes(placement: StandardPlacement): bigint[] {
    return this.#mesh.selectNodes(placement);
  }

  /**
   * + Adds a custom filter that placements name by its id, for all nodes of this process. `false` when the id is taken; the
   * filter that has it stays.
   */
  registerPlacementFilter(id: string, fn: PlacementFilterFn): boolean {
    return this.#mesh.registerPlacementFilter(id, fn);
  }

  /** + Removes a custom filter; `false` when there is none of this id. Also after `shutdown`. */
  unregisterPlacementFilter(id: string): boolean {
    return this.#mesh.unregisterPlacementFilter(id);
  }

  /** + Whether there is a custom filter of this id. Also after `shutdown`. */
  hasPlacementFilter(id: string): boolean {
    return this.#mesh.hasPlacementFilter(id);
  }

  /** + Subnet of a peer by this node's policy; `undefined` when unknown. */
  peerSubnet(peerNodeId: bigint): SubnetId | undefined {
    return this.#mesh.peerSubnet(peerNodeId);
  }

  /** Adds or replaces a channel that others may subscribe to at this node; throws `ChannelError`. */
  registerChannel(config: ChannelConfig): void {
    channelCall(() => this.#mesh.registerChannel(config));
  }

  /** + Removes a channel and its subscribers; `false` when there is none. */
  unregisterChannel(name: string): boolean {
    return this.#mesh.unregisterChannel(name);
  }

  /** + Registered channels. */
  channels(): ChannelConfig[] {
    return this.#mesh.channels();
  }

  /** + Subscribers of a channel of this node, with what was delivered to them. */
  subscribers(channel: string): SubscriberInfo[] {
    return this.#mesh.subscribers(channel);
  }

  /** + A registered channel in numbers; `undefined` when there is none. */
  channelStats(channel: string): ChannelStats | undefined {
    return this.#mesh.channelStats(channel);
  }

  /** + Subscriptions of this node. Lost and dropped ones are asked for again. */
  subscriptions(): SubscriptionInfo[] {
    return this.#mesh.subscriptions();
  }

  /**
   * Subscribes to a channel of a peer; + `sensors/*`: to `sensors` and everything below it, now and later. Rejects with `ChannelAuthError` when it is not allowed, `ChannelError` for every
   * other refusal and after 5 s without an answer, `TokenError` for a malformed token.
   */
  subscribeChannel(publisherNodeId: bigint, channel: string, opts: SubscribeOptions = {}): Promise<void> {
    const { token, queueGroup, signal } = opts ?? {};
    const more = { ...(queueGroup === undefined ? {} : { queueGroup }), ...(signal ? { signal } : {}) };
    return channelWork(() => this.#mesh.subscribeChannel(publisherNodeId, channel, token, more));
  }

  /** Ends a subscription; fine when there is none. */
  unsubscribeChannel(publisherNodeId: bigint, channel: string, opts: { signal?: AbortSignal } = {}): Promise<void> {
    return channelWork(() => this.#mesh.unsubscribeChannel(publisherNodeId, channel, opts));
  }

  /** Sends a payload of at most 8108 bytes to every subscriber of a channel; rejects with `ChannelError`. */
  publish(channel: string, payload: Buffer, config?: PublishConfig): Promise<PublishReport> {
    return channelWork(() => this.#mesh.publish(channel, payload, config));
  }

  /** + Sends several payloads to every subscriber, all or none of them, in as few packets as possible. */
  publishMany(channel: string, payloads: readonly Buffer[], config?: PublishConfig): Promise<PublishReport> {
    return channelWork(() => this.#mesh.publishMany(channel, payloads, config));
  }

  /**
   * + Messages of a channel as they arrive. With `publisher` it subscribes there first (`ready` tells when) and ends the
   * subscription with the iteration; without, it shows what `subscribeChannel` subscribed to.
   */
  subscribe(channel: string, opts: ChannelStreamOptions = {}): ChannelStream {
    return channelCall(() => NetMesh.controlOf(this.#mesh).subscribe(channel, opts, classifyChannelError));
  }

  /** + Keeps a token: a delegation that proves an issuer, or what a subscriber need not present. */
  installToken(token: Token | Uint8Array): void {
    channelCall(() => this.#mesh.installToken(token instanceof Uint8Array ? token : token.toBuffer()));
  }

  /** For tests of the published package; this build has no test helpers. */
  _testInjectSyntheticPeer(_nodeId: bigint): void {
    throw new MeshringError('unsupported', 'testInjectSyntheticPeer: NAPI build missing `test-helpers` feature');
  }

  /** + Keeps the process alive until `unref` or `shutdown`. */
  ref(): this {
    this.#mesh.ref();
    return this;
  }

  /** + Undoes `ref`: an idle node lets the process end, which is the default. */
  unref(): this {
    this.#mesh.unref();
    return this;
  }

  /** Ends the node: up to `drainMs` (default 1000) for unacknowledged events, then goodbye. */
  shutdown(opts: { drainMs?: number } = {}): Promise<void> {
    return this.#mesh.shutdown(opts);
  }

  /** `shutdown` without an error when already closed. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#mesh[Symbol.asyncDispose]();
  }
}
