//! Payload bytes in fixed-size chunks, addressed by a 64-bit position that only grows: eviction frees whole chunks.

use std::collections::VecDeque;

/// Bytes of a chunk. Small, because programs open many logs.
pub const CHUNK: usize = 64 * 1024;

/// Payload bytes of one log.
#[derive(Debug, Default)]
pub struct Space {
    chunks: VecDeque<Vec<u8>>,
    /// Position of the first byte of the first chunk.
    base: u64,
    end: u64,
}

impl Space {
    /// Position after the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds bytes and returns their position.
    pub fn push(&mut self, mut bytes: &[u8]) -> u64 {
        let start = self.end;
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.chunks.back().map_or(0, |chunk| CHUNK - chunk.len());
            if room == 0 {
                self.chunks.push_back(Vec::with_capacity(CHUNK));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(chunk) = self.chunks.back_mut() {
                chunk.extend_from_slice(now);
            }
            bytes = later;
        }
        start
    }

    /// Takes back what was pushed from `end` on.
    pub fn truncate(&mut self, end: u64) {
        let end = end.clamp(self.base, self.end);
        let kept = (end - self.base) as usize;
        let whole = kept.div_ceil(CHUNK);
        self.chunks.truncate(whole);
        if let Some(last) = self.chunks.back_mut() {
            last.truncate(kept - (whole - 1) * CHUNK);
        }
        self.end = end;
    }

    /// Takes over the chunks of an empty space, which hold `length` bytes and are full but for the last one.
    pub fn fill(&mut self, chunks: Vec<Vec<u8>>, length: u64) {
        self.chunks = chunks.into();
        self.end = length;
    }

    /// The bytes at a position, if they lie in one chunk.
    pub fn slice(&self, at: u64, length: usize) -> Option<&[u8]> {
        let from = at.checked_sub(self.base)? as usize;
        let chunk = self.chunks.get(from / CHUNK)?;
        chunk.get(from % CHUNK..from % CHUNK + length)
    }

    /// Copies the bytes at a position. Returns false when they are not all there.
    pub fn copy(&self, mut at: u64, mut into: &mut [u8]) -> bool {
        while !into.is_empty() {
            let Some(from) = at.checked_sub(self.base) else {
                return false;
            };
            let Some(chunk) = self.chunks.get((from / CHUNK as u64) as usize) else {
                return false;
            };
            let inner = (from % CHUNK as u64) as usize;
            let count = into.len().min(chunk.len().saturating_sub(inner));
            if count == 0 {
                return false;
            }
            into[..count].copy_from_slice(&chunk[inner..inner + count]);
            into = &mut into[count..];
            at += count as u64;
        }
        true
    }

    /// Frees chunks that lie wholly below a position.
    pub fn free_below(&mut self, at: u64) {
        while self.chunks.len() > 1 && self.base + CHUNK as u64 <= at {
            self.chunks.pop_front();
            self.base += CHUNK as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_back_until_they_are_freed(sizes in prop::collection::vec(0usize..100_000, 1..30), cut in 0usize..30) {
            let mut space = Space::default();
            let mut all = Vec::new();
            let mut starts = Vec::new();
            for (i, size) in sizes.iter().enumerate() {
                let bytes = vec![i as u8; *size];
                starts.push(space.push(&bytes));
                all.extend_from_slice(&bytes);
            }
            let keep = starts[cut.min(starts.len() - 1)];
            space.free_below(keep);
            let mut back = vec![0; all.len() - keep as usize];
            prop_assert!(space.copy(keep, &mut back));
            prop_assert_eq!(&back[..], &all[keep as usize..]);
            space.truncate(keep);
            prop_assert_eq!(space.push(b"again"), keep);
            prop_assert_eq!(space.slice(keep, 1).map(|s| s.len()).unwrap_or(1), 1);
        }
    }
}
