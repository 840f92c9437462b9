/** The mesh engine in Rust: bytes and numbers in, bytes and numbers out. */
export interface MeshDoor {
  /** See {@link RawMesh}. */
  readonly RawMesh: RawMeshClass;
}

/** Makes engines. */
export interface RawMeshClass {
  /**
   * An engine without a socket, driven by its caller. `now` = monotonic microseconds; `keys` = PSK, X25519 secret and
   * random seed, 32 bytes each; `options` = `[heartbeat ms, session timeout ms, handshake timeout ms, events that may
   * wait, bytes of them, extension 0|1, bus link 0|1]` (its peer is 1n).
   */
  new (now: number, nodeId: bigint, keys: Uint8Array, options: number[]): RawMesh;
  /** An engine with a UDP socket and a thread of its own (addon only). Throws with the system's text. */
  listen?(address: string, nodeId: bigint, keys: Uint8Array, options: number[]): RawMesh;
}

/** Outcomes of `send` and `sendTo` below zero. */
export const REFUSED = { backpressure: -1, notConnected: -2, tooLarge: -3, badFrames: -4, socket: -5 } as const;

/** Added to the count by `sendSoon` when the events leave with the next `flush`. */
export const WAITS = 2 ** 30;

/** `connect`: how a node is called. */
export const CALL = { auto: 0, via: 1, routed: 2, straight: 3 } as const;

/** What is done about lost packets between nodes of ours: nothing; repeated until acknowledged, in order; repeated for one session time-out, as they arrive. */
export const RELIABILITY = { once: 0, full: 1, light: 2 } as const;

/**
 * One engine. `now` is ignored by an engine with its own socket. Links are `ip:port`, `[v6]:port` or `link:<number>`.
 * Frames are `length u32 LE ‖ bytes`, again and again. Errors have a word as message.
 */
