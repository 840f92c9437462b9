//! The mesh engine: datagrams, time and calls go in; datagrams, deadlines and events come out. It does no I/O and reads no clock.
//!
//! A driver does this, in any order and as often as it likes:
//! - [`Engine::handle_datagram`] for each datagram that arrived, [`Engine::handle_timeout`] when [`Engine::next_deadline`] has passed;
//! - then [`Engine::poll_transmit`] until it is empty, [`Engine::poll_event`] until it is empty;
//! - [`Engine::poll_delivery`] when the application takes events.
//!
//! Time is monotonic microseconds from any origin; an earlier time than the last counts as the last.

mod answer;
mod beacon;
mod bus;
mod channels;
mod config;
mod connect;
mod control;
mod establish;
mod event;
mod forward;
mod handshake;
mod link;
mod liveness;
mod output;
mod path;
mod peer;
mod punch;
mod receive;
mod room;
mod send;
mod timers;
mod transmit;

pub use channels::{Channels, PublishError, PublishOptions, PUBLISH_WINDOW};
pub use config::{Config, SECOND};
pub use connect::ConnectError;
pub use event::{
    Delivery, Event, HandshakeFailure, OpenError, Origin, PeerChange, Protocol, SendError, Stats, Tables,
    Transmit,
};
pub use handshake::BUS_PEER;
pub use link::Link;
pub use path::SAFE_MTU;
pub use peer::{Liveness, PeerInfo};
pub use send::{Publish, Sent, StreamHandle};

use crate::crypto::{x25519_public, Entropy};
use crate::guard::Guard;
use crate::routing::{Graph, RelayedSessions, RouteTable};
use answer::{Accept, SeenEphemerals};
use connect::Connect;
use forward::Forwards;
use output::Output;
use peer::Peer;
use punch::Expected;
use room::Awaited;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use timers::{Timer, Timers};
use transmit::Flow;

/// Forward of data toward relayed peers.
const DATA_TTL: u8 = 8;
/// Forwards of handshakes.
const HANDSHAKE_TTL: u8 = 16;

/// A mesh node without its sockets.
pub struct Engine {
    config: Config,
    public: [u8; 32],
    entropy: Entropy,
    now: u64,
    wall_offset: u64,
    started: bool,
    closed: bool,
    peers: BTreeMap<u64, Peer>,
    /// Session id → node id.
    sessions: BTreeMap<u64, u64>,
    /// Link → node id, for direct peers.
    links: BTreeMap<Link, u64>,
    routes: RouteTable,
    graph: Graph,
    relayed: RelayedSessions,
    guard: Guard,
    channels: Channels,
    connects: BTreeMap<u64, Connect>,
    accepts: BTreeMap<u64, Accept>,
    ephemerals: SeenEphemerals,
    blocked: BTreeSet<Link>,
    expected: Expected,
    awaited: Awaited,
    out: Output,
    flows: VecDeque<Flow>,
    forwards: Forwards,
    /// Streams to which an acknowledgement or grant is owed now.
    owed: BTreeSet<(u64, u64)>,
    /// Streams whose credit is withheld while the inbound queue is crowded.
    withheld: BTreeSet<(u64, u64)>,
    timers: Timers,
    last_id: u64,
    pingwave_seq: u64,
}

impl Engine {
    /// An engine that accepts and makes handshakes; heartbeats and answers to strangers begin with [`start`](Self::start).
    /// `seed`: 32 random bytes.
    pub fn new(config: Config, seed: [u8; 32], now: u64) -> Self {
        let max_age = 3 * config.session_timeout;
        Self {
            public: x25519_public(&config.static_secret),
            entropy: Entropy::new(seed),
            now,
            wall_offset: 0,
            started: false,
            closed: false,
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            routes: RouteTable::new(max_age),
            graph: Graph::default(),
            relayed: RelayedSessions::default(),
            guard: Guard::new(now),
            channels: Channels::new(&seed),
            connects: BTreeMap::new(),
            accepts: BTreeMap::new(),
            ephemerals: SeenEphemerals::default(),
            blocked: BTreeSet::new(),
            expected: Expected::default(),
            awaited: Awaited::default(),
            out: Output::default(),
            flows: VecDeque::new(),
            forwards: Forwards::default(),
            owed: BTreeSet::new(),
            withheld: BTreeSet::new(),
            timers: Timers::default(),
            last_id: 0,
            pingwave_seq: 0,
            config,
        }
    }

    /// Own X25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Own node id.
    pub fn node_id(&self) -> u64 {
        self.config.node_id
    }

    /// Tells the wall clock: microseconds since the Unix epoch at monotonic time 0. Used in pingwaves only.
    pub fn set_wall_offset(&mut self, unix_us: u64) {
        self.wall_offset = unix_us;
    }

    /// Begins heartbeats, pingwaves and answers to routed handshakes. A second call does nothing.
    pub fn start(&mut self, now: u64) {
        self.advance(now);
        if !self.started && !self.closed {
            self.started = true;
            let at = self.now + self.config.heartbeat_interval;
            self.timers.arm(Timer::Tick, at);
        }
    }

