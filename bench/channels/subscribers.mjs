// A process with subscribers for the channel bench: makes as many as it is told, and says how much they have received.
import { MeshNode } from 'meshring/mesh';

const [address, key, id] = process.argv.slice(2);
const publisher = BigInt(id);
const nodes = [];
let received = 0;

async function add() {
  const node = await MeshNode.create({ bindAddr: '127.0.0.1:0', psk: '42'.repeat(32) });
  await node.start();
  node.onEvents((events) => {
    received += events.length;
  });
  await node.connect(address, key, publisher);
  await node.subscribeChannel(publisher, 'bench');
  nodes.push(node);
}

process.on('message', async ({ add: count = 0 }) => {
  while (nodes.length < count) await add();
  process.send({ received, ids: nodes.map((node) => `${node.nodeId()}`) });
});
process.on('disconnect', () => process.exit());
