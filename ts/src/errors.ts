/**
 * Every error class of the package in one module, so that all doors export the same class objects
 * (specification: errors.md §1).
 */
import type { PeerRef } from './marketrix/peer-ref.js';

/** Options of the package's errors: the lower error is kept as `cause`. */
export interface MeshringErrorOptions {
  /** The lower-level error, if any. */
  cause?: unknown;
  /** Word of Node-API for wrong argument types (`StringExpected`, `InvalidArg`, …); `GenericFailure` otherwise. */
  code?: string;
}

/**
 * What the published package throws as a plain `Error`: `name` stays `'Error'`, the message starts with a stable
 * prefix, and `kind` is a stable word to branch on.
 */
export class MeshringError extends Error {
  /** Stable word for the condition, for example `closed` or `invalid-cursor`. */
  readonly kind: string;
  /** `GenericFailure`, or the Node-API word for a wrong argument type. */
  readonly code: string;

  constructor(kind: string, message: string, options: MeshringErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.kind = kind;
    this.code = options.code ?? 'GenericFailure';
  }
}

/** Text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Text of any value for a message, also of one that cannot be made a string. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}

/** Text that names the type of a value in messages about wrong arguments. */
export function describeType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  return typeof value === 'object' ? (value.constructor?.name ?? 'an object') : typeof value;
}

/** A wrong JavaScript type: message names method, argument, what came and what is needed (errors.md §1.5). */
export function wrongType(
  method: string,
  argument: string,
  value: unknown,
  needed: string,
  code: 'InvalidArg' | 'StringExpected' | 'NumberExpected' | 'BigintExpected' | 'BooleanExpected' | 'ArrayExpected',
): MeshringError {
  return new MeshringError('invalid-argument', `${method}: ${argument} must be ${needed}, got ${describeType(value)}`, {
    code,
  });
}

/** Words of `TokenError.kind`. */
export type TokenErrorKind =
  | 'invalid_signature'
  | 'not_yet_valid'
  | 'expired'
  | 'delegation_exhausted'
  | 'delegation_not_allowed'
  | 'not_authorized'
  | 'invalid_format';

/** Malformed input of identities: seed, entity id, scope, channel name, numbers (31 §6). */
export class IdentityError extends Error {
  /** Stable word for the condition. */
  readonly kind: 'invalid-seed' | 'invalid-entity-id' | 'unknown-scope' | 'invalid-channel-name' | 'invalid-argument';

  constructor(message: string, options: { kind?: IdentityError['kind']; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'IdentityError';
    this.kind = options.kind ?? 'invalid-argument';
  }
}

/** A permission token is malformed, not valid (now), or does not allow what was asked (31 §6). */
export class TokenError extends Error {
  /** Why. A word that this union does not know is `invalid_format`; see `code` for the exact word. */
  readonly kind: TokenErrorKind;
  /** The word after `token: ` of the message, `zero_ttl` and `read_only` included; otherwise `kind`. */
  readonly code: string;

