// The indexed query engine against a naive scan of a plain map, after random operations.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MemoryFilter, memoryQuery, type TaskFilter, taskQuery } from '../../src/cortex/filter.js';
import { MemoriesModel, type Memory } from '../../src/cortex/memories-model.js';
import { countMatches, select } from '../../src/cortex/query.js';
import { type Task, TasksModel } from '../../src/cortex/tasks-model.js';
import { high, low } from '../../src/cortex/u64.js';

type Order = 'IdAsc' | 'IdDesc' | 'CreatedAsc' | 'CreatedDesc' | 'UpdatedAsc' | 'UpdatedDesc';
interface Times {
  id: bigint;
  createdNs: bigint;
  updatedNs: bigint;
}

const U64_MAX = 2n ** 64n - 1n;
/** Few distinct values, so that ids meet again and times tie; with both ends of the range. */
const id = fc.oneof(fc.bigInt(0n, 40n), fc.constantFrom(U64_MAX, 2n ** 32n, 2n ** 32n + 1n, 2n ** 63n));
const time = fc.oneof(fc.bigInt(0n, 12n), fc.constantFrom(U64_MAX, 2n ** 32n, 2n ** 53n + 1n));
const word = fc.constantFrom('', 'Docs', 'write docs', 'ÄRGERN', 'ship it', 'docs!', 'İstanbul', 'ΣΑΣ');
const tags = fc.array(fc.constantFrom('work', 'Work', 'todo', 'notes', 'x'), { maxLength: 4 });
const source = fc.constantFrom('alice', 'bob', 'Alice', '');
const order = fc.constantFrom<Order>('IdAsc', 'IdDesc', 'CreatedAsc', 'CreatedDesc', 'UpdatedAsc', 'UpdatedDesc');
const needle = fc.constantFrom('', 'DOCS', 'är', 'it', 'σας', 'i̇s');

/** A record whose keys may be missing. */
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const bounds = {
  createdAfterNs: optional(time),
  createdBeforeNs: optional(time),
  updatedAfterNs: optional(time),
  updatedBeforeNs: optional(time),
  orderBy: optional(order),
  limit: optional(fc.nat({ max: 12 })),
};
const taskFilter = fc.record({
  ...bounds,
  status: optional(fc.constantFrom('Pending' as const, 'Completed' as const)),
  titleContains: optional(needle),
});
const memoryFilter = fc.record({
  ...bounds,
  source: optional(source),
  contentContains: optional(needle),
  tag: optional(fc.constantFrom('work', 'todo', 'absent')),
  anyTag: optional(tags),
  allTags: optional(tags),
  pinned: optional(fc.boolean()),
});

const key = { Id: 'id', Created: 'createdNs', Updated: 'updatedNs' } as const;

function sorted<T extends Times>(rows: T[], filter: { orderBy?: Order | undefined; limit?: number | undefined }): T[] {
  const [, name, direction] = /^(Id|Created|Updated)(Asc|Desc)$/.exec(filter.orderBy ?? 'IdAsc') as unknown as [
    string,
    keyof typeof key,
    string,
  ];
  const field = key[name];
  const by = (a: T, b: T) => {
    if (a[field] !== b[field]) return a[field] < b[field] === (direction === 'Asc') ? -1 : 1;
    return a.id < b.id ? -1 : 1;
  };
  return rows.sort(by).slice(0, filter.limit ?? rows.length);
}

function inTime(row: Times, filter: TaskFilter | MemoryFilter): boolean {
  return (
    row.createdNs >= (filter.createdAfterNs ?? 0n) &&
    row.createdNs <= (filter.createdBeforeNs ?? U64_MAX) &&
    row.updatedNs >= (filter.updatedAfterNs ?? 0n) &&
    row.updatedNs <= (filter.updatedBeforeNs ?? U64_MAX)
  );
}

const contains = (text: string, part: string | undefined) =>
  part === undefined || text.toLowerCase().includes(part.toLowerCase());

const taskOp = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('create' as const), id, text: word, time }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('rename' as const), id, text: word, time }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('complete' as const), id, text: word, time }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), id, text: word, time }) },
);

describe('task queries', () => {
  it('find what a scan finds', () => {
    const run = fc.property(
      fc.array(taskOp, { maxLength: 120 }),
      fc.array(taskFilter, { minLength: 1, maxLength: 8 }),
      (ops, filters) => {
        const model = new TasksModel();
        const naive = new Map<bigint, Task>();
        for (const { op, id, text, time } of ops) {
          const known = naive.get(id);
          const at = [low(time), high(time)] as const;
          if (op === 'create') {
            model.created(low(id), high(id), text, ...at);
            naive.set(id, { id, title: text, status: 'Pending', createdNs: time, updatedNs: time });
          } else if (op === 'rename') {
            model.renamed(low(id), high(id), text, ...at);
            if (known) Object.assign(known, { title: text, updatedNs: time });
          } else if (op === 'complete') {
            model.completed(low(id), high(id), ...at);
            if (known) Object.assign(known, { status: 'Completed', updatedNs: time });
          } else {
            model.deleted(low(id), high(id));
            naive.delete(id);
          }
        }
        expect(model.table.size).toBe(naive.size);
        for (const given of filters) {
          const filter = given as TaskFilter;
          const hits = [...naive.values()].filter(
            (task) =>
              inTime(task, filter) &&
              (filter.status === undefined || task.status === filter.status) &&
              contains(task.title, filter.titleContains),
          );
          expect(countMatches(model, taskQuery(filter))).toBe(hits.length);
          expect(select(model, taskQuery(filter)).map((slot) => model.row(slot))).toEqual(sorted(hits, given));
        }
      },
    );
    fc.assert(run, { numRuns: process.env.MESHRING_SOAK ? 5000 : 300 });
  });
});

