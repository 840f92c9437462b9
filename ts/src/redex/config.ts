import { MeshringError, wrongType } from '../errors.js';
import type { RedexFileConfig } from './types.js';

/** The largest 64-bit value; in bounds it means "none". */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** A 64-bit argument: a bigint, or a non-negative safe integer (50 §1.3). */
export function u64(field: string, value: unknown): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return u64(field, BigInt(value));
  if (typeof value !== 'bigint') throw wrongType('Redex', field, value, 'a bigint', 'BigintExpected');
  if (value < 0n) throw invalid(`redex: config.${field}: expected non-negative BigInt`);
  if (value > U64_MAX) throw invalid(`redex: config.${field}: BigInt value exceeds u64 range`);
  return value;
}

function invalid(text: string): MeshringError {
  return new MeshringError('invalid-config', text);
}

/** Options of one file in the form that the core takes. */
export interface FileBounds {
  readonly persistent: boolean;
  readonly everyN: bigint;
  readonly intervalMs: number;
  readonly maxEvents: bigint;
  readonly maxBytes: bigint;
  readonly maxAgeMs: bigint;
}

/** Checks the options; nothing is created before they are right. */
export function readConfig(config: RedexFileConfig | null | undefined): FileBounds {
  const given = config ?? {};
  const everyN = given.fsyncEveryN == null ? null : u64('fsync_every_n', given.fsyncEveryN);
  const intervalMs = given.fsyncIntervalMs ?? null;
  const bound = (field: string, value: bigint | undefined | null) => (value == null ? U64_MAX : u64(field, value));
  const bounds = {
    maxEvents: bound('retention_max_events', given.retentionMaxEvents),
    maxBytes: bound('retention_max_bytes', given.retentionMaxBytes),
    maxAgeMs: bound('retention_max_age_ms', given.retentionMaxAgeMs),
  };
  if (intervalMs !== null && (typeof intervalMs !== 'number' || !Number.isFinite(intervalMs))) {
    throw wrongType('Redex', 'fsyncIntervalMs', intervalMs, 'a finite number', 'NumberExpected');
  }
  if (everyN !== null && intervalMs !== null) {
    throw invalid('redex: config: fsync_every_n and fsync_interval_ms are mutually exclusive');
  }
  if (everyN === 0n) throw invalid('redex: config: fsync_every_n must be > 0');
  if (intervalMs !== null && Math.trunc(intervalMs) <= 0) {
    throw invalid('redex: config: fsync_interval_ms must be > 0');
  }
  return {
    persistent: given.persistent ?? false,
    everyN: everyN ?? 0n,
    intervalMs: Math.min(Math.trunc(intervalMs ?? 0), 0xffff_ffff),
    ...bounds,
  };
}
