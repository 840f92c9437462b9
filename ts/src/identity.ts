/** `meshring/identity`: Ed25519 identities and permission tokens. */
export { IdentityError, TokenError, type TokenErrorKind } from './errors.js';
export {
  channelHash,
  delegateToken,
  Identity,
  type IssueTokenOptions,
  Token,
  type TokenScope,
} from './identity/index.js';
