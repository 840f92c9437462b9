import { afterEach, describe, expect, it, vi } from 'vitest';
import type { NetNode } from '../../src/index.js';
import type { ChannelsOptions, NetNodeConfig } from '../../src/types.js';
import { failure, Nodes, until } from './nodes.js';

describe('the channels of a mesh node as a bus of several threads', () => {
  const nodes = new Nodes('addon');
  afterEach(() => nodes.close());

  it('an attached node publishes and reads as its owner does', async () => {
    const [one, two] = await nodes.pair();
    one.registerChannel({ name: 'a' });
    two.registerChannel({ name: 'b' });
    await two.subscribeChannel(one.nodeId(), 'a');
    await one.subscribeChannel(two.nodeId(), 'b');
    const { bus } = await nodes.modules();
    const owner = nodes.keep(await bus.NetNode.create({ transport: { type: 'channels', node: one, publish: 'a' } }));
    const attached = nodes.keep(bus.NetNode.attach(owner.shareable()));
    const messages = two.subscribe('a');
    attached.emit({ from: 'attached' });
    await attached.flush();
    expect((await messages.next()).value?.payload.toString()).toBe('{"from":"attached"}');
    await two.publish('b', Buffer.from('{"n":1}'));
    for await (const event of attached.channel<{ n: number }>('b').subscribe()) {
      expect(event).toEqual({ n: 1, _channel: 'b' });
      break;
    }
  });
});

