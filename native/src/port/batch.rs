//! Events and deliveries as one run of records; `ts/src/mesh/batch.ts` reads it. Little-endian.

use crate::engine::{Delivery, Event, HandshakeFailure, PeerChange};
use crate::packet::Frames;

/// First byte of each record.
pub mod kind {
    /// A packet of plain events.
    pub const DELIVERY: u8 = 0;
    /// A packet of a known subprotocol.
    pub const MESSAGE: u8 = 1;
    /// A connect or accept found its peer.
    pub const HANDSHAKE: u8 = 2;
    /// A connect or accept failed.
    pub const HANDSHAKE_FAILED: u8 = 3;
    /// Something happened to a peer.
    pub const PEER: u8 = 4;
    /// A keep-alive arrived.
    pub const KEEP_ALIVE: u8 = 5;
    /// A stream of a bus link has nothing outstanding.
    pub const FLUSHED: u8 = 6;
    /// A stream takes more, or is gone.
    pub const ROOM: u8 = 7;
}

/// `kind u8 ‖ 1 = genuine publish u8 ‖ subprotocol u16 ‖ count u16 ‖ channel hash u16 ‖ origin hash u32 ‖ length u32 ‖ peer u64 ‖ stream u64 ‖ sequence u64 ‖ channel u32 ‖ frames`
pub fn put_delivery(kind: u8, delivery: &Delivery, out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind, delivery.is_publish().into()]);
    out.extend_from_slice(&delivery.subprotocol.to_le_bytes());
    out.extend_from_slice(&delivery.count.to_le_bytes());
    out.extend_from_slice(&delivery.channel_hash.to_le_bytes());
    out.extend_from_slice(&delivery.origin_hash.to_le_bytes());
    out.extend_from_slice(&(delivery.frames.len() as u32).to_le_bytes());
    out.extend_from_slice(&delivery.peer.to_le_bytes());
    out.extend_from_slice(&delivery.stream_id.to_le_bytes());
    out.extend_from_slice(&delivery.sequence.to_le_bytes());
    out.extend_from_slice(&delivery.channel.to_le_bytes());
    out.extend_from_slice(&delivery.frames);
}

/// Bytes of a delivery before its frames.
const DELIVERY_HEAD: usize = 44;

/// The packets of a batch of deliveries: stream id and events of each.
pub fn deliveries(mut batch: &[u8]) -> impl Iterator<Item = (u64, Frames<'_>)> {
    std::iter::from_fn(move || {
        let (head, rest) = batch.split_first_chunk::<DELIVERY_HEAD>()?;
        let length = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
        let stream = u64::from_le_bytes(head[24..32].try_into().ok()?);
        let frames = rest.get(..length)?;
        batch = &rest[length..];
        Some((
            stream,
            Frames::new(frames, u16::from_le_bytes([head[4], head[5]])),
        ))
    })
}

/// `kind u8 ‖ code u8 ‖ text length u16 ‖ 0 u32 ‖ a u64 ‖ b u64 ‖ text`
fn put_small(out: &mut Vec<u8>, kind: u8, code: u8, a: u64, b: u64, text: &str) {
    out.extend_from_slice(&[kind, code]);
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&a.to_le_bytes());
    out.extend_from_slice(&b.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Any event.
pub fn put_event(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Message(delivery) => put_delivery(kind::MESSAGE, delivery, out),
        Event::Handshake { id, peer, link } => {
            put_small(out, kind::HANDSHAKE, 0, *id, *peer, &link.to_string());
        }
        Event::HandshakeFailed { id, reason } => {
            let code = match reason {
                HandshakeFailure::Timeout => 0,
                HandshakeFailure::Superseded => 1,
                HandshakeFailure::Full => 2,
            };
            put_small(out, kind::HANDSHAKE_FAILED, code, *id, 0, "");
        }
        Event::Peer { peer, change } => {
            let code = match change {
                PeerChange::Joined => 0,
                PeerChange::Suspected => 1,
                PeerChange::Failed => 2,
                PeerChange::Recovered => 3,
                PeerChange::Moved => 4,
                PeerChange::Left => 5,
            };
            put_small(out, kind::PEER, code, *peer, 0, "");
        }
        Event::Room { peer, stream } => put_small(out, kind::ROOM, 0, *peer, *stream, ""),
        Event::Flushed { stream } => put_small(out, kind::FLUSHED, 0, *stream, 0, ""),
        Event::KeepAlive { from, sender } => {
            put_small(out, kind::KEEP_ALIVE, 0, *sender, 0, &from.to_string());
        }
    }
}
