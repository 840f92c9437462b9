/** The low-level bus (`Net` of the core package, 10 §9): staging ring, shards in Rust, transport. */
import { type RawBus, settingsOf } from '../backend/bus.js';
import { door } from '../backend/choose.js';
import { MeshringError, messageOf, wrongType } from '../errors.js';
import { xxh3 } from '../hash/index.js';
import { platform } from '../platform/node.js';
import type { NetNodeConfig, PollRequest, PollResponseData, Receipt, Stats } from '../types.js';
import { checkFirst, MAX_EVENT_BYTES, type ResolvedConfig, resolveConfig } from './config.js';
import { openStore, startTransport } from './connect.js';
import { type EventBusOptions, fromCore, type HashedEvent } from './core-options.js';
import { countersOf } from './counters.js';
import { decodeCursor, encodeCursor } from './cursor.js';
import { AttachedDelivery, type Delivery, OwnDelivery } from './delivery.js';
import { Dispatcher } from './dispatch.js';
import { LazyTransport } from './lazy-transport.js';
import { LogReader } from './log-reader.js';
import { AttachedInbound } from './mesh/attached.js';
import { Poller } from './poll.js';
import type { ProducerState } from './producer-state.js';
import { tooLarge, utf8Length } from './size.js';
import { type Placed, Staging } from './staging.js';
import type { Transport } from './transport.js';
import { TransportReader } from './transport-reader.js';
import { Turns } from './turns.js';
import { TAIL, WAIT, type WaitableBus } from './wait.js';
import { Waiters } from './waiters.js';

const CLOSED = 'EventBus has been shut down';

/** Whether plain stores of the owner keep their order for readers on other threads (x86-64, `native/src/bus/ring.rs`). */
const ORDERED_STORES = platform.name === 'browser' || platform.arch === 'x64';

/** What a handle carries to another thread. */
export interface ShareableHandle {
  /** Marks the object as a handle of a node. */
  readonly meshring: 'bus';
  /** Number of the node in this process. */
  readonly id: bigint;
  /** Unix time of its creation, ms. */
  readonly created: number;
  /** Its backpressure mode. */
  readonly mode: ResolvedConfig['mode'];
  /** Limit of one transport operation, ms. */
  readonly timeoutMs: number;
  /** Number of the log of inbound events in this process, where a transport keeps one. */
  readonly inbound?: bigint | undefined;
  /** Options from which another thread opens its own connection for reading; undefined = log in memory. */
  readonly config: NetNodeConfig | undefined;
}

/** A store behind a network, and the way of events to it. */
interface Store {
  readonly transport: Transport;
  readonly delivery: Delivery;
}

/** Nodes with handles on other threads: forgetting them here must not end them. */
const shared = new Set<Net>();

function closed(): MeshringError {
  return new MeshringError('closed', CLOSED);
}

