// Mesh: events of 112 bytes between two processes over loopback. In the same run: the published peer (Python binding, when
// it is installed) at the other end and at both ends, ZeroMQ over TCP (when it is installed); one-way latency of a lone
// event; cost per event over 10^5 to 10^7 events and 1 to 1,000 streams. `--quick` shortens it, `--json` prints JSON.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NetMesh } from 'meshring/core';
import { published } from './mesh/published.mjs';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const RUNS = flags.quick ? 3 : 5;
const TOTAL = flags.quick ? 200_000 : 1_000_000;
/** Window between nodes of ours; toward the published peer what its socket buffer surely holds. */
const WINDOW = 4 << 20;
const SMALL_WINDOW = 65_536;

const now = () => Number(process.hrtime.bigint());
const digits = (value) => (typeof value === 'number' ? Number(value.toPrecision(3)) : value);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const events = Array.from({ length: 4096 }, (_, n) => Buffer.from(`{"n":${n}}`.padEnd(112)));

const child = fork(fileURLToPath(new URL('mesh/receiver.mjs', import.meta.url)));
const inbox = [];
let waiting;
child.on('message', (message) => (waiting ? waiting(message) : inbox.push(message)));
const next = async () =>
  inbox.shift() ??
  (await new Promise((resolve) => {
    waiting = resolve;
  }).finally(() => {
    waiting = undefined;
  }));
const begin = async (count, latency = false) => {
  child.send({ count, latency });
  await next();
};

const other = await next();
const otherId = BigInt(other.id);
const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) });
await node.start();
await node.connect(other.address, other.key, otherId);
const zmq = other.tcp ? await import('zeromq') : undefined;
const rows = [];
const latencies = [];
const flat = [];

