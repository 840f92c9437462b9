// Compaction: the state takes the place of the events, and no crash, damage or second adapter loses any of it.
import { describe, expect, it } from 'vitest';
import {
  CortexError,
  type LogStorage,
  MemoriesAdapter,
  MemoryStorage,
  NetDb,
  Redex,
  TasksAdapter,
} from '../../src/cortex.js';
import { readImage, writeImage } from '../redex/images.js';

const ORIGIN = 7n;
const DIRECTORY = '/db';
const LOG = 'cortex/tasks';
const snapshots = (storage: LogStorage) =>
  (storage.list(`${DIRECTORY}/${LOG}`) ?? []).map(({ name }) => name).filter((name) => name.startsWith('~snapshot'));

const openOn = (storage: LogStorage) => {
  const redex = new Redex({ persistentDir: DIRECTORY, storage });
  return { redex, tasks: () => TasksAdapter.open(redex, ORIGIN, { persistent: true }) };
};

function churn(tasks: TasksAdapter, from: bigint, to: bigint): void {
  for (let i = from; i < to; i++) {
    tasks.create(i % 30n, `task ${i}`, i);
    if (i % 3n === 0n) tasks.complete(i % 20n, i);
    if (i % 7n === 0n) tasks.delete(i % 11n);
  }
}

describe.each([
  ['in memory', undefined],
  ['in storage', new MemoryStorage()],
])('compaction of a log %s', (_, storage) => {
  it('keeps the state for this adapter, later ones and watches, and empties the log', async () => {
    const redex = storage ? openOn(storage).redex : new Redex();
    const opts = { persistent: storage !== undefined };
    const tasks = await TasksAdapter.open(redex, ORIGIN, opts);
    expect(await tasks.compact()).toBeUndefined();
    churn(tasks, 0n, 500n);
    const watch = (await tasks.watch({ limit: 3 }))[Symbol.asyncIterator]();
    await watch.next();
    const before = tasks.listTasks();
    const { lastSeq } = tasks.snapshot();
    expect(await tasks.compact()).toBe(lastSeq);
    expect(redex.openFile(LOG).len()).toBe(0n);
    expect(tasks.listTasks()).toEqual(before);

    const next = watch.next();
    expect(tasks.create(0n, 'after', 1n)).toBe((lastSeq ?? 0n) + 1n);
    expect((await next).value[0].title).toBe('after');
    await tasks.waitForSeq(3n);

    const other = await TasksAdapter.open(redex, 8n, opts);
    expect(other.listTasks()).toEqual(tasks.listTasks());
    expect(other.snapshot().lastSeq).toBe(tasks.snapshot().lastSeq);
    churn(other, 500n, 600n);
    expect(await Promise.all([other.compact(), tasks.compact()])).toEqual([
      other.snapshot().lastSeq,
      other.snapshot().lastSeq,
    ]);
    expect((await TasksAdapter.open(redex, 9n, opts)).listTasks()).toEqual(tasks.listTasks());
    await redex.close();
  });

  it('of memories keeps tags, pins and the counter of writes', async () => {
    const redex = storage ? openOn(storage).redex : new Redex();
    const opts = { persistent: storage !== undefined };
    const memories = await MemoriesAdapter.open(redex, ORIGIN, opts);
    for (let i = 0n; i < 50n; i++) memories.store(i % 9n, `m${i}`, ['x', `t${i}`], 's', i);
    memories.pin(3n, 99n);
    await memories.compact();
    const again = await MemoriesAdapter.open(redex, ORIGIN, opts);
    expect(again.listMemories({ tag: 'x' })).toEqual(memories.listMemories());
    expect(again.snapshot()).toEqual(memories.snapshot());
    await redex.close();
  });
});

