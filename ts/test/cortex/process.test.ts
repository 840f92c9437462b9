// What keeps a process alive, what memory holds, and that iterators end with the process.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NetDb, openFold, Redex, TasksAdapter } from '../../src/cortex.js';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = join(root, '.cache', 'cortex-process');
const bundle = join(folder, 'cortex.cjs');

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  const entryPoints = [join(root, 'ts', 'src', 'cortex.ts')];
  await build({ entryPoints, outfile: bundle, bundle: true, platform: 'node', format: 'cjs', logLevel: 'error' });
});

/** Runs a program; `tasks` is an open adapter. */
function run(name: string, program: string) {
  const file = join(folder, `${name}.cjs`);
  const head = `const { Redex, TasksAdapter, NetDb } = require(${JSON.stringify(bundle)});`;
  writeFileSync(
    file,
    `${head}\n(async () => {\nconst tasks = await TasksAdapter.open(new Redex(), 1n);\n${program}\n})();\n`,
  );
  return spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 20_000 });
}

describe('a process', () => {
  it('ends while adapters and watches are idle', () => {
    const done = run(
      'idle',
      `const watch = (await tasks.watch())[Symbol.asyncIterator]();
       await watch.next();
       tasks.create(1n, 'x', 1n);
       console.log((await watch.next()).value.length);`,
    );
    expect([done.status, done.signal, done.stdout]).toEqual([0, null, '1\n']);
  });

  it('goes on while a result is awaited, and ends after the close', () => {
    const done = run(
      'awaited',
      `setTimeout(() => tasks.create(1n, 'x', 1n), 60).unref();
       setTimeout(() => tasks.close(), 120).unref();
       for await (const result of await tasks.watch()) console.log(result.length);
       console.log('end');`,
    );
    expect([done.status, done.signal, done.stdout]).toEqual([0, null, '0\n1\nend\n']);
  });

  it('goes on while a sequence is awaited', () => {
    const done = run(
      'sequence',
      `setTimeout(() => tasks.create(1n, 'x', 1n), 60).unref();
       await tasks.waitForSeq(0n);
       console.log('reached');`,
    );
    expect([done.status, done.signal, done.stdout]).toEqual([0, null, 'reached\n']);
  });

  it('can exit with pending reads', () => {
    const done = run(
      'exit',
      `(await tasks.watch())[Symbol.asyncIterator]().next(); setTimeout(() => process.exit(3), 20);`,
    );
    expect([done.status, done.stderr]).toEqual([3, '']);
  });
});

describe('a worker thread', () => {
  it('writes to the log that the main thread has open, and is folded there', () => {
    const worker = join(folder, 'worker.cjs');
    const directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-worker-'));
    writeFileSync(
      worker,
      `const { NetDb } = require(${JSON.stringify(bundle)});
       (async () => {
         const config = { originHash: 9n, persistentDir: ${JSON.stringify(directory)}, persistent: true, withTasks: true };
         const db = await NetDb.open(config);
         for (let i = 0; i < 5000; i++) db.tasks.create(BigInt(i), 'from the worker', 1n);
         db.close();
       })();`,
    );
    const done = run(
      'threads',
      `const { Worker } = require('node:worker_threads');
       const config = { originHash: 7n, persistentDir: ${JSON.stringify(directory)}, persistent: true, withTasks: true };
       const db = await NetDb.open(config);
       const worker = new Worker(${JSON.stringify(worker)});
       for (let i = 5000; i < 10_000; i++) db.tasks.create(BigInt(i), 'from the main thread', 1n);
       await db.tasks.waitForSeq(9999n);
       console.log(db.tasks.count(), db.tasks.foldErrors(), db.tasks.snapshot().lastSeq);
       await new Promise((resolve) => worker.once('exit', resolve));
       db.close();`,
    );
    rmSync(directory, { recursive: true, force: true });
    expect([done.stderr, done.stdout, done.status]).toEqual(['', '10000 0n 9999n\n', 0]);
  });
});

