import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type MarketrixError, MeshPeer, type PeerChange, type PeerStream } from '../../src/marketrix.js';
import { all, joined, prefix, REDIS, until } from './rig.js';

describe('two peers', () => {
  it('find each other and stream in parallel, in order', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'python-peer', keyPrefix });
    const client = await joined({ service: 'node-peer', keyPrefix });
    const count = 20_000;
    const atServer: unknown[] = [];
    const done = new Promise<void>((resolve, reject) => {
      server.onConnection(async (stream) => {
        expect(stream.remote).toEqual({ service: 'node-peer', instance: client.instance });
        const sending = (async () => {
          for (let i = 0; i < count; i++) await stream.send({ text: `Message from Python #${i}` });
          await stream.end();
        })();
        for await (const message of stream) atServer.push(message);
        await sending;
        stream.closed.then(resolve, reject);
      });
    });
    const stream = await client.connect('python-peer');
    const received = all(stream);
    for (let i = 0; i < count; i++) await stream.send({ text: `Message from Node #${i}` });
    await stream.end();
    expect(await received).toEqual(Array.from({ length: count }, (_, i) => ({ text: `Message from Python #${i}` })));
    await done;
    await stream.closed;
    expect(atServer).toEqual(Array.from({ length: count }, (_, i) => ({ text: `Message from Node #${i}` })));
    expect([server.stats().streams, client.stats().streams]).toEqual([0, 0]);
  });

  it('speak raw frames with each other when one wants no envelopes', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'raw', keyPrefix, envelope: false, endian: 'little' });
    const client = await joined({ service: 'caller', keyPrefix });
    server.onConnection(async (stream) => {
      for await (const message of stream) await stream.send(message);
      await stream.end();
    });
    const stream = await client.connect('raw');
    const values = [null, 'text', [1, { a: 'ä' }], { t: 'msg', d: 1 }, -0.5, true];
    for (const value of values) await stream.send(value);
    await expect(stream.send(Buffer.from('x'))).rejects.toMatchObject({ kind: 'invalid-message' });
    await stream.end();
    expect(await all(stream)).toEqual(values);
    await expect(client.call('raw', 'anything')).rejects.toMatchObject({ kind: 'protocol' });
    expect(() => server.call('caller', 'x')).toThrow('envelope');
  });

  it('call methods: values, errors with code and data, unknown methods', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'math', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix });
    const { MarketrixError } = await import('../../src/marketrix.js');
    server.handle('add', ([a, b]: [number, number]) => a + b);
    server.handle('nothing', () => {});
    server.handle('who', (_: unknown, ctx) => ({ remote: ctx.remote, headers: ctx.headers, method: ctx.method }));
    server.handle('bytes', (input: Buffer) => ({ reversed: Buffer.from(input).reverse() }));
    server.handle('fail', () => {
      throw new Error('no such order');
    });
    server.handle('typed', () => {
      throw new MarketrixError('handler', 'sold out', { code: 'SOLD_OUT', data: { left: 0 } });
    });
    interface Math {
      add(a: number, b: number): Promise<number>;
      nothing(): Promise<void>;
    }
    const math = client.service<Math>('math');
    expect(await math.add(1, 2)).toBe(3);
    expect(await math.nothing()).toBeUndefined();
    expect(await client.call('math', 'who', null, { headers: { a: 'b' } })).toEqual({
      remote: { service: 'client', instance: client.instance },
      headers: { a: 'b' },
      method: 'who',
    });
    expect(await client.call('math', 'bytes', Buffer.from('abc'))).toEqual({ reversed: Buffer.from('cba') });
    await expect(client.call('math', 'fail')).rejects.toMatchObject({
      kind: 'handler',
      code: 'handler',
      message: 'marketrix: handler: no such order',
      remote: { service: 'math', instance: server.instance },
    });
    await expect(client.call('math', 'typed')).rejects.toMatchObject({
      kind: 'handler',
      code: 'SOLD_OUT',
      data: { left: 0 },
      message: 'marketrix: handler: sold out',
    });
    await expect(client.call('math', 'missing')).rejects.toMatchObject({ kind: 'no-method' });
    await expect(client.call('nobody', 'x')).rejects.toMatchObject({ kind: 'no-instance' });
    await expect(client.call('math', 'add', 1n)).rejects.toMatchObject({ kind: 'invalid-message' });
    expect(client.stats().connectionsOut).toBe(1);
  });

  it('stream input, output and both', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'streams', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix });
    server.handle('count', async function* (to: number) {
      for (let i = 0; i < to; i++) yield i;
    });
    server.handle('sum', async (numbers: AsyncIterable<number>) => (await all(numbers)).reduce((a, b) => a + b, 0));
    server.handle('double', async function* (numbers: AsyncIterable<number>) {
      for await (const n of numbers) yield n * 2;
    });
    server.handle('broken', async function* () {
      yield 1;
      throw new Error('half way');
    });
    async function* numbers(count: number) {
      for (let i = 0; i < count; i++) yield i;
    }
    expect(await all(client.stream<number, number>('streams', 'count', 1000))).toHaveLength(1000);
    expect(await client.call('streams', 'sum', numbers(1000))).toBe(499_500);
    expect(await all(client.stream('streams', 'sum', numbers(10)))).toEqual([45]);
    expect(await all(client.stream<number, number>('streams', 'double', numbers(500)))).toEqual(
      Array.from({ length: 500 }, (_, i) => i * 2),
    );
    await expect(client.call('streams', 'count', 3)).rejects.toMatchObject({ kind: 'handler' });
    const seen: unknown[] = [];
    await expect(
      (async () => {
        for await (const item of client.stream('streams', 'broken')) seen.push(item);
      })(),
    ).rejects.toThrow('half way');
    expect(seen).toEqual([1]);
  });

  it('cancel: by signal, by time, by leaving the loop; the handler is told', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'slow', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix });
    const told: string[] = [];
    server.handle('hang', (_: unknown, ctx) => {
      ctx.signal.addEventListener('abort', () => told.push((ctx.signal.reason as MarketrixError).kind));
      return new Promise(() => {});
    });
    server.handle('forever', async function* (_: unknown, ctx) {
      ctx.signal.addEventListener('abort', () => told.push('left'));
      for (let i = 0; ; i++) yield i;
    });
    server.handle('warm', () => 'up');
    await client.call('slow', 'warm');
    await expect(client.call('slow', 'hang', null, { timeoutMs: 500 })).rejects.toMatchObject({ kind: 'timeout' });
    await until(() => told.length === 1, 'the handler hears of the time-out');
    expect(['timeout', 'connection-lost']).toContain(told[0]);
    const controller = new AbortController();
    const call = client.call('slow', 'hang', null, { signal: controller.signal });
    await until(() => server.stats().serving === 1, 'the call is served');
    controller.abort();
    await expect(call).rejects.toMatchObject({ kind: 'cancelled' });
    await until(() => told.length === 2, 'the handler hears of the cancellation');
    for await (const item of client.stream('slow', 'forever')) if (item === 10) break;
    await until(() => told.length === 3, 'the handler hears that nobody listens');
    await until(() => server.stats().serving === 0, 'nothing is served');
    expect(told[2]).toBe('left');
    await until(() => client.stats().streams === 0 && server.stats().streams === 0, 'no stream is left');
    await expect(client.call('slow', 'hang', null, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      kind: 'cancelled',
    });
  });

  it('publish events to every subscriber directly, in order', async () => {
    const keyPrefix = prefix();
    const [a, b, publisher] = await Promise.all([
      joined({ service: 'a', keyPrefix }),
      joined({ service: 'b', keyPrefix }),
      joined({ service: 'p', keyPrefix }),
    ]);
    const seen: Record<string, unknown[]> = { a: [], b: [], p: [] };
    const stopA = await a.subscribe('prices', (data) => seen.a?.push(data));
    await b.subscribe('prices', (data, from) => {
      expect(from).toEqual({ service: 'p', instance: publisher.instance });
      seen.b?.push(data);
    });
    expect(await publisher.publish('prices', 0)).toBe(2);
    const sent = await Promise.all(Array.from({ length: 500 }, (_, i) => publisher.publish('prices', i + 1)));
    expect(sent.every((n) => n === 2)).toBe(true);
    await until(() => seen.a?.length === 501 && seen.b?.length === 501, 'all events');
    expect(seen.a).toEqual(Array.from({ length: 501 }, (_, i) => i));
    expect(seen.b).toEqual(seen.a);
    await stopA();
    expect(await publisher.publish('prices', 'last')).toBe(1);
    expect(await publisher.publish('nobody', 1)).toBe(0);
    await publisher.subscribe('prices', (data) => seen.p?.push(data));
    expect(await publisher.publish('prices', 'own')).toBe(2);
    await until(() => seen.p?.includes('own') && seen.b?.includes('own'), 'own event');
    await expect(publisher.publish('bad topic', 1)).rejects.toMatchObject({ kind: 'invalid-options' });
  });

  it('share values with versions', async () => {
    const keyPrefix = prefix();
    const a = await joined({ service: 'a', keyPrefix });
    const b = await joined({ service: 'b', keyPrefix });
    const [orders, same] = [a.data.ns('orders'), b.data.ns('orders')];
    const changes = await same.watch('o*');
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const change of changes)
        if (seen.push([change.type, change.key, change.value, change.version]) === 4) break;
    })();
    expect(await orders.get('o1')).toBeNull();
    const value = { items: [], empty: {}, big: 2 ** 53 - 1, text: 'ä"\\', n: 1.5e-7, bytes: Buffer.from('hi') };
    expect(await orders.set('o1', value)).toBe(1);
    expect(await same.get('o1')).toMatchObject({ value, version: 1, by: `a/${a.instance}` });
    expect(await same.set('o1', 2, { ifVersion: 1 })).toBe(2);
    await expect(orders.set('o1', 3, { ifVersion: 1 })).rejects.toMatchObject({ kind: 'conflict', data: 2 });
    await expect(orders.del('o1', { ifVersion: 1 })).rejects.toMatchObject({ kind: 'conflict', data: 2 });
    expect(await orders.set('o[2]*', 'x', { ifVersion: 0, ttlMs: 60_000 })).toBe(1);
    expect(await orders.set('other', 'x')).toBe(1);
    expect(await same.keys('o[')).toEqual(['o[2]*']);
    expect(await same.keys()).toEqual(['o1', 'o[2]*', 'other']);
    expect(await orders.del('o1')).toBe(true);
    expect(await orders.del('o1')).toBe(false);
    await watching;
    expect(seen.slice(1)).toEqual([
      ['set', 'o1', 2, 2],
      ['set', 'o[2]*', 'x', 1],
      ['set', 'other', 'x', 1],
    ]);
    // Both write the same value: no write is lost.
    const add = async (ns: typeof orders) => {
      for (;;) {
        const entry = await ns.get<number>('counter');
        try {
          await ns.set('counter', (entry?.value ?? 0) + 1, { ifVersion: entry?.version ?? 0 });
          return;
        } catch (error) {
          if ((error as MarketrixError).kind !== 'conflict') throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, i) => add(i % 2 ? orders : same)));
    expect(await orders.get('counter')).toMatchObject({ value: 20, version: 20 });
    for (const key of await orders.keys()) await orders.del(key);
  });

  it.each([100, 1000])('carry %i streams on one socket at the same time', async (count) => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'echo', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix });
    server.onConnection(async (stream) => {
      for await (const message of stream) await stream.send(message);
      await stream.end();
    });
    const messages = 5000 / count;
    const streams = await Promise.all(Array.from({ length: count }, () => client.connect('echo')));
    expect([client.stats().connectionsOut, server.stats().connectionsIn, server.stats().streams]).toEqual([
      1,
      1,
      count,
    ]);
    const echoes = streams.map((stream) => all(stream));
    await Promise.all(
      streams.map(async (stream, i) => {
        for (let k = 0; k < messages; k++) await stream.send([i, k]);
        await stream.end();
      }),
    );
    const received = await Promise.all(echoes);
    received.forEach((list, i) => {
      expect(list).toEqual(Array.from({ length: messages }, (_, k) => [i, k]));
    });
  });
});

