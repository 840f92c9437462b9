/** Channels: names and hashes. */
export {
  canonicalChannelHash,
  channelNameProblem,
  isChannelPrefix,
  MAX_CHANNEL_NAME_BYTES,
  publishStreamId,
  wireChannelHash,
} from './name.js';
