import { connect as tcpConnect } from 'node:net';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MarketrixError, type PeerChange } from '../../src/marketrix.js';
import { all, freePort, joined, OwnRedis, prefix, REDIS, Relay, SOAK, spawnPeer, until } from './rig.js';

const ENDS = ['connection-lost', 'connect', 'unavailable', 'protocol', 'closed'];

describe('Redis killed and restarted', () => {
  it('leaves connections working, and registrations return', async () => {
    const redis = await OwnRedis.start();
    const keyPrefix = prefix();
    const options = { keyPrefix, redis: redis.url, ttlMs: 1000 };
    const server = await joined({ service: 'server', ...options });
    const client = await joined({ service: 'client', ...options });
    server.handle('echo', (input) => input);
    server.onConnection(async (stream) => {
      for await (const message of stream) await stream.send(message);
      await stream.end();
    });
    const seen: unknown[] = [];
    await server.subscribe('topic', (data) => seen.push(data));
    const stream = await client.connect('server');
    expect(await client.call('server', 'echo', 1)).toBe(1);
    expect(await client.publish('topic', 1)).toBe(1);
    await redis.kill();
    for (let i = 0; i < 100; i++) await stream.send(i);
    let at = 0;
    for await (const message of stream) {
      expect(message).toBe(at++);
      if (at === 100) break;
    }
    expect(await client.call('server', 'echo', 2)).toBe(2);
    expect(await client.publish('topic', 2)).toBe(1);
    await until(() => server.stats().discovery === 'down', 'the server notices');
    await expect(client.call('unknown', 'echo', 2)).rejects.toMatchObject({ kind: 'discovery' });
    await expect(client.data.ns('a').get('b')).rejects.toMatchObject({ kind: 'discovery' });
    await redis.start();
    await until(
      () => server.stats().discovery === 'ok' && client.stats().discovery === 'ok',
      'both are registered again',
    );
    const late = await joined({ service: 'late', ...options });
    expect(await late.call('server', 'echo', 3)).toBe(3);
    expect(await late.publish('topic', 3)).toBe(1);
    await until(() => seen.length === 3, 'all events');
    const newcomer = await joined({ service: 'server', ...options });
    await until(async () => (await client.instances('server')).length === 2, 'announcements work again');
    await stream.end();
    await newcomer.leave();
  });
});

describe('a peer that is killed', () => {
  it('is gone within its TTL, and calls to it end', async () => {
    const keyPrefix = prefix();
    const client = await joined({ service: 'client', keyPrefix, ttlMs: 1000 });
    const changes: PeerChange[] = [];
    void (async () => {
      for await (const change of client.watch('victim')) changes.push(change);
    })();
    const child = await spawnPeer({ service: 'victim', keyPrefix, ttlMs: 1000 });
    await until(() => changes.length === 1, 'it is up');
    expect(await client.call('victim', 'echo', 'x')).toBe('x');
    const pending = client.call('victim', 'hang');
    const items = all(client.stream('victim', 'forever'));
    const stream = await client.connect('victim');
    for (const promise of [pending, items]) promise.catch(() => {}); // looked at below
    child.kill('SIGKILL');
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    const left = await redis.pttl(`${keyPrefix}:svc:victim:${changes[0]?.record.instance}`);
    expect(left).toBeLessThanOrEqual(1000);
    // Whatever is killed, nothing stays for ever.
    for (const key of await redis.keys(`${keyPrefix}:*`)) expect(await redis.pttl(key)).toBeGreaterThan(0);
    await expect(pending).rejects.toMatchObject({ kind: 'connection-lost' });
    await expect(items).rejects.toMatchObject({ kind: 'connection-lost' });
    await expect(all(stream)).rejects.toMatchObject({ kind: 'connection-lost' });
    await expect(stream.closed).rejects.toMatchObject({ kind: 'connection-lost' });
    await until(() => changes.length === 2, 'it is down');
    expect(changes[1]).toMatchObject({ type: 'down', record: { instance: changes[0]?.record.instance } });
    expect(await client.instances('victim')).toEqual([]);
    await expect(client.call('victim', 'echo')).rejects.toMatchObject({ kind: 'no-instance' });
    expect(client.stats().connectionsLost).toBe(1);
  });

  it('that stands still is noticed by its connections, and comes back in full', async () => {
    const keyPrefix = prefix();
    const client = await joined({ service: 'client', keyPrefix, ttlMs: 1000, pingMs: 50, pingTimeoutMs: 200 });
    const child = await spawnPeer({ service: 'victim', instance: 'v', keyPrefix, ttlMs: 1000 });
    expect(await client.call('victim', 'echo', 1)).toBe(1);
    const pending = client.call('victim', 'hang');
    child.kill('SIGSTOP');
    await expect(pending).rejects.toMatchObject({ kind: 'connection-lost' });
    await until(async () => (await client.instances('victim')).length === 0, 'its registration runs out');
    child.kill('SIGCONT');
    await until(async () => (await client.instances('victim')).length === 1, 'it registers again');
    expect(await client.call('victim', 'echo', 2)).toBe(2);
  });

  it('stays registered for many TTLs while it lives', async () => {
    const keyPrefix = prefix();
    const peer = await joined({ service: 'steady', keyPrefix, ttlMs: 1000, heartbeatMs: 100 });
    const watcher = await joined({ service: 'watcher', keyPrefix, ttlMs: 1000 });
    const changes: PeerChange[] = [];
    void (async () => {
      for await (const change of watcher.watch('steady')) changes.push(change);
    })();
    await until(() => peer.stats().heartbeats > 25, 'heartbeats over two and a half TTLs');
    expect(changes.map(({ type }) => type)).toEqual(['up']);
    expect(await watcher.instances('steady')).toHaveLength(1);
  });

  it('whose port another one has now is not spoken to by mistake', async () => {
    const keyPrefix = prefix();
    const port = await freePort();
    const client = await joined({ service: 'client', keyPrefix });
    const old = await spawnPeer({ service: 'victim', instance: 'old', keyPrefix, listen: { port } });
    expect(await client.call('victim', 'echo', 1, { instance: 'old' })).toBe(1);
    old.kill('SIGKILL');
    await until(() => client.stats().connectionsOut === 0, 'the connection is gone');
    await spawnPeer({ service: 'victim', instance: 'new', keyPrefix, listen: { port } });
    await until(async () => (await client.instances('victim')).length === 2, 'both are listed');
    for (let i = 0; i < 4; i++) expect(await client.call('victim', 'echo', i)).toBe(i);
    expect((await client.instances('victim')).map(({ instance }) => instance)).toEqual(['new']);
  });
});

