import { describe, expect, inject, it } from 'vitest';
import { Blake3, blake3, xxh3 } from '../../src/hash/index.js';

interface Official {
  key: string;
  context_string: string;
  cases: { input_len: number; hash: string; keyed_hash: string; derive_key: string }[];
}

const official = inject('inPlaceVectors')['blake3-official'] as Official | null;

/** Input of the official vectors: bytes 0, 1, …, 250, repeated. */
const input = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251);
const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

describe('BLAKE3', () => {
  it.skipIf(!official)('agrees with the official vectors (../shared/vectors is read in place)', () => {
    expect(official?.cases.length).toBeGreaterThan(30);
    const key = new TextEncoder().encode(official?.key);
    for (const c of official?.cases ?? []) {
      const length = c.hash.length / 2;
      const bytes = input(c.input_len);
      expect(hex(Blake3.hash().update(bytes).digest(length))).toBe(c.hash);
      expect(hex(Blake3.keyed(key).update(bytes).digest(length))).toBe(c.keyed_hash);
      expect(
        hex(
          Blake3.deriveKey(official?.context_string ?? '')
            .update(bytes)
            .digest(length),
        ),
      ).toBe(c.derive_key);
    }
  });

  it('gives the same hash however the input is cut', () => {
    const bytes = input(10_000);
    const whole = hex(blake3(bytes));
    for (const step of [1, 63, 64, 65, 1023, 4096]) {
      const hasher = Blake3.hash();
      for (let i = 0; i < bytes.length; i += step) hasher.update(bytes.subarray(i, i + step));
      expect(hex(hasher.digest())).toBe(whole);
    }
  });

  it('refuses a key of the wrong length', () => {
    expect(() => Blake3.keyed(new Uint8Array(31))).toThrow('blake3: key must be 32 bytes');
  });
});

describe('XXH3', () => {
  it('of nothing is the published constant', () => {
    expect(xxh3(new Uint8Array())).toBe(0x2d06800538d394c2n);
  });
});
