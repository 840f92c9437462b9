/* tslint:disable */
/* eslint-disable */

/**
 * Incremental BLAKE3. `mode` 0 = hash, 1 = keyed (`key` = 32 bytes), 2 = derive key (`key` = UTF-8 context).
 */
export class Blake3 {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * `length` bytes of output; the state can be updated further.
     */
    digest(length: number): Uint8Array;
    /**
     * See the class.
     */
    constructor(mode: number, key?: Uint8Array | number[] | null);
    /**
     * Adds bytes.
     */
    update(bytes: Uint8Array | number[]): void;
}

/**
 * A node and its one producer.
 */
export class Bus {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Number of the newest event of each shard that was confirmed or given up, with all before it.
     */
    acknowledged(): Float64Array;
    /**
     * Refuses further events and takes what was staged.
     */
    close(): void;
    /**
     * Counters in the order of `CounterNames` in `ts/src/backend/bus.ts`.
     */
    counters(): BigUint64Array;
    /**
     * Takes everything that was staged and answers in the ring's header.
     */
    drain(): void;
    /**
     * First the time in ns after which the next batch is due (-1: none), then the shards whose batch is due now.
     */
    due(): Float64Array;
    /**
     * The transport is done with the batch of a shard: `stored` events are stored, the rest is given up.
     */
    finishBatch(shard: number, stored: number): void;
    /**
     * Gives up every queued event; returns how many.
     */
    giveUp(): number;
    /**
     * The latest time stamp given: no later event has a smaller one.
     */
    lastStamp(): bigint;
    /**
     * A node of its own; other threads cannot attach.
     */
    constructor(settings: Float64Array | number[]);
    /**
     * Stores inbound packets as `RawMesh.takeDeliveries` gives them: the shard is the stream id modulo the number of shards.
     */
    placePackets(batch: Uint8Array | number[]): void;
    /**
     * Stores inbound events of a shard: `ends` are the end offsets of the events in `data`.
     */
    place(shard: number, data: Uint8Array | number[], ends: Uint32Array | number[]): void;
    /**
     * Numbers of the oldest retained and of the newest event of each shard, alternating.
     */
    positions(): Float64Array;
    /**
     * Stores an event which is too large for the ring; the answer is in the ring's header.
     */
    push(raw: Uint8Array | number[], hash?: bigint | null): void;
    /**
     * As `read`, only events that match.
     */
    readFiltered(shard: number, after: number, limit: number, max_bytes: number, max_scan: number, filter: Filter): Uint8Array;
    /**
     * A page of a shard's log; layout in `native/src/bus/page.rs`.
     */
    read(shard: number, after: number, limit: number, max_bytes: number, max_scan: number): Uint8Array;
    /**
     * Length of the staging ring, header included.
     */
    ringLength(): number;
    /**
     * Address of the staging ring in the module's memory.
     */
    ringPointer(): number;
    /**
     * Number of shards, and whether they are queues.
     */
    shape(): Uint32Array;
    /**
     * Lets the numbering of a shard's batches start higher.
     */
    startSequence(shard: number, sequence: bigint): void;
    /**
     * As `drain`.
     */
    sweep(): void;
    /**
     * Whether a batch became worth looking at since the last call.
     */
    takeAttention(): boolean;
    /**
     * Cuts the next batch of a shard.
     */
    takeBatch(shard: number): RawBatch | undefined;
    /**
     * Sets the clock: nanoseconds since the node was created.
     */
    tick(now: number): void;
}

/**
 * A compiled filter.
 */
export class Filter {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Tests a packed batch; one byte an event, 1 = matches.
     */
    matchMany(data: Uint8Array | number[], ends: Uint32Array | number[]): Uint8Array;
    /**
     * Whether the event matches.
     */
    matches(event: Uint8Array | number[]): boolean;
    /**
     * Compiles a text; the message of the error is the reason alone.
     */
    constructor(text: string);
}

/**
 * See `RawVerifier` in ts/src/backend/log.ts.
 */
export class LogVerifier {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * See there.
     */
    check(idx: Uint8Array | number[], dat: Uint8Array | number[], from: number): void;
    /**
     * See there.
     */
    result(): string;
    /**
     * See there.
     */
    take(idx: Uint8Array | number[]): void;
}