describe('connections cut at random bytes', () => {
  it('end every call with its result or a typed error; nothing is doubled or merged', {
    timeout: 120_000,
  }, async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix });
    const relay = await Relay.to(() => server.port ?? 0);
    const client = await joined({ service: 'client', keyPrefix, layout: relay.layout(keyPrefix), listen: false });
    const executed = new Map<string, number>();
    const sequences = new Map<unknown, number[]>();
    server.handle('once', (id: string) => {
      executed.set(id, (executed.get(id) ?? 0) + 1);
      return { id };
    });
    server.handle('count', async function* (to: number) {
      for (let i = 0; i < to; i++) yield i;
    });
    server.onConnection(async (stream) => {
      const list: number[] = [];
      sequences.set(stream, list);
      for await (const message of stream) {
        list.push(message as number);
        await stream.send(message);
      }
      await stream.end();
    });
    const outcome = { results: 0, errors: 0 };
    const settled = async (work: Promise<void>) => {
      try {
        await work;
        outcome.results += 1;
      } catch (error) {
        if (!(error instanceof MarketrixError)) throw error;
        expect(ENDS).toContain(error.kind);
        outcome.errors += 1;
      }
    };
    const rounds = SOAK ? 100 : 15;
    for (let round = 0; round < rounds; round++) {
      relay.cutAfter = Math.floor(Math.random() ** 2 * 60_000);
      const unary = Array.from({ length: 20 }, async (_, i) => {
        const id = `${round}/${i}`;
        expect(await client.call('server', 'once', id, { timeoutMs: 10_000 })).toEqual({ id });
      });
      const counting = (async () => {
        let next = 0;
        for await (const item of client.stream<number, number>('server', 'count', 1000)) expect(item).toBe(next++);
        expect(next).toBe(1000);
      })();
      const echoing = (async () => {
        const stream = await client.connect('server');
        const sending = (async () => {
          for (let i = 0; i < 1000; i++) await stream.send(i);
          await stream.end();
        })();
        sending.catch(() => {});
        let next = 0;
        for await (const item of stream) expect(item).toBe(next++);
        // A stream that ends in order has carried everything.
        expect(next).toBe(1000);
        await sending;
      })();
      await Promise.all([...unary, counting, echoing].map(settled));
      relay.cut();
    }
    for (const [id, times] of executed) expect([id, times]).toEqual([id, 1]);
    for (const list of sequences.values()) expect(list).toEqual(list.map((_, i) => i));
    expect(outcome.errors).toBeGreaterThan(0);
    relay.cutAfter = undefined;
    // The breaker may still be open after so many failures.
    await until(
      () =>
        client.call('server', 'once', 'end').then(
          () => true,
          () => false,
        ),
      'calls work again',
    );
    await until(() => server.stats().serving === 0 && server.stats().streams === 0, 'nothing is left open');
    await until(() => client.stats().streams === 0, 'no stream is left here');
  });

  it('retry calls that may be repeated', async () => {
    const keyPrefix = prefix();
    const [a, b] = [await joined({ service: 'server', keyPrefix }), await joined({ service: 'server', keyPrefix })];
    const client = await joined({ service: 'client', keyPrefix });
    let first = true;
    for (const server of [a, b]) {
      server.handle('work', async () => {
        if (!first) return server.instance;
        first = false;
        return new Promise(() => {});
      });
    }
    const call = client.call<string>('server', 'work', null, { idempotent: true });
    await until(() => !first, 'the call is served');
    const victim = a.stats().serving === 1 ? a : b;
    await victim.leave();
    expect(await call).toBe((victim === a ? b : a).instance);
    expect(client.stats().retries).toBe(1);
  });
});

describe('malformed input', () => {
  it('disturbs nobody else', async () => {
    const keyPrefix = prefix();
    const server = await joined({ service: 'server', keyPrefix });
    const client = await joined({ service: 'client', keyPrefix });
    server.handle('echo', (input) => input);
    const port = server.port ?? 0;
    for (let i = 0; i < 20; i++) {
      const socket = tcpConnect(port, '127.0.0.1');
      socket.on('error', () => {});
      const preface = i % 2 ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' : '';
      socket.write(
        Buffer.concat([Buffer.from(preface), Buffer.from(Array.from({ length: 400 }, () => Math.random() * 256))]),
      );
      expect(await client.call('server', 'echo', i)).toBe(i);
      socket.destroy();
    }
  });
});
