//! What an engine is made with. All times are microseconds.

use crate::crypto::Key;
use crate::packet::Features;

/// One second in microseconds.
pub const SECOND: u64 = 1_000_000;

/// Options of an engine.
#[derive(Debug)]
pub struct Config {
    /// Own node id.
    pub node_id: u64,
    /// Key of the whole mesh.
    pub psk: Key,
    /// Own X25519 secret.
    pub static_secret: Key,
    /// Time between heartbeats; also drives all sweeps. At least 10 ms.
    pub heartbeat_interval: u64,
    /// Silence that counts as one missed beat: two are suspicious, three a failure, thirty an eviction.
    pub session_timeout: u64,
    /// How long one connect attempt waits.
    pub handshake_timeout: u64,
    /// Inbound events that wait for the application.
    pub max_inbound_events: usize,
    /// Bytes of them.
    pub max_inbound_bytes: usize,
    /// Peers at most.
    pub max_peers: usize,
    /// What is offered to nodes of our kind; `None` = speak as 0.19.0 does.
    pub features: Option<Features>,
    /// A bus link: one peer, empty prologue, no routing, no pingwaves, no credit; every packet is read as events (20 §1).
    pub bus: bool,
    /// Whether sessions that broke off are taken up again: a peer that this node had called is called again, and
    /// packets are taken however many were lost before them.
    pub reconnect: bool,
}

impl Config {
    /// Defaults of a mesh node.
    pub fn new(node_id: u64, psk: Key, static_secret: Key) -> Self {
        Self {
            node_id,
            psk,
            static_secret,
            heartbeat_interval: 5 * SECOND,
            session_timeout: 30 * SECOND,
            handshake_timeout: 5 * SECOND,
            max_inbound_events: 65_536,
            max_inbound_bytes: 64 << 20,
            max_peers: 16_384,
            features: Some(Features::ALL),
            bus: false,
            reconnect: true,
        }
    }
}
