/** Tokens that a subscription presents: given once, or asked for each time they are needed. */
import { canonicalChannelHash } from '../../channels/index.js';
import { wrongType } from '../../errors.js';
import {
  authorises,
  type DecodedToken,
  decodeToken,
  hasValidSignature,
  isValidAt,
  scopeBit,
} from '../../identity/index.js';

/** A token, or its 169 bytes. */
export type TokenLike = Uint8Array | { toBuffer(): Uint8Array };

/** One token, or several of which the fitting one is presented. */
export type TokenChoice = TokenLike | readonly TokenLike[] | undefined;

/** Gives a fresh token for a channel, or for a prefix (`sensors/*`); called again before the last one expires. */
export type TokenProvider = (channel: string) => TokenChoice | Promise<TokenChoice>;

/** What a subscription presents. */
export type TokenSource = TokenChoice | TokenProvider;

const SUBSCRIBE_BIT = scopeBit('subscribe') ?? 0;
/** Most tokens that a source may give. */
const MAX_TOKENS = 64;

function decoded(choice: TokenChoice): DecodedToken[] {
  if (choice === undefined || choice === null) return [];
  const list: readonly unknown[] = Array.isArray(choice) ? choice : [choice];
  if (list.length > MAX_TOKENS) {
    throw wrongType('subscribeChannel', 'token', choice, `at most ${MAX_TOKENS} tokens`, 'InvalidArg');
  }
  return list.map((one) => {
    const bytes = one instanceof Uint8Array ? one : (one as { toBuffer?: () => unknown } | null)?.toBuffer?.();
    if (!(bytes instanceof Uint8Array)) throw wrongType('subscribeChannel', 'token', one, 'a Buffer', 'InvalidArg');
    return decodeToken(bytes);
  });
}

/** A copy of what was given, checked; a provider stays as it is. Throws for anything that is no token. */
export function checkTokenSource(source: TokenSource): TokenSource {
  return typeof source === 'function' ? source : decoded(source).map(({ bytes }) => bytes);
}

/** The tokens of a source for a channel or prefix; at once when they need not be asked for. */
export function tokensOf(source: TokenSource, channel: string): DecodedToken[] | Promise<DecodedToken[]> {
  if (typeof source !== 'function') return decoded(source);
  return (async () => decoded(await source(channel)))();
}

/**
 * The token that fits a channel and this node best: one that is valid now, else any for it, else the first, of which the
 * publisher says what is wrong with it.
 */
export function fittingToken(
  tokens: readonly DecodedToken[],
  channel: string,
  entity: Uint8Array,
): DecodedToken | undefined {
  const hash = canonicalChannelHash(channel);
  // Nothing to choose between: the publisher looks at it anyway.
  if (tokens.length <= 1) return tokens[0];
  const own = tokens.filter(
    (token) => authorises(token, SUBSCRIBE_BIT, hash) && token.subject.every((byte, n) => byte === entity[n]),
  );
  const now = BigInt(Math.floor(Date.now() / 1000));
  return own.find((token) => isValidAt(token, now) && hasValidSignature(token)) ?? own[0] ?? tokens[0];
}

/** Milliseconds until a token is to be replaced: four fifths of what is left of its life; nothing for one that has ended. */
export function renewalMs(token: DecodedToken, nowMs: number): number | undefined {
  const left = Number(token.notAfter) * 1000 - nowMs;
  return left <= 0 ? undefined : Math.min(2 ** 31 - 1, Math.max(200, left * 0.8));
}
