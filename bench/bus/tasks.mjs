// Tasks of the bus bench, each run in a process of its own: node bench/bus/tasks.mjs <task> <JSON options>.
// Prints one JSON line.
import { EventEmitter } from 'node:events';
import { MessageChannel, Worker } from 'node:worker_threads';
import { NetNode } from 'meshring';
import { backend } from 'meshring/backend';
import { Blake3 } from 'meshring/dist/hash/index';
import { DISTINCT, objects, texts } from './events.mjs';

const MASK = DISTINCT - 1;
const SHARDS = 4;

/** A node that keeps `n` events of `size` bytes readable, its memory touched beforehand. */
function roomy(n, size) {
  const bytes = Math.ceil(n * (size + 12) * 1.3) + (16 << 20);
  const reserve = backend.name === 'addon' ? bytes : 0;
  // The reservation is capped: beyond it the log grows as it goes.
  const transport = {
    type: 'memory',
    maxEvents: n,
    maxBytes: Math.max(bytes, 1 << 20) * 2,
    reserveBytes: Math.min(reserve, 3 * 2 ** 30),
  };
  return NetNode.create({ shards: SHARDS, transport });
}

/** Ways in. Each takes the node, the number of events and the inputs. */
const PATHS = {
  emitBuffer: { input: 'buffers', run: (node, n, list) => each(n, (i) => node.emitBuffer(list[i & MASK])) },
  fire: { input: 'texts', run: (node, n, list) => each(n, (i) => node.fire(list[i & MASK])) },
  emitRaw: { input: 'texts', run: (node, n, list) => each(n, (i) => node.emitRaw(list[i & MASK])) },
  emit: { input: 'objects', run: (node, n, list) => each(n, (i) => node.emit(list[i & MASK])) },
  'fireBatch 1000': { input: 'texts', run: (node, n, list) => batches(n, list, (batch) => node.fireBatch(batch)) },
  'pushBatch 1000': {
    input: 'buffers',
    run: (node, n, list) => batches(n, list, (batch) => node.napi.pushBatch(batch)),
  },
  // The bare work that nobody can avoid.
  'bare set': { input: 'buffers', run: bareSet },
  'bare utf8Write': { input: 'texts', run: bareWrite },
  'JSON.stringify': { input: 'objects', run: (_, n, list) => each(n, (i) => JSON.stringify(list[i & MASK])) },
  // Alternatives.
  'array push': { input: 'texts', run: arrayPush },
  EventEmitter: { input: 'texts', run: emitter },
};

function each(n, f) {
  for (let i = 0; i < n; i++) f(i);
}

function batches(n, list, f) {
  const cut = Array.from({ length: 4 }, (_, k) => Array.from({ length: 1000 }, (_, i) => list[(k * 1000 + i) & MASK]));
  for (let i = 0, k = 0; i < n; i += 1000, k++) f(cut[k & 3]);
}

function bareSet(_, n, list) {
  const target = new Uint8Array(2 << 20);
  const size = list[0].length;
  let at = 0;
  for (let i = 0; i < n; i++) {
    if (at + size > target.length) at = 0;
    target.set(list[i & MASK], at);
    at += (size + 3) & ~3;
  }
}

function bareWrite(_, n, list) {
  const target = Buffer.alloc(2 << 20);
  const size = list[0].length;
  let at = 0;
  for (let i = 0; i < n; i++) {
    if (at + size * 3 > target.length) at = 0;
    at += (target.utf8Write(list[i & MASK], at) + 3) & ~3;
  }
}

function arrayPush(_, n, list) {
  const store = [];
  for (let i = 0; i < n; i++) store.push({ id: i, raw: list[i & MASK] });
  return store.length;
}

function emitter(_, n, list) {
  const bus = new EventEmitter();
  const store = [];
  bus.on('event', (event) => store.push(event));
  for (let i = 0; i < n; i++) bus.emit('event', { id: i, raw: list[i & MASK] });
}

const inputs = (size) => {
  const list = texts(size);
  return { texts: list, buffers: list.map((text) => Buffer.from(text)), objects: objects(size) };
};
const spread = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1) };
};