export interface RawMesh {
  /** Own X25519 public key. */
  publicKey(): Uint8Array;
  /** Address of the socket (addon). */
  localAddress?(): string | null;
  /** Monotonic microseconds of the engine (addon). */
  now?(): number;
  /** The system's text after `REFUSED.socket` (addon). */
  socketError?(): string | null;
  /** Called when there is something new to take, and whether events are among it (addon); does not keep the process alive. */
  onWake?(callback: (events: boolean) => void): void;
  /** Begins heartbeats and answers to strangers. */
  start(now: number): void;
  /** Says goodbye and ends; with its own socket the thread is gone afterwards. */
  shutdown(now: number): void;
  /** Calls a node; the number comes back in an event. Words: `in-flight`, `no-route`, `too-many`, `weak-key`, `closed`, `bad-address`. */
  connect(now: number, how: number, link: string, publicKey: Uint8Array, peer: bigint): number;
  /** Waits for a node, or for any. */
  accept(now: number, peer: bigint, any: boolean): number;
  /** Gives a connect or accept up. */
  cancel(now: number, handshake: number): void;
  /** Ends the session with a peer. */
  disconnect(now: number, peer: bigint): boolean;
  /** Opens a stream with a number of {@link RELIABILITY}; words: `no-session`, `reserved`, `too-many`. */
  openStream(now: number, peer: bigint, stream: bigint, reliability: number, window: number, weight: number): number;
  /** Closes a stream. */
  closeStream(now: number, peer: bigint, stream: bigint): void;
  /** Sends `count` events; how many were taken, or a number of {@link REFUSED}. */
  send(
    now: number,
    handle: number,
    frames: Uint8Array,
    length: number,
    count: number,
    partial: boolean,
    channelHash: number,
    originHash: number,
  ): number;
  /**
   * As `send`, without header fields. The count has {@link WAITS} added when the events may leave later,
   * with the next `flush` or `takeTransmits`: they are kept until the peer acknowledges them, so nothing is lost by it.
   */
  sendSoon(now: number, handle: number, frames: Uint8Array, length: number, count: number, partial: boolean): number;
  /** Sends what waits (addon). */
  flush?(): void;
  /** Sends events of a batch from index `from` on, in as many packets as there is room for; as `send`. Event n ends at `ends[n]`. */
  sendBatch(now: number, handle: number, data: Uint8Array, ends: Uint32Array, from: number): number;
  /** 1 when everything sent on a stream is acknowledged, else 0; `REFUSED.notConnected` when stream or session is gone. */
  flushed(handle: number): number;
  /** Whether frames of so many bytes (the window at most) would be taken now: 1, or 0 and an event tells when to ask again; `REFUSED.notConnected`. */
  awaitRoom(now: number, handle: number, frames: number): number;
  /** Grants a channel to a peer: the channel's number, for `publish`, while anybody is granted it; 0 when the guard is full. */
  grantChannel(peer: bigint, channel: string): number;
  /** Takes it back; `false` when it was not granted. */
  revokeChannel(peer: bigint, channel: string): boolean;
  /**
   * Sends `count` events to all those peers that are granted the channel, all or none to each; to how many. What became of
   * each is written to `outcomes` (native/src/port/channels.rs). `flags`: priority, then bit 8 = reliable, bit 9 = stop at
   * the first failure.
   */
  publish(
    now: number,
    channel: number,
    peers: BigUint64Array,
    frames: Uint8Array,
    length: number,
    count: number,
    flags: number,
    outcomes: Int8Array,
  ): number;
  /** Own subnet and low half of the own origin hash, for headers. */
  identify(subnet: number, originHash: number): void;
  /** Expects a publish stream of a peer (0 = of any): its packets carry `tag`, 1..2^32−1. `false` when the table is full. */
  expectChannel(publisher: bigint, stream: bigint, tag: number): boolean;
  /** Ends it; `false` when it was not expected. */
  forgetChannel(publisher: bigint, stream: bigint): boolean;
  /** Whether publishes that are not expected are dropped instead of handed on without a tag. */
  dropUnsolicited(drops: boolean): void;
  /** Relays publishes by subnet, or all of them; `deniesUnknown`: nodes of unknown subnet get global channels only. */
  setGateway(on: boolean, deniesUnknown: boolean): void;
  /** What the gateway knows of a 16-bit channel hash: 0 subnet-local, 1 parent-visible, 2 exported, 3 global, else nothing. */
  gatewayRule(channelHash: number, visibility: number, exports: Uint32Array): void;
  /** Subnet of a node, for the gateway. */
  gatewaySubnet(node: bigint, subnet: number | undefined): void;
  /** Sends without credit on stream 0 (`subprotocol` 0) or as messages of a subprotocol. */
  sendTo(now: number, peer: bigint, subprotocol: number, frames: Uint8Array, length: number, count: number): number;
  /** `[tx seq, rx seq, last activity µs, backpressure, credit, window, grants in, grants out, extended, lost]`. */
  streamStats(peer: bigint, stream: bigint): BigUint64Array | null | undefined;
  /** JSON. */
  peers(): string;
  /** JSON. */
  routes(): string;
  /** JSON. */
  stats(): string;
  /** Sessions. */
  peerCount(): number;
  /** Node id of the direct peer at a link. */
  peerAt(link: string): bigint | null | undefined;
  /** Nodes heard of. */
  discoveredNodes(): number;
  /** Whether nothing waits for an acknowledgement. */
  isDrained(): boolean;
  /** Adds a route. */
  addRoute(now: number, dest: bigint, link: string): void;
  /** Offers a route that another node vouched for; it replaces a worse or an expired one only. `metric` = hops + 2. */
  learnRoute(now: number, dest: bigint, link: string, metric: number): void;
  /** Sends the datagram that opens a hole in a NAT. */
  sendKeepAlive(now: number, link: string): void;
  /** The next such datagram of that node from that address is told; others never are. Without a node: no longer. `false`: too many. */
  expectKeepAlive(link: string, sender?: bigint): boolean;
  /** Tries to move a session to a direct path; `false` when the peer can't. Success is told as `moved`. */
  tryPath(now: number, peer: bigint, link: string): boolean;
  /** Drops everything from and to a link, or no longer. */
  block(link: string, blocked: boolean): void;
  /** What happened and messages of subprotocols, as records (native/src/port/batch.rs). */
  takeEvents(): Uint8Array;
  /** Packets of plain events, until at least so many events are taken. */
  takeDeliveries(events: number): Uint8Array;
  /** A datagram arrived; its bytes are no longer the caller's. */
  handleDatagram(now: number, link: string, bytes: Uint8Array): void;
  /** Does what is due. */
  handleTimeout(now: number): void;
  /** When `handleTimeout` is due; −1 = never. */
  nextDeadline(): number;
  /** Datagrams to send: `text length u16 ‖ length u16 ‖ link ‖ bytes`, again and again. */
  takeTransmits(now: number): Uint8Array;
  /** Microseconds since the Unix epoch at monotonic 0. */
  setWallClock(unixMicrosAtZero: number): void;
  /** Frees the memory now (WebAssembly). */
  free?(): void;
}
