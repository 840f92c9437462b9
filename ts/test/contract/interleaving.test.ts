/** Any mixture of ingest methods, flushes and failures: what was answered is true, and nothing is lost or doubled. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Net } from '../../src/bus/net.js';
import { xxh3 } from '../../src/hash/index.js';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig } from '../../src/types.js';
import { FaultyTransport } from './faulty-transport.js';

type Step =
  | { readonly do: 'one'; readonly method: number; readonly pad: number }
  | { readonly do: 'many'; readonly method: number; readonly pad: number; readonly count: number }
  | { readonly do: 'fail'; readonly kind: 'transient' | 'fatal'; readonly stored: number }
  | { readonly do: 'flush' | 'stats' | 'stall' | 'resume' | 'turn' | 'poll' };
type Failure = Extract<Step, { do: 'fail' }>;

const pad = fc.oneof({ weight: 5, arbitrary: fc.nat(40) }, fc.nat(3000), fc.constant(40_000));
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('one' as const), method: fc.nat(4), pad }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('many' as const),
      method: fc.nat(3),
      pad: fc.nat(60),
      count: fc.nat(900),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      kind: fc.constantFrom('transient' as const, 'fatal' as const),
      stored: fc.nat(50),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'flush' as const,
        'stats' as const,
        'stall' as const,
        'resume' as const,
        'turn' as const,
        'poll' as const,
      ),
    }),
  },
);

const config = fc.record({
  shards: fc.integer({ min: 1, max: 3 }),
  backpressure: fc.constantFrom<NonNullable<NetNodeConfig['backpressure']>[]>(
    'drop_oldest',
    'drop_newest',
    'fail_producer',
    { mode: 'sample', rate: 3 },
  ),
  maxPendingBytes: fc.constantFrom(30_000, 300_000, 1 << 28),
});

const utf8 = new TextEncoder();

/** What was asked of a node and what it answered. */
class Producer {
  asked = 0;
  accepted = 0;
  /** Events whose acceptance was answered one by one. */
  readonly answers = new Map<number, boolean>();

  constructor(readonly node: NetNode) {}

  #text(length: number): string {
    return `{"i":${this.asked++},"pad":"${'é'.repeat(length)}"}`;
  }

  one(method: number, length: number): void {
    const number = this.asked;
    const accepted = this.#one(method, this.#text(length));
    this.answers.set(number, accepted);
    if (accepted) this.accepted += 1;
  }

  #one(method: number, text: string): boolean {
    const { node } = this;
    try {
      if (method === 0) return node.fire(text);
      if (method === 1) return node.emitBuffer(utf8.encode(text));
      if (method === 2) return node.emitRaw(text) !== null;
      if (method === 3) return node.emit(JSON.parse(text)) !== null;
      const data = utf8.encode(text);
      return node.napi.pushWithHash(data, xxh3(data));
    } catch (error) {
      expect((error as Error).message).toBe('Ingestion failed: backpressure: ring buffer full');
      return false;
    }
  }

  many(method: number, length: number, count: number): void {
    const { node } = this;
    const texts = Array.from({ length: count }, () => this.#text(length));
    if (method === 0) this.accepted += node.fireBatch(texts);
    else if (method === 1) this.accepted += node.emitRawBatch(texts);
    else if (method === 2) this.accepted += node.emitBatch(texts.map((text) => JSON.parse(text)));
    else this.accepted += node.napi.pushBatch(texts.map((text) => utf8.encode(text)));
  }
}

function balance(node: NetNode) {
  const stats = node.stats();
  const { eventsDispatched = 0n, eventsEvicted = 0n, eventsFailed = 0n, eventsPending = 0n } = stats;
  const settled = eventsDispatched + eventsEvicted + eventsFailed;
  expect(stats.eventsIngested).toBe(settled + eventsPending);
  return { ...stats, settled };
}

function inject(transport: FaultyTransport, { kind, stored }: Failure): void {
  transport.fail(kind, 1, stored);
}

async function run(options: NetNodeConfig, steps: readonly Step[]): Promise<void> {
  const transport = new FaultyTransport();
  const batch = { minSize: 100, maxSize: 500, maxDelayMs: 1 };
  const store = { type: 'redis' as const, url: 'redis://injected' };
  const settings = { ...options, bufferCapacity: 1024, batch, transport: store };
  const node = NetNode.fromNapi(await Net.over(settings, transport));
  const producer = new Producer(node);
  const flushes: Promise<void>[] = [];
  const flush = () => {
    const before = BigInt(producer.accepted);
    const done = node.flush().then(
      () => undefined,
      (error: Error) =>
        expect(error.message).toMatch(/^Flush failed: \d+ events were given up: fatal error: injected$/),
    );
    flushes.push(done.then(() => expect(balance(node).settled >= before).toBe(true)));
  };
  let failures = 0;
  for (const step of steps) {
    if (step.do === 'one') producer.one(step.method, step.pad);
    else if (step.do === 'many') producer.many(step.method, step.pad, step.count);
    else if (step.do === 'flush') flush();
    else if (step.do === 'stats') expect(balance(node).eventsIngested).toBe(BigInt(producer.accepted));
    else if (step.do === 'stall') transport.stall();
    else if (step.do === 'resume') transport.resume();
    else if (step.do === 'poll') await node.poll({ limit: 10 });
    else if (step.do === 'turn') await new Promise((resolve) => setTimeout(resolve));
    else if (failures++ < 2) inject(transport, step as Failure);
  }
  transport.resume();
  flush();
  await Promise.all(flushes);
  await node.shutdown().catch((error: Error) => expect(error.message).toMatch(/were not delivered: fatal error/));

  const stats = balance(node);
  expect(stats.eventsIngested).toBe(BigInt(producer.accepted));
  expect(stats.eventsRejected).toBe(BigInt(producer.asked - producer.accepted));
  expect(stats.eventsPending).toBe(0n);
  expect(transport.overlap).toBeLessThan(2);
  const stored = new Set<number>();
  let count = 0;
  for (const shard of transport.stored.keys()) {
    let last = -1;
    for (const text of transport.texts(shard)) {
      const { i } = JSON.parse(text) as { i: number };
      if (i <= last) throw new Error(`shard ${shard}: ${i} behind ${last}`);
      last = i;
      count += 1;
      stored.add(i);
    }
  }
  expect(stored.size).toBe(count);
  expect(stats.eventsDispatched).toBe(BigInt(count));
  const whole = stats.eventsEvicted === 0n && stats.eventsFailed === 0n;
  if (options.backpressure !== 'drop_oldest') expect(stats.eventsEvicted).toBe(0n);
  else expect(producer.accepted).toBe(producer.asked);
  for (const [i, accepted] of producer.answers) {
    if (stored.has(i) ? !accepted : accepted && whole) throw new Error(`event ${i}: answered ${accepted}`);
  }
}

const soak = typeof process === 'object' && process.env.MESHRING_SOAK;

it('answers the truth, keeps the order of each shard, and loses or doubles nothing', async () => {
  const property = fc.asyncProperty(config, fc.array(step, { minLength: 5, maxLength: 60 }), run);
  await fc.assert(property, { numRuns: soak ? 1000 : 60, endOnFailure: true });
}, 300_000);
