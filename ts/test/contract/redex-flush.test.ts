// Logs on storage whose flushes fail.
import { expect, it } from 'vitest';
import { RedexError } from '../../src/errors.js';
import { MemoryStorage, Redex, type StoredFile } from '../../src/redex/index.js';

/** Memory that flushes nothing while `failing`. */
class Unflushable extends MemoryStorage {
  failing = false;

  override open(path: string, create: boolean): StoredFile | null {
    const file = super.open(path, create);
    if (!file) return null;
    return {
      length: () => file.length(),
      read: (offset, into) => file.read(offset, into),
      write: (offset, bytes) => file.write(offset, bytes),
      truncate: (length) => file.truncate(length),
      sync: () => {
        if (this.failing) throw new Error('Input/output error (os error 5)');
      },
      close: () => file.close(),
    };
  }
}

it('a close that cannot flush says so and gives the log back', async () => {
  const storage = new Unflushable();
  const redex = new Redex({ persistentDir: '/logs', storage });
  const file = redex.openFile('a', { persistent: true });
  file.append(Uint8Array.of(1));
  storage.failing = true;
  const failed = await file.close().catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(RedexError);
  expect(failed).toMatchObject({ kind: 'io', message: 'redex: close: io: Input/output error (os error 5)' });
  storage.failing = false;
  const again = redex.openFile('a', { persistent: true });
  expect(again.len()).toBe(1n);
  await redex.close();
});

it('a flush and a compaction that fail are errors of the log', async () => {
  const storage = new Unflushable();
  const redex = new Redex({ persistentDir: '/logs', storage });
  const file = redex.openFile('a', { persistent: true, retentionMaxEvents: 1n });
  for (let i = 0; i < 10; i++) file.append(Uint8Array.of(i));
  storage.failing = true;
  const text = (context: string) => ({ kind: 'io', message: `redex: ${context}: io: Input/output error (os error 5)` });
  const errors = [];
  for (const work of [() => file.sync(), () => file.sweepRetention()]) {
    errors.push(await work().catch((error: unknown) => error));
  }
  expect(errors).toMatchObject([text('sync'), text('compact')]);
  for (const error of errors) expect(error).toBeInstanceOf(RedexError);
  storage.failing = false;
  // The failed flush is told once more, to whoever did not await it.
  expect(() => file.append(Uint8Array.of(10))).toThrow('redex: sync: io');
  expect(file.append(Uint8Array.of(10))).toBe(10n);
  await file.sweepRetention();
  expect(file.readRange(0n, 100n).map(({ payload }) => payload[0])).toEqual([10]);
  await redex.close();
});
