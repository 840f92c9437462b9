/** What the tests of Marketrix Mesh share: peers that leave by themselves, own Redis servers, waiting for conditions. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';
import { type DiscoveryLayout, layouts, type MeshOptions, MeshPeer } from '../../src/marketrix.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
export const REDIS = process.env.MESHRING_TEST_REDIS ?? 'redis://127.0.0.1:6379';
export const PYTHON =
  process.env.MESHRING_TEST_PYTHON ?? join(import.meta.dirname, '..', '..', '..', '.cache', 'venv', 'bin', 'python');
export const PYTHON_MISSING = existsSync(PYTHON) ? undefined : 'no .cache/venv/bin/python with h2 and redis';
export const SOAK = process.env.MESHRING_SOAK !== undefined;

let counter = 0;

/** A key prefix that no other test uses. */
export function prefix(): string {
  counter += 1;
  return `t-${process.pid}-${counter}-${Math.random().toString(36).slice(2, 8)}`;
}

/** A peer that leaves when the test is over. */
export async function joined(
  options: Partial<MeshOptions> & { service: string; keyPrefix: string },
): Promise<MeshPeer> {
  const listen =
    options.listen === false ? (false as const) : { host: '127.0.0.1', advertiseHost: '127.0.0.1', ...options.listen };
  const peer = await MeshPeer.join({ redis: REDIS, drainMs: 200, ...options, listen });
  onTestFinished(() => peer.leave());
  return peer;
}

/** Waits until `check` gives something true. */
export async function until<T>(check: () => T | Promise<T>, what: string, ms = 15_000): Promise<NonNullable<T>> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value as NonNullable<T>;
    if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** All items of an async iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Own Redis server, that can be killed and started again on the same port. */
export class OwnRedis {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'meshring-redis-'));
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<OwnRedis> {
    const redis = new OwnRedis(await freePort());
    onTestFinished(async () => {
      await redis.kill();
      rmSync(redis.#folder, { recursive: true, force: true });
    });
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--dir', this.#folder];
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process = child;
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
      child.stdout?.on('data', (text: Buffer) => {
        if (text.includes('Ready to accept connections')) resolve();
      });
    });
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child) return;
    this.#process = undefined;
    child.removeAllListeners('exit');
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGKILL');
    });
  }
}

/** A certificate for 127.0.0.1 and localhost, signed by itself. */
export function selfSigned(): { key: Buffer; cert: Buffer; keyFile: string; certFile: string } {
  const folder = mkdtempSync(join(tmpdir(), 'meshring-tls-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', [...args, ...subject, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
  return { key: readFileSync(keyFile), cert: readFileSync(certFile), keyFile, certFile };
}

let bundle: Promise<string> | undefined;

/** The process `peer.ts` as one file that Node runs. */
function peerProcess(): Promise<string> {
  bundle ??= (async () => {
    const outfile = join(ROOT, '.cache', `marketrix-peer-${process.pid}.cjs`);
    await build({
      entryPoints: [join(import.meta.dirname, 'processes', 'peer.ts')],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'cjs',
      target: 'es2022',
      logLevel: 'error',
    });
    process.once('exit', () => rmSync(outfile, { force: true }));
    return outfile;
  })();
  return bundle;
}

/** Runs a peer in a process of its own; resolves when it has joined. */
export async function spawnPeer(
  options: Partial<MeshOptions> & { service: string; keyPrefix: string },
): Promise<ChildProcess> {
  const settings = {
    redis: REDIS,
    ...options,
    listen: { host: '127.0.0.1', advertiseHost: '127.0.0.1', ...options.listen },
  };
  const child = spawn(process.execPath, [await peerProcess(), JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the peer ended with ${code}`)));
  });
  return child;
}

/** A TCP relay in front of a port that can cut connections after a number of bytes, or go deaf. */
export class Relay {
  port = 0;
  /** Bytes after which the next connection is cut, counted over both directions; undefined: never. */
  cutAfter: number | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(target: () => number) {
    this.#server = createServer((inner) => {
      const outer = connect(target(), '127.0.0.1');
      let left = this.cutAfter ?? Number.POSITIVE_INFINITY;
      for (const [from, to] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => {});
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.on('data', (chunk: Buffer) => {
          const part = chunk.subarray(0, Math.max(0, left));
          left -= chunk.length;
          if (part.length > 0) to.write(part);
          if (left <= 0) to.end(() => [inner, outer].map((socket) => socket.destroy()));
        });
      }
    });
  }

  static async to(target: () => number): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    const address = relay.#server.address();
    relay.port = typeof address === 'object' && address ? address.port : 0;
    onTestFinished(() => {
      relay.cut();
      relay.#server.close();
    });
    return relay;
  }

  /** Cuts everything now. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** A layout whose records lead through this relay. */
  layout(keyPrefix: string): DiscoveryLayout {
    const standard = layouts.standard(keyPrefix);
    return {
      ...standard,
      decode: (text, service) => {
        const record = standard.decode(text, service);
        return record && { ...record, port: this.port };
      },
    };
  }
}