/**
 * A batch for the transport. The getters move the parts out: each is read once.
 */
export class RawBatch {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * The events back to back.
     */
    readonly data: Uint8Array;
    /**
     * End offset of each event.
     */
    readonly ends: Uint32Array;
    /**
     * Number of events in all earlier batches of the shard.
     */
    readonly sequenceStart: bigint;
    /**
     * Time stamp of each event.
     */
    readonly timestamps: BigUint64Array;
}

/**
 * Handle on a log.
 */
export class RawLog {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * See there.
     */
    advance(next: bigint): void;
    /**
     * See there.
     */
    appendBatch(count: number): void;
    /**
     * See there.
     */
    appendBytes(payload: Uint8Array | number[], now_ms: number): void;
    /**
     * See there.
     */
    appendEvent(length: number): void;
    /**
     * See there.
     */
    appendPacked(lengths: Uint32Array | number[], payloads: Uint8Array | number[], now_ms: number): void;
    /**
     * See `RawLog` in ts/src/backend/log.ts.
     */
    append(length: number): void;
    /**
     * See there.
     */
    checkEvents(count: number): void;
    /**
     * See there.
     */
    closeNow(): void;
    /**
     * See there.
     */
    compactStep(): boolean;
    /**
     * See there.
     */
    compactionDue(): boolean;
    /**
     * See there.
     */
    failure(): string;
    /**
     * See there.
     */
    files(): any[];
    /**
     * See there.
     */
    flushed(ok: boolean, now_ms: number): void;
    /**
     * See there. A driver in JavaScript cannot tell.
     */
    isLive(): boolean;
    /**
     * See there.
     */
    observe(now_ms: number): void;
    /**
     * See there.
     */
    payload(seq: bigint): Uint8Array;
    /**
     * See there.
     */
    read(from: bigint, to: bigint, max: number): number;
    /**
     * See there.
     */
    shut(): void;
    /**
     * See there.
     */
    stats(): string;
    /**
     * See there.
     */
    trim(below: bigint): void;
}

/**
 * See `RawMesh` in ts/src/backend/mesh.ts.
 */
