/** The 169-byte permission token: layout, scopes, validity (31 §4). All integers are little-endian. */
import { MeshringError } from '../errors.js';
import { verifySignature } from './ed25519.js';

/** Size of a token on the wire. Any other length is `invalid_format`. */
export const TOKEN_BYTES = 169;
/** Bytes that the signature covers. */
export const SIGNED_BYTES = 105;

const OFFSET = {
  issuer: 0,
  subject: 32,
  scope: 64,
  channelHash: 68,
  generation: 76,
  notBefore: 80,
  notAfter: 88,
  depth: 96,
  nonce: 97,
  signature: SIGNED_BYTES,
} as const;

/** What a token may allow. */
export type TokenScope = 'publish' | 'subscribe' | 'admin' | 'delegate';

/** Order of scopes in every output, with their bits. */
export const SCOPE_BITS: readonly (readonly [TokenScope, number])[] = [
  ['publish', 1],
  ['subscribe', 2],
  ['admin', 4],
  ['delegate', 8],
];
/** Scope bit of a token that is good for every channel. */
export const WILDCARD_BIT = 16;
/** Scope bit that allows delegation. */
export const DELEGATE_BIT = 8;

/** Fields of a token. Times are Unix seconds. */
export interface TokenFields {
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly scopeBits: number;
  readonly channelHash: bigint;
  readonly generation: number;
  readonly notBefore: bigint;
  readonly notAfter: bigint;
  readonly depth: number;
  readonly nonce: bigint;
}

/** A decoded token with its own bytes, which nobody else can change. */
export interface DecodedToken extends TokenFields {
  readonly bytes: Uint8Array;
}

/** Error of the token family in the core's form. */
export function tokenFailure(word: string): MeshringError {
  return new MeshringError(word, `token: ${word}`);
}

/** Bytes 0..105 of a token. */
export function encodeSignedPart(fields: TokenFields): Uint8Array {
  const bytes = new Uint8Array(SIGNED_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(fields.issuer, OFFSET.issuer);
  bytes.set(fields.subject, OFFSET.subject);
  view.setUint32(OFFSET.scope, fields.scopeBits, true);
  view.setBigUint64(OFFSET.channelHash, fields.channelHash, true);
  view.setUint32(OFFSET.generation, fields.generation, true);
  view.setBigUint64(OFFSET.notBefore, fields.notBefore, true);
  view.setBigUint64(OFFSET.notAfter, fields.notAfter, true);
  view.setUint8(OFFSET.depth, fields.depth);
  view.setBigUint64(OFFSET.nonce, fields.nonce, true);
  return bytes;
}

/** Signs the fields with the issuer's signing function. */
export function encodeToken(fields: TokenFields, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const signed = encodeSignedPart(fields);
  const bytes = new Uint8Array(TOKEN_BYTES);
  bytes.set(signed);
  bytes.set(sign(signed), OFFSET.signature);
  return bytes;
}

/** Decodes a copy; throws `token: invalid_format` for any other length than 169. Nothing else is checked. */
export function decodeToken(source: Uint8Array): DecodedToken {
  if (source.length !== TOKEN_BYTES) throw tokenFailure('invalid_format');
  const bytes = new Uint8Array(source);
  const view = new DataView(bytes.buffer);
  return {
    bytes,
    issuer: bytes.subarray(OFFSET.issuer, OFFSET.subject),
    subject: bytes.subarray(OFFSET.subject, OFFSET.scope),
    scopeBits: view.getUint32(OFFSET.scope, true),
    channelHash: view.getBigUint64(OFFSET.channelHash, true),
    generation: view.getUint32(OFFSET.generation, true),
    notBefore: view.getBigUint64(OFFSET.notBefore, true),
    notAfter: view.getBigUint64(OFFSET.notAfter, true),
    depth: view.getUint8(OFFSET.depth),
    nonce: view.getBigUint64(OFFSET.nonce, true),
  };
}

/** Whether the issuer signed the token. */
export function hasValidSignature(token: DecodedToken): boolean {
  return verifySignature(
    token.issuer,
    token.bytes.subarray(0, SIGNED_BYTES),
    token.bytes.subarray(OFFSET.signature, TOKEN_BYTES),
  );
}

/** Whether `have` holds every bit of `want`; never for an empty `want`. */
export function containsScope(have: number, want: number): boolean {
  return want !== 0 && (have & want) === want;
}

/** Whether the scope and the channel binding allow an action (bits) on a channel. Nothing else is checked. */
export function authorises(token: TokenFields, action: number, channelHash: bigint): boolean {
  return (
    containsScope(token.scopeBits, action) &&
    ((token.scopeBits & WILDCARD_BIT) !== 0 || token.channelHash === channelHash)
  );
}

/** Whether `now` lies in the token's life, with a tolerance for clocks that differ. All in Unix seconds. */
export function isValidAt(token: TokenFields, now: bigint, skewSeconds = 0n): boolean {
  // The signature is not looked at; arithmetic on bigints cannot overflow.
  return now >= token.notBefore - skewSeconds && now < token.notAfter + skewSeconds;
}

/** Scope words of the bits, in the fixed order. Unknown bits and the wildcard have no word. */
export function scopeWords(bits: number): TokenScope[] {
  return SCOPE_BITS.filter(([, bit]) => (bits & bit) !== 0).map(([word]) => word);
}

/** Bit of a scope word, or `undefined`. */
export function scopeBit(word: unknown): number | undefined {
  return SCOPE_BITS.find(([known]) => known === word)?.[1];
}

/** The host's wall clock in whole seconds. */
export function wallClockSeconds(): bigint {
  return BigInt(Math.floor(Date.now() / 1000));
}
