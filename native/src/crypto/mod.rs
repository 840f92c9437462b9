//! Keys, the packet cipher, the hash of derived identifiers, and the source of randomness.
//! Nothing here reads the operating system: entropy is handed in as a seed.

pub mod aead;
mod key;
mod random;

#[cfg(not(target_arch = "wasm32"))]
pub use aead::Assembly;
pub use aead::{Aead, Cipher, Forged, Portable, TAG_LEN};
pub use key::Key;
pub use random::Entropy;

use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac256, Digest};

/// BLAKE2s-256 without a key, over the concatenation of `parts`.
pub fn blake2s(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// BLAKE2s-256 with its native key parameter (not HMAC). `key` has 1 to 32 bytes.
pub fn blake2s_keyed(key: &[u8], data: &[u8]) -> [u8; 32] {
    debug_assert!(!key.is_empty() && key.len() <= 32);
    match Blake2sMac256::new_from_slice(key) {
        Ok(mut mac) => {
            Mac::update(&mut mac, data);
            mac.finalize().into_bytes().into()
        }
        // Longer keys have no native form; callers pass labels and 32-byte keys only.
        Err(_) => blake2s(&[key, data]),
    }
}

/// HMAC-BLAKE2s over the concatenation of `parts` (block of 64 bytes), as Noise uses it. `key` has at most 64 bytes.
pub fn hmac_blake2s(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    debug_assert!(key.len() <= 64);
    let mut inner = zeroize::Zeroizing::new([0x36u8; 64]);
    let mut outer = zeroize::Zeroizing::new([0x5cu8; 64]);
    for (i, byte) in key.iter().take(64).enumerate() {
        inner[i] ^= byte;
        outer[i] ^= byte;
    }
    let mut hash = Blake2s256::new();
    hash.update(inner.as_slice());
    for part in parts {
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    blake2s(&[outer.as_slice(), &digest])
}

/// `X25519(secret, point)`; `None` for a point of small order (the result would not depend on the secret).
pub fn x25519(secret: &Key, point: &[u8; 32]) -> Option<Key> {
    let shared = Key::from(x25519_dalek::x25519(*secret.bytes(), *point));
    let any = shared.bytes().iter().fold(0u8, |sum, byte| sum | byte);
    (any != 0).then_some(shared)
}

/// The public key of an X25519 secret.
pub fn x25519_public(secret: &Key) -> [u8; 32] {
    x25519_dalek::x25519(*secret.bytes(), x25519_dalek::X25519_BASEPOINT_BYTES)
}

/// First 8 bytes, little-endian: how a 64-bit identifier is cut from a hash.
pub fn first_u64(hash: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(bytes)
}

/// Node id of an identity (20 §4.1).
pub fn node_id(entity_id: &[u8; 32]) -> u64 {
    first_u64(&blake2s_keyed(b"net-node-id-v1", entity_id))
}

/// Origin hash of an identity (20 §4.1).
pub fn origin_hash(entity_id: &[u8; 32]) -> u64 {
    first_u64(&blake2s_keyed(b"net-origin-v1", entity_id))
}
