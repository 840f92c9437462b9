//! What strangers may cost: token buckets for handshakes, by source and in all.

use crate::engine::Link;
use std::collections::BTreeMap;

/// Handshake messages per source and second.
pub const PER_SOURCE: u32 = 5;
/// Handshake messages per host and second: ports are free to choose.
pub const PER_HOST: u32 = 100;
/// Handshake messages per second from all.
pub const IN_ALL: u32 = 1000;
/// Pingwaves per direct peer and second.
pub const PINGWAVES: u32 = 2000;
/// Packets relayed per second for addresses that belong to no peer.
pub const FOR_STRANGERS: u32 = 1000;
/// Sources remembered.
const MAX_SOURCES: usize = 4096;
const SECOND: u64 = 1_000_000;

/// A bucket which holds one second's worth.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Microtokens.
    level: u64,
    at: u64,
}

impl Bucket {
    fn full(now: u64, rate: u32) -> Self {
        Self {
            level: u64::from(rate) * SECOND,
            at: now,
        }
    }

    fn refill(&mut self, now: u64, rate: u32) -> bool {
        let cap = u64::from(rate) * SECOND;
        let gained = now.saturating_sub(self.at).min(SECOND) * u64::from(rate);
        self.level = (self.level + gained).min(cap);
        self.at = self.at.max(now);
        self.level >= SECOND
    }

    fn take(&mut self, now: u64, rate: u32) -> bool {
        let enough = self.refill(now, rate);
        if enough {
            self.level -= SECOND;
        }
        enough
    }
}

/// A bucket for each source.
#[derive(Debug, Default)]
struct Sources {
    buckets: BTreeMap<Link, Bucket>,
    /// When old ones may be looked for again: a flood of new sources must not have the whole table searched for each.
    sweeps_at: u64,
}

impl Sources {
    fn take(&mut self, now: u64, key: Link, rate: u32) -> bool {
        let full = |buckets: &BTreeMap<Link, Bucket>| buckets.len() >= MAX_SOURCES;
        if full(&self.buckets) && !self.buckets.contains_key(&key) {
            if now >= self.sweeps_at {
                self.sweeps_at = now + SECOND / 4;
                self.buckets
                    .retain(|_, bucket| now.saturating_sub(bucket.at) < SECOND);
            }
            if full(&self.buckets) {
                // The table is full of live sources: only the common limit is left to protect this node.
                return true;
            }
        }
        self.buckets
            .entry(key)
            .or_insert_with(|| Bucket::full(now, rate))
            .take(now, rate)
    }
}

/// Limits handshakes, pingwaves, and relaying for strangers.
#[derive(Debug)]
pub struct Guard {
    sources: Sources,
    hosts: Sources,
    all: Bucket,
    pingwaves: Sources,
    strangers: Bucket,
}

impl Guard {
    /// Full buckets.
    pub fn new(now: u64) -> Self {
        Self {
            sources: Sources::default(),
            hosts: Sources::default(),
            all: Bucket::full(now, IN_ALL),
            pingwaves: Sources::default(),
            strangers: Bucket::full(now, FOR_STRANGERS),
        }
    }

    /// Whether a pingwave of a direct peer may be worked on.
    pub fn admit_pingwave(&mut self, now: u64, link: Link) -> bool {
        self.pingwaves.take(now, link, PINGWAVES)
    }

    /// Whether a packet from an unknown address may be relayed.
    pub fn admit_stranger(&mut self, now: u64) -> bool {
        self.strangers.take(now, FOR_STRANGERS)
    }

    /// Whether a handshake message from `link` may be worked on.
    pub fn admit_handshake(&mut self, now: u64, link: Link) -> bool {
        // The common limit first: beyond it a message costs nothing more.
        self.all.refill(now, IN_ALL)
            && self.sources.take(now, link, PER_SOURCE)
            && self.hosts.take(now, link.host(), PER_HOST)
            && self.all.take(now, IN_ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_per_source_and_second() {
        let mut guard = Guard::new(0);
        let link = Link::Channel(1);
        assert_eq!((0..20).filter(|_| guard.admit_handshake(0, link)).count(), 5);
        assert!(guard.admit_handshake(0, Link::Channel(2)));
        assert!(!guard.admit_handshake(100_000, link));
        assert!(guard.admit_handshake(200_000, link));
    }

    #[test]
    fn a_flood_from_many_sources_is_bounded_in_work_and_memory() {
        let mut guard = Guard::new(0);
        let admitted = (0..200_000)
            .filter(|source| guard.admit_handshake(1, Link::Channel(*source)))
            .count();
        assert!(admitted <= IN_ALL as usize);
        assert!(guard.sources.buckets.len() <= MAX_SOURCES && guard.hosts.buckets.len() <= MAX_SOURCES);
    }

    /// Pingwaves have no common limit: four looks at the whole table a second, however many new sources come.
    #[test]
    fn a_full_table_is_not_searched_for_each_new_source() {
        let mut guard = Guard::new(0);
        let (mut searches, mut next) = (0, 0);
        for source in 0..100_000 {
            assert!(guard.admit_pingwave(10 * source, Link::Channel(source)));
            searches += u32::from(guard.pingwaves.sweeps_at != next);
            next = guard.pingwaves.sweeps_at;
        }
        assert!((1..=4).contains(&searches), "{searches}");
        assert!(guard.admit_pingwave(3 * SECOND, Link::Channel(u64::MAX)));
        assert_eq!(guard.pingwaves.buckets.len(), 1, "old sources make room");
    }

    #[test]
    fn ports_of_one_host_share_a_limit() {
        let mut guard = Guard::new(0);
        let admitted = (1..2000)
            .filter(|port| guard.admit_handshake(0, Link::Udp(([10, 0, 0, 1], *port).into())))
            .count();
        assert_eq!(admitted, PER_HOST as usize);
    }
}
