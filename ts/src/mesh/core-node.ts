/** What `NetMesh` and `MeshNode` share: one engine, its pending calls, its events. */
import { CALL, type RawMesh, RELIABILITY } from '../backend/mesh.js';
import { MeshringError, messageOf } from '../errors.js';
import { nodeIdOf, originHashOf, publicKeyOf, signWith } from '../identity/index.js';
import { platform } from '../platform/node.js';
import { compilePolicy, packSubnet, type SubnetId, type SubnetPolicy } from '../subnets/index.js';
import { abortable } from './abortable.js';
import { type Packet, type PEER_CHANGES, readHappenings } from './batch.js';
import { checkAddress, checkHex, checkInteger, checkU64 } from './check.js';
import { RoomWaiters, roomWithin } from './credit.js';
import { type MeshDriver, openDriver } from './driver.js';
import { frame } from './frames.js';
import { Inbox } from './inbox.js';
import { tell } from './listeners.js';
import { checkTargetAddress } from './resolve.js';

/** Options of a mesh node (30 §2). Fields marked + are additions to the published 0.19.0 options. */
export interface MeshConfig {
  /** `a.b.c.d:port` or `[v6]:port`; port 0 = any. */
  bindAddr: string;
  /** Key of the whole mesh: 64 hex digits. */
  psk: string;
  /** Between heartbeats, ms. Default 5000; below 10 acts as 10. */
  heartbeatIntervalMs?: number;
  /** Silence that counts as one missed beat, ms. Default 30000. */
  sessionTimeoutMs?: number;
  /** Shards that `shardId` of polled events refers to, 0..65535. Default 4. */
  numShards?: number;
  /** Fixes entity id and node id: 32 bytes. Default random. */
  identitySeed?: Uint8Array;
  /** Between removals of expired announcements, ms. Default 60000; 0 acts as 1000. */
  capabilityGcIntervalMs?: number;
  /** Whether unsigned announcements are dropped. Default true. */
  requireSignedCapabilities?: boolean;
  /** This node's subnet. Default: what `subnetPolicy` derives from its own tags, else global. */
  subnet?: SubnetId;
  /** Derives the subnets of others from their tags. Default none. */
  subnetPolicy?: SubnetPolicy;
  /** + Peers of unknown subnet: as if global (default), or kept off every channel that is not `global`. */
  unknownSubnet?: 'global' | 'deny';
  /** + Publishes of channels that were not subscribed to: kept for `poll` (default), or dropped. */
  unsolicited?: 'queue' | 'drop';
  /** + Whether this node, as a relay, keeps publishes within their visibility; see the guide on channels. Default false. */
  subnetGateway?: boolean;
  /** + X25519 secret of 32 bytes that keeps the public key over restarts. Default: new for each node. */
  staticKey?: Uint8Array;
  /** + On both classes: `ip:port` under which this node is reached from outside. Default: found by probing peers. */
  reflexOverride?: string;
  /** + Accepted for compatibility and without effect, as in the published addon: routers are not asked for a mapping. */
  tryPortMapping?: boolean;
  /** + Reserved for the WebSocket link: rejects as not available. */
  gateway?: string;
  /** + Inbound events that wait at most. Default 65536. */
  maxInboundEvents?: number;
  /** + Bytes of them. Default 64 MiB. */
  maxInboundBytes?: number;
  /** + How long one connect attempt waits, ms. Default 5000. */
  handshakeTimeoutMs?: number;
  /** + `'net-0.19'`: don't offer the extension between nodes of ours (docs/protocol.md). Default `'meshring'`. */
  protocol?: 'meshring' | 'net-0.19';
}

/** A peer (+). */
export interface PeerInfo {
  /** Node id. */
  readonly id: bigint;
  /** `ip:port` where it, or its relay, is reached. */
  readonly address: string;
  /** By its heartbeats. */
  readonly state: 'healthy' | 'suspected' | 'failed';
  /** Whether packets go over a relay. */
  readonly relayed: boolean;
  /** Which protocol the session speaks. */
  readonly protocol: 'net-0.19' | 'meshring';
  /** Smoothed round-trip time, ms; absent when not measured. */
  readonly rttMs?: number;
  /** Largest datagram sent to it, bytes. */
  readonly mtu: number;
  /** Packets of channels that it published to this node without being asked, since its session began. */
  readonly unsolicited: number;
}

