// Processes of the published peer for the mesh bench.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const python = join(here, '..', '..', '.cache', 'venv', 'bin', 'python');

async function freePort() {
  const probe = createSocket('udp4');
  await new Promise((resolve) => probe.bind(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Starts one; undefined when it is not installed. */
export async function published() {
  if (!existsSync(python)) return undefined;
  const port = await freePort();
  const child = spawn(python, [join(here, 'peer.py'), `${port}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map();
  let last = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, answer, error } = JSON.parse(line);
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  });
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('the published peer ended'));
  });
  const call = (name, ...args) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ id: last, call: name, with: args })}\n`);
    });
  return { address: `127.0.0.1:${port}`, ...(await call('who')), call, end: () => child.kill('SIGKILL') };
}
