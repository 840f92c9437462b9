import { describe, expectTypeOf, it } from 'vitest';
import { type Filter as BusFilter, EventBus } from '../../src/bus.js';
import { type HashedEvent, Net, type NetKeypair, type NetOptions } from '../../src/core.js';
import type {
  NetNodeConfig,
  PollRequest,
  PollResponseData,
  Receipt,
  Stats,
  StoredEvent,
  SubscribeOpts,
  Transport,
} from '../../src/index.js';
import { type EventStream, Filter, NetNode, type TypedChannel, type TypedEventStream } from '../../src/index.js';
import type {
  EventBusOptions,
  JetStreamOptions,
  NapiIngestResult,
  NapiNet,
  NapiPollResponse,
  NapiStats,
  NapiStoredEvent,
  RedisOptions,
} from '../../src/types.js';

describe('types of the bus', () => {
  it('take what code written for the published package passes', () => {
    expectTypeOf<{ shards: number; transport: { type: 'memory' } }>().toExtend<NetNodeConfig>();
    expectTypeOf<{ type: 'redis'; url: string; maxStreamLen: number }>().toExtend<Transport>();
    expectTypeOf<{ type: 'jetstream'; url: string; replicas: number }>().toExtend<Transport>();
    expectTypeOf<{ type: 'mesh'; bind: string; peer: string; psk: string; role: 'initiator' }>().toExtend<Transport>();
    expectTypeOf<{
      limit: number;
      cursor?: string;
      filter?: string;
      ordering?: 'insertion_ts';
    }>().toExtend<PollRequest>();
    expectTypeOf<{ limit: number; pollIntervalMs: number; maxBackoffMs: number }>().toExtend<SubscribeOpts>();
    expectTypeOf<{ id: string; raw: string; insertionTs: number; shardId: number }>().toExtend<StoredEvent>();
  });

  it('give what it reads', () => {
    expectTypeOf<PollResponseData['events']>().toEqualTypeOf<StoredEvent[]>();
    expectTypeOf<PollResponseData['hasMore']>().toEqualTypeOf<boolean>();
    expectTypeOf<PollResponseData['nextId']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<Receipt>().toEqualTypeOf<{ shardId: number; timestamp: number }>();
    expectTypeOf<Stats['eventsIngested']>().toEqualTypeOf<bigint>();
    expectTypeOf<NetNode['emit']>().returns.toEqualTypeOf<Receipt | null>();
    expectTypeOf<NetNode['poll']>().returns.resolves.toEqualTypeOf<PollResponseData>();
    expectTypeOf<EventStream>().toExtend<AsyncIterable<StoredEvent>>();
    expectTypeOf<TypedEventStream<{ a: number }>>().toExtend<AsyncIterable<{ a: number }>>();
    expectTypeOf<TypedChannel<{ a: number }>['publish']>().parameter(0).toEqualTypeOf<{ a: number }>();
    expectTypeOf<TypedChannel<{ a: number }>['subscribe']>().returns.toEqualTypeOf<TypedEventStream<{ a: number }>>();
  });

  it('of the core are those of the SDK', () => {
    expectTypeOf<NapiPollResponse['events']>().toEqualTypeOf<NapiStoredEvent[]>();
    expectTypeOf<NapiStoredEvent>().toExtend<StoredEvent>();
    expectTypeOf<NapiIngestResult>().toEqualTypeOf<Receipt>();
    expectTypeOf<NapiStats>().toEqualTypeOf<Stats>();
    expectTypeOf<NetNode['napi']>().toEqualTypeOf<NapiNet>();
    expectTypeOf<EventBusOptions['redis']>().toEqualTypeOf<RedisOptions | undefined>();
    expectTypeOf<EventBusOptions['jetstream']>().toEqualTypeOf<JetStreamOptions | undefined>();
  });

  it('of the additions', () => {
    expectTypeOf(Filter.eq('a', 1)).toEqualTypeOf<BusFilter>();
    expectTypeOf(EventBus.create).returns.resolves.toEqualTypeOf<EventBus>();
    // @ts-expect-error a value is needed
    Filter.eq('a');
    // @ts-expect-error a comparison is with a number or a string
    Filter.gt('a', true);
  });

  it('of a node are those of every method', () => {
    expectTypeOf(NetNode.create).parameters.toEqualTypeOf<[config?: NetNodeConfig]>();
    expectTypeOf(NetNode.create).returns.resolves.toEqualTypeOf<NetNode>();
    expectTypeOf(NetNode.fromNapi).parameters.toEqualTypeOf<[bus: Net]>();
    expectTypeOf<NetNode['emitRaw']>().toEqualTypeOf<(json: string) => Receipt | null>();
    expectTypeOf<NetNode['emitBuffer']>().toEqualTypeOf<(data: Uint8Array) => boolean>();
    expectTypeOf<Buffer>().toExtend<Parameters<NetNode['emitBuffer']>[0]>();
    expectTypeOf<NetNode['emitBatch']>().toEqualTypeOf<(events: object[]) => number>();
    expectTypeOf<NetNode['emitRawBatch']>().toEqualTypeOf<(jsons: string[]) => number>();
    expectTypeOf<NetNode['fire']>().toEqualTypeOf<(json: string) => boolean>();
    expectTypeOf<NetNode['fireBatch']>().toEqualTypeOf<(jsons: string[]) => number>();
    expectTypeOf<NetNode['pollOne']>().returns.resolves.toEqualTypeOf<StoredEvent | null>();
    expectTypeOf<NetNode['subscribe']>().toEqualTypeOf<(opts?: SubscribeOpts) => EventStream>();
    expectTypeOf<NetNode['stats']>().toEqualTypeOf<() => Stats>();
    expectTypeOf<NetNode['shards']>().toEqualTypeOf<() => number>();
    expectTypeOf<NetNode['flush']>().toEqualTypeOf<() => Promise<void>>();
    expectTypeOf<NetNode['shutdown']>().toEqualTypeOf<() => Promise<void>>();
    expectTypeOf<NetNode[typeof Symbol.asyncDispose]>().toEqualTypeOf<() => Promise<void>>();
    expectTypeOf<NetNode['shareable']>().returns.toEqualTypeOf<Parameters<typeof NetNode.attach>[0]>();
    // @ts-expect-error nodes are made by create
    new NetNode();
    // @ts-expect-error a text is not bytes
    expectTypeOf<string>().toExtend<Parameters<NetNode['emitBuffer']>[0]>();
  });

  it('of the low-level bus are those of every method', () => {
    expectTypeOf(Net.create).parameters.toEqualTypeOf<[options?: EventBusOptions]>();
    expectTypeOf<Net['prehash']>().returns.toEqualTypeOf<HashedEvent>();
    expectTypeOf<HashedEvent['hash']>().toEqualTypeOf<bigint>();
    expectTypeOf<Net['pushWithHash']>().toEqualTypeOf<(data: Uint8Array, hash: bigint) => boolean>();
    expectTypeOf<Net['push']>().toEqualTypeOf<(data: Uint8Array) => boolean>();
    expectTypeOf<Net['pushBatch']>().toEqualTypeOf<(events: Uint8Array[]) => number>();
    expectTypeOf<Net['ingestRawSync']>().returns.toEqualTypeOf<Receipt | null>();
    expectTypeOf<Net['ingestRaw']>().returns.resolves.toEqualTypeOf<Receipt | null>();
    expectTypeOf<Net['ingestRawBatch']>().returns.resolves.toEqualTypeOf<number>();
    expectTypeOf<Net['poll']>().toEqualTypeOf<(request: PollRequest) => Promise<PollResponseData>>();
    expectTypeOf<Net['numShards']>().toEqualTypeOf<() => number>();
    expectTypeOf<NetKeypair>().toEqualTypeOf<{ publicKey: string; secretKey: string }>();
    expectTypeOf<NetOptions>().toHaveProperty('bindAddr').toEqualTypeOf<string>();
    // @ts-expect-error role is required here
    expectTypeOf<{ bindAddr: string; peerAddr: string; psk: string }>().toExtend<NetOptions>();
  });

  it('of streams and channels carry their element', () => {
    expectTypeOf<TypedChannel<{ a: number }>['publishBatch']>().toEqualTypeOf<(events: { a: number }[]) => number>();
    expectTypeOf<TypedChannel<{ a: number }>['subscribeRaw']>().returns.toEqualTypeOf<EventStream>();
    expectTypeOf<TypedChannel<{ a: number }>['name']>().toEqualTypeOf<string>();
    expectTypeOf<EventStream['stop']>().toEqualTypeOf<() => void>();
    const typed = (node: NetNode) => node.channel('c', (data) => ({ n: Number(data) }));
    expectTypeOf(typed).returns.toEqualTypeOf<TypedChannel<{ n: number }>>();
    const stream = (node: NetNode) => node.subscribeTyped<string>();
    expectTypeOf(stream).returns.toEqualTypeOf<TypedEventStream<string>>();
  });

  it('of the configuration refuse what is misspelt', () => {
    expectTypeOf<{ backpressure: { mode: 'sample'; rate: number } }>().toExtend<NetNodeConfig>();
    expectTypeOf<{ batch: 'low_latency' }>().toExtend<NetNodeConfig>();
    expectTypeOf<NonNullable<NetNodeConfig['shards']>>().toEqualTypeOf<number>();
    // @ts-expect-error not a mode
    expectTypeOf<{ backpressure: 'drop' }>().toExtend<NetNodeConfig>();
    // @ts-expect-error not a transport
    expectTypeOf<{ type: 'kafka' }>().toExtend<Transport>();
    // @ts-expect-error limit is required
    expectTypeOf<{ cursor: string }>().toExtend<PollRequest>();
    expectTypeOf<Exclude<keyof Stats, 'eventsIngested' | 'eventsDropped'>>().not.toBeNever();
    expectTypeOf<Pick<Stats, 'eventsIngested' | 'eventsDropped'>>().toEqualTypeOf<{
      eventsIngested: bigint;
      eventsDropped: bigint;
    }>();
  });
});
