// CortEX and the published peer on one directory when either of them is killed, and after a compaction here.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NetDb } from '../../src/cortex.js';
import { peerMissing, python, runPeer } from './python.js';

const ORIGIN = 7n;
const entry = join(import.meta.dirname, '..', '..', '..', 'dist', 'cortex.js');

/** Writes tasks and memories from the number of the first one that is missing on; prints numbers that are folded. */
const PEER_WRITER = `
import sys, net
db = net.NetDb.open(origin_hash=${ORIGIN}, persistent_dir=sys.argv[1], persistent=True, with_tasks=True, with_memories=True)
i = len(db.tasks.list_tasks())
while True:
    t = db.tasks.create(i, f"task {i}", i); m = db.memories.store(i, f"memory {i}", ["x", f"t{i % 3}"], "peer", i)
    if i % 20 == 0:
        db.tasks.wait_for_seq(t); db.memories.wait_for_seq(m)
        print(i, flush=True)
    i += 1
`;
const OUR_WRITER = `
const { NetDb } = require(${JSON.stringify(entry)});
(async () => {
  const db = await NetDb.open({ originHash: ${ORIGIN}n, persistentDir: process.argv[1], persistent: true, withTasks: true, withMemories: true });
  for (let i = BigInt(db.tasks.count()); ; i++) {
    db.tasks.create(i, 'task ' + i, i);
    db.memories.store(i, 'memory ' + i, ['x', 't' + (i % 3n)], 'ours', i);
    if (i % 20n === 0n) require('node:fs').writeSync(1, i + '\\n');
  }
})();
`;

/** What the peer finds in a NetDb, and its bundle of it. */
const peerFinds = (open: string) => `
import net
db = net.NetDb.${open}, origin_hash=${ORIGIN}, with_tasks=True, with_memories=True)
answer = {
    "tasks": [[t.id, t.title, t.created_ns] for t in db.tasks.list_tasks(order_by="id_asc")],
    "memories": [[m.id, m.content, m.tags, m.created_ns] for m in db.memories.list_memories(order_by="id_asc")],
    "bundle": db.snapshot().hex(),
}
`;
const IN_DIRECTORY = peerFinds('open(persistent=True, persistent_dir=given["directory"]');
const IN_BUNDLE = peerFinds('open_from_snapshot(bytes.fromhex(given["bundle"])');

interface Found {
  tasks: [number, string, number][];
  memories: [number, string, string[], number][];
  bundle: string;
}

/** Runs a writer until it has acknowledged `least` more numbers, kills it, and returns the last one it acknowledged. */
async function killed(program: ChildProcess, least: number): Promise<number> {
  let said = '';
  let lines = 0;
  for await (const chunk of program.stdout as NodeJS.ReadableStream) {
    said += String(chunk);
    lines = said.split('\n').length;
    if (lines > least) program.kill('SIGKILL');
  }
  return Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1));
}

const expected = (count: number) => ({
  tasks: Array.from({ length: count }, (_, i) => [i, `task ${i}`, i]),
  memories: Array.from({ length: count }, (_, i) => [i, `memory ${i}`, ['x', `t${i % 3}`], i]),
});

