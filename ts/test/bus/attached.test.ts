/** A second producer of the same process on one node (addon backend): what it is told is true, and it learns the end. */
import { afterEach, describe, expect, it } from 'vitest';
import { backend } from '../../src/backend/choose.js';
import { Net } from '../../src/bus/net.js';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig } from '../../src/types.js';
import { FaultyTransport } from '../contract/faulty-transport.js';

const nodes: NetNode[] = [];
const transports: FaultyTransport[] = [];
afterEach(async () => {
  for (const transport of transports.splice(0)) transport.resume();
  await Promise.allSettled(nodes.splice(0).map((node) => node.shutdown()));
});

async function stored(config: NetNodeConfig): Promise<{ node: NetNode; transport: FaultyTransport }> {
  const transport = new FaultyTransport();
  transports.push(transport);
  const net = await Net.over({ transport: { type: 'redis', url: 'redis://injected' }, ...config }, transport);
  const node = NetNode.fromNapi(net);
  nodes.push(node);
  return { node, transport };
}

function attach(node: NetNode): NetNode {
  const attached = NetNode.attach(structuredClone(node.shareable()));
  nodes.unshift(attached);
  return attached;
}

const event = (i: number) => `{"i":${i}}`;

describe.runIf(backend.name === 'addon')('an attached node', () => {
  it('takes free slots that the owner no longer counts on, without reports of its own', async () => {
    const { node, transport } = await stored({
      shards: 1,
      bufferCapacity: 1024,
      backpressure: 'drop_newest',
      batch: { maxDelayMs: 1 },
    });
    transport.stall();
    node.fire(event(0));
    await transport.until(() => transport.attempts.length === 1);
    // The owner knows of 1023 free slots and has staged into some of them.
    let accepted = 1;
    for (let i = 1; i <= 10; i++) if (node.fire(event(i))) accepted += 1;
    const attached = attach(node);
    for (let i = 11; i < 2000; i++) if (attached.fire(event(i))) accepted += 1;
    for (let i = 2000; i < 3000; i++) if (node.fire(event(i))) accepted += 1;
    expect(accepted).toBe(1024);
    expect(node.stats()).toMatchObject({ eventsIngested: 1024n, eventsRejected: 1976n });
    // Gone again, it may come back at any time: the owner goes on asking.
    await attached.shutdown();
    expect(node.fire(event(3000))).toBe(false);
  });

  it('refuses everything from the moment of its shutdown', async () => {
    const node = await NetNode.create({ shards: 1 });
    nodes.push(node);
    const attached = attach(node);
    expect(attached.fire(event(1))).toBe(true);
    const done = attached.shutdown();
    expect(attached.fire(event(2))).toBe(false);
    expect(attached.emitBuffer(Buffer.from(event(3)))).toBe(false);
    expect(() => attached.emitRaw(event(4))).toThrow('EventBus has been shut down');
    await done;
    expect(node.stats().eventsIngested).toBe(1n);
  });

  it('has its streams ended by the shutdown of the owner', async () => {
    const node = await NetNode.create({ shards: 2 });
    nodes.push(node);
    const attached = attach(node);
    const next = attached.subscribe()[Symbol.asyncIterator]().next();
    await new Promise((resolve) => setTimeout(resolve));
    await node.shutdown();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it('flushes what it has accepted, and says when some of it was given up', async () => {
    const { node, transport } = await stored({ shards: 1, batch: { maxDelayMs: 1 } });
    const attached = attach(node);
    attached.fire(event(1));
    await attached.flush();
    expect(transport.texts()).toEqual([event(1)]);
    transport.fail('fatal', 1);
    attached.fire(event(2));
    await expect(attached.flush()).rejects.toThrow('Flush failed: 1 events were given up');
    attached.fire(event(3));
    await attached.flush();
    await expect(node.flush()).rejects.toThrow('Flush failed: 1 events were given up: fatal error: injected');
    await node.flush();
  });

  it('stops waiting for a flush that was too late', async () => {
    const { node, transport } = await stored({ shards: 1, adapterTimeoutMs: 200, batch: { maxDelayMs: 1 } });
    const attached = attach(node);
    transport.stall();
    attached.fire(event(1));
    await expect(attached.flush()).rejects.toThrow('Flush failed: not acknowledged within 200 ms');
  });
});

it('a receipt is true while another thread takes what was staged', async () => {
  if (backend.name !== 'addon') return;
  const node = await NetNode.create({ shards: 4 });
  nodes.push(node);
  const attached = attach(node);
  const seen = new Map<string, { shardId: number; timestamp: number }>();
  for (let i = 0; i < 200; i++) {
    const receipt = attached.emitRaw(event(i));
    node.stats();
    if (receipt) seen.set(event(i), receipt);
  }
  for (const { raw, shardId, insertionTs } of (await node.poll({ limit: 1000 })).events) {
    expect(seen.get(raw)).toEqual({ shardId, timestamp: insertionTs });
  }
  expect(seen.size).toBe(200);
});
