//! Whose sessions run over this relay: 0.19.0 sends streams, publishes, grants and heartbeats toward a relayed peer to the relay's
//! address without a routing header, and only the session id in them says where they belong (21 §14.3).

use crate::engine::Link;
use std::collections::{BTreeMap, VecDeque};

/// Sessions remembered; the first noted goes first.
pub const MAX_SESSIONS: usize = 4096;
/// Sessions of which one end was seen.
const MAX_HALF: usize = 1024;
/// Links whose relayed handshakes are remembered, and how many of each.
const MAX_CALLERS: usize = 1024;
const MAX_CALLS: usize = 16;
/// Without a packet for so long a session is forgotten. Microseconds.
pub const FORGET_AFTER: u64 = 300_000_000;
/// An end that was not heard for so long may turn up at another link. Microseconds.
const MOVES_AFTER: u64 = 30_000_000;

/// The two links between which a session's packets travel.
#[derive(Clone, Copy, Debug)]
struct Ends {
    links: [Link; 2],
    heard: [u64; 2],
    /// The second end is concluded from a handshake only.
    guessed: bool,
}

/// Session id → ends, learned from what passes. Everything in it is bounded, and nothing in it is secret or trusted: a wrong entry
/// sends a packet to a node that can't open it.
#[derive(Debug, Default)]
pub struct RelayedSessions {
    sessions: BTreeMap<u64, Ends>,
    order: VecDeque<u64>,
    half: BTreeMap<u64, (Link, u64)>,
    /// Links to which handshakes of a link were relayed, and when.
    calls: BTreeMap<Link, Vec<(Link, u64)>>,
}

impl RelayedSessions {
    /// A handshake message was relayed.
    pub fn handshake(&mut self, now: u64, from: Link, to: Link) {
        if self.calls.len() >= MAX_CALLERS && !self.calls.contains_key(&from) {
            return;
        }
        let calls = self.calls.entry(from).or_default();
        calls.retain(|(known, _)| *known != to);
        if calls.len() >= MAX_CALLS {
            calls.remove(0);
        }
        calls.push((to, now));
    }

    /// A packet with a routing header was relayed.
    pub fn routed(&mut self, now: u64, session: u64, from: Link, to: Link) {
        match self.sessions.get_mut(&session) {
            Some(ends) => {
                if let Some(own) = ends.links.iter().position(|link| *link == from) {
                    ends.heard[own] = now;
                    if ends.guessed || now.saturating_sub(ends.heard[1 - own]) >= MOVES_AFTER {
                        ends.links[1 - own] = to;
                        ends.guessed = false;
                    }
                }
            }
            None => self.insert(now, session, from, to, false),
        }
    }

    /// A packet of a session that is not this node's came from a neighbour: where it belongs.
    pub fn direct(&mut self, now: u64, session: u64, from: Link) -> Option<Link> {
        if let Some(ends) = self.sessions.get_mut(&session) {
            let own = match ends.links.iter().position(|link| *link == from) {
                Some(own) => own,
                None if ends.guessed => 1,
                None => (0..2).find(|end| now.saturating_sub(ends.heard[*end]) >= MOVES_AFTER)?,
            };
            ends.guessed &= own == 0;
            ends.links[own] = from;
            ends.heard[own] = now;
            return Some(ends.links[1 - own]);
        }
        if let Some((other, _)) = self.half.get(&session).filter(|(link, _)| *link != from).copied() {
            self.half.remove(&session);
            self.insert(now, session, other, from, false);
            return Some(other);
        }
        if let Some(to) = self.only_partner(from) {
            self.insert(now, session, from, to, true);
            return Some(to);
        }
        if self.half.len() >= MAX_HALF {
            self.half.pop_first();
        }
        self.half.insert(session, (from, now));
        None
    }

    /// The only link with which handshakes were exchanged in both directions, and whose session is not known yet.
    fn only_partner(&self, from: Link) -> Option<Link> {
        let called = |a: Link, b: Link| {
            self.calls
                .get(&a)
                .is_some_and(|calls| calls.iter().any(|(to, _)| *to == b))
        };
        let calls = self.calls.get(&from)?;
        let mut partners = calls.iter().map(|(to, _)| *to).filter(|to| called(*to, from));
        let first = partners.next()?;
        partners.next().is_none().then_some(first)
    }

