//! Address changes and packet size of a path, between our nodes.

use super::Link;
use crate::packet::{MAX_PACKET, ROUTE_LEN};

/// Packet size which every path takes.
pub const SAFE_MTU: usize = 1200;
/// Sizes tried, smallest first.
const SIZES: [u16; 4] = [1400, 1452, 4000, MAX_PACKET as u16];
/// Attempts per size.
const TRIES: u32 = 3;
/// Between rounds of probing. Microseconds.
const ROUND: u64 = 600_000_000;
/// A challenge is valid for so long. Microseconds.
const CHALLENGE_TTL: u64 = 3_000_000;
/// A challenge is said again after so long, while packets come from its address. Microseconds.
const CHALLENGE_AGAIN: u64 = 250_000;

/// Probing state of one path.
#[derive(Debug)]
pub(super) struct PathProbe {
    mtu: usize,
    size: usize,
    tries: u32,
    next_at: Option<u64>,
    challenge: Option<Challenge>,
}

/// An address that is being verified.
#[derive(Clone, Copy, Debug)]
struct Challenge {
    link: Link,
    token: u64,
    until: u64,
    /// When it may be said again.
    again_at: u64,
}

impl PathProbe {
    /// `probing`: the other end answers probes.
    pub fn new(now: u64, link: Link, relayed: bool, probing: bool) -> Self {
        let full = link.takes_full_packets() && !relayed;
        Self {
            mtu: if link.takes_full_packets() {
                MAX_PACKET
            } else {
                SAFE_MTU
            },
            size: 0,
            tries: 0,
            next_at: (probing && !full && !relayed && !link.takes_full_packets()).then_some(now + 100_000),
            challenge: None,
        }
    }

    /// Largest datagram without routing header.
    pub fn mtu(&self, relayed: bool) -> usize {
        if relayed && self.mtu < MAX_PACKET {
            self.mtu - ROUTE_LEN
        } else {
            self.mtu
        }
    }

    /// When the next probe is due.
    pub fn deadline(&self) -> Option<u64> {
        self.next_at
    }

    /// The size to probe now, if any.
    pub fn probe(&mut self, now: u64, timeout: u64) -> Option<u16> {
        if self.next_at.is_none_or(|at| at > now) {
            return None;
        }
        if self.tries >= TRIES || self.size >= SIZES.len() {
            // This size does not pass, or all did: look again later.
            (self.size, self.tries) = (0, 0);
            self.next_at = Some(now + ROUND);
            return None;
        }
        self.tries += 1;
        self.next_at = Some(now + timeout);
        Some(SIZES[self.size])
    }

    /// A probe of that size arrived at the other end.
    pub fn acknowledged(&mut self, now: u64, size: u16) {
        if self.next_at.is_some() && SIZES.contains(&size) && usize::from(size) > self.mtu {
            self.mtu = size.into();
        }
        if let Some(index) = SIZES
            .iter()
            .position(|s| *s == size)
            .filter(|index| *index == self.size)
        {
            (self.size, self.tries) = (index + 1, 0);
            self.next_at = Some(now);
        }
    }

    /// Large packets seem to vanish: back to the safe size.
    pub fn shrink(&mut self, now: u64) {
        if self.next_at.is_some() && self.mtu > SAFE_MTU {
            self.mtu = SAFE_MTU;
            (self.size, self.tries) = (0, 0);
            self.next_at = Some(now + ROUND / 10);
        }
    }

    /// A packet came from a new address: the token to challenge it with, `fresh` or that of the challenge under way there,
    /// which may have been lost. None while another address is verified, and right after a challenge.
    pub fn challenge(&mut self, now: u64, link: Link, fresh: u64) -> Option<u64> {
        match &self.challenge {
            Some(at) if at.link == link && at.until > now && at.again_at > now => None,
            _ => self.challenge_for(now, link, fresh),
        }
    }

    /// The token for a challenge at an address: of the one under way there, or `fresh`; none while another address is verified.
    pub fn challenge_for(&mut self, now: u64, link: Link, fresh: u64) -> Option<u64> {
        let (token, until) = match &self.challenge {
            Some(at) if at.until > now && at.link != link => return None,
            Some(at) if at.until > now => (at.token, at.until),
            _ => (fresh, now + CHALLENGE_TTL),
        };
        self.challenge = Some(Challenge {
            link,
            token,
            until,
            again_at: now + CHALLENGE_AGAIN,
        });
        Some(token)
    }

    /// Whether this answers the challenge from the address it was sent to.
    pub fn answered(&mut self, now: u64, link: Link, token: u64) -> bool {
        let right = self
            .challenge
            .is_some_and(|c| c.link == link && c.token == token && c.until > now);
        if right {
            self.challenge = None;
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Link = Link::Udp(std::net::SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        1,
    ));

    #[test]
    fn grows_with_each_size_that_passes_and_stops_at_the_first_that_does_not() {
        let mut probe = PathProbe::new(0, FAR, false, true);
        assert_eq!(probe.mtu(false), SAFE_MTU);
        let (mut now, mut passed) = (0, 0);
        while let Some(at) = probe.deadline().filter(|at| *at < ROUND) {
            now = at;
            if let Some(size) = probe.probe(now, 1000) {
                if size <= 1452 {
                    probe.acknowledged(now, size);
                    passed += 1;
                }
            }
        }
        assert_eq!((probe.mtu(false), passed), (1452, 2));
        probe.shrink(now);
        assert_eq!(probe.mtu(true), SAFE_MTU - ROUTE_LEN);
    }

    #[test]
    fn only_the_asked_address_answers_a_challenge() {
        let mut probe = PathProbe::new(0, FAR, false, true);
        assert_eq!(probe.challenge(0, Link::Channel(1), 7), Some(7));
        assert_eq!(probe.challenge(1, Link::Channel(2), 8), None);
        // It is said again when it may have been lost, but not to every packet.
        assert_eq!(probe.challenge(1, Link::Channel(1), 8), None);
        assert_eq!(probe.challenge(CHALLENGE_AGAIN, Link::Channel(1), 8), Some(7));
        assert_eq!(probe.challenge_for(1, Link::Channel(1), 9), Some(7));
        assert_eq!(probe.challenge_for(1, Link::Channel(2), 9), None);
        assert!(!probe.answered(1, Link::Channel(2), 7));
        assert!(!probe.answered(1, Link::Channel(1), 8));
        assert!(probe.answered(1, Link::Channel(1), 7));
        assert!(!probe.answered(1, Link::Channel(1), 7));
    }
}
