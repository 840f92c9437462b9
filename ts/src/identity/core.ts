/** The lower-level identity names (31 §2, "Core-level names"): positional arguments, plain errors with the raw text. */
import { canonicalChannelHash, channelNameProblem } from '../channel-name/index.js';
import { MeshringError, textOf, wrongType } from '../errors.js';
import { copyBytes, handOut, INSPECT, KEY_BYTES, randomBytes, sameBytes, toHex } from './bytes.js';
import { publicKeyOf, signWith } from './ed25519.js';
import { nodeIdOf, originHashOf } from './entity.js';
import {
  DELEGATE_BIT,
  type DecodedToken,
  decodeToken,
  encodeToken,
  hasValidSignature,
  scopeBit,
  scopeWords,
  type TokenFields,
  tokenFailure,
  WILDCARD_BIT,
  wallClockSeconds,
} from './token-bytes.js';
import { TokenCache } from './token-cache.js';

const U64_MAX = 0xffff_ffff_ffff_ffffn;
const U32_MAX = 0xffff_ffff;

function failure(kind: string, text: string): MeshringError {
  return new MeshringError(kind, `identity: ${text}`);
}

function entityIdOf(method: string, argument: string, value: unknown): Uint8Array {
  const bytes = copyBytes(method, argument, value);
  if (bytes.length !== KEY_BYTES) {
    throw failure('invalid-entity-id', `entity_id must be ${KEY_BYTES} bytes, got ${bytes.length}`);
  }
  return bytes;
}

/** Bits of scope words; throws for unknown ones. */
function scopesToBits(method: string, scope: unknown): number {
  if (!Array.isArray(scope)) throw wrongType(method, 'scope', scope, 'an array of strings', 'ArrayExpected');
  let bits = 0;
  for (const word of scope as unknown[]) {
    if (typeof word !== 'string') throw wrongType(method, 'scope', word, 'an array of strings', 'StringExpected');
    const bit = scopeBit(word);
    if (bit === undefined) {
      throw failure('unknown-scope', `unknown scope "${word}"; expected publish | subscribe | admin | delegate`);
    }
    bits |= bit;
  }
  return bits;
}

function randomNonce(): bigint {
  return new DataView(randomBytes(8).buffer).getBigUint64(0, true);
}

/** Canonical 64-bit hash of a channel name (XXH3-64). Throws `identity: invalid channel name: …`. */
export function channelHash(name: string): bigint {
  if (typeof name !== 'string') throw wrongType('channelHash', 'channel', name, 'a string', 'StringExpected');
  const problem = channelNameProblem(name);
  if (problem !== undefined) throw failure('invalid-channel-name', `invalid channel name: ${problem}`);
  return canonicalChannelHash(name);
}

/** What `issueToken` can do beyond the published arguments. */
export interface IssueExtras {
  /** Issuer generation, 0..2^32−1, default 0: raising the floor of this issuer revokes older ones. */
  readonly generation?: number;
  /** Whether the token is good for every channel; default false. */
  readonly wildcard?: boolean;
}

/** An Ed25519 identity with its own cache of permission tokens. */
export class Identity {
  readonly #seed: Uint8Array;
  readonly #entityId: Uint8Array;
  readonly #cache = new TokenCache();
  #ids: { nodeId: bigint; originHash: bigint } | undefined;

  private constructor(seed: Uint8Array) {
    this.#seed = seed;
    this.#entityId = new Uint8Array(publicKeyOf(seed));
  }

  /** A fresh identity from the system's random generator. */
  static generate(): Identity {
    return new Identity(randomBytes(KEY_BYTES));
  }

  /** The identity of a seed of exactly 32 bytes. */
  static fromSeed(seed: Uint8Array): Identity {
    const copy = copyBytes('Identity.fromSeed', 'seed', seed);
    if (copy.length !== KEY_BYTES) {
      throw failure('invalid-seed', `seed must be ${KEY_BYTES} bytes, got ${copy.length}`);
    }
    return new Identity(copy);
  }

  /** The same as `fromSeed`: the persisted form is the seed. */
  static fromBytes(bytes: Uint8Array): Identity {
    return Identity.fromSeed(bytes);
  }

