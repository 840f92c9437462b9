/** `Identity`, `channelHash`, `delegateToken` of the facade: the core's with error classes and options objects. */
import { IdentityError, wrongType } from '../errors.js';
import { copyBytes, INSPECT } from './bytes.js';
import * as core from './core.js';
import { verifySignature } from './ed25519.js';
import { classified } from './failure.js';
import { Token } from './token.js';
import { scopeBit, type TokenScope } from './token-bytes.js';

/** What `Identity.issueToken` needs to know. */
export interface IssueTokenOptions {
  /** Entity id of the holder, 32 bytes. */
  subject: Buffer;
  /** What it allows; empty allows nothing. */
  scope: readonly TokenScope[];
  /** Name of the channel. */
  channel: string;
  /** Its life in whole seconds, 1..2^32−1. */
  ttlSeconds: number;
  /** How often it may be passed on, 0..255; default 0. */
  delegationDepth?: number;
  /** Generation of the issuer, 0..2^32−1; default 0. */
  generation?: number;
  /** Whether it is good for every channel; default false. */
  wildcard?: boolean;
}

/** An Ed25519 identity: a 32-byte seed, the ids that follow from it, and a cache of permission tokens. */
export class Identity {
  readonly #inner: core.Identity;

  private constructor(inner: core.Identity) {
    this.#inner = inner;
  }

  /** A fresh identity from the system's random generator. */
  static generate(): Identity {
    return new Identity(core.Identity.generate());
  }

  /** The identity of a seed of exactly 32 bytes; otherwise throws `IdentityError`. */
  static fromSeed(seed: Buffer | Uint8Array): Identity {
    return new Identity(classified(() => core.Identity.fromSeed(seed)));
  }

  /** The same as `fromSeed`: the persisted form is the seed. */
  static fromBytes(bytes: Buffer | Uint8Array): Identity {
    return Identity.fromSeed(bytes);
  }

  /** Wraps an identity of `meshring/core`; both share the token cache. */
  static fromNapi(inner: core.Identity): Identity {
    if (!(inner instanceof core.Identity)) {
      throw wrongType('Identity.fromNapi', 'inner', inner, 'an Identity of meshring/core', 'InvalidArg');
    }
    return new Identity(inner);
  }

  /** Whether `entityId` signed `message`: strict Ed25519, `false` for anything malformed. */
  static verify(entityId: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    return verifySignature(
      copyBytes('Identity.verify', 'entityId', entityId),
      copyBytes('Identity.verify', 'message', message),
      copyBytes('Identity.verify', 'signature', signature),
    );
  }

  /** The identity of `meshring/core` inside. */
  toNapi(): core.Identity {
    return this.#inner;
  }

  /** The seed, 32 bytes: a secret, and all that must be stored. */
  toBytes(): Buffer {
    return this.#inner.toBytes();
  }

  /** Public key, 32 bytes. */
  get entityId(): Buffer {
    return this.#inner.entityId;
  }

  /** 64-bit hash for packet headers and logs. */
  get originHash(): bigint {
    return this.#inner.originHash;
  }

  /** 64-bit id for routing and addressing. */
  get nodeId(): bigint {
    return this.#inner.nodeId;
  }

  /** Ed25519 signature of a message, 64 bytes. */
  sign(message: Buffer | Uint8Array): Buffer {
    return this.#inner.sign(message);
  }

  /**
   * A token signed by this identity. Throws `IdentityError` for wrong arguments, `TokenError` for a life of 0 seconds.
   * It is not put in this identity's own cache.
   */
  issueToken(opts: IssueTokenOptions): Token {
    if (Array.isArray(opts.scope)) {
      for (const word of opts.scope as unknown[]) {
        if (scopeBit(word) === undefined) {
          throw new IdentityError(`unknown scope ${JSON.stringify(word)}`, { kind: 'unknown-scope' });
        }
      }
    }
    return Token.parse(
      classified(() =>
        this.#inner.issueToken(opts.subject, opts.scope, opts.channel, opts.ttlSeconds, opts.delegationDepth ?? 0, {
          generation: opts.generation,
          wildcard: opts.wildcard,
        }),
      ),
    );
  }

  /** Stores a received token after checking length and signature. Expiry, subject and issuer are not checked. */
  installToken(token: Token | Buffer | Uint8Array): void {
    classified(() => this.#inner.installToken(token instanceof Token ? token.bytes : token));
  }

  /** A stored token of exactly this subject and channel (one that is valid now, if there is one), or `null`. */
  lookupToken(subject: Buffer | Uint8Array, channel: string): Token | null {
    const bytes = classified(() => this.#inner.lookupToken(subject, channel));
    return bytes ? Token.parse(bytes) : null;
  }

  /** Number of stored tokens. */
  get tokenCacheLen(): number {
    return this.#inner.tokenCacheLen;
  }

  /** Removes expired tokens from the cache; returns how many. */
  evictExpiredTokens(): number {
    return this.#inner.evictExpiredTokens();
  }

  /** Public ids only. */
  toJSON(): { entityId: string; nodeId: string; originHash: string } {
    return this.#inner.toJSON();
  }

  [INSPECT](): string {
    return this.#inner[INSPECT]();
  }
}

/** Canonical 64-bit hash of a channel name; throws `IdentityError` for an invalid name. */
export function channelHash(channel: string): bigint {
  return classified(() => core.channelHash(channel));
}

/**
 * Passes a token on: the child is signed by `signer`, who must be the parent's subject; its scope is the intersection,
 * its depth less by one, its end the parent's. Throws `TokenError` with the first reason that forbids it.
 */
export function delegateToken(
  signer: Identity,
  parent: Token | Buffer | Uint8Array,
  newSubject: Buffer | Uint8Array,
  restrictedScope: readonly TokenScope[],
): Token {
  if (!(signer instanceof Identity)) throw wrongType('delegateToken', 'signer', signer, 'an Identity', 'InvalidArg');
  const bytes = parent instanceof Token ? parent.bytes : parent;
  return Token.parse(classified(() => core.delegateToken(signer.toNapi(), bytes, newSubject, restrictedScope)));
}
