// The storage examples of the published package's README, as they stand there but for paths and what ends a loop.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Redex as CoreRedex, Tasks } from '../../src/core.js';
import { CortexError, NetDb, Redex, RedexError, type Task, TaskStatus, TasksAdapter } from '../../src/index.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'meshring-readme-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('event-sourced state: writes, snapshotAndWatch, watch', async () => {
  const rendered: Task[][] = [];
  const render = (rows: Task[]) => rendered.push(rows);
  const db = await NetDb.open({
    originHash: 0xabcdef01,
    withTasks: true,
    withMemories: true,
  });
  try {
    const seq = db.tasks?.create(1n, 'write docs', 100n) as bigint;
    await db.tasks?.waitForSeq(seq); // wait for the fold to apply
  } catch (e) {
    if (e instanceof CortexError) expect.fail(e.message);
    else throw e;
  }
  const both = await db.tasks?.snapshotAndWatch({ status: TaskStatus.Pending });
  if (both === undefined) throw new Error('tasks were asked for');
  const { snapshot, updates } = both;
  render(snapshot);
  queueMicrotask(() => db.tasks?.create(2n, 'ship it', 101n));
  for await (const next of updates) {
    render(next);
    if (next.length === 2) break; // automatically closes the native iterator
  }
  expect(rendered.map((rows) => rows.map(({ title }) => title))).toEqual([['write docs'], ['write docs', 'ship it']]);
  for await (const batch of (await db.tasks?.watch({ titleContains: 'ship' })) ?? []) {
    expect(batch.map(({ id }) => id)).toEqual([2n]);
    break;
  }
  db.close();
});

it('a standalone adapter on disk', async () => {
  const redex = new Redex({ persistentDir: directory });
  const tasks = await TasksAdapter.open(redex, 0xabcdef01, { persistent: true });
  expect(tasks.create(1n, 'kept', 1n)).toBe(0n);
  tasks.close();
  await redex.close();
  const again = await TasksAdapter.open(new Redex({ persistentDir: directory }), 0xabcdef01, { persistent: true });
  expect(again.count()).toBe(1);
  again.close();
});

it('a raw file', async () => {
  const redex = new Redex({ persistentDir: directory });
  const file = redex.openFile('analytics/clicks', {
    persistent: true,
    fsyncIntervalMs: 100, // or fsyncEveryN: 1000n
    retentionMaxEvents: 1_000_000n,
  });
  const seq = file.append(Buffer.from(JSON.stringify({ url: '/home' })));
  const payloadBuffers = ['/a', '/b'].map((url) => Buffer.from(JSON.stringify({ url })));
  const firstSeq = file.appendBatch(payloadBuffers);
  expect([seq, firstSeq, file.appendBatch([])]).toEqual([0n, 1n, null]);
  const urls: string[] = [];
  const stream = await file.tail(0n);
  try {
    for await (const event of stream) {
      const parsed = JSON.parse(event.payload.toString());
      urls.push(parsed.url);
      if (urls.length === 3) break; // automatically closes the native iterator
    }
  } catch (e) {
    if (e instanceof RedexError) expect.fail(e.message);
    throw e;
  } finally {
    file.close();
  }
  expect(urls).toEqual(['/home', '/a', '/b']);
  expect(() => redex.openFile('Bad name')).toThrow(RedexError);
});

it('read your writes', async () => {
  const redex = new CoreRedex();
  const tasks = await Tasks.open(redex, { originHash: 7n });
  const { token } = await tasks.create(1, 'first', 100);
  await tasks.waitForToken(token, 250); // ms deadline; throws CortexError on timeout
  const later = { ...token, originHash: token.originHash, seq: token.seq + 1n };
  await expect(tasks.waitForToken(later as never, 1)).rejects.toThrow('token must be a WriteToken');
  tasks.close();
});