export class RawMesh {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * See the door.
     */
    accept(now: number, peer: bigint, any: boolean): number;
    /**
     * See the door.
     */
    addRoute(now: number, dest: bigint, link: string): void;
    /**
     * See the door.
     */
    awaitRoom(now: number, handle: number, frames: number): number;
    /**
     * See the door.
     */
    block(link: string, blocked: boolean): void;
    /**
     * See the door.
     */
    cancel(_now: number, handshake: number): void;
    /**
     * See the door.
     */
    closeStream(now: number, peer: bigint, stream: bigint): void;
    /**
     * See the door.
     */
    connect(now: number, how: number, link: string, public_key: Uint8Array | number[], peer: bigint): number;
    /**
     * See the door.
     */
    disconnect(now: number, peer: bigint): boolean;
    /**
     * See the door.
     */
    discoveredNodes(): number;
    /**
     * See the door.
     */
    dropUnsolicited(drops: boolean): void;
    /**
     * See the door.
     */
    expectChannel(publisher: bigint, stream: bigint, tag: number): boolean;
    /**
     * See the door.
     */
    expectKeepAlive(link: string, sender?: bigint | null): boolean;
    /**
     * See the door.
     */
    flushed(handle: number): number;
    /**
     * See the door.
     */
    forgetChannel(publisher: bigint, stream: bigint): boolean;
    /**
     * See the door.
     */
    gatewayRule(channel_hash: number, visibility: number, exports: Uint32Array | number[]): void;
    /**
     * See the door.
     */
    gatewaySubnet(node: bigint, subnet?: number | null): void;
    /**
     * See the door.
     */
    grantChannel(peer: bigint, channel: string): number;
    /**
     * See the door.
     */
    handleDatagram(now: number, link: string, bytes: Uint8Array | number[]): void;
    /**
     * See the door.
     */
    handleTimeout(now: number): void;
    /**
     * See the door.
     */
    identify(subnet: number, origin_hash: number): void;
    /**
     * See the door.
     */
    isDrained(): boolean;
    /**
     * See the door.
     */
    learnRoute(now: number, dest: bigint, link: string, metric: number): void;
    /**
     * See the addon.
     */
    constructor(now: number, node_id: bigint, keys: Uint8Array | number[], options: Float64Array | number[]);
    /**
     * See the door.
     */
    nextDeadline(): number;
    /**
     * See the door.
     */
    openStream(now: number, peer: bigint, stream: bigint, reliability: number, window: number, weight: number): number;
    /**
     * See the door.
     */
    peerAt(link: string): bigint | undefined;
    /**
     * See the door.
     */
    peerCount(): number;
    /**
     * See the door.
     */
    peers(): string;
    /**
     * See the door.
     */
    publicKey(): Uint8Array;
    /**
     * See the door.
     */
    publish(now: number, channel: number, peers: BigUint64Array | bigint[], frames: Uint8Array | number[], length: number, count: number, flags: number, outcomes: Int8Array): number;
    /**
     * See the door.
     */
    revokeChannel(peer: bigint, channel: string): boolean;
    /**
     * See the door.
     */
    routes(): string;
    /**
     * See the door.
     */
    sendBatch(now: number, handle: number, data: Uint8Array | number[], ends: Uint32Array | number[], from: number): number;
    /**
     * See the door.
     */
    sendKeepAlive(now: number, link: string): void;
    /**
     * See the door.
     */
    sendSoon(now: number, handle: number, frames: Uint8Array | number[], length: number, count: number, partial: boolean): number;
    /**
     * See the door.
     */
    sendTo(now: number, peer: bigint, subprotocol: number, frames: Uint8Array | number[], length: number, count: number): number;
    /**
     * See the door.
     */
    send(now: number, handle: number, frames: Uint8Array | number[], length: number, count: number, partial: boolean, channel_hash: number, origin_hash: number): number;
    /**
     * See the door.
     */
    setGateway(on: boolean, denies_unknown: boolean): void;
    /**
     * See the door.
     */
    setWallClock(unix_us_at_zero: number): void;
    /**
     * See the door.
     */
    shutdown(now: number): void;
    /**
     * See the door.
     */
    start(now: number): void;
    /**
     * See the door.
     */
    stats(): string;
    /**
     * See the door.
     */
    streamStats(peer: bigint, stream: bigint): BigUint64Array | undefined;
    /**
     * See the door.
     */
    takeDeliveries(events: number): Uint8Array;
    /**
     * See the door.
     */
    takeEvents(): Uint8Array;
    /**
     * See the door.
     */
    takeTransmits(now: number): Uint8Array;
    /**
     * See the door.
     */
    tryPath(now: number, peer: bigint, link: string): boolean;
}

/**
 * CRC-32C of `bytes`.
 */
export function crc32c(bytes: Uint8Array | number[]): number;

/**
 * Public key (32 bytes) of a seed of 32 bytes.
 */
export function ed25519PublicKey(seed: Uint8Array | number[]): Uint8Array;

/**
 * Signature (64 bytes) of `message` under a seed of 32 bytes.
 */
export function ed25519Sign(seed: Uint8Array | number[], message: Uint8Array | number[]): Uint8Array;

/**
 * Strict verification; `false` for wrong lengths too.
 */
export function ed25519Verify(public_key: Uint8Array | number[], message: Uint8Array | number[], signature: Uint8Array | number[]): boolean;

/**
 * Whether `bytes` are exactly one JSON value in valid UTF-8.
 */
export function isJson(bytes: Uint8Array | number[]): boolean;

/**
 * Journal entry of a batch.
 */
export function journalEntry(data: Uint8Array | number[], ends: Uint32Array | number[], timestamps: BigUint64Array | bigint[], shard: number, sequence_start: bigint): Uint8Array;

/**
 * See `LogDoor.logArea`.
 */
export function logArea(): Uint8Array;

/**
 * 28-bit checksum of a payload.
 */
export function logChecksum(payload: Uint8Array | number[]): number;

/**
 * The 16 bytes of a manifest.
 */
