import type { BusDoor } from './bus.js';
import type { FilterDoor } from './filter.js';
import type { IdentityDoor } from './identity.js';
import type { LogDoor } from './log.js';
import type { MeshDoor } from './mesh.js';
import type { RecordDoor } from './record.js';

/**
 * The narrow waist between TypeScript and Rust: the exports that the addon and the WebAssembly build have in common.
 * Each area adds its own interface here; both doors are tested by the same contract suite (`ts/test/contract`).
 */
export interface Door extends HashDoor, BusDoor, FilterDoor, IdentityDoor, LogDoor, MeshDoor, RecordDoor {}

/** BLAKE3 and XXH3. */
export interface HashDoor {
  /** Incremental BLAKE3; mode 0 = hash, 1 = keyed (32-byte key), 2 = derive key (UTF-8 context as key). */
  readonly Blake3: new (
    mode: number,
    key?: Uint8Array,
  ) => RawBlake3;
  /** XXH3-64, seed 0. */
  xxh3(bytes: Uint8Array): bigint;
}

/** Handle of an incremental BLAKE3 state in Rust. */
export interface RawBlake3 {
  /** Adds bytes. */
  update(bytes: Uint8Array): void;
  /** `length` bytes of output (at most 1 MiB a call); the state can be updated further. */
  digest(length: number): Uint8Array;
  /** Frees the memory now (WebAssembly only; the addon leaves it to the garbage collector). */
  free?(): void;
}
