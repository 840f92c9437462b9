import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

function ip(...args: string[]): string | undefined {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  return done.status === 0 ? undefined : (done.error?.message ?? done.stderr.trim());
}

/** Why this machine has no network namespaces for tests, or `undefined`. */
export function labMissing(): string | undefined {
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  const name = `mrprobe${process.pid}`;
  const reason = ip('netns', 'add', name);
  if (reason !== undefined) return `no network namespaces: ${reason}`;
  ip('netns', 'del', name);
  const python = spawnSync('python3', ['-c', 'import ctypes, fcntl']);
  return python.status === 0 ? undefined : 'no python3';
}

/** A public network and private ones behind NATs, as network namespaces of this machine. */
export class NatLab {
  readonly outside: string;
  readonly #names: string[] = [];
  readonly #boxes: ChildProcess[] = [];

  constructor() {
    this.outside = this.#namespace('pub');
  }

  #namespace(suffix: string): string {
    const name = `mr${process.pid}${suffix}`;
    this.#run('netns', 'add', name);
    this.#names.push(name);
    this.#run('-n', name, 'link', 'set', 'lo', 'up');
    return name;
  }

  #run(...args: string[]): void {
    const reason = ip(...args);
    if (reason !== undefined) throw new Error(`ip ${args.join(' ')}: ${reason}`);
  }

  /** Gives the public network an address. */
  address(address: string): string {
    this.#run('-n', this.outside, 'addr', 'add', `${address}/32`, 'dev', 'lo');
    return address;
  }

  /** A private network with one host `192.168.1.2` behind a NAT at a public address; its namespace. */
  async behind(kind: 'cone' | 'symmetric', external: string): Promise<string> {
    const inside = this.#namespace(`in${this.#names.length}`);
    this.address(external);
    const script = join(import.meta.dirname, 'nat_box.py');
    const box = spawn('python3', [script, inside, this.outside, kind, external], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#boxes.push(box);
    await once(box.stdout as NodeJS.ReadableStream, 'data');
    this.#run('-n', inside, 'addr', 'add', '192.168.1.2/24', 'dev', 'tun0');
    this.#run('-n', inside, 'link', 'set', 'tun0', 'up');
    this.#run('-n', inside, 'route', 'add', 'default', 'dev', 'tun0');
    return inside;
  }

  /** Removes everything. */
  async close(): Promise<void> {
    for (const box of this.#boxes.splice(0)) {
      box.kill('SIGKILL');
      if (box.exitCode === null && box.signalCode === null) await once(box, 'exit');
    }
    for (const name of this.#names.splice(0)) ip('netns', 'del', name);
  }
}
