/** Messages of the membership subprotocol: subscribe, unsubscribe, ack (32 §4). */
import { channelNameProblem } from '../channel-name/index.js';

/** Subprotocol id, and stream id, of membership messages. */
export const MEMBERSHIP_SUBPROTOCOL = 0x0a00;

/** Why a subscription was refused. */
export type RejectReason = 'none' | 'unauthorized' | 'unknown-channel' | 'rate-limited' | 'too-many-channels';

/** Reasons by their number on the wire. */
export const REJECT_REASONS: readonly RejectReason[] = [
  'none',
  'unauthorized',
  'unknown-channel',
  'rate-limited',
  'too-many-channels',
];

/** A membership message. */
export type MembershipMessage =
  | {
      readonly type: 'subscribe';
      readonly nonce: bigint;
      readonly channel: string;
      /** Bytes of a token, not checked here. */
      readonly token?: Uint8Array;
      /** Name of the queue group; absent for a broadcast subscription. */
      readonly queueGroup?: string;
    }
  | { readonly type: 'unsubscribe'; readonly nonce: bigint; readonly channel: string }
  | { readonly type: 'ack'; readonly nonce: bigint; readonly accepted: boolean; readonly reason: RejectReason };

const SUBSCRIBE = 0;
const UNSUBSCRIBE = 1;
const ACK = 2;
const NAME_AT = 10;
const ACK_BYTES = 11;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function encodeName(channel: string): Uint8Array {
  const problem = channelNameProblem(channel);
  if (problem !== undefined) throw new RangeError(`channel: invalid name: ${problem}`);
  return encoder.encode(channel);
}

/** Bytes of a message. Names must be valid, tokens at most 65,535 and queue groups at most 255 bytes long. */
export function encodeMembership(message: MembershipMessage): Uint8Array {
  if (message.type === 'ack') {
    const bytes = new Uint8Array(ACK_BYTES);
    bytes[0] = ACK;
    new DataView(bytes.buffer).setBigUint64(1, message.nonce, true);
    bytes[9] = message.accepted ? 1 : 0;
    bytes[10] = REJECT_REASONS.indexOf(message.reason);
    return bytes;
  }
  const name = encodeName(message.channel);
  const head = new Uint8Array(NAME_AT + name.length);
  head[0] = message.type === 'subscribe' ? SUBSCRIBE : UNSUBSCRIBE;
  new DataView(head.buffer).setBigUint64(1, message.nonce, true);
  head[9] = name.length;
  head.set(name, NAME_AT);
  if (message.type === 'unsubscribe') return head;

  const token = message.token ?? new Uint8Array();
  const group = encoder.encode(message.queueGroup ?? '');
  if (token.length > 0xffff) throw new RangeError(`membership: token of ${token.length} bytes, limit 65535`);
  if (group.length > 0xff) throw new RangeError(`membership: queue group of ${group.length} bytes, limit 255`);
  // Older nodes refuse a group length of zero: the byte is left out.
  const groupAt = head.length + 2 + token.length;
  const bytes = new Uint8Array(groupAt + (group.length > 0 ? 1 + group.length : 0));
  bytes.set(head);
  new DataView(bytes.buffer).setUint16(head.length, token.length, true);
  bytes.set(token, head.length + 2);
  if (group.length > 0) {
    bytes[groupAt] = group.length;
    bytes.set(group, groupAt + 1);
  }
  return bytes;
}

function text(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function decodeAck(bytes: Uint8Array, nonce: bigint): MembershipMessage | undefined {
  const accepted = bytes[9] ?? 2;
  const reason = REJECT_REASONS[bytes[10] ?? REJECT_REASONS.length];
  if (bytes.length !== ACK_BYTES || accepted > 1 || reason === undefined) return undefined;
  return { type: 'ack', nonce, accepted: accepted === 1, reason };
}

/** Decodes received bytes; `undefined` for anything malformed. Tokens are copied. */
export function decodeMembership(bytes: Uint8Array): MembershipMessage | undefined {
  if (bytes.length < NAME_AT) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const nonce = view.getBigUint64(1, true);
  const type = bytes[0];
  if (type === ACK) return decodeAck(bytes, nonce);
  if (type !== SUBSCRIBE && type !== UNSUBSCRIBE) return undefined;

  const nameEnd = NAME_AT + (bytes[9] ?? 0);
  if (nameEnd > bytes.length) return undefined;
  const channel = text(bytes.subarray(NAME_AT, nameEnd));
  if (channel === undefined || channelNameProblem(channel) !== undefined) return undefined;
  if (type === UNSUBSCRIBE) return nameEnd === bytes.length ? { type: 'unsubscribe', nonce, channel } : undefined;
  // Oldest form: nothing behind the name.
  if (nameEnd === bytes.length) return { type: 'subscribe', nonce, channel };

  if (nameEnd + 2 > bytes.length) return undefined;
  const tokenEnd = nameEnd + 2 + view.getUint16(nameEnd, true);
  if (tokenEnd > bytes.length) return undefined;
  const token = bytes.slice(nameEnd + 2, tokenEnd);
  const groupLength = bytes[tokenEnd] ?? 0;
  const end = tokenEnd === bytes.length ? tokenEnd : tokenEnd + 1 + groupLength;
  if (end !== bytes.length) return undefined;
  const queueGroup = groupLength === 0 ? '' : text(bytes.subarray(tokenEnd + 1, end));
  if (queueGroup === undefined) return undefined;
  return {
    type: 'subscribe',
    nonce,
    channel,
    ...(token.length > 0 ? { token: new Uint8Array(token) } : {}),
    ...(queueGroup === '' ? {} : { queueGroup }),
  };
}
