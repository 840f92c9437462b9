/** Byte strings at the edge of the identity module. */
import { MeshringError, wrongType } from '../errors.js';
import { platform } from '../platform/node.js';

/** Length of a seed and of an entity id, in bytes. */
export const KEY_BYTES = 32;

/** Whether a value is a `Uint8Array` (or `Buffer`), also of another realm. */
export function isBytes(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === '[object Uint8Array]';
}

/** A private copy of a caller's bytes; throws for other types. */
export function copyBytes(method: string, argument: string, value: unknown): Uint8Array {
  if (!isBytes(value)) throw wrongType(method, argument, value, 'a Buffer or Uint8Array', 'InvalidArg');
  return new Uint8Array(value);
}

/** The caller's own copy of bytes: `Buffer` in Node, `Uint8Array` in browsers (which lack `Buffer`). */
export function handOut(bytes: Uint8Array): Buffer {
  return platform.bytes(new Uint8Array(bytes)) as Buffer;
}

/** `length` bytes of the system's generator; throws when it fails. */
export function randomBytes(length: number): Uint8Array {
  const random = globalThis.crypto;
  if (typeof random?.getRandomValues !== 'function') {
    throw new MeshringError('unsupported', 'crypto.getRandomValues is not available on this platform');
  }
  return random.getRandomValues(new Uint8Array(length));
}

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** Whether two byte strings are the same. (Only public values are compared: not constant in time.) */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Where Node's `util.inspect` looks for an object's own rendering. */
export const INSPECT = Symbol.for('nodejs.util.inspect.custom');