/** The low-level bus. */
export class Net implements WaitableBus {
  readonly #raw: RawBus;
  readonly #staging: Staging;
  readonly #poller: Poller;
  /** Where {@link #log} reads: the own shards, or the log of what a peer has sent. */
  readonly #source: RawBus;
  readonly #log: LogReader | undefined;
  /** Takes what has arrived from a peer into {@link #source}. */
  readonly #collect: (() => void) | undefined;
  /** Largest event, bytes. */
  readonly #largest: number;
  readonly #mode: ResolvedConfig['mode'];
  readonly #created: number;
  readonly #timeoutMs: number;
  readonly #config: NetNodeConfig | undefined;
  readonly #shards: number;
  /** Number of shards that are read: more than are written where the store has more. */
  readonly #readable: number;
  readonly #turns = new Turns();
  readonly #waiters = new Waiters({
    closed: () => this.#isClosed,
    announce: () => {
      this.#raw.setWaiting?.(true);
      this.#source.setWaiting?.(true);
    },
  });
  readonly #clock: (() => void) | undefined;
  #store: Store | undefined;
  #closing: Promise<void> | undefined;
  #final: Stats | undefined;

  private constructor(raw: RawBus, parts: NetParts) {
    this.#raw = raw;
    this.#mode = parts.mode;
    this.#created = parts.created;
    this.#timeoutMs = parts.timeoutMs;
    this.#config = parts.config;
    this.#shards = raw.shape()[0] as number;
    const origin = performance.now();
    const tick = raw.tick?.bind(raw);
    this.#clock = tick && (() => tick((performance.now() - origin) * 1e6));
    this.#staging = new Staging(
      raw,
      parts.mode !== 'drop_oldest' && parts.transport !== undefined,
      !parts.owner || !ORDERED_STORES,
      { eager: () => this.#waiters.some, done: () => this.#ticked() },
      this.#clock,
    );
    const { transport } = parts;
    const inbound = transport?.inbound;
    this.#source = inbound?.raw ?? raw;
    this.#largest = transport?.maxEventBytes ?? MAX_EVENT_BYTES;
    if (transport && !inbound) {
      this.#log = undefined;
      this.#readable = transport.readShards ?? this.#shards;
      this.#poller = new Poller(new TransportReader(transport, this.#readable));
    } else {
      this.#readable = this.#shards;
      this.#log = new LogReader(this.#source, this.#shards, parts.created);
      this.#poller = new Poller(this.#log);
    }
    // Rust holds the callback: a forgotten log in memory must not be held with it. (A store may have deliveries to do.)
    inbound?.onAppend(() => this.#waiters.wakeAll());
    this.#collect = inbound?.collect;
    raw.onWake?.(transport ? () => this.#woken() : Net.#wakeOf(new WeakRef(this)));
  }

  /** Creates a bus with the names of the core package; see {@link EventBusOptions}. */
  static async create(options: EventBusOptions = {}): Promise<Net> {
    return Net.open(fromCore(options));
  }

  /** @internal Creates a bus from the options of `NetNode`. */
  static async open(config: NetNodeConfig): Promise<Net> {
    checkFirst(config);
    const transport = await platform.openTransport(config.transport ?? { type: 'memory' }, config);
    return Net.over(config, transport);
  }

  /** @internal Creates a bus over a given transport; undefined = the log in memory. */
  static async over(config: NetNodeConfig, transport: Transport | undefined): Promise<Net> {
    const threaded = door.memory === undefined;
    const resolved = resolveConfig(config, threaded);
    const settings = { ...resolved.settings, queue: transport !== undefined };
    const producer = await platform.openProducer(config, transport !== undefined);
    try {
      if (transport) await startTransport(transport, resolved);
    } catch (error) {
      await producer.close();
      throw error;
    }
    try {
      const net = new Net(new door.Bus(settingsOf(settings)), {
        mode: resolved.mode,
        created: Date.now(),
        timeoutMs: resolved.adapterTimeoutMs,
        owner: true,
        transport,
        config: transport && config,
      });
      if (transport) net.#connect(transport, resolved, producer);
      return net;
    } catch (error) {
      await transport?.shutdown().catch(() => undefined);
      await producer.close();
      throw new MeshringError('create-failed', `Failed to create EventBus: ${messageOf(error)}`, { cause: error });
    }
  }

  /** @internal A view of a bus of another thread (10 §12.8). */
  static attach(handle: ShareableHandle): Net {
    if (door.memory) throw new MeshringError('unsupported', 'shareable is not available on the wasm backend');
    if (handle?.meshring !== 'bus' || typeof handle.id !== 'bigint') {
      throw wrongType('attach', 'handle', handle, 'a handle made by shareable()', 'InvalidArg');
    }
    let raw: RawBus;
    try {
      raw = new door.Bus(null, handle.id);
    } catch (error) {
      throw new MeshringError('invalid-argument', 'attach: the node of this handle is gone', { cause: error });
    }
    const { mode, created, timeoutMs, config, inbound } = handle;
    const shards = raw.shape()[0] as number;
    const lazy = config && new LazyTransport(() => openStore(config, shards, timeoutMs), shards, config.transport);
    const transport = inbound === undefined ? lazy : new AttachedInbound(new door.Bus(null, inbound));
    const net = new Net(raw, { mode, created, timeoutMs, owner: false, transport, config });
    if (transport) {
      const options = { timeoutMs, pending: () => net.#pending(), assertOpen: () => net.#assertOpen() };
      net.#store = { transport, delivery: new AttachedDelivery(raw, transport, options) };
    }
    return net;
  }

  /** @internal A handle that can be posted to a worker. */
  shareable(): ShareableHandle {
    this.#assertOpen();
    const id = this.#staging.share();
    shared.add(this);
    const inbound = this.#store?.transport.inbound?.raw.share?.();
    // A link to one peer can't be opened a second time, and its keys stay here.
    const copied = inbound === undefined ? this.#config : undefined;
    const config = copied && (JSON.parse(JSON.stringify(copied)) as NetNodeConfig);
    return {
      meshring: 'bus',
      id,
      created: this.#created,
      mode: this.#mode,
      timeoutMs: this.#timeoutMs,
      inbound,
      config,
    };
  }

  // --- Ingest ---------------------------------------------------------------------------------------------------

  /** Stages one event; false when it was refused, is too large (16 MiB; mesh 8108 bytes), or the bus is shut down. */
  push(data: Uint8Array): boolean {
    if (!(data instanceof Uint8Array)) throw wrongType('push', 'data', data, 'a Buffer or Uint8Array', 'InvalidArg');
    return data.length <= this.#largest && this.#staging.bytes(data);
  }

  /** As {@link push} for each; the number accepted. */
  pushBatch(events: Uint8Array[]): number {
    if (!Array.isArray(events)) throw wrongType('pushBatch', 'events', events, 'an array of Buffers', 'ArrayExpected');
    // All are looked at first: a wrong one must not leave the earlier ones ingested.
    for (const data of events) {
      if (!(data instanceof Uint8Array))
        throw wrongType('pushBatch', 'data', data, 'a Buffer or Uint8Array', 'InvalidArg');
    }
    let accepted = 0;
    for (const data of events) if (data.length <= this.#largest && this.#staging.bytes(data)) accepted += 1;
    return accepted;
  }

  /** Hash of an event, for {@link pushWithHash}. */
  prehash(data: Uint8Array): HashedEvent {
    if (!(data instanceof Uint8Array)) throw wrongType('prehash', 'data', data, 'a Buffer or Uint8Array', 'InvalidArg');
    return { data, hash: xxh3(data) };
  }

  /** As {@link push}, routed by the given hash, which is not checked; false for a hash outside u64. */
  pushWithHash(data: Uint8Array, hash: bigint): boolean {
    if (!(data instanceof Uint8Array)) {
      throw wrongType('pushWithHash', 'data', data, 'a Buffer or Uint8Array', 'InvalidArg');
    }
    if (typeof hash !== 'bigint') throw wrongType('pushWithHash', 'hash', hash, 'a bigint', 'BigintExpected');
    if (hash < 0n || hash > 0xffff_ffff_ffff_ffffn || data.length > this.#largest) return false;
    return this.#staging.hashed(data, hash);
  }

  /** Stages one JSON text; false when it was refused, is too large, or the bus is shut down. */
  ingestFire(json: string): boolean {
    if (typeof json !== 'string') throw wrongType('fire', 'json', json, 'a string', 'StringExpected');
    return this.#fire(json);
  }

  #fire(json: string): boolean {
    if (json.length > this.#largest / 3 && utf8Length(json) > this.#largest) return false;
    return this.#staging.text(json);
  }

  /** As {@link ingestFire} for each; the number accepted. */
  ingestBatchFire(jsons: string[]): number {
    if (!Array.isArray(jsons)) throw wrongType('fireBatch', 'jsons', jsons, 'an array of strings', 'ArrayExpected');
    for (const json of jsons) {
      if (typeof json !== 'string') throw wrongType('fireBatch', 'json', json, 'a string', 'StringExpected');
    }
    let accepted = 0;
    for (const json of jsons) if (this.#fire(json)) accepted += 1;
    return accepted;
  }

  /** Ingests one JSON text and tells where it went; null when `drop_newest` refused it. */
  ingestRawSync(json: string): Receipt | null {
    if (typeof json !== 'string') throw wrongType('emitRaw', 'json', json, 'a string', 'StringExpected');
    this.#assertOpen();
    if (json.length > this.#largest / 3) {
      const bytes = utf8Length(json);
      if (bytes > this.#largest) throw tooLarge(bytes, this.#largest);
    }
    return this.#receipt(this.#staging.placeText(json));
  }

  /** + As {@link ingestRawSync} for bytes, which are not checked. */
  ingestBytesSync(data: Uint8Array): Receipt | null {
    if (!(data instanceof Uint8Array)) {
      throw wrongType('ingestBytesSync', 'data', data, 'a Buffer or Uint8Array', 'InvalidArg');
    }
    this.#assertOpen();
    if (data.length > this.#largest) throw tooLarge(data.length, this.#largest);
    return this.#receipt(this.#staging.placeBytes(data));
  }

  /** As {@link ingestBatchFire}, but throws after shutdown. */
  ingestRawBatchSync(jsons: string[]): number {
    if (!Array.isArray(jsons)) throw wrongType('emitRawBatch', 'jsons', jsons, 'an array of strings', 'ArrayExpected');
    this.#assertOpen();
    return this.ingestBatchFire(jsons);
  }

  /** Promise form of {@link ingestRawSync}. */
  async ingestRaw(json: string): Promise<Receipt | null> {
    return this.ingestRawSync(json);
  }

  /** Promise form of {@link ingestRawBatchSync}. */
  async ingestRawBatch(jsons: string[]): Promise<number> {
    return this.ingestRawBatchSync(jsons);
  }

  /** As {@link ingestRaw}, after checking that the text is JSON. */
  async ingest(json: string): Promise<Receipt | null> {
    if (typeof json !== 'string') throw wrongType('ingest', 'json', json, 'a string', 'StringExpected');
    try {
      JSON.parse(json);
    } catch (error) {
      throw new MeshringError('invalid-json', `Invalid JSON: ${messageOf(error)}`, { cause: error });
    }
    return this.ingestRawSync(json);
  }

  // --- Reading --------------------------------------------------------------------------------------------------

  /** One page of what is stored (10 §5). */
  async poll(request: PollRequest): Promise<PollResponseData> {
    this.#assertOpen();
    if (this.#log) this.#sweep();
    const answer = this.#poller.poll(request);
    if (!(answer instanceof Promise)) {
      await this.#turns.due(answer.events.length === 0);
      return answer;
    }
    const release = platform.keepAlive();
    try {
      const page = await answer;
      this.#assertOpen();
      return page;
    } finally {
      release();
    }
  }

  async [WAIT](cursor: string | undefined, signal: AbortSignal, shards?: readonly number[]): Promise<boolean> {
    if (signal.aborted || this.#isClosed) return true;
    const waitForStore = this.#log ? undefined : this.#store?.transport.waitForData?.bind(this.#store.transport);
    if (!this.#log && !waitForStore) return false;
    const release = platform.keepAlive();
    const end = new AbortController();
    const stop = () => end.abort();
    signal.addEventListener('abort', stop, { once: true });
    try {
      const known = cursor === undefined ? new Map<number, string>() : decodeCursor(cursor);
      const positions = new Map<number, string | undefined>();
      for (const shard of shards ?? Array(this.#readable).keys()) positions.set(shard, known.get(shard));
      const ready = waitForStore ? () => false : () => this.#hasBehind(positions);
      const here = this.#waiters.until(ready, end.signal);
      await (waitForStore ? Promise.race([waitForStore(positions, end.signal), here]) : here);
      this.#turns.taken();
      return true;
    } finally {
      end.abort();
      signal.removeEventListener('abort', stop);
      release();
    }
  }

  [TAIL](): Promise<string | undefined> | string | undefined | null {
    this.#assertOpen();
    if (!this.#log) return this.#store?.transport.tail ? this.#storeTail(this.#store.transport) : null;
    this.#sweep();
    const positions = this.#source.positions();
    const tail = new Map<number, string>();
    for (let shard = 0; shard < this.#shards; shard++) {
      const newest = positions[2 * shard + 1] as number;
      if (newest > 0) tail.set(shard, this.#log.id(newest));
    }
    return tail.size > 0 ? encodeCursor(tail) : undefined;
  }

  async #storeTail(transport: Transport): Promise<string | undefined> {
    const release = platform.keepAlive();
    try {
      const asked = transport.tail?.([...Array(this.#readable).keys()]);
      // What is emitted from now on must be in front of the answer.
      if (asked) this.#store?.delivery.holdFor(asked);
      const tail = await asked;
      return tail && tail.size > 0 ? encodeCursor(tail) : undefined;
    } catch (error) {
      throw new MeshringError('poll-failed', `Poll failed: adapter error: ${messageOf(error)}`, { cause: error });
    } finally {
      release();
    }
  }

  // --- Lifecycle ------------------------------------------------------------------------------------------------

  /** Number of shards. */
  numShards(): number {
    return this.#shards;
  }

  /** Counters; the final ones after shutdown. */
  stats(): Stats {
    if (this.#final) return this.#final;
    this.#sweep();
    return this.#counters();
  }

  /** Resolves when every event accepted before the call is acknowledged by the transport (10 §4). */
  async flush(): Promise<void> {
    this.#assertOpen();
    this.#sweep();
    if (!this.#store) return;
    const release = platform.keepAlive();
    try {
      await this.#store.delivery.flush();
    } finally {
      release();
    }
  }

  /** Refuses new events, delivers what was accepted, and closes everything (10 §4). Idempotent. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#shutdown();
    return this.#closing;
  }

  async #shutdown(): Promise<void> {
    const release = platform.keepAlive();
    try {
      this.#clock?.();
      this.#raw.close();
      shared.delete(this);
      await this.#store?.delivery.close();
    } finally {
      this.#final = this.#counters();
      this.#waiters.wakeAll();
      this.#staging.detach();
      this.#raw.release?.();
      // A batch that the transport has not answered yet still refers to it.
      if (this.#store?.delivery.settled ?? true) this.#raw.free?.();
      release();
    }
  }

  get #isClosed(): boolean {
    return this.#closing !== undefined || this.#staging.closed;
  }

  /** @internal Throws after shutdown. */
  assertOpen(): void {
    this.#assertOpen();
  }

  #assertOpen(): void {
    if (this.#closing !== undefined || this.#staging.closed) throw closed();
  }

  #connect(transport: Transport, config: ResolvedConfig, producer: ProducerState): void {
    for (const [shard, sequence] of producer.sequences) this.#raw.startSequence(shard, sequence);
    const dispatcher = new Dispatcher(this.#raw, transport, {
      shards: config.shards,
      nonce: producer.nonce,
      timeoutMs: config.adapterTimeoutMs,
      retries: config.adapterBatchRetries,
      journal: producer.journal,
      clock: this.#clock,
    });
    const options = { timeoutMs: config.adapterTimeoutMs, pending: () => this.#pending() };
    this.#store = { transport, delivery: new OwnDelivery(transport, dispatcher, producer, options) };
    producer.recover?.(transport, config.adapterTimeoutMs, (warning) => platform.warnOnce(warning));
  }

  #receipt(placed: Placed): Receipt | null {
    if (placed.accepted) return { shardId: placed.shardId, timestamp: placed.timestamp };
    if (this.#isClosed) throw closed();
    if (this.#mode === 'fail_producer') {
      throw new MeshringError('backpressure', 'Ingestion failed: backpressure: ring buffer full');
    }
    return null;
  }

  /** Everything that any thread has staged becomes visible, and what a peer has been told is here. */
  #sweep(): void {
    if (this.#closing) return;
    this.#clock?.();
    this.#raw.sweep();
    this.#collect?.();
    if (this.#raw.takeAttention?.()) this.#store?.delivery.poke();
  }

  #counters(): Stats {
    return { ...countersOf(this.#raw, this.#log !== undefined), ...this.#store?.transport.stats?.() };
  }

  #pending(): number {
    return Number(this.stats().eventsPending ?? 0n);
  }

  #hasBehind(positions: ReadonlyMap<number, string | undefined>): boolean {
    const log = this.#log as LogReader;
    this.#sweep();
    const newest = this.#source.positions();
    for (const [shard, id] of positions) {
      if ((newest[2 * shard + 1] as number) > log.number(id)) return true;
    }
    return false;
  }

  /** End of a tick in which events were staged here. */
  #ticked(): void {
    this.#waiters.wakeAll();
    if (this.#raw.takeAttention?.()) this.#store?.delivery.poke();
  }

  /** The wake-up of a bus that it does not keep alive. */
  static #wakeOf(reference: WeakRef<Net>): () => void {
    return () => {
      const net = reference.deref();
      if (net) net.#woken();
    };
  }

  /** Called by the drain of another thread. */
  #woken(): void {
    this.#waiters.wakeAll();
    if (!this.#isClosed) this.#store?.delivery.poke();
  }
}

interface NetParts {
  readonly mode: ResolvedConfig['mode'];
  readonly created: number;
  readonly timeoutMs: number;
  readonly owner: boolean;
  readonly transport: Transport | undefined;
  readonly config: NetNodeConfig | undefined;
}