describe.skipIf(peerMissing)('one directory of CortEX, used by the published peer and us in turn', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-peer-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const open = () =>
    NetDb.open({ originHash: ORIGIN, persistentDir: directory, persistent: true, withTasks: true, withMemories: true });

  function found(db: NetDb) {
    const tasks = (db.tasks?.listTasks() ?? []).map(({ id, title, createdNs }) => [
      Number(id),
      title,
      Number(createdNs),
    ]);
    const rows = db.memories?.listMemories() ?? [];
    const memories = rows.map(({ id, content, tags, createdNs }) => [Number(id), content, tags, Number(createdNs)]);
    return { tasks, memories };
  }

  /** Everything acknowledged is there; the write that the kill interrupted may be there for one model only. */
  function check(state: { tasks: unknown[]; memories: unknown[] }, acknowledged: number): void {
    const [tasks, memories] = [state.tasks.length, state.memories.length];
    expect(tasks).toBeGreaterThan(acknowledged);
    expect(memories).toBeGreaterThan(acknowledged);
    expect(Math.abs(tasks - memories)).toBeLessThanOrEqual(1);
    expect(state.tasks).toEqual(expected(tasks).tasks);
    expect(state.memories).toEqual(expected(memories).memories);
  }

  /** Writes what the kill let only one model have, so that the next writer begins with one number for both. */
  async function levelled(db: NetDb): Promise<void> {
    const [tasks, memories] = [db.tasks?.count() ?? 0, db.memories?.count() ?? 0];
    const last = BigInt(Math.max(tasks, memories) - 1);
    if (tasks < memories) db.tasks?.create(last, `task ${last}`, last);
    if (memories < tasks) db.memories?.store(last, `memory ${last}`, ['x', `t${last % 3n}`], 'levelled', last);
    db.close();
    await db.closed;
  }

  it('goes on in the other one after kill -9 of either, with nothing acknowledged lost', async () => {
    for (const [round, writer] of (['peer', 'ours', 'peer', 'ours'] as const).entries()) {
      const child =
        writer === 'peer'
          ? spawn(python, ['-c', PEER_WRITER, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
          : spawn(process.execPath, ['-e', OUR_WRITER, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
      const acknowledged = await killed(child, 5 + round);
      // The reader is the other one; then the next writer opens what that left.
      if (writer === 'peer') {
        const db = await open();
        check(found(db), acknowledged);
        expect(db.tasks?.foldErrors()).toBe(0n);
        const bundle = db.snapshot().stateBytes.toString('hex');
        const restored = runPeer<Found>(IN_BUNDLE, { bundle });
        expect({ tasks: restored.tasks, memories: restored.memories }).toEqual(found(db));
        await levelled(db);
      } else {
        const theirs = runPeer<Found>(IN_DIRECTORY, { directory });
        check(theirs, acknowledged);
        const config = { originHash: ORIGIN, withTasks: true, withMemories: true };
        const restored = await NetDb.openFromSnapshot(config, { stateBytes: Buffer.from(theirs.bundle, 'hex') });
        expect(found(restored)).toEqual({ tasks: theirs.tasks, memories: theirs.memories });
        restored.close();
        await levelled(await open());
      }
    }
  });

  it('compacted here, it takes appends of the peer, which sees the events after the compaction', async () => {
    const first = await open();
    for (let i = 0n; i < 100n; i++) first.tasks?.create(i, `task ${i}`, i);
    await first.compact();
    first.tasks?.create(100n, 'task 100', 100n);
    first.close();
    await first.closed;
    expect(readdirSync(join(directory, 'cortex', 'tasks')).filter((name) => name.startsWith('~snap'))).toHaveLength(1);

    const theirs = runPeer<{ tasks: [number, string][]; seq: number }>(
      `import net
db = net.NetDb.open(origin_hash=${ORIGIN}, persistent_dir=given["directory"], persistent=True, with_tasks=True, with_memories=True)
seq = db.tasks.create(101, "task 101", 101); db.tasks.wait_for_seq(seq)
answer = {"tasks": [[t.id, t.title] for t in db.tasks.list_tasks(order_by="id_asc")], "seq": seq}`,
      { directory },
    );
    expect(theirs.seq).toBe(101);
    // The last event that the state holds stays on disk as the anchor of the sequence.
    expect(theirs.tasks.slice(-2)).toEqual([
      [100, 'task 100'],
      [101, 'task 101'],
    ]);

    const again = await open();
    expect(found(again).tasks).toEqual(expected(102).tasks);
    expect(again.tasks?.snapshot().lastSeq).toBe(101n);
    expect(again.tasks?.foldErrors()).toBe(0n);
    again.close();
    await again.closed;
  });
});
