import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = join(root, '.cache', 'docs', 'marketrix');

afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Every block is a program of its own, run against the sources.
describe('docs/marketrix.md', () => {
  const text = readFileSync(join(root, 'docs', 'marketrix.md'), 'utf8');
  const blocks = [...text.matchAll(/^```(?:ts|js)\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
  it.each(blocks.map((code, i) => ({ code, name: `block-${i + 1}` })))('$name runs', async ({ code, name }) => {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${name}.ts`);
    writeFileSync(file, code);
    await import(/* @vite-ignore */ pathToFileURL(file).href);
  });
});
