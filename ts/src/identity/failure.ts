/** From the text of a lower-level error to the facade's class (31 §6). */
import { IdentityError, MeshringError, TokenError, type TokenErrorKind } from '../errors.js';

const TOKEN_KINDS: readonly string[] = [
  'invalid_signature',
  'not_yet_valid',
  'expired',
  'delegation_exhausted',
  'delegation_not_allowed',
  'not_authorized',
  'invalid_format',
] satisfies TokenErrorKind[];

function isTokenKind(word: string): word is TokenErrorKind {
  return TOKEN_KINDS.includes(word);
}

const IDENTITY_KINDS: readonly string[] = [
  'invalid-seed',
  'invalid-entity-id',
  'unknown-scope',
  'invalid-channel-name',
] satisfies IdentityError['kind'][];

function isIdentityKind(word: string): word is IdentityError['kind'] {
  return IDENTITY_KINDS.includes(word);
}

/** The error to throw instead of `error`: a `TokenError`, an `IdentityError`, or the same object. */
export function classifyIdentityError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const text = error.message;
  if (text.startsWith('token:')) {
    const word = text.slice('token:'.length).trim();
    return new TokenError(isTokenKind(word) ? word : 'invalid_format', text, { cause: error });
  }
  if (text.startsWith('identity:')) {
    const kind = error instanceof MeshringError && isIdentityKind(error.kind) ? error.kind : 'invalid-argument';
    return new IdentityError(text.slice('identity:'.length).trim(), { kind, cause: error });
  }
  return error;
}

/** Runs a lower-level call; its errors become the facade's. */
export function classified<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw classifyIdentityError(error);
  }
}
