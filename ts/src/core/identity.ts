/** Identity names of `meshring/core`. */
export {
  channelHash,
  delegateToken,
  Identity,
  type ParsedToken,
  parseToken,
  tokenIsExpired,
  verifyToken,
} from '../identity/core.js';
