import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = join(root, '.cache', 'docs', 'zebus');
const text = readFileSync(join(root, 'docs', 'zebus.md'), 'utf8');

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What each block prints, where its comments say so. */
const EXPECTED: Record<number, string[]> = {
  0: ['ECHO hello', 'true'],
  1: ['4900', 'Shop.AskPrice true'],
  2: ['21.5'],
  3: ['1.5', 'false 22 cannot divide 1 by zero', 'not-running'],
  4: ['alice: to room 1,bob: to room 2'],
};

describe('docs/zebus.md', () => {
  const blocks = [...text.matchAll(/^```(?:ts|js)\n(.*?)^```$/gms)].map((match) => match[1] ?? '');

  it.each(blocks.map((code, index) => ({ code, index })))(
    'block $index runs and prints what it says',
    async (block) => {
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `block-${block.index}.ts`);
      writeFileSync(file, block.code);
      const printed: string[] = [];
      const log = console.log;
      console.log = (...values: unknown[]) => {
        printed.push(
          values.map((value) => (Array.isArray(value) ? [...value].sort().join() : String(value))).join(' '),
        );
      };
      try {
        await import(/* @vite-ignore */ pathToFileURL(file).href);
      } finally {
        console.log = log;
      }
      expect(printed).toEqual(EXPECTED[block.index]);
    },
  );

  it('names tests that exist', () => {
    const tests = join(root, 'ts', 'test', 'zebus');
    const table = text.slice(text.indexOf('## Feature of the Zebus README'));
    const rows = table.split('\n').filter((line) => line.startsWith('| ') && line.includes('.test.ts'));
    expect(rows.length).toBeGreaterThan(10);
    for (const row of rows) {
      const files = [...row.matchAll(/`(?:ts\/test\/zebus\/)?([a-z]+\.test\.ts)`/g)].map(([, file]) =>
        readFileSync(join(tests, file ?? ''), 'utf8'),
      );
      for (const [, title = ''] of row.matchAll(/\*([^*]+)\*/g)) {
        for (const part of title.split(' … ').map((each) => each.replace(/ …$/, ''))) {
          expect(
            files.some((file) => file.includes(part)),
            `${title} in ${row}`,
          ).toBe(true);
        }
      }
    }
  });
});