describe.each(['addon', 'wasm'] as const)('the channels of a mesh node as a bus on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  async function bus(options: ChannelsOptions, more: NetNodeConfig = {}): Promise<NetNode> {
    const { bus: module } = await nodes.modules();
    return nodes.keep(await module.NetNode.create({ shards: 2, ...more, transport: { type: 'channels', ...options } }));
  }

  /** Two mesh nodes that publish `a/1` and `a/2` to each other, with a bus on each. */
  async function buses(options: Omit<ChannelsOptions, 'node'> = {}) {
    const [one, two] = await nodes.pair();
    for (const node of [one, two]) for (const name of ['a/1', 'a/2']) node.registerChannel({ name });
    await one.subscribeChannel(two.nodeId(), 'a/*');
    await two.subscribeChannel(one.nodeId(), 'a/*');
    return { one, two, left: await bus({ node: one, ...options }), right: await bus({ node: two, ...options }) };
  }

  async function polled(node: NetNode, count: number, filter?: string): Promise<string[]> {
    let raws: string[] = [];
    await until(async () => {
      const request = { limit: 1000, ...(filter === undefined ? {} : { filter }) };
      raws = (await node.poll(request)).events.map(({ raw }) => raw);
      return raws.length >= count;
    });
    return raws;
  }

  it('typed channels meet their namesakes in the mesh, in both directions', async () => {
    const { left, right } = await buses();
    const [here, there] = [left, right].map((node) => node.channel<{ n: number }>('a/1'));
    if (!here || !there) throw new Error('unreachable');
    const streams = [here.subscribe(), there.subscribe()];
    expect(here.publish({ n: 1 })).toBe(true);
    expect(there.publishBatch([{ n: 2 }, { n: 3 }])).toBe(2);
    expect(right.channel('a/2').publish({ n: 9 })).toBe(true);
    await Promise.all([left.flush(), right.flush()]);
    const [atLeft, atRight] = streams.map((stream) => stream[Symbol.asyncIterator]());
    expect((await atRight?.next())?.value).toEqual({ n: 1, _channel: 'a/1' });
    const both = [await atLeft?.next(), await atLeft?.next()].map((result) => result?.value?.n);
    expect(both.sort()).toEqual([2, 3]);
    for (const stream of streams) stream.stop();
    // A node never sees its own events; the other channel is there for who reads all.
    expect(await polled(left, 3)).toHaveLength(3);
    expect(await polled(left, 1, '{"path":"_channel","value":"a/2"}')).toEqual(['{"n":9,"_channel":"a/2"}']);
    expect(await polled(right, 1)).toHaveLength(1);
    expect(left.stats()).toMatchObject({ eventsReceived: 3n, eventsUnrouted: 0n });
  });

  it('what a mesh node publishes is read with its channel, and bytes as they are', async () => {
    const { one, two, right } = await buses();
    const messages = two.subscribe('a/1');
    const payloads = ['{"celsius":21.50}', '{"_channel":"payroll","x":1}', '{}', '[1]', 'text', '{"broken":'];
    for (const payload of payloads) await one.publish('a/1', Buffer.from(payload));
    await one.publish('a/1', Buffer.from([0xff, 0x7b, 0x7d]));
    const events = await polled(right, 7);
    expect(events.slice(0, 6)).toEqual([
      '{"celsius":21.50,"_channel":"a/1"}',
      // What a publisher claims does not count.
      '{"_channel":"payroll","x":1,"_channel":"a/1"}',
      '{"_channel":"a/1"}',
      '[1]',
      'text',
      '{"broken":',
    ]);
    expect(await polled(right, 3, '{"path":"_channel","value":"a/1"}')).toHaveLength(3);
    expect((await right.poll({ limit: 10, filter: '{"path":"_channel","value":"payroll"}' })).events).toEqual([]);
    expect((await right.poll({ limit: 10 })).events[6]?.rawBytes).toEqual(Buffer.from([0xff, 0x7b, 0x7d]));
    // An iteration of the mesh node gets them too, unchanged.
    expect((await messages.next()).value?.payload.toString()).toBe(payloads[0]);
  });

  it('events without a channel go to the one that was named, or are told of', async () => {
    const { one, two, left, right } = await buses();
    left.emit({ lost: true });
    left.emitRaw('{"_channel":"a/1","found":true}');
    const lost = await failure(left.flush());
    expect(lost).toMatchObject({ kind: 'flush-failed', undelivered: 1 });
    expect(lost.message).toContain('an event names no channel: set `_channel` in it, or the option `publish`');
    expect(left.stats()).toMatchObject({ eventsUnrouted: 1n });
    expect(await polled(right, 1)).toEqual(['{"_channel":"a/1","found":true,"_channel":"a/1"}']);
    const named = await bus({ node: one, publish: 'a/2' });
    expect(named.emitBuffer(Buffer.from('plain'))).toBe(true);
    expect(named.emitBuffer(Buffer.alloc(8109))).toBe(false);
    named.emit({ _channel: 'Not A Mesh Channel', x: 1 });
    await named.flush();
    const all = await polled(right, 3);
    expect(all).toContain('{"_channel":"Not A Mesh Channel","x":1,"_channel":"a/2"}');
    expect(all).toContain('plain');
    expect(one.channelStats('a/2')).toMatchObject({ published: 2, delivered: 2 });
    // A second bus on the same mesh node reads what the first one reads.
    const second = await bus({ node: two, channels: ['a/2'] });
    named.emit({ again: true });
    expect(await polled(second, 1)).toEqual(['{"again":true,"_channel":"a/2"}']);
    expect(await polled(right, 4)).toHaveLength(4);
  });

  it('carries many events in order, through rates and full windows', async () => {
    const [one, two] = await nodes.pair({ protocol: 'net-0.19' });
    one.registerChannel({ name: 'many', maxRatePps: 20_000, reliable: true });
    await two.subscribeChannel(one.nodeId(), 'many');
    const [left, right] = [await bus({ node: one, publish: 'many' }, { shards: 1 }), await bus({ node: two })];
    const padding = 'x'.repeat(200);
    for (let n = 0; n < 3000; n++) left.emit({ n, padding });
    await left.flush();
    const seen: number[] = [];
    for await (const { n } of right.subscribeTyped<{ n: number }>({ limit: 500 })) {
      seen.push(n);
      if (seen.length === 3000) break;
    }
    expect(seen).toEqual(Array.from({ length: 3000 }, (_, n) => n));
  });

  it('a batch that takes longer than its time limit is not sent twice', async () => {
    const [one, two] = await nodes.pair();
    one.registerChannel({ name: 'a', maxRatePps: 1 });
    await two.subscribeChannel(one.nodeId(), 'a');
    const left = await bus({ node: one, publish: 'a' }, { shards: 1, adapterTimeoutMs: 50 });
    const right = await bus({ node: two });
    left.emit({ n: 1 });
    await left.flush();
    const { ChannelsTransport } = await import('../../src/bus/mesh/channels.js');
    const onBatch = vi.spyOn(ChannelsTransport.prototype, 'onBatch');
    left.emit({ n: 2 });
    expect(await failure(left.flush())).toMatchObject({ kind: 'flush-failed' });
    expect(await polled(right, 2)).toHaveLength(2);
    expect(onBatch.mock.calls.length).toBeGreaterThan(2);
    onBatch.mockRestore();
    left.emit({ n: 3 });
    await until(async () => (await polled(right, 3)).some((raw) => raw.startsWith('{"n":3')));
    expect((await polled(right, 3)).map((raw) => (JSON.parse(raw) as { n: number }).n)).toEqual([1, 2, 3]);
  });

  it('ends without its mesh node, and says so when that ends first', async () => {
    const { one, two, left, right } = await buses();
    await right.shutdown();
    await one.publish('a/1', Buffer.from('x'));
    const taken: string[] = [];
    await until(async () => {
      taken.push(...(await two.poll(10)).map(({ raw }) => raw));
      return taken.length === 1;
    });
    await one.shutdown();
    left.emit({ _channel: 'a/1' });
    const late = await failure(left.flush());
    expect(late).toMatchObject({ kind: 'flush-failed', undelivered: 1 });
    expect(late.message).toContain('MeshNode has been shut down');
    const { bus: module } = await nodes.modules();
    const create = (transport: object) =>
      module.NetNode.create({ transport: { type: 'channels', ...transport } as never });
    expect((await failure(create({ node: one }))).message).toBe(
      'Failed to create EventBus: fatal error: the mesh node has been shut down',
    );
    const wrong: [options: object, text: string][] = [
      [{}, 'Invalid transport: node must be a MeshNode'],
      [{ node: two, publish: 'A' }, "Invalid transport: publish: invalid channel name format: uppercase character 'A'"],
      [{ node: two, channels: 'a' }, 'Invalid transport: channels must be an array'],
      [{ node: two, channels: ['a//b'] }, 'channel: invalid name: invalid channel name format'],
      [
        { node: two, reliability: 'none' },
        'Invalid transport: reliability must be fire_and_forget or reliable, got none',
      ],
    ];
    for (const [options, text] of wrong) {
      const error = await failure(create(options));
      expect(error.message).toContain(text);
    }
  });
});
