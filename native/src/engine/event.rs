//! What the engine tells its driver.

use super::Link;
use crate::packet::{is_publish, Header};
use std::net::SocketAddr;

/// Events of one packet, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Node id of the sender.
    pub peer: u64,
    /// Stream within the session.
    pub stream_id: u64,
    /// Sequence of the packet in its stream.
    pub sequence: u64,
    /// 0, or the subprotocol (also unknown ones arrive as plain events).
    pub subprotocol: u16,
    /// Of a publish: the number of the channel that this node asked for; 0 = nobody did.
    pub channel: u32,
    /// From the header; see [`Delivery::is_publish`].
    pub channel_hash: u16,
    /// From the header; 0 outside publishes.
    pub origin_hash: u32,
    /// Number of frames.
    pub count: u16,
    /// `length u32 ‖ bytes`, again and again.
    pub frames: Vec<u8>,
}

impl Delivery {
    /// The frames of a packet with this header, not yet told to belong to a channel.
    pub(super) fn new(peer: u64, header: &Header, count: u16, frames: Vec<u8>) -> Self {
        Self {
            peer,
            stream_id: header.stream_id,
            sequence: header.sequence,
            subprotocol: header.subprotocol_id,
            channel: 0,
            channel_hash: header.channel_hash,
            origin_hash: header.origin_hash,
            count,
            frames,
        }
    }

    /// Whether the header's channel hash is to be believed: 0.19.0 leaves stale ones in other packets (20 §10).
    pub fn is_publish(&self) -> bool {
        is_publish(self.subprotocol, self.stream_id, self.channel_hash)
    }
}

/// Which protocol a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As 0.19.0.
    Net019,
    /// With the extension.
    Meshring,
}

/// What happened to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// A session began (or was replaced).
    Joined,
    /// Two beats missed.
    Suspected,
    /// Three beats missed: routes lead around it. The session stays.
    Failed,
    /// A failed peer was heard again, on the same session.
    Recovered,
    /// Its address changed.
    Moved,
    /// It said goodbye, or was silent for thirty session timeouts: the session is gone.
    Left,
}

/// Why a connect or accept ended without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// Nobody answered in time, or nobody who knows the keys.
    Timeout,
    /// A newer connect took its place.
    Superseded,
    /// The peer table is full.
    Full,
}

impl std::fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timeout => "handshake timeout",
            Self::Superseded => "handshake channel dropped",
            Self::Full => "peer table is full",
        })
    }
}

/// Something for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connect or accept found its peer.
    Handshake {
        /// As returned by connect or accept.
        id: u64,
        /// Node id.
        peer: u64,
        /// Where the peer is reached.
        link: Link,
    },
    /// A connect or accept failed.
    HandshakeFailed {
        /// As returned by connect or accept.
        id: u64,
        /// Why.
        reason: HandshakeFailure,
    },
    /// See [`PeerChange`].
    Peer {
        /// Node id.
        peer: u64,
        /// What happened.
        change: PeerChange,
    },
    /// Bus links only: everything sent on a stream is acknowledged.
    Flushed {
        /// Stream id.
        stream: u64,
    },
    /// [`await_room`](super::Engine::await_room) is worth another call.
    Room {
        /// Node id.
        peer: u64,
        /// Stream id.
        stream: u64,
    },
    /// Frames of a known subprotocol.
    Message(Delivery),
    /// A keep-alive that was awaited arrived.
    KeepAlive {
        /// From there.
        from: SocketAddr,
        /// As it claims.
        sender: u64,
    },
}

/// A datagram to send.
#[derive(Debug)]
pub struct Transmit {
    /// Where to.
    pub link: Link,
    /// The datagram. Give it back with [`Engine::recycle`](super::Engine::recycle).
    pub bytes: Vec<u8>,
    /// Which stream it belongs to, for [`Engine::unsent`](super::Engine::unsent).
    pub origin: Option<Origin>,
}

/// Whose credit a datagram used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Node id.
    pub peer: u64,
    /// Stream.
    pub stream: u64,
    /// Its life.
    pub epoch: u64,
    /// Sequence of the packet.
    pub sequence: u64,
    /// Credit taken.
    pub cost: u64,
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Not enough credit for the whole call, or too much is queued.
    Backpressure,
    /// No session, no such stream, or a handle from an earlier life.
    NotConnected,
    /// An event that no packet can hold; its length.
    TooLarge(usize),
    /// The frames do not add up.
    BadFrames,
}

/// Why a stream can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No session with the peer.
    NoSession,
    /// The id of the control stream.
    Reserved,
    /// Too many streams with unsent or unacknowledged packets.
    TooMany,
}

/// Sizes of the engine's tables: what it remembers now, each bounded (docs/protocol.md, Limits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Peers with a session.
    pub peers: usize,
    /// Session ids; one per peer.
    pub sessions: usize,
    /// Links of direct peers.
    pub links: usize,
    /// Streams of all peers.
    pub streams: usize,
    /// Packets queued or unacknowledged, bytes.
    pub unacknowledged_bytes: u64,
    /// Acknowledged traffic under way, bytes.
    pub in_flight: u64,
    /// Streams to which an acknowledgement or grant is owed or withheld.
    pub owed: usize,
    /// Connects and accepts that wait.
    pub handshakes: usize,
    /// Packets that wait to be relayed.
    pub forwards: usize,
    /// Sessions relayed for 0.19.0 ends.
    pub relayed: usize,
    /// Events for the driver.
    pub events: usize,
    /// Armed timers.
    pub timers: usize,
}

/// Counters since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams handed in.
    pub datagrams_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Datagrams handed out.
    pub datagrams_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Neither packet nor pingwave nor keep-alive.
    pub junk: u64,
    /// From or to a blocked address.
    pub filtered: u64,
    /// Packets of no known session.
    pub unknown_session: u64,
    /// Tag, length or kind wrong.
    pub forged: u64,
    /// Counter seen before.
    pub replayed: u64,
    /// Counter too far ahead.
    pub too_far: u64,
    /// Handshake messages beyond the rate limit.
    pub handshakes_limited: u64,
    /// Handshake messages that did not decrypt or did not fit.
    pub handshakes_refused: u64,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Pingwaves dropped.
    pub pingwaves_dropped: u64,
    /// Packets relayed.
    pub forwarded: u64,
    /// Not relayed: ttl used up.
    pub forward_ttl: u64,
    /// Not relayed: no route.
    pub forward_no_route: u64,
    /// Not relayed: queue full.
    pub forward_full: u64,
    /// Not relayed: back to its source.
    pub forward_loop: u64,
    /// Inbound events dropped because the queue was full.
    pub inbound_dropped: u64,
    /// Messages of subprotocols, and happenings, dropped because nobody took them.
    pub messages_dropped: u64,
    /// Packets of channels that nobody here asked for.
    pub unsolicited: u64,
    /// Events with unknown subprotocols (delivered as plain events).
    pub unknown_subprotocol: u64,
    /// Control messages that could not be read.
    pub bad_control: u64,
    /// Keep-alives that nobody awaited.
    pub keep_alives_dropped: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Times that lost credit was taken back.
    pub credit_reclaimed: u64,
    /// Events of light streams that were given up unacknowledged.
    pub lost: u64,
}
