/** Reads a store through `Transport.pollShard`: fetches pages, filters them in Rust, moves on within a bound. */
import type { CompiledFilter } from './filter.js';
import type { ReadPage, ShardReader } from './reader.js';
import { type StoredEvent, storedEvent } from './stored-event.js';
import type { StoreEvent, Transport } from './transport.js';

/** Entries asked for in one request while a filter is at work. */
const MAX_FETCH = 1000;
const MIN_FILTERED_FETCH = 128;

/** Events of a store as a page. */
class StorePage implements ReadPage {
  readonly stamps: Uint32Array;

  constructor(
    private readonly shard: number,
    private readonly events: StoreEvent[],
    readonly position: string | undefined,
    readonly hasMore: boolean,
  ) {
    this.stamps = new Uint32Array(events.length * 2);
    for (const [i, { ts }] of events.entries()) {
      this.stamps[2 * i] = Number(ts & 0xffffffffn);
      this.stamps[2 * i + 1] = Number(ts >> 32n);
    }
  }

  get count(): number {
    return this.events.length;
  }

  event(i: number): StoredEvent {
    const { id, raw, ts, dedupId } = this.at(i);
    return storedEvent(id, raw, Number(ts), this.shard, dedupId);
  }

  id(i: number): string {
    return this.at(i).id;
  }

  private at(i: number): StoreEvent {
    const event = this.events[i];
    if (!event) throw new RangeError(`no event ${i} in a page of ${this.events.length}`);
    return event;
  }
}

/** The events that match; one call into Rust for all of them. */
function matching(events: StoreEvent[], filter: CompiledFilter): StoreEvent[] {
  const ends = new Uint32Array(events.length);
  let size = 0;
  for (const [i, event] of events.entries()) {
    size += event.raw.length;
    ends[i] = size;
  }
  const data = new Uint8Array(size);
  for (const [i, event] of events.entries()) data.set(event.raw, (ends[i] ?? 0) - event.raw.length);
  const marks = filter.raw.matchMany(data, ends);
  return events.filter((_, i) => marks[i] === 1);
}

/** A transport as the poll algorithm sees it. */
export class TransportReader implements ShardReader {
  readonly shards: number;
  readonly overfetch = 2;
  readonly #transport: Transport;

  constructor(transport: Transport, shards: number) {
    this.#transport = transport;
    this.shards = shards;
  }

  checkId(id: string): string | undefined {
    return this.#transport.checkId(id);
  }

  async read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): Promise<ReadPage> {
    if (this.#transport.read) return this.#transport.read(shard, after, limit, scan, filter);
    const found: StoreEvent[] = [];
    let position = after;
    let left = scan;
    let fetch = filter ? Math.max(limit, MIN_FILTERED_FETCH) : limit;
    for (;;) {
      const wanted = Math.min(filter ? Math.min(fetch, MAX_FETCH) : limit - found.length, left);
      const page = await this.#transport.pollShard(shard, position, wanted);
      found.push(...(filter && page.events.length > 0 ? matching(page.events, filter) : page.events));
      const moved = page.nextId !== undefined && page.nextId !== position;
      position = page.nextId ?? position;
      left -= wanted;
      fetch *= 2;
      const surplus = found.length > limit;
      if (surplus) {
        found.length = limit;
        position = found.at(-1)?.id;
      }
      if (found.length === limit || !page.hasMore || !moved || left <= 0) {
        const unmoved = position === after;
        return new StorePage(shard, found, unmoved ? undefined : position, surplus || (page.hasMore && moved));
      }
    }
  }
}