export function logManifest(generation: number): Uint8Array;

/**
 * Generation of a manifest, 0 when it is invalid.
 */
export function logReadManifest(bytes: Uint8Array | number[]): number;

/**
 * One 20-byte record.
 */
export function logRecord(seq: bigint, offset: number, payload: Uint8Array | number[], inline: boolean): Uint8Array;

/**
 * See `LogDoor.logVerifier`.
 */
export function logVerifier(dat_length: number, ts_length: number): LogVerifier;

/**
 * Packed page of messages that a JetStream consumer delivered; undefined when the bytes are not such frames.
 */
export function natsPage(frames: Uint8Array | number[], limit: number): Uint8Array | undefined;

/**
 * Publishes of the events `from..to` in the NATS protocol, see the core.
 */
export function natsRecords(data: Uint8Array | number[], ends: Uint32Array | number[], timestamps: BigUint64Array | bigint[], shard: number, from: number, to: number, subject: string, reply_prefix: string, id_prefix: string): Uint8Array;

/**
 * See `LogDoor.openLogMemory`.
 */
export function openLogMemory(max_events: bigint, max_bytes: bigint, max_age_ms: bigint): RawLog;

/**
 * See `LogDoor.openLogStorage`.
 */
export function openLogStorage(storage: any, root: string, max_events: bigint, max_bytes: bigint, max_age_ms: bigint, now_ms: number): RawLog;

/**
 * Packed page of a complete answer to XRANGE; undefined when the bytes are not one.
 */
export function redisPage(answer: Uint8Array | number[], limit: number): Uint8Array | undefined;

/**
 * Records of the events `from..to` as pairs of RESP bulk strings (record, id), see the core.
 */
export function redisRecords(data: Uint8Array | number[], ends: Uint32Array | number[], timestamps: BigUint64Array | bigint[], shard: number, from: number, to: number, prefix: Uint8Array | number[], between: Uint8Array | number[], id_prefix: string): Uint8Array;

/**
 * XXH3-64, seed 0.
 */
