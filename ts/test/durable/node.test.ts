import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, DiscardPolicy } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig, StoredEvent, Transport } from '../../src/types.js';
import { numbered, uniquePrefix } from './batches.js';
import { noNats, noRedis, redisCli, startNats, startRedis, type TestServer, until } from './servers.js';

const folder = mkdtempSync(join(tmpdir(), 'meshring-node-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function withNode<T>(config: NetNodeConfig, use: (node: NetNode) => Promise<T>): Promise<T> {
  const node = await NetNode.create(config);
  try {
    return await use(node);
  } finally {
    await node.shutdown();
  }
}

/** Every event of a store, by cursor. */
async function readAll(node: NetNode, limit = 1000): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  let cursor: string | undefined;
  for (;;) {
    const page = await node.poll({ limit, ...(cursor === undefined ? {} : { cursor }) });
    events.push(...page.events);
    cursor = page.nextId;
    if (!page.hasMore) return events;
  }
}

/** Whether the numbers `0..n` are all there exactly once, ascending in each shard. */
function expectNumbers(events: StoredEvent[], n: number): void {
  const seen = new Uint8Array(n);
  const last = new Map<number, number>();
  for (const { raw, shardId } of events) {
    const number = (JSON.parse(raw) as { n: number }).n;
    if ((seen[number] ?? 1) !== 0) throw new Error(`event ${number} is there twice`);
    seen[number] = 1;
    if ((last.get(shardId) ?? -1) > number) throw new Error(`event ${number} of shard ${shardId} is out of order`);
    last.set(shardId, number);
  }
  expect(events.length).toBe(n);
}

const stores = [
  { name: 'redis', missing: noRedis, start: () => startRedis(), url: (s: TestServer) => `redis://127.0.0.1:${s.port}` },
  {
    name: 'jetstream',
    missing: noNats,
    start: () => startNats(),
    url: (s: TestServer) => `nats://127.0.0.1:${s.port}`,
  },
] as const;

