//! The 72-byte pingwave: a beacon that spreads who can be reached over whom. Not authenticated.

use super::{u16_at, u32_at, u64_at};

/// Bytes of a pingwave.
pub const PINGWAVE_LEN: usize = 72;

mod at {
    pub const ORIGIN: usize = 0;
    pub const SEQ: usize = 32;
    pub const TTL: usize = 40;
    pub const HOPS: usize = 41;
    pub const TIMESTAMP: usize = 42;
    pub const CAPABILITY_HASH: usize = 50;
    pub const CAPABILITY_VERSION: usize = 58;
    pub const LOAD: usize = 62;
    pub const HEALTH: usize = 63;
    pub const GPU: usize = 64;
    pub const SLOTS: usize = 65;
    pub const MEMORY: usize = 66;
    pub const TOOLS: usize = 67;
    pub const FLAGS: usize = 68;
}

/// How a node says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// 0
    #[default]
    Healthy,
    /// 1
    Degraded,
    /// 2
    Unhealthy,
    /// 3
    Unknown,
}

/// Capabilities at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Primary {
    /// Has a GPU.
    pub gpu: bool,
    /// Model slots.
    pub model_slots: u8,
    /// 0 (≤ 1 GB) to 7 (> 128 GB).
    pub memory_tier: u8,
    /// Sent as 0.
    pub tools: u8,
    /// Sent as 0.
    pub flags: u32,
}

/// Fields of a pingwave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pingwave {
    /// Node id of the origin; the 24 bytes behind it are kept as zeros.
    pub origin: u64,
    /// Counts from 1 per process of the origin.
    pub seq: u64,
    /// Forwards left.
    pub ttl: u8,
    /// Forwards so far.
    pub hop_count: u8,
    /// Microseconds since the Unix epoch at the origin.
    pub timestamp_us: u64,
    /// Sent as 0 by mesh nodes.
    pub capability_hash: u64,
    /// Sent as 0 by mesh nodes.
    pub capability_version: u32,
    /// Sent as 0 by mesh nodes.
    pub load: u8,
    /// See [`Health`].
    pub health: Health,
    /// See [`Primary`].
    pub primary: Primary,
}

impl Pingwave {
    /// Reads a pingwave; `None` for another length, a packet's magic, or a health byte above 3.
    pub fn decode(b: &[u8]) -> Option<Self> {
        if b.len() != PINGWAVE_LEN || u16_at(b, 0) == 0x4e45 {
            return None;
        }
        let health = match b[at::HEALTH] {
            0 => Health::Healthy,
            1 => Health::Degraded,
            2 => Health::Unhealthy,
            3 => Health::Unknown,
            _ => return None,
        };
        Some(Self {
            origin: u64_at(b, at::ORIGIN),
            seq: u64_at(b, at::SEQ),
            ttl: b[at::TTL],
            hop_count: b[at::HOPS],
            timestamp_us: u64_at(b, at::TIMESTAMP),
            capability_hash: u64_at(b, at::CAPABILITY_HASH),
            capability_version: u32_at(b, at::CAPABILITY_VERSION),
            load: b[at::LOAD],
            health,
            primary: Primary {
                gpu: b[at::GPU] != 0,
                model_slots: b[at::SLOTS],
                memory_tier: b[at::MEMORY],
                tools: b[at::TOOLS],
                flags: u32_at(b, at::FLAGS),
            },
        })
    }

    /// The 72 bytes.
    pub fn encode(&self) -> [u8; PINGWAVE_LEN] {
        let mut b = [0; PINGWAVE_LEN];
        b[at::ORIGIN..at::ORIGIN + 8].copy_from_slice(&self.origin.to_le_bytes());
        b[at::SEQ..at::TTL].copy_from_slice(&self.seq.to_le_bytes());
        b[at::TTL] = self.ttl;
        b[at::HOPS] = self.hop_count;
        b[at::TIMESTAMP..at::CAPABILITY_HASH].copy_from_slice(&self.timestamp_us.to_le_bytes());
        b[at::CAPABILITY_HASH..at::CAPABILITY_VERSION].copy_from_slice(&self.capability_hash.to_le_bytes());
        b[at::CAPABILITY_VERSION..at::LOAD].copy_from_slice(&self.capability_version.to_le_bytes());
        b[at::LOAD] = self.load;
        b[at::HEALTH] = self.health as u8;
        b[at::GPU] = u8::from(self.primary.gpu);
        b[at::SLOTS] = self.primary.model_slots;
        b[at::MEMORY] = self.primary.memory_tier;
        b[at::TOOLS] = self.primary.tools;
        b[at::FLAGS..].copy_from_slice(&self.primary.flags.to_le_bytes());
        b
    }

    /// What neighbours get; `None` when the ttl is used up.
    pub fn forwarded(&self) -> Option<Self> {
        Some(Self {
            ttl: self.ttl.checked_sub(1)?,
            hop_count: self.hop_count.saturating_add(1),
            ..*self
        })
    }
}
