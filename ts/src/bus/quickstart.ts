/** The bus in the words of the quickstart (10 §14): thin aliases over `NetNode`. */
import { MeshringError, messageOf, wrongType } from '../errors.js';
import { NetNode } from '../node.js';
import type {
  BackpressureMode,
  FilterInput,
  JetStreamOptions,
  MemoryOptions,
  MeshOptions,
  NetNodeConfig,
  Ordering,
  PollRequest,
  PollResponseData,
  Receipt,
  RedisOptions,
  Stats,
  SubscribeOpts,
  Transport,
} from '../types.js';
import { checkFirst, resolveConfig } from './config.js';
import { jetStreamSettings } from './jetstream/options.js';
import { checkMeshOptions } from './mesh-options.js';
import { redisSettings } from './redis/options.js';
import type { EventStream } from './stream.js';

/** Where the events of a bus go. Made by the static methods; passed to `EventBusConfig.builder().adapter(…)`. */
export class AdapterConfig {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Events stay in this process (the default). */
  static memory(options: MemoryOptions = {}): AdapterConfig {
    return new AdapterConfig({ type: 'memory', ...options });
  }

  /** One encrypted peer over UDP. */
  static net(): MeshAdapterConfig {
    return new MeshAdapterConfig({});
  }

  /** Redis Streams. */
  static redis(url: string, options: Omit<RedisOptions, 'url'> = {}): AdapterConfig {
    return new AdapterConfig({ type: 'redis', ...options, url });
  }

  /** NATS JetStream. */
  static jetstream(url: string, options: Omit<JetStreamOptions, 'url'> = {}): AdapterConfig {
    return new AdapterConfig({ type: 'jetstream', ...options, url });
  }

  /** The transport option of `NetNode.create`. */
  toTransport(): Transport {
    return this.#transport;
  }
}

/** An adapter for one encrypted peer over UDP. Each method answers a new one. */
export class MeshAdapterConfig extends AdapterConfig {
  readonly #options: Partial<MeshOptions>;

  /** @internal */
  constructor(options: Partial<MeshOptions>) {
    super({ type: 'mesh', bind: '', peer: '', psk: '', ...options });
    this.#options = options;
  }

  /** Own address, `ip:port`. */
  listen(address: string): MeshAdapterConfig {
    return this.#with({ bind: address });
  }

  /** The peer's address, `ip:port`. */
  peer(address: string): MeshAdapterConfig {
    return this.#with({ peer: address });
  }

  /** Key that both ends share, 64 hex digits. */
  psk(hex: string): MeshAdapterConfig {
    return this.#with({ psk: hex });
  }

  /** The peer's public key, 64 hex digits; the initiator needs it. */
  peerPublicKey(hex: string): MeshAdapterConfig {
    return this.#with({ peerPublicKey: hex });
  }

  /** Which end begins. Default `'initiator'`. */
  role(role: 'initiator' | 'responder'): MeshAdapterConfig {
    return this.#with({ role });
  }

  /** Own key pair, 64 hex digits each; the responder needs it. */
  keys(keys: { publicKey: string; secretKey: string }): MeshAdapterConfig {
    return this.#with({ publicKey: keys.publicKey, secretKey: keys.secretKey });
  }

  /** What is done about lost packets. Default `'none'`. */
  reliability(reliability: 'none' | 'light' | 'full'): MeshAdapterConfig {
    return this.#with({ reliability });
  }

  override toTransport(): Transport {
    if (this.#options.psk === undefined) {
      throw new MeshringError('invalid-config', 'psk is required: call .psk(<64 hex digits>)');
    }
    return super.toTransport();
  }

  #with(options: Partial<MeshOptions>): MeshAdapterConfig {
    return new MeshAdapterConfig({ ...this.#options, ...options });
  }
}

/** Options of a bus, checked. */
export class EventBusConfig {
  readonly #config: NetNodeConfig;

  /** @internal */
  constructor(config: NetNodeConfig) {
    this.#config = config;
  }

  /** Events in memory, as many shards as CPUs. */
  static default(): EventBusConfig {
    return new EventBusConfig({});
  }

  /** Options one by one; ends with `build()`. */
  static builder(): EventBusConfigBuilder {
    return new EventBusConfigBuilder();
  }

  /** The options of `NetNode.create`. */
  toNode(): NetNodeConfig {
    return { ...this.#config };
  }
}

/** Throws what `NetNode.create` would say about the options, without connecting. */
function check(config: NetNodeConfig): void {
  checkFirst(config);
  const { transport } = config;
  if (transport?.type === 'redis') redisSettings(transport);
  else if (transport?.type === 'jetstream') jetStreamSettings(transport);
  else if (transport?.type === 'mesh') checkMeshOptions(transport);
  resolveConfig(config, true);
}

/** Collects the options of a bus. */
export class EventBusConfigBuilder {
  readonly #config: NetNodeConfig = {};
  #adapter: AdapterConfig | undefined;

  /** Number of shards, 1..65535. */
  shards(count: number): this {
    this.#config.shards = count;
    return this;
  }

  /** Slots of a shard's ring, a power of two >= 1024. */
  bufferCapacity(events: number): this {
    this.#config.bufferCapacity = events;
    return this;
  }

  /** What happens when a ring is full. */
  backpressure(mode: BackpressureMode): this {
    this.#config.backpressure = mode;
    return this;
  }

  /** File that keeps the producer nonce over restarts. */
  producerNoncePath(path: string): this {
    this.#config.producerNoncePath = path;
    return this;
  }

