import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Balancer } from '../../src/marketrix/balance.js';
import { Breaker } from '../../src/marketrix/breaker.js';
import { LagWindow } from '../../src/marketrix/lag.js';
import { decodeRecord, layouts, MeshPeer, type PeerRecord } from '../../src/marketrix.js';
import { all, joined, OwnRedis, prefix, REDIS, until } from './rig.js';

function record(instance: string, weight = 1): PeerRecord {
  const text = JSON.stringify({ service: 's', instance, host: 'h', port: 1, weight });
  const decoded = decodeRecord(text, 's');
  if (!decoded) throw new Error('no record');
  return decoded;
}

function counts(list: (string | undefined)[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const item of list) result[item ?? ''] = (result[item ?? ''] ?? 0) + 1;
  return result;
}

describe('balancing', () => {
  const records = [record('a', 1), record('b', 2), record('c', 5)];

  it('goes round by weight, evenly spread', () => {
    const balancer = new Balancer('round-robin', () => 0);
    const chosen = Array.from({ length: 16 }, () => balancer.choose(records)?.instance);
    expect(counts(chosen)).toEqual({ a: 2, b: 4, c: 10 });
    expect(chosen.slice(0, 8).join('')).toBe(chosen.slice(8).join(''));
    expect(chosen.join('')).not.toContain('ccccc');
  });

  it('prefers the instance with the fewest open calls per weight', () => {
    const open: Record<string, number> = { a: 0, b: 4, c: 4 };
    const balancer = new Balancer('least-inflight', ({ instance }) => open[instance] ?? 0);
    expect(balancer.choose(records)?.instance).toBe('a');
    open.a = 1;
    expect(balancer.choose(records)?.instance).toBe('c');
  });

  it('chooses at random by weight', () => {
    let at = 0;
    const balancer = new Balancer(
      'random',
      () => 0,
      () => (at++ % 80) / 80,
    );
    expect(counts(Array.from({ length: 80 }, () => balancer.choose(records)?.instance))).toEqual({
      a: 10,
      b: 20,
      c: 50,
    });
  });

  it('keeps keys where they are when an instance leaves', () => {
    const balancer = new Balancer('hash', () => 0);
    const keys = Array.from({ length: 2000 }, (_, i) => `key-${i}`);
    const before = keys.map((key) => balancer.choose(records, key)?.instance);
    const shares = counts(before);
    for (const [instance, weight] of [
      ['a', 1],
      ['b', 2],
      ['c', 5],
    ] as const) {
      expect((shares[instance] ?? 0) / keys.length).toBeCloseTo(weight / 8, 1);
    }
    const without = records.slice(1);
    keys.forEach((key, i) => {
      if (before[i] !== 'a') expect(balancer.choose(without, key)?.instance).toBe(before[i]);
    });
  });

  it('uses degraded instances only when nothing else is left, and down ones never', async () => {
    const keyPrefix = prefix();
    const servers = await Promise.all(
      ['a', 'b', 'c'].map((instance) => joined({ service: 'server', instance, keyPrefix })),
    );
    for (const server of servers) server.handle('who', () => server.instance);
    const client = await joined({ service: 'client', keyPrefix });
    const who = async () =>
      counts(await Promise.all(Array.from({ length: 12 }, () => client.call<string>('server', 'who'))));
    expect(await who()).toEqual({ a: 4, b: 4, c: 4 });
    const [a, b, c] = servers as [MeshPeer, MeshPeer, MeshPeer];
    const seen = async (health: string) => (await client.instances('server')).filter((r) => r.health === health).length;
    await a.setHealth('degraded');
    await until(async () => (await seen('degraded')) === 1, 'a is degraded');
    expect(await who()).toEqual({ b: 6, c: 6 });
    await Promise.all([b.setHealth('down'), c.setHealth('down')]);
    await until(async () => (await seen('down')) === 2, 'b and c are down');
    expect(await who()).toEqual({ a: 12 });
    await a.setHealth('down');
    await until(async () => (await seen('down')) === 3, 'all are down');
    await expect(client.call('server', 'who')).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await client.call('server', 'who', null, { instance: 'a' }).catch((e: { kind: string }) => e.kind)).toBe(
      'unavailable',
    );
  });

  it('sends the same key to the same instance, and nothing to itself while there are others', async () => {
    const keyPrefix = prefix();
    const servers = await Promise.all(['a', 'b'].map((instance) => joined({ service: 'server', instance, keyPrefix })));
    for (const server of servers) server.handle('who', () => server.instance);
    const [a, b] = servers as [MeshPeer, MeshPeer];
    const chosen = await Promise.all(Array.from({ length: 10 }, () => a.call('server', 'who')));
    expect(new Set(chosen)).toEqual(new Set(['b']));
    const client = await joined({ service: 'client', keyPrefix, balance: 'hash' });
    const keyed = await Promise.all(
      Array.from({ length: 10 }, () => client.call('server', 'who', null, { key: 'user-7' })),
    );
    expect(new Set(keyed).size).toBe(1);
    await b.leave();
    await until(async () => (await a.instances('server')).length === 1, 'b has left');
    expect(await a.call('server', 'who')).toBe('a');
  });
});

