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

    fn take(&mut self, now: u64, rate: u32) -> bool {
        let cap = u64::from(rate) * SECOND;
        let gained = now.saturating_sub(self.at).min(SECOND) * u64::from(rate);
        self.level = (self.level + gained).min(cap);
        self.at = self.at.max(now);
        let enough = self.level >= SECOND;
        if enough {
            self.level -= SECOND;
        }
        enough
    }
}

/// Limits handshakes, pingwaves, and relaying for strangers.
#[derive(Debug)]
pub struct Guard {
    sources: BTreeMap<Link, Bucket>,
    hosts: BTreeMap<Link, Bucket>,
    all: Bucket,
    pingwaves: BTreeMap<Link, Bucket>,
    strangers: Bucket,
}

impl Guard {
    /// Full buckets.
    pub fn new(now: u64) -> Self {
        Self {
            sources: BTreeMap::new(),
            hosts: BTreeMap::new(),
            all: Bucket::full(now, IN_ALL),
            pingwaves: BTreeMap::new(),
            strangers: Bucket::full(now, FOR_STRANGERS),
        }
    }

    /// Whether a pingwave of a direct peer may be worked on.
    pub fn admit_pingwave(&mut self, now: u64, link: Link) -> bool {
        take(&mut self.pingwaves, now, link, PINGWAVES)
    }

    /// Whether a packet from an unknown address may be relayed.
    pub fn admit_stranger(&mut self, now: u64) -> bool {
        self.strangers.take(now, FOR_STRANGERS)
    }

    /// Whether a handshake message from `link` may be worked on.
    pub fn admit_handshake(&mut self, now: u64, link: Link) -> bool {
        take(&mut self.sources, now, link, PER_SOURCE)
            && take(&mut self.hosts, now, link.host(), PER_HOST)
            && self.all.take(now, IN_ALL)
    }
}

fn take(buckets: &mut BTreeMap<Link, Bucket>, now: u64, key: Link, rate: u32) -> bool {
    if buckets.len() >= MAX_SOURCES && !buckets.contains_key(&key) {
        buckets.retain(|_, bucket| now.saturating_sub(bucket.at) < SECOND);
        if buckets.len() >= MAX_SOURCES {
            // The table is full of live sources: only the common limit is left to protect this node.
            return true;
        }
    }
    buckets
        .entry(key)
        .or_insert_with(|| Bucket::full(now, rate))
        .take(now, rate)
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
        assert!(guard.sources.len() <= MAX_SOURCES && guard.hosts.len() <= MAX_SOURCES);
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
