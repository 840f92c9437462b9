//! Layouts on the wire: packet header, event frames, routing header, pingwave, credit grant, keep-alive (20 §2, §3, §8; 21 §2, §5, §9.3).
//! Each layout is declared once, next to its encoder and decoder; all integers are little-endian.

mod classify;
pub mod control;
mod frames;
mod grant;
mod header;
mod keepalive;
mod offer;
mod pingwave;
mod route;

pub use classify::{classify, Datagram};
pub use frames::{put_frame, Frames, FRAME_PREFIX};
pub use grant::{Grant, Nack, GRANT_LEN, NACK_LEN};
pub use header::{flags, is_publish, Header, HeaderError, AAD_LEN, HEADER_LEN};
pub use keepalive::{KeepAlive, KEEP_ALIVE_LEN};
pub use offer::{Features, OFFER_LEN};
pub use pingwave::{Health, Pingwave, Primary, PINGWAVE_LEN};
pub use route::{RouteHeader, ROUTE_LEN};

use crate::crypto::TAG_LEN;

/// Longest datagram without routing header.
pub const MAX_PACKET: usize = 8192;
/// Longest plaintext of a packet.
pub const MAX_PAYLOAD: usize = MAX_PACKET - HEADER_LEN - TAG_LEN;
/// Longest event.
pub const MAX_EVENT: usize = MAX_PAYLOAD - FRAME_PREFIX;
/// Most events in a packet.
pub const MAX_EVENTS: usize = MAX_PAYLOAD / FRAME_PREFIX;
/// Header and tag: what a packet costs beside its plaintext, also in credit.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// Subprotocol ids which the engine itself reads.
pub mod subprotocol {
    /// Plain events, channel publishes, RPC.
    pub const EVENTS: u16 = 0;
    /// Credit grants.
    pub const STREAM_WINDOW: u16 = 0x0b00;
    /// Acknowledgements, goodbye and path messages between nodes that agreed on the extension.
    pub const SESSION_CONTROL: u16 = 0x0b01;
    /// Channel membership.
    pub const MEMBERSHIP: u16 = 0x0a00;
    /// Capability announcements.
    pub const CAPABILITIES: u16 = 0x0c00;
    /// Reflex probes.
    pub const REFLEX: u16 = 0x0d00;
    /// Rendezvous.
    pub const RENDEZVOUS: u16 = 0x0d01;
    /// Migration of daemons.
    pub const MIGRATION: u16 = 0x0500;
    /// Replication of logs.
    pub const REDEX: u16 = 0x0e00;
    /// Queries.
    pub const MESHDB: u16 = 0x0f00;
}

/// Stream of credit grants and other session control.
pub const CONTROL_STREAM: u64 = u64::MAX;

/// Copies `N` bytes from `at`; the caller has checked the length.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod vector_tests;
