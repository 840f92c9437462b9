/** Module `node`: the event bus (10 §2–§5, §7, §8). */
import { Net, type ShareableHandle } from './bus/net.js';
import { TypedChannel } from './channel.js';
import { wrongType } from './errors.js';
import { EventStream, TypedEventStream } from './stream.js';
import type {
  NetNodeConfig,
  PollRequest,
  PollResponseData,
  Receipt,
  Stats,
  StoredEvent,
  SubscribeOpts,
} from './types.js';

export type { ShareableHandle };

/** `JSON.stringify` of an event; a value that has no JSON text is a wrong argument. */
function stringify(method: string, event: unknown): string {
  const json = JSON.stringify(event) as string | undefined;
  if (json === undefined) throw wrongType(method, 'event', event, 'a value with a JSON text', 'StringExpected');
  return json;
}

/**
 * Handle of an event bus: sharded ingest, polling with cursors and filters, streams, typed channels.
 *
 * All ingest methods are synchronous, never touch the network, and have copied the event when they return.
 * A node that is not shut down does not keep the process alive; what it has not delivered is then lost.
 *
 * @example
 * const node = await NetNode.create({ shards: 4 });
 * node.emit({ token: 'hello', index: 0 });
 * for (const event of (await node.poll({ limit: 100 })).events) console.log(event.raw);
 * await node.shutdown();
 */
export class NetNode {
  readonly #net: Net;

  private constructor(net: Net) {
    this.#net = net;
  }

  /**
   * Creates a node. Default: events in memory, as many shards as CPUs, `drop_oldest`.
   *
   * @throws MeshringError kinds `invalid-config`, `create-failed`
   */
  static async create(config: NetNodeConfig = {}): Promise<NetNode> {
    if (config === null || typeof config !== 'object') {
      throw wrongType('NetNode.create', 'config', config, 'an object', 'InvalidArg');
    }
    return new NetNode(await Net.open(config));
  }

  /** Wraps a low-level bus. */
  static fromNapi(bus: Net): NetNode {
    if (!(bus instanceof Net)) throw wrongType('NetNode.fromNapi', 'bus', bus, 'a Net', 'InvalidArg');
    return new NetNode(bus);
  }

  /**
   * A node on this thread that feeds and reads the node of another thread (ours, addon backend). It has its own
   * staging ring; its `shutdown` leaves the other node open.
   *
   * @throws MeshringError kind `invalid-argument` when that node is gone, `unsupported` on WebAssembly
   */
  static attach(handle: ShareableHandle): NetNode {
    return new NetNode(Net.attach(handle));
  }

  /** Handle for {@link NetNode.attach}, to be posted to a worker (ours, addon backend). */
  shareable(): ShareableHandle {
    return this.#net.shareable();
  }

  /** The low-level bus. */
  get napi(): Net {
    return this.#net;
  }

  /**
   * Ingests an object as JSON.
   *
   * @returns where it went; null when `drop_newest` refused it
   * @throws MeshringError kinds `backpressure` (mode `fail_producer`), `too-large`, `closed`; TypeError of
   *   `JSON.stringify`
   */
  emit(event: object): Receipt | null {
    return this.#net.ingestRawSync(stringify('emit', event));
  }

  /** Ingests JSON text, which is not checked. Result and errors as {@link emit}. */
  emitRaw(json: string): Receipt | null {
    return this.#net.ingestRawSync(json);
  }

  /** Ingests bytes, which are not checked. False: refused, larger than 16 MiB, or shut down. The fastest way in. */
  emitBuffer(data: Uint8Array): boolean {
    return this.#net.push(data);
  }

  /** Ingests objects; the number accepted (of each shard the earliest). */
  emitBatch(events: object[]): number {
    if (!Array.isArray(events)) throw wrongType('emitBatch', 'events', events, 'an array', 'ArrayExpected');
    return this.emitRawBatch(events.map((event) => stringify('emitBatch', event)));
  }

  /** Ingests JSON texts; the number accepted. Throws after shutdown. */
  emitRawBatch(jsons: string[]): number {
    return this.#net.ingestRawBatchSync(jsons);
  }

  /** Ingests JSON text without a receipt. False: refused, too large, or shut down. */
  fire(json: string): boolean {
    return this.#net.ingestFire(json);
  }

  /** As {@link fire} for each; the number accepted. */
  fireBatch(jsons: string[]): number {
    return this.#net.ingestBatchFire(jsons);
  }

  /**
   * One page of stored events. Never consumes: the same request gives the same events while the store keeps them.
   *
   * @throws MeshringError kinds `invalid-argument`, `invalid-cursor`, `invalid-filter`, `poll-failed`, `closed`
   */
  poll(request: PollRequest): Promise<PollResponseData> {
    return this.#net.poll(request);
  }

  /** First stored event, or null. No position is kept. */
  async pollOne(): Promise<StoredEvent | null> {
    const { events } = await this.#net.poll({ limit: 1 });
    return events[0] ?? null;
  }

  /** Stream of stored and new events. */
  subscribe(opts?: SubscribeOpts): EventStream {
    return new EventStream(this.#net, opts);
  }

  /** Stream of `JSON.parse`d events. */
  subscribeTyped<T>(opts?: SubscribeOpts): TypedEventStream<T> {
    return new TypedEventStream<T>(this.#net, opts);
  }

  /** Publish and subscribe of objects under a name. `validator` turns parsed data into a `T`, or throws. */
  channel<T>(name: string, validator?: (data: unknown) => T): TypedChannel<T> {
    return new TypedChannel<T>(this.#net, name, validator);
  }

  /** Counters; final values after shutdown. */
  stats(): Stats {
    return this.#net.stats();
  }

  /** Number of shards. */
  shards(): number {
    return this.#net.numShards();
  }

  /**
   * Resolves when every event accepted before the call is acknowledged by the transport.
   *
   * @throws MeshringError kind `flush-failed` with `undelivered`, `closed`
   */
  flush(): Promise<void> {
    return this.#net.flush();
  }

  /**
   * Refuses new events, delivers the accepted ones, closes everything. Every call resolves when the one shutdown has
   * finished.
   *
   * @throws MeshringError kind `shutdown-failed` with `undelivered`
   */
  shutdown(): Promise<void> {
    return this.#net.shutdown();
  }

  /** As {@link shutdown}, for `await using` (ours). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }
}
