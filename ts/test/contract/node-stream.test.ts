import { afterEach, describe, expect, it, vi } from 'vitest';
import { Filter } from '../../src/bus/filter.js';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig, PollResponseData } from '../../src/types.js';

const open: NetNode[] = [];
async function create(config: NetNodeConfig = {}): Promise<NetNode> {
  const node = await NetNode.create(config);
  open.push(node);
  return node;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.shutdown()));
});

async function take<T>(stream: AsyncIterable<T>, count: number): Promise<T[]> {
  const out: T[] = [];
  for await (const value of stream) {
    out.push(value);
    if (out.length === count) break;
  }
  return out;
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('a stream of a node', () => {
  it('goes on exactly behind the event at which it was left', async () => {
    const node = await create({ shards: 4 });
    const stream = node.subscribeTyped<{ i: number }>({ limit: 10, ordering: 'insertion_ts' });
    const got: number[] = [];
    let emitted = 0;
    for (const count of [3, 20, 1, 7, 69]) {
      for (let i = 0; i < count; i++) node.emit({ i: emitted++ });
      for (const { i } of await take(stream, count)) got.push(i);
    }
    expect(got).toEqual(numbers(100));
  });

  it('finds its channel behind 400 events of others', async () => {
    const node = await create();
    const other = node.channel<{ i: number }>('other');
    const mine = node.channel<{ i: number }>('mine', (data) => ({ i: (data as { i: number }).i * 2 }));
    expect(other.publishBatch(numbers(400).map((i) => ({ i })))).toBe(400);
    expect(mine.publish({ i: 21 })).toBe(true);
    expect(await take(mine.subscribe({ limit: 10 }), 1)).toEqual([{ i: 42 }]);
    expect((await take(mine.subscribeRaw(), 1))[0]?.raw).toBe('{"i":21,"_channel":"mine"}');
  });

  it('with fromNow begins with the event emitted right after it was made', async () => {
    const node = await create({ shards: 8 });
    for (const i of numbers(500)) node.fire(JSON.stringify({ old: i }));
    const stream = node.subscribeTyped({ fromNow: true, ordering: 'insertion_ts' });
    for (const i of numbers(50)) node.emit({ fresh: i });
    expect(await take(stream, 50)).toEqual(numbers(50).map((i) => ({ fresh: i })));
  });

  it('sleeps while other shards have events and wakes for its own', async () => {
    const node = await create({ shards: 2 });
    const receipts = numbers(40).map((i) => node.emit({ i })?.shardId);
    const mine = receipts.filter((shard) => shard === 1).length;
    const stream = node.subscribe({ shards: [1] });
    await take(stream, mine);
    const polls = vi.spyOn(node.napi, 'poll');
    const next = stream[Symbol.asyncIterator]().next();
    // The shard that is not wanted has events behind the position, and more of them arrive.
    let i = 40;
    for (let shard: number | undefined = 0; shard !== 1; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      expect(polls).not.toHaveBeenCalled();
      shard = node.emit({ i })?.shardId;
    }
    i -= 1;
    expect((await next).value).toMatchObject({ raw: JSON.stringify({ i }), shardId: 1 });
  });

  it('ends when the node is shut down, after the events at hand', async () => {
    const node = await create({ shards: 1 });
    for (const i of numbers(10)) node.emit({ i });
    const got: unknown[] = [];
    for await (const event of node.subscribeTyped()) {
      got.push(event);
      if (got.length === 1) await node.shutdown();
    }
    expect(got).toHaveLength(10);
    const idle = await create();
    const waiting = idle.subscribe()[Symbol.asyncIterator]().next();
    await idle.shutdown();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it('throws a filter that is wrong from the loop', async () => {
    const node = await create();
    await expect(take(node.subscribe({ filter: { $gt: { path: 'a' } } }), 1)).rejects.toThrow(
      'Invalid filter: "$gt" on "a" needs "value"',
    );
  });
});

describe('polling a node', () => {
  it('in a loop lets timers run, with and without events', async () => {
    const node = await create({ shards: 2 });
    const loop = async (work: () => Promise<unknown>) => {
      let rang = false;
      setTimeout(() => {
        rang = true;
      }, 5);
      while (!rang) await work();
    };
    await loop(() => node.poll({ limit: 10 }));
    for (let i = 0; i < 2000; i++) node.emit({ i });
    await loop(() => node.poll({ limit: 100 }));
    const signal = AbortSignal.timeout(5);
    for await (const event of node.subscribeTyped<{ i: number }>({ signal })) node.emit(event);
    expect(signal.aborted).toBe(true);
  });

  it('merges by time stamp over pages while events keep coming', async () => {
    const node = await create({ shards: 8 });
    const total = 20_000;
    let emitted = 0;
    let cursor: string | undefined;
    const got: number[] = [];
    while (got.length < total) {
      for (let k = 0; k < 700 && emitted < total; k++) node.fire(`{"i":${emitted++}}`);
      const page: PollResponseData = await node.poll({ limit: 311, ordering: 'insertion_ts', cursor });
      for (const event of page.events) got.push(JSON.parse(event.raw).i);
      cursor = page.nextId;
      expect(page.lost).toBeUndefined();
    }
    expect(got).toEqual(numbers(total));
  });

  it('delivers events of quiet shards within one page, however hot another shard is', async () => {
    const node = await create({ shards: 4 });
    const hot = JSON.stringify({ hot: true });
    for (let i = 0; i < 5000; i++) node.emitRaw(hot);
    const hotShard = node.emitRaw(hot)?.shardId;
    const quiet = new Set<string>();
    for (let i = 0; quiet.size < 30; i++) {
      const raw = JSON.stringify({ quiet: i });
      if (node.emitRaw(raw)?.shardId !== hotShard) quiet.add(raw);
    }
    const page = await node.poll({ limit: 400, filter: Filter.or(Filter.exists('quiet'), Filter.exists('hot')) });
    expect(page.events).toHaveLength(400);
    expect(page.events.filter((event) => quiet.has(event.raw))).toHaveLength(30);
  });

  it('counts with a filter what a plain computation counts', async () => {
    const node = await create({ shards: 3 });
    const records = numbers(5000).map((i) => ({
      i,
      origin: ['ABQ', 'BOS', 'JFK'][i % 3],
      delay: (i * 37) % 200,
      place: { geo: [i % 90, { mag: (i % 70) / 10 }] },
    }));
    for (const record of records) node.emit(record);
    const count = async (filter: Filter) => {
      let cursor: string | undefined;
      for (let found = 0; ; ) {
        const page: PollResponseData = await node.poll({ limit: 333, filter, cursor });
        found += page.events.length;
        if (!page.hasMore) return found;
        cursor = page.nextId;
      }
    };
    expect(await count(new Filter().eq('origin', 'ABQ').gte('delay', 120))).toBe(
      records.filter((r) => r.origin === 'ABQ' && r.delay >= 120).length,
    );
    expect(await count(Filter.gt('place.geo.1.mag', 5.5))).toBe(
      records.filter((r) => (r.place.geo[1] as { mag: number }).mag > 5.5).length,
    );
  });
});