describe('discovery', () => {
  it('follows who joins, changes and leaves, and leaves no key behind', async () => {
    const keyPrefix = prefix();
    const watcher = await joined({ service: 'watcher', keyPrefix });
    const changes: PeerChange[] = [];
    const watching = (async () => {
      for await (const change of watcher.watch('worker')) changes.push(change);
    })();
    expect(await watcher.instances('worker')).toEqual([]);
    const one = await joined({ service: 'worker', instance: 'one', keyPrefix, meta: { zone: 'a' } });
    const two = await joined({ service: 'worker', instance: 'two', keyPrefix });
    await until(() => changes.length === 2, 'both are up');
    expect(await watcher.instances('worker')).toMatchObject([
      {
        service: 'worker',
        instance: 'one',
        host: '127.0.0.1',
        port: one.port,
        proto: 'h2c',
        path: '/mesh/v1',
        lang: 'node',
        meta: { zone: 'a' },
        health: 'ok',
        v: 1,
        seq: 1,
      },
      { instance: 'two' },
    ]);
    await two.setHealth('degraded', 'disk');
    await until(() => changes.length === 3, 'the update');
    expect(changes[2]).toMatchObject({
      type: 'update',
      record: { instance: 'two', health: 'degraded', reason: 'disk' },
    });
    await one.leave();
    await until(() => changes.length === 4, 'one is down');
    expect(changes.map(({ type, record }) => `${type} ${record.instance}`)).toEqual([
      'up one',
      'up two',
      'update two',
      'down one',
    ]);
    expect((await watcher.instances('worker')).map((record) => record.instance)).toEqual(['two']);
    await two.leave();
    await watcher.leave();
    await watching;
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    expect(await redis.keys(`${keyPrefix}*`)).toEqual([]);
  });

  it('refuses a name that is alive', async () => {
    const keyPrefix = prefix();
    await joined({ service: 'single', instance: 'me', keyPrefix });
    await expect(joined({ service: 'single', instance: 'me', keyPrefix })).rejects.toMatchObject({
      kind: 'duplicate-instance',
    });
  });

  it('says that Redis is out of reach', async () => {
    await expect(
      MeshPeer.join({ service: 'lost', redis: 'redis://127.0.0.1:1', listen: { host: '127.0.0.1' } }),
    ).rejects.toMatchObject({ kind: 'discovery' });
  });

  it('hands streams that came early to the first onConnection', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'late', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix, listen: false });
    expect(client.port).toBeNull();
    const stream = await client.connect('late');
    await stream.send('early');
    const got = await new Promise<PeerStream>((resolve) => server.onConnection((s) => resolve(s)));
    for await (const message of got) {
      expect(message).toBe('early');
      break;
    }
    stream.close();
    await expect(got.closed).rejects.toMatchObject({ kind: 'connection-lost' });
    await expect(client.subscribe('x', () => {})).rejects.toMatchObject({ kind: 'invalid-options' });
  });
});
