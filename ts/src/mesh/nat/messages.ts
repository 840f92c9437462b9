/** Messages of NAT traversal (33 A3); integers are big-endian. */
import { ADDRESS_BYTES, decodeAddress, encodeAddress, type SocketAddress } from './address.js';

/** Asks a peer for one's own address: an empty event, answered with an encoded address. */
export const REFLEX_SUBPROTOCOL = 0x0d00;
/** Requests, introductions and acknowledgements of punches. */
export const RENDEZVOUS_SUBPROTOCOL = 0x0d01;

/** A message of the rendezvous. */
export type Rendezvous =
  /** To the coordinator: bring me together with `target`. */
  | { readonly kind: 'request'; readonly target: bigint; readonly reflex: SocketAddress }
  /** To both ends: send keep-alives to `peer` from this Unix time (milliseconds) on. */
  | { readonly kind: 'introduce'; readonly peer: bigint; readonly reflex: SocketAddress; readonly fireAtMs: bigint }
  /** To the other end, over the coordinator: a keep-alive of `to` arrived at `from`. */
  | { readonly kind: 'ack'; readonly from: bigint; readonly to: bigint; readonly punchId: number };

const REQUEST = 1;
const INTRODUCE = 2;
const ACK = 3;
const REQUEST_BYTES = 9 + ADDRESS_BYTES;
const INTRODUCE_BYTES = 17 + ADDRESS_BYTES;
const ACK_BYTES = 21;

/** The bytes of a message. */
export function encodeRendezvous(message: Rendezvous): Uint8Array {
  switch (message.kind) {
    case 'request': {
      const out = new Uint8Array(REQUEST_BYTES);
      out[0] = REQUEST;
      new DataView(out.buffer).setBigUint64(1, message.target);
      out.set(encodeAddress(message.reflex), 9);
      return out;
    }
    case 'introduce': {
      const out = new Uint8Array(INTRODUCE_BYTES);
      const view = new DataView(out.buffer);
      out[0] = INTRODUCE;
      view.setBigUint64(1, message.peer);
      out.set(encodeAddress(message.reflex), 9);
      view.setBigUint64(9 + ADDRESS_BYTES, message.fireAtMs);
      return out;
    }
    case 'ack': {
      const out = new Uint8Array(ACK_BYTES);
      const view = new DataView(out.buffer);
      out[0] = ACK;
      view.setBigUint64(1, message.from);
      view.setBigUint64(9, message.to);
      view.setUint32(17, message.punchId);
      return out;
    }
  }
}

/** Reads a message of exactly its length; `undefined` for anything else. */
export function decodeRendezvous(bytes: Uint8Array): Rendezvous | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [kind] = bytes;
  if (kind === REQUEST && bytes.length === REQUEST_BYTES) {
    const reflex = decodeAddress(bytes, 9);
    return reflex && { kind: 'request', target: view.getBigUint64(1), reflex };
  }
  if (kind === INTRODUCE && bytes.length === INTRODUCE_BYTES) {
    const reflex = decodeAddress(bytes, 9);
    const fireAtMs = view.getBigUint64(9 + ADDRESS_BYTES);
    return reflex && { kind: 'introduce', peer: view.getBigUint64(1), reflex, fireAtMs };
  }
  if (kind === ACK && bytes.length === ACK_BYTES) {
    return { kind: 'ack', from: view.getBigUint64(1), to: view.getBigUint64(9), punchId: view.getUint32(17) };
  }
  return undefined;
}
