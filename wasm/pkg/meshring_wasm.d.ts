/* tslint:disable */
/* eslint-disable */

/**
 * Incremental BLAKE3. `mode` 0 = hash, 1 = keyed (`key` = 32 bytes), 2 = derive key (`key` = UTF-8 context).
 */
export class Blake3 {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * `length` bytes of output; the state can be updated further.
     */
    digest(length: number): Uint8Array;
    /**
     * See the class.
     */
    constructor(mode: number, key?: Uint8Array | number[] | null);
    /**
     * Adds bytes.
     */
    update(bytes: Uint8Array | number[]): void;
}

/**
 * XXH3-64, seed 0.
 */
export function xxh3(bytes: Uint8Array | number[]): bigint;

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly __wbg_blake3_free: (a: number, b: number) => void;
    readonly blake3_digest: (a: number, b: number) => [number, number, number, number];
    readonly blake3_new: (a: number, b: number, c: number) => [number, number, number];
    readonly blake3_update: (a: number, b: number, c: number) => void;
    readonly xxh3: (a: number, b: number) => bigint;
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __externref_table_dealloc: (a: number) => void;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __wbindgen_start: () => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path?: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;
