/** Mesh nodes. */
export type { ChannelConfig } from '../channels/index.js';
export type { Visibility } from '../subnets/index.js';
export type { Packet } from './batch.js';
export type {
  AnnounceOptions,
  ChannelMessage,
  ChannelStats,
  ChannelStream,
  ChannelStreamOptions,
  OnFailure,
  PublishConfig,
  PublishReport,
  SubscriberInfo,
  SubscriptionEvent,
  SubscriptionInfo,
  TokenChoice,
  TokenLike,
  TokenProvider,
  TokenSource,
} from './control/index.js';
export { patternMatcher } from './control/index.js';
export type { MeshConfig, PeerEvent, PeerInfo } from './core-node.js';
export { CoreNode } from './core-node.js';
export type { EventFilter, MeshEvent } from './inbox.js';
export { MeshNode, type MeshStream, type SubscribeOptions } from './mesh-node.js';
export { type DirectPath, TraversalError, type TraversalKind, type TraversalStats } from './nat/index.js';
export { type ConnectOptions, NetMesh, type NodeChanges } from './net-mesh.js';
export { NetStream, type Reliability, type StreamConfig, type StreamStats } from './net-stream.js';
export type { MeshStoredEvent } from './stored-event.js';