  constructor(kind: TokenErrorKind, message?: string, options: { cause?: unknown } = {}) {
    super(
      message ?? `token ${kind.replaceAll('_', ' ')}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'TokenError';
    this.kind = kind;
    this.code = message?.startsWith('token:') ? message.slice(6).trim() : kind;
  }
}

/** Failure of a RedEX log: `redex: <context>: <detail>`. */
export class RedexError extends Error {
  /**
   * `invalid-name`, `invalid-config`, `too-large`, `overflow`, `closed`, `lagged`, `io`, `locked`, `poisoned`,
   * `channel`, `decode`, `unauthorized`, `replication`; `io` when nothing else is known.
   */
  readonly kind: string;

  constructor(detail?: string, options: { kind?: string; cause?: unknown } = {}) {
    super(detail ?? 'redex error', options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'RedexError';
    this.kind = options.kind ?? 'io';
  }
}

/** Failure of a CortEX adapter: `cortex: …`. */
export class CortexError extends Error {
  /** `closed`, `fold-stopped`, `wrong-origin`, `timeout`, `queue-full`, `open-failed`, `restore-failed`, `append-failed`. */
  readonly kind: string;

  constructor(detail?: string, options: { kind?: string; cause?: unknown } = {}) {
    super(detail ?? 'cortex adapter error', options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'CortexError';
    this.kind = options.kind ?? 'append-failed';
  }
}

/** Failure of a NetDb bundle: `netdb: …`. */
export class NetDbError extends Error {
  /** `decode` or `encode`. */
  readonly kind: string;

  constructor(detail?: string, options: { kind?: string; cause?: unknown } = {}) {
    super(detail ?? 'netdb error', options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'NetDbError';
    this.kind = options.kind ?? 'decode';
  }
}

/** What can go wrong in `meshring/marketrix` (90 §7). */
export type MarketrixErrorKind =
  | 'invalid-options'
  | 'invalid-message'
  | 'discovery'
  | 'duplicate-instance'
  | 'no-instance'
  | 'connect'
  | 'rejected'
  | 'connection-lost'
  | 'unavailable'
  | 'overloaded'
  | 'timeout'
  | 'cancelled'
  | 'no-method'
  | 'handler'
  | 'protocol'
  | 'frame-too-large'
  | 'conflict'
  | 'closed';

/** Further properties of a {@link MarketrixError}. */
export interface MarketrixErrorOptions {
  /** The instance that the failure is about. */
  remote?: PeerRef | undefined;
  /** `rejected`: the HTTP status; `handler`: the code that the handler gave. */
  code?: string | undefined;
  /** JSON value that goes with the error: what the handler attached, or the current version of a `conflict`. */
  data?: unknown;
  /** The lower-level error. */
  cause?: unknown;
}

/** Every failure of Marketrix Mesh. The message is `marketrix: <kind>: <text>`. */
export class MarketrixError extends Error {
  override readonly name = 'MarketrixError';
  /** Word to branch on. */
  readonly kind: MarketrixErrorKind;
  /** The instance that the failure is about, where one is known. */
  readonly remote?: PeerRef;
  /** `rejected`: the HTTP status; `handler`: the code that the handler gave (`handler` if none). */
  readonly code?: string;
  /** JSON value that goes with the error. */
  readonly data?: unknown;

  constructor(kind: MarketrixErrorKind, text: string, options: MarketrixErrorOptions = {}) {
    super(`marketrix: ${kind}: ${text}`, options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.kind = kind;
    if (options.remote !== undefined) this.remote = options.remote;
    if (options.code !== undefined) this.code = options.code;
    if (options.data !== undefined) this.data = options.data;
  }
}

/** What can go wrong on a Zebus bus (71 §17). */
export type ZebusErrorKind =
  | 'invalid-operation'
  | 'not-running'
  | 'stopped'
  | 'no-peer'
  | 'multiple-peers'
  | 'peer-not-responding'
  | 'peer-stopped'
  | 'timeout'
  | 'cancelled'
  | 'registration-failed'
  | 'peer-already-exists'
  | 'subscription-failed'
  | 'persistence-unreachable'
  | 'persistence-unavailable'
  | 'transport'
  | 'transport-unavailable'
  | 'codec'
  | 'configuration'
  | 'too-large'
  | 'duplicate-type';

/** Failure of the Zebus bus itself; what a handler answers is a `CommandResult` instead. */
export class ZebusError extends Error {
  override readonly name = 'ZebusError';
  /** Stable word for the condition. */
  readonly kind: ZebusErrorKind;
  /** Id of the peer concerned, if one is. */
  readonly peer?: string;
  /** Full name of the message type concerned, if one is. */
  readonly messageType?: string;

  constructor(
    kind: ZebusErrorKind,
    text: string,
    options: { peer?: string; messageType?: string; cause?: unknown } = {},
  ) {
    super(`zebus:${kind}: ${text}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    if (options.peer !== undefined) this.peer = options.peer;
    if (options.messageType !== undefined) this.messageType = options.messageType;
  }
}

/** Thrown by a command handler: code and message reach the sender as its `CommandResult`. */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  /** 32-bit error code, not 0. */
  readonly code: number;

  constructor(code: number, message = '') {
    super(message);
    this.code = code;
  }
}

/** A stream's credit does not suffice; nothing was sent. Retry or drop. */
export class BackpressureError extends Error {
  /** Stable word for the condition. */
  readonly kind = 'backpressure';

  constructor(detail?: string, options: { cause?: unknown } = {}) {
    super(
      detail ?? 'stream would block (queue full)',
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'BackpressureError';
  }
}

/** No session with that peer, or the stream was closed, evicted or opened anew. */
export class NotConnectedError extends Error {
  /** Stable word for the condition. */
  readonly kind = 'not-connected';

  constructor(detail?: string, options: { cause?: unknown } = {}) {
    super(detail ?? 'stream not connected', options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'NotConnectedError';
  }
}

/** What can go wrong with a channel; `unauthorized` comes as {@link ChannelAuthError}. */
export type ChannelErrorKind =
  | 'invalid-name'
  | 'invalid-config'
  | 'unknown-channel'
  | 'rate-limited'
  | 'too-many-channels'
  | 'no-session'
  | 'timeout'
  | 'publish-denied'
  | 'all-failed'
  | 'too-large'
  | 'rejected'
  | 'limit'
  | 'unsupported'
  | 'unauthorized';

/** A channel method failed: `channel: …`. */
export class ChannelError extends Error {
  /** Stable word for the condition. */
  readonly kind: ChannelErrorKind;

  constructor(detail?: string, options: { kind?: ChannelErrorKind; cause?: unknown } = {}) {
    super(detail ?? 'channel error', options.cause === undefined ? undefined : { cause: options.cause });
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = 'ChannelError';
    this.kind = options.kind ?? 'rejected';
  }
}

/** The publisher refused the subscription: capabilities, token or subnet. */
export class ChannelAuthError extends ChannelError {
  constructor(detail?: string, options: { cause?: unknown } = {}) {
    super(detail ?? 'channel: unauthorized', { ...options, kind: 'unauthorized' });
    this.name = 'ChannelAuthError';
  }
}
