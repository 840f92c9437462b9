/** Redis Streams (11 §4). */
export { redisSettings, redisTarget } from './options.js';
export { RedisTransport } from './transport.js';
