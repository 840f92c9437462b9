/** The file that keeps a producer's nonce (11 §6.2): version byte 1, then the nonce as u64 little endian. */
import { readFile } from 'node:fs/promises';
import { randomNonce } from '../producer-state.js';
import { replaceFile, systemCode } from './file.js';

const VERSION = 1;
const LENGTH = 9;

/** Reads the bytes of a nonce file; a nonce of zero counts as 1. Throws with the reason. */
export function decodeNonce(bytes: Uint8Array, path: string): bigint {
  if (bytes.length !== LENGTH) {
    throw new Error(`producer-nonce file at ${path} has length ${bytes.length} (expected 9 for v1)`);
  }
  if (bytes[0] !== VERSION) {
    const found = `0x${(bytes[0] ?? 0).toString(16).padStart(2, '0')}`;
    throw new Error(`producer-nonce file at ${path} has unknown version byte ${found} (expected 0x01 for v1)`);
  }
  const nonce = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readBigUInt64LE(1);
  return nonce === 0n ? 1n : nonce;
}

/** Bytes of a nonce file. */
export function encodeNonce(nonce: bigint): Uint8Array {
  const bytes = Buffer.alloc(LENGTH);
  bytes[0] = VERSION;
  bytes.writeBigUInt64LE(nonce, 1);
  return bytes;
}

/** The nonce kept at `path`; made when the file is absent. The directory is never made. Throws with the reason. */
export async function loadNonce(path: string): Promise<bigint> {
  const found = await readIfPresent(path);
  if (found) return decodeNonce(found, path);
  await replaceFile(path, encodeNonce(randomNonce()));
  // Another process may have done the same: the last rename wins for both.
  return decodeNonce(await readFile(path), path);
}

/** Content of a file, or undefined when it is absent. */
export async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
