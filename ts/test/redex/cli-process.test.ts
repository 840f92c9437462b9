// `meshring log` as a process: exit codes, a reader that goes away, following a writer, an interrupt.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redex, type RedexFile } from '../../src/redex/index.js';

const cli = join(import.meta.dirname, '..', '..', '..', 'dist', 'cli.js');
const root = mkdtempSync(join(tmpdir(), 'redex-cli-process-'));
const redex = new Redex({ persistentDir: root });
let file: RedexFile;

beforeAll(() => {
  file = redex.openFile('orders/eu', { persistent: true });
  const payloads = Array.from({ length: 1000 }, (_, i) => Buffer.from(`order ${i} ${'x'.repeat(60)}`));
  for (let i = 0; i < 100; i += 1) file.appendBatch(payloads);
});
afterAll(async () => {
  await redex.close();
  rmSync(root, { recursive: true, force: true });
});

const log = (...args: string[]) => spawnSync(process.execPath, [cli, 'log', ...args], { encoding: 'utf8' });

/** Lines of a running command. */
function lines(child: ChildProcess): AsyncIterator<string> {
  return createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
}

describe('exit codes', () => {
  it.each([
    ['help', ['--help'], 0],
    ['help of a sub-command', ['verify', '--help'], 0],
    ['a good directory', ['verify', root], 0],
    ['no directory', ['verify'], 2],
    ['an unknown command', ['bogus', root], 2],
    ['an unknown option', ['verify', root, '--bogus'], 2],
    ['a bad number', ['inspect', root, '--limit', 'x'], 2],
    ['a directory that is not there', ['verify', join(root, 'nowhere')], 2],
    ['a file instead of a directory', ['verify', cli], 2],
    ['a directory without channels', ['tail', join(root, 'orders', 'eu', 'v0000000001')], 2],
    ['compaction of what a process has open', ['compact', root], 2],
  ])('%s', (_, args, code) => {
    const { status, stderr } = log(...args);
    expect([status, stderr.includes('    at ')], stderr).toEqual([code, false]);
    if (code === 2) expect(stderr).not.toBe('');
  });

  it('names who is in the way', () => {
    expect(log('compact', root).stderr).toBe(
      'meshring log: redex: open_file: io: channel is in use by another process\n',
    );
  });
});

it('ends quietly when its reader goes away', async () => {
  const child = spawn(process.execPath, [cli, 'log', 'inspect', root], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr?.on('data', (chunk) => {
    errors += chunk;
  });
  const gone = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  await lines(child).next();
  child.stdout?.destroy();
  expect([await gone, errors]).toEqual([0, '']);
});

it('prints a hundred thousand entries in order, for people and for programs', () => {
  const text = spawnSync(process.execPath, [cli, 'log', 'inspect', root], { encoding: 'utf8', maxBuffer: 1 << 28 });
  expect(
    text.stdout
      .split('\n')
      .slice(1, -1)
      .map((line) => Number(line.split('\t')[0])),
  ).toEqual(Array.from({ length: 100_000 }, (_, i) => i));
  const json = spawnSync(process.execPath, [cli, 'log', 'inspect', root, '--json', '--from', '99998'], {
    encoding: 'utf8',
  });
  expect(
    json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).seq),
  ).toEqual(['99998', '99999']);
});

it('follows a writer through appends and a compaction, and ends at an interrupt', async () => {
  const limited = new Redex({ persistentDir: join(root, 'other') });
  const log = limited.openFile('a', { persistent: true, retentionMaxEvents: 5n });
  log.append(Buffer.from('first'));
  const args = [cli, 'log', 'tail', join(root, 'other'), '-f', '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])));
  const out = lines(child);
  const next = async () => {
    const { payload } = JSON.parse((await out.next()).value);
    return Buffer.from(payload, 'base64').toString();
  };
  expect(await next()).toBe('first');
  for (let i = 0; i < 300; i += 1) log.append(Buffer.from(`event ${i}`));
  for (let i = 0; i < 300; i += 1) expect(await next()).toBe(`event ${i}`);
  await log.sweepRetention();
  log.append(Buffer.from('after the compaction'));
  expect(await next()).toBe('after the compaction');
  log.append(Buffer.alloc(0));
  expect(await next()).toBe('');
  child.kill('SIGINT');
  expect(await gone).toEqual([0, null]);
  await limited.close();
});
