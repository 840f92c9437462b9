//! Hash of the guard's tables: one multiplication for each number of the key. Seeded, because peers choose what is looked up.

use std::hash::{BuildHasher, Hasher};

const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;

/// Makes the hashers of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeded(pub u64);

impl BuildHasher for Seeded {
    type Hasher = Fold;

    #[inline]
    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

/// A hash under way.
pub(super) struct Fold(u64);

impl Hasher for Fold {
    #[inline]
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * MULTIPLIER;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    /// Keys are numbers; anything else comes byte by byte.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte) + 1);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbours_are_far_apart_and_the_seed_counts() {
        let hash = |seed, key: (u64, u64)| Seeded(seed).hash_one(key);
        let mut low = HashSet::new();
        for peer in 0..64 {
            for stream in 0..64 {
                low.insert(hash(7, (peer, 1 << 48 | stream)) & 0xffff);
            }
        }
        // 4096 keys in 65,536 buckets: as good as chance leaves about 3970 of them alone.
        assert!(low.len() > 3800, "{}", low.len());
        assert_ne!(hash(1, (2, 3)), hash(2, (2, 3)));
    }
}
