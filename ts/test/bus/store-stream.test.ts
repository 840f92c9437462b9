// Streams over real stores: fromNow, waiting, filters, merge.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { JetStreamTransport } from '../../src/bus/jetstream/index.js';
import { Net } from '../../src/bus/net.js';
import { RedisTransport } from '../../src/bus/redis/index.js';
import type { Batch, Transport } from '../../src/bus/transport.js';
import { NetNode } from '../../src/node.js';
import type { PollResponseData } from '../../src/types.js';
import { idOf, StoreInMemory } from '../contract/store.js';
import { uniquePrefix } from '../durable/batches.js';
import { noNats, noRedis, startNats, startRedis, type TestServer } from '../durable/servers.js';

const open: NetNode[] = [];

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

interface Store {
  readonly missing: string | undefined;
  start(): Promise<TestServer>;
  transport(port: number, prefix: string): Transport;
}

const stores: Record<string, Store> = {
  redis: {
    missing: noRedis,
    start: startRedis,
    transport: (port, prefix) => new RedisTransport({ url: `redis://127.0.0.1:${port}`, prefix }, false),
  },
  jetstream: {
    missing: noNats,
    start: startNats,
    transport: (port, prefix) => new JetStreamTransport({ url: `nats://127.0.0.1:${port}`, prefix, storage: 'memory' }),
  },
};

describe('a stream from now over a store that is slow to answer', () => {
  it('begins with the event emitted right after it was made', async () => {
    class SlowStore extends StoreInMemory {
      readonly asked: (() => void)[] = [];
      override async onBatch(batch: Batch): Promise<void> {
        for (let i = 0; i < batch.count; i++) {
          const bytes = batch.data.subarray(batch.ends[i - 1] ?? 0, batch.ends[i]);
          this.shards[batch.shardId]?.push({ raw: new TextDecoder().decode(bytes), ts: batch.timestamps[i] ?? 0n });
        }
      }
      async tail(shards: readonly number[]): Promise<Map<number, string>> {
        await new Promise<void>((resolve) => this.asked.push(resolve));
        const ends = shards.map((shard): [number, number] => [shard, this.shards[shard]?.length ?? 0]);
        return new Map(ends.filter(([, length]) => length > 0).map(([shard, length]) => [shard, idOf(length - 1)]));
      }
    }
    const store = new SlowStore([[{ raw: '"old"', ts: 0n }]]);
    const node = NetNode.fromNapi(await Net.over({ shards: 1, batch: 'low_latency' }, store));
    open.push(node);
    const next = node.subscribeTyped({ fromNow: true })[Symbol.asyncIterator]().next();
    node.emit({ fresh: true });
    const flushed = node.flush();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(store.shards[0]).toHaveLength(1);
    for (const answer of store.asked) answer();
    await flushed;
    expect((await next).value).toEqual({ fresh: true });
  });
});

for (const [name, store] of Object.entries(stores)) {
  describe.skipIf(store.missing)(`a stream over ${name}${store.missing ? ` (${store.missing})` : ''}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await store.start();
    });
    afterAll(() => server?.stop());

    async function create(shards: number): Promise<NetNode> {
      const transport = store.transport(server.port, uniquePrefix());
      const config = { shards, batch: 'low_latency' as const };
      const node = NetNode.fromNapi(await Net.over(config, transport));
      open.push(node);
      return node;
    }

    it('begins at the end with fromNow and is woken by what arrives', async () => {
      const node = await create(3);
      for (let i = 0; i < 500; i++) node.emit({ old: i });
      await node.flush();
      const stream = node.subscribeTyped<{ fresh: number }>({ fromNow: true });
      const iterator = stream[Symbol.asyncIterator]();
      for (let i = 0; i < 10; i++) {
        const next = iterator.next();
        node.emit({ fresh: i });
        expect((await next).value).toEqual({ fresh: i });
      }
      expect(stream.cursor).toBeDefined();
    });

    it('with fromNow on an empty store begins with the first event', async () => {
      const node = await create(2);
      const next = node.subscribeTyped({ fromNow: true })[Symbol.asyncIterator]().next();
      node.emit({ first: true });
      expect((await next).value).toEqual({ first: true });
    });

    it('filters, merges and pages as the memory log does', async () => {
      const node = await create(3);
      for (let i = 0; i < 1000; i++) node.emit({ i, k: i % 7 });
      await node.flush();
      const got: number[] = [];
      let cursor: string | undefined;
      for (;;) {
        const request = { limit: 20, ordering: 'insertion_ts' as const, filter: '{"path":"k","value":3}', cursor };
        const page: PollResponseData = await node.poll(request);
        for (const event of page.events) got.push(JSON.parse(event.raw).i);
        cursor = page.nextId;
        if (!page.hasMore) break;
      }
      expect(got).toEqual(Array.from({ length: 143 }, (_, n) => n * 7 + 3));
    });

    it('leaves out shards that it was not asked for', async () => {
      const node = await create(2);
      const receipts = Array.from({ length: 40 }, (_, i) => node.emit({ i })?.shardId);
      await node.flush();
      const mine = receipts.filter((shard) => shard === 1).length;
      const stream = node.subscribe({ shards: [1] });
      for (const event of await take(stream, mine)) expect(event.shardId).toBe(1);
      const next = stream[Symbol.asyncIterator]().next();
      let i = 100;
      while (node.emit({ i })?.shardId !== 1) i += 1;
      expect((await next).value).toMatchObject({ raw: JSON.stringify({ i }) });
    });
  });
}
