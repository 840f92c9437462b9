import { afterEach, describe, expect, it } from 'vitest';
import { Net } from '../../src/bus/net.js';
import { TransportError } from '../../src/bus/transport.js';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig } from '../../src/types.js';
import { FaultyTransport } from './faulty-transport.js';

const open: { node: NetNode; transport: FaultyTransport }[] = [];

async function create(config: NetNodeConfig): Promise<{ node: NetNode; transport: FaultyTransport }> {
  const transport = new FaultyTransport();
  // The option only says that there is a store; the transport itself is injected.
  const net = await Net.over({ transport: { type: 'redis', url: 'redis://injected' }, ...config }, transport);
  const opened = { node: NetNode.fromNapi(net), transport };
  open.push(opened);
  return opened;
}

afterEach(async () => {
  for (const { node, transport } of open.splice(0)) {
    transport.resume();
    // Some tests end with events that cannot be delivered.
    await node.shutdown().catch((error: unknown) => expect((error as { kind?: string }).kind).toBe('shutdown-failed'));
    expect(transport.closed).toBe(1);
  }
});

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));

/** A node with one shard of 1024 slots whose transport holds one batch with the event `first`. */
async function stalled(backpressure: NonNullable<NetNodeConfig['backpressure']>) {
  const opened = await create({ shards: 1, bufferCapacity: 1024, backpressure, batch: { maxDelayMs: 1 } });
  opened.transport.stall();
  opened.node.fire('first');
  await opened.transport.until(() => opened.transport.attempts.length === 1);
  return opened;
}

describe('a full ring behind a stalled transport', () => {
  it('drop_oldest accepts everything and keeps the newest', async () => {
    const { node, transport } = await stalled('drop_oldest');
    expect(node.fireBatch(numbers(0, 20_000))).toBe(20_000);
    expect(node.stats()).toMatchObject({ eventsIngested: 20_001n, eventsEvicted: 18_977n, eventsPending: 1024n });
    transport.resume();
    await node.flush();
    expect(transport.texts()).toEqual(['first', ...numbers(20_000 - 1023, 20_000)]);
    expect(node.stats()).toMatchObject({ eventsDropped: 18_977n, eventsDispatched: 1024n, eventsPending: 0n });
  });

  it('drop_newest keeps the earliest and answers the truth', async () => {
    const { node, transport } = await stalled('drop_newest');
    expect(node.fireBatch(numbers(0, 1000))).toBe(1000);
    const answers = numbers(1000, 1100).map((text, i) =>
      i % 2 ? node.fire(text) : node.emitBuffer(new TextEncoder().encode(text)),
    );
    expect(answers.filter(Boolean)).toHaveLength(23);
    expect(node.emitRaw('refused')).toBeNull();
    expect(node.emitBatch([{}, {}])).toBe(0);
    transport.resume();
    await node.flush();
    expect(transport.texts()).toEqual(['first', ...numbers(0, 1023)]);
    expect(node.stats()).toMatchObject({ eventsRejected: 80n, eventsIngested: 1024n });
  });

  it('fail_producer throws from single calls with a receipt only', async () => {
    const { node } = await stalled('fail_producer');
    expect(node.emitRawBatch(numbers(0, 5000))).toBe(1023);
    expect(() => node.emit({})).toThrow('Ingestion failed: backpressure: ring buffer full');
    expect(node.fire('x')).toBe(false);
    expect(node.stats()).toMatchObject({ eventsRejected: 3979n });
  });

  it('sample keeps every N-th event from three quarters on', async () => {
    const { node } = await stalled({ mode: 'sample', rate: 10 });
    const accepted = node.fireBatch(numbers(0, 2000));
    // 3/4 of the ring, then a tenth of the rest.
    expect(accepted).toBeGreaterThanOrEqual(767 + 123);
    expect(accepted).toBeLessThanOrEqual(767 + 125);
    expect(node.stats()).toMatchObject({ eventsRejected: BigInt(2000 - accepted) });
  });
});