describe('circuit breaker', () => {
  it('opens after five failures in a row, lets one probe through, and doubles its pause', () => {
    let now = 0;
    const breaker = new Breaker(() => now);
    for (let i = 0; i < 4; i++) breaker.failure();
    breaker.success();
    for (let i = 0; i < 4; i++) breaker.failure();
    expect(breaker.allows).toBe(true);
    breaker.failure();
    expect(breaker.allows).toBe(false);
    const pauses: number[] = [];
    for (let i = 0; i < 7; i++) {
      const start = now;
      while (!breaker.allows) now += 100;
      pauses.push(now - start);
      breaker.begin();
      expect(breaker.allows).toBe(false);
      breaker.failure();
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    now += 30_000;
    breaker.begin();
    breaker.success();
    expect(breaker.allows).toBe(true);
  });

  it('keeps calls away from a port where nobody answers', async () => {
    const keyPrefix = prefix();
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    const layout = layouts.simple(keyPrefix);
    const dead = { service: 'server', instance: 'dead', host: '127.0.0.1', port: 1 };
    await redis.set(layout.recordKey('server', 'dead'), JSON.stringify(dead), 'PX', 20_000);
    const client = await joined({ service: 'client', keyPrefix, layout });
    for (let i = 0; i < 5; i++) await expect(client.call('server', 'x')).rejects.toMatchObject({ kind: 'connect' });
    await expect(client.call('server', 'x')).rejects.toMatchObject({ kind: 'unavailable' });
    const alive = await joined({ service: 'server', instance: 'alive', keyPrefix, layout });
    alive.handle('x', () => 'alive');
    await until(async () => (await client.instances('server')).length === 2, 'both are listed');
    for (let i = 0; i < 4; i++) expect(await client.call('server', 'x')).toBe('alive');
  });
});

describe('self check', () => {
  it('counts lateness over ten seconds', () => {
    const window = new LagWindow();
    expect(window.add(1900)).toBe(false);
    expect(window.add(150)).toBe(true);
    for (let i = 0; i < 8; i++) expect(window.add(0)).toBe(true);
    expect(window.add(0)).toBe(false);
  });
});

describe('back-pressure', () => {
  it('holds the writer back while nobody reads, and loses nothing', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix, maxQueuedBytes: 256 * 1024 });
    let go: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const seen: number[] = [];
    server.onConnection(async (stream) => {
      await gate;
      for await (const message of stream) seen.push((message as { i: number }).i);
      await stream.end();
    });
    const stream = await client.connect('server');
    const fill = 'x'.repeat(2000);
    let sent = 0;
    while (stream.trySend({ i: sent, fill })) {
      sent += 1;
      if (sent % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    // Queue here, windows and buffers on the way: bounded, whatever the writer would like to send.
    await until(async () => {
      const before = sent;
      for (let i = 0; i < 20; i++) {
        if (stream.trySend({ i: sent, fill })) sent += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
      return sent === before;
    }, 'the queue stays full');
    expect(sent * 2000).toBeLessThan(8 << 20);
    let resolved = false;
    const waiting = stream.send({ i: sent, fill }).then(() => {
      resolved = true;
    });
    // Others are not held up by it.
    server.handle('ping', () => 'pong');
    expect(await client.call('server', 'ping')).toBe('pong');
    expect(resolved).toBe(false);
    go?.();
    await waiting;
    await stream.end();
    await stream.closed.catch(() => {});
    await until(() => seen.length === sent + 1, 'everything has arrived');
    expect(seen).toEqual(Array.from({ length: sent + 1 }, (_, i) => i));
  });

  it('refuses frames that the other side does not take before anything is written', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix, maxFrameBytes: 2048 });
    const client = await joined({ service: 'client', keyPrefix });
    server.handle('echo', (input) => input);
    await expect(client.call('server', 'echo', 'x'.repeat(3000))).rejects.toMatchObject({ kind: 'frame-too-large' });
    expect(await client.call('server', 'echo', 'x'.repeat(1000))).toHaveLength(1000);
    server.onConnection((stream) => all(stream).then(() => stream.end()));
    const stream = await client.connect('server');
    await expect(stream.send('x'.repeat(3000))).rejects.toMatchObject({ kind: 'frame-too-large' });
    expect(() => stream.trySend('x'.repeat(3000))).toThrow('frame-too-large');
    await stream.send('small');
    await stream.end();
    await expect(stream.send('late')).rejects.toMatchObject({ kind: 'closed' });
    expect(stream.trySend('late')).toBe(false);
    expect(await all(stream)).toEqual([]);
  });

  it('counts events that a slow subscriber misses', async () => {
    const keyPrefix = prefix();
    const slow = await joined({ service: 'slow', keyPrefix });
    const publisher = await joined({ service: 'publisher', keyPrefix, maxQueuedBytes: 4096 });
    await slow.subscribe('topic', () => new Promise(() => {}));
    const fill = 'x'.repeat(3000);
    await until(async () => (await publisher.publish('topic', fill)) === 0, 'an event is missed');
    expect(publisher.stats().eventsMissed).toBe(1);
  });
});

