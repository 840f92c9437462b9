/** Reading with a filter over packed pages: rejected events never become values of JavaScript. */
import type { CompiledFilter } from '../filter.js';
import type { ReadPage } from '../reader.js';
import type { StoredEvent } from '../stored-event.js';
import type { PackedPage } from './page.js';

/** Fetches entries behind a position: pages in order, and whether more entries exist behind them. */
export type FetchPages = (
  after: string | undefined,
  limit: number,
) => Promise<{ pages: readonly PackedPage[]; more: boolean }>;

/** Entries fetched at once while a filter looks for matches. */
const SCAN_STEP = 1000;

/**
 * At most `limit` matching events among at most about `scan` entries behind `after`.
 *
 * @param shard number that the events get
 */
export async function readMatching(
  fetch: FetchPages,
  shard: number,
  after: string | undefined,
  limit: number,
  scan: number,
  filter: CompiledFilter | undefined,
): Promise<ReadPage> {
  const found = new Matches(shard);
  let position: string | undefined;
  let left = Math.max(scan, limit);
  for (;;) {
    const wanted = filter ? Math.min(left, Math.max(limit - found.count, SCAN_STEP)) : limit - found.count;
    const { pages, more } = await fetch(position ?? after, wanted);
    for (const page of pages) {
      const cut = found.add(page, limit, filter);
      if (cut !== undefined) return found.page(cut, true);
      position = page.lastId ?? position;
      left -= page.looked;
    }
    if (!more || left <= 0 || found.count >= limit) return found.page(position, more);
  }
}

/** Events that matched, as places in pages. */
class Matches {
  readonly #shard: number;
  readonly #places: { page: PackedPage; index: number }[] = [];

  constructor(shard: number) {
    this.#shard = shard;
  }

  get count(): number {
    return this.#places.length;
  }

  /** Adds what matches; returns the id of the last event taken when the limit cuts the page. */
  add(page: PackedPage, limit: number, filter: CompiledFilter | undefined): string | undefined {
    const matches = filter && page.count > 0 ? filter.raw.matchMany(page.payloads, page.payloadEnds) : undefined;
    for (let index = 0; index < page.count; index++) {
      if (matches && matches[index] !== 1) continue;
      if (this.#places.length === limit) {
        const last = this.#places[limit - 1] as { page: PackedPage; index: number };
        return last.page.id(last.index);
      }
      this.#places.push({ page, index });
    }
    return undefined;
  }

  page(position: string | undefined, hasMore: boolean): ReadPage {
    const places = this.#places;
    const shard = this.#shard;
    const stamps = new Uint32Array(2 * places.length);
    places.forEach(({ page, index }, i) => {
      stamps[2 * i] = page.stamps[2 * index] ?? 0;
      stamps[2 * i + 1] = page.stamps[2 * index + 1] ?? 0;
    });
    const place = (i: number) => places[i] as { page: PackedPage; index: number };
    return {
      count: places.length,
      stamps,
      position,
      hasMore,
      id: (i: number): string => place(i).page.id(place(i).index),
      event: (i: number): StoredEvent => place(i).page.event(place(i).index, shard),
    };
  }
}
