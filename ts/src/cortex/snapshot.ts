/** Snapshot and bundle bytes (51 §4.3, §5). */
import { MeshringError, wrongType } from '../errors.js';
import { cortexError } from './errors.js';
import type { Model } from './model.js';
import { DecodeError, Reader, Writer } from './postcard.js';
import { high, join, low, U64_MAX, u64 } from './u64.js';

/** A model's state as bytes, and the sequence up to which the log is in it. */
export interface CortexSnapshot {
  stateBytes: Buffer;
  /** Undefined when nothing was applied; `null` is accepted when restoring. */
  lastSeq?: bigint;
}

/** Where a fold starts. */
export interface Start {
  /** First value of the counter of own writes. */
  readonly counter: bigint;
  /** Highest sequence that the state has in it already. */
  readonly lastSeq: bigint | undefined;
}

/** A snapshot as the caller gave it: unchecked. */
export interface Given {
  readonly stateBytes: Uint8Array;
  readonly lastSeq?: bigint | null | undefined;
}

function checkBytes(method: string, bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw wrongType(method, 'stateBytes', bytes, 'a Buffer', 'InvalidArg');
}

function decoding<T>(describe: (detail: string, cause: unknown) => MeshringError, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw describe(error.message, error);
  }
}

/**
 * Fills an empty model from a snapshot and says where its fold goes on. `name` is `tasks` or `memories`; errors are
 * `cortex: <context>: redex: encode failed: …`.
 */
export function restore<Row extends { readonly id: bigint }>(
  model: Model<Row>,
  name: string,
  context: string,
  given: Given,
): Start {
  const fail = (detail: string, cause?: unknown) =>
    cortexError('restore-failed', `${context}: redex: encode failed: ${detail}`, cause);
  const lastSeq = given.lastSeq === undefined || given.lastSeq === null ? undefined : u64(given.lastSeq);
  const stateBytes = checkBytes('openFromSnapshot', given.stateBytes);
  const reader = new Reader();
  const { counter, inner } = decoding(
    (detail, cause) => fail(`${name} snapshot unwrap: ${detail}`, cause),
    () => {
      reader.open(stateBytes).u64();
      return { counter: join(reader.lo, reader.hi), inner: reader.blob() };
    },
  );
  decoding(
    (detail, cause) => fail(`deserialize snapshot: ${detail}`, cause),
    () => model.decode(reader.open(inner)),
  );
  if (lastSeq === U64_MAX) throw fail('snapshot last_seq at u64::MAX; cannot resume');
  return { counter, lastSeq };
}

/** Entries of a bundle; undefined = the model was not enabled. */
export interface Bundle {
  readonly tasks: BundleEntry | undefined;
  readonly memories: BundleEntry | undefined;
}

/** One model of a bundle. */
export type BundleEntry = Pick<CortexSnapshot, 'lastSeq'> & { readonly stateBytes: Uint8Array };

/** Bytes of a bundle. */
export function encodeBundle(bundle: Bundle): Uint8Array {
  const to = new Writer();
  for (const entry of [bundle.tasks, bundle.memories]) {
    to.byte(entry === undefined ? 0 : 1);
    if (entry === undefined) continue;
    to.blob(entry.stateBytes);
    to.byte(entry.lastSeq === undefined ? 0 : 1);
    if (entry.lastSeq !== undefined) to.u64(low(entry.lastSeq), high(entry.lastSeq));
  }
  return to.view();
}

/** Reads a bundle; trailing bytes are ignored. Throws `netdb: decode snapshot bundle: …`. */
export function decodeBundle(bytes: Uint8Array | null): Bundle {
  const reader = new Reader().open(checkBytes('NetDb.openFromSnapshot', bytes));
  const entry = (): BundleEntry | undefined => {
    if (!reader.option()) return undefined;
    const stateBytes = reader.blob();
    if (!reader.option()) return { stateBytes };
    reader.u64();
    return { stateBytes, lastSeq: join(reader.lo, reader.hi) };
  };
  return decoding(
    (detail, cause) => new MeshringError('decode', `netdb: decode snapshot bundle: snapshot: ${detail}`, { cause }),
    () => ({ tasks: entry(), memories: entry() }),
  );
}