describe('delivery', () => {
  it('flush stays pending until the transport has confirmed everything before it', async () => {
    const { node, transport } = await create({ shards: 4 });
    transport.stall();
    const texts = numbers(0, 25_000);
    expect(node.fireBatch(texts)).toBe(25_000);
    let done = false;
    const flush = node.flush().then(() => {
      done = true;
    });
    await transport.until(() => transport.attempts.length >= 4);
    expect(done).toBe(false);
    transport.resume();
    await Promise.all([flush, node.flush()]);
    const stored = [0, 1, 2, 3].flatMap((shard) => transport.texts(shard));
    expect(stored.sort((a, b) => Number(a) - Number(b))).toEqual(texts);
    expect(transport.overlap).toBe(1);
  });

  it('numbers batches through and keeps the order of a shard', async () => {
    const { node, transport } = await create({ shards: 2 });
    for (const text of numbers(0, 25_000)) node.fire(text);
    await node.flush();
    for (const shard of [0, 1]) {
      let next = 0n;
      for (const batch of transport.attempts.filter((b) => b.shardId === shard)) {
        expect(batch.sequenceStart).toBe(next);
        expect(batch.nonce).not.toBe(0n);
        next += BigInt(batch.events.length);
      }
      const order = transport.texts(shard).map(Number);
      expect(order).toEqual([...order].sort((a, b) => a - b));
    }
  });

  it('retries a transient failure under the same numbers; nothing is lost or doubled', async () => {
    const { node, transport } = await create({ shards: 1 });
    transport.fail('transient', 1, 3);
    transport.fail('backpressure', 1);
    node.fireBatch(numbers(0, 10));
    await node.flush();
    expect(transport.attempts.map((batch) => batch.sequenceStart)).toEqual([0n, 0n, 0n]);
    expect(transport.texts()).toEqual(numbers(0, 10));
    expect(node.stats()).toMatchObject({ eventsDispatched: 10n, eventsDropped: 0n, batchesDispatched: 1n });
  });

  it('counts what the transport refuses for good, tells flush once, and goes on', async () => {
    const { node, transport } = await create({ shards: 1 });
    transport.fail('fatal', 1, 4);
    node.fireBatch(numbers(0, 10));
    await expect(node.flush()).rejects.toMatchObject({ kind: 'flush-failed', undelivered: 6 });
    expect(node.stats()).toMatchObject({ eventsFailed: 6n, eventsDispatched: 4n, eventsDropped: 6n });
    node.fire('10');
    await node.flush();
    expect(transport.attempts.at(-1)?.sequenceStart).toBe(10n);
  });

  it('gives up after the configured number of retries', async () => {
    const { node, transport } = await create({ shards: 1, adapterBatchRetries: 1 });
    transport.fail('transient', 2);
    node.fire('x');
    await expect(node.flush()).rejects.toThrow('Flush failed: 1 events were given up: transient error: injected');
    expect(transport.attempts).toHaveLength(2);
  });

  it('sends a partial batch after its delay without flush', async () => {
    const { node, transport } = await create({ shards: 1, batch: 'low_latency' });
    node.fire('alone');
    await transport.until(() => transport.texts().length === 1);
  });

  it('polls what the transport has stored', async () => {
    const { node } = await create({ shards: 3 });
    node.fireBatch(numbers(0, 3000).map((n) => `{"n":${n}}`));
    await node.flush();
    const filter = { $lt: { path: 'n', value: 10 } };
    const page = await node.poll({ limit: 100, filter, ordering: 'insertion_ts' });
    expect(page.events.map((event) => event.raw)).toEqual(numbers(0, 10).map((n) => `{"n":${n}}`));
  });
});

