/**
 * Ed25519 in TypeScript, over the point arithmetic of the curves library. It answers exactly like the Rust core
 * (31 §1): the library's own `verify` is ZIP-215 or cofactored, which is too lax for either of them.
 */
import { ed25519, sha512 } from '../vendor/noble.js';

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;

/** Public key of a seed. */
export function noblePublicKey(seed: Uint8Array): Uint8Array {
  return ed25519.getPublicKey(plain(seed));
}

/** Signature of a message under a seed. */
export function nobleSign(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return ed25519.sign(plain(message), plain(seed));
}

/** Strict verification. */
export function nobleVerify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const s = littleEndian(signature.subarray(32));
  if (s >= ORDER) return false;
  const encodedR = plain(signature.subarray(0, 32));
  try {
    // `fromBytes` without ZIP-215 refuses encodings that are not canonical.
    const a = Point.fromBytes(plain(publicKey));
    const r = Point.fromBytes(encodedR);
    if (a.isSmallOrder() || r.isSmallOrder()) return false;
    const hash = sha512.create().update(encodedR).update(plain(publicKey)).update(plain(message)).digest();
    const k = littleEndian(hash) % ORDER;
    return Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k)).equals(r);
  } catch {
    return false; // not a point of the curve
  }
}

/** The library wants plain arrays of its own realm. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return value;
}
