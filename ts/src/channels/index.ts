/** Channels: names and hashes, configurations, membership messages, the roster, the throttle. */

export {
  canonicalChannelHash,
  channelNameProblem,
  isChannelPrefix,
  MAX_CHANNEL_NAME_BYTES,
  publishStreamId,
  wireChannelHash,
} from '../channel-name/index.js';
export { type ChannelConfig, ChannelRegistry, checkChannelConfig, MAX_REGISTERED_CHANNELS } from './config.js';
export {
  decodeExtension,
  type ExtensionMessage,
  encodeExtension,
  isBelow,
  LISTED_BYTES,
  MAX_PRESENTED_TOKENS,
} from './extension.js';
export { ChannelGate, type ChannelGateOptions, type GateGuard, type GatePeers, PresentedTokens } from './gate.js';
export {
  decodeMembership,
  encodeMembership,
  MEMBERSHIP_SUBPROTOCOL,
  type MembershipMessage,
  REJECT_REASONS,
  type RejectReason,
} from './membership.js';
export { ChannelRate } from './rate.js';
export { MAX_CHANNELS_PER_PEER, Roster } from './roster.js';
export { AuthThrottle, MAX_FAILURES, PAUSE_MS, WINDOW_MS } from './throttle.js';
