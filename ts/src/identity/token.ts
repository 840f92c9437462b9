/** `Token`: a parsed permission token (31 §2). */
import { copyBytes, handOut, INSPECT, toHex } from './bytes.js';
import { classified } from './failure.js';
import {
  type DecodedToken,
  decodeToken,
  hasValidSignature,
  isValidAt,
  scopeWords,
  type TokenScope,
  WILDCARD_BIT,
  wallClockSeconds,
} from './token-bytes.js';

/** A permission token: who may do what on which channel, until when, signed by its issuer. */
export class Token {
  /** Entity id of the signer, 32 bytes. */
  readonly issuer: Buffer;
  /** Entity id of the holder, 32 bytes. */
  readonly subject: Buffer;
  /** What it allows; in the order publish, subscribe, admin, delegate. */
  readonly scope: ReadonlySet<TokenScope>;
  /** Canonical hash of the channel. */
  readonly channelHash: bigint;
  /** Start of its life. */
  readonly notBefore: Date;
  /** End of its life: at this instant it is expired. Invalid Date when beyond what a `Date` holds. */
  readonly notAfter: Date;
  /** How often it may be passed on. */
  readonly delegationDepth: number;
  /** Random number that makes two tokens of the same content differ. */
  readonly nonce: bigint;
  readonly #decoded: DecodedToken;
  readonly #handedOut: Buffer;
  #signatureValid: boolean | undefined;

  private constructor(decoded: DecodedToken) {
    this.#decoded = decoded;
    this.#handedOut = handOut(decoded.bytes);
    this.issuer = handOut(decoded.issuer);
    this.subject = handOut(decoded.subject);
    this.scope = new Set(scopeWords(decoded.scopeBits));
    this.channelHash = decoded.channelHash;
    this.notBefore = new Date(Number(decoded.notBefore) * 1000);
    this.notAfter = new Date(Number(decoded.notAfter) * 1000);
    this.delegationDepth = decoded.depth;
    this.nonce = decoded.nonce;
  }

  /** Parses 169 bytes (copied). Neither signature nor time is checked: see `verify`, `isExpired`, `isValid`. */
  static parse(bytes: Buffer | Uint8Array): Token {
    return classified(() => new Token(decodeToken(copyBytes('Token.parse', 'bytes', bytes))));
  }

  /** The 169 bytes that were parsed. They are what entitles: treat them like a password. */
  get bytes(): Buffer {
    return this.#handedOut;
  }

  /** `bytes`. */
  toBuffer(): Buffer {
    return this.#handedOut;
  }

  /** Whether the issuer signed it. The clock is not looked at. */
  verify(): boolean {
    // The decoded bytes are a private copy: once checked is always checked.
    this.#signatureValid ??= hasValidSignature(this.#decoded);
    return this.#signatureValid;
  }

  /** Whether its end has come, by the host's clock. The signature and `notBefore` are not looked at. */
  isExpired(): boolean {
    return wallClockSeconds() >= this.#decoded.notAfter;
  }

  /** Whether the signature is right and the host's clock within its life, give or take `skewSeconds` (default 0). */
  isValid(skewSeconds = 0): boolean {
    return isValidAt(this.#decoded, wallClockSeconds(), BigInt(skewSeconds)) && this.verify();
  }

  /** Whole seconds until it expires; 0 when it has. */
  remainingSeconds(): number {
    const left = this.#decoded.notAfter - wallClockSeconds();
    return left > 0n ? Number(left) : 0;
  }

  /** Start of its life in Unix seconds, exact. */
  get notBeforeSeconds(): bigint {
    return this.#decoded.notBefore;
  }

  /** End of its life in Unix seconds, exact. */
  get notAfterSeconds(): bigint {
    return this.#decoded.notAfter;
  }

  /** Generation of its issuer: below the issuer's floor it is revoked. */
  get issuerGeneration(): number {
    return this.#decoded.generation;
  }

  /** Whether it is good for every channel. */
  get wildcard(): boolean {
    return (this.#decoded.scopeBits & WILDCARD_BIT) !== 0;
  }

  /** The fields without the bytes and the signature. */
  toJSON(): Record<string, unknown> {
    return {
      issuer: toHex(this.issuer),
      subject: toHex(this.subject),
      scope: [...this.scope],
      channelHash: this.channelHash.toString(),
      notBefore: this.notBeforeSeconds.toString(),
      notAfter: this.notAfterSeconds.toString(),
      delegationDepth: this.delegationDepth,
    };
  }

  [INSPECT](): string {
    return `Token ${JSON.stringify(this)}`;
  }
}
