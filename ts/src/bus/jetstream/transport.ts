import type { JetStreamOptions } from '../../types.js';
import type { CompiledFilter } from '../filter.js';
import type { ReadPage } from '../reader.js';
import type { Batch, ShardPage, Transport, TransportContext } from '../transport.js';
import { TransportError } from '../transport.js';
import { readMatching } from '../wire/read.js';
import { NatsLane } from './lane.js';
import { type JetStreamSettings, jetStreamSettings, natsTargets } from './options.js';
import { StreamTails } from './reader.js';
import { Streams, streamName } from './streams.js';
import { StreamPublisher } from './writer.js';

/** Connections for writing: the server works on several streams at once, and more than this gains nothing. */
const WRITERS = 4;
/** Limit of the farewell to the server at shutdown. */
const DRAIN_MS = 10_000;

/** NATS JetStream as a store of events (11 §5). */
export class JetStreamTransport implements Transport {
  readonly name = 'jetstream';
  readonly #settings: JetStreamSettings;
  #open: { publisher: StreamPublisher; tails: StreamTails; writing: NatsLane[]; reading: NatsLane } | undefined;

  /** @throws MeshringError kind `invalid-config` */
  constructor(options: JetStreamOptions) {
    this.#settings = jetStreamSettings(options);
  }

  async init(context: TransportContext): Promise<void> {
    const targets = natsTargets(this.#settings.url);
    const lane = () => new NatsLane(targets, this.#settings.connectTimeoutMs);
    const reading = lane();
    const warn = (text: string) => context.warn(text);
    const streams = new Streams(this.#settings, warn);
    try {
      const connection = await reading.connection();
      if (connection.info.headers === false) {
        throw new TransportError('connection', 'the NATS server does not support headers');
      }
      // What stands in the way of a stream (limits, replicas, permissions) is seen now and not at the first batch.
      for (let shard = 0; shard < context.shards; shard += 32) {
        const shards = Array.from({ length: Math.min(32, context.shards - shard) }, (_, i) => shard + i);
        await Promise.all(shards.map((each) => streams.ensure(connection, each)));
      }
      const readable = this.#settings.readShards ?? context.shards;
      const above = streamName(this.#settings.prefix, readable);
      if (await streams.exists(connection, readable)) {
        warn(`jetstream: stream ${above} exists, but only shards below ${readable} are read; set readShards`);
      }
    } catch (error) {
      reading.close();
      throw atStart(error);
    }
    const writing = Array.from({ length: Math.min(WRITERS, context.shards) }, lane);
    const publisher = new StreamPublisher(
      this.#settings,
      streams,
      (shard) => writing[shard % writing.length] as NatsLane,
    );
    this.#open = { publisher, tails: new StreamTails(this.#settings, streams, reading, warn), writing, reading };
  }

  async onBatch(batch: Batch): Promise<void> {
    await this.#opened().publisher.publish(batch);
  }

  /** Nothing to wait for: a batch resolves when the server has acknowledged it. */
  async flush(): Promise<void> {
    this.#opened();
  }

  async shutdown(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    open.tails.close();
    const lanes = [...open.writing, open.reading];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new TransportError('transient', 'nats drain timed out after 10s')), DRAIN_MS);
    });
    try {
      const pings = lanes.map((lane) => lane.standing?.ping().catch(() => undefined));
      await Promise.race([Promise.all(pings), late]);
    } finally {
      clearTimeout(timer);
      for (const lane of lanes) lane.close();
    }
  }

  async pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage> {
    const { pages, more } = await this.#opened().tails.pages(shard, afterId, limit);
    const events = pages.flatMap((page) => Array.from({ length: page.count }, (_, i) => page.storeEvent(i)));
    return { events, nextId: pages.at(-1)?.lastId, hasMore: more };
  }

  async read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): Promise<ReadPage> {
    const { tails } = this.#opened();
    return readMatching((from, most) => tails.pages(shard, from, most), shard, after, limit, scan, filter);
  }

  get readShards(): number | undefined {
    return this.#settings.readShards;
  }

  checkId(id: string): string | undefined {
    const fits = /^(0|[1-9]\d{0,19})$/.test(id) && BigInt(id) < 2n ** 64n;
    return fits ? undefined : `position ${JSON.stringify(id)} is not a JetStream sequence (<n>)`;
  }

  healthy(): boolean {
    const open = this.#open;
    return open !== undefined && [open.reading, ...open.writing].some((lane) => lane.healthy);
  }

  async tail(shards: readonly number[]): Promise<ReadonlyMap<number, string>> {
    return this.#opened().tails.newest(shards);
  }

  async waitForData(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void> {
    await this.#open?.tails.wait(positions, signal);
  }

  stats(): Record<string, unknown> {
    return { exactlyOnce: true };
  }

  #opened() {
    if (!this.#open) throw new TransportError('shutdown');
    return this.#open;
  }
}

/** At the start nothing is tried again: whatever stands in the way is a failure to connect. */
function atStart(error: unknown): unknown {
  if (!(error instanceof TransportError) || error.kind === 'connection' || error.kind === 'shutdown') return error;
  return new TransportError('connection', error.message.replace(/^[a-z]+ error: /, ''), { cause: error });
}
