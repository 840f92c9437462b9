/** Verified tokens by subject and channel (31 §7, §8). */
import { sameBytes, toHex } from './bytes.js';
import {
  authorises,
  type DecodedToken,
  hasValidSignature,
  isValidAt,
  WILDCARD_BIT,
  wallClockSeconds,
} from './token-bytes.js';

/** Most tokens of one subject on one channel. */
export const MAX_TOKENS_PER_SLOT = 32;
/** Most slots of a cache. */
export const MAX_SLOTS = 65_536;

/** Options of a token cache. */
export interface TokenCacheOptions {
  /** Current Unix time in seconds; default the host's clock. */
  readonly clock?: () => bigint;
  /** Tolerance for clocks that differ, in seconds; default 0. */
  readonly skewSeconds?: number;
  /** Most slots (pairs of subject and channel); default 65,536. A new one beyond is dropped. */
  readonly maxSlots?: number;
}

/**
 * Tokens whose signature was checked once, when they came in: a cache owns its copies, so the check stays true.
 * Expiry is checked at every use.
 */
export class TokenCache {
  readonly #slots = new Map<string, DecodedToken[]>();
  readonly #floors = new Map<string, number>();
  readonly #clock: () => bigint;
  readonly #skew: bigint;
  readonly #maxSlots: number;
  #length = 0;
  #sawWildcard = false;

  constructor(options: TokenCacheOptions = {}) {
    this.#clock = options.clock ?? wallClockSeconds;
    this.#skew = BigInt(options.skewSeconds ?? 0);
    this.#maxSlots = options.maxSlots ?? MAX_SLOTS;
  }

  /** Number of tokens over all slots. */
  get length(): number {
    return this.#length;
  }

  /** Stores a token; `false`, with nothing stored, when its signature is wrong. A full slot or cache drops silently. */
  insert(token: DecodedToken): boolean {
    if (!hasValidSignature(token)) return false;
    const wildcard = (token.scopeBits & WILDCARD_BIT) !== 0;
    const key = slotKey(token.subject, wildcard ? 0n : token.channelHash);
    const slot = this.#slots.get(key);
    if (!slot) {
      if (this.#slots.size >= this.#maxSlots) return true;
      this.#slots.set(key, [token]);
      this.#length += 1;
    } else {
      const same = slot.findIndex((other) => other.scopeBits === token.scopeBits);
      if (same >= 0) slot[same] = token;
      else if (slot.length < MAX_TOKENS_PER_SLOT) {
        slot.push(token);
        this.#length += 1;
      } else return true;
    }
    if (wildcard) this.#sawWildcard = true;
    return true;
  }

  /** The exact slot's first token that is valid now, else its first one. */
  lookup(subject: Uint8Array, channelHash: bigint): DecodedToken | undefined {
    const slot = this.#slots.get(slotKey(subject, channelHash));
    const now = this.#clock();
    return slot?.find((token) => isValidAt(token, now)) ?? slot?.[0];
  }

  /** A token that lets `subject` do `action` (scope bits) on a channel now and that `accept` agrees to. */
  check(
    subject: Uint8Array,
    action: number,
    channelHash: bigint,
    accept: (token: DecodedToken) => boolean = () => true,
  ): DecodedToken | undefined {
    const now = this.#clock();
    const good = (token: DecodedToken) =>
      sameBytes(token.subject, subject) &&
      isValidAt(token, now, this.#skew) &&
      !this.isRevoked(token) &&
      authorises(token, action, channelHash) &&
      accept(token);
    return (
      this.#slots.get(slotKey(subject, channelHash))?.find(good) ??
      (this.#sawWildcard ? this.#slots.get(slotKey(subject, 0n))?.find(good) : undefined)
    );
  }

  /** Removes what has expired; returns how many tokens went. */
  evictExpired(): number {
    const now = this.#clock();
    let gone = 0;
    for (const [key, slot] of this.#slots) {
      const left = slot.filter((token) => token.notAfter > now);
      gone += slot.length - left.length;
      if (left.length === 0) this.#slots.delete(key);
      else if (left.length < slot.length) this.#slots.set(key, left);
    }
    this.#length -= gone;
    return gone;
  }

  /** Tokens of this issuer with a smaller generation count no longer. A floor never falls. */
  revokeBelow(issuer: Uint8Array, generation: number): void {
    const key = toHex(issuer);
    if (generation > (this.#floors.get(key) ?? 0)) this.#floors.set(key, generation);
  }

  /** Whether a token's generation lies below its issuer's floor. */
  isRevoked(token: DecodedToken): boolean {
    return this.#floors.size > 0 && token.generation < (this.#floors.get(toHex(token.issuer)) ?? 0);
  }

  /** An empty cache with the same clock and tolerance. */
  scratch(): TokenCache {
    return new TokenCache({ clock: this.#clock, skewSeconds: Number(this.#skew), maxSlots: 1 });
  }

  /** Current time of this cache, Unix seconds. */
  now(): bigint {
    return this.#clock();
  }
}

function slotKey(subject: Uint8Array, channelHash: bigint): string {
  return `${toHex(subject)}:${channelHash.toString(16)}`;
}
