import { afterAll, describe, expect, it, vi } from 'vitest';
import { openOpfs, Redex } from '../../src/redex/index.js';
import { EXPECTED } from '../contract/homes.js';
import type { Image } from '../redex/images.js';
import disk from '../vectors/storage-redex-disk.json';
import type { Request } from './redex-opfs.worker.js';

const workers: Worker[] = [];
const start = async (): Promise<Worker> => {
  const worker = new Worker(new URL('./redex-opfs.worker.ts', import.meta.url), { type: 'module' });
  workers.push(worker);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = (event) => reject(new Error(event.message));
  });
  return worker;
};
afterAll(async () => {
  for (const worker of workers) worker.terminate();
});

function ask<T>(worker: Worker, request: Request): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<{ value: T; error?: string }>) =>
      data.error === undefined ? resolve(data.value) : reject(new Error(data.error));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(request);
  });
}

describe('logs in the origin private file system', () => {
  it('a worker that ended without closing anything has lost nothing that was synced', async () => {
    const directory = `/logs-${crypto.randomUUID()}`;
    const texts = Array.from({ length: 500 }, (_, i) => `event ${i}`);
    const writer = await start();
    expect(await ask(writer, { do: 'append', directory, texts, sync: true })).toEqual({ storage: 'opfs', next: 500 });
    writer.terminate();
    await expect
      .poll(
        async () => {
          const reader = await start();
          const read = await ask<{ texts: string[]; image: Image }>(reader, { do: 'read', directory }).catch(
            () => null,
          );
          if (read === null) return null;
          const { image } = read;
          const lengths = ['dat', 'idx', 'ts'].map((name) => (image[`a/b/v0000000001/${name}`] ?? '').length / 2);
          return { texts: read.texts, lengths, manifest: image['a/b/manifest'] };
        },
        { timeout: 20_000 },
      )
      .toEqual({
        texts,
        lengths: [texts.join('').length, 500 * 20, 500 * 8],
        manifest: '5245444d01010000000000003ee1c150',
      });
  });

  it('and CortEX and NetDb over them behave as in every other home', async () => {
    const directory = `/homes-${crypto.randomUUID()}`;
    const worker = await start();
    const { seen, files } = await ask<{ seen: unknown[]; files: string[] }>(worker, { do: 'story', directory });
    expect(seen).toEqual(EXPECTED);
    // The state that compaction left is a file there, too.
    expect(files.filter((name) => /^cortex\/tasks\/~snapshot-\d{20}$/.test(name))).toHaveLength(1);
    expect(files).toEqual(expect.arrayContaining(['cortex/tasks/manifest', 'cortex/memories/manifest']));
  });

  it('opens every image as the files of other homes', async () => {
    const worker = await start();
    for (const vector of disk.open) {
      const directory = `/vector-${crypto.randomUUID()}`;
      const result = await ask<Record<string, unknown>>(worker, {
        do: 'open',
        directory,
        channel: vector.channel,
        image: vector.files as unknown as Image,
      });
      const may = new Set<string>((vector as { oursMayDiffer?: string[] }).oursMayDiffer ?? []);
      // See ts/test/redex/vectors.ts.
      if (vector.name === 'flat layout without ts') may.add('filesAfterOpen');
      for (const field of ['events', 'nextSeq', 'filesAfterOpen', 'eventsAfterReopen'] as const) {
        if (!may.has(field)) expect(result[field], `${vector.name}: ${field}`).toEqual(vector[field]);
      }
    }
  });
});

describe('outside of a worker', () => {
  it('persistent logs are kept in memory, with one warning', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    expect(await openOpfs('/main-thread')).toBeNull();
    const redex = new Redex({ persistentDir: '/main-thread' });
    const again = new Redex({ persistentDir: '/main-thread' });
    const file = redex.openFile('a', { persistent: true });
    file.append(new Uint8Array([1]));
    expect(redex.stats().storage).toBe('memory');
    expect(warn.mock.calls.flat().filter((text) => String(text).includes('kept in memory'))).toHaveLength(1);
    await redex.close();
    expect(again.openFile('a', { persistent: true }).len()).toBe(1n);
    await again.close();
    warn.mockRestore();
  });
});
