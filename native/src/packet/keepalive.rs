//! The 14-byte datagram that opens a hole in a NAT.

use super::{u16_at, u32_at, u64_at};

/// Bytes of a keep-alive.
pub const KEEP_ALIVE_LEN: usize = 14;

const MAGIC: u16 = 0x4850;

/// Fields of a keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Node id of the sender.
    pub sender: u64,
    /// 0 in 0.19.0.
    pub punch_id: u32,
}

impl KeepAlive {
    /// Reads a datagram of exactly 14 bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEEP_ALIVE_LEN && u16_at(bytes, 0) == MAGIC).then(|| Self {
            sender: u64_at(bytes, 2),
            punch_id: u32_at(bytes, 10),
        })
    }

    /// The 14 bytes.
    pub fn encode(&self) -> [u8; KEEP_ALIVE_LEN] {
        let mut out = [0; KEEP_ALIVE_LEN];
        out[..2].copy_from_slice(&MAGIC.to_le_bytes());
        out[2..10].copy_from_slice(&self.sender.to_le_bytes());
        out[10..].copy_from_slice(&self.punch_id.to_le_bytes());
        out
    }
}
