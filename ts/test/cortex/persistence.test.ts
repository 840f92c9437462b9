// CortEX over files: restarts, snapshots and restores at random points against a plain map; NetDb directories.
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type CortexSnapshot,
  MemoriesAdapter,
  type Memory,
  NetDb,
  Redex,
  type Task,
  TasksAdapter,
} from '../../src/cortex.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const ORIGIN = 7n;
const id = fc.bigInt(0n, 20n);
const time = fc.oneof(fc.bigInt(0n, 50n), fc.constant(2n ** 64n - 1n));
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('x', 'docs'));
const op = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom('put', 'change', 'flag', 'delete'), id, time, text }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('restart', 'snapshot', 'restore', 'elsewhere'), id, time, text }),
  },
);
const runs = { numRuns: process.env.MESHRING_SOAK ? 500 : 40 };
const sorted = <T extends { id: bigint }>(rows: Iterable<T>) => [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));

describe('tasks against a plain map', () => {
  it('hold through restarts, snapshots and restores', async () => {
    let round = 0;
    const property = fc.asyncProperty(fc.array(op, { maxLength: 80 }), async (ops) => {
      round += 1;
      let home = join(directory, `t${round}`);
      let redex = new Redex({ persistentDir: home });
      let tasks = await TasksAdapter.open(redex, ORIGIN, { persistent: true });
      const model = new Map<bigint, Task>();
      let snapshot: CortexSnapshot | undefined;
      for (const { kind, id, time, text } of ops) {
        const known = model.get(id);
        if (kind === 'put') {
          tasks.create(id, text, time);
          model.set(id, { id, title: text, status: 'Pending', createdNs: time, updatedNs: time });
        } else if (kind === 'change') {
          tasks.rename(id, text, time);
          if (known) Object.assign(known, { title: text, updatedNs: time });
        } else if (kind === 'flag') {
          tasks.complete(id, time);
          if (known) Object.assign(known, { status: 'Completed', updatedNs: time });
        } else if (kind === 'delete') {
          tasks.delete(id);
          model.delete(id);
        } else if (kind === 'snapshot') snapshot = tasks.snapshot();
        else if (kind === 'elsewhere') {
          // The state moves to an empty directory and goes on there.
          const moved = tasks.snapshot();
          tasks.close();
          await redex.close();
          home = join(directory, `t${round}-${Math.random()}`);
          redex = new Redex({ persistentDir: home });
          tasks = await TasksAdapter.openFromSnapshot(redex, ORIGIN, moved, { persistent: true });
          snapshot = moved;
        } else {
          tasks.close();
          await redex.close();
          redex = new Redex({ persistentDir: home });
          const opts = { persistent: true };
          // A log that went on after a snapshot can be folded from its start only where it has one.
          const from = snapshot ?? (kind === 'restore' ? { stateBytes: Buffer.from([0, 1, 0]) } : undefined);
          tasks =
            from === undefined
              ? await TasksAdapter.open(redex, ORIGIN, opts)
              : await TasksAdapter.openFromSnapshot(redex, ORIGIN, from, opts);
        }
        if (kind.length > 6) expect(tasks.listTasks()).toEqual(sorted(model.values()));
      }
      expect(tasks.listTasks()).toEqual(sorted(model.values()));
      expect(tasks.foldErrors()).toBe(0n);
      tasks.close();
      await redex.close();
    });
    await fc.assert(property, runs);
  });
});

