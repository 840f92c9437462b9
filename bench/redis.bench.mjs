// Redis Streams against an ioredis pipeline of XADDs, ioredis XRANGE, and the published bus's own Redis adapter, in one
// run on a server of its own. Rates of writing count to the last entry in the server. `--quick` shortens it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Redis from 'ioredis';
import { NetNode } from 'meshring';
import { texts } from './bus/events.mjs';
import { compare, end, flags, note, rounds, row, say } from './durable/report.mjs';
import { startRedis } from './durable/server.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const python = join(here, '..', '.cache', 'venv', 'bin', 'python');
const SIZE = 112;
const SHARDS = 4;
const N = flags.quick ? 100_000 : 400_000;
const { port } = await startRedis();
const client = new Redis(port, '127.0.0.1');
const list = texts(SIZE);
const buffers = list.map((text) => Buffer.from(text));
const folder = mkdtempSync(join(tmpdir(), 'meshring-bench-'));
writeFileSync(join(folder, 'events'), list.join('\n'));
let run = 0;

async function empty() {
  run += 1;
  await client.flushall();
  return `b${run}`;
}

async function stored(prefix) {
  const lengths = await Promise.all(
    Array.from({ length: SHARDS }, (_, shard) => client.xlen(`${prefix}:shard:${shard}`)),
  );
  return lengths.reduce((sum, length) => sum + length, 0);
}

function check(found, wanted) {
  if (found !== wanted) throw new Error(`${found} events instead of ${wanted}`);
}

async function ours(options, n = N) {
  const prefix = await empty();
  const node = await NetNode.create({
    shards: SHARDS,
    transport: { type: 'redis', url: `redis://127.0.0.1:${port}`, prefix, ...options },
  });
  const began = performance.now();
  for (let i = 0; i < n; i++) node.emitBuffer(buffers[i & 4095]);
  await node.flush();
  const rate = n / ((performance.now() - began) / 1000);
  check(await stored(prefix), n);
  await node.shutdown();
  return rate;
}

/** The usual way: pipelines of 500 XADDs, awaited one after the other. */
async function pipeline() {
  const prefix = await empty();
  const began = performance.now();
  for (let i = 0; i < N; i += 500) {
    const batch = client.pipeline();
    for (let k = i; k < i + 500; k++) {
      batch.xadd(
        `${prefix}:shard:${k % SHARDS}`,
        '*',
        'd',
        `{"r":${list[k & 4095]},"t":${k},"s":0}`,
        'dedup_id',
        `a:0:0:${k}`,
      );
    }
    await batch.exec();
  }
  const rate = N / ((performance.now() - began) / 1000);
  check(await stored(prefix), N);
  return rate;
}

async function peer() {
  const prefix = await empty();
  const args = [join(here, 'durable', 'peer.py'), port, prefix, SHARDS, N, join(folder, 'events')].map(String);
  const done = spawnSync(python, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const { rate, stored: found } = JSON.parse(done.stdout.trim().split('\n').at(-1));
  check(found, N);
  return rate;
}

say(
  `\nwriting ${N} events of ${SIZE} bytes, ${SHARDS} shards, to the last entry in the server, ${rounds} rounds in turn`,
);
const writing = await compare({
  pipeline,
  once: () => ours({}),
  plain: () => ours({ exactlyOnce: false }),
  ...(existsSync(python) ? { peer } : {}),
});
row('ioredis, pipelines of 500 XADDs', writing.pipeline);
if (writing.peer) row('published bus, its Redis adapter', writing.peer, { than: [writing.pipeline, 'ioredis'] });
row('ours, exactly once', writing.once, { than: [writing.pipeline, 'ioredis'], target: 2.2 });
if (writing.peer) row('ours, exactly once', writing.once, { than: [writing.peer, 'published bus'], target: 1 });
row('ours, exactlyOnce: false', writing.plain, { than: [writing.pipeline, 'ioredis'] });

// Reading: one stream, pages of 1000.
const prefix = await empty();
const writer = await NetNode.create({
  shards: 1,
  transport: { type: 'redis', url: `redis://127.0.0.1:${port}`, prefix },
});
for (let i = 0; i < N; i++) writer.emitBuffer(buffers[i & 4095]);
await writer.flush();

async function poll(filter) {
  const began = performance.now();
  let cursor;
  let count = 0;
  for (;;) {
    const page = await writer.poll({ limit: 1000, ...(cursor ? { cursor } : {}), ...(filter ? { filter } : {}) });
    for (const { id, raw } of page.events) if (id && raw) count += 1;
    cursor = page.nextId;
    if (!page.hasMore) break;
  }
  if (!filter) check(count, N);
  return N / ((performance.now() - began) / 1000);
}

async function xrange() {
  const began = performance.now();
  let start = '-';
  let count = 0;
  for (;;) {
    const entries = await client.xrange(`${prefix}:shard:0`, start, '+', 'COUNT', 1000);
    for (const [id, fields] of entries) {
      // The event stands in a record; a reader has to take it out.
      const record = fields[1];
      if (id && record.slice(5, record.lastIndexOf(',"t":'))) count += 1;
    }
    if (entries.length < 1000) break;
    start = `(${entries.at(-1)[0]}`;
  }
  check(count, N);
  return N / ((performance.now() - began) / 1000);
}

say(`\nreading ${N} events back in pages of 1000, id and text of each`);
const reading = await compare({
  xrange,
  ours: () => poll(),
  few: () => poll('{"path":"sensor","value":"s7"}'),
});
row('ioredis XRANGE', reading.xrange);
row('ours', reading.ours, { than: [reading.xrange, 'ioredis'], target: 1.5 });
row('ours, a filter that takes 1 in 64', reading.few, { than: [reading.xrange, 'ioredis without a filter'] });
await writer.shutdown();

say('\nflat cost, trimmed stream (maxStreamLen 10000 a shard)');
const sizes = flags.quick ? [100_000, 1_000_000] : [100_000, 1_000_000, 10_000_000];
for (const n of sizes) {
  const before = await empty();
  const node = await NetNode.create({
    shards: SHARDS,
    backpressure: 'drop_newest',
    bufferCapacity: 65_536,
    transport: { type: 'redis', url: `redis://127.0.0.1:${port}`, prefix: before, maxStreamLen: 10_000 },
  });
  globalThis.gc?.();
  let peak = 0;
  const began = performance.now();
  for (let i = 0; i < n; i++) {
    while (!node.emitBuffer(buffers[i & 4095])) await new Promise((resolve) => setImmediate(resolve));
    if (i % 50_000 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  }
  await node.flush();
  const rate = n / ((performance.now() - began) / 1000);
  note(`${n} events`, Math.round(rate / 1000), 'k events/s', `peak memory ${Math.round(peak / 2 ** 20)} MiB`);
  check(Number(node.stats().eventsDispatched), n);
  await node.shutdown();
}
await client.quit();
rmSync(folder, { recursive: true, force: true });
end();
process.exit(0);