    /// Whether [`start`](Self::start) was called.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Ends everything; says goodbye to nodes that understand it. Send what [`poll_transmit`](Self::poll_transmit) gives, then drop the engine.
    pub fn shutdown(&mut self, now: u64) {
        self.advance(now);
        if self.closed {
            return;
        }
        let peers: Vec<u64> = self.peers.keys().copied().collect();
        // What was received is acknowledged first, so that the other ends need not guess.
        for (id, peer) in &mut self.peers {
            let owing = peer.streams.iter_mut().filter(|stream| stream.owed.due.is_some());
            self.owed.extend(owing.map(|stream| (*id, stream.id)));
        }
        self.flush_owed();
        for peer in peers {
            self.say_goodbye(peer);
        }
        self.closed = true;
        self.started = false;
        self.flows.clear();
        self.connects.clear();
        self.accepts.clear();
        self.timers = Timers::default();
    }

    /// Ends the session with one peer.
    pub fn disconnect(&mut self, now: u64, peer: u64) -> bool {
        self.advance(now);
        let known = self.peers.contains_key(&peer);
        if known {
            self.say_goodbye(peer);
            self.remove_peer(peer);
            self.tell_room();
        }
        known
    }

    /// Next thing for the driver.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.next_event()
    }

    /// Whether [`poll_event`](Self::poll_event) has something.
    pub fn has_events(&self) -> bool {
        self.out.has_events()
    }

    /// Next packet's events for the application. Give its frames back with [`recycle`](Self::recycle).
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.out.next_delivery();
        if !self.withheld.is_empty() && !self.is_crowded() {
            self.owed.append(&mut self.withheld);
        }
        delivery
    }

    /// The delivery that [`poll_delivery`](Self::poll_delivery) would return.
    pub fn peek_delivery(&self) -> Option<&Delivery> {
        self.out.first_delivery()
    }

    /// Events and bytes that wait for the application.
    pub fn inbound(&self) -> (usize, usize) {
        self.out.inbound()
    }

    /// Takes a buffer back.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.out.recycle(buffer);
    }

    /// Number of sessions.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// A peer.
    pub fn peer(&self, id: u64) -> Option<PeerInfo> {
        self.peers.get(&id).map(|peer| PeerInfo {
            id,
            link: peer.link,
            relayed: peer.relayed,
            liveness: peer.liveness,
            protocol: peer.protocol(),
            rtt_us: peer.rtt.measured(),
            mtu: peer.path.mtu(peer.relayed),
            session_id: peer.session.id(),
            unsolicited: peer.unsolicited,
            in_flight: peer.congestion.in_flight(),
        })
    }

    /// All peers, by node id.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> + '_ {
        self.peers.keys().filter_map(|id| self.peer(*id))
    }

    /// The direct peer at a link.
    pub fn peer_at(&self, link: Link) -> Option<u64> {
        self.links.get(&link).copied()
    }

    /// Nodes heard of, self not counted.
    pub fn discovered_nodes(&self) -> usize {
        self.graph.len()
    }

    /// Adds a direct-metric route.
    pub fn add_route(&mut self, now: u64, dest: u64, link: Link) {
        self.advance(now);
        self.routes.set(self.now, dest, link);
    }

    /// Offers a route that somebody else vouched for: it replaces a worse or an expired one. `metric`: hops + 2.
    pub fn learn_route(&mut self, now: u64, dest: u64, link: Link, metric: u16) {
        self.advance(now);
        if dest != self.config.node_id {
            self.routes.learn(self.now, dest, link, metric.max(2));
        }
    }

    /// Next hop to a destination.
    pub fn route(&self, dest: u64) -> Option<Link> {
        self.routes.lookup(self.now, dest)
    }

    /// All routes: destination, next hop, metric.
    pub fn routes(&self) -> impl Iterator<Item = (u64, Link, u16)> + '_ {
        self.routes
            .iter()
            .map(|(dest, route)| (dest, route.link, route.metric))
    }

    /// Drops everything from and to a link.
    pub fn block(&mut self, link: Link) {
        self.blocked.insert(link);
    }

    /// Ends [`block`](Self::block).
    pub fn unblock(&mut self, link: Link) {
        self.blocked.remove(&link);
    }

    /// How much the engine remembers now.
    pub fn tables(&self) -> Tables {
        let streams = || self.peers.values().flat_map(|peer| peer.streams.iter());
        Tables {
            peers: self.peers.len(),
            sessions: self.sessions.len(),
            links: self.links.len(),
            streams: streams().count(),
            unacknowledged_bytes: streams().map(|stream| stream.sender.bytes()).sum(),
            in_flight: self.peers.values().map(|peer| peer.congestion.in_flight()).sum(),
            owed: self.owed.len() + self.withheld.len(),
            handshakes: self.connects.len() + self.accepts.len(),
            forwards: self.forwards.waiting(),
            relayed: self.relayed.len(),
            events: self.out.waiting_events(),
            timers: self.timers.len(),
        }
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.out.stats
    }

    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn is_crowded(&self) -> bool {
        self.out
            .is_crowded(self.config.max_inbound_events, self.config.max_inbound_bytes)
    }

    fn peer_event(&mut self, peer: u64, change: PeerChange) {
        if matches!(change, PeerChange::Joined | PeerChange::Left) {
            self.awaited.look_at_all();
        }
        self.out.event(Event::Peer { peer, change });
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("node_id", &self.config.node_id)
            .field("peers", &self.peers.len())
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}