  /** The seed, 32 bytes: a secret. */
  toBytes(): Buffer {
    return handOut(this.#seed);
  }

  /** Public key, 32 bytes. */
  get entityId(): Buffer {
    return handOut(this.#entityId);
  }

  /** 64-bit hash for packet headers and logs. */
  get originHash(): bigint {
    return this.#derived().originHash;
  }

  /** 64-bit id for routing and addressing. */
  get nodeId(): bigint {
    return this.#derived().nodeId;
  }

  /** Ed25519 signature, 64 bytes. */
  sign(message: Uint8Array): Buffer {
    return handOut(signWith(this.#seed, copyBytes('Identity.sign', 'message', message)));
  }

  /** A signed token of 169 bytes. It is not put in this identity's own cache. */
  issueToken(
    subject: Uint8Array,
    scope: readonly string[],
    channel: string,
    ttlSeconds: number,
    delegationDepth: number,
    extras: IssueExtras = {},
  ): Buffer {
    const subjectId = entityIdOf('issueToken', 'subject', subject);
    const bits = scopesToBits('issueToken', scope) | (extras.wildcard ? WILDCARD_BIT : 0);
    const hash = channelHash(channel);
    if (ttlSeconds === 0) throw tokenFailure('zero_ttl');
    integer('ttlSeconds', ttlSeconds, 1, U32_MAX);
    integer('delegationDepth', delegationDepth, 0, 255);
    const generation = integer('generation', extras.generation ?? 0, 0, U32_MAX);
    const now = wallClockSeconds();
    const end = now + BigInt(ttlSeconds);
    return this.#signToken({
      issuer: this.#entityId,
      subject: subjectId,
      scopeBits: bits,
      channelHash: hash,
      generation,
      notBefore: now,
      notAfter: end > U64_MAX ? U64_MAX : end,
      depth: delegationDepth,
      nonce: randomNonce(),
    });
  }

  /** Stores a received token after checking its signature. Expiry, subject and issuer are not checked. */
  installToken(token: Uint8Array): void {
    const decoded = decodeToken(copyBytes('installToken', 'token', token));
    if (!this.#cache.insert(decoded)) throw tokenFailure('invalid_signature');
  }

  /** A stored token of exactly this subject and channel: one that is valid now if there is one. */
  lookupToken(subject: Uint8Array, channel: string): Buffer | null {
    const subjectId = entityIdOf('lookupToken', 'subject', subject);
    const found = this.#cache.lookup(subjectId, channelHash(channel));
    return found ? handOut(found.bytes) : null;
  }

  /** Number of stored tokens. */
  get tokenCacheLen(): number {
    return this.#cache.length;
  }

  /** Removes expired tokens from the cache; returns how many. */
  evictExpiredTokens(): number {
    return this.#cache.evictExpired();
  }

  /** Issues the child of a token that was delegated to this identity (31 §5). @internal */
  delegate(parent: DecodedToken, newSubject: Uint8Array, bits: number, now: bigint): Buffer {
    if (!hasValidSignature(parent)) throw tokenFailure('invalid_signature');
    if (now < parent.notBefore) throw tokenFailure('not_yet_valid');
    if (now >= parent.notAfter) throw tokenFailure('expired');
    if (parent.depth === 0) throw tokenFailure('delegation_exhausted');
    if ((parent.scopeBits & DELEGATE_BIT) === 0) throw tokenFailure('delegation_not_allowed');
    if (!sameBytes(parent.subject, this.#entityId)) throw tokenFailure('not_authorized');
    return this.#signToken({
      issuer: this.#entityId,
      subject: newSubject,
      scopeBits: parent.scopeBits & bits,
      channelHash: parent.channelHash,
      generation: parent.generation,
      notBefore: now,
      notAfter: parent.notAfter,
      depth: parent.depth - 1,
      nonce: randomNonce(),
    });
  }

  /** Public ids only: the seed never gets into JSON or logs. */
  toJSON(): { entityId: string; nodeId: string; originHash: string } {
    return {
      entityId: toHex(this.#entityId),
      nodeId: this.nodeId.toString(),
      originHash: this.originHash.toString(),
    };
  }

  [INSPECT](): string {
    return `Identity { entityId: '${toHex(this.#entityId)}' }`;
  }

  #signToken(fields: TokenFields): Buffer {
    return handOut(encodeToken(fields, (message) => signWith(this.#seed, message)));
  }

  #derived(): { nodeId: bigint; originHash: bigint } {
    this.#ids ??= { nodeId: nodeIdOf(this.#entityId), originHash: originHashOf(this.#entityId) };
    return this.#ids;
  }
}

function integer(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw failure('invalid-argument', `${name} must be an integer in [${min}, ${max}], got ${textOf(value)}`);
  }
  return value;
}

/** Fields of a token, times in Unix seconds. The signature is not checked. */
export interface ParsedToken {
  issuer: Buffer;
  subject: Buffer;
  scope: string[];
  channelHash: bigint;
  notBefore: bigint;
  notAfter: bigint;
  delegationDepth: number;
  nonce: bigint;
  signature: Buffer;
}

/** Reads the fields; throws `token: invalid_format` for any other length than 169. */
export function parseToken(bytes: Uint8Array): ParsedToken {
  const token = decodeToken(copyBytes('parseToken', 'token', bytes));
  return {
    issuer: handOut(token.issuer),
    subject: handOut(token.subject),
    scope: scopeWords(token.scopeBits),
    channelHash: token.channelHash,
    notBefore: token.notBefore,
    notAfter: token.notAfter,
    delegationDepth: token.depth,
    nonce: token.nonce,
    signature: handOut(token.bytes.subarray(105)),
  };
}

/** Whether the issuer signed the token. The clock is not looked at. */
export function verifyToken(bytes: Uint8Array): boolean {
  return hasValidSignature(decodeToken(copyBytes('verifyToken', 'token', bytes)));
}

/** Whether `notAfter` has come. The signature is not looked at. */
export function tokenIsExpired(bytes: Uint8Array): boolean {
  return wallClockSeconds() >= decodeToken(copyBytes('tokenIsExpired', 'token', bytes)).notAfter;
}

/** Passes a token on to another subject with the intersection of the scopes and a depth less by one. */
export function delegateToken(
  signer: Identity,
  parent: Uint8Array,
  newSubject: Uint8Array,
  restrictedScope: readonly string[],
): Buffer {
  if (!(signer instanceof Identity)) throw wrongType('delegateToken', 'signer', signer, 'an Identity', 'InvalidArg');
  const decoded = decodeToken(copyBytes('delegateToken', 'parent', parent));
  const subject = entityIdOf('delegateToken', 'newSubject', newSubject);
  const bits = scopesToBits('delegateToken', restrictedScope);
  return signer.delegate(decoded, subject, bits, wallClockSeconds());
}
