/** Several threads feed one node (addon backend); the workers load the built package, as an application's would. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
// Handles of nodes belong to one copy of the package: the test loads the same one as its workers.
const { NetNode } = (await import(join(root, 'dist', 'index.js'))) as typeof import('../../src/index.js');
const { generateNetKeypair } = (await import(join(root, 'dist', 'core.js'))) as typeof import('../../src/core.js');
type NetNode = import('../../src/index.js').NetNode;

const PRODUCER = `
const { parentPort, workerData } = require('node:worker_threads');
const { NetNode } = require(workerData.entry);
const node = NetNode.attach(workerData.handle);
let accepted = 0;
for (let i = 0; i < workerData.count; i++) {
  const text = JSON.stringify({ p: workerData.producer, i, pad: 'x'.repeat(i % 50) });
  if (i % 3 === 0 ? node.fire(text) : i % 3 === 1 ? node.emitBuffer(Buffer.from(text)) : node.emitRaw(text)) accepted += 1;
}
parentPort.postMessage({ accepted });
if (workerData.stay) setInterval(() => undefined, 1000);
else node.shutdown();
`;

const nodes: NetNode[] = [];
const workers: Worker[] = [];
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
  await Promise.all(nodes.splice(0).map((node) => node.shutdown()));
});

async function freePorts(count: number): Promise<number[]> {
  const sockets = Array.from({ length: count }, () => createSocket('udp4'));
  for (const socket of sockets) await once(socket.bind(0, '127.0.0.1'), 'listening');
  const ports = sockets.map((socket) => socket.address().port);
  for (const socket of sockets) await new Promise<void>((resolve) => socket.close(() => resolve()));
  return ports;
}

function producer(node: NetNode, number: number, count: number, source = PRODUCER, stay = false): Worker {
  const entry = join(root, 'dist', 'index.js');
  const workerData = { entry, handle: node.shareable(), producer: number, count, stay };
  const worker = new Worker(source, { eval: true, workerData });
  workers.push(worker);
  return worker;
}

async function create(config: Parameters<typeof NetNode.create>[0]): Promise<NetNode> {
  const node = await NetNode.create(config);
  nodes.push(node);
  return node;
}

interface Numbered {
  p: number;
  i: number;
}

describe('several threads on one node', () => {
  it('lose nothing, and keep the order of each producer', async () => {
    const count = 100_000;
    const node = await create({ shards: 8, transport: { type: 'memory', maxEvents: 1 << 20 } });
    const answers = [1, 2, 3].map(async (number) => {
      const [message] = (await once(producer(node, number, count), 'message')) as [{ accepted: number }];
      expect(message.accepted).toBe(count);
    });
    for (let i = 0; i < count; i++) node.fire(`{"p":0,"i":${i}}`);
    await Promise.all(answers);
    const last = new Map<string, number>();
    const seen = [0, 0, 0, 0];
    let cursor: string | undefined;
    for (;;) {
      const page = await node.poll({ limit: 10_000, ...(cursor ? { cursor } : {}) });
      for (const event of page.events) {
        const { p, i } = JSON.parse(event.raw) as Numbered;
        const key = `${p}/${event.shardId}`;
        if (i <= (last.get(key) ?? -1)) throw new Error(`producer ${p}: ${i} after ${last.get(key)}`);
        last.set(key, i);
        seen[p] = (seen[p] as number) + 1;
      }
      cursor = page.nextId;
      if (!page.hasMore) break;
    }
    expect(seen).toEqual([count, count, count, count]);
    expect(node.stats()).toMatchObject({ eventsIngested: BigInt(4 * count), eventsDropped: 0n });
  });

  it('a flush of the owner makes readable what a worker has staged', async () => {
    const node = await create({ shards: 2 });
    const worker = producer(node, 1, 1000, PRODUCER, true);
    await once(worker, 'message');
    await node.flush();
    expect(node.stats().eventsIngested).toBe(1000n);
  });

  it('a worker that is terminated in mid fire harms nobody', async () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const node = require(workerData.entry).NetNode.attach(workerData.handle);
      parentPort.postMessage('on');
      for (let i = 0; ; i++) node.fire('{"p":1,"i":' + i + '}');
    `;
    const node = await create({ shards: 2, transport: { type: 'memory', maxEvents: 1000 } });
    for (let round = 0; round < 10; round++) {
      const worker = producer(node, 1, 0, source);
      await once(worker, 'message');
      node.fire(`{"p":0,"i":${round}}`);
      await worker.terminate();
    }
    const page = await node.poll({ limit: 2000 });
    for (const event of page.events) expect(JSON.parse(event.raw)).toHaveProperty('p');
    const { eventsIngested } = node.stats();
    node.fire('{"p":0,"i":99}');
    expect(node.stats().eventsIngested).toBe(eventsIngested + 1n);
  });

  it('an attached node behaves as shut down when its owner is, and what it was told is true', async () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const node = require(workerData.entry).NetNode.attach(workerData.handle);
      parentPort.postMessage({ on: true });
      let accepted = 0;
      while (node.fire('{"p":1,"i":' + accepted + '}')) accepted += 1;
      let error = '';
      try { node.emitRaw('1'); } catch (e) { error = e.message; }
      parentPort.postMessage({ accepted, error });
    `;
    for (let round = 0; round < 5; round++) {
      const node = await create({ shards: 2, transport: { type: 'memory', maxEvents: 1000 } });
      const worker = producer(node, 1, 0, source);
      await once(worker, 'message');
      const end = once(worker, 'message') as Promise<[{ accepted: number; error: string }]>;
      while (node.stats().eventsIngested < 1000n) await new Promise((resolve) => setImmediate(resolve));
      await node.shutdown();
      const [{ accepted, error }] = await end;
      expect(error).toBe('EventBus has been shut down');
      expect(node.stats().eventsIngested).toBe(BigInt(accepted));
    }
  });

  it('a worker polls and is woken by events of the main thread', async () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const node = require(workerData.entry).NetNode.attach(workerData.handle);
      (async () => {
        const stream = node.subscribe()[Symbol.asyncIterator]();
        const next = stream.next();
        parentPort.postMessage('waiting');
        parentPort.postMessage((await next).value.raw);
        await node.shutdown();
      })();
    `;
    const node = await create({ shards: 2 });
    const worker = producer(node, 1, 0, source);
    await once(worker, 'message');
    node.fire('{"wake":1}');
    expect(await once(worker, 'message')).toEqual(['{"wake":1}']);
  });

  it('over a mesh a worker sends, and is woken by what the peer sends; no key leaves the main thread', async () => {
    const keys = generateNetKeypair();
    const ports = await freePorts(2);
    const link = (bind: number, peer: number, more: object) => ({
      type: 'mesh' as const,
      bind: `127.0.0.1:${ports[bind]}`,
      peer: `127.0.0.1:${ports[peer]}`,
      psk: '31'.repeat(32),
      reliability: 'full' as const,
      ...more,
    });
    const [node, peer] = await Promise.all([
      create({ shards: 2, transport: link(0, 1, { peerPublicKey: keys.publicKey }) }),
      create({ shards: 2, transport: link(1, 0, { role: 'responder', ...keys }) }),
    ]);
    expect(JSON.stringify({ ...node.shareable(), id: 0, inbound: 0 })).not.toContain('3131');
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const node = require(workerData.entry).NetNode.attach(workerData.handle);
      (async () => {
        const next = node.subscribe()[Symbol.asyncIterator]().next();
        const large = node.fire('x'.repeat(8109));
        node.fire('{"from":"worker"}');
        await node.flush();
        parentPort.postMessage({ large });
        parentPort.postMessage((await next).value.raw);
        await node.shutdown();
      })();
    `;
    const worker = producer(node, 1, 0, source);
    expect(await once(worker, 'message')).toEqual([{ large: false }]);
    expect((await peer.poll({ limit: 10 })).events.map((event) => event.raw)).toEqual(['{"from":"worker"}']);
    const woken = once(worker, 'message');
    peer.fire('{"from":"peer"}');
    await peer.flush();
    expect(await woken).toEqual(['{"from":"peer"}']);
  });

  it('a handle of a node that is gone is refused', async () => {
    const node = await create({ shards: 1 });
    const handle = node.shareable();
    await node.shutdown();
    expect(() => NetNode.attach(handle)).toThrow('attach: the node of this handle is gone');
    expect(() => NetNode.attach({} as never)).toThrow('attach: handle must be a handle made by shareable()');
  });
});