describe('a compacted log in storage', () => {
  it('opens with its state, and goes on after it', async () => {
    const storage = new MemoryStorage();
    for (let round = 0n; round < 4n; round++) {
      const { redex, tasks: open } = openOn(storage);
      const tasks = await open();
      expect(tasks.countWhere({ titleContains: 'round' })).toBe(Number(round));
      churn(tasks, 0n, 200n);
      tasks.create(100n + round, `round ${round}`, 1n);
      await tasks.compact();
      tasks.complete(100n + round, 2n);
      expect(snapshots(storage)).toHaveLength(1);
      await redex.close();
    }
    const { redex, tasks: open } = openOn(storage);
    const tasks = await open();
    expect(tasks.countWhere({ status: 'Completed', titleContains: 'round' })).toBe(4);
    expect(redex.openFile(LOG).len()).toBeLessThan(3n);
    await redex.deleteFile(LOG);
    expect(storage.list(`${DIRECTORY}/${LOG}`)).toBeNull();
    await redex.close();
  });

  it('is not taken for older than a snapshot that is older', async () => {
    const storage = new MemoryStorage();
    const { redex, tasks: open } = openOn(storage);
    const tasks = await open();
    churn(tasks, 0n, 50n);
    const old = tasks.snapshot();
    churn(tasks, 50n, 100n);
    await tasks.compact();
    const restored = await TasksAdapter.openFromSnapshot(redex, ORIGIN, old, { persistent: true });
    expect(restored.listTasks()).toEqual(tasks.listTasks());
    await redex.close();
  });

  it('whose state is damaged is refused, unless a snapshot reaches far enough', async () => {
    const storage = new MemoryStorage();
    const { redex, tasks: open } = openOn(storage);
    const tasks = await open();
    churn(tasks, 0n, 50n);
    const early = tasks.snapshot();
    churn(tasks, 50n, 100n);
    await tasks.compact();
    tasks.create(1n, 'later', 1n);
    const late = tasks.snapshot();
    const rows = tasks.listTasks();
    await redex.close();
    const [name] = snapshots(storage);
    const file = storage.open(`${DIRECTORY}/${LOG}/${name}`, false);
    file?.write(5, new Uint8Array([255]));
    const damaged = openOn(storage);
    const refusal = {
      name: 'CortexError',
      kind: 'restore-failed',
      message: expect.stringMatching(
        /^cortex: TasksAdapter open failed: .*~snapshot-\d{20} is damaged and the log begins at/,
      ),
    };
    await expect(damaged.tasks()).rejects.toMatchObject(refusal);
    await expect(
      TasksAdapter.openFromSnapshot(damaged.redex, ORIGIN, early, { persistent: true }),
    ).rejects.toMatchObject({ kind: 'restore-failed' });
    const restored = await TasksAdapter.openFromSnapshot(damaged.redex, ORIGIN, late, { persistent: true });
    expect(restored.listTasks()).toEqual(rows);
    // The next compaction leaves a good one.
    restored.create(1n, 'again', 1n);
    await restored.compact();
    expect((await damaged.tasks()).listTasks()).toEqual(restored.listTasks());
    await damaged.redex.close();
  });

  it('keeps what comes after a skipped event, until it is given up', async () => {
    const storage = new MemoryStorage();
    const { redex, tasks: open } = openOn(storage);
    const tasks = await open();
    churn(tasks, 0n, 10n);
    const bad = redex.openFile(LOG).append(new Uint8Array([1, 2, 3]));
    churn(tasks, 10n, 20n);
    const last = tasks.create(1n, 'last', 1n);
    expect(await tasks.compact()).toBe(bad - 1n);
    expect(redex.openFile(LOG).readRange(0n, 999n)[0]?.seq).toBe(bad);
    expect((await open()).listTasks()).toEqual(tasks.listTasks());
    expect(await tasks.compact({ dropSkipped: true })).toBe(last);
    const again = await open();
    expect(again.foldErrors()).toBe(0n);
    expect(again.snapshot().lastSeq).toBe(last);
    await redex.close();
  });
});

/** Storage whose power goes out at the `at`-th change: half of that write is done, and nothing after it. */
class Dying implements LogStorage {
  readonly kind = 'dying';
  readonly inner = new MemoryStorage();
  changes = 0;
  at = Number.POSITIVE_INFINITY;