describe('a worker thread that compacts', () => {
  it('what the main thread had not folded by then', () => {
    const worker = join(folder, 'compacting-worker.cjs');
    const directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-compact-'));
    writeFileSync(
      worker,
      `const { workerData } = require('node:worker_threads');
       const { NetDb } = require(${JSON.stringify(bundle)});
       (async () => {
         const config = { originHash: 9n, persistentDir: ${JSON.stringify(directory)}, persistent: true, withTasks: true };
         const db = await NetDb.open(config);
         db.tasks.delete(0n);
         for (let i = 1; i < 3000; i++) db.tasks.create(BigInt(i), 'from the worker', 1n);
         await db.compact();
         db.tasks.create(3000n, 'after it', 1n);
         db.close();
         Atomics.store(workerData, 0, 1);
         Atomics.notify(workerData, 0);
       })();`,
    );
    const done = run(
      'compacted-elsewhere',
      `const { Worker } = require('node:worker_threads');
       const config = { originHash: 7n, persistentDir: ${JSON.stringify(directory)}, persistent: true, withTasks: true };
       const db = await NetDb.open(config);
       db.tasks.create(0n, 'removed by the worker', 1n);
       const watch = (await db.tasks.watch())[Symbol.asyncIterator]();
       console.log((await watch.next()).value.length);
       const flag = new Int32Array(new SharedArrayBuffer(4));
       new Worker(${JSON.stringify(worker)}, { workerData: flag });
       Atomics.wait(flag, 0, 0);
       const next = watch.next();
       console.log((await next).value.length, db.tasks.count(), db.tasks.exists(0n), db.tasks.foldErrors());
       console.log(db.tasks.create(1n, 'x', 1n), db.tasks.snapshot().lastSeq);
       db.close();`,
    );
    rmSync(directory, { recursive: true, force: true });
    expect([done.stderr, done.stdout]).toEqual(['', '1\n3000 3000 false 0n\n3002n 3002n\n']);
  });
});

describe('two threads that write and compact at once', () => {
  it('lose nothing, and leave one state', () => {
    const directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-both-'));
    const work = `async (NetDb, base) => {
      const config = { originHash: BigInt(base), persistentDir: ${JSON.stringify(directory)}, persistent: true, withTasks: true };
      const db = await NetDb.open(config);
      for (let round = 0; round < 25; round++) {
        for (let i = 0; i < 40; i++) db.tasks.create(BigInt(base + round * 40 + i), 'x', 1n);
        await db.compact();
      }
      db.close();
      await db.closed;
    }`;
    const worker = join(folder, 'both-worker.cjs');
    writeFileSync(worker, `(${work})(require(${JSON.stringify(bundle)}).NetDb, 1_000_000);`);
    const done = run(
      'both',
      `const worker = new (require('node:worker_threads').Worker)(${JSON.stringify(worker)});
       const ended = new Promise((resolve) => worker.once('exit', resolve));
       await (${work})(NetDb, 0);
       console.log(await ended);
       const redex = new Redex({ persistentDir: ${JSON.stringify(directory)} });
       const last = await TasksAdapter.open(redex, 3n, { persistent: true });
       console.log(last.count(), last.snapshot().lastSeq, last.foldErrors());
       await last.compact();
       await redex.close();`,
    );
    const left = readdirSync(join(directory, 'cortex', 'tasks')).filter((name) => name.startsWith('~snapshot'));
    rmSync(directory, { recursive: true, force: true });
    expect([done.stderr, done.stdout]).toEqual(['', '0\n2000 1999n 0n\n']);
    expect(left).toEqual(['~snapshot-00000000000000001999']);
  });
});

describe('a burst of a million writes in one tick', () => {
  it('is folded', async () => {
    const tasks = await TasksAdapter.open(new Redex(), 1n);
    for (let i = 0; i < 1_000_000; i++) tasks.create(BigInt(i), 'x', BigInt(i));
    await tasks.waitForSeq(999_999n);
    expect(tasks.count()).toBe(1_000_000);
    expect(tasks.listTasks({ orderBy: 'IdDesc', limit: 1 })[0]?.id).toBe(999_999n);
    tasks.close();
  });
});

