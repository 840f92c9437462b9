import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisTransport, redisSettings, redisTarget } from '../../src/bus/redis/index.js';
import type { RedisOptions } from '../../src/types.js';
import { batch, deliver, numbered, readAll, started, uniquePrefix } from './batches.js';
import { FaultyProxy, noRedis, redisCli, startRedis, type TestServer, until } from './servers.js';

const vector = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));

describe('options of the Redis transport', () => {
  const base = { url: 'redis://127.0.0.1:6379' };
  const said = (options: RedisOptions) => {
    try {
      redisSettings(options);
      return 'accepted';
    } catch (error) {
      return (error as Error).message.replace(/^Invalid configuration: invalid configuration: redis adapter: /, '');
    }
  };

  it('refuses what the published package refuses, with its words', () => {
    for (const { config, message } of vector('bus-config-errors').cases) {
      if (config.transport?.type !== 'redis') continue;
      expect(() => redisSettings(config.transport)).toThrow(message);
    }
  });

  it('cuts fractions off and refuses what is no size', () => {
    expect(redisSettings({ ...base, pipelineSize: 1.9 }).pipelineSize).toBe(1);
    expect(said({ ...base, pipelineSize: -1 })).toContain('redis pipeline_size must be >= 1, got -1');
    expect(said({ ...base, maxStreamLen: Number.NaN })).toContain('redis max_stream_len must be >= 1');
  });

  it('reads URLs, and never repeats them in an error', () => {
    expect(redisTarget('redis://u:p%40s@[::1]:7000/3')).toMatchObject({
      host: '::1',
      port: 7000,
      username: 'u',
      password: 'p@s',
      database: 3,
      tls: undefined,
    });
    expect(redisTarget('rediss://h')).toMatchObject({ host: 'h', port: 6379, tls: { verify: true } });
    expect(redisTarget('unix:///tmp/redis.sock?db=2')).toMatchObject({ host: '/tmp/redis.sock', port: undefined });
    for (const url of ['nonsense', 'http://secret@h', 'redis://', 'redis://h/x', 'redis://:secret@h:99999']) {
      expect(() => redisTarget(url)).toThrow('connection error: Redis URL did not parse - InvalidClientConfig');
    }
  });
});

