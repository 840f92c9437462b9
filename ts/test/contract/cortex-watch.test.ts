// Watches against the list call, for random operations, filters and reading speeds.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  MemoriesAdapter,
  type Memory,
  type MemoryFilter,
  Redex,
  type Task,
  type TaskFilter,
  TasksAdapter,
} from '../../src/cortex.js';

const order = fc.constantFrom('IdAsc', 'IdDesc', 'CreatedAsc', 'CreatedDesc', 'UpdatedAsc', 'UpdatedDesc');
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const id = fc.bigInt(0n, 30n);
const time = fc.bigInt(0n, 9n);
/** What happens between two reads; `reads` says how many results the reader then takes. */
const step = fc.record({
  ops: fc.array(fc.record({ op: fc.nat({ max: 5 }), id, time, text: fc.constantFrom('Docs', 'ship', 'x') }), {
    maxLength: 12,
  }),
  reads: fc.nat({ max: 3 }),
});
const filter = fc.record({
  orderBy: optional(order),
  limit: optional(fc.nat({ max: 8 })),
  createdAfterNs: optional(time),
  updatedBeforeNs: optional(time),
});
const soak = typeof process !== 'undefined' && process.env?.MESHRING_SOAK !== undefined;
const LIMIT_MS = soak ? 600_000 : 30_000;
const runs = { numRuns: soak ? 3000 : 200 };

/** Lets microtasks run until nothing is outstanding. */
async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

/**
 * Drives one watch: each result must be the list of that moment (or the newest), no two in a row equal, the last one
 * the final state, and nothing comes after the close.
 */
async function follow<Row>(
  adapter: { close(): void },
  updates: AsyncIterable<Row[]>,
  list: () => Row[],
  first: Row[] | undefined,
  steps: { change(): void; reads: number }[],
): Promise<void> {
  const watch = updates[Symbol.asyncIterator]();
  const results: Row[][] = first === undefined ? [] : [first];
  let reading: Promise<void> | undefined;
  let ended = false;
  const read = () => {
    reading = watch.next().then(({ value, done }) => {
      reading = undefined;
      if (done) ended = true;
      else results.push(value);
    });
  };
  for (const { change, reads } of steps) {
    change();
    await settle();
    for (let i = 0; i < reads && !ended; i++) {
      if (reading === undefined) read();
      await settle();
    }
    // A reader that waits has seen everything.
    if (reading !== undefined && results.length > 0) expect(results.at(-1)).toEqual(list());
  }
  const state = list();
  adapter.close();
  while (!ended) {
    if (reading === undefined) read();
    await settle();
  }
  expect(results.at(-1)).toEqual(state);
  for (let i = 1; i < results.length; i++) expect(results[i]).not.toEqual(results[i - 1]);
  expect((await watch.next()).done).toBe(true);
}

it(
  'watches of tasks give every state that a reader can see',
  async () => {
    const taskFilter = fc.record({
      base: filter,
      status: optional(fc.constantFrom('Pending', 'Completed')),
      titleContains: optional(fc.constantFrom('D', 'x')),
      snapshot: fc.boolean(),
    });
    const property = fc.asyncProperty(taskFilter, fc.array(step, { maxLength: 12 }), async (given, steps) => {
      const tasks = await TasksAdapter.open(new Redex(), 1n);
      for (let i = 0n; i < 10n; i++) tasks.create(i, 'x', i);
      const { base, snapshot, ...rest } = given;
      const filter = { ...base, ...rest } as TaskFilter;
      const changes = steps.map(({ ops, reads }) => ({
        reads,
        change: () => {
          for (const { op, id, time, text } of ops) {
            if (op < 2) tasks.create(id, text, time);
            else if (op === 2) tasks.rename(id, text, time);
            else if (op < 5) tasks.complete(id, time);
            else tasks.delete(id);
          }
        },
      }));
      const list = () => tasks.listTasks(filter);
      if (snapshot) {
        const both = await tasks.snapshotAndWatch(filter);
        await follow<Task>(tasks, both.updates, list, both.snapshot, changes);
      } else await follow<Task>(tasks, await tasks.watch(filter), list, undefined, changes);
    });
    await fc.assert(property, runs);
  },
  LIMIT_MS,
);

it(
  'watches of memories give every state that a reader can see',
  async () => {
    const memoryFilter = fc.record({
      base: filter,
      pinned: optional(fc.boolean()),
      tag: optional(fc.constantFrom('Docs', 'ship')),
    });
    const property = fc.asyncProperty(memoryFilter, fc.array(step, { maxLength: 12 }), async (given, steps) => {
      const memories = await MemoriesAdapter.open(new Redex(), 1n);
      const { base, ...rest } = given;
      const filter = { ...base, ...rest } as MemoryFilter;
      const changes = steps.map(({ ops, reads }) => ({
        reads,
        change: () => {
          for (const { op, id, time, text } of ops) {
            if (op < 2) memories.store(id, text, [text], text, time);
            else if (op === 2) memories.retag(id, [text, 'x'], time);
            else if (op === 3) memories.pin(id, time);
            else if (op === 4) memories.unpin(id, time);
            else memories.delete(id);
          }
        },
      }));
      await follow<Memory>(
        memories,
        await memories.watch(filter),
        () => memories.listMemories(filter),
        undefined,
        changes,
      );
    });
    await fc.assert(property, runs);
  },
  LIMIT_MS,
);

it('a watch that reads slowly through many changes gets the newest result', async () => {
  const tasks = await TasksAdapter.open(new Redex(), 1n);
  const watch = (await tasks.watch({ status: 'Pending' }))[Symbol.asyncIterator]();
  await watch.next();
  for (let i = 0n; i < 20_000n; i++) {
    tasks.create(i, 'x', i);
    if (i % 3n === 0n) tasks.complete(i, i);
  }
  expect((await watch.next()).value).toEqual(tasks.listTasks({ status: 'Pending' }));
  const next = watch.next();
  tasks.rename(1n, 'y', 1n);
  expect((await next).value).toEqual(tasks.listTasks({ status: 'Pending' }));
});