describe('limits', () => {
  it('refuses more than maxInflight calls on a connection', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix, maxInflight: 2 });
    server.handle('hang', () => new Promise(() => {}));
    const controller = new AbortController();
    const open = [1, 2].map(() => client.call('server', 'hang', null, { signal: controller.signal }));
    await until(() => server.stats().serving === 2, 'both are served');
    await expect(client.call('server', 'hang')).rejects.toMatchObject({ kind: 'overloaded' });
    controller.abort();
    await Promise.allSettled(open);

    const strict = await joined({ service: 'strict', keyPrefix, maxInflight: 1 });
    strict.handle('hang', () => new Promise(() => {}));
    const caller = await joined({ service: 'caller', keyPrefix, drainMs: 0 });
    const first = caller.call('strict', 'hang');
    await until(() => strict.stats().serving === 1, 'the call is served');
    await expect(caller.call('strict', 'hang')).rejects.toMatchObject({ kind: 'rejected', code: '503' });
    await caller.leave();
    await expect(first).rejects.toMatchObject({ kind: 'closed' });
  });

  it('says when its port is taken, and leaves nothing behind', async () => {
    const keyPrefix = prefix();
    const first = await joined({ service: 'server', keyPrefix });
    const listen = { host: '127.0.0.1', port: first.port ?? 0 };
    await expect(MeshPeer.join({ service: 'server', keyPrefix, redis: REDIS, listen })).rejects.toMatchObject({
      kind: 'connect',
    });
    expect(await first.instances('server')).toHaveLength(1);
  });

  it.each([
    [{ service: 'bad name' }, 'service'],
    [{ service: 'a', instance: '' }, 'instance'],
    [{ service: 'a', ttlMs: 999 }, 'ttlMs'],
    [{ service: 'a', ttlMs: 2000, heartbeatMs: 1001 }, 'heartbeatMs'],
    [{ service: 'a', weight: 0 }, 'weight'],
    [{ service: 'a', balance: 'best' }, 'balance'],
    [{ service: 'a', endian: 'middle' }, 'endian'],
    [{ service: 'a', maxFrameBytes: 10 }, 'maxFrameBytes'],
    [{ service: 'a', meta: { n: 1 } }, 'meta.n'],
    [{ service: 'a', token: '' }, 'token'],
    [{ service: 'a', listen: { port: 70_000 } }, 'listen.port'],
    [{ service: 'a', keepConnected: ['*'] }, 'keepConnected'],
    [undefined, 'options'],
  ])('refuses options %j', async (options, word) => {
    const error = await MeshPeer.join(options as never).catch((e: unknown) => e);
    expect(error).toMatchObject({ kind: 'invalid-options', name: 'MarketrixError' });
    expect((error as Error).message).toMatch(/^marketrix: invalid-options: /);
    expect((error as Error).message).toContain(word);
  });
});

