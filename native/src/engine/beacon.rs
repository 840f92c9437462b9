//! Pingwaves: sending our own, taking in and passing on those of others (21 §5).

use super::{Engine, Link};
use crate::packet::Pingwave;

/// Forwards of an own pingwave.
const TTL: u8 = 3;
/// Hops from which on a pingwave is ignored.
const MAX_HOPS: u8 = 16;

impl Engine {
    fn wall(&self) -> u64 {
        self.wall_offset.saturating_add(self.now)
    }

    fn send_pingwave(&mut self, link: Link, wave: &Pingwave) {
        let mut bytes = self.out.buffer();
        bytes.extend_from_slice(&wave.encode());
        self.out.urgent(link, bytes);
    }

    /// Sends an own pingwave to each direct peer, the same for all.
    pub(super) fn beacon(&mut self) {
        self.pingwave_seq += 1;
        let wave = Pingwave {
            origin: self.config.node_id,
            seq: self.pingwave_seq,
            ttl: TTL,
            timestamp_us: self.wall(),
            ..Pingwave::default()
        };
        let links: Vec<Link> = self.links.keys().copied().collect();
        for link in links {
            self.send_pingwave(link, &wave);
        }
    }

    pub(super) fn on_pingwave(&mut self, link: Link, wave: &Pingwave) {
        let from = self.links.get(&link).copied();
        let own = self.config.node_id;
        let (Some(from), true, true) = (from, wave.origin != own, wave.hop_count < MAX_HOPS) else {
            self.out.stats.pingwaves_dropped += 1;
            return;
        };
        if !self.guard.admit_pingwave(self.now, link) {
            self.out.stats.pingwaves_dropped += 1;
            return;
        }
        self.routes
            .learn(self.now, wave.origin, link, u16::from(wave.hop_count) + 2);
        if !self.graph.hear(self.now, self.wall(), own, from, link, wave) {
            return;
        }
        let Some(onward) = wave.forwarded() else {
            return;
        };
        let next_hop = self.routes.lookup(self.now, wave.origin);
        let links: Vec<Link> = self
            .links
            .keys()
            .copied()
            .filter(|to| *to != link && Some(*to) != next_hop && !self.blocked.contains(to))
            .collect();
        for to in links {
            self.send_pingwave(to, &onward);
        }
    }
}