for (const { name, missing, start, url } of stores) {
  describe.skipIf(missing)(`a node over ${name}${missing ? ` (${missing})` : ''}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());
    const transport = (extra: object = {}): Transport =>
      ({ type: name, url: url(server), prefix: uniquePrefix(), ...extra }) as Transport;

    it('reads back what it emitted, in order, and so does another node', async () => {
      const store = transport();
      await withNode({ shards: 4, transport: store }, async (node) => {
        node.emitRawBatch(numbered(0, 25_000));
        await node.flush();
        expectNumbers(await readAll(node), 25_000);
        expect(node.stats()).toMatchObject({ eventsDispatched: 25_000n, eventsPending: 0n, exactlyOnce: true });
      });
      await withNode({ shards: 4, transport: store }, async (node) => {
        expectNumbers(await readAll(node, 333), 25_000);
        const { events } = await node.poll({ limit: 5, filter: '{"path":"n","value":24999}' });
        expect(events.map(({ raw }) => raw)).toEqual(['{"n":24999}']);
        expect(events[0]?.dedupId).toMatch(/^[1-9a-f][0-9a-f]{0,15}:\d+:\d+:\d+$/);
        const ordered = await node.poll({ limit: 1000, ordering: 'insertion_ts' });
        expect(ordered.events.map(({ raw }) => raw)).toEqual(numbered(0, 1000));
      });
    });

    it('wakes a subscription when events arrive, from this node or another', async () => {
      const store = transport();
      await withNode({ shards: 2, transport: store }, (node) =>
        withNode({ shards: 2, transport: store }, async (other) => {
          const stream = node.subscribe({ filter: '{"path":"kind","value":"wanted"}' });
          const found: string[] = [];
          const reading = (async () => {
            for await (const { raw } of stream) {
              found.push(raw);
              if (found.length === 20) return;
            }
          })();
          for (let i = 0; i < 20; i++) {
            const producer = i % 2 ? node : other;
            producer.emit({ kind: 'other', i });
            producer.emit({ kind: 'wanted', i });
            await producer.flush();
            await until('the event', () => found.length === i + 1);
          }
          await reading;
          expect(found.map((raw) => JSON.parse(raw).i)).toEqual(Array.from({ length: 20 }, (_, i) => i));
        }),
      );
    });

    it('waits on many shards for many readers without a word', async () => {
      const warnings: Error[] = [];
      const listen = (warning: Error) => warnings.push(warning);
      process.on('warning', listen);
      await withNode({ shards: 24, transport: transport() }, async (node) => {
        const readers = Array.from({ length: 12 }, () => node.subscribe()[Symbol.asyncIterator]());
        const next = readers.map((reader) => reader.next());
        await new Promise((resolve) => setTimeout(resolve, 200));
        node.emit({ n: 0 });
        for (const { value } of await Promise.all(next)) expect(value?.raw).toBe('{"n":0}');
        for (const reader of readers) await reader.return?.();
      });
      process.off('warning', listen);
      expect(warnings).toEqual([]);
    });

    it('begins at the end with fromNow', async () => {
      const store = transport();
      await withNode({ shards: 2, transport: store }, async (node) => {
        node.emitRawBatch(numbered(0, 500));
        await node.flush();
        const iterator = node.subscribe({ fromNow: true })[Symbol.asyncIterator]();
        const next = iterator.next();
        await new Promise((resolve) => setTimeout(resolve, 50));
        node.emit({ n: 500 });
        expect((await next).value).toMatchObject({ raw: '{"n":500}' });
        await iterator.return?.();
      });
    });

    it('gives typed channels', async () => {
      await withNode({ shards: 2, transport: transport() }, async (node) => {
        const orders = node.channel<{ id: number }>('orders');
        node.channel('noise').publishBatch(Array.from({ length: 300 }, (_, id) => ({ id })));
        for (let id = 0; id < 3; id++) orders.publish({ id });
        const ids: number[] = [];
        for await (const { id } of orders.subscribe()) {
          ids.push(id);
          if (ids.length === 3) break;
        }
        expect(ids.sort()).toEqual([0, 1, 2]);
      });
    });

    it('delivers everything that was accepted before shutdown', async () => {
      const store = transport();
      const node = await NetNode.create({ shards: 2, transport: store, backpressure: 'drop_newest' });
      let accepted = 0;
      let closing: Promise<void> | undefined;
      for (let i = 0; i < 200_000; i++) {
        if (node.fire(`{"n":${accepted}}`)) accepted += 1;
        if (i === 150_000) closing = node.shutdown();
      }
      await closing;
      await withNode({ shards: 2, transport: store }, async (reader) => {
        expectNumbers(await readAll(reader, 5000), accepted);
      });
      expect(node.stats()).toMatchObject({ eventsDispatched: BigInt(accepted), eventsPending: 0n });
    });

    it('gives two nodes of one process different ids', async () => {
      const store = transport();
      const config = { shards: 1, transport: store };
      await Promise.all(
        [0, 1].map(() =>
          withNode(config, async (node) => {
            node.emitRawBatch(numbered(0, 100));
            await node.flush();
          }),
        ),
      );
      await withNode(config, async (node) => {
        const ids = (await readAll(node)).map(({ dedupId }) => dedupId);
        expect(new Set(ids).size).toBe(200);
      });
    });

    it('keeps its identity over restarts: no id is used twice, nothing is taken for a duplicate', async () => {
      const store = transport();
      const producerNoncePath = join(folder, `${name}.nonce`);
      for (let run = 0; run < 5; run++) {
        await withNode({ shards: 2, transport: store, producerNoncePath }, async (node) => {
          node.emitRawBatch(numbered(run * 1000, run * 1000 + 1000));
          await node.flush();
          await expect(NetNode.create({ shards: 2, transport: store, producerNoncePath })).rejects.toThrow(
            `Failed to create EventBus: fatal error: producer-nonce file ${producerNoncePath} is in use by process ${process.pid}`,
          );
        });
        expect(statSync(`${producerNoncePath}.journal`).size).toBe(0);
      }
      await withNode({ shards: 2, transport: store }, async (node) => {
        const events = await readAll(node);
        expectNumbers(events, 5000);
        expect(new Set(events.map(({ dedupId }) => dedupId)).size).toBe(5000);
        expect(new Set(events.map(({ dedupId }) => dedupId?.split(':')[0])).size).toBe(1);
      });
    });

    it('sends at the next start what a shutdown could not deliver', async () => {
      const own = await start();
      const store = { ...transport({ connectTimeoutMs: 500 }), url: url(own) } as Transport;
      const producerNoncePath = join(folder, `${name}-late.nonce`);
      const config: NetNodeConfig = { shards: 1, transport: store, producerNoncePath, adapterTimeoutMs: 1500 };
      const node = await NetNode.create(config);
      await own.signal('SIGSTOP');
      node.emitRawBatch(numbered(0, 100));
      await expect(node.flush()).rejects.toThrow('Flush failed: not acknowledged within 1500 ms');
      await expect(node.shutdown()).rejects.toMatchObject({ kind: 'shutdown-failed', undelivered: 100 });
      await own.signal('SIGCONT');
      await withNode(config, async (next) => {
        next.emitRawBatch(numbered(100, 200));
        await next.flush();
        expectNumbers(await readAll(next), 200);
      });
      await own.stop();
    });

    it('reads shards of a producer that has more', async () => {
      const store = transport();
      await withNode({ shards: 8, transport: store }, async (node) => {
        node.emitRawBatch(numbered(0, 1000));
        await node.flush();
      });
      const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
      await withNode({ shards: 2, transport: store }, async () => {
        expect((await warned).message).toMatch(/exists, but only shards below 2 are read; set readShards$/);
      });
      await withNode({ shards: 2, transport: { ...store, readShards: 8 } as Transport }, async (node) => {
        expectNumbers(await readAll(node), 1000);
      });
    });

    it('fails to start with the reason, and then lets the process go', async () => {
      const nowhere = { type: name, url: url({ port: 1 } as TestServer) } as Transport;
      await expect(NetNode.create({ transport: nowhere })).rejects.toThrow(
        'Failed to create EventBus: connection error: connect ECONNREFUSED 127.0.0.1:1',
      );
    });

    it('does not keep a process alive that only has a node', async () => {
      const code = `
        import { NetNode } from 'meshring';
        const node = await NetNode.create({ shards: 2, transport: ${JSON.stringify(transport())} });
        node.emit({ a: 1 });
        await node.flush();
        await node.poll({ limit: 1 });
        const stream = node.subscribe();
        for await (const event of stream) break;
        console.log('end');
      `;
      const [error, out] = await new Promise<[unknown, string]>((resolve) =>
        execFile(
          process.execPath,
          ['--input-type=module', '-e', code],
          { timeout: 15_000, cwd: join(import.meta.dirname, '..', '..', '..') },
          (failure, stdout) => resolve([failure, stdout]),
        ),
      );
      expect(error).toBeNull();
      expect(out).toBe('end\n');
    });
  });
}

describe.skipIf(noNats)('a node over JetStream', () => {
  it('hands the back-pressure of a full stream on to the producer, and goes on when there is room', async () => {
    const server = await startNats();
    const client = await connect({ servers: `127.0.0.1:${server.port}` });
    const jsm = await client.jetstreamManager();
    await jsm.streams.add({
      name: 'full_shard_0',
      subjects: ['full.shard.0'],
      max_msgs: 500,
      discard: DiscardPolicy.New,
    });
    const node = await NetNode.create({
      shards: 1,
      bufferCapacity: 1024,
      backpressure: 'drop_newest',
      transport: { type: 'jetstream', url: `nats://127.0.0.1:${server.port}`, prefix: 'full' },
    });
    let accepted = 0;
    await until('a refusal', async () => {
      if (!node.fire(`{"n":${accepted}}`)) return true;
      accepted += 1;
      if (accepted % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      return false;
    });
    expect(accepted).toBeLessThan(20_000);
    expect(node.stats()).toMatchObject({ eventsRejected: 1n, eventsFailed: 0n });
    await jsm.streams.update('full_shard_0', { max_msgs: 100_000 });
    await node.flush();
    expectNumbers(await readAll(node), accepted);
    await node.shutdown();
    await client.close();
    await server.stop();
  });
});

