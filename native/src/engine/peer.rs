//! What is known of a peer with a session.

use super::bus::Answered;
use super::event::Protocol;
use super::path::PathProbe;
use super::Link;
use crate::session::replay::WINDOW;
use crate::session::Session;
use crate::stream::congestion::Congestion;
use crate::stream::rtt::Rtt;
use crate::stream::Streams;
use std::collections::VecDeque;

/// How a peer does, by its heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Heard in time.
    Healthy,
    /// Two beats missed.
    Suspected,
    /// Three beats missed.
    Failed,
}

/// A peer.
pub(super) struct Peer {
    pub session: Session,
    /// Where packets go.
    pub link: Link,
    /// Packets need a routing header.
    pub relayed: bool,
    /// The direct path is silent; packets go over the routing table until it is heard again.
    pub detoured: bool,
    pub streams: Streams,
    /// Session-wide sequence of control packets.
    pub control_sequence: u64,
    pub rtt: Rtt,
    pub congestion: Congestion,
    /// Streams that wait for the congestion window or the pace.
    pub blocked: VecDeque<u64>,
    /// Last authenticated packet.
    pub last_received: u64,
    /// Something authenticated arrived at all.
    pub confirmed: bool,
    /// Last beat that counts for failure detection.
    pub last_beat: u64,
    pub liveness: Liveness,
    /// Static key of the other end, if this end was the initiator.
    pub remote_static: Option<[u8; 32]>,
    pub path: PathProbe,
    /// Packets beyond the replay window since the last accepted one.
    pub beyond_window: u64,
    /// Packets of unknown sessions from its address since the last accepted one.
    pub strange: u64,
    /// Packets sealed when the last one was accepted from it.
    pub sealed_at_last: u64,
    /// More was sent into its silence than a 0.19.0 window reaches: it may refuse everything from here on.
    pub outrun: bool,
    /// Packets of channels that nobody here asked it for.
    pub unsolicited: u64,
    /// When to call it again, and how often that was done.
    pub redial: Option<(u64, u32)>,
    /// Bus link: what to answer a repeated first message with.
    pub answered: Option<Answered>,
    /// Bus link: sessions that the current one superseded, the oldest first.
    pub before: Vec<Session>,
}

impl Peer {
    /// Whether so much was sent since the other end was last heard that its window (0.19.0 has one for jumps too) may be left
    /// behind. Over a relay silence is normal for 0.19.0, and between our nodes any jump is taken.
    pub fn has_outrun(&self, silence: u64, beat: u64) -> bool {
        let unheard = self.session.sealed().saturating_sub(self.sealed_at_last);
        self.session.features().is_none() && !self.relayed && unheard > WINDOW && silence > 3 * beat
    }

    pub fn protocol(&self) -> Protocol {
        if self.session.features().is_some() {
            Protocol::Meshring
        } else {
            Protocol::Net019
        }
    }
}

/// A peer, for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Node id.
    pub id: u64,
    /// Where it is reached.
    pub link: Link,
    /// Behind a relay.
    pub relayed: bool,
    /// See [`Liveness`].
    pub liveness: Liveness,
    /// See [`Protocol`].
    pub protocol: Protocol,
    /// Smoothed round-trip time in microseconds, if measured.
    pub rtt_us: Option<u64>,
    /// Largest datagram that is sent to it.
    pub mtu: usize,
    /// Session id.
    pub session_id: u64,
    /// Packets of channels that it published without being asked.
    pub unsolicited: u64,
    /// Bytes of acknowledged traffic under way.
    pub in_flight: u64,
}
