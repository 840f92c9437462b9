/**
 * What survives what: producers and servers killed with SIGKILL, connections spoilt at random bytes. Afterwards every
 * acknowledged event is there exactly once, in order per shard. In full (100 rounds each) with MESHRING_SOAK.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { NetNode } from '../../src/node.js';
import type { Transport } from '../../src/types.js';
import { seeded, uniquePrefix } from './batches.js';
import { durableRedis, FaultyProxy, noNats, noRedis, rounds, startNats, startRedis, until } from './servers.js';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'meshring-faults-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Stored {
  readonly r: number;
  readonly n: number;
  readonly shard: number;
}

/** Every event of a store. */
async function stored(transport: Transport): Promise<Stored[]> {
  const node = await NetNode.create({ shards: 2, transport });
  const events: Stored[] = [];
  let cursor: string | undefined;
  for (;;) {
    const page = await node.poll({ limit: 10_000, ...(cursor === undefined ? {} : { cursor }) });
    for (const { raw, shardId } of page.events) events.push({ ...JSON.parse(raw), shard: shardId });
    cursor = page.nextId;
    if (!page.hasMore) break;
  }
  await node.shutdown();
  return events;
}

/** Acknowledged events are there once, others at most once; order holds per shard, over the runs of a producer too. */
function expectExactlyOnce(events: readonly Stored[], acknowledged: readonly number[]): void {
  const seen = acknowledged.map(() => new Set<number>());
  const last = new Map<number, Stored>();
  for (const event of events) {
    const { r, n, shard } = event;
    const run = seen[r];
    if (!run || run.has(n)) throw new Error(`event ${n} of run ${r} is there twice`);
    run.add(n);
    const before = last.get(shard);
    if (before && (before.r > r || (before.r === r && before.n > n))) {
      throw new Error(`event ${n} of run ${r} comes behind ${before.n} of run ${before.r} in shard ${shard}`);
    }
    last.set(shard, event);
  }
  acknowledged.forEach((count, r) => {
    for (let n = 0; n < count; n++)
      if (!seen[r]?.has(n)) throw new Error(`acknowledged event ${n} of run ${r} is missing`);
  });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const stores = [
  {
    name: 'redis',
    missing: noRedis,
    start: () => startRedis(durableRedis),
    url: (port: number) => `redis://127.0.0.1:${port}`,
    options: { commandTimeoutMs: 2000 },
  },
  {
    name: 'jetstream',
    missing: noNats,
    start: () => startNats(),
    url: (port: number) => `nats://127.0.0.1:${port}`,
    options: { requestTimeoutMs: 2000 },
  },
] as const;

for (const { name, missing, start, url, options } of stores) {
  describe.skipIf(missing)(`faults over ${name}${missing ? ` (${missing})` : ''}`, () => {
    const transport = (port: number, prefix: string): Transport =>
      ({ type: name, url: url(port), prefix, connectTimeoutMs: 2000, ...options }) as Transport;

    it(`a producer killed in mid batch and started again, ${rounds(100)} rounds`, { timeout: 900_000 }, async () => {
      const server = await start();
      const store = transport(server.port, uniquePrefix());
      const nonce = join(folder, `${name}.nonce`);
      const random = seeded(1);
      const acknowledged: number[] = [];
      const total = rounds(100);
      for (let run = 0; run <= total; run++) {
        const producer = new Producer([store, nonce, run, 200 + Math.floor(random() * 3000)]);
        await producer.ready;
        await pause(random() * 120);
        // The last one ends in an orderly way.
        await producer.end(run < total ? 'SIGKILL' : 'SIGTERM');
        acknowledged.push(producer.acknowledged);
      }
      const events = await stored(store);
      expectExactlyOnce(events, acknowledged);
      expect(acknowledged.reduce((sum, n) => sum + n)).toBeGreaterThan(0);
      // What reached a batch was sent by the next run even though nobody had been told.
      expect(events.length).toBeGreaterThanOrEqual(acknowledged.reduce((sum, n) => sum + n));
      await server.stop();
    });

    it(`the server killed and started again under load, ${rounds(100)} rounds`, { timeout: 900_000 }, async () => {
      const server = await start();
      const store = transport(server.port, uniquePrefix());
      const random = seeded(2);
      const node = await NetNode.create({ shards: 2, transport: store, adapterTimeoutMs: 60_000 });
      const load = new Load(node);
      for (let round = 0; round < rounds(100); round++) {
        const before = load.acknowledged;
        await pause(random() * 60);
        await server.signal('SIGKILL');
        await pause(random() * 100);
        await server.start();
        await until('an acknowledgement after the restart', () => load.acknowledged > before, 60_000);
      }
      const count = await load.end();
      expect(node.stats()).toMatchObject({ eventsDropped: 0n, eventsPending: 0n });
      await node.shutdown();
      const events = await stored(store);
      expectExactlyOnce(events, [count]);
      expect(events.length).toBe(count);
      await server.stop();
    });

    it(`connections cut, delayed and truncated, ${rounds(100, 10)} cuts`, { timeout: 900_000 }, async () => {
      const server = await start();
      const random = seeded(3);
      const proxy = await FaultyProxy.start(server.port, {
        cutAfter: () => Math.floor(random() ** 3 * 400_000),
        delayMs: () => (random() < 0.05 ? Math.floor(random() * 30) : 0),
      });
      const prefix = uniquePrefix();
      // The first connections may be cut as well.
      const node = await until('a start', () =>
        NetNode.create({ shards: 2, transport: transport(proxy.port, prefix), adapterTimeoutMs: 60_000 }).catch(
          () => false as const,
        ),
      );
      const load = new Load(node);
      await until('the cuts', () => proxy.cuts >= rounds(100, 10), 600_000);
      const count = await load.end();
      await node.shutdown();
      const events = await stored(transport(server.port, prefix));
      expectExactlyOnce(events, [count]);
      expect(events.length).toBe(count);
      await proxy.stop();
      await server.stop();
    });
  });
}

/** Emits and flushes without a pause until it is told to end. */
class Load {
  acknowledged = 0;
  #ending = false;
  readonly #done: Promise<void>;

  constructor(node: NetNode) {
    this.#done = this.#run(node);
    this.#done.catch(() => undefined);
  }

  async #run(node: NetNode): Promise<void> {
    let next = 0;
    while (!this.#ending) {
      for (let i = 0; i < 700; i++) node.fire(`{"r":0,"n":${next++}}`);
      await node.flush();
      this.acknowledged = next;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async end(): Promise<number> {
    this.#ending = true;
    await this.#done;
    return this.acknowledged;
  }
}

/** A producer in a process of its own. */
class Producer {
  /** Events that it has reported as acknowledged. */
  acknowledged = 0;
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  #text = '';

  constructor(args: readonly [Transport, string, number, number]) {
    const script = join(import.meta.dirname, 'producer-process.mjs');
    const child = spawn(process.execPath, [script, JSON.stringify(args)], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let complaints = '';
    child.stderr.on('data', (chunk) => {
      complaints += chunk;
    });
    this.ready = new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        this.#text += chunk;
        const lines = this.#text.split('\n');
        this.#text = lines.pop() ?? '';
        for (const line of lines) {
          if (line === 'ready') resolve();
          else this.acknowledged = Number(line);
        }
      });
      child.once('exit', (code) => reject(new Error(`the producer ended with ${code}: ${complaints}`)));
    });
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.kill(signal);
    await closed;
  }
}
