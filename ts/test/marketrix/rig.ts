/** What the tests of Marketrix Mesh share: peers that leave by themselves, own Redis servers, waiting for conditions. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type MeshOptions, MeshPeer } from '../../src/marketrix.js';

export const REDIS = process.env.MESHRING_TEST_REDIS ?? 'redis://127.0.0.1:6379';
export const PYTHON = join(import.meta.dirname, '..', '..', '..', '.cache', 'venv', 'bin', 'python');
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
