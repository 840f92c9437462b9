//! The 64-byte packet header and the 52 bytes of it that the tag covers.

use super::{array, u16_at, u32_at, u64_at, MAX_EVENTS, MAX_PAYLOAD};

/// Bytes of a header.
pub const HEADER_LEN: usize = 64;
/// Bytes of the header which the tag covers.
pub const AAD_LEN: usize = 52;

const MAGIC: u16 = 0x4e45;
const VERSION: u8 = 1;

mod at {
    pub const VERSION: usize = 2;
    pub const FLAGS: usize = 3;
    pub const PRIORITY: usize = 4;
    pub const HOP_TTL: usize = 5;
    pub const HOP_COUNT: usize = 6;
    pub const FRAG_FLAGS: usize = 7;
    pub const SUBPROTOCOL: usize = 8;
    pub const CHANNEL: usize = 10;
    pub const NONCE: usize = 12;
    pub const SESSION: usize = 24;
    pub const STREAM: usize = 32;
    pub const SEQUENCE: usize = 40;
    pub const SUBNET: usize = 48;
    pub const ORIGIN: usize = 52;
    pub const FRAGMENT_ID: usize = 56;
    pub const FRAGMENT_OFFSET: usize = 58;
    pub const PAYLOAD_LEN: usize = 60;
    pub const EVENT_COUNT: usize = 62;
}

/// Flag bits. Unknown bits are accepted and ignored.
pub mod flags {
    /// Data of a reliable stream; informative toward 0.19.0.
    pub const RELIABLE: u8 = 0x01;
    /// Defined, never sent.
    pub const NACK: u8 = 0x02;
    /// A handshake message; tested first.
    pub const HANDSHAKE: u8 = 0x10;
    /// A heartbeat; tested after [`HANDSHAKE`].
    pub const HEARTBEAT: u8 = 0x20;
}

/// Fields of a packet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// See [`flags`].
    pub flags: u8,
    /// Of the channel on publishes, else 0. Nobody acts on it.
    pub priority: u8,
    /// Gateways that may be passed; 0 toward 0.19.0. The routing header drives forwarding.
    pub hop_ttl: u8,
    /// Gateways passed. The only byte besides the nonce which the tag does not cover.
    pub hop_count: u8,
    /// Sent as 0: there is no fragmentation.
    pub frag_flags: u8,
    /// 0 = plain events.
    pub subprotocol_id: u16,
    /// Low 16 bits of the channel's hash; not to be trusted alone (20 §10).
    pub channel_hash: u16,
    /// Prefix and counter.
    pub nonce: [u8; 12],
    /// Which session's keys.
    pub session_id: u64,
    /// Which stream of it.
    pub stream_id: u64,
    /// Position in the stream.
    pub sequence: u64,
    /// Of the sender; 0 toward 0.19.0.
    pub subnet_id: u32,
    /// Low 32 bits of the sender's origin hash on publishes.
    pub origin_hash: u32,
    /// Sent as 0.
    pub fragment_id: u16,
    /// Sent as 0.
    pub fragment_offset: u16,
    /// Bytes of plaintext; of the body for handshakes.
    pub payload_len: u16,
    /// Frames in the plaintext.
    pub event_count: u16,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer than 64 bytes.
    Short,
    /// Another magic number.
    Magic,
    /// Another version.
    Version,
    /// `payload_len` or `event_count` above its limit.
    Limits,
}

/// Whether a packet's channel hash is to be believed: 0.19.0 leaves stale ones in packets of other kinds (20 §10).
pub fn is_publish(subprotocol: u16, stream_id: u64, channel_hash: u16) -> bool {
    subprotocol == 0 && stream_id >> 48 & 1 == 1 && u64::from(channel_hash) == stream_id & 0xffff
}

