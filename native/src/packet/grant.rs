//! Bodies of credit grants, and of the negative acknowledgement which 0.19.0 defines and never sends.

use super::u64_at;

/// Bytes of a grant.
pub const GRANT_LEN: usize = 16;
/// Bytes of a negative acknowledgement.
pub const NACK_LEN: usize = 16;

/// How many wire bytes of a stream the receiver has taken in so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The stream.
    pub stream_id: u64,
    /// Cumulative.
    pub total_consumed: u64,
}

impl Grant {
    /// Reads one event of a grant packet; any other length is no grant.
    pub fn decode(event: &[u8]) -> Option<Self> {
        (event.len() == GRANT_LEN).then(|| Self {
            stream_id: u64_at(event, 0),
            total_consumed: u64_at(event, 8),
        })
    }

    /// The 16 bytes.
    pub fn encode(&self) -> [u8; GRANT_LEN] {
        let mut out = [0; GRANT_LEN];
        out[..8].copy_from_slice(&self.stream_id.to_le_bytes());
        out[8..].copy_from_slice(&self.total_consumed.to_le_bytes());
        out
    }
}

/// Which sequences are missing: `next_expected` always, and `next_expected + 1 + i` for each set bit `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack {
    /// First missing sequence.
    pub next_expected: u64,
    /// Further missing ones.
    pub missing: u64,
}

impl Nack {
    /// Reads a body of exactly 16 bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == NACK_LEN).then(|| Self {
            next_expected: u64_at(bytes, 0),
            missing: u64_at(bytes, 8),
        })
    }

    /// The 16 bytes.
    pub fn encode(&self) -> [u8; NACK_LEN] {
        let mut out = [0; NACK_LEN];
        out[..8].copy_from_slice(&self.next_expected.to_le_bytes());
        out[8..].copy_from_slice(&self.missing.to_le_bytes());
        out
    }

    /// The missing sequences, ascending.
    pub fn sequences(self) -> impl Iterator<Item = u64> {
        std::iter::once(self.next_expected).chain(
            (0..64u64)
                .filter(move |bit| self.missing >> bit & 1 == 1)
                .filter_map(move |bit| self.next_expected.checked_add(1 + bit)),
        )
    }
}
