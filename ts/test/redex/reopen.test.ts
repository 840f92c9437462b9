// A log is opened again while it is being closed.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Redex } from '../../src/redex/index.js';

const root = mkdtempSync(join(tmpdir(), 'meshring-redex-reopen-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('what another log did last is no failure of the close', async () => {
  const redex = new Redex({ persistentDir: root });
  const other = new Redex().openFile('other');
  other.append(new Uint8Array(1 << 20));
  const file = redex.openFile('a', { persistent: true });
  file.append(Uint8Array.of(1));
  const closing = file.close();
  // A long event is read in a way of its own, which leaves a status that is neither success nor failure.
  expect(other.readOne(0n)?.payload.length).toBe(1 << 20);
  expect(redex.openFile('a', { persistent: true }).len()).toBe(1n);
  await closing;
  await redex.close();
});
