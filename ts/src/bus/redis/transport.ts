import type { RedisOptions } from '../../types.js';
import type { CompiledFilter } from '../filter.js';
import type { ReadPage } from '../reader.js';
import type { Batch, ShardPage, Transport, TransportContext } from '../transport.js';
import { TransportError } from '../transport.js';
import { readMatching } from '../wire/read.js';
import { Lane } from './connection.js';
import { type RedisSettings, type RedisTarget, redisSettings, redisTarget } from './options.js';
import { StreamReader } from './reader.js';
import { command } from './resp.js';
import { StreamWriter, streamKey } from './writer.js';

/** Life of sequence keys: a producer that keeps its nonce may come back after weeks, another one never does. */
const EXPIRY_SECONDS = { kept: 30 * 86_400, own: 3600 };

/** Redis Streams as a store of events (11 §4). */
export class RedisTransport implements Transport {
  readonly name = 'redis';
  readonly #settings: RedisSettings;
  readonly #keepsNonce: boolean;
  #open: { writer: StreamWriter; reader: StreamReader; writing: Lane[]; reading: Lane } | undefined;

  /**
   * @param keepsNonce whether the producer's nonce survives a restart (`producerNoncePath`)
   * @throws MeshringError kind `invalid-config`
   */
  constructor(options: RedisOptions, keepsNonce = false) {
    this.#settings = redisSettings(options);
    this.#keepsNonce = keepsNonce;
  }

  async init(context: TransportContext): Promise<void> {
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
    this.#open = { writer, reader: new StreamReader(this.#settings, target, reading, warn), writing, reading };
  }

  async onBatch(batch: Batch): Promise<void> {
    await this.#opened().writer.append(batch);
  }

  /** Nothing to wait for: a batch resolves when the server has confirmed it. */
  async flush(): Promise<void> {
    this.#opened();
  }

  async shutdown(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    open.reader.close();
    for (const lane of [...open.writing, open.reading]) lane.close();
  }

  async pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage> {
    return this.#opened().reader.read(shard, afterId, limit);
  }

  async read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): Promise<ReadPage> {
    const { reader } = this.#opened();
    return readMatching((from, most) => reader.pages(shard, from, most), shard, after, limit, scan, filter);
  }

  get readShards(): number | undefined {
    return this.#settings.readShards;
  }

  checkId(id: string): string | undefined {
    const parts = /^(\d{1,20})-(\d{1,20})$/.exec(id);
    const fits = parts?.slice(1).every((part) => BigInt(part) < 2n ** 64n);
    return fits ? undefined : `position ${JSON.stringify(id)} is not a Redis stream id (<ms>-<seq>)`;
  }

  healthy(): boolean {
    const open = this.#open;
    return open !== undefined && [open.reading, ...open.writing].some((lane) => lane.healthy);
  }

  async tail(shards: readonly number[]): Promise<ReadonlyMap<number, string>> {
    return this.#opened().reader.tail(shards);
  }

  async waitForData(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void> {
    await this.#open?.reader.wait(positions, signal);
  }

  stats(): Record<string, unknown> {
    return { exactlyOnce: this.#open?.writer.exactlyOnce ?? this.#settings.exactlyOnce };
  }

  #opened() {
    if (!this.#open) throw new TransportError('shutdown');
    return this.#open;
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
