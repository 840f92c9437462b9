/** `MeshNode`: the facade's mesh node, with error classes. Channels and capabilities are put on top of it. */
import { BackpressureError, NotConnectedError } from '../errors.js';
import type { CoreNode, MeshConfig, PeerEvent, PeerInfo } from './core-node.js';
import type { EventFilter, MeshEvent } from './inbox.js';
import { type MeshStoredEvent, NetMesh, type NetStream, type StreamConfig, type StreamStats } from './net-mesh.js';

/** A stream of a peer; made by `openStream`. */
export interface MeshStream {
  /** Node id. */
  readonly peerNodeId: bigint;
  /** Stream id. */
  readonly streamId: bigint;
  /** The lower-level handle; for compatibility only. */
  readonly _native: unknown;
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

  /** Connects to a node that waits in `accept` or is started. */
  connect(
    peerAddr: string,
    peerPublicKey: string,
    peerNodeId: bigint,
    opts: { signal?: AbortSignal } = {},
  ): Promise<void> {
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
  start(): Promise<void> {
    return this.#mesh.start();
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
  openStream(peerNodeId: bigint, config: StreamConfig): MeshStream {
    const native = this.#mesh.openStream(peerNodeId, config);
    return { peerNodeId: native.peerNodeId, streamId: native.streamId, _native: native };
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
  sendWithRetry(stream: MeshStream, events: Buffer[], maxRetries = 8): Promise<void> {
    return classify(this.#mesh.sendWithRetry(stream?._native as NetStream, events, maxRetries));
  }

  /** As `sendWithRetry` with 4096 retries. */
  sendBlocking(stream: MeshStream, events: Buffer[]): Promise<void> {
    return classify(this.#mesh.sendBlocking(stream?._native as NetStream, events));
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

  /** + Calls the listener for each change of a peer; returns the function that ends it. */
  on(what: 'peer', listener: (event: PeerEvent) => void): () => void {
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

  /** Ends the node: up to `drainMs` (default 1000) for unacknowledged events, then goodbye. */
  shutdown(opts: { drainMs?: number } = {}): Promise<void> {
    return this.#mesh.shutdown(opts);
  }

  /** `shutdown` without an error when already closed. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#mesh[Symbol.asyncDispose]();
  }
}
