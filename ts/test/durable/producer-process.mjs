// A producer that a test kills: emits numbered events, and prints each number that a flush has acknowledged.
import { writeSync } from 'node:fs';
import { NetNode } from 'meshring';

const [transport, producerNoncePath, run, chunk] = JSON.parse(process.argv[2]);
const node = await NetNode.create({ shards: 2, transport, producerNoncePath, adapterTimeoutMs: 60_000 });
writeSync(1, 'ready\n');
let next = 0;
let stop = false;
process.on('SIGTERM', () => {
  stop = true;
});
while (!stop) {
  for (let i = 0; i < chunk; i++) node.fire(`{"r":${run},"n":${next++}}`);
  const end = next;
  await node.flush();
  writeSync(1, `${end}\n`);
}
await node.shutdown();
