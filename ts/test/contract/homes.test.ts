import { afterAll, describe, expect, it } from 'vitest';
import { Redex } from '../../src/cortex.js';
import { EXPECTED, story } from './homes.js';

const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
const made: string[] = [];
const modules = { fs: 'node:fs', os: 'node:os' };

/** An empty directory: of the file system in Node, a name of its own in a browser. */
async function fresh(): Promise<string> {
  if (!inNode) return `/homes-${crypto.randomUUID()}`;
  const { mkdtempSync } = (await import(/* @vite-ignore */ modules.fs)) as typeof import('node:fs');
  const { tmpdir } = (await import(/* @vite-ignore */ modules.os)) as typeof import('node:os');
  const directory = mkdtempSync(`${tmpdir()}/meshring-homes-`);
  made.push(directory);
  return directory;
}
afterAll(async () => {
  if (made.length === 0) return;
  const { rmSync } = (await import(/* @vite-ignore */ modules.fs)) as typeof import('node:fs');
  for (const directory of made) rmSync(directory, { recursive: true, force: true });
});

// The private file system of browsers: ts/test/browser/redex-opfs.test.ts.
describe('logs, CortEX and NetDb', () => {
  it('behave the same in the home that persistent logs have here', async () => {
    const directory = await fresh();
    expect(new Redex({ persistentDir: directory }).stats().storage).toBe(inNode ? 'files' : 'memory');
    expect(await story(directory)).toEqual(EXPECTED);
  });
});