/** What happened to a peer (+). */
export interface PeerEvent {
  /** `lost`: three beats missed, the session stays; `left`: the session is gone. */
  readonly type: 'joined' | 'suspected' | 'lost' | 'recovered' | 'moved' | 'left';
  /** Node id. */
  readonly id: bigint;
  /** The peer as it is now; absent when it left. */
  readonly peer?: PeerInfo;
}

const PEER_WORDS: Record<(typeof PEER_CHANGES)[number], PeerEvent['type']> = {
  joined: 'joined',
  suspected: 'suspected',
  failed: 'lost',
  recovered: 'recovered',
  moved: 'moved',
  left: 'left',
};

interface Pending {
  readonly accept: boolean;
  resolve(found: { peer: bigint; link: string }): void;
  reject(error: Error): void;
}

/** Window of a publish stream; it is open when it is waited for. */
const PUBLISH_WINDOW = 65_536;

/** Text for everything after `shutdown`. */
export const CLOSED = 'MeshNode has been shut down';

/** A node's engine and what waits for it. */
export class CoreNode {
  readonly driver: MeshDriver;
  readonly inbox: Inbox;
  readonly nodeId: bigint;
  readonly entityId: Uint8Array;
  readonly originHash: bigint;
  readonly publicKey: Uint8Array;
  readonly numShards: number;
  started = false;
  #state: 'open' | 'closing' | 'closed' = 'open';
  readonly #pending = new Map<number, Pending>();
  readonly #handlers = new Map<number, (packet: Packet) => void>();
  readonly #peerListeners = new Set<(event: PeerEvent) => void>();
  readonly #closeListeners = new Set<() => void>();
  /** Calls that wait for credit. */
  readonly room = new RoomWaiters();
  readonly #keepAliveListeners = new Set<(from: string, sender: bigint) => void>();
  /** Keeps the process alive while something is pending. */
  #holds = 0;
  #holder: ReturnType<typeof setInterval> | undefined;

  readonly #seed: Uint8Array;

