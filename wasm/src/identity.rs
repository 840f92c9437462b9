//! Ed25519 for JavaScript.

use meshring::identity;
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

/// Public key (32 bytes) of a seed of 32 bytes.
#[wasm_bindgen(js_name = "ed25519PublicKey")]
pub fn ed25519_public_key(seed: Vec<u8>) -> Result<Vec<u8>, JsError> {
    let seed = Zeroizing::new(seed);
    Ok(identity::public_key(secret(&seed)?).to_vec())
}

/// Signature (64 bytes) of `message` under a seed of 32 bytes.
#[wasm_bindgen(js_name = "ed25519Sign")]
pub fn ed25519_sign(seed: Vec<u8>, message: &[u8]) -> Result<Vec<u8>, JsError> {
    // The seed was copied into this memory by the caller's glue: wiped before it is freed.
    let seed = Zeroizing::new(seed);
    Ok(identity::sign(secret(&seed)?, message).to_vec())
}

/// Strict verification; `false` for wrong lengths too.
#[wasm_bindgen(js_name = "ed25519Verify")]
pub fn ed25519_verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match (public_key.try_into(), signature.try_into()) {
        (Ok(key), Ok(signature)) => identity::verify(key, message, signature),
        _ => false,
    }
}

fn secret(seed: &[u8]) -> Result<&[u8; identity::KEY_BYTES], JsError> {
    seed.try_into()
        .map_err(|_| JsError::new("ed25519: seed must be 32 bytes"))
}