const TASKS = {
  /** Events per second from the first call to the end of flush with every event readable. */
  async ingest({ path, size, n, rounds }) {
    const { input, run } = PATHS[path];
    const list = inputs(size)[input];
    const bus = /^(emit|fire|pushBatch)/.test(path) || path === 'emit';
    const rates = [];
    for (let round = 0; round <= rounds; round++) {
      const node = bus ? await roomy(n, size) : undefined;
      globalThis.gc?.();
      const start = performance.now();
      run(node, n, list);
      await node?.flush();
      const rate = (n * 1000) / (performance.now() - start);
      if (node) {
        const { eventsIngested, eventsDropped, eventsExpired } = node.stats();
        if (eventsIngested !== BigInt(n) || eventsDropped !== 0n || eventsExpired !== 0n) {
          throw new Error(`${path}: ${eventsIngested} ingested, ${eventsExpired} evicted of ${n}`);
        }
        await node.shutdown();
      }
      // The first round warms up.
      if (round > 0) rates.push(rate);
    }
    return spread(rates);
  },

  /** Same cost for any number: bounded logs, so that most events are evicted; readable + evicted must be all. */
  async flat({ path, size, n }) {
    const { input, run } = PATHS[path];
    const list = inputs(size)[input];
    const node = await NetNode.create({
      shards: SHARDS,
      transport: { type: 'memory', maxEvents: 50_000, reserveBytes: 64 << 20 },
    });
    run(node, 200_000, list);
    await node.flush();
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const start = performance.now();
    run(node, n, list);
    await node.flush();
    const rate = (n * 1000) / (performance.now() - start);
    const rss = process.memoryUsage().rss;
    let readable = 0;
    for (let cursor; ; ) {
      const page = await node.poll({ limit: 10_000, cursor });
      readable += page.events.length;
      cursor = page.nextId;
      if (!page.hasMore) break;
    }
    const { eventsExpired } = node.stats();
    if (BigInt(readable) + eventsExpired !== BigInt(n + 200_000))
      throw new Error(`flat: ${readable} + ${eventsExpired} of ${n}`);
    await node.shutdown();
    return { rate, rssGrowthMb: (rss - before) / 1e6 };
  },

  /** Events per second polled, `id` and `raw` of each read; and scanned by an equality filter. */
  async poll({ size, n, rounds }) {
    const list = texts(size);
    const node = await roomy(n, size);
    for (let i = 0; i < n; i++) node.fire(list[i & MASK]);
    const walk = async (request) => {
      let seen = 0;
      let characters = 0;
      const start = performance.now();
      for (let cursor; ; ) {
        const page = await node.poll({ limit: 10_000, cursor, ...request });
        for (const event of page.events) characters += event.id.length + event.raw.length;
        seen += page.events.length;
        cursor = page.nextId;
        if (!page.hasMore) break;
      }
      return { rate: (n * 1000) / (performance.now() - start), seen, characters };
    };
    const measure = async (request, expected) => {
      const rates = [];
      for (let round = 0; round <= rounds; round++) {
        const { rate, seen } = await walk(request);
        if (expected !== undefined && seen !== expected) throw new Error(`poll: ${seen} of ${expected}`);
        if (round > 0) rates.push(rate);
      }
      return spread(rates);
    };
    const matches = Array.from({ length: n }, (_, i) => i & MASK).filter((i) => i % 7 === 3).length;
    const result = {
      poll: await measure({}, n),
      ordered: await measure({ ordering: 'insertion_ts' }, n),
      filter: await measure({ filter: { path: 'kind', value: 3 } }, matches),
      'no match': await measure({ filter: { path: 'kind', value: 'absent' } }, 0),
    };
    const start = performance.now();
    let kept = 0;
    for (let i = 0; i < n; i++) if (JSON.parse(list[i & MASK]).kind === 3) kept += 1;
    result['JSON.parse and compare'] = { median: (n * 1000) / (performance.now() - start), kept };
    await node.shutdown();
    return result;
  },

  /** Time from emit to the body of a waiting subscriber, µs; a lone event each time. */
  async latency({ n }) {
    const node = await NetNode.create({ shards: SHARDS });
    const stream = node.subscribe();
    const times = [];
    let sent = 0;
    const received = (async () => {
      for await (const _ of stream) {
        times.push((performance.now() - sent) * 1000);
        if (times.length === n) break;
      }
    })();
    for (let i = 0; i < n; i++) {
      // The subscriber is asleep again before the next event.
      await new Promise((resolve) => setTimeout(resolve, 1));
      sent = performance.now();
      node.fire(`{"i":${i}}`);
      while (times.length === i) await new Promise((resolve) => setImmediate(resolve));
    }
    await received;
    await node.shutdown();
    times.sort((a, b) => a - b);
    const channel = await portLatency(n);
    return {
      p50: times[n >> 1],
      p99: times[Math.floor(n * 0.99)],
      messagePortP50: channel[n >> 1],
      messagePortP99: channel[Math.floor(n * 0.99)],
    };
  },

  /** CPU time of an idle process with a waiting subscriber. */
  async idle({ seconds }) {
    const node = await NetNode.create({ shards: 64 });
    const stream = node.subscribe();
    const next = stream[Symbol.asyncIterator]().next();
    node.fire('1');
    await next;
    const waiting = stream[Symbol.asyncIterator]().next();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const { user, system } = process.cpuUsage(before);
    stream.stop();
    await waiting;
    await node.shutdown();
    return { percent: (user + system) / 1e4 / seconds };
  },

  /** Two threads feed one node. */
  async producers({ size, n, producers }) {
    const node = await roomy(n, size);
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const list = texts(size).map((text) => Buffer.from(text));
    const share = n / producers;
    const workers = Array.from(
      { length: producers - 1 },
      () =>
        new Worker(new URL('./producer.mjs', import.meta.url), {
          workerData: { handle: node.shareable(), size, n: share, warm: 0, shared },
        }),
    );
    while (Atomics.load(shared, 0) < workers.length) await new Promise((resolve) => setTimeout(resolve, 5));
    const start = performance.now();
    Atomics.store(shared, 1, 1);
    Atomics.notify(shared, 1);
    for (let i = 0; i < share; i++) node.emitBuffer(list[i & MASK]);
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
    await node.flush();
    const rate = (n * 1000) / (performance.now() - start);
    if (node.stats().eventsIngested !== BigInt(n)) throw new Error('producers: events are missing');
    await node.shutdown();
    return { median: rate };
  },

  /** Messages through a MessagePort, both ends on this thread. */
  async port({ size, n }) {
    const list = texts(size);
    const { port1, port2 } = new MessageChannel();
    let seen = 0;
    const done = new Promise((resolve) => {
      port2.on('message', () => ++seen === n && resolve());
    });
    const start = performance.now();
    for (let i = 0; i < n; i++) port1.postMessage(list[i & MASK]);
    await done;
    const rate = (n * 1000) / (performance.now() - start);
    port1.close();
    return { median: rate };
  },

  /** BLAKE3 of 64 KiB pieces. */
  async blake3({ bytes }) {
    const piece = new Uint8Array(64 << 10).fill(7);
    const hash = () => {
      const hasher = Blake3.hash();
      for (let done = 0; done < bytes; done += piece.length) hasher.update(piece);
      return hasher.digest();
    };
    hash();
    const start = performance.now();
    hash();
    return { gigabytesPerSecond: bytes / 1e6 / (performance.now() - start) };
  },
};

async function portLatency(n) {
  const { port1, port2 } = new MessageChannel();
  const times = [];
  let sent = 0;
  port2.on('message', () => times.push((performance.now() - sent) * 1000));
  for (let i = 0; i < n; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    sent = performance.now();
    port1.postMessage(`{"i":${i}}`);
    while (times.length === i) await new Promise((resolve) => setImmediate(resolve));
  }
  port1.close();
  return times.sort((a, b) => a - b);
}

const [task, options] = process.argv.slice(2);
const result = await TASKS[task](JSON.parse(options));
process.stdout.write(`${JSON.stringify(result)}\n`);