  private constructor(driver: MeshDriver, seed: Uint8Array, entityId: Uint8Array, numShards: number) {
    this.driver = driver;
    this.#seed = seed;
    this.inbox = new Inbox(driver);
    this.entityId = entityId;
    this.nodeId = nodeIdOf(entityId);
    this.originHash = originHashOf(entityId);
    this.publicKey = driver.raw.publicKey();
    this.numShards = numShards;
    driver.onWake((events) => this.#onWake(events));
  }

  /** Checks the options in the specified order and binds the socket. */
  static async create(config: MeshConfig): Promise<CoreNode> {
    if (config?.gateway !== undefined && config.gateway !== null) {
      throw new MeshringError(
        'unsupported',
        'MeshNode creation failed: the gateway option is not available in this version; give bindAddr instead',
      );
    }
    for (const field of ['bindAddr', 'psk'] as const) {
      if (config?.[field] === undefined || config[field] === null) {
        throw new MeshringError('invalid-config', `Missing field \`${field}\``, { code: 'InvalidArg' });
      }
    }
    checkAddress('invalid bind address', config.bindAddr);
    const psk = checkHex('PSK', 'PSK must be 32 bytes (64 hex chars)', config.psk);
    const shards = config.numShards ?? 4;
    if (!Number.isInteger(shards) || shards < 0 || shards > 65_535) {
      throw new MeshringError('invalid-config', `num_shards must be in [0, 65535]; got ${shards}`);
    }
    if (config.subnet !== undefined && config.subnet !== null) packSubnet(config.subnet);
    if (config.subnetPolicy !== undefined && config.subnetPolicy !== null) compilePolicy(config.subnetPolicy);
    if (config.reflexOverride !== undefined && config.reflexOverride !== null) {
      checkAddress('invalid reflex_override', config.reflexOverride);
    }
    const random = crypto.getRandomValues(new Uint8Array(96));
    const seed = Uint8Array.from(config.identitySeed ?? visibleSeed(random.subarray(64)));
    if (seed.length !== 32) {
      throw new MeshringError('invalid-config', `identity_seed must be 32 bytes, got ${seed.length}`);
    }
    const secret = config.staticKey ?? random.subarray(0, 32);
    if (secret.length !== 32) {
      throw new MeshringError('invalid-config', `staticKey must be 32 bytes, got ${secret.length}`);
    }
    const most = 2 ** 32 - 1;
    const numbers = [
      Math.max(10, checkInteger('heartbeatIntervalMs', config.heartbeatIntervalMs, 0, most, 5000)),
      Math.max(10, checkInteger('sessionTimeoutMs', config.sessionTimeoutMs, 0, most, 30_000)),
      Math.max(10, checkInteger('handshakeTimeoutMs', config.handshakeTimeoutMs, 0, most, 5000)),
      checkInteger('maxInboundEvents', config.maxInboundEvents, 1, most, 65_536),
      checkInteger('maxInboundBytes', config.maxInboundBytes, 1, most, 64 << 20),
      config.protocol === 'net-0.19' ? 0 : 1,
    ];
    const entityId = publicKeyOf(seed);
    if (isMuted(entityId)) {
      platform.warnOnce(
        `the node id of this identitySeed (0x${nodeIdOf(entityId).toString(16)}) ends in 4e45, so its beacons look like packets ` +
          'and other nodes discover it only by announcements and direct sessions: give another identitySeed',
      );
    }
    const keys = new Uint8Array(96);
    keys.set(psk);
    keys.set(secret, 32);
    keys.set(random.subarray(32, 64), 64);
    try {
      const driver = await openDriver(config.bindAddr, { nodeId: nodeIdOf(entityId), keys, numbers });
      return new CoreNode(driver, seed, entityId, shards);
    } finally {
      keys.fill(0);
      psk.fill(0);
      random.fill(0);
    }
  }

  /** The engine, for a call; refuses after shutdown. */
  get raw(): RawMesh {
    this.check();
    return this.driver.raw;
  }

  /** Throws when the node was shut down. */
  check(): void {
    if (this.#state !== 'open') throw new MeshringError('closed', CLOSED);
  }

  /** Whether the node was shut down. */
  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** Begins heartbeats and answers to strangers, once pending accepts are over. */
  async start(signal?: AbortSignal): Promise<void> {
    this.check();
    signal?.throwIfAborted();
    while ([...this.#pending.values()].some((pending) => pending.accept)) {
      await abortable(new Promise<void>((resolve) => this.#waiters.push(resolve)), signal);
      this.check();
    }
    if (this.started) return;
    this.started = true;
    this.raw.start(this.driver.now());
    this.driver.flush();
  }

  readonly #waiters: (() => void)[] = [];

  /** Connects; `how` as in `CALL`. In the `background` it does not keep the process alive. */
  async connect(
    how: number,
    address: string,
    key: Uint8Array,
    peer: bigint,
    signal?: AbortSignal,
    background = false,
  ): Promise<void> {
    await this.#handshake(
      false,
      (now) => {
        if (peer === this.nodeId) throw new MeshringError('connection', 'cannot connect to itself');
        return this.raw.connect(now, how, address, key, peer);
      },
      how === CALL.auto ? 'connect failed: connection error: ' : 'connection error: ',
      peer,
      signal,
      background,
    );
  }

  /** Accepts one peer; resolves with its id and address. */
  accept(peer: bigint | null, signal?: AbortSignal): Promise<{ peer: bigint; link: string }> {
    return this.#handshake(
      true,
      (now) => this.raw.accept(now, peer ?? 0n, peer === null),
      'accept failed: connection error: ',
      peer ?? 0n,
      signal,
    );
  }

  async #handshake(
    accept: boolean,
    begin: (now: number) => number,
    prefix: string,
    peer: bigint,
    signal?: AbortSignal,
    background = false,
  ): Promise<{ peer: bigint; link: string }> {
    signal?.throwIfAborted();
    let id: number;
    try {
      id = begin(this.driver.now());
    } catch (error) {
      throw handshakeError(error, prefix, peer);
    }
    const done = background ? () => {} : this.hold();
    let abort: (() => void) | undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, {
          accept,
          resolve,
          reject: (error) =>
            reject(
              error instanceof MeshringError ? error : new MeshringError('connection', `${prefix}${error.message}`),
            ),
        });
        abort = () => {
          this.driver.raw.cancel(this.driver.now(), id);
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', abort, { once: true });
        this.driver.flush();
        this.#onWake();
      });
    } finally {
      this.#pending.delete(id);
      if (abort) signal?.removeEventListener('abort', abort);
      done();
      for (const waiter of this.#waiters.splice(0)) waiter();
    }
  }

