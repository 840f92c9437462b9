//! BLAKE3 and XXH3 for JavaScript.

use meshring::hash::{xxh3_64, Blake3 as Core};
use wasm_bindgen::prelude::*;

/// Longest extendable output that one call returns, in bytes.
const MAX_OUTPUT: u32 = 1 << 20;

/// Incremental BLAKE3. `mode` 0 = hash, 1 = keyed (`key` = 32 bytes), 2 = derive key (`key` = UTF-8 context).
#[wasm_bindgen]
pub struct Blake3(Core);

#[wasm_bindgen]
impl Blake3 {
    /// See the class.
    #[wasm_bindgen(constructor)]
    pub fn new(mode: u32, key: Option<Vec<u8>>) -> Result<Blake3, JsError> {
        let key = key.as_deref().unwrap_or_default();
        Ok(Blake3(match mode {
            0 => Core::new(),
            1 => Core::keyed(
                key.try_into()
                    .map_err(|_| JsError::new("blake3: key must be 32 bytes"))?,
            ),
            2 => Core::derive_key(
                std::str::from_utf8(key).map_err(|_| JsError::new("blake3: context must be UTF-8"))?,
            ),
            _ => return Err(JsError::new("blake3: mode must be 0, 1 or 2")),
        }))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// `length` bytes of output; the state can be updated further.
    pub fn digest(&self, length: u32) -> Result<Vec<u8>, JsError> {
        if length > MAX_OUTPUT {
            return Err(JsError::new("blake3: output is limited to 1048576 bytes a call"));
        }
        let mut out = vec![0; length as usize];
        self.0.finalize_into(&mut out);
        Ok(out)
    }
}

/// XXH3-64, seed 0.
#[wasm_bindgen]
pub fn xxh3(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
