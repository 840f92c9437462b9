import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { logCommand } from '../../src/cli/log.js';
import { NetDb } from '../../src/cortex.js';
import { Redex } from '../../src/redex/index.js';

const root = mkdtempSync(join(tmpdir(), 'redex-cli-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
  process.exitCode = 0;
});

/** Runs `meshring log …` in this process. */
async function log(...args: string[]): Promise<{ code: number; lines: string[]; errors: string }> {
  const lines: string[] = [];
  let errors = '';
  const out = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((text) => lines.push(...String(text).trimEnd().split('\n')) > 0);
  const err = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    errors += String(text);
    return true;
  });
  try {
    await logCommand().parseAsync(args, { from: 'user' });
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
  const code = Number(process.exitCode);
  process.exitCode = 0;
  return { code, lines, errors };
}

describe('meshring log', () => {
  let where = '';
  let count = 0;
  let redex: Redex;
  beforeEach(() => {
    where = join(root, String(++count));
    redex = new Redex({ persistentDir: where });
    const file = redex.openFile('orders/eu', { persistent: true });
    for (let i = 0; i < 20; i += 1) file.append(Buffer.from(`order ${i}`));
    return async () => redex.close();
  });

  it('inspects and verifies beside a process that has the log open', async () => {
    const { code, lines } = await log('inspect', where, '--from', '5', '--limit', '2');
    expect(code).toBe(0);
    expect(lines[0]).toMatch(/^orders\/eu: 20 events, next seq 20, generation 1, dat 150, idx 400$/);
    expect(lines.slice(1).map((line) => line.split('\t').filter((_, i) => i !== 1 && i !== 3))).toEqual([
      ['5', '7', 'order 5'],
      ['6', '7', 'order 6'],
    ]);
    expect((await log('verify', where)).code).toBe(0);
    const json = await log('tail', join(where, 'orders', 'eu'), '-n', '1', '--json');
    expect(JSON.parse(json.lines[0] ?? '')).toMatchObject({ seq: '19', payload: btoa('order 19') });
  });

  it('reports damage with file and offset, and changes nothing', async () => {
    await redex.close();
    const dat = join(where, 'orders', 'eu', 'v0000000001', 'dat');
    const bytes = readFileSync(dat);
    bytes[8] = 0;
    writeFileSync(dat, bytes);
    const { code, lines } = await log('verify', where);
    expect(code).toBe(1);
    expect(lines[1]).toBe(`damage\t${dat}\toffset 7\trecord 1\tseq 1\tchecksum`);
    expect(readFileSync(dat)).toEqual(bytes);
    expect((await log('inspect', where)).code).toBe(1);

    const compacted = await log('compact', where, '--max-events', '5');
    expect(compacted.code).toBe(0);
    expect(compacted.lines[0]).toMatch(/19 → 5 events, .*, 1 damaged records set aside$/);
    expect((await log('verify', where)).code).toBe(0);
  });

  it('checks the state that a compaction of CortEX left, and says how far it reaches', async () => {
    const config = { originHash: 7n, persistentDir: where, persistent: true, withTasks: true };
    const db = await NetDb.open(config);
    for (let i = 0n; i < 9n; i++) db.tasks?.create(i, 'x', i);
    await db.compact();
    db.close();
    await db.closed;
    const tasks = join(where, 'cortex', 'tasks');
    const { code, lines } = await log('verify', tasks);
    expect([code, lines]).toEqual([
      0,
      ['tasks: 1 events, next seq 9, generation 2, dat 28, idx 20, compacted state through seq 8'],
    ]);
    const state = join(tasks, '~snapshot-00000000000000000008');
    const bytes = readFileSync(state);
    bytes[3] = 0xff;
    writeFileSync(state, bytes);
    const json = await log('verify', tasks, '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.lines[0] ?? '')).toMatchObject({
      channel: 'tasks',
      events: 1,
      checked: 1,
      state: null,
      damage: [{ file: state, offset: 0, seq: '8', reason: 'checksum of a compacted state' }],
    });
  });

  it('compacts, for programs', async () => {
    await redex.close();
    const { code, lines } = await log('compact', where, '--max-events', '5', '--json');
    expect([code, JSON.parse(lines[0] ?? '')]).toEqual([
      0,
      { channel: 'orders/eu', before: { events: 20, bytes: 710 }, after: { events: 5, bytes: 180 }, setAside: 0 },
    ]);
  });

  it('says what is missing, with exit code 2', async () => {
    const { code, errors } = await log('verify', join(root, 'nowhere'));
    expect(code).toBe(2);
    expect(errors).toBe(`meshring log: ${join(root, 'nowhere')}: no such directory\n`);
    expect((await log('compact', where)).code).toBe(0);
  });
});
