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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::engine::Config;
    use crate::noise::SessionSecrets;

    #[test]
    fn a_session_id_that_another_live_peer_has_is_refused_and_nothing_changes() {
        let config = Config::new(1, Key::from([0x42; 32]), Key::from([1; 32]));
        let mut engine = Engine::new(config, [1; 32], 0);
        let new = |peer, session_id| Established {
            peer,
            session: Session::new(
                &SessionSecrets {
                    session_id,
                    send: Key::from([peer as u8; 32]),
                    receive: Key::from([9; 32]),
                },
                None,
            ),
            link: Link::Channel(peer),
            relayed: false,
            remote_static: None,
            took: None,
        };
        assert!(engine.establish(new(2, 77)) && engine.establish(new(3, 78)));
        for peer in [3, 4] {
            assert!(!engine.establish(new(peer, 77)));
        }
        assert_eq!(engine.peer(3).map(|peer| peer.session_id), Some(78));
        assert_eq!((engine.peer_count(), engine.tables().sessions), (2, 2));
        assert_eq!(engine.route(4), None);
        // The owner itself may, as may another one after it has gone.
        assert!(engine.establish(new(2, 77)));
        engine.remove_peer(2);
        assert!(engine.establish(new(4, 77)));
        assert_eq!(engine.sessions.get(&77), Some(&4));
    }
}