  /** Where events go. Default: memory. */
  adapter(adapter: AdapterConfig): this {
    if (!(adapter instanceof AdapterConfig)) {
      throw wrongType('adapter', 'adapter', adapter, 'an AdapterConfig', 'InvalidArg');
    }
    this.#adapter = adapter;
    return this;
  }

  /**
   * Checks the options.
   *
   * @throws MeshringError kind `invalid-config`, with the texts of `NetNode.create`
   */
  build(): EventBusConfig {
    const config = { ...this.#config };
    if (this.#adapter) config.transport = this.#adapter.toTransport();
    check(config);
    return new EventBusConfig(config);
  }
}

/** An event to be ingested: bytes, usually JSON. */
export class Event {
  readonly #content: string | Uint8Array;

  private constructor(content: string | Uint8Array) {
    this.#content = content;
  }

  /**
   * An event of JSON text, which is checked and kept as it is.
   *
   * @throws MeshringError kind `invalid-json`, `Invalid JSON: <reason>`
   */
  static fromStr(json: string): Event {
    if (typeof json !== 'string') throw wrongType('Event.fromStr', 'json', json, 'a string', 'StringExpected');
    try {
      JSON.parse(json);
    } catch (error) {
      const reason = messageOf(error);
      throw new MeshringError('invalid-json', `Invalid JSON: ${reason}`, { cause: error });
    }
    return new Event(json);
  }

  /** An event of a value with a JSON form. */
  static fromValue(value: unknown): Event {
    const json = JSON.stringify(value) as string | undefined;
    if (json === undefined) {
      throw wrongType('Event.fromValue', 'value', value, 'a value with a JSON form', 'StringExpected');
    }
    return new Event(json);
  }

  /** An event of any bytes; they are not checked and not copied. */
  static fromBytes(bytes: Uint8Array): Event {
    if (!(bytes instanceof Uint8Array)) {
      throw wrongType('Event.fromBytes', 'bytes', bytes, 'a Uint8Array', 'InvalidArg');
    }
    return new Event(bytes);
  }

  /** The bytes, or the text that stands for them. */
  get content(): string | Uint8Array {
    return this.#content;
  }
}

/**
 * Request of one page. Asks for the order of insertion over all shards unless told otherwise.
 *
 * ```ts no-run
 * const page = await bus.poll(ConsumeRequest.new(100).filter(Filter.eq('token', 'hello')));
 * const next = await bus.poll(ConsumeRequest.new(100).from(page.nextId));
 * ```
 */
export class ConsumeRequest {
  readonly #request: PollRequest;

  /** @param limit events at most */
  constructor(limit: number) {
    this.#request = { limit, ordering: 'insertion_ts' };
  }

  /** As the constructor. */
  static new(limit: number): ConsumeRequest {
    return new ConsumeRequest(limit);
  }

  /** Begins behind a cursor (`nextId` of the page before); undefined = at the beginning. */
  from(cursor: string | undefined): this {
    if (cursor === undefined) delete this.#request.cursor;
    else this.#request.cursor = cursor;
    return this;
  }

  /** Only events that match. */
  filter(filter: FilterInput): this {
    this.#request.filter = filter;
    return this;
  }

  /** Order between shards. */
  ordering(ordering: Ordering): this {
    this.#request.ordering = ordering;
    return this;
  }

  /** Only these shards. */
  shards(shards: number[]): this {
    this.#request.shards = [...shards];
    return this;
  }

  /** The request as `NetNode.poll` takes it. */
  toPoll(): PollRequest {
    return { ...this.#request };
  }
}

const CREATED = Symbol('created');

/** An event bus; a `NetNode` with the names of the quickstart. */
export class EventBus {
  readonly #node: NetNode;

  /** @internal Throws: a bus is opened with `create`. */
  constructor(key?: unknown, node?: NetNode) {
    if (key !== CREATED || !node) {
      throw new TypeError('EventBus has no public constructor; use await EventBus.create(config)');
    }
    this.#node = node;
  }

  /**
   * Opens a bus. Default: events in memory.
   *
   * @throws MeshringError as `NetNode.create`
   */
  static async create(config: EventBusConfig | NetNodeConfig = {}): Promise<EventBus> {
    const options = config instanceof EventBusConfig ? config.toNode() : config;
    return new EventBus(CREATED, await NetNode.create(options));
  }

  /** The node below. */
  get node(): NetNode {
    return this.#node;
  }

  /**
   * Takes an event without waiting. Text and bytes are not checked; an object is written as JSON.
   *
   * @returns where it went; null when the ring is full and the mode refuses it
   * @throws MeshringError as `NetNode.emit`
   */
  ingest(event: Event | string | Uint8Array | object): Receipt | null {
    const content = event instanceof Event ? event.content : event;
    if (typeof content === 'string') return this.#node.emitRaw(content);
    if (content instanceof Uint8Array) return this.#node.napi.ingestBytesSync(content);
    return this.#node.emit(content);
  }

  /** One page of events. */
  poll(request: ConsumeRequest | PollRequest): Promise<PollResponseData> {
    return this.#node.poll(request instanceof ConsumeRequest ? request.toPoll() : request);
  }

  /** Stream of stored and new events. */
  subscribe(opts?: SubscribeOpts): EventStream {
    return this.#node.subscribe(opts);
  }

  /** Resolves when everything ingested before is acknowledged by the adapter. */
  flush(): Promise<void> {
    return this.#node.flush();
  }

  /** Counters. */
  stats(): Stats {
    return this.#node.stats();
  }

  /** Delivers what is still in the rings, then closes everything. A bus dropped without it loses that. */
  shutdown(): Promise<void> {
    return this.#node.shutdown();
  }

  /** As {@link shutdown}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }
}
