import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { Redex, type RedexFile } from '../../src/redex/index.js';
import { NodeStorage } from '../../src/redex/storage-node.js';

const root = mkdtempSync(join(tmpdir(), 'redex-process-'));
let count = 0;
const directory = () => join(root, String(++count));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const entry = join(import.meta.dirname, '..', '..', '..', 'dist', 'redex', 'index.js');
const prelude = (where: string) =>
  `const { Redex } = require(${JSON.stringify(entry)}); const redex = new Redex({ persistentDir: ${JSON.stringify(where)} });`;
const run = (code: string, env: NodeJS.ProcessEnv = {}) =>
  spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', timeout: 20_000, env: { ...process.env, ...env } });

/** A process that runs `code`; resolves when it has printed a line. */
async function started(code: string, env: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

const open = (where: string, name = 'a') => new Redex({ persistentDir: where }).openFile(name, { persistent: true });
const appendSome = (file: RedexFile, n: number, size = 100) => {
  for (let i = 0; i < n; i += 1) file.append(Buffer.alloc(size, i));
};

describe('one directory, two processes', () => {
  const hold = (where: string) =>
    `${prelude(where)} redex.openFile('a', { persistent: true }).append(Buffer.from('x')); console.log('open'); setInterval(() => {}, 1000);`;

  it.each([
    ['addon', 'addon'],
    ['addon', 'wasm'],
    ['wasm', 'addon'],
    ['wasm', 'wasm'],
  ])('the second one is told, until the first has gone: %s first, %s second', async (first, second) => {
    const where = directory();
    const child = await started(hold(where), { MESHRING_BACKEND: first });
    const attempt = `${prelude(where)} try { redex.openFile('a', { persistent: true }); console.log('opened') } catch (e) { console.log(e.name, e.kind, e.message) }`;
    expect(run(attempt, { MESHRING_BACKEND: second }).stdout.trim()).toBe(
      'RedexError locked redex: open_file: io: channel is in use by another process',
    );
    await killed(child);
    expect(run(attempt, { MESHRING_BACKEND: second }).stdout.trim()).toBe('opened');
  });
});

describe('one process, many users of a directory', () => {
  it('worker threads share the log: one order, no loss, tails are woken across threads', async () => {
    const where = directory();
    const file = open(where);
    const seen: bigint[] = [];
    const reader = (async () => {
      for await (const event of await file.tail()) {
        seen.push(event.seq);
        if (seen.length === 4000) break;
      }
    })();
    const workers = [0, 1, 2, 3].map(
      (n) =>
        new Worker(
          `const { parentPort } = require('node:worker_threads'); ${prelude(where)}
           const file = redex.openFile('a', { persistent: true });
           for (let i = 0; i < 1000; i += 1) file.append(Buffer.from('${n}:' + i));
           file.close().then(() => parentPort.postMessage('done'));`,
          { eval: true },
        ),
    );
    const done = workers.map((worker) => new Promise((resolve) => worker.once('message', resolve)));
    await reader;
    expect(seen).toEqual(Array.from({ length: 4000 }, (_, i) => BigInt(i)));
    await Promise.all(done);
    const events = file.readRange(0n, 5000n).map((event) => event.payload.toString());
    for (const n of [0, 1, 2, 3]) {
      const own = events.filter((text) => text.startsWith(`${n}:`));
      expect(own).toEqual(Array.from({ length: 1000 }, (_, i) => `${n}:${i}`));
    }
    await file.close();
  });

  it('a terminated worker in the middle of appending leaves a good log', async () => {
    const where = directory();
    const file = open(where);
    for (let round = 0; round < 5; round += 1) {
      const before = file.nextSeq();
      const worker = new Worker(
        `${prelude(where)} const file = redex.openFile('a', { persistent: true });
         for (;;) { file.append(Buffer.from('from a worker')); if (file.nextSeq() % 1000n === 0n) setImmediate(() => {}); }`,
        { eval: true },
      );
      await expect.poll(() => file.nextSeq() > before + 100n, { timeout: 10_000 }).toBe(true);
      await worker.terminate();
    }
    const next = file.append(Buffer.from('still here'));
    expect(file.readRange(0n, next + 1n)).toHaveLength(Number(next) + 1);
    await file.close();
    const again = open(where);
    expect(again.nextSeq()).toBe(next + 1n);
    await again.close();
  });

  it('a directory that was replaced is noticed: old handles are closed, new ones see the new files', async () => {
    const where = directory();
    const old = open(where);
    old.append(Buffer.from('old'));
    renameSync(where, `${where}-moved`);
    const fresh = open(where);
    expect(fresh.len()).toBe(0n);
    expect(() => old.append(Buffer.from('x'))).toThrow('redex: append: file closed');
    await fresh.close();
  });
});

describe('the process', () => {
  it('ends although logs are open, and is kept by a pending next of a tail only', () => {
    const idle = run(
      `${prelude(directory())} redex.openFile('a', { persistent: true, fsyncIntervalMs: 50, retentionMaxAgeMs: 1000n }).append(Buffer.from('x'));
       redex.openFile('b').tail().then((tail) => tail[Symbol.asyncIterator]()); console.log('end');`,
    );
    expect([idle.status, idle.stdout.trim()]).toEqual([0, 'end']);
    const pending = run(
      `${prelude(directory())} const file = redex.openFile('a');
       (async () => { for await (const event of await file.tail()) { console.log('got', event.payload.toString()); break; } })();
       setTimeout(() => file.append(Buffer.from('late')), 100).unref();`,
    );
    expect([pending.status, pending.stdout.trim()]).toEqual([0, 'got late']);
  });
});

describe('storage that fails', () => {
  it('a path that is not a directory', () => {
    const where = directory();
    writeFileSync(where, 'a file');
    expect(() => open(where)).toThrow(/^redex: open_file: io: (Not a directory|File exists) \(os error (20|17)\)$/);
  });

  const mount = (...args: string[]) => spawnSync('mount', args).status === 0;
  const small = directory();
  mkdirSync(small, { recursive: true });
  const canMount = mount('-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', small);
  /** Where mounting is not allowed, a disk cannot be made full or read-only: these are not defined then. */
  const whenMounting = (name: string, test: () => Promise<void>) => canMount && it(name, test);
  afterAll(() => {
    if (canMount) spawnSync('umount', ['-l', small]);
  });

  whenMounting('a full disk is an error, and nothing is lost', async () => {
    for (const storage of [undefined, new NodeStorage(false)]) {
      const redex = new Redex({
        persistentDir: join(small, storage ? 'fs' : 'native'),
        ...(storage ? { storage } : {}),
      });
      const file = redex.openFile('a', { persistent: true });
      let accepted = 0n;
      let failure: unknown;
      for (let i = 0; i < 20_000 && !failure; i += 1) {
        try {
          accepted = file.append(Buffer.alloc(100, i)) + 1n;
        } catch (error) {
          failure = error;
        }
      }
      expect(failure).toMatchObject({
        name: 'RedexError',
        kind: 'io',
        message: 'redex: append: io: No space left on device (os error 28)',
      });
      expect(() => file.appendBatch(Array.from({ length: 5000 }, () => Buffer.alloc(100)))).toThrow('os error 28');
      expect(file.nextSeq()).toBe(accepted);
      const events = file.readRange(0n, accepted + 10n);
      expect(events).toHaveLength(Number(accepted));
      await redex.close();
      const again = new Redex({
        persistentDir: join(small, storage ? 'fs' : 'native'),
        ...(storage ? { storage } : {}),
      });
      const reopened = again.openFile('a', { persistent: true });
      expect(reopened.readRange(0n, accepted + 10n)).toEqual(events);
      await again.close();
      rmSync(join(small, storage ? 'fs' : 'native'), { recursive: true });
    }
  });

  whenMounting('a read-only file system is an error, with everything left as it was', async () => {
    const where = directory();
    const file = open(where);
    appendSome(file, 10);
    await file.close();
    expect(mount('--bind', where, where) && mount('-o', 'remount,bind,ro', where)).toBe(true);
    try {
      expect(() => open(where)).toThrow('redex: open_file: io: Read-only file system (os error 30)');
      expect(() => open(where, 'new')).toThrow('redex: open_file: io: Read-only file system (os error 30)');
    } finally {
      spawnSync('umount', ['-l', where]);
    }
    const again = open(where);
    expect(again.len()).toBe(10n);
    await again.close();
  });

  it('files that another program cuts under an open log: an error, not a signal', () => {
    const where = directory();
    const done = run(
      `${prelude(where)} const fs = require('node:fs');
       const file = redex.openFile('a', { persistent: true });
       for (let i = 0; i < 1000; i += 1) file.append(Buffer.alloc(100, i));
       fs.truncateSync(${JSON.stringify(join(where, 'a', 'v0000000001', 'dat'))}, 0);
       fs.truncateSync(${JSON.stringify(join(where, 'a', 'v0000000001', 'idx'))}, 0);
       try { for (let i = 0; i < 100000; i += 1) file.append(Buffer.alloc(100)); console.log('no error'); }
       catch (e) { console.log(e.message); }
       try { file.append(Buffer.alloc(1)); } catch (e) { console.log(e.kind); }
       console.log(file.readRange(0n, 1000n).length);`,
    );
    expect([done.signal, done.status]).toEqual([null, 0]);
    expect(done.stdout.trim().split('\n')).toEqual([
      'redex: append: io: the file was cut by another program',
      'poisoned',
      '1000',
    ]);
  });
});

describe('files after use', () => {
  it('have their exact lengths when closed, room ahead while open, and no lock is left', async () => {
    const where = directory();
    const file = open(where);
    appendSome(file, 10);
    const live = join(where, 'a', 'v0000000001');
    expect(existsSync(join(where, 'a', '~lock'))).toBe(true);
    await file.close();
    expect(['dat', 'idx', 'ts'].map((name) => statSync(join(live, name)).size)).toEqual([1000, 200, 80]);
    expect(existsSync(join(where, 'a', '~lock'))).toBe(false);
  });

  it('every truncation of every file opens to a prefix or an error', async () => {
    const where = directory();
    const file = open(where);
    appendSome(file, 12, 30);
    await file.close();
    const live = join(where, 'a', 'v0000000001');
    const originals = new Map(['dat', 'idx', 'ts'].map((name) => [name, readFileSync(join(live, name))]));
    for (const [name, bytes] of originals) {
      for (let length = 0; length < bytes.length; length += 13) {
        rmSync(join(where, 'a'), { recursive: true });
        mkdirSync(live, { recursive: true });
        for (const [other, content] of originals) writeFileSync(join(live, other), content);
        truncateSync(join(live, name), length);
        const again = open(where);
        const events = again.readRange(0n, 100n);
        expect(
          events.every((event, at) => Number(event.seq) === at && event.payload.equals(Buffer.alloc(30, at))),
        ).toBe(true);
        await again.close();
      }
    }
  });
});
