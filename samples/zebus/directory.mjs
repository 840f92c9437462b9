// The directory that the other samples register with. Ctrl-C or the end of its input stops it.
//   node samples/zebus/directory.mjs [endpoint]
import { DirectoryServer } from 'meshring/zebus';

const directory = new DirectoryServer({ endpoint: process.argv[2] ?? 'tcp://*:7465', environment: 'example' });
directory.bus.on('peer', ({ change, peer }) => console.log(`${peer.id} ${change} [${peer.endpoint}]`));
await directory.start();
console.log(`directory on ${directory.endpoint}`);

await new Promise((resolve) => {
  process.once('SIGINT', resolve);
  process.once('SIGTERM', resolve);
  process.stdin.resume().once('end', resolve);
});
process.stdin.destroy();
await directory.stop();
