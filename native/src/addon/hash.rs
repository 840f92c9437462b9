//! BLAKE3 and XXH3 for JavaScript.

use crate::hash::{xxh3_64, Blake3};
use napi::bindgen_prelude::{BigInt, Buffer, Error, Result, Status, Uint8Array};
use napi_derive::napi;

/// Longest extendable output that one call returns, in bytes.
const MAX_OUTPUT: u32 = 1 << 20;

/// Incremental BLAKE3. `mode` 0 = hash, 1 = keyed (`key` = 32 bytes), 2 = derive key (`key` = UTF-8 context).
#[napi(js_name = "Blake3")]
pub struct Blake3Js(Blake3);

#[napi]
impl Blake3Js {
    /// See the class.
    #[napi(constructor)]
    pub fn new(mode: u32, key: Option<Uint8Array>) -> Result<Self> {
        let key = key.as_deref().unwrap_or_default();
        let hasher = match mode {
            0 => Blake3::new(),
            1 => Blake3::keyed(
                key.try_into()
                    .map_err(|_| invalid("blake3: key must be 32 bytes"))?,
            ),
            2 => Blake3::derive_key(
                std::str::from_utf8(key).map_err(|_| invalid("blake3: context must be UTF-8"))?,
            ),
            _ => return Err(invalid("blake3: mode must be 0, 1 or 2")),
        };
        Ok(Self(hasher))
    }

    /// Adds bytes.
    #[napi(catch_unwind)]
    pub fn update(&mut self, bytes: Uint8Array) {
        self.0.update(&bytes);
    }

    /// `length` bytes of output; the state can be updated further.
    #[napi(catch_unwind)]
    pub fn digest(&self, length: u32) -> Result<Buffer> {
        if length > MAX_OUTPUT {
            return Err(invalid("blake3: output is limited to 1048576 bytes a call"));
        }
        let mut out = vec![0; length as usize];
        self.0.finalize_into(&mut out);
        Ok(out.into())
    }
}

/// XXH3-64, seed 0.
#[napi(catch_unwind)]
pub fn xxh3(bytes: Uint8Array) -> BigInt {
    BigInt::from(xxh3_64(&bytes))
}

fn invalid(message: &str) -> Error {
    Error::new(Status::InvalidArg, message)
}
