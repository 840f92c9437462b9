// What of a stream keeps a process alive (10 §4, §7).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = join(root, '.cache', 'bus-stream-process');
const bundle = join(folder, 'node.cjs');

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [join(root, 'ts', 'src', 'node.ts')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
    external: ['zeromq'],
  });
});

/** Runs a program in which `node` is open; it is killed, and the test fails, if it does not end by itself. */
function run(name: string, backend: string, program: string): { output: string; ended: boolean } {
  const file = join(folder, `${name}-${backend}.cjs`);
  writeFileSync(
    file,
    `const { NetNode } = require(${JSON.stringify(bundle)});
     (async () => {
       const node = await NetNode.create({ shards: 2 });
       ${program}
     })();`,
  );
  const env = { ...process.env, MESHRING_BACKEND: backend };
  const done = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 20_000, env });
  return { output: done.stdout + done.stderr, ended: done.status === 0 };
}

const prebuilt = join(root, 'native', 'prebuilt');
const hasAddon = existsSync(prebuilt) && readdirSync(prebuilt).some((file) => file.endsWith('.node'));

describe.each(hasAddon ? ['addon', 'wasm'] : ['wasm'])('on the backend %s a process', (backend) => {
  it('ends with a stream that nobody iterates', () => {
    const program = `
      node.subscribe();
      node.subscribe({ fromNow: true });
      node.emit({ a: 1 });
      console.log('made');`;
    expect(run('idle', backend, program)).toEqual({ output: 'made\n', ended: true });
  });

  it('ends with a stream that was left by break, and with an iterator that returned while it waited', () => {
    const program = `
      node.emit({ a: 1 });
      node.emit({ a: 2 });
      for await (const event of node.subscribe({ ordering: 'insertion_ts' })) {
        console.log(event.raw);
        break;
      }
      const waiting = node.subscribe({ fromNow: true })[Symbol.asyncIterator]();
      const next = waiting.next();
      setImmediate(async () => {
        await waiting.return();
        console.log((await next).done);
      });`;
    expect(run('left', backend, program)).toEqual({ output: '{"a":1}\ntrue\n', ended: true });
  });

  it('lives while an iteration waits', () => {
    const program = `
      // The timer alone would not keep the process alive.
      setTimeout(() => node.emit({ late: true }), 300).unref();
      for await (const event of node.subscribe()) {
        console.log(event.raw);
        break;
      }`;
    expect(run('waits', backend, program)).toEqual({ output: '{"late":true}\n', ended: true });
  });
});
