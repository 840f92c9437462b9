import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PYTHON, PYTHON_MISSING, prefix, REDIS, until } from './rig.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const SAMPLES = join(ROOT, 'samples', 'marketrix');

/** Runs a program to its end; gives its lines. */
function lines(command: string, args: string[]): { running: Promise<string[]>; seen: string[] } {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const seen: string[] = [];
  let [rest, errors] = ['', ''];
  child.stdout.on('data', (part: Buffer) => {
    const all = (rest + part.toString()).split('\n');
    rest = all.pop() ?? '';
    seen.push(...all);
  });
  child.stderr.on('data', (part: Buffer) => {
    errors += part.toString();
  });
  const running = new Promise<string[]>((resolve, reject) => {
    child.once('close', (code) => (code === 0 ? resolve(seen) : reject(new Error(`ended with ${code}: ${errors}`))));
  });
  running.catch(() => {});
  return { running, seen };
}

/** The Node sample as `ts-node` would run it, on the sources of this checkout. */
async function nodeSample(): Promise<string> {
  const outfile = join(ROOT, '.cache', `marketrix-sample-${process.pid}.cjs`);
  await build({
    entryPoints: [join(SAMPLES, 'node', 'mesh_peer.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    alias: { 'meshring/marketrix': join(ROOT, 'ts', 'src', 'marketrix.ts') },
    platform: 'node',
    format: 'cjs',
    target: 'es2022',
  });
  onTestFinished(() => rmSync(outfile, { force: true }));
  return outfile;
}

describe('the walkthrough', () => {
  it.skipIf(PYTHON_MISSING)('prints its lines on both sides, and leaves nothing in Redis', async () => {
    const keys = prefix();
    const args = ['--count', '25', '--interval', '1', '--redis', REDIS, '--prefix', keys];
    const python = lines(PYTHON, [join(SAMPLES, 'python', 'mesh_peer.py'), ...args]);
    await until(() => python.seen.length > 0, 'python-peer is registered');
    const node = lines(process.execPath, [await nodeSample(), ...args]);
    const [fromPython, fromNode] = await Promise.all([python.running, node.running]);
    const bare = (list: string[]) => list.map((line) => line.slice(line.indexOf(' ') + 1));
    const only = (list: string[], word: string) => bare(list).filter((line) => line.startsWith(word));
    const numbered = (text: string) => Array.from({ length: 25 }, (_, i) => `${text} #${i}`);
    expect(bare(fromPython)).toContain('Accepted connection from Node.');
    expect(only(fromPython, 'Received: ')).toEqual(numbered('Received: Message from Node'));
    expect(only(fromPython, 'Sent: ')).toEqual(numbered('Sent: Message from Python'));
    expect(bare(fromNode)[0]).toBe("Connected to 'python-peer'!");
    expect(only(fromNode, 'Sent: ')).toEqual(numbered('Sent: Message from Node'));
    expect(only(fromNode, 'Received: ')).toEqual(numbered('Received: Message from Python'));
    // In parallel: neither side waits until the other has finished.
    expect(bare(fromNode).indexOf('Received: Message from Python #0')).toBeLessThan(
      bare(fromNode).indexOf('Sent: Message from Node #24'),
    );
    const redis = new Redis(REDIS);
    onTestFinished(() => redis.disconnect());
    expect(await redis.keys(`${keys}*`)).toEqual([]);
  });

  it('has a compose file with a service `redis` on the port that the samples use', () => {
    const compose = readFileSync(join(SAMPLES, 'docker-compose.yml'), 'utf8');
    expect(compose).toMatch(/^services:\n {2}redis:\n {4}image: redis:/m);
    expect(compose).toContain('"6379:6379"');
  });
});