export function xxh3(bytes: Uint8Array | number[]): bigint;

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly __wbg_blake3_free: (a: number, b: number) => void;
    readonly __wbg_bus_free: (a: number, b: number) => void;
    readonly __wbg_filter_free: (a: number, b: number) => void;
    readonly __wbg_logverifier_free: (a: number, b: number) => void;
    readonly __wbg_rawbatch_free: (a: number, b: number) => void;
    readonly __wbg_rawlog_free: (a: number, b: number) => void;
    readonly __wbg_rawmesh_free: (a: number, b: number) => void;
    readonly blake3_digest: (a: number, b: number) => [number, number, number, number];
    readonly blake3_new: (a: number, b: number, c: number) => [number, number, number];
    readonly blake3_update: (a: number, b: number, c: number) => void;
    readonly bus_acknowledged: (a: number) => [number, number];
    readonly bus_close: (a: number) => void;
    readonly bus_counters: (a: number) => [number, number];
    readonly bus_drain: (a: number) => void;
    readonly bus_due: (a: number) => [number, number];
    readonly bus_finishBatch: (a: number, b: number, c: number) => void;
    readonly bus_giveUp: (a: number) => number;
    readonly bus_lastStamp: (a: number) => bigint;
    readonly bus_new: (a: number, b: number) => [number, number, number];
    readonly bus_place: (a: number, b: number, c: number, d: number, e: number, f: number) => void;
    readonly bus_placePackets: (a: number, b: number, c: number) => void;
    readonly bus_positions: (a: number) => [number, number];
    readonly bus_push: (a: number, b: number, c: number, d: number, e: bigint) => void;
    readonly bus_read: (a: number, b: number, c: number, d: number, e: number, f: number) => [number, number];
    readonly bus_readFiltered: (a: number, b: number, c: number, d: number, e: number, f: number, g: number) => [number, number];
    readonly bus_ringLength: (a: number) => number;
    readonly bus_ringPointer: (a: number) => number;
    readonly bus_shape: (a: number) => [number, number];
    readonly bus_startSequence: (a: number, b: number, c: bigint) => void;
    readonly bus_sweep: (a: number) => void;
    readonly bus_takeAttention: (a: number) => number;
    readonly bus_takeBatch: (a: number, b: number) => number;
    readonly bus_tick: (a: number, b: number) => void;
    readonly crc32c: (a: number, b: number) => number;
    readonly ed25519PublicKey: (a: number, b: number) => [number, number, number, number];
    readonly ed25519Sign: (a: number, b: number, c: number, d: number) => [number, number, number, number];
    readonly ed25519Verify: (a: number, b: number, c: number, d: number, e: number, f: number) => number;
    readonly filter_matchMany: (a: number, b: number, c: number, d: number, e: number) => [number, number, number, number];
    readonly filter_matches: (a: number, b: number, c: number) => number;
    readonly filter_new: (a: number, b: number) => [number, number, number];
    readonly isJson: (a: number, b: number) => number;
    readonly journalEntry: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: bigint) => [number, number, number, number];
    readonly logArea: () => any;
    readonly logChecksum: (a: number, b: number) => number;
    readonly logManifest: (a: number) => [number, number];
    readonly logReadManifest: (a: number, b: number) => number;
    readonly logRecord: (a: bigint, b: number, c: number, d: number, e: number) => [number, number];
    readonly logVerifier: (a: number, b: number) => number;
    readonly logverifier_check: (a: number, b: number, c: number, d: number, e: number, f: number) => void;
    readonly logverifier_result: (a: number) => [number, number];
    readonly logverifier_take: (a: number, b: number, c: number) => void;
    readonly natsPage: (a: number, b: number, c: number) => [number, number];
    readonly natsRecords: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number, k: number, l: number, m: number, n: number, o: number) => [number, number, number, number];
    readonly openLogMemory: (a: bigint, b: bigint, c: bigint) => number;
    readonly openLogStorage: (a: any, b: number, c: number, d: bigint, e: bigint, f: bigint, g: number) => [number, number, number];
    readonly rawbatch_data: (a: number) => [number, number];
    readonly rawbatch_ends: (a: number) => [number, number];
    readonly rawbatch_sequenceStart: (a: number) => bigint;
    readonly rawbatch_timestamps: (a: number) => [number, number];
    readonly rawlog_advance: (a: number, b: bigint) => void;
    readonly rawlog_append: (a: number, b: number) => void;
    readonly rawlog_appendBatch: (a: number, b: number) => void;
    readonly rawlog_appendBytes: (a: number, b: number, c: number, d: number) => void;
    readonly rawlog_appendEvent: (a: number, b: number) => void;
    readonly rawlog_appendPacked: (a: number, b: number, c: number, d: number, e: number, f: number) => void;
    readonly rawlog_checkEvents: (a: number, b: number) => void;
    readonly rawlog_closeNow: (a: number) => void;
    readonly rawlog_compactStep: (a: number) => [number, number, number];
    readonly rawlog_compactionDue: (a: number) => number;
    readonly rawlog_failure: (a: number) => [number, number];
    readonly rawlog_files: (a: number) => [number, number];
    readonly rawlog_flushed: (a: number, b: number, c: number) => void;
    readonly rawlog_isLive: (a: number) => number;
    readonly rawlog_observe: (a: number, b: number) => void;
    readonly rawlog_payload: (a: number, b: bigint) => [number, number];
    readonly rawlog_read: (a: number, b: bigint, c: bigint, d: number) => number;
    readonly rawlog_shut: (a: number) => void;
    readonly rawlog_stats: (a: number) => [number, number];
    readonly rawlog_trim: (a: number, b: bigint) => void;
    readonly rawmesh_accept: (a: number, b: number, c: bigint, d: number) => [number, number, number];
    readonly rawmesh_addRoute: (a: number, b: number, c: bigint, d: number, e: number) => [number, number];
    readonly rawmesh_awaitRoom: (a: number, b: number, c: number, d: number) => number;
    readonly rawmesh_block: (a: number, b: number, c: number, d: number) => [number, number];
    readonly rawmesh_cancel: (a: number, b: number, c: number) => void;
    readonly rawmesh_closeStream: (a: number, b: number, c: bigint, d: bigint) => void;
    readonly rawmesh_connect: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: bigint) => [number, number, number];
    readonly rawmesh_disconnect: (a: number, b: number, c: bigint) => number;
    readonly rawmesh_discoveredNodes: (a: number) => number;
    readonly rawmesh_dropUnsolicited: (a: number, b: number) => void;
    readonly rawmesh_expectChannel: (a: number, b: bigint, c: bigint, d: number) => number;
    readonly rawmesh_expectKeepAlive: (a: number, b: number, c: number, d: number, e: bigint) => number;
    readonly rawmesh_flushed: (a: number, b: number) => number;
    readonly rawmesh_forgetChannel: (a: number, b: bigint, c: bigint) => number;
    readonly rawmesh_gatewayRule: (a: number, b: number, c: number, d: number, e: number) => void;
    readonly rawmesh_gatewaySubnet: (a: number, b: bigint, c: number) => void;
    readonly rawmesh_grantChannel: (a: number, b: bigint, c: number, d: number) => number;
    readonly rawmesh_handleDatagram: (a: number, b: number, c: number, d: number, e: number, f: number) => [number, number];
    readonly rawmesh_handleTimeout: (a: number, b: number) => void;
    readonly rawmesh_identify: (a: number, b: number, c: number) => void;
    readonly rawmesh_isDrained: (a: number) => number;
    readonly rawmesh_learnRoute: (a: number, b: number, c: bigint, d: number, e: number, f: number) => [number, number];
    readonly rawmesh_new: (a: number, b: bigint, c: number, d: number, e: number, f: number) => [number, number, number];
    readonly rawmesh_nextDeadline: (a: number) => number;
    readonly rawmesh_openStream: (a: number, b: number, c: bigint, d: bigint, e: number, f: number, g: number) => [number, number, number];
    readonly rawmesh_peerAt: (a: number, b: number, c: number) => [number, bigint];
    readonly rawmesh_peerCount: (a: number) => number;
    readonly rawmesh_peers: (a: number) => [number, number];
    readonly rawmesh_publicKey: (a: number) => [number, number];
    readonly rawmesh_publish: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number, k: number, l: number, m: any) => [number, number, number];
    readonly rawmesh_revokeChannel: (a: number, b: bigint, c: number, d: number) => number;
    readonly rawmesh_routes: (a: number) => [number, number];
    readonly rawmesh_send: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number) => [number, number, number];
    readonly rawmesh_sendBatch: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number) => number;
    readonly rawmesh_sendKeepAlive: (a: number, b: number, c: number, d: number) => [number, number];
    readonly rawmesh_sendSoon: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number) => [number, number, number];
    readonly rawmesh_sendTo: (a: number, b: number, c: bigint, d: number, e: number, f: number, g: number, h: number) => [number, number, number];
    readonly rawmesh_setGateway: (a: number, b: number, c: number) => void;
    readonly rawmesh_setWallClock: (a: number, b: number) => void;
    readonly rawmesh_shutdown: (a: number, b: number) => void;
    readonly rawmesh_start: (a: number, b: number) => void;
    readonly rawmesh_stats: (a: number) => [number, number];
    readonly rawmesh_streamStats: (a: number, b: bigint, c: bigint) => [number, number];
    readonly rawmesh_takeDeliveries: (a: number, b: number) => [number, number];
    readonly rawmesh_takeEvents: (a: number) => [number, number];
    readonly rawmesh_takeTransmits: (a: number, b: number) => [number, number];
    readonly rawmesh_tryPath: (a: number, b: number, c: bigint, d: number, e: number) => [number, number, number];
    readonly redisPage: (a: number, b: number, c: number) => [number, number];
    readonly redisRecords: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number, k: number, l: number, m: number, n: number, o: number) => [number, number, number, number];
    readonly xxh3: (a: number, b: number) => bigint;
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly __wbindgen_exn_store: (a: number) => void;
    readonly __externref_table_alloc: () => number;
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __externref_drop_slice: (a: number, b: number) => void;
    readonly __externref_table_dealloc: (a: number) => void;
    readonly __wbindgen_start: () => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path?: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;
