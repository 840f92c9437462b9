/** Errors of the channel methods: plain ones with stable texts, and their classes on the facade (32 §2). */
import { ChannelAuthError, ChannelError, type ChannelErrorKind, MeshringError } from '../../errors.js';
import { classifyIdentityError } from '../../identity/index.js';

/** `channel: <text>`. */
export function channelFailure(kind: ChannelErrorKind, text: string, cause?: unknown): MeshringError {
  return new MeshringError(kind, `channel: ${text}`, cause === undefined ? {} : { cause });
}

const KINDS: readonly string[] = [
  'invalid-name',
  'invalid-config',
  'unknown-channel',
  'rate-limited',
  'too-many-channels',
  'no-session',
  'timeout',
  'publish-denied',
  'all-failed',
  'too-large',
  'rejected',
  'limit',
] satisfies ChannelErrorKind[];

function isKind(word: string): word is ChannelErrorKind {
  return KINDS.includes(word);
}

/** The facade's error instead of a plain one; anything that is not about channels or tokens stays what it is. */
export function classifyChannelError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const text = error.message;
  if (text.startsWith('channel: unauthorized')) return new ChannelAuthError(text, { cause: error });
  if (text.startsWith('channel:')) {
    const kind = error instanceof MeshringError && isKind(error.kind) ? error.kind : 'rejected';
    return new ChannelError(text, { kind, cause: error });
  }
  return text.startsWith('token:') ? classifyIdentityError(error) : error;
}
