/** What `npm pack` makes, installed in an empty folder under the new and the old names. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'meshring-install-'));
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) as string;
  execFileSync('tar', ['xzf', tarball], { cwd: folder });
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, '@net-mesh'), { recursive: true });
  cpSync(join(folder, 'package'), join(modules, 'meshring'), { recursive: true });
  // What npm would make of `@net-mesh/sdk@npm:meshring` and of `@net-mesh/core@file:…/core`.
  cpSync(join(folder, 'package'), join(modules, '@net-mesh', 'sdk'), { recursive: true });
  symlinkSync(join(modules, '@net-mesh', 'sdk', 'core'), join(modules, '@net-mesh', 'core'));
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function node(name: string, code: string, env: Record<string, string> = {}): string {
  writeFileSync(join(folder, name), code);
  return execFileSync(process.execPath, [name], { cwd: folder, env: { ...process.env, ...env }, encoding: 'utf8' });
}

const subPaths = Object.keys(manifest.exports).filter((path) => !path.includes('*') && path !== './package.json');

describe.each(['addon', 'wasm'])('on the %s backend', (name) => {
  const env = { MESHRING_BACKEND: name };

  it('every sub-path loads by import and by require, and both are the same objects', () => {
    const output = node(
      `paths-${name}.mjs`,
      `import { createRequire } from 'node:module';
       const require = createRequire(import.meta.url);
       for (const path of ${JSON.stringify(subPaths)}) {
         const name = 'meshring' + path.slice(1);
         const [a, b] = [await import(name), require(name)];
         for (const key of Object.keys(b)) if (a[key] !== b[key]) throw new Error(name + ': ' + key);
       }
       console.log((await import('meshring/backend')).backend.name);`,
      env,
    );
    expect(output.trim()).toBe(name);
  });

  it('the quickstart runs', () => {
    const output = node(
      `quickstart-${name}.cjs`,
      `const { NetNode } = require('meshring');
       (async () => {
         const node = await NetNode.create({ shards: 4 });
         node.emit({ token: 'hello' });
         node.fire('{"token":"world"}');
         const { events } = await node.poll({ limit: 10, ordering: 'insertion_ts' });
         console.log(events.map((event) => event.raw).join(' '));
         await node.shutdown();
       })();`,
      env,
    );
    expect(output.trim()).toBe('{"token":"hello"} {"token":"world"}');
  });

  it('an application written against the two old names runs unchanged', () => {
    const output = node(
      `old-${name}.mjs`,
      `import { NetNode, Identity } from '@net-mesh/sdk';
       import { TasksAdapter } from '@net-mesh/sdk/cortex';
       import { Net, RedisStreamDedup } from '@net-mesh/core';
       const bus = await Net.create({ numShards: 2, backpressureMode: 'drop_newest' });
       const node = NetNode.fromNapi(bus);
       const receipt = node.emitRaw('{"old":1}');
       const dedup = new RedisStreamDedup(10);
       console.log(typeof receipt.shardId, (await node.pollOne()).raw, dedup.isDuplicate('a'), dedup.isDuplicate('a'));
       console.log(Identity.generate().entityId.length, typeof TasksAdapter.open);
       await node.shutdown();`,
      env,
    );
    expect(output.trim().split('\n')).toEqual(['number {"old":1} false true', '32 function']);
  });
});

it('a missing addon is told once, and the WebAssembly build serves', () => {
  rmSync(join(folder, 'node_modules', 'meshring', 'native'), { recursive: true, force: true });
  const code = `const { backend } = require('meshring/backend'); require('meshring'); console.log(backend.name, backend.reason);
    const warnings = []; process.on('warning', (w) => warnings.push(w.message)); setImmediate(() => setImmediate(() => console.log(warnings.length)));`;
  const output = node('missing.cjs', code);
  expect(output).toMatch(/^wasm addon missing: no addon for this platform at native\/prebuilt\/.*\n1\n$/);
});

it('a forced backend that is not available is an error that says how to build it', () => {
  const run = () => node('forced.cjs', `require('meshring')`, { MESHRING_BACKEND: 'addon' });
  expect(run).toThrow(/MESHRING_BACKEND=addon: this backend is not available .* npm run build/);
  const other = () => node('other.cjs', `require('meshring')`, { MESHRING_BACKEND: 'gpu' });
  expect(other).toThrow("MESHRING_BACKEND must be 'addon' or 'wasm', got 'gpu'");
});
