// NetDb over storage that fails: a full disk, a read-only one, another process, files that are cut or gone.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CortexError, NetDb } from '../../src/cortex.js';

const root = mkdtempSync(join(tmpdir(), 'meshring-cortex-failures-'));
const entry = join(import.meta.dirname, '..', '..', '..', 'dist', 'cortex.js');
let count = 0;
const directory = () => {
  const path = join(root, String(++count));
  mkdirSync(path);
  return path;
};
const mount = (...args: string[]) => spawnSync('mount', args).status === 0;
const mounted: string[] = [];
const small = directory();
const canMount = mount('-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small);
if (canMount) mounted.push(small);
afterAll(() => {
  for (const path of mounted) spawnSync('umount', ['-l', path]);
  rmSync(root, { recursive: true, force: true });
});

const config = (persistentDir: string) => ({
  originHash: 7n,
  persistentDir,
  persistent: true,
  withTasks: true,
  withMemories: true,
});

async function closed(db: NetDb): Promise<void> {
  db.close();
  await db.closed;
}

/** A closed NetDb with ten tasks, all of them flushed. */
async function tenTasks(): Promise<{ where: string; live: string }> {
  const where = directory();
  const db = await NetDb.open(config(where));
  for (let i = 0n; i < 10n; i++) db.tasks?.create(i, `task ${i}`, i);
  await closed(db);
  return { where, live: join(where, 'cortex', 'tasks', 'v0000000001') };
}

// Where mounting is not allowed, a disk cannot be made full or read-only without harming others.
if (canMount) {
  describe('a full disk', () => {
    it('is an error of the write and of the compaction; everything accepted stays', async () => {
      const db = await NetDb.open(config(small));
      let failure: unknown;
      let accepted = 0n;
      for (; accepted < 100_000n && failure === undefined; accepted += failure === undefined ? 1n : 0n) {
        try {
          db.tasks?.create(accepted, `task ${accepted} ${'x'.repeat(80)}`, accepted);
        } catch (error) {
          failure = error;
        }
      }
      expect(failure).toBeInstanceOf(CortexError);
      expect(failure).toMatchObject({
        kind: 'append-failed',
        message: 'cortex: create failed: redex: io: No space left on device (os error 28)',
      });
      expect(db.tasks?.count()).toBe(Number(accepted));
      expect(db.tasks?.isRunning()).toBe(true);
      await expect(db.compact()).rejects.toMatchObject({
        name: 'CortexError',
        kind: 'compact-failed',
        message: 'cortex: compact failed: redex: io: No space left on device (os error 28)',
      });
      expect(readdirSync(join(small, 'cortex', 'tasks')).filter((name) => name.startsWith('~snapshot'))).toEqual([]);
      const rows = db.tasks?.listTasks();
      await closed(db);

      const again = await NetDb.open(config(small));
      expect(again.tasks?.listTasks()).toEqual(rows);
      // With some room it goes on, and the sequence has no hole.
      expect(spawnSync('mount', ['-o', 'remount,size=8m', small]).status).toBe(0);
      expect(again.tasks?.create(accepted, 'room again', 1n)).toBe(accepted);
      expect(again.tasks?.snapshot().lastSeq).toBe(accepted);
      await again.compact();
      await closed(again);
      const last = await NetDb.open(config(small));
      expect(last.tasks?.count()).toBe(Number(accepted) + 1);
      await closed(last);
    });
  });

  describe('a read-only disk', () => {
    it('is an error of the open', async () => {
      const { where } = await tenTasks();
      expect(mount('--bind', where, where) && mount('-o', 'remount,bind,ro', where)).toBe(true);
      mounted.push(where);
      await expect(NetDb.open(config(where))).rejects.toMatchObject({
        name: 'CortexError',
        kind: 'open-failed',
        message: 'cortex: NetDb open tasks: redex: io: Read-only file system (os error 30)',
      });
    });
  });
}

describe('another process', () => {
  it('keeps a directory to itself until it ends', async () => {
    const { where } = await tenTasks();
    const holder = spawn(
      process.execPath,
      [
        '-e',
        `require(${JSON.stringify(entry)}).NetDb.open({ originHash: 1n, persistentDir: process.argv[1], persistent: true, withTasks: true })
          .then((db) => { db.tasks.create(50n, 'of the other process', 1n); console.log('open'); setInterval(() => db, 1e6); });`,
        where,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    await expect(NetDb.open(config(where))).rejects.toMatchObject({
      name: 'CortexError',
      kind: 'open-failed',
      message: 'cortex: NetDb open tasks: redex: io: channel is in use by another process',
    });
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    holder.kill('SIGKILL');
    await gone;
    const db = await NetDb.open(config(where));
    expect(db.tasks?.count()).toBe(11);
    await closed(db);
  });
});

describe('files that are', () => {
  const open = async (where: string) => {
    const db = await NetDb.open(config(where));
    const ids = (db.tasks?.listTasks() ?? []).map(({ id }) => id);
    const next = db.tasks?.create(99n, 'next', 1n);
    await closed(db);
    return { ids, next };
  };
  const upTo = (end: bigint) => Array.from({ length: Number(end) }, (_, i) => BigInt(i));

  it.each(['ts', 'manifest'])('missing (%s): nothing is lost', async (name) => {
    const { where, live } = await tenTasks();
    rmSync(name === 'ts' ? join(live, 'ts') : join(live, '..', 'manifest'));
    expect(await open(where)).toEqual({ ids: upTo(10n), next: 10n });
  });

  it('missing (idx): refused, and nothing is touched', async () => {
    const { where, live } = await tenTasks();
    rmSync(join(live, 'idx'));
    const { size } = statSync(join(live, 'dat'));
    await expect(NetDb.open(config(where))).rejects.toMatchObject({
      name: 'CortexError',
      kind: 'open-failed',
      message: expect.stringMatching(/^cortex: NetDb open tasks: redex: io: .*v0000000001/),
    });
    expect(statSync(join(live, 'dat')).size).toBe(size);
  });

  it.each([
    ['dat', 3],
    ['idx', 7],
  ])('cut (%s): what is whole stays', async (name, bytes) => {
    const { where, live } = await tenTasks();
    truncateSync(join(live, name), statSync(join(live, name)).size - bytes);
    const { ids, next } = await open(where);
    expect(ids).toEqual(upTo(9n));
    expect(next).toBeGreaterThanOrEqual(9n);
  });

  it('in the way of a directory: refused by name of the model', async () => {
    const where = directory();
    mkdirSync(join(where, 'cortex'));
    writeFileSync(join(where, 'cortex', 'memories'), '');
    await expect(NetDb.open(config(where))).rejects.toMatchObject({
      kind: 'open-failed',
      message: expect.stringMatching(/^cortex: NetDb open memories: redex: io: /),
    });
    // The tasks were closed again: the directory is free.
    const db = await NetDb.open({ ...config(where), withMemories: false });
    await closed(db);
  });
});
