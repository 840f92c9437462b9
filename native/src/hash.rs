//! Hashes of the data plane: XXH3-64 (routing of events) and BLAKE3 (content addresses, keyed hashes, key derivation).

/// XXH3-64 with seed 0 and the default secret.
#[inline]
pub fn xxh3_64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Incremental BLAKE3 in one of its three modes.
#[derive(Clone)]
pub struct Blake3(blake3::Hasher);

impl Blake3 {
    /// Plain hash.
    pub fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    /// Keyed hash (MAC) under a 32-byte key.
    pub fn keyed(key: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(key))
    }

    /// Key derivation; `context` is a hard-coded, globally unique string of the application.
    pub fn derive_key(context: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(context))
    }

    /// Adds input bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Fills `out` with the extendable output of everything added so far. The state is not consumed.
    pub fn finalize_into(&self, out: &mut [u8]) {
        self.0.finalize_xof().fill(out);
    }
}

impl Default for Blake3 {
    fn default() -> Self {
        Self::new()
    }
}