const memoryOp = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('store' as const), id, text: word, tags, source, time }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('retag' as const), id, text: word, tags, source, time }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('pin' as const), id, text: word, tags, source, time }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unpin' as const), id, text: word, tags, source, time }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), id, text: word, tags, source, time }) },
);

describe('memory queries', () => {
  it('find what a scan finds', () => {
    const run = fc.property(
      fc.array(memoryOp, { maxLength: 120 }),
      fc.array(memoryFilter, { minLength: 1, maxLength: 8 }),
      (ops, filters) => {
        const model = new MemoriesModel();
        const naive = new Map<bigint, Memory>();
        for (const { op, id, text, tags, source, time } of ops) {
          const known = naive.get(id);
          const at = [low(time), high(time)] as const;
          if (op === 'store') {
            model.stored(low(id), high(id), text, tags, source, ...at);
            const kept = { createdNs: known?.createdNs ?? time, pinned: known?.pinned ?? false };
            naive.set(id, { id, content: text, tags, source, updatedNs: time, ...kept });
          } else if (op === 'retag') {
            model.retagged(low(id), high(id), tags, ...at);
            if (known) Object.assign(known, { tags, updatedNs: time });
          } else if (op === 'delete') {
            model.deleted(low(id), high(id));
            naive.delete(id);
          } else {
            model.pinned(low(id), high(id), op === 'pin', ...at);
            if (known) Object.assign(known, { pinned: op === 'pin', updatedNs: time });
          }
        }
        for (const given of filters) {
          const filter = given as MemoryFilter;
          const hits = [...naive.values()].filter(
            (memory) =>
              inTime(memory, filter) &&
              (filter.source === undefined || memory.source === filter.source) &&
              (filter.pinned === undefined || memory.pinned === filter.pinned) &&
              (filter.tag === undefined || memory.tags.includes(filter.tag)) &&
              (!filter.anyTag?.length || filter.anyTag.some((tag) => memory.tags.includes(tag))) &&
              (filter.allTags ?? []).every((tag) => memory.tags.includes(tag)) &&
              contains(memory.content, filter.contentContains),
          );
          expect(countMatches(model, memoryQuery(filter))).toBe(hits.length);
          expect(select(model, memoryQuery(filter)).map((slot) => model.row(slot))).toEqual(sorted(hits, given));
        }
      },
    );
    fc.assert(run, { numRuns: process.env.MESHRING_SOAK ? 5000 : 300 });
  });
});

describe('order indexes', () => {
  it('stay right and dense over many blocks, with ties and churn', () => {
    const model = new TasksModel();
    const naive = new Map<bigint, Task>();
    let random = 12345;
    const draw = (below: number) => {
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      return (random >>> 8) % below;
    };
    for (let i = 0; i < 20_000; i++) {
      const id = BigInt(draw(6000));
      const time = BigInt(draw(500));
      if (draw(4) === 0) {
        model.deleted(low(id), 0);
        naive.delete(id);
      } else {
        model.created(low(id), 0, 't', low(time), 0);
        naive.set(id, { id, title: 't', status: 'Pending', createdNs: time, updatedNs: time });
      }
    }
    for (const orderBy of ['IdAsc', 'IdDesc', 'CreatedAsc', 'CreatedDesc'] as const) {
      for (const limit of [undefined, 1, 100, 5000]) {
        for (const createdAfterNs of [undefined, 250n]) {
          const filter = { orderBy, limit, createdAfterNs };
          const hits = [...naive.values()].filter((task) => task.createdNs >= (createdAfterNs ?? 0n));
          const got = select(model, taskQuery(filter as TaskFilter)).map((slot) => model.table.ids[slot]);
          expect(got).toEqual(sorted(hits, filter).map((task) => task.id));
        }
      }
    }
  });
});

describe('texts', () => {
  it('are found among many, rare and frequent, before and after changes', () => {
    const model = new TasksModel();
    const naive = new Map<bigint, Task>();
    const words = ['docs', 'Write', 'ship', 'größe', 'naïve', 'zebra', '日本語', 'x'];
    const put = (id: bigint, title: string) => {
      model.created(low(id), 0, title, low(id % 97n), 0);
      naive.set(id, { id, title, status: 'Pending', createdNs: id % 97n, updatedNs: id % 97n });
    };
    const check = () => {
      for (const titleContains of ['DOCS', 'write s', 'öSS', 'zebra 7', '本語', 'x', 'absent', 'ship', 'ï']) {
        for (const orderBy of ['IdAsc', 'CreatedDesc'] as const) {
          for (const limit of [undefined, 3, 500]) {
            const hits = [...naive.values()].filter((task) => contains(task.title, titleContains));
            const filter = { titleContains, orderBy, limit };
            const query = taskQuery(filter as TaskFilter);
            expect(countMatches(model, query)).toBe(hits.length);
            expect(select(model, query).map((slot) => model.row(slot))).toEqual(sorted(hits, filter));
          }
        }
      }
    };
    for (let i = 0n; i < 3000n; i++) put(i, `${words[Number(i % 8n)]} ${words[Number((i * 5n) % 7n)]} ${i}`);
    check();
    for (let i = 0n; i < 3000n; i += 3n) put(i, `zebra ${i}`);
    for (let i = 1n; i < 3000n; i += 7n) {
      model.deleted(low(i), 0);
      naive.delete(i);
    }
    check();
  });
});