impl Header {
    /// Reads a header from the first 64 bytes of a packet.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(b) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(HeaderError::Short);
        };
        if u16_at(b, 0) != MAGIC {
            return Err(HeaderError::Magic);
        }
        if b[at::VERSION] != VERSION {
            return Err(HeaderError::Version);
        }
        let header = Self {
            flags: b[at::FLAGS],
            priority: b[at::PRIORITY],
            hop_ttl: b[at::HOP_TTL],
            hop_count: b[at::HOP_COUNT],
            frag_flags: b[at::FRAG_FLAGS],
            subprotocol_id: u16_at(b, at::SUBPROTOCOL),
            channel_hash: u16_at(b, at::CHANNEL),
            nonce: array(b, at::NONCE),
            session_id: u64_at(b, at::SESSION),
            stream_id: u64_at(b, at::STREAM),
            sequence: u64_at(b, at::SEQUENCE),
            subnet_id: u32_at(b, at::SUBNET),
            origin_hash: u32_at(b, at::ORIGIN),
            fragment_id: u16_at(b, at::FRAGMENT_ID),
            fragment_offset: u16_at(b, at::FRAGMENT_OFFSET),
            payload_len: u16_at(b, at::PAYLOAD_LEN),
            event_count: u16_at(b, at::EVENT_COUNT),
        };
        if usize::from(header.payload_len) > MAX_PAYLOAD || usize::from(header.event_count) > MAX_EVENTS {
            return Err(HeaderError::Limits);
        }
        Ok(header)
    }

    /// Writes the header.
    #[inline]
    pub fn encode(&self, out: &mut [u8; HEADER_LEN]) {
        out[..2].copy_from_slice(&MAGIC.to_le_bytes());
        out[at::VERSION] = VERSION;
        out[at::FLAGS] = self.flags;
        out[at::PRIORITY] = self.priority;
        out[at::HOP_TTL] = self.hop_ttl;
        out[at::HOP_COUNT] = self.hop_count;
        out[at::FRAG_FLAGS] = self.frag_flags;
        out[at::SUBPROTOCOL..at::CHANNEL].copy_from_slice(&self.subprotocol_id.to_le_bytes());
        out[at::CHANNEL..at::NONCE].copy_from_slice(&self.channel_hash.to_le_bytes());
        out[at::NONCE..at::SESSION].copy_from_slice(&self.nonce);
        out[at::SESSION..at::STREAM].copy_from_slice(&self.session_id.to_le_bytes());
        out[at::STREAM..at::SEQUENCE].copy_from_slice(&self.stream_id.to_le_bytes());
        out[at::SEQUENCE..at::SUBNET].copy_from_slice(&self.sequence.to_le_bytes());
        out[at::SUBNET..at::ORIGIN].copy_from_slice(&self.subnet_id.to_le_bytes());
        out[at::ORIGIN..at::FRAGMENT_ID].copy_from_slice(&self.origin_hash.to_le_bytes());
        out[at::FRAGMENT_ID..at::FRAGMENT_OFFSET].copy_from_slice(&self.fragment_id.to_le_bytes());
        out[at::FRAGMENT_OFFSET..at::PAYLOAD_LEN].copy_from_slice(&self.fragment_offset.to_le_bytes());
        out[at::PAYLOAD_LEN..at::EVENT_COUNT].copy_from_slice(&self.payload_len.to_le_bytes());
        out[at::EVENT_COUNT..].copy_from_slice(&self.event_count.to_le_bytes());
    }

    /// What the tag covers: the encoded header without its nonce and with `hop_count` as 0.
    #[inline]
    pub fn aad(header: &[u8; HEADER_LEN]) -> [u8; AAD_LEN] {
        let mut out = [0; AAD_LEN];
        out[..at::NONCE].copy_from_slice(&header[..at::NONCE]);
        out[at::HOP_COUNT] = 0;
        out[at::NONCE..].copy_from_slice(&header[at::SESSION..]);
        out
    }

    /// Whether this is a genuine publish: see [`is_publish`].
    pub fn is_publish(&self) -> bool {
        is_publish(self.subprotocol_id, self.stream_id, self.channel_hash)
    }

    /// Counts a gateway in an encoded packet.
    pub fn count_hop(packet: &mut [u8]) {
        if let Some(count) = packet.get_mut(at::HOP_COUNT) {
            *count = count.saturating_add(1);
        }
    }

    /// Send counter in the nonce. The nonce's prefix is not looked at: receivers rebuild it.
    #[inline]
    pub fn counter(&self) -> u64 {
        u64_at(&self.nonce, 4)
    }
}