describe.skipIf(noRedis)('a node over Redis', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server?.stop());
  const transport = (prefix: string, extra: object = {}): Transport => ({
    type: 'redis',
    url: `redis://127.0.0.1:${server.port}`,
    prefix,
    ...extra,
  });

  it('flushes when the server has everything, and not before', async () => {
    const prefix = uniquePrefix();
    const length = () => [0, 1].reduce((sum, s) => sum + Number(redisCli(server, 'XLEN', `${prefix}:shard:${s}`)), 0);
    await withNode({ shards: 2, transport: transport(prefix) }, async (node) => {
      redisCli(server, 'CLIENT', 'PAUSE', '2500', 'WRITE');
      node.emitRawBatch(numbered(0, 25_000));
      let resolved = false;
      const flushed = node.flush().then(() => {
        resolved = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(resolved).toBe(false);
      redisCli(server, 'CLIENT', 'UNPAUSE');
      await flushed;
      expect(length()).toBe(25_000);
      expectNumbers(await readAll(node), 25_000);
    });
  });

  it('holds no more than the ring while the server is slow, and says what it dropped', async () => {
    const prefix = uniquePrefix();
    const options = { shards: 1, bufferCapacity: 1024, batch: { maxSize: 1000, minSize: 100 } };
    await withNode({ ...options, transport: transport(prefix) }, async (node) => {
      redisCli(server, 'CLIENT', 'PAUSE', '2500', 'WRITE');
      for (let n = 0; n < 50_000; n++) node.fire(`{"n":${n}}`);
      await until('the ring to be full', () => Number(node.stats().eventsPending) >= 1023);
      const { eventsPending = 0n, eventsEvicted = 0n, eventsDropped } = node.stats();
      expect(Number(eventsPending)).toBeLessThanOrEqual(1024 + 2 * 1000);
      expect(eventsDropped).toBe(eventsEvicted);
      redisCli(server, 'CLIENT', 'UNPAUSE');
      await node.flush();
      const events = await readAll(node);
      expect(BigInt(events.length) + eventsEvicted).toBe(50_000n);
      // The newest are the ones that were kept.
      expect(JSON.parse(events.at(-1)?.raw ?? '').n).toBe(49_999);
    });
  });

  it('counts what it must give up, and tells the next flush', async () => {
    const prefix = uniquePrefix();
    redisCli(server, 'SET', `${prefix}:shard:0`, 'x');
    const node = await NetNode.create({ shards: 1, transport: transport(prefix) });
    node.emitRawBatch(numbered(0, 10));
    const failure = node.flush();
    await expect(failure).rejects.toMatchObject({ kind: 'flush-failed', undelivered: 10 });
    await expect(failure).rejects.toThrow(/^Flush failed: 10 events were given up: fatal error: WRONGTYPE/);
    expect(node.stats()).toMatchObject({ eventsFailed: 10n, eventsDropped: 10n, eventsPending: 0n });
    await expect(node.poll({ limit: 1 })).rejects.toThrow(/^Poll failed: adapter error: fatal error: WRONGTYPE/);
    redisCli(server, 'DEL', `${prefix}:shard:0`);
    node.emit({ n: 10 });
    await node.flush();
    expect((await readAll(node)).map(({ raw }) => raw)).toEqual(['{"n":10}']);
    await node.shutdown();
  });

  it('leaves duplicates of other producers out when asked', async () => {
    const prefix = uniquePrefix();
    const add = (n: number, id: string) =>
      redisCli(server, 'XADD', `${prefix}:shard:0`, '*', 'd', `{"r":${n},"t":1,"s":0}`, 'dedup_id', id);
    for (const [n, id] of [
      [1, 'a'],
      [2, 'b'],
      [2, 'b'],
      [1, 'a'],
      [3, 'c'],
    ] as const)
      add(n, id);
    await withNode({ shards: 1, transport: transport(prefix) }, async (node) => {
      const raws = async (dedup?: boolean | number) =>
        (await node.poll({ limit: 10, ...(dedup === undefined ? {} : { dedup }) })).events.map(({ raw }) => raw);
      expect(await raws()).toEqual(['1', '2', '2', '1', '3']);
      expect(await raws(true)).toEqual(['1', '2', '3']);
      expect(await raws(100)).toEqual(['1', '2', '3']);
      const streamed: string[] = [];
      for await (const { raw } of node.subscribe({ dedup: true, limit: 2 })) {
        streamed.push(raw);
        if (raw === '3') break;
      }
      expect(streamed).toEqual(['1', '2', '3']);
    });
  });
});
