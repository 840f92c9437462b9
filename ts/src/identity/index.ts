/** Identities, permission tokens, delegation. */
export * as coreIdentity from './core.js';
export { publicKeyOf, signWith, verifySignature } from './ed25519.js';
export { nodeIdOf, originHashOf } from './entity.js';
export { classifyIdentityError } from './failure.js';
export { channelHash, delegateToken, Identity, type IssueTokenOptions } from './identity.js';
export { isTrustedIssuer, type TokenIssuers } from './issuer.js';
export { Token } from './token.js';
export {
  authorises,
  type DecodedToken,
  decodeToken,
  encodeToken,
  hasValidSignature,
  isValidAt,
  scopeBit,
  TOKEN_BYTES,
  type TokenFields,
  type TokenScope,
} from './token-bytes.js';
export { MAX_SLOTS, MAX_TOKENS_PER_SLOT, TokenCache, type TokenCacheOptions } from './token-cache.js';