describe('memories against a plain map', () => {
  it('hold through restarts', async () => {
    let round = 0;
    const property = fc.asyncProperty(fc.array(op, { maxLength: 60 }), async (ops) => {
      round += 1;
      const home = join(directory, `m${round}`);
      let redex = new Redex({ persistentDir: home });
      let memories = await MemoriesAdapter.open(redex, ORIGIN, { persistent: true });
      const model = new Map<bigint, Memory>();
      for (const { kind, id, time, text } of ops) {
        const known = model.get(id);
        const tags = [text, 'x', [...text].slice(1).join('')];
        if (kind === 'put') {
          memories.store(id, text, tags, text, time);
          const kept = { createdNs: known?.createdNs ?? time, pinned: known?.pinned ?? false };
          model.set(id, { id, content: text, tags, source: text, updatedNs: time, ...kept });
        } else if (kind === 'change') {
          memories.retag(id, tags, time);
          if (known) Object.assign(known, { tags, updatedNs: time });
        } else if (kind === 'flag') {
          memories.pin(id, time);
          if (known) Object.assign(known, { pinned: true, updatedNs: time });
        } else if (kind === 'delete') {
          memories.delete(id);
          model.delete(id);
        } else {
          memories.close();
          await redex.close();
          redex = new Redex({ persistentDir: home });
          memories = await MemoriesAdapter.open(redex, ORIGIN, { persistent: true });
          expect(memories.listMemories()).toEqual(sorted(model.values()));
        }
        for (const tag of ['x', text]) {
          const hits = [...model.values()].filter((memory) => memory.tags.includes(tag));
          expect(memories.listMemories({ tag })).toEqual(sorted(hits));
        }
      }
      memories.close();
      await redex.close();
    });
    await fc.assert(property, runs);
  });
});

describe('a NetDb on disk', () => {
  const config = () => ({
    originHash: ORIGIN,
    persistentDir: directory,
    persistent: true,
    withTasks: true,
    withMemories: true,
  });

  it('is there again as soon as it is closed', async () => {
    for (let round = 0n; round < 5n; round++) {
      const db = await NetDb.open(config());
      expect(db.tasks?.count()).toBe(Number(round));
      expect(db.tasks?.create(round, `t${round}`, round)).toBe(round);
      db.memories?.store(round, 'c', ['x'], 's', round);
      db.close();
    }
    const db = await NetDb.open(config());
    expect(db.memories?.countWhere({ tag: 'x' })).toBe(5);
    db.close();
    await db.closed;
    expect(readdirSync(join(directory, 'cortex')).sort()).toEqual(['memories', 'tasks']);
  });

  it('may be open twice in one process: both write one log and see each other', async () => {
    const [one, two] = [await NetDb.open(config()), await NetDb.open({ ...config(), originHash: 8n })];
    const watch = (await (two.tasks as TasksAdapter).watch())[Symbol.asyncIterator]();
    await watch.next();
    const next = watch.next();
    expect(one.tasks?.create(1n, 'from one', 1n)).toBe(0n);
    expect((await next).value).toHaveLength(1);
    expect(two.tasks?.create(2n, 'from two', 2n)).toBe(1n);
    expect(one.tasks?.listTasks()).toEqual(two.tasks?.listTasks());
    one.close();
    await one.closed;
    expect(two.tasks?.complete(1n, 3n)).toBe(2n);
    two.close();
    await two.closed;
    const again = await NetDb.open(config());
    expect(again.tasks?.get(1n)?.status).toBe('Completed');
    again.close();
    await again.closed;
  });

  it('stores nothing on disk without `persistent`', async () => {
    const db = await NetDb.open({ ...config(), persistent: false });
    db.tasks?.create(1n, 'x', 1n);
    db.close();
    await db.closed;
    expect(existsSync(join(directory, 'cortex'))).toBe(false);
  });

  it('closes the first model when the second cannot be opened', async () => {
    const blocked = join(directory, 'cortex');
    const db = await NetDb.open({ ...config(), withMemories: false });
    db.close();
    await db.closed;
    writeFileSync(join(blocked, 'memories'), 'in the way');
    await expect(NetDb.open(config())).rejects.toThrow(/^cortex: NetDb open memories: redex: io: /);
    rmSync(join(blocked, 'memories'));
    const again = await NetDb.open(config());
    again.tasks?.create(1n, 'free again', 1n);
    again.close();
    await again.closed;
  });

  it('keeps what is whole when the log was cut in the middle of an event', async () => {
    const db = await NetDb.open({ ...config(), withMemories: false });
    for (let i = 0n; i < 10n; i++) db.tasks?.create(i, `task ${i}`, i);
    db.close();
    await db.closed;
    const dat = join(directory, 'cortex', 'tasks', 'v0000000001', 'dat');
    truncateSync(dat, statSync(dat).size - 3);
    const again = await NetDb.open({ ...config(), withMemories: false });
    expect(again.tasks?.count()).toBe(9);
    expect(again.tasks?.create(100n, 'after', 1n)).toBeGreaterThanOrEqual(9n);
    again.close();
    await again.closed;
  });
});
