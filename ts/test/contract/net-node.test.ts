import { afterEach, describe, expect, it } from 'vitest';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig, StoredEvent } from '../../src/types.js';
import configErrors from '../vectors/bus-config-errors.json';
// As text: the vectors hold lone surrogates, which not every JSON loader takes.
import routingText from '../vectors/bus-routing.json?raw';

const open: NetNode[] = [];
async function create(config?: NetNodeConfig): Promise<NetNode> {
  const node = await NetNode.create(config);
  open.push(node);
  return node;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.shutdown()));
});

const utf8 = new TextEncoder();

/** Every stored event, page by page. */
async function all(node: NetNode, limit = 1000): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await node.poll({ limit, ...(cursor === undefined ? {} : { cursor }) });
    events.push(...page.events);
    if (!page.hasMore) return events;
    cursor = page.nextId;
  }
}

describe('a node in memory', () => {
  it('reads back what every method emitted, byte for byte and in order per shard, without flush', async () => {
    const node = await create({ shards: 1 });
    expect(node.emit({ a: 1 })).toEqual({ shardId: 0, timestamp: expect.any(Number) });
    node.emitRaw('{"b":  2.0}');
    expect(node.emitBuffer(utf8.encode('{"c":3}'))).toBe(true);
    expect(node.emitBatch([{ d: 4 }, { e: 5 }])).toBe(2);
    expect(node.emitRawBatch(['6', '"7"'])).toBe(2);
    expect(node.fire('{"ü":8}')).toBe(true);
    expect(node.fireBatch(['9', ''])).toBe(2);
    expect((await all(node)).map((event) => event.raw)).toEqual([
      '{"a":1}',
      '{"b":  2.0}',
      '{"c":3}',
      '{"d":4}',
      '{"e":5}',
      '6',
      '"7"',
      '{"ü":8}',
      '9',
      '',
    ]);
    expect(node.stats()).toMatchObject({ eventsIngested: 10n, eventsDropped: 0n });
  });

  it('stamps events strictly increasing over all shards', async () => {
    const node = await create({ shards: 4 });
    for (let i = 0; i < 2000; i++) {
      if (i % 3 === 0) node.emit({ i });
      else node.fire(`{"i":${i}}`);
    }
    const page = await node.poll({ limit: 10_000, ordering: 'insertion_ts' });
    expect(page.events.map((event) => (JSON.parse(event.raw) as { i: number }).i)).toEqual(
      Array.from({ length: 2000 }, (_, i) => i),
    );
    const stamps = page.events.map((event) => event.insertionTs);
    expect(stamps.every((ts, i) => i === 0 || ts > (stamps[i - 1] as number))).toBe(true);
  });

  it('keeps binary events, lone surrogates and large events', async () => {
    const node = await create({ shards: 1 });
    const large = 'x'.repeat(3_000_000);
    node.emitBuffer(Uint8Array.of(0xff, 0xfe));
    node.fire('\ud800');
    node.fire(large);
    expect(node.emitRaw(large)?.shardId).toBe(0);
    node.emitBuffer(new Uint8Array());
    const events = await all(node);
    expect(events.map((event) => event.raw.length)).toEqual([0, 1, 3_000_000, 3_000_000, 0]);
    expect([...(events[0]?.rawBytes ?? [])]).toEqual([0xff, 0xfe]);
    expect(events[1]?.raw).toBe('\ufffd');
    const huge = new Uint8Array(16 * 1024 * 1024 + 1);
    expect(node.emitBuffer(huge)).toBe(false);
    expect(() => node.emitRaw('y'.repeat(16 * 1024 * 1024 + 1))).toThrow(
      'Ingestion failed: event too large: 16777217 bytes, limit 16777216',
    );
  });

  it('evicts the oldest beyond its bounds and says how many a cursor has lost', async () => {
    const node = await create({ shards: 1, transport: { type: 'memory', maxEvents: 100 } });
    node.fire('0');
    const first = await node.poll({ limit: 1 });
    for (let i = 1; i < 300; i++) node.fire(String(i));
    const page = await node.poll({ limit: 1000, cursor: first.nextId as string });
    expect(page.events.map((event) => event.raw)).toEqual(Array.from({ length: 100 }, (_, i) => String(i + 200)));
    expect(page.lost).toBe(199);
    expect(node.stats()).toMatchObject({ eventsIngested: 300n, eventsDropped: 0n, eventsExpired: 200n });
  });

  it('stays correct when the ring wraps many times with events of all sizes', async () => {
    const node = await create({ shards: 1, transport: { type: 'memory', maxEvents: 1 << 20, maxBytes: 1 << 28 } });
    const sizes = [0, 1, 3, 4, 5, 23, 24, 25, 100, 5000, 70_000, 300_000];
    const expected: number[] = [];
    for (let i = 0; i < 600; i++) {
      const size = sizes[(i * 7) % sizes.length] as number;
      expected.push(size);
      if (i % 2) node.emitBuffer(new Uint8Array(size).fill(65));
      else node.fire('A'.repeat(size));
    }
    const events = await all(node);
    expect(events.map((event) => event.raw.length)).toEqual(expected);
    expect(events.every((event) => /^A*$/.test(event.raw))).toBe(true);
  });

  it('wakes a waiting subscriber', async () => {
    const node = await create({ shards: 4 });
    const stream = node.subscribe();
    const next = stream[Symbol.asyncIterator]().next();
    node.fire('{"hello":1}');
    expect((await next).value).toMatchObject({ raw: '{"hello":1}' });
  });
});

