import type { BatchJournal } from './dispatch.js';
import type { Transport } from './transport.js';

/** What a producer knows about itself, and keeps over restarts with `producerNoncePath` (11 §6). */
export interface ProducerState {
  /** Producer nonce, never 0. */
  readonly nonce: bigint;
  /** First sequence number of shards that continue an earlier run. */
  readonly sequences: ReadonlyMap<number, bigint>;
  /** Journal of unconfirmed batches. */
  readonly journal?: BatchJournal | undefined;
  /**
   * Sends what an earlier run left unconfirmed, in the background; new batches of the shards concerned wait in
   * `journal.before`. `timeoutMs` limits one attempt.
   */
  recover?(transport: Transport, timeoutMs: number, warn: (text: string) => void): void;
  /** Resolves when {@link recover} is done. */
  recovered?(): Promise<void>;
  /** Releases locks and files; idempotent. */
  close(): Promise<void> | void;
}

/** A random nonce of this node instance, from the system's secure source. */
export function randomNonce(): bigint {
  const [nonce] = globalThis.crypto.getRandomValues(new BigUint64Array(1));
  return nonce === undefined || nonce === 0n ? 1n : nonce;
}

/** A producer that keeps nothing. */
export function volatileProducer(): ProducerState {
  return { nonce: randomNonce(), sequences: new Map(), close: () => undefined };
}
