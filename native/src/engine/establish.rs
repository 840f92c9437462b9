//! A finished handshake becomes a peer; a peer that is gone leaves no trace in any table.

use super::path::PathProbe;
use super::peer::{Liveness, Peer};
use super::timers::Timer;
use super::{Engine, Link, PeerChange};
use crate::packet::Features;
use crate::session::Session;
use crate::stream::congestion::Congestion;
use crate::stream::rtt::Rtt;
use crate::stream::Streams;
use std::collections::VecDeque;

/// What a handshake yields.
pub(super) struct Established {
    pub peer: u64,
    pub session: Session,
    pub link: Link,
    pub relayed: bool,
    pub remote_static: Option<[u8; 32]>,
    /// Round-trip time of the handshake, if this end measured it.
    pub took: Option<u64>,
}

impl Engine {
    /// Registers a session; everything that belongs to it changes together. False when the table is full or the session id taken.
    pub(super) fn establish(&mut self, new: Established) -> bool {
        let (now, id, link) = (self.now, new.peer, new.link);
        let known = self.peers.contains_key(&id);
        let taken = self
            .sessions
            .get(&new.session.id())
            .is_some_and(|owner| *owner != id);
        if taken || (!known && self.peers.len() >= self.config.max_peers) {
            return false;
        }
        let before = self.superseded(id, link);
        if before.is_empty() {
            self.detach(id);
        }
        let local = link.takes_full_packets();
        let mut rtt = Rtt::default();
        if let Some(took) = new.took {
            rtt.sample(took, 0);
        }
        let path = PathProbe::new(now, link, new.relayed, new.session.has(Features::PATH_MTU));
        if let Some(at) = path.deadline() {
            self.timers.arm(Timer::Peer(id), at);
        }
        self.sessions.insert(new.session.id(), id);
        if !new.relayed {
            self.links.insert(link, id);
            self.graph.seed(now, self.config.node_id, id, link);
        }
        self.routes.set(now, id, link);
        let peer = Peer {
            session: new.session,
            link,
            relayed: new.relayed,
            detoured: false,
            streams: Streams::default(),
            control_sequence: 0,
            rtt,
            congestion: Congestion::new(local),
            blocked: VecDeque::new(),
            last_received: now,
            confirmed: false,
            last_beat: now,
            liveness: Liveness::Healthy,
            remote_static: new.remote_static,
            path,
            unsolicited: 0,
            beyond_window: 0,
            strange: 0,
            sealed_at_last: 0,
            outrun: false,
            redial: None,
            answered: None,
            before,
        };
        self.peers.insert(id, peer);
        self.out.stats.handshakes += 1;
        self.peer_event(id, PeerChange::Joined);
        if self.config.bus && self.started {
            self.send_heartbeat(id);
        }
        true
    }

    /// Ends a session: all tables forget the peer, each only what still belongs to it.
    pub(super) fn remove_peer(&mut self, id: u64) {
        let Some(link) = self.peers.get(&id).map(|peer| peer.link) else {
            return;
        };
        self.detach(id);
        self.peers.remove(&id);
        self.routes.remove_via(id, link);
        self.graph.remove(id);
        self.peer_event(id, PeerChange::Left);
    }

    pub(super) fn detach(&mut self, id: u64) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let link = peer.link;
        for session in peer.before.iter().chain([&peer.session]) {
            if self.sessions.get(&session.id()) == Some(&id) {
                self.sessions.remove(&session.id());
            }
        }
        if self.links.get(&link) == Some(&id) {
            self.links.remove(&link);
        }
        let of_peer = |key: &(u64, u64)| key.0 != id;
        self.owed.retain(of_peer);
        self.withheld.retain(of_peer);
        self.timers.cancel(Timer::Peer(id));
    }
}
