import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryStorage, Redex, type RedexEvent, type RedexFile } from '../../src/redex/index.js';

const END = 2n ** 64n - 1n;
const KEPT = 40;

/** What a log should hold. */
interface Model {
  readonly file: RedexFile;
  readonly bound: number;
  readonly all: Uint8Array[];
}

/** One step: which log, what, and a number whose meaning depends on it. */
type Step = readonly [number, 'append' | 'burst' | 'batch' | 'long' | 'read' | 'len' | 'one' | 'next', number];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.nat({ max: 3 }),
  fc.oneof(
    { weight: 12, arbitrary: fc.constant('append' as const) },
    { weight: 2, arbitrary: fc.constant('burst' as const) },
    { weight: 3, arbitrary: fc.constant('batch' as const) },
    { weight: 1, arbitrary: fc.constant('long' as const) },
    { weight: 2, arbitrary: fc.constantFrom('read' as const, 'len' as const, 'one' as const, 'next' as const) },
  ),
  fc.nat({ max: 1000 }),
);

let directories = 0;

function bytes(length: number, seed: number): Uint8Array {
  const payload = new Uint8Array(length).fill(seed);
  if (length > 1) payload[length - 1] = seed >> 8;
  return payload;
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a?.length === b?.length && (a ?? []).every((byte, i) => byte === b?.[i]);
}

function append({ file, all }: Model, payload: Uint8Array): void {
  const copy = payload.slice();
  const seq = file.append(payload);
  if (seq !== BigInt(all.length)) expect.fail(`sequence ${seq} instead of ${all.length}`);
  // The log has its own copy, whenever it is handed on.
  payload.fill(0xee);
  all.push(copy);
}

function check(model: Model, events: RedexEvent[], from: number): void {
  const first = Math.max(from, model.all.length - model.bound);
  const expected = model.all.slice(Math.max(0, first));
  expect(events.length).toBe(expected.length);
  for (const [i, event] of events.entries()) {
    const seq = BigInt(Math.max(0, first) + i);
    if (event.seq !== seq || !same(event.payload, expected[i])) expect.fail(`wrong event at ${seq}`);
  }
}

function run(model: Model, what: Step[1], n: number): void {
  const { file, all, bound } = model;
  if (what === 'append') append(model, bytes(n % 90, n));
  if (what === 'burst') for (let i = 0; i < 300; i += 1) append(model, bytes(900, n + i));
  if (what === 'long') append(model, bytes(262_080 + (n % 3) * 4, n));
  if (what === 'batch') {
    const payloads = Array.from({ length: n % 5 }, (_, i) => bytes((n * i) % 70, i));
    expect(file.appendBatch(payloads)).toBe(payloads.length === 0 ? null : BigInt(all.length));
    all.push(...payloads);
  }
  if (what === 'read') check(model, file.readRange(BigInt(all.length >> 1), END), all.length >> 1);
  if (what === 'len') expect(file.len()).toBe(BigInt(Math.min(bound, all.length)));
  if (what === 'next') expect(file.nextSeq()).toBe(BigInt(all.length));
  if (what === 'one') {
    const seq = n % (all.length + 1);
    const event = file.readOne(BigInt(seq));
    const there = seq < all.length && seq >= all.length - bound;
    if (!same(event?.payload, there ? all[seq] : undefined)) expect.fail(`wrong event at ${seq}`);
  }
}

describe('logs that are used in turn', () => {
  it('each give out their own sequences and hold their own events', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const persistentDir = `/interleaved-${++directories}`;
        const redex = new Redex({ persistentDir, storage: new MemoryStorage() });
        const open = (name: string, bound: number, config = {}): Model => {
          return { file: redex.openFile(name, config), bound, all: [] };
        };
        const models = [
          open('a', Number.POSITIVE_INFINITY),
          open('b', Number.POSITIVE_INFINITY),
          open('bounded', KEPT, { retentionMaxEvents: BigInt(KEPT) }),
          open('stored', Number.POSITIVE_INFINITY, { persistent: true }),
        ];
        for (const [which, what, n] of steps) {
          const model = models[which];
          if (model) run(model, what, n);
        }
        for (const model of models) check(model, model.file.readRange(0n, END), 0);
        await redex.close();
        for (const model of models) check(model, model.file.readRange(0n, END), 0);
      }),
      { numRuns: 30 },
    );
  });

  it('wake a tail at once, whoever is appended to meanwhile', async () => {
    const redex = new Redex();
    const [a, b] = [redex.openFile('a'), redex.openFile('b')];
    const tail = (await a.tail(0n))[Symbol.asyncIterator]();
    for (let i = 0; i < 50; i += 1) {
      const pending = tail.next();
      a.append(bytes(8, i));
      b.append(bytes(8, 100 + i));
      const { value } = await pending;
      expect(new Uint8Array(value?.payload ?? [])).toEqual(bytes(8, i));
    }
    expect(b.len()).toBe(50n);
    await redex.close();
  });
});