describe.skipIf(noRedis)(`Redis Streams${noRedis ? ` (${noRedis})` : ''}`, () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  const open: RedisTransport[] = [];
  afterAll(() => Promise.all(open.map((transport) => transport.shutdown())));
  async function transport(options: Partial<RedisOptions> = {}, warnings: string[] = [], shards = 2) {
    const made = new RedisTransport({ url: `redis://127.0.0.1:${server.port}`, prefix: uniquePrefix(), ...options });
    open.push(made);
    return started(made, shards, warnings);
  }
  const xrange = (key: string): string[] => redisCli(server, 'XRANGE', key, '-', '+').split('\n');

  it('writes the fields that the published package writes', async () => {
    const { receipts, streams } = vector('bus-redis-producer');
    for (const exactlyOnce of [true, false]) {
      const prefix = uniquePrefix();
      const redis = await transport({ prefix, exactlyOnce });
      for (const shard of [0, 1]) {
        const events = receipts.filter((receipt: { shardId: number }) => receipt.shardId === shard);
        const texts = events.map(({ raw }: { raw: string }) => raw);
        const timestamps = events.map(({ timestamp }: { timestamp: number }) => timestamp);
        await redis.onBatch(batch(shard, 0, texts, { nonce: 0x3a27ce4b3bddd4een, timestamps }));
        const lines = xrange(`${prefix}:shard:${shard}`).filter((_, i) => i % 5 !== 0);
        expect(lines).toEqual(streams[shard].flat());
      }
    }
  });

  it('reads what others wrote, and skips what is not readable', async () => {
    const { cases } = vector('bus-redis-entries');
    const prefix = uniquePrefix();
    const warnings: string[] = [];
    const redis = await transport({ prefix }, warnings);
    const ids = cases.map(({ fields }: { fields: string[] }) =>
      redisCli(server, 'XADD', `${prefix}:shard:0`, '*', ...fields),
    );
    const page = await redis.pollShard(0, undefined, 100);
    const readable = cases
      .map(({ result }: { result: unknown }, i: number) => ({ result, id: ids[i] }))
      .filter(({ result }: { result: unknown }) => result !== null);
    expect(page.events.map(({ id, raw, ts }) => ({ id, raw: String(raw), ts: Number(ts) }))).toEqual(
      readable.map(({ id, result }: { id: string; result: { raw: string; insertionTs: number } }) => ({
        id,
        raw: result.raw,
        ts: result.insertionTs,
      })),
    );
    expect(page.nextId).toBe(ids.at(-1));
    expect(warnings[0]).toMatch(/shard 0: entry .* is not readable/);
    // A page of nothing but unreadable entries moves on too.
    const bad = await redis.pollShard(0, ids[cases.findIndex((c: { name: string }) => c.name === 'r null')], 2);
    expect(bad).toEqual({
      events: [],
      nextId: ids[cases.findIndex((c: { name: string }) => c.name === 'r twice')],
      hasMore: true,
    });
  });

  it('gives any bytes back as they were', async () => {
    const redis = await transport();
    const events = [
      'not json',
      '',
      ' {"a":1}\n',
      '1,"t":5',
      '{"$bytes":"aGk="}',
      '"é\\ud800"',
      Buffer.from([0xff, 0, 10]),
    ];
    await redis.onBatch(batch(0, 0, events));
    const { events: read } = await redis.pollShard(0, undefined, 10);
    expect(read.map(({ raw }) => Buffer.from(raw))).toEqual(events.map((event) => Buffer.from(event)));
  });

  it('pages with exclusive starts, whatever the page size', async () => {
    const redis = await transport();
    await redis.onBatch(batch(0, 0, numbered(0, 2500)));
    for (const page of [1, 7, 1000, 1001, 5000]) {
      if (page === 1) {
        const first = await redis.pollShard(0, undefined, 1);
        expect(first.hasMore).toBe(true);
        continue;
      }
      expect(await readAll(redis, 0, page)).toEqual(numbered(0, 2500));
    }
    const end = await redis.pollShard(0, '99999999999999-0', 5);
    expect(end).toEqual({ events: [], nextId: undefined, hasMore: false });
  });

  it('appends nothing twice: a retried batch, a racing one, one of a producer that comes back', async () => {
    const prefix = uniquePrefix();
    const redis = await transport({ prefix, pipelineSize: 100 });
    const first = batch(0, 0, numbered(0, 450));
    await redis.onBatch(first);
    await redis.onBatch({ ...first });
    const other = await transport({ prefix, pipelineSize: 70 });
    await Promise.all([other.onBatch(first), other.onBatch(batch(0, 450, numbered(450, 900))), redis.onBatch(first)]);
    await (await transport({ prefix })).onBatch(batch(0, 450, numbered(450, 900)));
    expect(await readAll(redis, 0)).toEqual(numbered(0, 900));
    // Another producer counts for itself.
    await redis.onBatch(batch(0, 0, numbered(0, 3), { nonce: 7n }));
    expect(redisCli(server, 'XLEN', `${prefix}:shard:0`)).toBe('903');
    expect(redisCli(server, 'GET', `{${prefix}:shard:0}:seq:abc`)).toBe('900');
    expect(Number(redisCli(server, 'TTL', `{${prefix}:shard:0}:seq:abc`))).toBeGreaterThan(3000);
  });

  it('leaves the fast way when somebody else moves the sequence key', async () => {
    const prefix = uniquePrefix();
    const redis = await transport({ prefix, pipelineSize: 10 });
    await redis.onBatch(batch(0, 0, numbered(0, 10)));
    const transactions = () =>
      Number(/cmdstat_exec:calls=(\d+)/.exec(redisCli(server, 'INFO', 'commandstats'))?.[1] ?? 0);
    const before = transactions();
    await redis.onBatch(batch(0, 10, numbered(10, 100)));
    expect(transactions() - before).toBe(9);
    // Another attempt of the same producer has already appended a part of the next batch.
    await (await transport({ prefix })).onBatch(batch(0, 100, numbered(100, 125)));
    await redis.onBatch(batch(0, 100, numbered(100, 200)));
    // The key expires, or is lost.
    redisCli(server, 'DEL', `{${prefix}:shard:0}:seq:abc`);
    await redis.onBatch(batch(0, 200, numbered(200, 300)));
    expect(await readAll(redis, 0)).toEqual(numbered(0, 300));
  });

  it('voids an attempt that the server gets to after the retry', async () => {
    const prefix = uniquePrefix();
    const late = await transport({ prefix });
    await late.onBatch(batch(0, 0, numbered(0, 10)));
    // The server stops reading; the attempt lies in its socket while the retry of another connection is done first.
    const paused = late.onBatch(batch(0, 10, numbered(10, 500)));
    const retry = (await transport({ prefix })).onBatch(batch(0, 10, numbered(10, 500)));
    await Promise.all([paused, retry]);
    expect(await readAll(late, 0)).toEqual(numbered(0, 500));
  });

  it('appends the rest of a batch whose beginning is there', async () => {
    const prefix = uniquePrefix();
    await (await transport({ prefix })).onBatch(batch(0, 0, numbered(0, 30)));
    await (await transport({ prefix })).onBatch(batch(0, 0, numbered(0, 100)));
    expect(await readAll(await transport({ prefix }), 0)).toEqual(numbered(0, 100));
  });

  it('survives the loss of the server-side script and of the sequence key', async () => {
    const prefix = uniquePrefix();
    const redis = await transport({ prefix, pipelineSize: 10 });
    await redis.onBatch(batch(0, 0, numbered(0, 50)));
    redisCli(server, 'SCRIPT', 'FLUSH');
    await redis.onBatch(batch(0, 50, numbered(50, 100)));
    redisCli(server, 'DEL', `{${prefix}:shard:0}:seq:abc`);
    await redis.onBatch(batch(0, 100, numbered(100, 150)));
    expect(await readAll(redis, 0)).toEqual(numbered(0, 150));
  });

  it('keeps the two keys in one slot when the prefix has a hash tag', async () => {
    const prefix = `{${uniquePrefix()}}`;
    const redis = await transport({ prefix });
    await redis.onBatch(batch(0, 0, ['1']));
    expect(redisCli(server, 'EXISTS', `${prefix}:shard:0:seq:abc`)).toBe('1');
  });

  it('speaks MULTI, XADD, EXEC on the wire with exactlyOnce: false, and trims when asked', async () => {
    let sent = '';
    const proxy = await FaultyProxy.start(server.port, { record: (chunk) => (sent += chunk.toString('latin1')) });
    const prefix = uniquePrefix();
    const options = { url: `redis://127.0.0.1:${proxy.port}`, prefix, exactlyOnce: false, maxStreamLen: 500 };
    const redis = await transport({ ...options, pipelineSize: 2 });
    sent = '';
    await redis.onBatch(batch(1, 40, ['{"a":1}', '2', '3'], { nonce: 0x29a7ab1377585449n }));
    const words = sent.split('\r\n').filter((line) => line !== '' && !/^[$*]\d+$/.test(line));
    const xadd = (raw: string, i: number) =>
      ['XADD', `${prefix}:shard:1`, 'MAXLEN', '~', '500', '*', 'd', `{"r":${raw},"t":${i},"s":1}`, 'dedup_id'].concat(
        `29a7ab1377585449:1:40:${i}`,
      );
    // The writing connection pings once when it opens.
    expect(words.slice(words.indexOf('MULTI'))).toEqual([
      'MULTI',
      ...xadd('{"a":1}', 0),
      ...xadd('2', 1),
      'EXEC',
      'MULTI',
      ...xadd('3', 2),
      'EXEC',
    ]);
    expect(redis.stats()).toEqual({ exactlyOnce: false });
    const trimmed = await transport({ prefix: `${prefix}t`, maxStreamLen: 100 });
    await trimmed.onBatch(batch(0, 0, numbered(0, 5000)));
    expect(Number(redisCli(server, 'XLEN', `${prefix}t:shard:0`))).toBeLessThan(300);
    expect((await trimmed.pollShard(0, undefined, 5)).events).toHaveLength(5);
    await proxy.stop();
  });

  it('falls back to transactions where an ACL forbids scripts, and says so once', async () => {
    const prefix = uniquePrefix();
    redisCli(server, 'ACL', 'SETUSER', 'noscripts', 'on', '>pw', '~*', '+@all', '-@scripting');
    const warnings: string[] = [];
    const redis = await transport({ url: `redis://noscripts:pw@127.0.0.1:${server.port}`, prefix }, warnings);
    expect(redis.stats().exactlyOnce).toBe(true);
    await redis.onBatch(batch(0, 0, numbered(0, 10)));
    await redis.onBatch(batch(0, 10, numbered(10, 20)));
    expect(await readAll(redis, 0)).toEqual(numbered(0, 20));
    expect(warnings).toEqual(['redis: scripts are not allowed; duplicates after a retry carry the same dedup_id']);
    expect(redis.stats().exactlyOnce).toBe(false);
  });

  it('needs no more than the permissions of the guide', async () => {
    const guide = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8');
    const rule = /^ACL SETUSER app (.*)$/m.exec(guide)?.[1] ?? '';
    const prefix = uniquePrefix();
    redisCli(server, 'ACL', 'SETUSER', 'app', ...rule.replaceAll('net:', `${prefix}:`).split(' '));
    const warnings: string[] = [];
    const redis = await transport({ url: `redis://app:secret@127.0.0.1:${server.port}`, prefix }, warnings);
    for (let start = 0; start < 40; start += 10) await redis.onBatch(batch(0, start, numbered(start, start + 10)));
    await redis.waitForData(new Map([[0, undefined]]), new AbortController().signal);
    expect(await readAll(redis, 0)).toEqual(numbered(0, 40));
    expect([warnings, redis.stats().exactlyOnce]).toEqual([[], true]);
    const log = redisCli(server, 'ACL', 'LOG');
    expect(log).not.toContain('username\napp\n');
  });

  it('gives a batch up at a key of the wrong type, for good', async () => {
    for (const exactlyOnce of [true, false]) {
      const prefix = uniquePrefix();
      redisCli(server, 'SET', `${prefix}:shard:0`, 'x');
      const redis = await transport({ prefix, exactlyOnce });
      const failure = redis.onBatch(batch(0, 0, ['1']));
      await expect(failure).rejects.toMatchObject({ kind: 'fatal', stored: 0 });
      await expect(redis.onBatch(batch(0, 0, ['1']))).rejects.toThrow(/fatal error: WRONGTYPE/);
      await expect(redis.pollShard(0, undefined, 1)).rejects.toThrow(/fatal error: WRONGTYPE/);
      await redis.onBatch(batch(1, 0, ['1']));
    }
  });

  it('waits for memory, and goes on where it stopped', async () => {
    for (const exactlyOnce of [true, false]) {
      const prefix = uniquePrefix();
      const redis = await transport({ prefix, exactlyOnce, pipelineSize: 10 });
      await redis.onBatch(batch(0, 0, numbered(0, 25)));
      redisCli(server, 'CONFIG', 'SET', 'maxmemory', '1');
      const next = batch(0, 25, numbered(25, 60));
      await expect(redis.onBatch(next)).rejects.toMatchObject({ kind: 'transient', stored: 0 });
      await expect(redis.onBatch(next)).rejects.toThrow(/transient error: OOM/);
      redisCli(server, 'CONFIG', 'SET', 'maxmemory', '0');
      await redis.onBatch(next);
      expect(await readAll(redis, 0)).toEqual(numbered(0, 60));
    }
  });

  it('waits for a replica to become a primary', async () => {
    const replica = await startRedis(['--replicaof', '127.0.0.1', String(server.port)]);
    const redis = await transport({ url: `redis://127.0.0.1:${replica.port}` });
    const sent = batch(0, 0, numbered(0, 10));
    await expect(redis.onBatch(sent)).rejects.toMatchObject({ kind: 'transient' });
    redisCli(replica, 'REPLICAOF', 'NO', 'ONE');
    await redis.onBatch(sent);
    expect(await readAll(redis, 0)).toEqual(numbered(0, 10));
    await replica.stop();
  });

  it('rides out a paused server: nothing missing, nothing twice', async () => {
    const prefix = uniquePrefix();
    const redis = await transport({ prefix, commandTimeoutMs: 100 });
    await redis.onBatch(batch(0, 0, numbered(0, 10)));
    redisCli(server, 'CLIENT', 'PAUSE', '700', 'ALL');
    await expect(redis.onBatch(batch(0, 10, numbered(10, 2000)))).rejects.toThrow(
      'transient error: Redis command timeout',
    );
    expect(await deliver(redis, batch(0, 10, numbered(10, 2000)))).toBeGreaterThan(1);
    expect(await readAll(redis, 0)).toEqual(numbered(0, 2000));
  });

  it('opens a killed connection anew', async () => {
    const redis = await transport();
    await redis.onBatch(batch(0, 0, numbered(0, 10)));
    for (let round = 1; round <= 5; round++) {
      redisCli(server, 'CLIENT', 'KILL', 'TYPE', 'normal');
      await deliver(redis, batch(0, round * 10, numbered(round * 10, round * 10 + 10)));
    }
    await until('reading again', () => redis.pollShard(0, undefined, 1).catch(() => false));
    expect(await readAll(redis, 0)).toEqual(numbered(0, 60));
    expect(redis.healthy()).toBe(true);
  });

  it('wakes a waiting reader on arrival, from any producer, and lets it go when told', async () => {
    const prefix = uniquePrefix();
    const redis = await transport({ prefix });
    const writer = await transport({ prefix });
    await writer.onBatch(batch(0, 0, ['1']));
    const { nextId } = await redis.pollShard(0, undefined, 10);
    // Something is there already.
    await redis.waitForData(new Map([[0, undefined]]), new AbortController().signal);
    const arrival = redis.waitForData(
      new Map([
        [0, nextId],
        [1, undefined],
      ]),
      new AbortController().signal,
    );
    await until('a blocked client', () => redisCli(server, 'INFO', 'clients').includes('blocked_clients:1'));
    await writer.onBatch(batch(1, 0, ['2']));
    await arrival;
    const stop = new AbortController();
    const idle = redis.waitForData(new Map([[0, nextId]]), stop.signal);
    await until('a blocked client', () => redisCli(server, 'INFO', 'clients').includes('blocked_clients:1'));
    stop.abort();
    await idle;
    const end = redis.waitForData(new Map([[0, nextId]]), new AbortController().signal);
    await redis.shutdown();
    await end;
  });

  it('says at the start what is wrong with a server, without the password', async () => {
    const fails = async (url: string, options: Partial<RedisOptions> = {}) => {
      const made = new RedisTransport({ url, ...options });
      const error = await started(made).then(
        () => new Error('no failure'),
        (caught: Error) => caught,
      );
      await made.shutdown();
      return error.message;
    };
    expect(await fails('redis://127.0.0.1:1')).toBe('connection error: connect ECONNREFUSED 127.0.0.1:1');
    const wrong = await fails(`redis://nobody:hunter2@127.0.0.1:${server.port}`);
    expect(wrong).toMatch(/^connection error: WRONGPASS/);
    expect(wrong).not.toContain('hunter2');
    expect(await fails(`redis://127.0.0.1:${server.port}/99`)).toMatch(/^connection error: ERR DB index/);
    expect(await fails(`rediss://127.0.0.1:${server.port}`, { connectTimeoutMs: 500 })).toMatch(/^connection error: /);
    const silent = await FaultyProxy.start(server.port, { delayMs: () => 60_000 });
    const options = { connectTimeoutMs: 200, commandTimeoutMs: 200 };
    expect(await fails(`redis://127.0.0.1:${silent.port}`, options)).toBe('connection error: Redis command timeout');
    await silent.stop();
  });

  it('answers "shut down" when it is', async () => {
    const redis = await transport();
    await redis.shutdown();
    await redis.shutdown();
    await expect(redis.onBatch(batch(0, 0, ['1']))).rejects.toThrow('adapter is shut down');
    await expect(redis.pollShard(0, undefined, 1)).rejects.toThrow('adapter is shut down');
    expect(redis.healthy()).toBe(false);
  });

  it('knows its positions', () => {
    const redis = new RedisTransport({ url: 'redis://h' });
    expect(redis.checkId('1795259048676-2')).toBeUndefined();
    for (const id of ['5', 'abc', '1-', '-1-2', '1-2-3', '18446744073709551616-0']) {
      expect(redis.checkId(id)).toBe(`position "${id}" is not a Redis stream id (<ms>-<seq>)`);
    }
  });
});