    fn insert(&mut self, now: u64, session: u64, from: Link, to: Link, guessed: bool) {
        if from == to {
            return;
        }
        if self.sessions.len() >= MAX_SESSIONS {
            if let Some(oldest) = self.order.pop_front() {
                self.sessions.remove(&oldest);
            }
        }
        let ends = Ends {
            links: [from, to],
            heard: [now, now],
            guessed,
        };
        if self.sessions.insert(session, ends).is_none() {
            self.order.push_back(session);
        }
        self.half.remove(&session);
        // The handshake between the two has its session: a later one of either end is another's.
        for (a, b) in [(from, to), (to, from)] {
            if let Some(calls) = self.calls.get_mut(&a) {
                calls.retain(|(known, _)| *known != b);
            }
        }
    }

    /// Forgets what is old.
    pub fn sweep(&mut self, now: u64) {
        let fresh = |at: u64| now.saturating_sub(at) < FORGET_AFTER;
        self.sessions
            .retain(|_, ends| ends.heard.iter().any(|at| fresh(*at)));
        let sessions = &self.sessions;
        self.order.retain(|session| sessions.contains_key(session));
        self.half.retain(|_, (_, at)| fresh(*at));
        self.calls.retain(|_, calls| {
            calls.retain(|(_, at)| fresh(*at));
            !calls.is_empty()
        });
    }

    /// Sessions known.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Link = Link::Channel(1);
    const B: Link = Link::Channel(2);
    const C: Link = Link::Channel(3);

    #[test]
    fn a_routed_packet_shows_both_ends() {
        let mut table = RelayedSessions::default();
        assert_eq!(table.direct(0, 7, B), None);
        table.routed(0, 7, A, B);
        assert_eq!(table.direct(1, 7, B), Some(A));
        assert_eq!(table.direct(1, 7, A), Some(B));
        assert_eq!(table.direct(1, 7, C), None, "a third party takes nothing over");
        assert_eq!(table.direct(1, 8, A), None);
    }

    #[test]
    fn a_handshake_shows_the_other_end_when_there_is_only_one() {
        let mut table = RelayedSessions::default();
        table.handshake(0, A, B);
        assert_eq!(table.direct(1, 7, A), None, "not answered");
        table.handshake(2, B, A);
        assert_eq!(table.direct(3, 8, A), Some(B));
        // The first session has its handshake; a second one is told apart.
        table.handshake(4, A, C);
        table.handshake(4, C, A);
        assert_eq!(table.direct(5, 9, A), Some(C));
        assert_eq!(table.direct(5, 8, B), Some(A));
    }

    #[test]
    fn of_two_partners_the_one_that_uses_the_session_is_found() {
        let mut table = RelayedSessions::default();
        for (from, to) in [(A, B), (B, A), (A, C), (C, A)] {
            table.handshake(0, from, to);
        }
        assert_eq!(table.direct(1, 7, A), None);
        assert_eq!(table.direct(2, 7, C), Some(A));
        assert_eq!(table.direct(3, 7, A), Some(C));
        // Only the handshake with B is left without session, so a wrong guess is possible, and corrected by the right end.
        assert_eq!(table.direct(4, 8, A), Some(B));
        assert_eq!(table.direct(5, 8, C), Some(A));
        assert_eq!(table.direct(6, 8, A), Some(C));
    }

    #[test]
    fn a_moved_end_is_followed_when_the_old_place_is_silent() {
        let mut table = RelayedSessions::default();
        table.routed(0, 7, A, B);
        table.direct(MOVES_AFTER - 1, 7, A);
        assert_eq!(table.direct(MOVES_AFTER, 7, C), Some(A));
        assert_eq!(table.direct(MOVES_AFTER, 7, A), Some(C));
        assert_eq!(table.direct(MOVES_AFTER, 7, B), None);
    }

    #[test]
    fn memory_is_bounded_and_old_entries_go() {
        let mut table = RelayedSessions::default();
        for n in 0..3 * MAX_SESSIONS as u64 {
            table.routed(1, n, A, Link::Channel(n + 10));
            table.direct(1, u64::MAX - n, Link::Channel(n));
            table.handshake(1, Link::Channel(n % 5000), Link::Channel(n));
        }
        assert_eq!((table.len(), table.order.len()), (MAX_SESSIONS, MAX_SESSIONS));
        assert!(table.half.len() <= MAX_HALF && table.calls.len() <= MAX_CALLERS);
        assert!(table.calls.values().all(|calls| calls.len() <= MAX_CALLS));
        table.sweep(1 + FORGET_AFTER);
        assert!(
            table.is_empty() && table.order.is_empty() && table.half.is_empty() && table.calls.is_empty()
        );
    }
}
