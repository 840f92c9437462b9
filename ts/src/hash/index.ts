/** BLAKE3 and XXH3, computed by the Rust core. */
import { door } from '../backend/choose.js';
import type { RawBlake3 } from '../backend/door.js';
import { platform } from '../platform/node.js';

/** Incremental BLAKE3 (<https://github.com/BLAKE3-team/BLAKE3-specs>). */
export class Blake3 {
  readonly #raw: RawBlake3;

  private constructor(mode: number, key?: Uint8Array) {
    this.#raw = new door.Blake3(mode, key);
  }

  /** Plain hash. */
  static hash(): Blake3 {
    return new Blake3(0);
  }

  /** Keyed hash (MAC); `key` has 32 bytes. */
  static keyed(key: Uint8Array): Blake3 {
    return new Blake3(1, key);
  }

  /** Key derivation; `context` is a hard-coded, globally unique string of the application. */
  static deriveKey(context: string): Blake3 {
    return new Blake3(2, new TextEncoder().encode(context));
  }

  /** Adds bytes. */
  update(bytes: Uint8Array): this {
    this.#raw.update(bytes);
    return this;
  }

  /** Output of `length` bytes (default 32, at most 1 MiB). More input can be added afterwards. */
  digest(length = 32): Uint8Array {
    return platform.bytes(this.#raw.digest(length));
  }
}

/** BLAKE3 of `bytes`, 32 bytes. */
export function blake3(bytes: Uint8Array): Uint8Array {
  return Blake3.hash().update(bytes).digest();
}

/** XXH3-64 with seed 0. */
export function xxh3(bytes: Uint8Array): bigint {
  return door.xxh3(bytes);
}
