/** Whose signature on a token counts (31, Traps 1). */
import { sameBytes } from './bytes.js';
import { DELEGATE_BIT, type DecodedToken } from './token-bytes.js';
import type { TokenCache } from './token-cache.js';

/** Issuers whom a channel's owner trusts: itself, a list of entity ids besides itself, or anyone (as the peer does). */
export type TokenIssuers = 'owner' | 'any' | readonly Uint8Array[];

/** Parents looked at for one decision; a cache stuffed with crossing chains is refused, not searched. */
const MAX_STEPS = 1024;

/**
 * Whether a token's issuer is trusted: the owner, one of the list, or somebody to whom a trusted issuer delegated, which
 * the cache must prove with valid tokens of the same channel, a greater depth, the same generation and no earlier end.
 */
export function isTrustedIssuer(
  token: DecodedToken,
  owner: Uint8Array,
  trusted: TokenIssuers,
  cache: TokenCache,
): boolean {
  if (trusted === 'any') return true;
  const roots = trusted === 'owner' ? [owner] : [owner, ...trusted];
  let steps = 0;
  // The depth grows with every step towards the root, so a chain ends after at most 255 of them.
  const chained = (child: DecodedToken): boolean =>
    roots.some((root) => sameBytes(root, child.issuer)) ||
    cache.check(
      child.issuer,
      DELEGATE_BIT,
      child.channelHash,
      (parent) =>
        ++steps <= MAX_STEPS &&
        parent.depth > child.depth &&
        parent.generation === child.generation &&
        parent.notAfter >= child.notAfter &&
        chained(parent),
    ) !== undefined;
  return chained(token);
}