  /** Keeps the process alive until the returned function is called. */
  hold(): () => void {
    if (this.#holds++ === 0) this.#holder = setInterval(() => {}, 2 ** 30);
    let held = true;
    return () => {
      if (held && --this.#holds === 0) clearInterval(this.#holder);
      held = false;
    };
  }

  #onWake(events = true): void {
    if (this.#state === 'closed') return;
    while (events) {
      const batch = this.driver.raw.takeEvents();
      if (batch.length === 0) break;
      // Looked up once for all changes of a batch: a thousand peers that come together are not listed a thousand times.
      let peers: ReadonlyMap<bigint, PeerInfo> | undefined;
      for (const what of readHappenings(batch)) {
        if (what.kind === 'handshake') this.#pending.get(what.id)?.resolve({ peer: what.peer, link: what.link });
        else if (what.kind === 'handshake-failed') this.#pending.get(what.id)?.reject(new Error(what.reason));
        else if (what.kind === 'message') this.#onPacket(what.packet);
        else if (what.kind === 'peer') {
          peers ??= new Map(this.peers().map((peer) => [peer.id, peer]));
          this.#onPeer(what.peer, PEER_WORDS[what.change], peers.get(what.peer));
        } else if (what.kind === 'room') this.room.told(what.peer, what.stream);
        else if (what.kind === 'keep-alive') {
          if (!this.closed) for (const listener of this.#keepAliveListeners) listener(what.from, what.sender);
        }
      }
    }
    this.inbox.pump();
  }

  /** Tells what the engine has told since it last woke this thread, so that listeners know what `peers` shows. */
  catchUp(): void {
    this.#onWake();
  }

  /** A node that is shutting down answers nobody: only what it has sent already is still acknowledged. */
  #onPacket(packet: Packet): void {
    const handler = this.closed ? undefined : this.#handlers.get(packet.subprotocol);
    if (handler) tell(handler, packet);
  }

  #onPeer(id: bigint, type: PeerEvent['type'], now: PeerInfo | undefined): void {
    // Who left and is here again has an event of its own for that.
    const peer = type === 'left' ? undefined : now;
    for (const listener of this.#peerListeners) tell(listener, peer ? { type, id, peer } : { type, id });
  }

  /** Calls the listener for each change of a peer; returns the function that ends it. */
  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#peerListeners.add(listener);
    return () => this.#peerListeners.delete(listener);
  }

  /** Calls the listener for each awaited keep-alive; returns the function that ends it. */
  onKeepAlive(listener: (from: string, sender: bigint) => void): () => void {
    this.#keepAliveListeners.add(listener);
    return () => this.#keepAliveListeners.delete(listener);
  }

  /** Calls the listener once at shutdown; returns the function that ends it. */
  onClose(listener: () => void): () => void {
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  /** Handles the packets of a subprotocol; one handler each. Returns the function that ends it. */
  onMessage(subprotocol: number, handler: (packet: Packet) => void): () => void {
    this.#handlers.set(subprotocol, handler);
    return () => {
      if (this.#handlers.get(subprotocol) === handler) this.#handlers.delete(subprotocol);
    };
  }

  /** Ed25519 signature of the node's identity. */
  sign(message: Uint8Array): Uint8Array {
    return signWith(this.#seed, message);
  }

  /** Waits until an open stream may take frames of so many bytes, at most so many milliseconds; not at all without a session. */
  async roomWithin(peerNodeId: bigint, streamId: bigint, frames: number, ms: number): Promise<void> {
    let handle: number;
    try {
      handle = this.raw.openStream(this.driver.now(), peerNodeId, streamId, RELIABILITY.once, PUBLISH_WINDOW, 1);
    } catch {
      // The next send says what is wrong.
      return;
    }
    await roomWithin(this, { handle, peerNodeId, streamId }, frames, ms);
  }

  /** Sends one message of a subprotocol without retransmission; `false` when it could not be sent. */
  sendMessage(peer: bigint, subprotocol: number, message: Uint8Array): boolean {
    if (this.closed) return false;
    const { bytes, length } = frame([message]);
    const sent = this.driver.raw.sendTo(this.driver.now(), peer, subprotocol, bytes, length, 1);
    this.driver.flush();
    return sent === 1;
  }

  /** All peers. */
  peers(): PeerInfo[] {
    const list = JSON.parse(this.driver.raw.peers()) as (Omit<PeerInfo, 'id' | 'rttMs'> & {
      id: string;
      rttMicros: number | null;
    })[];
    return list.map(({ id, rttMicros, ...rest }) => ({
      id: BigInt(id),
      ...rest,
      ...(rttMicros === null ? {} : { rttMs: rttMicros / 1000 }),
    }));
  }

  /** Ends everything: up to `drainMs` for what is not yet acknowledged, then goodbye. */
  async shutdown(drainMs: number): Promise<void> {
    if (this.#state !== 'open') throw new MeshringError('closed', 'already shut down');
    this.#state = 'closing';
    const end = performance.now() + drainMs;
    while (!this.driver.raw.isDrained() && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    this.#state = 'closed';
    const gone = new MeshringError('closed', CLOSED);
    for (const pending of this.#pending.values()) pending.reject(gone);
    this.inbox.close();
    this.room.close();
    for (const listener of this.#closeListeners) listener();
    await this.driver.close();
    clearInterval(this.#holder);
  }
}

/** Whether beacons of the node can't be told from packets, which begin with the same two bytes (20 §2). */
const isMuted = (entityId: Uint8Array) => (nodeIdOf(entityId) & 0xffffn) === 0x4e45n;

/** Random bytes, drawn again until the node id has beacons: one in 65,536 has none. */
function visibleSeed(seed: Uint8Array<ArrayBuffer>): Uint8Array {
  while (isMuted(publicKeyOf(seed))) crypto.getRandomValues(seed);
  return seed;
}

function handshakeError(error: unknown, prefix: string, peer: bigint): Error {
  if (error instanceof MeshringError) return error;
  const word = messageOf(error);
  const hex = `0x${peer.toString(16)}`;
  const texts: Record<string, string> = {
    'in-flight': `connect_via: handshake already in flight for peer ${hex}`,
    'no-route': `connect_routed: no route to peer ${hex}`,
    'too-many': 'too many handshakes at once',
    'weak-key': 'handshake init failed: public key of small order',
    closed: CLOSED,
  };
  return new MeshringError('connection', `${prefix}${texts[word] ?? word}`, { cause: error });
}

/** Checks the arguments of `connect`; a host name may stand for the address. */
export function checkTarget(method: string, address: string, key: string, peer: bigint): Uint8Array {
  checkTargetAddress('invalid peer address', address);
  const bytes = checkHex('public key', 'public key must be 32 bytes', key);
  checkU64(method, 'peerNodeId', peer);
  return bytes;
}

/** Bytes in the platform's form. */
export function shown(bytes: Uint8Array): Buffer {
  return platform.bytes(bytes) as Buffer;
}
