/** Errors of NAT traversal (33 A1). */
import { MeshringError, messageOf } from '../../errors.js';

/** Which way a traversal failed. */
export type TraversalKind =
  | 'reflex-timeout'
  | 'peer-not-reachable'
  | 'transport'
  | 'rendezvous-no-relay'
  | 'rendezvous-rejected'
  | 'punch-failed'
  | 'port-map-unavailable'
  | 'unsupported';

/** `traversal: <kind>[: <detail>]`; `kind` is `'traversal'`. */
export class TraversalError extends MeshringError {
  /** Stable word for the condition. */
  readonly traversal: TraversalKind;

  constructor(traversal: TraversalKind, detail?: string, cause?: unknown) {
    super('traversal', `traversal: ${traversal}${detail === undefined ? '' : `: ${detail}`}`, { cause });
    this.traversal = traversal;
  }
}

/** A failed handshake or send within a traversal; what ended the node or the call passes unchanged. */
export function transportFailure(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted || (error instanceof MeshringError && error.kind !== 'connection')) return error;
  return new TraversalError('transport', messageOf(error), error);
}
