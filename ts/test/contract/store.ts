import type { ReadPage, ShardReader } from '../../src/bus/reader.js';
import { storedEvent } from '../../src/bus/stored-event.js';
import {
  type Batch,
  type ShardPage,
  type StoreEvent,
  type Transport,
  TransportError,
} from '../../src/bus/transport.js';

export interface Entry {
  /** `null` = an entry that cannot be read. */
  raw: string | null;
  ts: bigint;
  /** Stable id over retries. */
  dedupId?: string;
}

const encoder = new TextEncoder();
/** Ids as in Redis: the first entry of a shard is `1000-0`. */
export const idOf = (index: number) => `${1000 + index}-0`;
const indexBehind = (id: string | undefined) => (id === undefined ? 0 : Number(id.split('-')[0]) - 999);

/** A store of entries in memory behind the transport interface; shards can be made to fail. */
export class StoreInMemory implements Transport {
  readonly name = 'memory';
  readonly failing = new Map<number, Error>();
  /** How many times a shard was read. */
  reads = 0;

  constructor(readonly shards: Entry[][]) {}

  async init(): Promise<void> {}
  async onBatch(_batch: Batch): Promise<void> {}
  async flush(): Promise<void> {}
  async shutdown(): Promise<void> {}
  healthy(): boolean {
    return true;
  }
  checkId(id: string): string | undefined {
    return /^\d+-\d+$/.test(id) ? undefined : `position ${JSON.stringify(id)} is not a Redis stream id (<ms>-<seq>)`;
  }

  async pollShard(shard: number, afterId: string | undefined, limit: number): Promise<ShardPage> {
    this.reads += 1;
    const failure = this.failing.get(shard);
    if (failure) throw failure;
    const entries = this.shards[shard] ?? [];
    const start = Math.max(0, indexBehind(afterId));
    const looked = entries.slice(start, start + limit);
    const events = looked.flatMap(({ raw, ts, dedupId }, i): StoreEvent[] =>
      raw === null
        ? []
        : [{ id: idOf(start + i), raw: encoder.encode(raw), ts, ...(dedupId === undefined ? {} : { dedupId }) }],
    );
    const nextId = looked.length > 0 ? idOf(start + looked.length - 1) : undefined;
    return { events, nextId, hasMore: start + limit < entries.length };
  }
}

/** The same entries behind the synchronous reader interface, as the memory log offers it. */
export class SyncReader implements ShardReader {
  readonly shards: number;

  constructor(readonly entries: Entry[][]) {
    this.shards = entries.length;
  }

  checkId(): string | undefined {
    return undefined;
  }

  horizon(): bigint {
    let latest = 0n;
    for (const { ts } of this.entries.flat()) if (ts > latest) latest = ts;
    return latest;
  }

  read(...[shard, after, limit, scan, filter]: Parameters<ShardReader['read']>): ReadPage {
    const entries = this.entries[shard] ?? [];
    const found: { id: string; bytes: Uint8Array; ts: bigint }[] = [];
    const start = Math.max(0, indexBehind(after));
    let at = start;
    for (; at < entries.length && found.length < limit && at - start < scan; at++) {
      const entry = entries[at];
      if (!entry || entry.raw === null) continue;
      const bytes = encoder.encode(entry.raw);
      if (!filter || filter.test(bytes)) found.push({ id: idOf(at), bytes, ts: entry.ts });
    }
    const words = found.flatMap(({ ts }) => [Number(ts & 0xffffffffn), Number(ts >> 32n)]);
    const item = (i: number) => found[i] as (typeof found)[number];
    return {
      count: found.length,
      stamps: Uint32Array.from(words),
      event: (i) => storedEvent(item(i).id, item(i).bytes, Number(item(i).ts), shard),
      id: (i) => item(i).id,
      position: at > start ? idOf(at - 1) : undefined,
      hasMore: at < entries.length,
    };
  }
}

export function failure(): TransportError {
  return new TransportError('transient', 'wrong type of key');
}