/** Sends without losing anything to back-pressure, giving way to other work while there is no credit. */
async function push(stream, list) {
  for (;;) {
    try {
      await node.sendOnStream(stream, list);
      return;
    } catch (error) {
      if (error.kind !== 'backpressure') throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function send(streams, count, batch) {
  for (let n = 0; n < count; n += batch) {
    const at = n % 4000;
    await push(streams[(n / batch) % streams.length], events.slice(at, at + batch));
  }
}

const open = (peer, ids, windowBytes) =>
  ids.map((streamId) => node.openStream(peer, { streamId, reliability: 'reliable', windowBytes }));
let lastStream = 100n;
const fresh = (count = 1) => Array.from({ length: count }, () => (lastStream += 4n));

/** Runs a row: each run resolves with the nanoseconds it took and the events that arrived. */
async function row(name, batch, run) {
  const [rates, shares] = [[], []];
  for (let n = 0; n < RUNS; n += 1) {
    const { nanos, got, count } = await run();
    rates.push((got * 1e3) / nanos);
    shares.push(got / count);
  }
  rows.push({ name, batch, 'M events/s': median(rates), min: Math.min(...rates), max: Math.max(...rates) });
  const worst = Math.min(...shares);
  if (worst < 1) rows.at(-1)['arrived at least'] = worst;
}

async function toOurs(streams, count, batch) {
  await begin(count);
  const start = now();
  await send(streams, count, batch);
  const { done } = await next();
  return { nanos: done - start, got: count, count };
}

/** Delays of lone events in µs. */
function note(name, delays) {
  const sorted = delays.sort((a, b) => a - b);
  const at = (share) => digits((sorted[Math.floor(sorted.length * share)] ?? Number.NaN) / 1000);
  latencies.push({ name, p50: at(0.5), p90: at(0.9), p99: at(0.99) });
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 1));
const LONE = flags.quick ? 500 : 3000;

async function lone(name, give) {
  await begin(LONE, true);
  for (let n = 0; n < LONE; n += 1) {
    const event = Buffer.alloc(112);
    event.writeBigUInt64LE(process.hrtime.bigint());
    await give(event);
    await pause();
  }
  note(name, (await next()).delays);
}

for (const batch of [100, 10, 1]) {
  const streams = open(otherId, fresh(), WINDOW);
  await row('ours → ours', batch, () => toOurs(streams, batch === 1 ? TOTAL / 10 : TOTAL, batch));
}
const [stream] = open(otherId, fresh(), SMALL_WINDOW);
await lone('ours → ours', (event) => node.sendOnStream(stream, [event]));

if (zmq) {
  const socket = new zmq.Push({ sendHighWaterMark: 100_000 });
  socket.connect(other.tcp);
  const count = TOTAL / 10;
  await row('zeromq.js over TCP', 1, async () => {
    await begin(count);
    const start = now();
    for (let n = 0; n < count; n += 1) await socket.send(events[n % 4000]);
    const { done } = await next();
    return { nanos: done - start, got: count, count };
  });
  await lone('zeromq.js over TCP', (event) => socket.send(event));
  socket.close();
}

// Events and streams: what one event costs.
for (const count of flags.quick ? [1e5, 1e6] : [1e5, 1e6, 1e7]) {
  const streams = open(otherId, fresh(), WINDOW);
  const runs = [];
  for (let n = 0; n < (count > 1e6 ? 1 : 3); n += 1) runs.push((await toOurs(streams, count, 100)).nanos / count);
  flat.push({ events: count, streams: 1, 'ns/event': median(runs) });
}
for (const count of [1, 10, 100, 1000]) {
  const streams = open(otherId, fresh(count), Math.max(SMALL_WINDOW, Math.floor(WINDOW / count)));
  const runs = [];
  for (let n = 0; n < 3; n += 1) runs.push((await toOurs(streams, TOTAL, 100)).nanos / TOTAL);
  flat.push({ events: TOTAL, streams: count, 'ns/event': median(runs) });
}

const [theirs, second] = [await published(), await published()];
if (theirs && second) {
  const accepted = theirs.call('accept', second.id);
  await second.call('connect', theirs.address, theirs.key, theirs.id);
  await accepted;
  await Promise.all([theirs.call('start'), second.call('start')]);
  const theirId = BigInt(theirs.id);
  await node.connect(theirs.address, theirs.key, theirId);
  let taken = 0;
  let last = 0;
  node.onEvents((list) => {
    taken += list.length;
    last = now();
  });
  const quiet = async (count) => {
    for (;;) {
      const before = taken;
      if (before >= count) return;
      for (let n = 0; n < 100 && taken === before; n += 1) await new Promise((resolve) => setTimeout(resolve, 10));
      if (taken === before) return;
    }
  };
  for (const batch of [100, 10]) {
    const count = TOTAL / 4;
    const streams = open(theirId, fresh(), SMALL_WINDOW);
    await row('ours → published', batch, async () => {
      const receiving = theirs.call('receive', count, false);
      const start = now();
      await send(streams, count, batch);
      const { done, got } = await receiving;
      return { nanos: done - start, got, count };
    });
    const back = Number(fresh()[0]);
    await row('published → ours', batch, async () => {
      taken = 0;
      const { begun } = await theirs.call('send', `${node.nodeId()}`, back, count, batch, SMALL_WINDOW);
      await quiet(count);
      return { nanos: last - begun, got: taken, count };
    });
    const between = Number(fresh()[0]);
    await row('published → published', batch, async () => {
      const receiving = theirs.call('receive', count, false);
      const { begun } = await second.call('send', theirs.id, between, count, batch, SMALL_WINDOW);
      const { done, got } = await receiving;
      return { nanos: done - begun, got, count };
    });
  }
  const receiving = theirs.call('receive', LONE, true);
  await second.call('lone', theirs.id, Number(fresh()[0]), LONE);
  note('published → published (busy poll)', (await receiving).delays);
}
theirs?.end();
second?.end();
child.kill();
await node.shutdown({ drainMs: 0 });

const ours = new Map(rows.filter(({ name }) => name === 'ours → ours').map((one) => [one.batch, one['M events/s']]));
for (const one of rows) {
  if (one.name !== 'ours → ours') one['ours → ours ÷ this'] = ours.get(one.batch) / one['M events/s'];
}
if (flags.json) {
  console.log(JSON.stringify({ rows, latencyMicros: latencies, flat }));
} else {
  const shown = (list) => list.map((one) => Object.fromEntries(Object.entries(one).map(([k, v]) => [k, digits(v)])));
  console.table(shown(rows));
  console.log('one-way latency of a lone event, µs');
  console.table(latencies);
  console.log('cost of an event, batches of 100');
  console.table(shown(flat));
  if (!theirs) console.log('(the published peer is not installed in .cache/venv: no comparison with it)');
  if (!zmq) console.log('(zeromq is not installed: no comparison with it)');
}
