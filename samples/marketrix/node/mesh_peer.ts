/**
 * Registers node-peer, connects to python-peer, then sends and receives in parallel.
 *
 *     npx ts-node mesh_peer.ts [--count N] [--interval MS] [--redis URL] [--prefix KEYS]
 */
import { parseArgs } from 'node:util';
import { MeshPeer, type PeerStream } from 'meshring/marketrix';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '0' },
    interval: { type: 'string', default: '10' },
    redis: { type: 'string', default: 'redis://127.0.0.1:6379' },
    prefix: { type: 'string', default: 'mesh' },
  },
});
const count = Number(values.count);
const interval = Number(values.interval);

function log(text: string): void {
  console.log(`[node-peer] ${text}`);
}

/** A message is {"text": …}; a bare string is accepted too. */
function textOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null ? (message as { text?: unknown }).text : message;
}

async function send(stream: PeerStream): Promise<void> {
  for (let number = 0; count === 0 || number < count; number++) {
    const text = `Message from Node #${number}`;
    await stream.send({ text });
    log(`Sent: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
  await stream.end();
}

async function receive(stream: PeerStream): Promise<void> {
  for await (const message of stream) log(`Received: ${textOf(message)}`);
}

async function main(): Promise<void> {
  // Raw frames: every message is one frame of JSON, nothing around it.
  const mesh = await MeshPeer.join({
    service: 'node-peer',
    redis: values.redis,
    keyPrefix: values.prefix,
    envelope: false,
  });
  process.once('SIGINT', () => void mesh.leave());
  try {
    for await (const change of mesh.watch('python-peer')) if (change.type === 'up') break;
    const stream = await mesh.connect('python-peer');
    log("Connected to 'python-peer'!");
    await Promise.all([send(stream), receive(stream)]);
  } finally {
    await mesh.leave();
  }
}

main().catch((error: unknown) => {
  log(`Connection ended: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
