/** What the stores behind a connection have in common: they differ in how a batch is written and a stream is read. */
import type { CompiledFilter } from '../filter.js';
import type { ReadPage } from '../reader.js';
import type { Batch, ShardPage, Transport, TransportContext } from '../transport.js';
import { TransportError } from '../transport.js';
import type { PackedPage } from './page.js';
import { readMatching } from './read.js';

/** Reads the streams of one node. */
export interface WireReader {
  /** The next entries behind `after`, and whether more exist. */
  pages(shard: number, after: string | undefined, limit: number): Promise<{ pages: PackedPage[]; more: boolean }>;
  /** Id of the newest entry of each stream that has one. */
  tail(shards: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /** Resolves when one of the shards has entries behind its position, or when `signal` aborts. */
  wait(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void>;
  /** Ends waits. */
  close(): void;
}

/** Writes batches; resolves when the store has confirmed all of one. */
export interface WireWriter {
  write(batch: Batch): Promise<void>;
}

/** A started transport. */
export interface Started<Writer extends WireWriter, Lane extends { readonly healthy: boolean }> {
  writer: Writer;
  reader: WireReader;
  /** Connections for writing, then the one for reading. */
  lanes: Lane[];
}

/** A store behind connections: `init` starts it, everything else needs it started. */
export abstract class WireTransport<Writer extends WireWriter, Lane extends { readonly healthy: boolean }>
  implements Transport
{
  abstract readonly name: string;
  protected started: Started<Writer, Lane> | undefined;

  /** @throws TransportError kind `connection` when the store cannot be used as configured */
  abstract init(context: TransportContext): Promise<void>;
  abstract shutdown(): Promise<void>;
  abstract checkId(id: string): string | undefined;
  abstract stats(): Record<string, unknown>;
  abstract get readShards(): number | undefined;

  async onBatch(batch: Batch): Promise<void> {
    await this.running().writer.write(batch);
  }

  /** Nothing to wait for: a batch resolves when the server has confirmed it. */
  async flush(): Promise<void> {
    this.running();
  }

  async pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage> {
    const { pages, more } = await this.running().reader.pages(shard, afterId, limit);
    const events = pages.flatMap((page) => Array.from({ length: page.count }, (_, i) => page.storeEvent(i)));
    return { events, nextId: pages.findLast((page) => page.looked > 0)?.lastId, hasMore: more };
  }

  async read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): Promise<ReadPage> {
    const { reader } = this.running();
    return readMatching((from, most) => reader.pages(shard, from, most), shard, after, limit, scan, filter);
  }

  healthy(): boolean {
    return this.started?.lanes.some((lane) => lane.healthy) ?? false;
  }

  async tail(shards: readonly number[]): Promise<ReadonlyMap<number, string>> {
    return this.running().reader.tail(shards);
  }

  async waitForData(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void> {
    await this.started?.reader.wait(positions, signal);
  }

  /** @throws TransportError kind `shutdown` before `init` and after `shutdown` */
  protected running(): Started<Writer, Lane> {
    if (!this.started) throw new TransportError('shutdown');
    return this.started;
  }
}
