import { describe, expectTypeOf, it } from 'vitest';
import type { NetNodeConfig, Stats, Token } from '../../src/index.js';
import type {
  ChannelConfig,
  ChannelError,
  ChannelErrorKind,
  ChannelMessage,
  ChannelStats,
  ChannelStream,
  ChannelStreamOptions,
  MeshNode,
  OnFailure,
  PeerEvent,
  PublishConfig,
  PublishReport,
  SubscribeOptions,
  SubscriberInfo,
  SubscriptionEvent,
  SubscriptionInfo,
  TokenProvider,
  Visibility,
} from '../../src/mesh.js';

describe('types of channels', () => {
  it('take what code written for the published package passes', () => {
    expectTypeOf<Visibility>().toEqualTypeOf<'subnet-local' | 'parent-visible' | 'exported' | 'global'>();
    expectTypeOf<OnFailure>().toEqualTypeOf<'best_effort' | 'fail_fast' | 'collect'>();
    expectTypeOf<{
      name: string;
      visibility: 'global';
      reliable: boolean;
      requireToken: boolean;
      priority: number;
      maxRatePps: number;
      subscribeCaps: { requireTags: string[] };
    }>().toExtend<ChannelConfig>();
    expectTypeOf<{
      reliability: 'reliable';
      onFailure: 'best_effort';
      maxInflight: number;
    }>().toExtend<PublishConfig>();
    expectTypeOf<{ token: Token }>().toExtend<SubscribeOptions>();
    expectTypeOf<MeshNode['publish']>().returns.resolves.toEqualTypeOf<PublishReport>();
    expectTypeOf<PublishReport['errors'][number]>().toEqualTypeOf<{ nodeId: bigint; message: string }>();
    expectTypeOf<MeshNode['subscribeChannel']>().returns.resolves.toEqualTypeOf<void>();
    expectTypeOf<MeshNode['registerChannel']>().returns.toEqualTypeOf<void>();
  });

  it('take and give what was added', () => {
    expectTypeOf<{ token: Uint8Array; queueGroup: string }>().toExtend<SubscribeOptions>();
    expectTypeOf<{ token: Token[] }>().toExtend<SubscribeOptions>();
    expectTypeOf<{ token: () => Promise<Token> }>().toExtend<SubscribeOptions>();
    expectTypeOf<{ token: (channel: string) => Token | undefined }>().toExtend<SubscribeOptions>();
    expectTypeOf<{ token: string }>().not.toExtend<SubscribeOptions>();
    expectTypeOf<TokenProvider>().parameter(0).toEqualTypeOf<string>();
    expectTypeOf<{ publisher: bigint; signal: AbortSignal; onDrop: 'throw' }>().toExtend<ChannelStreamOptions>();
    expectTypeOf<ChannelStream>().toExtend<AsyncIterable<ChannelMessage>>();
    expectTypeOf<ChannelStream['ready']>().toEqualTypeOf<Promise<void>>();
    expectTypeOf<ChannelMessage['payload']>().toEqualTypeOf<Buffer>();
    expectTypeOf<SubscriptionInfo['state']>().toEqualTypeOf<'active' | 'lost' | 'dropped'>();
    expectTypeOf<SubscriptionEvent['type']>().toEqualTypeOf<'active' | 'lost' | 'dropped' | 'failed'>();
    expectTypeOf<ChannelError['kind']>().toEqualTypeOf<ChannelErrorKind>();
    expectTypeOf<'unsupported'>().toExtend<ChannelErrorKind>();
    expectTypeOf<MeshNode['channelStats']>().returns.toEqualTypeOf<ChannelStats | undefined>();
    expectTypeOf<MeshNode['subscribers']>().returns.toEqualTypeOf<SubscriberInfo[]>();
    expectTypeOf<MeshNode['subscriptions']>().returns.toEqualTypeOf<SubscriptionInfo[]>();
    expectTypeOf<MeshNode['unregisterChannel']>().returns.toEqualTypeOf<boolean>();
    expectTypeOf<MeshNode['channels']>().returns.toEqualTypeOf<ChannelConfig[]>();
    expectTypeOf<MeshNode['publishMany']>().parameter(1).toEqualTypeOf<readonly Buffer[]>();
    expectTypeOf<{ onBackpressure: 'wait' }>().toExtend<PublishConfig>();
  });

  it('listeners get what they asked for', () => {
    const listen = (node: MeshNode) => {
      node.on('peer', (event) => expectTypeOf(event).toEqualTypeOf<PeerEvent>());
      node.on('subscription', (event) => expectTypeOf(event).toEqualTypeOf<SubscriptionEvent>());
    };
    expectTypeOf(listen).returns.toEqualTypeOf<void>();
  });

  it('a bus sits on a mesh node', () => {
    expectTypeOf<{ shards: number; transport: { type: 'channels'; node: MeshNode } }>().toExtend<NetNodeConfig>();
    expectTypeOf<{
      transport: { type: 'channels'; node: MeshNode; publish: string; channels: string[]; reliability: 'reliable' };
    }>().toExtend<NetNodeConfig>();
    expectTypeOf<{ transport: { type: 'channels' } }>().not.toExtend<NetNodeConfig>();
    expectTypeOf<Stats['eventsUnrouted']>().toEqualTypeOf<bigint | undefined>();
  });
});
