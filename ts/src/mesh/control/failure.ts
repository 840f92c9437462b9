/** Errors of the channel methods: plain ones with stable texts, and their classes on the facade (32 §2). */
import type { RejectReason } from '../../channels/index.js';
import { ChannelAuthError, ChannelError, type ChannelErrorKind, MeshringError } from '../../errors.js';
import { classifyIdentityError } from '../../identity/index.js';

/** `channel: <text>`. */
export function channelFailure(kind: ChannelErrorKind, text: string, cause?: unknown): MeshringError {
  return new MeshringError(kind, `channel: ${text}`, cause === undefined ? {} : { cause });
}

const REJECTIONS = {
  none: ['rejected', 'rejected (None)'],
  unauthorized: ['unauthorized', 'unauthorized'],
  'unknown-channel': ['unknown-channel', 'unknown channel'],
  'rate-limited': ['rate-limited', 'rate limited'],
  'too-many-channels': ['too-many-channels', 'too many channels'],
} as const satisfies Record<RejectReason, readonly [ChannelErrorKind, string]>;

/** The error of a refusal. */
export function rejection(reason: RejectReason): MeshringError {
  const [kind, text] = REJECTIONS[reason];
  return channelFailure(kind, text);
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
  'unsupported',
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
