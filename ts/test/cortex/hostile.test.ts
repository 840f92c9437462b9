// Bytes from outside: snapshots, bundles and events of any content give an error or a state, and never stop a fold.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CortexError, MemoriesAdapter, NetDb, NetDbError, Redex, TasksAdapter } from '../../src/cortex.js';

const soak = process.env.MESHRING_SOAK ? 20 : 1;
const config = { originHash: 1n, withTasks: true, withMemories: true };

/** A bundle with some of everything. */
async function bundle(): Promise<Buffer> {
  const db = await NetDb.open(config);
  for (let i = 0n; i < 6n; i++) {
    db.tasks?.create(i * 300n, `tâsk ${i}`, 2n ** 64n - 1n - i);
    db.memories?.store(i, `memory ${i}`, ['a', 'größe', ''].slice(0, Number(i % 4n)), 's', i);
    if (i % 2n) db.memories?.pin(i, 1n);
    if (i % 2n) db.tasks?.complete(i * 300n, i);
  }
  const { stateBytes } = db.snapshot();
  db.close();
  return stateBytes;
}

/** What was restored from hostile bytes works like any other state. */
async function use(db: NetDb): Promise<void> {
  const { tasks, memories } = db;
  for (const task of tasks?.listTasks() ?? []) tasks?.rename(task.id, 'renamed', 1n);
  for (const memory of memories?.listMemories() ?? []) memories?.retag(memory.id, ['t'], 1n);
  expect(memories?.countWhere({ tag: 't' })).toBe(memories?.count());
  const again = await NetDb.openFromSnapshot(config, db.snapshot());
  expect(again.tasks?.listTasks()).toEqual(tasks?.listTasks());
  expect(again.memories?.listMemories()).toEqual(memories?.listMemories());
  again.close();
  db.close();
}

async function restore(stateBytes: Uint8Array): Promise<void> {
  try {
    await use(await NetDb.openFromSnapshot(config, { stateBytes: Buffer.from(stateBytes) }));
  } catch (error) {
    if (!(error instanceof CortexError) && !(error instanceof NetDbError)) throw error;
  }
}

describe('bundles', () => {
  it('with random bytes', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), restore), { numRuns: 500 * soak });
  });

  it('with flipped, missing and surplus bytes', async () => {
    const good = await bundle();
    const damage = fc.record({
      at: fc.nat({ max: good.length - 1 }),
      bits: fc.integer({ min: 1, max: 255 }),
      cut: fc.nat({ max: good.length }),
    });
    const property = fc.asyncProperty(damage, fc.uint8Array({ maxLength: 4 }), async ({ at, bits, cut }, more) => {
      const flipped = Buffer.from(good);
      flipped[at] = (flipped[at] as number) ^ bits;
      await restore(flipped);
      await restore(good.subarray(0, cut));
      await restore(Buffer.concat([flipped.subarray(0, cut), more, flipped.subarray(cut)]));
    });
    await fc.assert(property, { numRuns: 300 * soak });
  });
});

describe('events', () => {
  it('with random and damaged bytes are skipped and counted, and the fold goes on', async () => {
    const source = new Redex();
    const [tasks, memories] = [await TasksAdapter.open(source, 1n), await MemoriesAdapter.open(source, 1n)];
    tasks.create(1n, 'one', 1n);
    tasks.rename(1n, 'uno', 2n);
    memories.store(1n, 'c', ['x', 'y'], 's', 1n);
    memories.retag(1n, [], 2n);
    const good = ['tasks', 'memories'].flatMap((name) =>
      source
        .openFile(`cortex/${name}`)
        .readRange(0n, 9n)
        .map(({ payload }) => payload),
    );
    const event = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .record({
          which: fc.nat({ max: good.length - 1 }),
          at: fc.nat({ max: 60 }),
          bits: fc.integer({ min: 0, max: 255 }),
        })
        .map(({ which, at, bits }) => {
          const bytes = Buffer.from(good[which] as Buffer);
          if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ bits;
          return bytes;
        }),
    );
    const property = fc.asyncProperty(fc.array(event, { maxLength: 20 }), async (events) => {
      for (const model of ['tasks', 'memories']) {
        const redex = new Redex();
        const file = redex.openFile(`cortex/${model}`);
        const Adapter = model === 'tasks' ? TasksAdapter : MemoriesAdapter;
        const live = await Adapter.open(redex, 5n);
        for (const bytes of events) file.append(bytes);
        const late = await Adapter.open(redex, 5n);
        expect(late.snapshot()).toEqual(live.snapshot());
        expect(late.foldErrors()).toBe(live.foldErrors());
        expect(live.isRunning()).toBe(true);
        const seq = live instanceof TasksAdapter ? live.create(9n, 'after', 1n) : live.store(9n, '', [], '', 1n);
        await late.waitForSeq(seq);
        expect(late.exists(9n)).toBe(true);
      }
    });
    await fc.assert(property, { numRuns: 200 * soak });
  });
});
