/**
 * Rounds of two workers and the main thread on one node, with workers terminated at random, a poller and a stream:
 * what a producer put in comes out once, in its order, without holes (addon backend). In full with MESHRING_SOAK.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { backend } from '../../src/backend/choose.js';

const root = join(import.meta.dirname, '..', '..', '..');
const entry = join(root, 'dist', 'index.js');
const { NetNode } = (await import(entry)) as typeof import('../../src/index.js');
const ROUNDS = process.env.MESHRING_SOAK ? 300 : 8;
const COUNT = 20_000;

const PRODUCER = `
const { parentPort, workerData } = require('node:worker_threads');
const { entry, handle, producer, count } = workerData;
const node = require(entry).NetNode.attach(handle);
let last = -1;
for (let i = 0; i < count; i++) {
  const text = '{"p":' + producer + ',"i":' + i + ',"pad":"' + 'x'.repeat(i % 60) + '"}';
  let accepted = true;
  if (i % 97 === 0) {
    const { timestamp } = node.emitRaw(text);
    if (timestamp <= last) throw new Error('a receipt of ' + timestamp + ' behind one of ' + last);
    last = timestamp;
  } else {
    accepted = i % 2 ? node.fire(text) : node.emitBuffer(Buffer.from(text));
  }
  if (!accepted) throw new Error('refused: ' + i);
  if (i % 1000 === 0) parentPort.postMessage(i);
}
node.flush().then(() => node.shutdown()).then(() => parentPort.postMessage('done'));
`;

/** What one reader has seen of all producers. */
class Sight {
  readonly #next = new Map<string, number>();
  readonly count = new Map<number, number>();
  readonly newest = new Map<number, number>();

  see(raw: string, shardId: number): void {
    const { p, i } = JSON.parse(raw) as { p: number; i: number };
    const key = `${p}/${shardId}`;
    if (i < (this.#next.get(key) ?? 0)) throw new Error(`producer ${p}, shard ${shardId}: ${i} comes late or again`);
    this.#next.set(key, i + 1);
    this.count.set(p, (this.count.get(p) ?? 0) + 1);
    this.newest.set(p, Math.max(this.newest.get(p) ?? 0, i));
  }

  /** Events are numbered through: as many as the newest number says, so none is missing. */
  check(p: number, atLeast: number): void {
    expect(this.count.get(p)).toBe((this.newest.get(p) ?? 0) + 1);
    expect(this.newest.get(p)).toBeGreaterThanOrEqual(atLeast);
  }
}

it.runIf(backend.name === 'addon')(
  'producers that come, go and are killed lose, double and reorder nothing',
  async () => {
    const node = await NetNode.create({ shards: 4, transport: { type: 'memory', maxEvents: 1 << 18 } });
    const polled = new Sight();
    const streamed = new Sight();
    const stream = node.subscribe({ limit: 1000 });
    const reading = (async () => {
      for await (const event of stream) streamed.see(event.raw, event.shardId);
    })();
    let cursor: string | undefined;
    const poll = async () => {
      for (;;) {
        const page = await node.poll({ limit: 5000, ...(cursor === undefined ? {} : { cursor }) });
        expect(page.lost).toBeUndefined();
        for (const event of page.events) polled.see(event.raw, event.shardId);
        cursor = page.nextId;
        if (!page.hasMore) return;
      }
    };
    let producer = 0;
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const own = producer++;
        const started = [producer++, producer++].map((number) => {
          const workerData = { entry, handle: node.shareable(), producer: number, count: COUNT };
          return { number, worker: new Worker(PRODUCER, { eval: true, workerData }), told: 0 };
        });
        const ended = started.map(async (one, index) => {
          // In most rounds one of them is killed after a report picked at random.
          const fatal =
            index === 0 && round % 4 !== 3 ? Math.floor(Math.random() * 20) * 1000 : Number.POSITIVE_INFINITY;
          await new Promise<void>((resolve, reject) => {
            one.worker.on('error', reject);
            one.worker.on('message', (message: number | 'done') => {
              if (message !== 'done') one.told = message;
              if (message === 'done' || message >= fatal) resolve();
            });
          });
          if (fatal === Number.POSITIVE_INFINITY) one.told = COUNT - 1;
          await one.worker.terminate();
        });
        for (let i = 0; i < COUNT / 4; i++) {
          expect(node.fire(`{"p":${own},"i":${i}}`)).toBe(true);
          if (i % 500 === 0) await poll();
        }
        await Promise.all(ended);
        await poll();
        polled.check(own, COUNT / 4 - 1);
        for (const { number, told } of started) polled.check(number, told);
        const stats = node.stats();
        expect(stats.eventsDropped).toBe(0n);
        expect(stats.eventsIngested).toBe(BigInt([...polled.count.values()].reduce((sum, count) => sum + count, 0)));
      }
    } finally {
      await node.shutdown();
      await reading;
    }
  },
  Math.max(60_000, ROUNDS * 5000),
);
