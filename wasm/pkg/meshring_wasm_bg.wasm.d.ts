/* tslint:disable */
/* eslint-disable */
export const memory: WebAssembly.Memory;
export const __wbg_blake3_free: (a: number, b: number) => void;
export const blake3_digest: (a: number, b: number) => [number, number, number, number];
export const blake3_new: (a: number, b: number, c: number) => [number, number, number];
export const blake3_update: (a: number, b: number, c: number) => void;
export const xxh3: (a: number, b: number) => bigint;
export const __wbindgen_externrefs: WebAssembly.Table;
export const __externref_table_dealloc: (a: number) => void;
export const __wbindgen_free: (a: number, b: number, c: number) => void;
export const __wbindgen_malloc: (a: number, b: number) => number;
export const __wbindgen_start: () => void;
