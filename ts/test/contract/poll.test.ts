import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCursor, encodeCursor } from '../../src/bus/cursor.js';
import { Poller } from '../../src/bus/poll.js';
import type { ShardReader } from '../../src/bus/reader.js';
import { EventStream } from '../../src/bus/stream.js';
import { TransportReader } from '../../src/bus/transport-reader.js';
import { MeshringError } from '../../src/errors.js';
import type { PollRequest, PollResponseData, StoredEvent } from '../../src/types.js';
import vectors from '../vectors/bus-pagination.json';
import { type Entry, failure, idOf, StoreInMemory, SyncReader } from './store.js';

const both: [string, (shards: Entry[][]) => ShardReader][] = [
  ['a synchronous reader', (shards) => new SyncReader(shards)],
  ['a transport', (shards) => new TransportReader(new StoreInMemory(shards), shards.length)],
];

/** Follows `nextId` until there is no more. */
async function walk(poller: Poller, request: PollRequest, limits = [request.limit]): Promise<PollResponseData[]> {
  const pages: PollResponseData[] = [];
  for (let cursor = request.cursor; ; ) {
    const page = await poller.poll({ ...request, cursor, limit: limits[pages.length % limits.length] ?? 1 });
    pages.push(page);
    if (!page.hasMore) return pages;
    expect(page.nextId).not.toBe(cursor);
    cursor = page.nextId;
  }
}

const events = (pages: PollResponseData[]): StoredEvent[] => pages.flatMap((page) => page.events);
const numbered = (count: number, shard = 0): Entry[] =>
  Array.from({ length: count }, (_, i) => ({ raw: `{"s":${shard},"i":${i}}`, ts: BigInt(i * 10 + shard) }));

