import type { Transport as TransportOptions } from '../types.js';
import type { CompiledFilter } from './filter.js';
import type { ReadPage } from './reader.js';
import { type Batch, type ShardPage, type Transport, TransportError } from './transport.js';
import { TransportReader } from './transport-reader.js';

/** Reads a store through a connection that is opened at the first use. Never writes: the owner's thread does. */
export class LazyTransport implements Transport {
  readonly name = 'attached';
  readonly #open: () => Promise<Transport>;
  #transport: Promise<Transport> | undefined;
  #ready: Transport | undefined;

  readonly #shards: number;
  readonly readShards: number | undefined;

  constructor(open: () => Promise<Transport>, shards: number, options: TransportOptions | undefined) {
    this.#open = open;
    this.#shards = shards;
    this.readShards = options && 'readShards' in options ? options.readShards : undefined;
  }

  async init(): Promise<void> {}

  async onBatch(_batch: Batch): Promise<void> {
    throw new TransportError('fatal', 'an attached node does not write to the store itself');
  }

  async flush(): Promise<void> {}

  async shutdown(): Promise<void> {
    const transport = this.#transport;
    this.#transport = Promise.reject(new TransportError('shutdown'));
    this.#transport.catch(() => undefined);
    // A connection that was never made needs no closing.
    const open = await transport?.catch(() => undefined);
    await open?.shutdown();
  }

  async pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage> {
    return (await this.#opened()).pollShard(shard, afterId, limit);
  }

  async read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): Promise<ReadPage> {
    const reader = new TransportReader(await this.#opened(), this.readShards ?? this.#shards);
    return reader.read(shard, after, limit, scan, filter);
  }

  /** Before the first read nothing is known about ids: the store says then. */
  checkId(id: string): string | undefined {
    return this.#ready?.checkId(id);
  }

  healthy(): boolean {
    return this.#ready?.healthy() ?? true;
  }

  async waitForData(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void> {
    await (await this.#opened()).waitForData?.(positions, signal);
  }

  async #opened(): Promise<Transport> {
    this.#transport ??= this.#open().catch((error: unknown) => {
      // A failed attempt is not remembered: the next read tries again.
      this.#transport = undefined;
      throw error;
    });
    this.#ready = await this.#transport;
    return this.#ready;
  }
}
