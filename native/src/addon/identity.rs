//! Ed25519 for JavaScript.

use crate::identity;
use napi::bindgen_prelude::{Buffer, Error, Result, Status, Uint8Array};
use napi_derive::napi;
use zeroize::Zeroizing;

/// Public key (32 bytes) of a seed of 32 bytes.
#[napi(js_name = "ed25519PublicKey", catch_unwind)]
pub fn ed25519_public_key(seed: Uint8Array) -> Result<Buffer> {
    Ok(identity::public_key(&*secret(&seed)?).to_vec().into())
}

/// Signature (64 bytes) of `message` under a seed of 32 bytes.
#[napi(js_name = "ed25519Sign", catch_unwind)]
pub fn ed25519_sign(seed: Uint8Array, message: Uint8Array) -> Result<Buffer> {
    Ok(identity::sign(&*secret(&seed)?, &message).to_vec().into())
}

/// Strict verification; `false` for wrong lengths too.
#[napi(js_name = "ed25519Verify", catch_unwind)]
pub fn ed25519_verify(public_key: Uint8Array, message: Uint8Array, signature: Uint8Array) -> bool {
    match (public_key.as_ref().try_into(), signature.as_ref().try_into()) {
        (Ok(key), Ok(signature)) => identity::verify(key, &message, signature),
        _ => false,
    }
}

/// A copy that is wiped when it goes.
fn secret(seed: &[u8]) -> Result<Zeroizing<[u8; identity::KEY_BYTES]>> {
    let seed: [u8; identity::KEY_BYTES] = seed
        .try_into()
        .map_err(|_| Error::new(Status::InvalidArg, "ed25519: seed must be 32 bytes"))?;
    Ok(Zeroizing::new(seed))
}
