//! Holes in NATs: keep-alive datagrams, and the move of a session to a path that was opened (33 A3, A5).

use super::{Engine, Event, Link};
use crate::packet::control::Control;
use crate::packet::{Features, KeepAlive};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Keep-alives awaited at a time.
const MAX_EXPECTED: usize = 64;

/// Who should be heard from which address.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeMap<SocketAddr, u64>);

impl Engine {
    /// Sends one keep-alive.
    pub fn send_keep_alive(&mut self, now: u64, to: Link) {
        self.advance(now);
        if self.closed || self.blocked.contains(&to) {
            return;
        }
        let beat = KeepAlive {
            sender: self.config.node_id,
            punch_id: 0,
        };
        let mut bytes = self.out.buffer();
        bytes.extend_from_slice(&beat.encode());
        self.out.urgent(to, bytes);
    }

    /// The next keep-alive of that node from that address becomes an [`Event::KeepAlive`]; all others are dropped, since
    /// anybody can send them. `None` = none is awaited any longer. False when too many are awaited.
    pub fn expect_keep_alive(&mut self, from: SocketAddr, sender: Option<u64>) -> bool {
        let Some(sender) = sender else {
            self.expected.0.remove(&from);
            return true;
        };
        if self.expected.0.len() >= MAX_EXPECTED && !self.expected.0.contains_key(&from) {
            return false;
        }
        self.expected.0.insert(from, sender);
        true
    }

    pub(super) fn on_keep_alive(&mut self, link: Link, beat: &KeepAlive) {
        match link {
            Link::Udp(from) if self.expected.0.get(&from) == Some(&beat.sender) => {
                self.expected.0.remove(&from);
                let sender = beat.sender;
                self.out.event(Event::KeepAlive { from, sender });
            }
            _ => self.out.stats.keep_alives_dropped += 1,
        }
    }

    /// Challenges a peer at an address. When it answers from there, the session moves to that path
    /// ([`PeerChange::Moved`](super::PeerChange::Moved)); the peer verifies and moves likewise. To be repeated, since either
    /// datagram can be lost. False when the peer does not speak the extension.
    pub fn try_path(&mut self, now: u64, peer: u64, link: Link) -> bool {
        self.advance(now);
        let (now, fresh) = (self.now, self.entropy.u64());
        let Some(known) = self.peers.get_mut(&peer) else {
            return false;
        };
        if !known.session.has(Features::MIGRATION) {
            return false;
        }
        if let Some(token) = known.path.challenge_for(now, link, fresh) {
            self.send_control(peer, Some(link), &Control::PathChallenge(token), 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::engine::Config;

    fn node(id: u64) -> Engine {
        let config = Config::new(id, Key::from([0x42; 32]), Key::from([id as u8; 32]));
        Engine::new(config, [7; 32], 0)
    }

    #[test]
    fn a_keep_alive_counts_once_and_only_from_whom_it_is_awaited() {
        let (mut a, mut b) = (node(1), node(2));
        let [at_a, other] = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        a.send_keep_alive(0, Link::Udp(other));
        let beat = a.poll_transmit(0).expect("a datagram").bytes;
        assert_eq!(beat.len(), 14);
        let hear = |engine: &mut Engine, from| engine.handle_datagram(0, Link::Udp(from), &mut beat.clone());
        hear(&mut b, at_a);
        assert!(b.expect_keep_alive(at_a, Some(3)));
        hear(&mut b, at_a);
        assert!(b.expect_keep_alive(at_a, Some(1)));
        hear(&mut b, other);
        assert_eq!(b.poll_event(), None);
        for _ in 0..2 {
            hear(&mut b, at_a);
        }
        let told = Event::KeepAlive {
            from: at_a,
            sender: 1,
        };
        assert_eq!((b.poll_event(), b.poll_event()), (Some(told), None));
        assert_eq!(b.stats().keep_alives_dropped, 4);
        assert!(b.expect_keep_alive(at_a, Some(1)) && b.expect_keep_alive(at_a, None));
        hear(&mut b, at_a);
        assert_eq!(b.poll_event(), None);
    }

    #[test]
    fn only_so_many_are_awaited() {
        let mut b = node(2);
        for port in 0..MAX_EXPECTED as u16 {
            assert!(b.expect_keep_alive(SocketAddr::from(([10, 0, 0, 1], port)), Some(1)));
        }
        let more = SocketAddr::from(([10, 0, 0, 2], 0));
        assert!(!b.expect_keep_alive(more, Some(1)));
        assert!(b.expect_keep_alive(SocketAddr::from(([10, 0, 0, 1], 0)), None));
        assert!(b.expect_keep_alive(more, Some(1)));
    }
}
