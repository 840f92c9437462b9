//! Ed25519 for identities, tokens and announcements (31 §1). Seeds are handed in: there is no randomness here.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Length of a seed and of a public key, in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of a signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// Public key of a seed (RFC 8032: SHA-512 of the seed, clamped).
pub fn public_key(seed: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    // The key is zeroised when it is dropped.
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

/// Plain Ed25519 signature: deterministic, no context, no prehash.
pub fn sign(seed: &[u8; KEY_BYTES], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    SigningKey::from_bytes(seed).sign(message).to_bytes()
}

/// Strict verification: `S` below the group order, canonical encodings, neither the public key nor `R` of small order,
/// equation without cofactor.
pub fn verify(public_key: &[u8; KEY_BYTES], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    if !is_canonical(public_key) {
        return false;
    }
    match VerifyingKey::from_bytes(public_key) {
        Ok(key) => key
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok(),
        Err(_) => false,
    }
}

/// Whether the y coordinate is below the field's prime 2^255 − 19. (`R` needs no such test: the verifier compares its
/// encoding with a computed one.)
fn is_canonical(point: &[u8; KEY_BYTES]) -> bool {
    point[0] < 0xed || point[31] & 0x7f != 0x7f || point[1..31].iter().any(|&byte| byte != 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_seed_signs_its_key_verifies(seed: [u8; 32], message: Vec<u8>, bit in 0usize..512) {
            let key = public_key(&seed);
            let signature = sign(&seed, &message);
            prop_assert!(verify(&key, &message, &signature));
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify(&key, &message, &flipped));
        }

        #[test]
        fn arbitrary_bytes_never_panic(key: [u8; 32], a: [u8; 32], b: [u8; 32], message: Vec<u8>) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&a);
            signature[32..].copy_from_slice(&b);
            prop_assert!(!verify(&key, &message, &signature));
        }
    }

    #[test]
    fn the_published_example_of_a_seed_of_ones() {
        let seed = [1; 32];
        assert_eq!(public_key(&seed)[..4], [0x8a, 0x88, 0xe3, 0xdd]);
        assert_eq!(sign(&seed, b"hello")[..4], [0xe1, 0x43, 0x0c, 0x6e]);
    }

    #[test]
    fn keys_of_small_order_and_keys_that_are_not_canonical_verify_nothing() {
        let mut one = [0; 32];
        one[0] = 1;
        let mut above = [0xff; 32];
        above[0] = 0xee;
        above[31] = 0x7f;
        for key in [[0; 32], one, above] {
            // With R = identity and S = 0 the equation holds for a key of small order.
            let mut signature = [0; 64];
            signature[0] = 1;
            assert!(!verify(&key, b"hello", &signature));
        }
        assert!(!is_canonical(&above));
        above[0] = 0xec;
        assert!(is_canonical(&above));
    }
}
