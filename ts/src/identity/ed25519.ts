/** Ed25519: the Rust core's where it is there (it is faster on both backends), else TypeScript. */
import { door } from '../backend/choose.js';
import type { IdentityDoor } from '../backend/identity.js';
import { noblePublicKey, nobleSign, nobleVerify } from './ed25519-noble.js';

// An artefact that was built before this area existed lacks the functions.
const core: Partial<IdentityDoor> = door;

/** Public key (32 bytes) of a seed of 32 bytes. */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  return core.ed25519PublicKey ? core.ed25519PublicKey(seed) : noblePublicKey(seed);
}

/** Signature (64 bytes) of a message under a seed of 32 bytes. */
export function signWith(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return core.ed25519Sign ? core.ed25519Sign(seed, message) : nobleSign(seed, message);
}

/** Strict verification; `false` for anything malformed. */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return core.ed25519Verify
    ? core.ed25519Verify(publicKey, message, signature)
    : nobleVerify(publicKey, message, signature);
}
