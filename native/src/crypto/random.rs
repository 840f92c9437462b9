//! Random bytes from a seed that the driver hands in once.

use super::Key;
use zeroize::Zeroize;

/// Deterministic generator with fast key erasure: each call replaces the key, so a later look at memory
/// reveals no earlier output. The seed must have 32 bytes of entropy outside tests.
pub struct Entropy {
    key: Key,
}

impl Entropy {
    /// A generator from 32 bytes of the operating system's randomness.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: Key::from(seed) }
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut reader = blake3::Hasher::new_keyed(self.key.bytes())
            .update(b"meshring-entropy-1")
            .finalize_xof();
        let mut next = [0; 32];
        reader.fill(&mut next);
        reader.fill(out);
        self.key = Key::from(next);
        next.zeroize();
    }

    /// 32 secret bytes.
    pub fn key(&mut self) -> Key {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        let key = Key::from(bytes);
        bytes.zeroize();
        key
    }

    /// A random number.
    pub fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes_and_no_repetition() {
        let (mut a, mut b) = (Entropy::new([7; 32]), Entropy::new([7; 32]));
        let first = a.u64();
        assert_eq!(first, b.u64());
        assert_ne!(first, a.u64());
        assert_ne!(Entropy::new([8; 32]).u64(), first);
    }
}
