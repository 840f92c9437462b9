import type { JetStreamOptions } from '../../types.js';
import { type TransportContext, TransportError } from '../transport.js';
import { WireTransport } from '../wire/transport.js';
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
export class JetStreamTransport extends WireTransport<StreamPublisher, NatsLane> {
  override readonly name = 'jetstream';
  readonly #settings: JetStreamSettings;

  /** @throws MeshringError kind `invalid-config` */
  constructor(options: JetStreamOptions) {
    super();
    this.#settings = jetStreamSettings(options);
  }

  override async init(context: TransportContext): Promise<void> {
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
    const writer = new StreamPublisher(this.#settings, streams, (shard) => writing[shard % writing.length] as NatsLane);
    const reader = new StreamTails(this.#settings, streams, reading, warn);
    this.started = { writer, reader, lanes: [...writing, reading] };
  }

  override async shutdown(): Promise<void> {
    const { started } = this;
    this.started = undefined;
    if (!started) return;
    const { reader, lanes } = started;
    reader.close();
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

  override get readShards(): number | undefined {
    return this.#settings.readShards;
  }

  override checkId(id: string): string | undefined {
    const fits = /^(0|[1-9]\d{0,19})$/.test(id) && BigInt(id) < 2n ** 64n;
    return fits ? undefined : `position ${JSON.stringify(id)} is not a JetStream sequence (<n>)`;
  }

  override stats(): Record<string, unknown> {
    return { exactlyOnce: true };
  }
}

/** At the start nothing is tried again: whatever stands in the way is a failure to connect. */
function atStart(error: unknown): unknown {
  if (!(error instanceof TransportError) || error.kind === 'connection' || error.kind === 'shutdown') return error;
  return new TransportError('connection', error.message.replace(/^[a-z]+ error: /, ''), { cause: error });
}
