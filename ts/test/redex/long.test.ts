import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Redex } from '../../src/redex/index.js';
import { NodeStorage } from '../../src/redex/storage-node.js';

const root = mkdtempSync(join(tmpdir(), 'redex-long-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** More than the records that an open reads at a time, and more bytes than it reads by one thread. */
const EVENTS = 40_000;
const payload = (seq: number) => Buffer.alloc(450 + (seq % 5), seq & 0xff).fill(String(seq).padStart(8, '0'), 0, 8);

function check(redex: Redex, events: number) {
  const file = redex.openFile('long', { persistent: true });
  const all = file.readRange(0n, 2n ** 63n);
  expect(all.length).toBe(events);
  for (const [i, event] of all.entries()) {
    if (Number(event.seq) !== i || !payload(i).equals(event.payload)) expect.fail(`wrong entry at ${i}`);
  }
  const [stats] = redex.stats().files;
  return { damaged: stats?.damagedRecords, torn: stats?.tornRecords };
}

describe.each([
  ['through the addon', new NodeStorage()],
  ['through node:fs', new NodeStorage(false)],
])('a log of many blocks, %s', (name, storage) => {
  it('comes back whole, and up to where one of its files was cut', async () => {
    const persistentDir = join(root, name);
    const open = () => new Redex({ persistentDir, storage });
    const first = open();
    const file = first.openFile('long', { persistent: true });
    for (let seq = 0; seq < EVENTS; seq += 500) {
      file.appendBatch(Array.from({ length: 500 }, (_, i) => payload(seq + i)));
    }
    await first.close();
    const generation = join(persistentDir, 'long', 'v0000000001');
    expect(statSync(join(generation, 'dat')).size).toBeGreaterThan(16 << 20);

    const again = open();
    expect(check(again, EVENTS)).toEqual({ damaged: 0, torn: 0 });
    await again.close();

    // Times end in the second block, payloads one byte before the end: one record is torn, the rest keeps what it has.
    truncateSync(join(generation, 'ts'), 20_000 * 8);
    truncateSync(join(generation, 'dat'), statSync(join(generation, 'dat')).size - 1);
    const cut = open();
    expect(check(cut, EVENTS - 1)).toEqual({ damaged: 0, torn: 1 });
    await cut.close();
    expect(statSync(join(generation, 'idx')).size).toBe((EVENTS - 1) * 20);
    expect(statSync(join(generation, 'ts')).size).toBe((EVENTS - 1) * 8);
  });
});
