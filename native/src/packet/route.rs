//! The 18-byte routing header in front of a packet that travels over relays. Not authenticated.

use super::{u16_at, u32_at, u64_at, HEADER_LEN};

/// Bytes of a routing header.
pub const ROUTE_LEN: usize = 18;

pub(super) const MAGIC: u16 = 0x5452;

/// Fields of a routing header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteHeader {
    /// Forwards left.
    pub ttl: u8,
    /// Forwards so far.
    pub hop_count: u8,
    /// Low nibble only.
    pub flags: u8,
    /// Forwarded unchanged.
    pub reserved: u8,
    /// Low 32 bits of the sender's node id.
    pub src: u32,
    /// Full node id of the destination.
    pub dest: u64,
}

impl RouteHeader {
    /// Reads the header of a datagram of at least 82 bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < ROUTE_LEN + HEADER_LEN || u16_at(bytes, 0) != MAGIC {
            return None;
        }
        Some(Self {
            ttl: bytes[2],
            hop_count: bytes[3],
            flags: bytes[4] & 0x0f,
            reserved: bytes[5],
            src: u32_at(bytes, 6),
            dest: u64_at(bytes, 10),
        })
    }

    /// The 18 bytes.
    pub fn encode(&self) -> [u8; ROUTE_LEN] {
        let mut out = [0; ROUTE_LEN];
        out[..2].copy_from_slice(&MAGIC.to_le_bytes());
        out[2] = self.ttl;
        out[3] = self.hop_count;
        out[4] = self.flags;
        out[5] = self.reserved;
        out[6..10].copy_from_slice(&self.src.to_le_bytes());
        out[10..].copy_from_slice(&self.dest.to_le_bytes());
        out
    }

    /// What the next node gets; `None` when the ttl is used up.
    pub fn forwarded(&self) -> Option<Self> {
        Some(Self {
            ttl: self.ttl.checked_sub(1)?,
            hop_count: self.hop_count.saturating_add(1),
            ..*self
        })
    }
}
