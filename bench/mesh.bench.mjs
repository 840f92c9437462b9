// Mesh: events between two Node processes over loopback UDP, against ZeroMQ over TCP (when it is installed) in the same run.
// Batches of 100, 10 and 1 on a reliable stream, and the one-way latency of a lone event. `--quick` shortens it, `--json` prints JSON.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NetMesh } from 'meshring/core';

const PSK = '42'.repeat(32);
const WINDOW = 4 << 20;
const now = () => Number(process.hrtime.bigint());

if (process.argv[2] === 'receiver') {
  await receive();
} else {
  await main();
}

/** The other process: counts what arrives and answers with the time when the last of a round came. */
async function receive() {
  const zmq = await import('zeromq').catch(() => undefined);
  const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK });
  await node.start();
  const pull = zmq ? new zmq.Pull({ receiveHighWaterMark: 100_000 }) : undefined;
  if (pull) await pull.bind('tcp://127.0.0.1:*');
  let round = { count: 0, latency: false };
  let got = 0;
  let delays = [];
  const take = (bytes) => {
    got += 1;
    if (round.latency) delays.push(now() - Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)));
    if (got === round.count) {
      process.send({ done: now(), delays });
      got = 0;
      delays = [];
    }
  };
  process.on('message', (message) => {
    round = message;
    process.send({ ready: true });
  });
  process.send({
    id: `${node.nodeId()}`,
    key: node.publicKey(),
    address: node.localAddress(),
    tcp: pull?.lastEndpoint,
  });
  if (pull)
    (async () => {
      for await (const [bytes] of pull) take(bytes);
    })();
  node.onEvents((events) => {
    for (const event of events) take(event.bytes);
  });
}

async function main() {
  const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
  const zmq = await import('zeromq').catch(() => undefined);
  const child = fork(fileURLToPath(import.meta.url), ['receiver']);
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
  const begin = async (round) => {
    child.send(round);
    await next();
  };
  const other = await next();
  const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK });
  await node.start();
  await node.connect(other.address, other.key, BigInt(other.id));
  const events = Array.from({ length: 4096 }, (_, n) => Buffer.from(`{"n":${n}}`.padEnd(112)));
  const rows = [];
  let streamId = 100n;

  const rate = async (name, count, batch, send) => {
    const rates = [];
    for (let run = 0; run < (flags.quick ? 3 : 5); run += 1) {
      await begin({ count, latency: false });
      const start = now();
      for (let n = 0; n < count; n += batch) {
        const at = n % 4000;
        await send(events.slice(at, at + batch));
      }
      const { done } = await next();
      rates.push((count * 1e9) / (done - start));
    }
    rates.sort((a, b) => a - b);
    rows.push({ name, 'M events/s': rates[rates.length >> 1] / 1e6, min: rates[0] / 1e6, max: rates.at(-1) / 1e6 });
  };

  const total = flags.quick ? 200_000 : 1_000_000;
  for (const batch of [100, 10, 1]) {
    const stream = node.openStream(BigInt(other.id), {
      streamId: streamId++,
      reliability: 'reliable',
      windowBytes: WINDOW,
    });
    await rate(`mesh, batch ${batch}`, batch === 1 ? total / 10 : total, batch, async (list) => {
      for (;;) {
        try {
          await node.sendOnStream(stream, list);
          return;
        } catch (error) {
          if (error.kind !== 'backpressure') throw error;
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    });
  }
  if (zmq && other.tcp) {
    const push = new zmq.Push({ sendHighWaterMark: 100_000 });
    push.connect(other.tcp);
    await rate('zeromq.js over TCP, single events', total / 10, 1, ([event]) => push.send(event));
    push.close();
  }
  // Latency: both ends read the same monotonic clock.
  const lone = node.openStream(BigInt(other.id), { streamId: streamId++, reliability: 'reliable' });
  const count = flags.quick ? 500 : 3000;
  await begin({ count, latency: true });
  for (let n = 0; n < count; n += 1) {
    const event = Buffer.alloc(112);
    event.writeBigUInt64LE(process.hrtime.bigint());
    await node.sendOnStream(lone, [event]);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { delays } = await next();
  delays.sort((a, b) => a - b);
  const at = (share) => delays[Math.floor(delays.length * share)] / 1000;
  const latency = { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
  child.kill();
  await node.shutdown({ drainMs: 0 });
  if (flags.json) {
    console.log(JSON.stringify({ rows, latencyMicros: latency }));
    return;
  }
  const base = rows.find((row) => row.name.startsWith('zeromq'))?.['M events/s'];
  for (const row of rows) if (base) row['× zeromq'] = row['M events/s'] / base;
  console.table(
    rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([k, v]) => [k, typeof v === 'number' ? Number(v.toPrecision(3)) : v]),
      ),
    ),
  );
  console.log('one-way latency of a lone event, µs:', latency);
}
