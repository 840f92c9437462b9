// Channels: payloads of 112 bytes published to 1, 10 and 100 subscribers, all in this process over loopback, one publish after
// the other; the same one by one on a stream. `--quick` shortens it, `--json` prints JSON.
import { parseArgs } from 'node:util';
import { MeshNode } from 'meshring/mesh';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const RUNS = flags.quick ? 3 : 5;
const PACKETS = flags.quick ? 20_000 : 100_000;
const payloads = Array.from({ length: 4096 }, (_, n) => Buffer.from(`{"n":${n}}`.padEnd(112)));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

async function make() {
  const node = await MeshNode.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) });
  await node.start();
  return node;
}

const publisher = await make();
publisher.registerChannel({ name: 'bench' });
const subscribers = [];
let received = 0;

async function grow(count) {
  while (subscribers.length < count) {
    const node = await make();
    await node.connect(publisher.localAddress(), publisher.publicKey(), publisher.nodeId());
    await node.subscribeChannel(publisher.nodeId(), 'bench');
    node.onEvents((events) => {
      received += events.length;
    });
    subscribers.push(node);
  }
}

/** Packets per second of one run; every one of them arrives. */
async function measure(count, send) {
  received = 0;
  const begun = performance.now();
  for (let n = 0; n < count; n++) await send(payloads[n & 4095]);
  const seconds = (performance.now() - begun) / 1000;
  return seconds;
}

async function arrived(count) {
  const end = performance.now() + 10_000;
  while (received < count && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  return received;
}

const rows = [];
async function row(name, count, each, send) {
  const rates = [];
  let lost = 0;
  for (let run = 0; run < RUNS; run++) {
    const seconds = await measure(count, send);
    rates.push((count * each) / seconds);
    lost += count * each - (await arrived(count * each));
  }
  rows.push({
    what: name,
    packetsPerSecond: Math.round(median(rates)),
    nsPerPacket: Math.round(1e9 / median(rates)),
    spread: `${Math.round(Math.min(...rates))}..${Math.round(Math.max(...rates))}`,
    lost,
  });
}

await grow(1);
const stream = publisher.openStream(subscribers[0].nodeId(), { streamId: 5n });
await row('stream, one by one', PACKETS, 1, (payload) => publisher.sendBlocking(stream, [payload]));
for (const count of [1, 10, 100]) {
  await grow(count);
  await row(`publish to ${count}`, Math.floor(PACKETS / count), count, (payload) =>
    publisher.publish('bench', payload, { onBackpressure: 'wait' }),
  );
}
for (const entry of rows) entry.ofStream = Number((entry.packetsPerSecond / rows[0].packetsPerSecond).toFixed(2));
if (flags.json) console.log(JSON.stringify({ bench: 'channels', rows }));
else console.table(rows);
await Promise.all([publisher, ...subscribers].map((node) => node.shutdown({ drainMs: 0 })));
