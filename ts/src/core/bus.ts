/** Bus names of the core package (10 §9). */

import type { NetKeypair } from '../bus/core-options.js';
import { x25519 } from '../vendor/noble.js';

export type {
  EventBusOptions,
  HashedEvent,
  NetKeypair,
  NetOptions,
} from '../bus/core-options.js';
export { Net } from '../bus/net.js';
export { RedisStreamDedup } from '../redis-dedup.js';
export type {
  JetStreamOptions,
  PollRequest as PollOptions,
  PollResponseData as PollResponse,
  Receipt as IngestResult,
  RedisOptions,
  Stats,
  StoredEvent,
} from '../types.js';

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A new X25519 key pair for the mesh transport, as hex. */
export function generateNetKeypair(): NetKeypair {
  const secret = globalThis.crypto.getRandomValues(new Uint8Array(32));
  return { publicKey: hex(x25519.getPublicKey(secret)), secretKey: hex(secret) };
}
