/** Ed25519 of the Rust core (31 §1). Wrong lengths of a seed throw, of a key or signature they verify nothing. */
export interface IdentityDoor {
  /** Public key (32 bytes) of a seed of 32 bytes. */
  ed25519PublicKey(seed: Uint8Array): Uint8Array;
  /** Signature (64 bytes) of a message under a seed of 32 bytes. */
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /** Strict verification: canonical encodings, no small order, no cofactor. */
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}
