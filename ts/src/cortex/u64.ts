/** Unsigned 64-bit arguments: checked at the door, carried as two 32-bit halves inside (no `Number` of a 64-bit value). */
import { MeshringError } from '../errors.js';

/** Largest unsigned 64-bit value. */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;

const one = new BigUint64Array(1);
const halves = new Uint32Array(one.buffer);

/** Checks a 64-bit argument: a `bigint` from 0 to 2^64 − 1, or a non-negative safe integer. */
export function u64(value: bigint | number): bigint {
  if (typeof value === 'bigint') {
    if (value < 0n) throw new MeshringError('invalid-argument', 'expected non-negative BigInt', { code: 'InvalidArg' });
    if (value > U64_MAX) {
      throw new MeshringError('invalid-argument', 'BigInt value exceeds u64 range', { code: 'InvalidArg' });
    }
    return value;
  }
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    if (value < 0) throw new MeshringError('invalid-argument', 'expected non-negative BigInt', { code: 'InvalidArg' });
    return BigInt(value);
  }
  throw new MeshringError('invalid-argument', `Expected BigInt, got ${typeof value}`, { code: 'BigintExpected' });
}

/** Low 32 bits of a value from 0 to 2^64 − 1. */
export function low(value: bigint): number {
  one[0] = value;
  return halves[0] as number;
}

/** High 32 bits of a value from 0 to 2^64 − 1. */
export function high(value: bigint): number {
  one[0] = value;
  return halves[1] as number;
}

/** The value of two halves. */
export function join(lo: number, hi: number): bigint {
  halves[0] = lo;
  halves[1] = hi;
  return one[0] as bigint;
}
