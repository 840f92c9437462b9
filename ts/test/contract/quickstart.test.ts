import { afterEach, describe, expect, it } from 'vitest';
import {
  AdapterConfig,
  ConsumeRequest,
  Event,
  EventBus,
  EventBusConfig,
  type EventBusConfigBuilder,
  Filter,
} from '../../src/bus.js';
import vectors from '../vectors/bus-config-errors.json';

const open: EventBus[] = [];
async function bus(config?: EventBusConfig): Promise<EventBus> {
  const created = await EventBus.create(config);
  open.push(created);
  return created;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((created) => created.shutdown()));
});

describe('the quickstart', () => {
  it('publishes and consumes: both events, in order, on any number of shards', async () => {
    for (const config of [EventBusConfig.default(), EventBusConfig.builder().shards(16).build()]) {
      const events = await bus(config);
      events.ingest(Event.fromStr('{"token": "hello", "index": 0}'));
      events.ingest(Event.fromStr('{"token": "world", "index": 1}'));
      const response = await events.poll(ConsumeRequest.new(100));
      expect(response.events.map((event) => event.raw)).toEqual([
        '{"token": "hello", "index": 0}',
        '{"token": "world", "index": 1}',
      ]);
      await events.shutdown();
    }
  });

  it('filters', async () => {
    const events = await bus();
    events.ingest(Event.fromStr('{"token": "hello", "index": 0}'));
    events.ingest(Event.fromStr('{"token": "world", "index": 1}'));
    const request = new ConsumeRequest(100).filter(new Filter().eq('token', 'hello'));
    const { events: found } = await events.poll(request);
    expect(found.map((event) => event.raw)).toEqual(['{"token": "hello", "index": 0}']);
    const other = ConsumeRequest.new(100).filter(Filter.new().eq('index', 1));
    expect((await events.poll(other)).events).toHaveLength(1);
  });

  it('switches to the mesh by the adapter alone', () => {
    const key = 'ab'.repeat(32);
    const net = AdapterConfig.net().listen('0.0.0.0:7777').peer('10.0.0.2:7777');
    expect(() => EventBusConfig.builder().adapter(net).build()).toThrow('psk is required: call .psk(<64 hex digits>)');
    expect(() => EventBusConfig.builder().adapter(net.psk(key)).build()).toThrow(
      'peer_public_key is required for initiator',
    );
    const initiator = EventBusConfig.builder().adapter(net.psk(key).peerPublicKey(key)).build();
    expect(initiator.toNode().transport).toEqual({
      type: 'mesh',
      bind: '0.0.0.0:7777',
      peer: '10.0.0.2:7777',
      psk: key,
      peerPublicKey: key,
    });
    const responder = net.psk(key).role('responder');
    expect(() => EventBusConfig.builder().adapter(responder).build()).toThrow('secret_key is required for responder');
    const complete = responder.keys({ publicKey: key, secretKey: key }).reliability('full');
    expect(EventBusConfig.builder().adapter(complete).build().toNode().transport).toMatchObject({
      role: 'responder',
      secretKey: key,
      reliability: 'full',
    });
  });
});

describe('a bus', () => {
  it('is opened by create alone', () => {
    expect(() => new EventBus()).toThrow('EventBus has no public constructor; use await EventBus.create(config)');
  });

  it('takes events of every form and tells where they went', async () => {
    const events = await bus(EventBusConfig.builder().shards(1).build());
    const forms = [
      Event.fromStr('1'),
      Event.fromValue({ b: [2] }),
      Event.fromBytes(new TextEncoder().encode('3')),
      '4',
      new TextEncoder().encode('5'),
      { six: 6 },
      Event.fromBytes(Uint8Array.of(255, 0)),
    ];
    for (const form of forms) {
      expect(events.ingest(form)).toEqual({ shardId: 0, timestamp: expect.any(Number) });
    }
    const { events: stored } = await events.poll(ConsumeRequest.new(100));
    expect(stored.map((event) => event.raw)).toEqual(['1', '{"b":[2]}', '3', '4', '5', '{"six":6}', '']);
    expect([...(stored[6]?.rawBytes ?? [])]).toEqual([255, 0]);
    expect(events.stats().eventsIngested).toBe(7n);
  });

  it('goes on from a cursor', async () => {
    const events = await bus(EventBusConfig.builder().shards(4).build());
    for (let i = 0; i < 10; i++) events.ingest({ i });
    const first = await events.poll(ConsumeRequest.new(4).from(undefined));
    const second = await events.poll(ConsumeRequest.new(100).from(first.nextId).ordering('insertion_ts'));
    expect([...first.events, ...second.events].map((event) => JSON.parse(event.raw).i)).toEqual([...Array(10).keys()]);
    const one = await events.poll(ConsumeRequest.new(100).ordering('none').shards([2]));
    for (const event of one.events) expect(event.shardId).toBe(2);
  });

  it('streams, flushes and ends', async () => {
    const events = await bus();
    events.ingest({ i: 1 });
    await events.flush();
    for await (const event of events.subscribe()) {
      expect(event.raw).toBe('{"i":1}');
      break;
    }
    await events.shutdown();
    expect(() => events.ingest({ i: 2 })).toThrow('EventBus has been shut down');
    await expect(events.poll(ConsumeRequest.new(1))).rejects.toThrow('EventBus has been shut down');
  });
});

describe('an event', () => {
  it('of text must be JSON', () => {
    for (const bad of ['', '{', 'nope', '1 2']) expect(() => Event.fromStr(bad)).toThrow(/^Invalid JSON: /);
    expect(() => Event.fromValue(undefined)).toThrow('Event.fromValue: value must be a value with a JSON form');
    expect(() => Event.fromBytes('x' as never)).toThrow('Event.fromBytes: bytes must be a Uint8Array, got string');
  });
});

describe('the configuration', () => {
  it.each(vectors.cases.map((c) => [JSON.stringify(c.config), c] as const))('%s is refused by build', (_, c) => {
    const { shards, bufferCapacity, backpressure, transport } = c.config as unknown as Record<string, never>;
    let builder: EventBusConfigBuilder = EventBusConfig.builder();
    if (shards !== undefined) builder = builder.shards(shards);
    if (bufferCapacity !== undefined) builder = builder.bufferCapacity(bufferCapacity);
    if (backpressure !== undefined) builder = builder.backpressure(backpressure);
    if (transport !== undefined) builder = builder.adapter(new AdapterConfig(transport));
    expect(() => builder.build()).toThrow(c.message);
  });

  it('names the other adapters', () => {
    const build = (adapter: AdapterConfig) => EventBusConfig.builder().adapter(adapter).build().toNode().transport;
    expect(build(AdapterConfig.memory({ maxEvents: 10 }))).toEqual({ type: 'memory', maxEvents: 10 });
    expect(build(AdapterConfig.redis('redis://localhost', { prefix: 'p' }))).toEqual({
      type: 'redis',
      url: 'redis://localhost',
      prefix: 'p',
    });
    expect(build(AdapterConfig.jetstream('nats://localhost'))).toEqual({ type: 'jetstream', url: 'nats://localhost' });
    expect(() => build(AdapterConfig.jetstream(''))).toThrow('jetstream url must be non-empty');
    expect(() => EventBusConfig.builder().adapter({} as never)).toThrow('adapter must be an AdapterConfig');
  });
});