describe('leaving', () => {
  it('lets open calls finish, sends new ones elsewhere, and ends streams in order', async () => {
    const keyPrefix = prefix();
    const leaving = await joined({ service: 'server', instance: 'leaving', keyPrefix, drainMs: 5000 });
    const client = await joined({ service: 'client', keyPrefix });
    let finish: (() => void) | undefined;
    leaving.handle(
      'work',
      () =>
        new Promise((resolve) => {
          finish = () => resolve('done');
        }),
    );
    leaving.onConnection((stream) => stream.send('hello'));
    const stream = await client.connect('server');
    const messages = all(stream);
    const call = client.call('server', 'work');
    await until(() => finish, 'the call is served');
    const left = leaving.leave();
    expect(leaving.leave()).toBe(left);
    const staying = await joined({ service: 'server', instance: 'staying', keyPrefix });
    staying.handle('work', () => 'elsewhere');
    await until(async () => (await client.instances('server'))[0]?.instance === 'staying', 'the list is new');
    expect(await client.call('server', 'work')).toBe('elsewhere');
    finish?.();
    expect(await call).toBe('done');
    expect(await messages).toEqual(['hello']);
    await left;
    expect(() => leaving.call('server', 'work')).toThrow('closed');
    await expect(leaving.publish('x', 1)).rejects.toMatchObject({ kind: 'closed' });
    await expect(leaving.instances('server')).rejects.toMatchObject({ kind: 'closed' });
    expect(leaving.stats()).toMatchObject({ discovery: 'off', streams: 0 });
    await leaving[Symbol.asyncDispose]();
  });

  it('loses nothing of a stream that was ended before, however slow its reader', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix, drainMs: 5000 });
    const client = await joined({ service: 'client', keyPrefix });
    const count = 6000; // fits into the window of the stream
    const ended = new Promise<void>((resolve) => {
      server.onConnection(async (stream) => {
        for (let i = 0; i < count; i++) await stream.send({ i, fill: 'x'.repeat(100) });
        await stream.end();
        resolve();
      });
    });
    const stream = await client.connect('server');
    await ended;
    await server.leave();
    await expect(stream.closed).rejects.toMatchObject({ kind: 'connection-lost' });
    expect((await all(stream)).map((message) => (message as { i: number }).i)).toEqual(
      Array.from({ length: count }, (_, i) => i),
    );
  });

  it('one after the other costs callers nothing', async () => {
    const keyPrefix = prefix();
    const start = async () => {
      const server = await joined({ service: 'server', keyPrefix });
      server.handle('who', async () => {
        await new Promise((resolve) => setTimeout(resolve, 2));
        return server.instance;
      });
      return server;
    };
    let servers = [await start(), await start()];
    const client = await joined({ service: 'client', keyPrefix });
    let running = true;
    const answered = new Set<string>();
    const calling = Array.from({ length: 8 }, async () => {
      while (running) answered.add(await client.call<string>('server', 'who'));
    });
    for (let i = 0; i < 4; i++) {
      const next = await start();
      await until(() => answered.has(next.instance), 'the new one is called');
      const [oldest, ...others] = servers;
      await oldest?.leave();
      servers = [...others, next];
    }
    running = false;
    await Promise.all(calling);
    expect(answered.size).toBe(6);
  });

  it('ends watches and breaks pending calls of the one who leaves', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix });
    server.handle('hang', () => new Promise(() => {}));
    const client = await joined({ service: 'client', keyPrefix, drainMs: 20 });
    const watching = all(client.watch('server'));
    const call = client.call('server', 'hang');
    await until(() => server.stats().serving === 1, 'the call is served');
    await client.leave();
    expect((await watching).map(({ type }) => type)).toEqual(['up']);
    await expect(call).rejects.toMatchObject({ kind: 'closed' });
    await until(() => server.stats().serving === 0, 'the handler is told');
  });
});

describe('connections that are kept', () => {
  it('are there before they are used, and come back after a restart elsewhere', async () => {
    const keyPrefix = prefix();
    const first = await joined({ service: 'server', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix, keepConnected: ['server'] });
    await until(() => first.stats().connectionsIn === 1, 'the connection is there');
    await first.leave();
    const second = await joined({ service: 'server', keyPrefix });
    await until(() => second.stats().connectionsIn === 1, 'the connection is back');
    expect(client.stats().connectionsOut).toBe(1);
  });

  it('are closed when they are idle', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix });
    server.handle('echo', (input) => input);
    const client = await joined({ service: 'client', keyPrefix, idleMs: 30 });
    expect(await client.call('server', 'echo', 1)).toBe(1);
    await until(() => client.stats().connectionsOut === 0 && server.stats().connectionsIn === 0, 'it is closed');
    expect(client.stats().connectionsLost).toBe(0);
    expect(await client.call('server', 'echo', 2)).toBe(2);
  });
});

