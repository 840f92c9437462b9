//! Relaying: a packet for another node goes on to the next hop, its content unseen.

use super::transmit::Flow;
use super::{Engine, Link};
use crate::packet::{RouteHeader, ROUTE_LEN};
use std::collections::{BTreeMap, VecDeque};

/// Packets that may wait per source.
const PER_SOURCE: usize = 1024;
/// Sources whose empty queues are kept for the next packet.
const MAX_SOURCES: usize = 256;
/// Packets that may wait in all.
const IN_ALL: usize = 8192;

/// Packets to relay, by the link they came from.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    queues: BTreeMap<Link, VecDeque<(Link, Vec<u8>)>>,
    waiting: usize,
}

impl Forwards {
    /// Next packet that came from `source`, and whether there are more.
    pub fn pop(&mut self, source: Link) -> Option<(Link, Vec<u8>, bool)> {
        let queue = self.queues.get_mut(&source)?;
        let (link, bytes) = queue.pop_front()?;
        let more = !queue.is_empty();
        if !more && self.queues.len() > MAX_SOURCES {
            self.queues.remove(&source);
        }
        self.waiting -= 1;
        Some((link, bytes, more))
    }

    fn has_room(&self, source: Link) -> bool {
        self.waiting < IN_ALL
            && self
                .queues
                .get(&source)
                .is_none_or(|queue| queue.len() < PER_SOURCE)
    }

    /// Returns whether the source has to be put in the transmit order.
    fn push(&mut self, source: Link, link: Link, bytes: Vec<u8>) -> bool {
        let queue = self.queues.entry(source).or_default();
        queue.push_back((link, bytes));
        self.waiting += 1;
        queue.len() == 1
    }
}

impl Engine {
    /// Relays a datagram with a routing header for another node.
    pub(super) fn forward(&mut self, source: Link, route: RouteHeader, bytes: &[u8]) {
        if !self.started {
            return;
        }
        let Some(onward) = route.forwarded() else {
            self.out.stats.forward_ttl += 1;
            return;
        };
        let Some(link) = self.routes.lookup(self.now, route.dest) else {
            self.out.stats.forward_no_route += 1;
            return;
        };
        if self.blocked.contains(&link) {
            self.out.stats.filtered += 1;
            return;
        }
        if link == source || route.src == self.config.node_id as u32 {
            self.out.stats.forward_loop += 1;
            return;
        }
        let stranger = !self.links.contains_key(&source) && !self.guard.admit_stranger(self.now);
        if stranger || !self.forwards.has_room(source) {
            self.out.stats.forward_full += 1;
            return;
        }
        let mut out = self.out.buffer();
        out.extend_from_slice(&onward.encode());
        out.extend_from_slice(&bytes[ROUTE_LEN..]);
        if self.forwards.push(source, link, out) {
            self.flows.push_back(Flow::Forward(source));
        }
        self.out.stats.forwarded += 1;
    }
}
