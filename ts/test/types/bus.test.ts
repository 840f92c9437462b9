import { describe, expectTypeOf, it } from 'vitest';
import { type Filter as BusFilter, EventBus } from '../../src/bus.js';
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
import { type EventStream, Filter, type NetNode, type TypedChannel, type TypedEventStream } from '../../src/index.js';
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
});
