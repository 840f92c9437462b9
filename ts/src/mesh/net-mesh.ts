/** `NetMesh` and `NetStream`: the lower-level mesh node, whose errors are plain. */
import { CALL, REFUSED } from '../backend/mesh.js';
import type { CapabilityFilter, CapabilitySet, ScopeFilter } from '../capabilities/index.js';
import type { ChannelConfig } from '../channels/index.js';
import { MeshringError, messageOf, wrongType } from '../errors.js';
import type { SubnetId } from '../subnets/index.js';
import { checkAddress, checkInteger, checkU64 } from './check.js';
import {
  type AnnounceOptions,
  type ChannelStream,
  type ChannelStreamOptions,
  ControlPlane,
  type PublishConfig,
  type PublishReport,
  type SubscriberInfo,
  type SubscriptionInfo,
} from './control/index.js';
import { CLOSED, CoreNode, checkTarget, type MeshConfig, type PeerEvent, type PeerInfo, shown } from './core-node.js';
import { frame, MAX_EVENT_BYTES } from './frames.js';
import type { EventFilter, MeshEvent } from './inbox.js';

/** What a stream promises; see `StreamConfig`. */
export type Reliability = 'fire_and_forget' | 'reliable';

/** How a stream is opened. */
export interface StreamConfig {
  /** Any 64-bit number but the highest. */
  streamId: bigint;
  /** Between nodes of ours `reliable` = no loss, no duplicates, in order; toward 0.19.0 it is a flag. Default `'fire_and_forget'`. */
  reliability?: Reliability;
  /** Send window in bytes on the wire, 0..2^32−1; 0 = none. Default 65536. */
  windowBytes?: number;
  /** Share in the transmit order, 0..255; 0 acts as 1. Default 1. */
  fairnessWeight?: number;
}

/** A stream in numbers. */
export interface StreamStats {
  /** Next sequence to send. */
  readonly txSeq: bigint;
  /** Highest accepted sequence; 0 also when nothing came. */
  readonly rxSeq: bigint;
  /** Always 0: events wait in the node's queue. */
  readonly inboundPending: bigint;
  /** Unix nanoseconds of the last send or receive. */
  readonly lastActivityNs: bigint;
  /** True while the stream is there. */
  readonly active: boolean;
  /** Refused sends. */
  readonly backpressureEvents: bigint;
  /** Bytes that may be sent; 0 when the window is 0. */
  readonly txCreditRemaining: number;
  /** The window. */
  readonly txWindow: number;
  /** Grants or acknowledgements that came. */
  readonly creditGrantsReceived: bigint;
  /** Grants or acknowledgements that left. */
  readonly creditGrantsSent: bigint;
  /** + Which protocol the session speaks. */
  readonly protocol: 'net-0.19' | 'meshring';
}

/** An event as `poll` returns it. */
export interface MeshStoredEvent {
  /** `<sequence>:<index>`. */
  id: string;
  /** Text if the bytes are UTF-8, else empty. */
  raw: string;
  /** The bytes. */
  rawBytes: Buffer;
  /** Sequence of the packet. */
  insertionTs: number;
  /** `streamId mod numShards`. */
  shardId: number;
}

/** A stream of a peer; made by `openStream`. */
export class NetStream {
  /** Node id. */
  readonly peerNodeId: bigint;
  /** Stream id. */
  readonly streamId: bigint;
  readonly #owner: object;
  readonly #handle: number;
  readonly #window: number;

  /** @internal */
  constructor(owner: object, handle: number, window: number, peerNodeId: bigint, streamId: bigint) {
    this.#owner = owner;
    this.#handle = handle;
    this.#window = window;
    this.peerNodeId = peerNodeId;
    this.streamId = streamId;
  }

  /** @internal Number of the stream in the engine of `owner`; null for another node's. */
  static handleOf(stream: NetStream, owner: object): number | null {
    return stream instanceof NetStream && stream.#owner === owner ? stream.#handle : null;
  }

  /** @internal Window in bytes; 0 = none. */
  static windowOf(stream: NetStream): number {
    return stream.#window;
  }
}

