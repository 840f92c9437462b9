// Channels: payloads of 112 bytes published to 1, 10 and 100 subscribers in other processes over loopback, one publish after
// the other; the same one by one on a stream. Time and processor time of this process per packet. `--quick` shortens it,
// `--json` prints JSON.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MeshNode } from 'meshring/mesh';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const RUNS = flags.quick ? 3 : 5;
const PACKETS = flags.quick ? 20_000 : 100_000;
const PROCESSES = 4;
const payloads = Array.from({ length: 4096 }, (_, n) => Buffer.from(`{"n":${n}}`.padEnd(112)));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

const publisher = await MeshNode.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) });
await publisher.start();
publisher.registerChannel({ name: 'bench' });

const program = fileURLToPath(new URL('channels/subscribers.mjs', import.meta.url));
const children = Array.from({ length: PROCESSES }, () =>
  fork(program, [publisher.localAddress(), publisher.publicKey(), `${publisher.nodeId()}`]),
);

/** Asks a process; it answers with the events that its nodes have received, and their ids. */
const ask = (child, message) =>
  new Promise((resolve) => {
    child.once('message', resolve);
    child.send(message);
  });

/** Makes subscribers until there are so many; the first process has the first one. */
async function grow(count) {
  const answers = [];
  for (const [at, child] of children.entries()) {
    answers.push(await ask(child, { add: Math.ceil((count - at) / PROCESSES) }));
  }
  return answers.flatMap(({ ids }) => ids).map(BigInt);
}

async function received() {
  let sum = 0;
  for (const child of children) sum += (await ask(child, {})).received;
  return sum;
}

/** Waits for what is under way; returns what has arrived since `before`. */
async function arrived(before, count) {
  const end = performance.now() + 10_000;
  for (;;) {
    const got = (await received()) - before;
    if (got >= count || performance.now() > end) return got;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const rows = [];
async function row(name, count, each, send) {
  const [rates, costs] = [[], []];
  let lost = 0;
  for (let run = 0; run < RUNS; run++) {
    const before = await received();
    const [begun, used] = [performance.now(), process.cpuUsage()];
    for (let n = 0; n < count; n++) await send(payloads[n & 4095]);
    const seconds = (performance.now() - begun) / 1000;
    const { user, system } = process.cpuUsage(used);
    rates.push((count * each) / seconds);
    costs.push(((user + system) * 1000) / (count * each));
    lost += count * each - (await arrived(before, count * each));
  }
  rows.push({
    what: name,
    packetsPerSecond: Math.round(median(rates)),
    nsPerPacket: Math.round(1e9 / median(rates)),
    spread: `${Math.round(Math.min(...rates))}..${Math.round(Math.max(...rates))}`,
    cpuNsPerPacket: Math.round(median(costs)),
    lost,
  });
}

const [first] = await grow(1);
const stream = publisher.openStream(first, { streamId: 5n });
const onStream = (payload) => publisher.sendBlocking(stream, [payload]);
const onChannel = (payload) => publisher.publish('bench', payload, { onBackpressure: 'wait' });
await row('stream, one by one', PACKETS, 1, onStream);
for (const count of [1, 10, 100]) {
  await grow(count);
  await row(`publish to ${count}`, Math.floor(PACKETS / count), count, onChannel);
}
for (const entry of rows) entry.ofStream = Number((entry.packetsPerSecond / rows[0].packetsPerSecond).toFixed(2));
if (flags.json) console.log(JSON.stringify({ bench: 'channels', rows }));
else console.table(rows);
for (const child of children) child.disconnect();
await publisher.shutdown({ drainMs: 0 });