  #change<T>(work: () => T, half?: () => void): T {
    this.changes += 1;
    if (this.changes < this.at) return work();
    if (this.changes === this.at) half?.();
    throw new Error('the power is out');
  }
  makeDirectory = (path: string) => this.#change(() => this.inner.makeDirectory(path));
  list = (path: string) => this.inner.list(path);
  rename = (from: string, to: string) => this.#change(() => this.inner.rename(from, to));
  remove = (path: string) => this.#change(() => this.inner.remove(path));
  syncDirectory = () => this.#change(() => undefined);
  lock = () => ({ release: () => undefined });
  open = (path: string, create: boolean) => {
    const file = create && this.changes + 1 >= this.at ? null : this.inner.open(path, create);
    if (file === null) return create ? this.#change(() => null) : null;
    return {
      length: () => file.length(),
      read: (offset: number, into: Uint8Array) => file.read(offset, into),
      write: (offset: number, bytes: Uint8Array) =>
        this.#change(
          () => file.write(offset, bytes),
          () => file.write(offset, bytes.subarray(0, bytes.length >> 1)),
        ),
      truncate: (length: number) => this.#change(() => file.truncate(length)),
      sync: () => this.#change(() => undefined),
      close: () => file.close(),
    };
  };
}

describe('a crash in the middle of a compaction', () => {
  it('at any change of the files leaves the whole state', async () => {
    let crashes = 0;
    for (let at = 1; ; at++) {
      const storage = new Dying();
      const { tasks: open } = openOn(storage);
      const tasks = await open();
      churn(tasks, 0n, 40n);
      await tasks.compact();
      churn(tasks, 40n, 80n);
      const rows = tasks.listTasks();
      const { lastSeq } = tasks.snapshot();
      storage.at = storage.changes + at;
      const failure = await tasks.compact().catch((error: unknown) => error);
      const after = new MemoryStorage();
      writeImage(after, DIRECTORY, readImage(storage.inner, DIRECTORY));
      const again = openOn(after);
      const recovered = await again.tasks();
      expect(recovered.listTasks(), `crash at change ${at}`).toEqual(rows);
      expect(recovered.snapshot().lastSeq, `crash at change ${at}`).toBe(lastSeq);
      // And it compacts again.
      await recovered.compact();
      expect(recovered.create(1n, 'x', 1n)).toBe((lastSeq ?? 0n) + 1n);
      await again.redex.close();
      if (!(failure instanceof Error)) break;
      expect(failure).toBeInstanceOf(CortexError);
      expect(failure).toMatchObject({
        kind: 'compact-failed',
        message: expect.stringMatching(/^cortex: compact failed: .*the power is out$/),
      });
      crashes += 1;
    }
    expect(crashes).toBeGreaterThan(10);
  });
});

describe('compaction and the end', () => {
  it('after close is refused; a close in the middle of it loses nothing', async () => {
    const storage = new MemoryStorage();
    const { redex, tasks: open } = openOn(storage);
    const tasks = await open();
    churn(tasks, 0n, 100n);
    const rows = tasks.listTasks();
    const compacting = tasks.compact().catch((error: unknown) => error);
    tasks.close();
    const closing = redex.close();
    await compacting;
    await closing;
    await expect(tasks.compact()).rejects.toMatchObject({
      name: 'CortexError',
      kind: 'closed',
      message: 'cortex: compact failed: adapter closed',
    });
    const again = openOn(storage);
    expect((await again.tasks()).listTasks()).toEqual(rows);
    await again.redex.close();
  });

  it('of a NetDb goes over both models', async () => {
    const db = await NetDb.open({ originHash: ORIGIN, withTasks: true, withMemories: true });
    db.tasks?.create(1n, 't', 1n);
    db.memories?.store(1n, 'c', [], 's', 1n);
    const bundle = db.snapshot();
    await db.compact();
    expect(db.snapshot()).toEqual(bundle);
    db.close();
    await expect(db.compact()).rejects.toMatchObject({ name: 'CortexError', kind: 'closed' });
    const none = await NetDb.open({ originHash: ORIGIN });
    await none.compact();
    none.close();
  });
});
