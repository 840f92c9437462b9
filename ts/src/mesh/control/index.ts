/** Discovery and channels of mesh nodes. */
export type { ChannelMessage } from './channel-stream.js';
export { ChannelStream } from './channel-stream.js';
export { type AnnounceOptions, type ChannelStreamOptions, type ControlConfig, ControlPlane } from './control-plane.js';
export { classifyChannelError } from './failure.js';
export type { ControlHost } from './host.js';
export type { OnFailure, PublishConfig, PublishReport, SubscriberInfo } from './publisher.js';
export type { SubscribeRequest, SubscriptionInfo } from './subscriptions.js';
