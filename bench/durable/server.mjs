// An own server on a free port, so that nothing else disturbs the figures.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

function program(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function reachable(port) {
  for (let tries = 0; tries < 400; tries++) {
    const open = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`no server on port ${port}`);
}

async function start(name, hint, args) {
  const path = program(name);
  if (!path) {
    process.stderr.write(`${name} is not installed (${hint}): this bench is skipped\n`);
    process.exit(0);
  }
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'meshring-bench-'));
  const child = spawn(path, args(port, folder), { stdio: 'ignore', cwd: folder });
  const stop = () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  process.on('exit', stop);
  await reachable(port);
  return { port, pid: child.pid };
}

/** redis-server without persistence. */
export const startRedis = () =>
  start('redis-server', 'apt-get install redis-server', (port, folder) => [
    ...['--port', String(port), '--dir', folder, '--save', '', '--bind', '127.0.0.1'],
  ]);

/** nats-server with JetStream in files. */
export const startNats = () =>
  start('nats-server', 'apt-get install nats-server', (port, folder) => [
    ...['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder],
  ]);
