/** A peer in a process of its own, to be stopped and killed. Options as JSON in the first argument. */
import { MeshPeer } from '../../../src/marketrix.js';

async function main(): Promise<void> {
  const mesh = await MeshPeer.join(JSON.parse(process.argv[2] ?? '{}'));
  mesh.handle('echo', (input) => input);
  mesh.handle('hang', () => new Promise(() => {}));
  mesh.handle('forever', async function* () {
    for (let i = 0; ; i++) yield i;
  });
  mesh.onConnection(async (stream) => {
    for await (const message of stream) await stream.send(message);
    await stream.end();
  });
  process.stdout.write('ready\n');
}

void main();
