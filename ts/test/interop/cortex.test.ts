// CortEX with the published peer: one directory used by both in turn, snapshots and bundles in both directions.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoriesAdapter, type Memory, NetDb, Redex, type Task, TasksAdapter } from '../../src/cortex.js';
import { peerMissing, runPeer } from './python.js';

const ORIGIN = 0xabcdef01n;
/** Python: rows of the peer with decimal strings for 64-bit values. */
const ROWS = `import net
def tasks(a): return [{"id": str(t.id), "title": t.title, "status": t.status.capitalize(), "createdNs": str(t.created_ns), "updatedNs": str(t.updated_ns)} for t in a.list_tasks(order_by="id_asc")]
def memories(a): return [{"id": str(m.id), "content": m.content, "tags": m.tags, "source": m.source, "createdNs": str(m.created_ns), "updatedNs": str(m.updated_ns), "pinned": m.pinned} for m in a.list_memories(order_by="id_asc")]
`;

const plain = (rows: (Task | Memory)[]) =>
  rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([k, v]) => [k, typeof v === 'bigint' ? String(v) : v])),
  );

describe.skipIf(peerMissing)('CortEX with the published peer', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'meshring-cortex-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('a directory written there is folded here, and what is appended here is folded there', async () => {
    const theirs = runPeer<{ tasks: object[]; memories: object[] }>(
      `${ROWS}
redex = net.Redex(persistent_dir=given["directory"])
t = net.TasksAdapter.open(redex, ${ORIGIN}, True)
for i in range(300):
    s = t.create(i, f"task {i} größe", 100 + i)
    if i % 3 == 0: s = t.complete(i, 1000 + i)
    if i % 5 == 0: s = t.rename(i, f"renamed {i}", 2000 + i)
    if i % 7 == 0: s = t.delete(i)
    t.wait_for_seq(s)
s = t.create(2**64 - 1, "日本", 2**64 - 1); t.wait_for_seq(s)
m = net.MemoriesAdapter.open(redex, ${ORIGIN}, True)
for i in range(100):
    s = m.store(i, f"content {i}", ["a", "b", "a"][: i % 4], f"source {i % 3}", i)
    if i % 2: s = m.pin(i, 500 + i)
    if i % 5 == 0: s = m.retag(i, ["r", "r"], 600 + i)
    m.wait_for_seq(s)
answer = {"tasks": tasks(t), "memories": memories(m)}`,
      { directory },
    );
    const db = await NetDb.open({
      originHash: ORIGIN,
      persistentDir: directory,
      persistent: true,
      withTasks: true,
      withMemories: true,
    });
    const { tasks, memories } = db;
    if (!tasks || !memories) throw new Error('both models were asked for');
    expect(plain(tasks.listTasks())).toEqual(theirs.tasks);
    expect(plain(memories.listMemories())).toEqual(theirs.memories);
    expect(tasks.foldErrors()).toBe(0n);

    tasks.create(5000n, 'from here', 1n);
    tasks.complete(5000n, 2n);
    tasks.rename(1n, 'one, renamed here \u{1f600}', 3n);
    tasks.delete(2n);
    memories.store(1n, 'replaced here', ['x', '', 'x'], 'here', 9n);
    memories.unpin(3n, 10n);
    memories.retag(4n, [], 11n);
    memories.delete(6n);
    const ours = { tasks: plain(tasks.listTasks()), memories: plain(memories.listMemories()) };
    const taskSeq = tasks.delete(999_999n);
    const memorySeq = memories.delete(999_999n);
    await closed(db);

    const again = runPeer<{ tasks: object[]; memories: object[]; after: object[] }>(
      `${ROWS}
redex = net.Redex(persistent_dir=given["directory"])
t = net.TasksAdapter.open(redex, ${ORIGIN}, True)
m = net.MemoriesAdapter.open(redex, ${ORIGIN}, True)
answer = {"tasks": tasks(t), "memories": memories(m)}
assert t.snapshot()[1] == ${taskSeq} and m.snapshot()[1] == ${memorySeq}
s = t.create(7777, "after ours", 5); t.wait_for_seq(s)
answer["after"] = tasks(t)`,
      { directory },
    );
    expect(again.tasks).toEqual(ours.tasks);
    expect(again.memories).toEqual(ours.memories);

    const last = await TasksAdapter.open(new Redex({ persistentDir: directory }), ORIGIN, { persistent: true });
    expect(plain(last.listTasks())).toEqual(again.after);
    // The whole log, whoever wrote it, is a prefix without a gap.
    expect(last.snapshot().lastSeq).toBe(taskSeq + 1n);
  });

  it('snapshots taken here are restored there', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const memories = await MemoriesAdapter.open(new Redex(), ORIGIN);
    for (let i = 0n; i < 200n; i++) {
      tasks.create(i * 997n, `t${i} ß`, i);
      if (i % 2n) tasks.complete(i * 997n, i + 1n);
      memories.store(i * 31n, `c${i}`, [`tag${i % 5n}`], 's', i);
      if (i % 3n) memories.pin(i * 31n, i + 1n);
    }
    const [t, m] = [tasks.snapshot(), memories.snapshot()];
    const theirs = runPeer<{ tasks: object[]; memories: object[]; last: [number, number] }>(
      `${ROWS}
t = net.TasksAdapter.open_from_snapshot(net.Redex(), ${ORIGIN}, bytes.fromhex(given["tasks"]), ${t.lastSeq})
m = net.MemoriesAdapter.open_from_snapshot(net.Redex(), ${ORIGIN}, bytes.fromhex(given["memories"]), ${m.lastSeq})
answer = {"tasks": tasks(t), "memories": memories(m)}`,
      { tasks: t.stateBytes.toString('hex'), memories: m.stateBytes.toString('hex') },
    );
    expect(theirs.tasks).toEqual(plain(tasks.listTasks()));
    expect(theirs.memories).toEqual(plain(memories.listMemories()));
  });

  it('bundles go both ways', async () => {
    const given = runPeer<{ bundle: string; tasks: object[]; memories: object[] }>(
      `${ROWS}
db = net.NetDb.open(origin_hash=${ORIGIN}, with_tasks=True, with_memories=True)
for i in range(50):
    s = db.tasks.create(i, f"t{i}", i); db.tasks.wait_for_seq(s)
    s = db.memories.store(i, f"c{i}", ["x"], "s", i); db.memories.wait_for_seq(s)
answer = {"bundle": db.snapshot().hex(), "tasks": tasks(db.tasks), "memories": memories(db.memories)}`,
      {},
    );
    const config = { originHash: ORIGIN, withTasks: true, withMemories: true };
    const db = await NetDb.openFromSnapshot(config, { stateBytes: Buffer.from(given.bundle, 'hex') });
    expect(plain(db.tasks?.listTasks() ?? [])).toEqual(given.tasks);
    expect(plain(db.memories?.listMemories() ?? [])).toEqual(given.memories);
    db.tasks?.complete(3n, 99n);
    db.memories?.delete(4n);
    const bundle = db.snapshot().stateBytes.toString('hex');
    const theirs = runPeer<{ tasks: object[]; memories: object[] }>(
      `${ROWS}
db = net.NetDb.open_from_snapshot(bytes.fromhex(given["bundle"]), origin_hash=${ORIGIN}, with_tasks=True, with_memories=True)
answer = {"tasks": tasks(db.tasks), "memories": memories(db.memories)}`,
      { bundle },
    );
    expect(theirs.tasks).toEqual(plain(db.tasks?.listTasks() ?? []));
    expect(theirs.memories).toEqual(plain(db.memories?.listMemories() ?? []));
    db.close();
  });
});

/** Closes a NetDb and waits until another process can open its directory. */
async function closed(db: NetDb): Promise<void> {
  db.close();
  await db.closed;
}
