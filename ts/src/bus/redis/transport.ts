import type { RedisOptions } from '../../types.js';
import { type TransportContext, TransportError } from '../transport.js';
import { WireTransport } from '../wire/transport.js';
import { Lane } from './connection.js';
import { type RedisSettings, type RedisTarget, redisSettings, redisTarget } from './options.js';
import { StreamReader } from './reader.js';
import { command } from './resp.js';
import { StreamWriter, streamKey } from './writer.js';

/** Life of sequence keys: a producer that keeps its nonce may come back after weeks, another one never does. */
const EXPIRY_SECONDS = { kept: 30 * 86_400, own: 3600 };

/** Redis Streams as a store of events (11 §4). */
export class RedisTransport extends WireTransport<StreamWriter, Lane> {
  override readonly name = 'redis';
  readonly #settings: RedisSettings;
  readonly #keepsNonce: boolean;

  /**
   * @param keepsNonce whether the producer's nonce survives a restart (`producerNoncePath`)
   * @throws MeshringError kind `invalid-config`
   */
  constructor(options: RedisOptions, keepsNonce = false) {
    super();
    this.#settings = redisSettings(options);
    this.#keepsNonce = keepsNonce;
  }

  override async init(context: TransportContext): Promise<void> {
    const target: RedisTarget = redisTarget(this.#settings.url);
    const { connectTimeoutMs, commandTimeoutMs } = this.#settings;
    const lane = () => new Lane(target, connectTimeoutMs, commandTimeoutMs);
    const reading = lane();
    try {
      await reading.connection();
    } catch (error) {
      reading.close();
      throw atStart(error);
    }
    const readable = this.#settings.readShards ?? context.shards;
    if (await hasStream(reading, streamKey(this.#settings.prefix, readable), commandTimeoutMs)) {
      context.warn(
        `redis: ${streamKey(this.#settings.prefix, readable)} exists, but only shards below ${readable} are read; set readShards`,
      );
    }
    const poolSize = Math.min(this.#settings.poolSize ?? context.shards, context.shards);
    const writing = Array.from({ length: poolSize }, lane);
    const warn = (text: string) => context.warn(text);
    const writer = new StreamWriter({
      target,
      settings: this.#settings,
      sequenceExpiry: this.#keepsNonce ? EXPIRY_SECONDS.kept : EXPIRY_SECONDS.own,
      lane: (shard) => writing[shard % poolSize] as Lane,
      // Batches of a former run can belong to shards that this node does not have.
      dedicated: (shard) => poolSize === context.shards && shard < context.shards,
      warn,
    });
    const reader = new StreamReader(this.#settings, target, reading, warn);
    this.started = { writer, reader, lanes: [...writing, reading] };
  }

  override async shutdown(): Promise<void> {
    const { started } = this;
    this.started = undefined;
    started?.reader.close();
    for (const lane of started?.lanes ?? []) lane.close();
  }

  override get readShards(): number | undefined {
    return this.#settings.readShards;
  }

  override checkId(id: string): string | undefined {
    const parts = /^(\d{1,20})-(\d{1,20})$/.exec(id);
    const fits = parts?.slice(1).every((part) => BigInt(part) < 2n ** 64n);
    return fits ? undefined : `position ${JSON.stringify(id)} is not a Redis stream id (<ms>-<seq>)`;
  }

  override stats(): Record<string, unknown> {
    return { exactlyOnce: this.started?.writer.exactlyOnce ?? this.#settings.exactlyOnce };
  }
}

/** Whether a stream is there; a user who may not ask gets no warning. */
async function hasStream(lane: Lane, key: string, timeoutMs: number): Promise<boolean> {
  try {
    const connection = await lane.connection();
    const [found] = await connection.replies([command('XRANGE', key, '-', '+', 'COUNT', 1)], 1, timeoutMs);
    return Array.isArray(found) && found.length > 0;
  } catch {
    return false;
  }
}

/** At the start nothing is tried again: whatever stands in the way is a failure to connect. */
function atStart(error: unknown): unknown {
  if (!(error instanceof TransportError) || error.kind === 'connection' || error.kind === 'shutdown') return error;
  return new TransportError('connection', error.message.replace(/^[a-z]+ error: /, ''), { cause: error });
}