const BACKPRESSURE = 'stream would block: stream queue full';
const NOT_CONNECTED = 'stream not connected: peer session gone';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function asText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return '';
  }
}

function checkEvents(method: string, events: readonly Uint8Array[]): void {
  if (!Array.isArray(events)) throw wrongType(method, 'events', events, 'an array of Buffers', 'ArrayExpected');
  for (const event of events) {
    if (!(event instanceof Uint8Array)) throw wrongType(method, 'events', event, 'an array of Buffers', 'InvalidArg');
    if (event.length > MAX_EVENT_BYTES) {
      throw new MeshringError(
        'too-large',
        `stream transport error: event too large (${event.length} > ${MAX_EVENT_BYTES})`,
      );
    }
  }
}

/** A mesh node (30 §1). */
export class NetMesh {
  readonly #core: CoreNode;
  readonly #control: ControlPlane;

  private constructor(core: CoreNode, config: MeshConfig) {
    this.#core = core;
    this.#control = new ControlPlane(core, config);
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

  /** Connects to a node that waits in `accept` or is started. */
  async connect(
    peerAddr: string,
    peerPublicKey: string,
    peerNodeId: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#core.check();
    const key = checkTarget('connect', peerAddr, peerPublicKey, peerNodeId);
    await this.#core.connect(CALL.auto, peerAddr, key, peerNodeId, opts.signal);
  }

  /** + Connects over a relay at `relayAddr`, or to a started node there. */
  async connectVia(
    relayAddr: string,
    peerPublicKey: string,
    peerNodeId: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#core.check();
    const key = checkTarget('connectVia', relayAddr, peerPublicKey, peerNodeId);
    await this.#core.connect(CALL.via, relayAddr, key, peerNodeId, opts.signal);
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
  async start(): Promise<void> {
    await this.#core.start();
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
    const done = this.#core.raw.disconnect(this.#core.driver.now(), checkU64('disconnect', 'peerNodeId', peerNodeId));
    this.#core.driver.flush();
    return done;
  }

  /** Opens a stream or returns a handle of the open one (its first configuration stays). */
  openStream(peerNodeId: bigint, config: StreamConfig): NetStream {
    this.#core.check();
    checkU64('openStream', 'peerNodeId', peerNodeId);
    const streamId = checkU64('openStream', 'streamId', config?.streamId);
    const mode = config.reliability ?? 'fire_and_forget';
    if (mode !== 'fire_and_forget' && mode !== 'reliable') {
      throw new MeshringError(
        'invalid-config',
        `unknown reliability mode "${mode}"; expected "fire_and_forget" or "reliable"`,
      );
    }
    const window = checkInteger('windowBytes', config.windowBytes, 0, 2 ** 32 - 1, 65_536);
    const weight = checkInteger('fairnessWeight', config.fairnessWeight, 0, 255, 1);
    const { raw, driver } = this.#core;
    try {
      const handle = raw.openStream(driver.now(), peerNodeId, streamId, mode === 'reliable', window, weight);
      return new NetStream(this.#core, handle, window, peerNodeId, streamId);
    } catch (error) {
      const word = messageOf(error);
      const texts: Record<string, string> = {
        'no-session': `no session for peer 0x${peerNodeId.toString(16)}`,
        reserved: 'stream 0xffffffffffffffff is the control stream',
        'too-many': 'too many streams with unacknowledged events',
      };
      const text = `open_stream failed: connection error: open_stream: ${texts[word] ?? word}`;
      throw new MeshringError('connection', text, { cause: error });
    }
  }

  /** Closes a stream for this end; unknown ones are fine. */
  closeStream(peerNodeId: bigint, streamId: bigint): void {
    checkU64('closeStream', 'peerNodeId', peerNodeId);
    checkU64('closeStream', 'streamId', streamId);
    this.#core.raw.closeStream(this.#core.driver.now(), peerNodeId, streamId);
  }

  #send(stream: NetStream, events: readonly Uint8Array[], from: number, partial: boolean): number {
    const { raw, driver } = this.#core;
    const handle = NetStream.handleOf(stream, this.#core);
    if (handle === null) throw new MeshringError('not-connected', NOT_CONNECTED);
    const { bytes, length } = frame(events, from);
    const sent = raw.send(driver.now(), handle, bytes, length, events.length - from, partial, 0, 0);
    driver.flush();
    if (sent >= 0) return sent;
    if (sent === REFUSED.socket) {
      throw new MeshringError('transport', `stream transport error: send failed: ${raw.socketError?.()}`);
    }
    if (sent === REFUSED.backpressure) throw new MeshringError('backpressure', BACKPRESSURE);
    if (sent === REFUSED.notConnected) throw new MeshringError('not-connected', NOT_CONNECTED);
    throw new MeshringError('transport', `stream transport error: refused (${sent})`);
  }

  /** Sends events, all or nothing. Resolves when they are handed to the socket. */
  async sendOnStream(stream: NetStream, events: Buffer[]): Promise<void> {
    this.#core.check();
    checkEvents('sendOnStream', events);
    if (events.length > 0 || NetStream.handleOf(stream, this.#core) === null) this.#send(stream, events, 0, false);
  }

  /** As `sendOnStream`, tried again after 5, 10, 20 … 200 ms while there is no credit. */
  async sendWithRetry(stream: NetStream, events: Buffer[], maxRetries = 8): Promise<void> {
    this.#core.check();
    checkEvents('sendWithRetry', events);
    const retries = checkInteger('maxRetries', maxRetries, 0, 2 ** 32 - 1, 8);
    await this.#retry(stream, events.slice(), retries);
  }

  /** As `sendWithRetry` with 4096 retries. */
  async sendBlocking(stream: NetStream, events: Buffer[]): Promise<void> {
    this.#core.check();
    checkEvents('sendBlocking', events);
    await this.#retry(stream, events.slice(), 4096);
  }

  async #retry(stream: NetStream, events: Buffer[], retries: number): Promise<void> {
    const done = this.#core.hold();
    try {
      const window = NetStream.windowOf(stream);
      const size = events.reduce((sum, event) => sum + 4 + event.length, 0);
      // A batch that can never fit goes packet by packet, and no event twice.
      const partial = window > 0 && size + 80 * Math.ceil(size / 8112) > window;
      let from = 0;
      for (let attempt = 0; ; ) {
        try {
          from += this.#send(stream, events, from, partial);
          if (from >= events.length) return;
          attempt = 0;
        } catch (error) {
          if (!(error instanceof MeshringError) || error.kind !== 'backpressure') throw error;
          await new Promise((resolve) => setTimeout(resolve, Math.min(200, 5 * 2 ** Math.min(attempt, 6))));
          if (this.#core.closed) throw new MeshringError('closed', CLOSED);
          if (attempt++ >= retries) throw error;
        }
      }
    } finally {
      done();
    }
  }

  /** A stream in numbers; null when peer or stream is unknown. */
  streamStats(peerNodeId: bigint, streamId: bigint): StreamStats | null {
    checkU64('streamStats', 'peerNodeId', peerNodeId);
    checkU64('streamStats', 'streamId', streamId);
    const { raw, driver } = this.#core;
    const n = raw.streamStats(peerNodeId, streamId);
    if (!n) return null;
    const at = (index: number): bigint => n[index] ?? 0n;
    const age = BigInt(raw.now?.() || driver.now()) - at(2);
    return {
      txSeq: at(0),
      rxSeq: at(1),
      inboundPending: 0n,
      lastActivityNs: BigInt(Date.now()) * 1_000_000n - (age > 0n ? age : 0n) * 1000n,
      active: true,
      backpressureEvents: at(3),
      txCreditRemaining: Number(at(4)),
      txWindow: Number(at(5)),
      creditGrantsReceived: at(6),
      creditGrantsSent: at(7),
      protocol: at(8) === 1n ? 'meshring' : 'net-0.19',
    };
  }

  /** Sends one event on stream 0 to the peer whose address is exactly `peerAddr`. */
  async pushTo(peerAddr: string, data: Buffer): Promise<boolean> {
    this.#core.check();
    checkAddress('invalid peer address', peerAddr);
    checkEvents('pushTo', [data]);
    const { raw, driver } = this.#core;
    const peer = raw.peerAt(peerAddr);
    if (peer === null || peer === undefined) {
      throw new MeshringError('connection', `connection error: no session for ${peerAddr}`);
    }
    const { bytes, length } = frame([data]);
    const sent = raw.sendTo(driver.now(), peer, 0, bytes, length, 1);
    driver.flush();
    if (sent === REFUSED.socket) {
      throw new MeshringError('transport', `connection error: send failed: ${raw.socketError?.()}`);
    }
    if (sent < 0) throw new MeshringError('transport', `connection error: push refused (${sent})`);
    return true;
  }

  /** Removes and returns up to `limit` events of all shards, oldest first; never waits. */
  async poll(limit: number): Promise<MeshStoredEvent[]> {
    this.#core.check();
    const most = checkInteger('limit', limit, 0, 2 ** 32 - 1, 0);
    const shards = BigInt(Math.max(1, this.#core.numShards));
    return this.#core.inbox.poll(most).map((event) => ({
      id: `${event.sequence}:${event.index}`,
      raw: asText(event.bytes),
      rawBytes: shown(event.bytes),
      insertionTs: Number(event.sequence),
      shardId: Number(event.streamId % shards),
    }));
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

  /** + Calls the listener when a peer joins, is lost, recovers, moves or leaves; returns the function that ends it. */
  on(what: 'peer', listener: (event: PeerEvent) => void): () => void {
    if (what !== 'peer') throw wrongType('on', 'what', what, "'peer'", 'InvalidArg');
    return this.#core.onPeer(listener);
  }

  /** + Changes of peers as they happen; ends at shutdown or with the signal. Keeps the process alive. */
  async *peerEvents(opts: { signal?: AbortSignal } = {}): AsyncGenerator<PeerEvent, void, void> {
    const core = this.#core;
    core.check();
    if (opts.signal?.aborted) return;
    const queue: PeerEvent[] = [];
    let notify: () => void = () => {};
    const wake = () => notify();
    const take = (event: PeerEvent) => {
      queue.push(event);
      notify();
    };
    const ends = [core.hold(), core.onPeer(take), core.onClose(wake)];
    opts.signal?.addEventListener('abort', wake);
    try {
      while (!opts.signal?.aborted && !core.closed) {
        const event = queue.shift();
        if (event) yield event;
        else {
          await new Promise<void>((resolve) => {
            notify = resolve;
          });
        }
      }
    } finally {
      for (const end of ends) end();
      opts.signal?.removeEventListener('abort', wake);
    }
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
    return { ...(JSON.parse(this.#core.raw.stats()) as Record<string, number>), ...this.#control.stats() };
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

  /** The same, within a scope. */
  findNodesScoped(filter: CapabilityFilter, scope: ScopeFilter): bigint[] {
    return this.#control.findNodesScoped(filter, scope);
  }

  /** + Subnet of a peer by this node's policy; `undefined` when unknown. */
  peerSubnet(peerNodeId: bigint): SubnetId | undefined {
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

  /** + Subscriptions of this node. Lost ones are asked for again as soon as the publisher is back. */
  subscriptions(): SubscriptionInfo[] {
    return this.#control.listSubscriptions();
  }

  /** Subscribes to a channel of a peer; rejects with the reason of the refusal, or after 5 s without an answer. */
  subscribeChannel(
    publisherNodeId: bigint,
    channel: string,
    token?: Uint8Array,
    opts: { queueGroup?: string } = {},
  ): Promise<void> {
    return this.#control.subscribeChannel(publisherNodeId, channel, { token, queueGroup: opts.queueGroup });
  }

  /** Ends a subscription; fine when there is none. */
  unsubscribeChannel(publisherNodeId: bigint, channel: string): Promise<void> {
    return this.#control.unsubscribeChannel(publisherNodeId, channel);
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
