/** Discovery and channels of mesh nodes. */
export type { ChannelMessage } from './channel-stream.js';
export { ChannelStream } from './channel-stream.js';
export { type AnnounceOptions, type ChannelStreamOptions, type ControlConfig, ControlPlane } from './control-plane.js';
export { classifyChannelError } from './failure.js';
export type { ControlHost } from './host.js';
export { patternMatcher } from './prefixes.js';
export type { ChannelStats, OnFailure, PublishConfig, PublishReport, SubscriberInfo } from './publisher.js';
export type { SubscribeRequest, SubscriptionEvent, SubscriptionInfo } from './subscriptions.js';
export type { TokenChoice, TokenLike, TokenProvider, TokenSource } from './token-source.js';
