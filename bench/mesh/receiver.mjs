// The other process of the mesh bench: counts what arrives and tells when the last event of a round came.
import { NetMesh } from 'meshring/core';

const now = () => Number(process.hrtime.bigint());
const zmq = await import('zeromq').catch(() => undefined);
const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) });
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
    process.send({ done: now(), got, delays });
    got = 0;
    delays = [];
  }
};
process.on('message', (message) => {
  round = message;
  process.send({ ready: true });
});
node.onEvents((events) => {
  for (const event of events) take(event.bytes);
});
process.send({
  id: `${node.nodeId()}`,
  key: node.publicKey(),
  address: node.localAddress(),
  tcp: pull?.lastEndpoint,
});
if (pull) for await (const [bytes] of pull) take(bytes);
