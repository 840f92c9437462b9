/** Ids derived from an entity id, the Ed25519 public key (31 §1). */
import { blake2s } from '../vendor/noble.js';

const encoder = new TextEncoder();
const NODE_ID_KEY = encoder.encode('net-node-id-v1');
const ORIGIN_KEY = encoder.encode('net-origin-v1');

function keyed(key: Uint8Array, entityId: Uint8Array): bigint {
  const digest = blake2s(new Uint8Array(entityId), { key });
  return new DataView(digest.buffer, digest.byteOffset).getBigUint64(0, true);
}

/** Routing and addressing id of an entity. */
export function nodeIdOf(entityId: Uint8Array): bigint {
  return keyed(NODE_ID_KEY, entityId);
}

/** Hash that packets carry (its low 32 bits) and logs record. */
export function originHashOf(entityId: Uint8Array): bigint {
  return keyed(ORIGIN_KEY, entityId);
}