describe('a process that is killed', () => {
  const rounds = process.env.MESHRING_SOAK ? 100 : 4;
  it.each([
    ['as it writes', ''],
    [
      'as it compacts again and again',
      'if (i % 400 === 0) { compacting = compacting.then(() => db.compact()); await null; }',
    ],
  ])(
    '%s loses no write that had returned, and the fold goes on from there',
    async (how, also) => {
      const directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-kill-'));
      const file = join(folder, `killed ${how}.cjs`);
      writeFileSync(
        file,
        `const { NetDb } = require(${JSON.stringify(bundle)});
       (async () => {
         const persistentDir = ${JSON.stringify(directory)};
         const db = await NetDb.open({ originHash: 7n, persistentDir, persistent: true, withTasks: true });
         const first = db.tasks.count();
         let compacting = Promise.resolve();
         for (let i = first; ; i++) {
           db.tasks.create(BigInt(i), 'task ' + i, BigInt(i));
           if (i % 50 === 0) require('node:fs').writeSync(1, i + '\\n');
           ${also}
           if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
         }
       })();`,
      );
      try {
        for (let round = 0; round < rounds; round++) {
          const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
          let written = '';
          const enough = 200 + ((round * 7919) % 1500);
          for await (const chunk of child.stdout) {
            written += chunk;
            if (written.length > enough) child.kill('SIGKILL');
          }
          const acknowledged = Number(written.trim().split('\n').at(-1));
          const config = { originHash: 7n, persistentDir: directory, persistent: true, withTasks: true };
          const db = await NetDb.open(config);
          const count = db.tasks?.count() ?? 0;
          expect(count).toBeGreaterThan(acknowledged);
          const last = BigInt(count - 1);
          for (let id = 0n; id < last; id++)
            if (!db.tasks?.exists(id)) expect.fail(`task ${id} of ${count} is missing`);
          expect(db.tasks?.get(last)).toEqual({
            id: last,
            title: `task ${last}`,
            status: 'Pending',
            createdNs: last,
            updatedNs: last,
          });
          expect(db.tasks?.foldErrors()).toBe(0n);
          db.close();
          await db.closed;
        }
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
    rounds * 15_000,
  );
});

describe('memory', () => {
  const gc = (() => {
    setFlagsFromString('--expose-gc');
    return runInNewContext('gc') as () => void;
  })();
  afterAll(() => setFlagsFromString('--no-expose-gc'));

  async function settled(): Promise<number> {
    for (let i = 0; i < 6; i++) {
      gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return process.memoryUsage().heapUsed;
  }

  it('does not grow with abandoned watches', async () => {
    const tasks = await TasksAdapter.open(new Redex(), 1n);
    for (let i = 0n; i < 200n; i++) tasks.create(i, 'x', i);
    const abandon = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const watch = (await tasks.watch())[Symbol.asyncIterator]();
        if (i % 2) await watch.next();
      }
    };
    await abandon(100);
    const before = await settled();
    await abandon(10_000);
    expect((await settled()) - before).toBeLessThan(4e6);
    // And a change does not pay for them.
    tasks.create(5000n, 'y', 1n);
    expect(tasks.count()).toBe(201);
  });

  it('does not grow with abandoned tails, also under one signal', async () => {
    const file = new Redex().openFile('a');
    for (let i = 0; i < 200; i++) file.append(Buffer.alloc(500));
    const { signal } = new AbortController();
    const abandon = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const tail = (await file.tail(0n, { signal }))[Symbol.asyncIterator]();
        if (i % 2) await tail.next();
      }
    };
    await abandon(100);
    const before = await settled();
    await abandon(3000);
    expect((await settled()) - before).toBeLessThan(4e6);
  });

  it('does not grow with watches whose reader went away in the middle of a wait', async () => {
    const tasks = await TasksAdapter.open(new Redex(), 1n);
    const before = await settled();
    for (let i = 0; i < 2000; i++) {
      const control = new AbortController();
      const watch = (await tasks.watch(null, { signal: control.signal }))[Symbol.asyncIterator]();
      await watch.next();
      const next = watch.next();
      control.abort();
      expect((await next).done).toBe(true);
    }
    expect((await settled()) - before).toBeLessThan(4e6);
  });

  it("is given back with an abandoned adapter, and a fold of one's own", async () => {
    const redex = new Redex();
    const collected = new Set<string>();
    const registry = new FinalizationRegistry<string>((what) => collected.add(what));
    const { signal } = new AbortController();
    await (async () => {
      const tasks = await TasksAdapter.open(redex, 1n);
      tasks.create(1n, 'x', 1n);
      registry.register(tasks, 'adapter');
      const fold = await openFold(redex, 'cortex/tasks', { initial: () => 0, apply: (sum) => sum + 1 });
      const watch = fold.watch({ signal });
      expect((await watch.next()).value).toBe(1);
      registry.register(fold, 'fold');
      registry.register(watch, 'watch');
    })();
    for (let i = 0; i < 50 && collected.size < 3; i++) await settled();
    expect([...collected].sort()).toEqual(['adapter', 'fold', 'watch']);
    // The log is still there for the next one.
    expect((await TasksAdapter.open(redex, 1n)).count()).toBe(1);
  });
});