interface Routed {
  string?: string;
  hex: string;
  xxh3_64: string;
  shard: Record<string, number>;
}

describe('routing', () => {
  it('follows the vectors for every input and number of shards', async () => {
    const { inputs } = JSON.parse(routingText) as { inputs: Routed[] };
    const counts = [...new Set(inputs.flatMap((input) => Object.keys(input.shard)))].map(Number);
    for (const shards of counts) {
      // The byte bound is split over the shards: with very many of them the default would evict.
      const node = await create({ shards, transport: { type: 'memory', maxBytes: 2 ** 40 } });
      for (const input of inputs) {
        const bytes = Uint8Array.from(input.hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
        expect(node.napi.prehash(bytes).hash).toBe(BigInt(input.xxh3_64));
        if (input.string !== undefined) expect(node.emitRaw(input.string)?.shardId).toBe(input.shard[shards]);
        node.emitBuffer(bytes);
        expect(node.napi.pushWithHash(bytes, BigInt(input.xxh3_64))).toBe(true);
      }
      const perShard = new Map<number, number>();
      for (const event of await all(node, 10_000)) {
        perShard.set(event.shardId, (perShard.get(event.shardId) ?? 0) + 1);
      }
      const expected = new Map<number, number>();
      for (const input of inputs) {
        const shard = input.shard[shards] as number;
        expected.set(shard, (expected.get(shard) ?? 0) + (input.string === undefined ? 2 : 3));
      }
      expect(perShard).toEqual(expected);
    }
  });
});

describe('configuration', () => {
  it.each(configErrors.cases.map((c) => [JSON.stringify(c.config), c] as const))('%s is refused', async (_, c) => {
    const error = await NetNode.create(c.config as NetNodeConfig).then(
      () => undefined,
      (e: unknown) => e as Error & { kind?: string; code?: string },
    );
    expect(error).toBeInstanceOf(Error);
    expect(error?.code).toBe('GenericFailure');
    // Stores need sockets: in a browser their options are not looked at.
    if (typeof process === 'undefined' && JSON.stringify(c.config).includes('redis')) return;
    expect(error?.message.startsWith(c.message), `${error?.message} / ${c.message}`).toBe(true);
    expect(error?.kind).toBe('invalid-config');
  });
});

describe('after shutdown', () => {
  it('refuses as specified, keeps the final counters, and shuts down once', async () => {
    const node = await NetNode.create({ shards: 2 });
    node.fire('1');
    await Promise.all([node.shutdown(), node.shutdown()]);
    await node.shutdown();
    expect(node.fire('2')).toBe(false);
    expect(node.emitBuffer(utf8.encode('2'))).toBe(false);
    expect(node.fireBatch(['2'])).toBe(0);
    const closed = 'EventBus has been shut down';
    expect(() => node.emit({})).toThrow(closed);
    expect(() => node.emitRaw('2')).toThrow(closed);
    expect(() => node.emitBatch([{}])).toThrow(closed);
    expect(() => node.emitRawBatch(['2'])).toThrow(closed);
    await expect(node.poll({ limit: 1 })).rejects.toThrow(closed);
    await expect(node.flush()).rejects.toThrow(closed);
    expect(node.stats()).toMatchObject({ eventsIngested: 1n, eventsDropped: 0n });
  });
});

describe('wrong arguments', () => {
  it('name the method and the type that came', async () => {
    const node = await create();
    const cases: [() => unknown, string, string][] = [
      [() => node.fire(5 as never), 'StringExpected', 'fire: json must be a string, got number'],
      [() => node.emitRaw(null as never), 'StringExpected', 'emitRaw: json must be a string, got null'],
      [() => node.emit(undefined as never), 'StringExpected', 'emit: event must be a value with a JSON text'],
      [() => node.emitBuffer('x' as never), 'InvalidArg', 'push: data must be a Buffer or Uint8Array, got string'],
      [() => node.emitBatch({} as never), 'ArrayExpected', 'emitBatch: events must be an array'],
      [() => node.fireBatch('x' as never), 'ArrayExpected', 'fireBatch: jsons must be an array of strings'],
    ];
    for (const [call, code, message] of cases) {
      let error: unknown;
      try {
        call();
      } catch (e) {
        error = e;
      }
      expect(error).toMatchObject({ code, kind: 'invalid-argument' });
      expect((error as Error).message).toContain(message);
    }
    expect(() => node.emit({ b: 1n })).toThrow(TypeError);
  });
});