describe.each(both)('poll over %s', (_, make) => {
  it.each(
    vectors.runs.map((run) => [JSON.stringify({ ...run, pages: undefined, concatenated: undefined }), run] as const),
  )('walks as the peer: %s', async (_, { limit, filter, ordering, concatenated }) => {
    const shard = vectors.events.map((raw, i) => ({ raw, ts: BigInt(i) }));
    const request = { limit, ordering: ordering as 'none', ...(filter ? { filter } : {}) };
    const pages = await walk(new Poller(make([shard])), request);
    expect(events(pages).map((event) => vectors.events.indexOf(event.raw))).toEqual(concatenated);
    for (const page of pages) expect(page.events.length).toBeLessThanOrEqual(limit);
    expect(pages.at(-1)?.hasMore).toBe(false);
  });

  it('delivers every matching event once and in order of its shard, for any limits', async () => {
    const entry = fc.record({
      raw: fc.oneof(
        { weight: 5, arbitrary: fc.nat(9).map((k) => `{"k":${k}}`) },
        fc.constant('no json'),
        fc.constant(null),
      ),
      step: fc.nat(3),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(entry, { maxLength: 40 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 4 }),
        fc.option(fc.constant('{"$lt":{"path":"k","value":3}}'), { nil: undefined }),
        fc.constantFrom('none' as const, 'insertion_ts' as const),
        async (shape, limits, filter, ordering) => {
          const shards = shape.map((entries) => {
            let ts = 0n;
            return entries.map(({ raw, step }) => {
              ts += BigInt(step);
              return { raw, ts };
            });
          });
          const pages = await walk(
            new Poller(make(shards)),
            { limit: 1, ordering, ...(filter ? { filter } : {}) },
            limits,
          );
          for (const [i, page] of pages.entries()) {
            expect(page.events.length).toBeLessThanOrEqual(limits[i % limits.length] ?? 1);
          }
          const got = events(pages);
          for (const [shard, entries] of shards.entries()) {
            const wanted = entries.flatMap(({ raw }, i) =>
              raw === null || (filter && !/^\{"k":[012]\}$/.test(raw)) ? [] : [{ id: idOf(i), raw }],
            );
            const mine = got.filter((event) => event.shardId === shard);
            expect(mine.map(({ id, raw }) => ({ id, raw }))).toEqual(wanted);
          }
          if (ordering === 'insertion_ts') {
            const sorted = got.toSorted((a, b) => a.insertionTs - b.insertionTs || a.shardId - b.shardId);
            expect(got).toEqual(sorted);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('gives each shard its share of a page and the rest to those that have more', async () => {
    const shards = [numbered(1000, 0), numbered(3, 1), numbered(0, 2), numbered(50, 3)];
    const page = await new Poller(make(shards)).poll({ limit: 100 });
    const counts = [0, 1, 2, 3].map((shard) => page.events.filter((event) => event.shardId === shard).length);
    expect(page.events).toHaveLength(100);
    expect(counts[1]).toBe(3);
    expect(counts[3]).toBeGreaterThanOrEqual(25);
    expect(counts[0]).toBe(100 - 3 - (counts[3] ?? 0));
    expect(page.hasMore).toBe(true);
  });

  it('starves no shard when pages are smaller than the number of shards', async () => {
    const shards = Array.from({ length: 8 }, (_, shard) => numbered(500, shard));
    const poller = new Poller(make(shards));
    const counts = new Array<number>(8).fill(0);
    let cursor: string | undefined;
    for (let i = 0; i < 400; i++) {
      const page: PollResponseData = await poller.poll({ limit: 2, cursor });
      const again = await poller.poll({ limit: 2, cursor });
      expect(again.events).toEqual(page.events);
      for (const event of page.events) counts[event.shardId] = (counts[event.shardId] ?? 0) + 1;
      cursor = page.nextId;
    }
    expect(Math.min(...counts)).toBeGreaterThan(50);
  });

  it('merges by time stamp over pages, exactly beyond 2^53', async () => {
    const base = 1n << 60n;
    const shards = Array.from({ length: 8 }, (_, shard) =>
      Array.from({ length: 500 }, (_, i) => ({
        raw: `${i * 8 + ((shard * 3 + i) % 8)}`,
        ts: base + BigInt(i * 8 + ((shard * 3 + i) % 8)),
      })),
    );
    for (const limit of [1, 7, 100, 10_000]) {
      const got = events(await walk(new Poller(make(shards)), { limit, ordering: 'insertion_ts' })).map((event) =>
        Number(event.raw),
      );
      expect(got).toEqual(Array.from({ length: 4000 }, (_, i) => i));
    }
  });

  it('says when it ended because of the bound on its work, and goes on from there', async () => {
    const shard = numbered(25_000);
    const poller = new Poller(make([shard, []]));
    const request = { limit: 10, filter: '{"path":"i","value":24999}' };
    const pages = await walk(poller, request);
    expect(events(pages).map((event) => event.raw)).toEqual(['{"s":0,"i":24999}']);
    expect(pages[0]).toMatchObject({ events: [], hasMore: true, truncated: true });
    expect(pages.length).toBeLessThan(5);
    const full = await poller.poll({ limit: 30_000 });
    expect(full).toMatchObject({ hasMore: true, truncated: true });
    expect(full.events).toHaveLength(10_000);
    const exact = await poller.poll({ limit: 100 });
    expect('truncated' in exact).toBe(false);
  });

  it('keeps positions of shards that it does not read, and reads only those asked for', async () => {
    const poller = new Poller(make([numbered(3, 0), numbered(3, 1), numbered(3, 2)]));
    const cursor = encodeCursor(
      new Map([
        [1, '1000-0'],
        [40, '7-7'],
      ]),
    );
    const page = await poller.poll({ limit: 10, cursor, shards: [2, 2, 0] });
    expect(page.events.map((event) => event.shardId)).toEqual([0, 0, 0, 2, 2, 2]);
    expect(decodeCursor(page.nextId ?? '')).toEqual(
      new Map([
        [0, '1002-0'],
        [1, '1000-0'],
        [2, '1002-0'],
        [40, '7-7'],
      ]),
    );
    expect(() => poller.poll({ limit: 1, shards: [3] })).toThrow('Poll failed: invalid shard: 3 (there are 3)');
  });

  it('at the end answers with the cursor that it got', async () => {
    const poller = new Poller(make([numbered(2)]));
    expect(await new Poller(make([[]])).poll({ limit: 5 })).toEqual({ events: [], nextId: undefined, hasMore: false });
    const first = await poller.poll({ limit: 5 });
    expect(await poller.poll({ limit: 5, cursor: first.nextId })).toEqual({
      events: [],
      nextId: first.nextId,
      hasMore: false,
    });
    const empty = await poller.poll({ limit: 5, cursor: 'eyIwIjoiOTk5OS0wIn0=' });
    expect(empty).toEqual({ events: [], nextId: 'eyIwIjoiOTk5OS0wIn0=', hasMore: false });
  });

  it('with limit 0 is empty and does not look at the cursor', async () => {
    const page = await new Poller(make([numbered(2)])).poll({ limit: 0, cursor: 'nonsense' });
    expect(page).toEqual({ events: [], nextId: 'nonsense', hasMore: false });
  });

  it.each([
    [{}, 'Missing field `limit`', 'InvalidArg'],
    [{ limit: -1 }, 'Poll failed: invalid limit: -1', 'GenericFailure'],
    [{ limit: 1.5 }, 'Poll failed: invalid limit: 1.5', 'GenericFailure'],
    [{ limit: Number.NaN }, 'Poll failed: invalid limit: NaN', 'GenericFailure'],
    [{ limit: '5' }, 'poll: limit must be a number, got string', 'NumberExpected'],
    [{ limit: 1, ordering: 'shard' }, "Invalid ordering: shard. Use 'none' or 'insertion_ts'", 'GenericFailure'],
    [{ limit: 1, filter: '' }, 'Invalid filter: the text is empty', 'GenericFailure'],
    [{ limit: 1, filter: 5 }, 'Invalid filter: a filter must be an object, got number', 'GenericFailure'],
    [{ limit: 1, cursor: 5 }, 'poll: cursor must be a string, got number', 'StringExpected'],
    [{ limit: 1, cursor: '' }, 'Poll failed: invalid cursor: ', 'GenericFailure'],
    [{ limit: 1, shards: 1 }, 'poll: shards must be a list of shard numbers, got number', 'ArrayExpected'],
  ])('refuses %j', (request, message, code) => {
    const poller = new Poller(make([numbered(2)]));
    let caught: unknown;
    try {
      poller.poll(request as unknown as PollRequest);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(MeshringError);
    expect((caught as MeshringError).message.startsWith(message)).toBe(true);
    expect(caught).toMatchObject({ code });
  });

  it('gives raw text byte for byte, and bytes that are no text', async () => {
    const texts = ['{"b":  1.0, "z":"é"}', '\ufeff{}', '', '日本'];
    const page = await new Poller(make([texts.map((raw) => ({ raw, ts: 1n }))])).poll({ limit: 10 });
    expect(page.events.map((event) => event.raw)).toEqual(texts);
    expect(page.events.map((event) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(event.rawBytes))).toEqual(
      texts,
    );
    expect({ ...page.events[0] }).toEqual({ id: '1000-0', raw: texts[0], insertionTs: 1, shardId: 0 });
    expect(Object.keys(page.events[0] ?? {})).toEqual(['id', 'raw', 'insertionTs', 'shardId']);
  });
});

describe('poll over a store', () => {
  it('refuses positions that are no ids of the store', () => {
    const poller = new Poller(new TransportReader(new StoreInMemory([numbered(1)]), 1));
    const cursor = encodeCursor(new Map([[0, '5']]));
    expect(() => poller.poll({ limit: 1, cursor })).toThrow(
      'Poll failed: invalid cursor: shard 0: position "5" is not a Redis stream id (<ms>-<seq>)',
    );
  });

  it.each(['none', 'insertion_ts'] as const)(
    'a shard that fails is named, the others are delivered (%s)',
    async (ordering) => {
      const store = new StoreInMemory([numbered(3, 0), numbered(3, 1)]);
      store.failing.set(0, failure());
      const poller = new Poller(new TransportReader(store, 2));
      const page = await poller.poll({ limit: 10, ordering });
      expect(page.events.map((event) => event.shardId)).toEqual([1, 1, 1]);
      expect(page.failedShards).toEqual([0]);
      store.failing.clear();
      const rest = await poller.poll({ limit: 10, ordering, cursor: page.nextId });
      expect(rest.events.map((event) => event.shardId)).toEqual([0, 0, 0]);
      expect('failedShards' in rest).toBe(false);
    },
  );

  it('rejects when every shard fails', async () => {
    const store = new StoreInMemory([[], []]);
    store.failing.set(0, failure());
    store.failing.set(1, new Error('broken'));
    const poller = new Poller(new TransportReader(store, 2));
    await expect(poller.poll({ limit: 10 })).rejects.toMatchObject({
      kind: 'poll-failed',
      message: 'Poll failed: adapter error: transient error: wrong type of key',
    });
    store.failing.set(0, new Error('broken'));
    await expect(poller.poll({ limit: 10 })).rejects.toThrow('Poll failed: adapter error: fatal error: broken');
  });

  it('moves beyond entries that cannot be read, with and without a filter', async () => {
    const shard: Entry[] = Array.from({ length: 300 }, (_, i) => ({
      raw: i === 299 ? '{"a":1}' : null,
      ts: BigInt(i),
    }));
    for (const filter of [undefined, '{"path":"a","value":1}']) {
      const poller = new Poller(new TransportReader(new StoreInMemory([shard]), 1));
      const pages = await walk(poller, { limit: 10, ...(filter ? { filter } : {}) });
      expect(events(pages).map((event) => event.raw)).toEqual(['{"a":1}']);
    }
  });

  it('ends with the error of a closed store', async () => {
    const closed = new MeshringError('closed', 'EventBus has been shut down');
    const store = new StoreInMemory([numbered(3, 0), numbered(3, 1)]);
    store.failing.set(0, closed);
    await expect(new Poller(new TransportReader(store, 2)).poll({ limit: 1 })).rejects.toBe(closed);
  });
});

describe('dedup', () => {
  // A producer that tried every batch of ten twice; the last event is of another producer.
  const entries: Entry[] = Array.from({ length: 60 }, (_, i) => {
    const n = Math.floor(i / 20) * 10 + (i % 10);
    return { raw: String(n), ts: BigInt(i), dedupId: `1:0:0:${n}` };
  });
  entries.push({ raw: 'other', ts: 60n }, { raw: 'other', ts: 61n });
  const wanted = [...Array.from({ length: 30 }, (_, i) => String(i)), 'other', 'other'];
  const source = () => new Poller(new TransportReader(new StoreInMemory([entries]), 1));

  it('leaves out what was seen in this walk, and goes on where everything was', async () => {
    for (const limit of [3, 10, 100]) {
      const pages = await walk(source(), { limit, dedup: true });
      expect(events(pages).map((event) => event.raw)).toEqual(wanted);
    }
    expect(events(await walk(source(), { limit: 7 }))).toHaveLength(62);
    expect((await source().poll({ limit: 1 })).events[0]).toMatchObject({ dedupId: '1:0:0:0' });
  });

  it('remembers as many ids as it is told', async () => {
    const pages = await walk(source(), { limit: 5, dedup: 4 });
    expect(events(pages)).toHaveLength(62);
    expect(() => source().poll({ limit: 1, dedup: -1 })).toThrow(RangeError);
    expect(() => source().poll({ limit: 1, dedup: 'yes' as never })).toThrow('dedup must be a boolean or a number');
  });

  it('works in streams over any bus', async () => {
    const poller = source();
    const bus = { poll: async (request: PollRequest) => poller.poll(request) };
    const got: string[] = [];
    for await (const event of new EventStream(bus, { limit: 10, dedup: 100 })) {
      got.push(event.raw);
      if (got.length === wanted.length) break;
    }
    expect(got).toEqual(wanted);
  });
});

describe('order by time stamp while events arrive', () => {
  it('is kept: nothing later than the horizon is delivered', async () => {
    const shards: Entry[][] = [[], [{ raw: 'a', ts: 1n }]];
    const reader = new SyncReader(shards);
    const read = reader.read.bind(reader);
    reader.read = (...args) => {
      const page = read(...args);
      // Between the reads of two shards an event arrives in the first and a later one in the second.
      if (args[0] === 0 && shards[0]?.length === 0) {
        shards[0].push({ raw: 'b', ts: 2n });
        shards[1]?.push({ raw: 'c', ts: 3n });
      }
      return page;
    };
    const pages = [];
    let cursor: string | undefined;
    const poller = new Poller(reader);
    for (let i = 0; i < 2; i++) {
      const page: PollResponseData = await poller.poll({ limit: 10, ordering: 'insertion_ts', cursor });
      pages.push(page);
      cursor = page.nextId;
    }
    expect(pages.map((page) => page.events.map((event) => event.raw))).toEqual([['a'], ['b', 'c']]);
    expect(pages[0]?.hasMore).toBe(true);
  });
});