describe('lifecycle', () => {
  it('create rejects with the reason and closes the transport', async () => {
    const transport = new FaultyTransport();
    transport.initError = new TransportError('connection', 'refused');
    const creating = Net.over({ transport: { type: 'redis', url: 'x' } }, transport);
    await expect(creating).rejects.toMatchObject({
      kind: 'create-failed',
      message: 'Failed to create EventBus: connection error: refused',
    });
    expect(transport.closed).toBe(1);
  });

  it('shutdown delivers what was accepted while producers keep firing', async () => {
    const { node, transport } = await create({ shards: 4 });
    let accepted = 0;
    const produce = () => {
      for (let i = 0; i < 500; i++) if (node.fire(String(accepted))) accepted += 1;
    };
    for (let round = 0; round < 20; round++) {
      produce();
      await Promise.resolve();
    }
    const closing = node.shutdown();
    produce();
    await closing;
    const stored = [0, 1, 2, 3].reduce((sum, shard) => sum + transport.texts(shard).length, 0);
    expect(stored).toBe(accepted);
    expect(accepted).toBe(10_000);
    expect(node.stats()).toMatchObject({ eventsDispatched: 10_000n, eventsPending: 0n });
  });

  it('shutdown says how many events could not be delivered', async () => {
    const { node, transport } = await create({ shards: 1, adapterTimeoutMs: 50 });
    transport.stall();
    node.fireBatch(numbers(0, 2500));
    await expect(node.shutdown()).rejects.toMatchObject({ kind: 'shutdown-failed' });
    expect(transport.closed).toBe(1);
    const { eventsIngested, eventsDispatched, eventsDropped } = node.stats();
    expect(eventsIngested).toBe(2500n);
    expect((eventsDispatched ?? 0n) + eventsDropped).toBeGreaterThan(0n);
  });

  it('flush gives up after the time limit and names it', async () => {
    const { node, transport } = await create({ shards: 1, adapterTimeoutMs: 50 });
    transport.stall();
    node.fire('x');
    await expect(node.flush()).rejects.toThrow('Flush failed: ');
  });
});

describe('what was accepted', () => {
  it('fits within the bound on bytes: the answers of drop_newest are true beyond the size of the staging ring', async () => {
    const maxPendingBytes = 6 << 20;
    const { node, transport } = await create({
      shards: 1,
      backpressure: 'drop_newest',
      maxPendingBytes,
      batch: { maxDelayMs: 1 },
    });
    transport.stall();
    node.fire('first');
    await transport.until(() => transport.attempts.length === 1);
    const event = new Uint8Array(1000).fill(0x20);
    let accepted = 1;
    for (let i = 0; i < 10_000; i++) if (node.emitBuffer(event)) accepted += 1;
    expect(accepted).toBe(1 + Math.floor(maxPendingBytes / 1000));
    expect(node.stats().eventsIngested).toBe(BigInt(accepted));
  });

  it('leaves room for events that go past the staging ring', async () => {
    const { node } = await stalled('drop_newest');
    let accepted = 1;
    for (let i = 0; i < 3; i++) {
      if (node.fire('{}')) accepted += 1;
      if (node.emitBuffer(new Uint8Array(1 << 20))) accepted += 1;
    }
    for (let i = 0; i < 2000; i++) if (node.fire('{}')) accepted += 1;
    expect(accepted).toBe(1024);
    expect(node.stats().eventsIngested).toBe(1024n);
  });

  it('and given up is told to every flush that waited for it', async () => {
    const { node, transport } = await create({ shards: 1 });
    transport.fail('fatal', 1);
    node.fire('1');
    const flushes = await Promise.allSettled([node.flush(), node.flush(), node.napi.flush()]);
    expect(flushes.map((flush) => flush.status)).toEqual(['rejected', 'rejected', 'rejected']);
    await node.flush();
  });

  it('and cannot be delivered at shutdown fails a pending flush', async () => {
    const { node, transport } = await create({ shards: 1, adapterTimeoutMs: 300, batch: { maxDelayMs: 1 } });
    transport.fail('transient', 1000);
    node.fire('1');
    const [flush, shutdown] = await Promise.allSettled([node.flush(), node.shutdown()]);
    expect(flush).toMatchObject({ status: 'rejected', reason: { kind: 'flush-failed' } });
    expect(shutdown).toMatchObject({ status: 'rejected', reason: { kind: 'shutdown-failed', undelivered: 1 } });
    expect(node.stats()).toMatchObject({ eventsIngested: 1n, eventsFailed: 1n, eventsPending: 0n });
  });

  it('of a batch with a wrong member is nothing', async () => {
    const { node } = await create({ shards: 1 });
    expect(() => node.fireBatch(['1', 2 as never])).toThrow('fireBatch: json must be a string');
    expect(() => node.emitRawBatch(['1', null as never])).toThrow('json must be a string');
    expect(() => node.napi.pushBatch([new Uint8Array(1), 'x' as never])).toThrow('pushBatch: data must be');
    expect(node.stats().eventsIngested).toBe(0n);
  });
});