describe('other ways to Redis', () => {
  it('a client of the application, which is left open', async () => {
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    const keyPrefix = prefix();
    const peer = await joined({ service: 'server', keyPrefix, redis });
    const other = await joined({ service: 'client', keyPrefix, redis });
    peer.handle('echo', (input) => input);
    expect(await other.call('server', 'echo', 1)).toBe(1);
    await Promise.all([peer.leave(), other.leave()]);
    expect(await redis.ping()).toBe('PONG');
  });

  it('options of a client, lazy ones too', async () => {
    const { hostname, port } = new URL(REDIS);
    const redis = { host: hostname, port: Number(port), lazyConnect: true };
    const peer = await joined({ service: 'server', keyPrefix: prefix(), redis });
    expect(await peer.instances('server')).toHaveLength(1);
  });

  it('the simple layout: one string per instance', async () => {
    const keyPrefix = prefix();
    const layout = layouts.simple(keyPrefix);
    const peer = await joined({ service: 'server', instance: 'one', keyPrefix, layout });
    peer.handle('echo', (input) => input);
    const client = await joined({ service: 'client', keyPrefix, layout });
    expect(await client.instances('server')).toMatchObject([{ instance: 'one' }]);
    expect(await client.call('server', 'echo', 1)).toBe(1);
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    expect(await redis.keys(`${keyPrefix}*server*`)).toEqual([`${keyPrefix}:services:server:one`]);
  });

  it('keys in one hash slot for clusters', async () => {
    const keyPrefix = prefix();
    const peer = await joined({ service: 'server', keyPrefix, cluster: true });
    await peer.subscribe('topic', () => {});
    await peer.data.ns('n').set('k', 1);
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    const keys = await redis.keys(`*${keyPrefix}*`);
    expect(keys.length).toBe(5);
    for (const key of keys) expect(key.startsWith(`{${keyPrefix}}:`)).toBe(true);
    await peer.data.ns('n').del('k');
  });

  it('a server that comes up late is joined on the second try', async () => {
    const redis = await OwnRedis.start();
    await redis.kill();
    const options = { service: 'server', redis: redis.url, keyPrefix: prefix(), listen: { host: '127.0.0.1' } };
    await expect(MeshPeer.join(options)).rejects.toMatchObject({ kind: 'discovery' });
    await redis.start();
    const peer = await MeshPeer.join(options);
    await peer.leave();
  });
});

describe('records', () => {
  it('are read leniently, and malformed ones are counted', async () => {
    const keyPrefix = prefix();
    const layout = layouts.simple(keyPrefix);
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    const put = (instance: string, text: string) => redis.set(layout.recordKey('odd', instance), text, 'PX', 10_000);
    await put('a', JSON.stringify({ service: 'odd', instance: 'a', host: 'h', port: 1, extra: { kept: true } }));
    await put('b', 'no JSON');
    await put('c', '[]');
    await put('d', JSON.stringify({ service: 'odd', instance: 'd', host: 'h', port: 'x' }));
    const client = await joined({ service: 'client', keyPrefix, layout });
    expect(await client.instances('odd')).toEqual([
      {
        v: 1,
        service: 'odd',
        instance: 'a',
        host: 'h',
        port: 1,
        proto: 'h2c',
        path: '/mesh/v1',
        lang: 'unknown',
        weight: 1,
        health: 'ok',
        load: 0,
        startedAt: 0,
        seq: 0,
        meta: {},
        extra: { kept: true },
      },
    ]);
    expect(client.stats().malformedRecords).toBe(3);
  });

  it('use MESH_ADVERTISE_HOST', async () => {
    vi.stubEnv('MESH_ADVERTISE_HOST', 'peer.example');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const keyPrefix = prefix();
    const peer = await MeshPeer.join({ service: 'server', keyPrefix, redis: REDIS });
    onTestFinished(() => peer.leave());
    expect(await peer.instances('server')).toMatchObject([{ host: 'peer.example' }]);
  });
});
