// JetStream against `js.publish` of nats.js with Promise.all over 500, and its ordered consumer, in one run on a server
// of its own. All with acknowledgements and message ids. `--quick` shortens it.

import { NetNode } from 'meshring';
import { connect } from 'nats';
import { texts } from './bus/events.mjs';
import { compare, end, flags, note, rounds, row, say } from './durable/report.mjs';
import { startNats } from './durable/server.mjs';

const SIZE = 112;
const SHARDS = 4;
const N = flags.quick ? 40_000 : 200_000;
const { port } = await startNats();
const client = await connect({ servers: `127.0.0.1:${port}` });
const jsm = await client.jetstreamManager();
const js = client.jetstream();
const list = texts(SIZE);
const buffers = list.map((text) => Buffer.from(text));
let run = 0;

async function streams(shards) {
  for await (const { config } of jsm.streams.list()) await jsm.streams.delete(config.name);
  run += 1;
  const prefix = `b${run}`;
  for (let shard = 0; shard < shards; shard++) {
    await jsm.streams.add({
      name: `${prefix}_shard_${shard}`,
      subjects: [`${prefix}.shard.${shard}`],
      allow_direct: true,
      duplicate_window: 3_600_000_000_000,
    });
  }
  return prefix;
}

async function check(prefix, shards, wanted) {
  let found = 0;
  for (let shard = 0; shard < shards; shard++)
    found += (await jsm.streams.info(`${prefix}_shard_${shard}`)).state.messages;
  if (found !== wanted) throw new Error(`${found} messages instead of ${wanted}`);
}

const open = (prefix, shards, more = {}) =>
  NetNode.create({ shards, transport: { type: 'jetstream', url: `nats://127.0.0.1:${port}`, prefix }, ...more });

async function ours(shards) {
  const prefix = await streams(shards);
  const node = await open(prefix, shards);
  const began = performance.now();
  for (let i = 0; i < N; i++) node.emitBuffer(buffers[i & 4095]);
  await node.flush();
  const rate = N / ((performance.now() - began) / 1000);
  await check(prefix, shards, N);
  await node.shutdown();
  return rate;
}

async function publish(shards) {
  const prefix = await streams(shards);
  const began = performance.now();
  for (let i = 0; i < N; i += 500) {
    const acks = [];
    for (let k = i; k < i + 500; k++) {
      const payload = Buffer.from(`{"r":${list[k & 4095]},"t":${k},"s":0}`);
      acks.push(js.publish(`${prefix}.shard.${k % shards}`, payload, { msgID: `a:0:0:${k}` }));
    }
    await Promise.all(acks);
  }
  const rate = N / ((performance.now() - began) / 1000);
  await check(prefix, shards, N);
  return rate;
}

say(
  `\nwriting ${N} events of ${SIZE} bytes with acknowledgements and message ids, file storage, ${rounds} rounds in turn`,
);
const writing = await compare({
  one: () => publish(1),
  ours1: () => ours(1),
  four: () => publish(SHARDS),
  ours4: () => ours(SHARDS),
});
row('js.publish × 500, 1 stream', writing.one);
row('ours, 1 shard', writing.ours1, { than: [writing.one, 'js.publish'], target: 3 });
row(`js.publish × 500, ${SHARDS} streams`, writing.four);
row(`ours, ${SHARDS} shards`, writing.ours4, { than: [writing.four, 'js.publish'], target: 3 });

const prefix = await streams(1);
const node = await open(prefix, 1);
for (let i = 0; i < N; i++) node.emitBuffer(buffers[i & 4095]);
await node.flush();

async function poll() {
  const began = performance.now();
  let cursor;
  let count = 0;
  for (;;) {
    const page = await node.poll({ limit: 1000, ...(cursor ? { cursor } : {}) });
    for (const { id, raw } of page.events) if (id && raw) count += 1;
    cursor = page.nextId;
    if (!page.hasMore) break;
  }
  if (count !== N) throw new Error(`${count} events instead of ${N}`);
  return N / ((performance.now() - began) / 1000);
}

async function consume() {
  const began = performance.now();
  const consumer = await js.consumers.get(`${prefix}_shard_0`);
  let count = 0;
  while (count < N) {
    for await (const message of await consumer.fetch({ max_messages: 1000, expires: 5000 })) {
      const record = message.string();
      if (message.seq && record.slice(5, record.lastIndexOf(',"t":'))) count += 1;
      if (count === N) break;
    }
  }
  return N / ((performance.now() - began) / 1000);
}

say(`\nreading ${N} events back in pages of 1000, sequence and text of each`);
const reading = await compare({ consume, poll });
row('nats.js ordered consumer, fetch', reading.consume);
row('ours', reading.poll, { than: [reading.consume, 'nats.js'] });
await node.shutdown();

say('\nflat cost, stream of at most 10000 messages a shard');
for (const n of flags.quick ? [100_000] : [100_000, 1_000_000]) {
  for await (const { config } of jsm.streams.list()) await jsm.streams.delete(config.name);
  const flat = await NetNode.create({
    shards: SHARDS,
    backpressure: 'drop_newest',
    bufferCapacity: 65_536,
    transport: { type: 'jetstream', url: `nats://127.0.0.1:${port}`, prefix: `f${n}`, maxMessages: 10_000 },
  });
  let peak = 0;
  const began = performance.now();
  for (let i = 0; i < n; i++) {
    while (!flat.emitBuffer(buffers[i & 4095])) await new Promise((resolve) => setImmediate(resolve));
    if (i % 20_000 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  }
  await flat.flush();
  const rate = n / ((performance.now() - began) / 1000);
  note(`${n} events`, Math.round(rate / 1000), 'k events/s', `peak memory ${Math.round(peak / 2 ** 20)} MiB`);
  await flat.shutdown();
}
await client.close();
end();
process.exit(0);
