//! Relaying: a packet for another node goes on to the next hop, its content unseen.

use super::transmit::Flow;
use super::{Engine, Link};
use crate::packet::{flags, Header, RouteHeader, HEADER_LEN, ROUTE_LEN};
use std::collections::{BTreeMap, VecDeque};

/// Relays that a packet without routing header may pass.
const MAX_HOPS: u8 = 16;
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

    /// Packets that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
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
        let inner = &bytes[ROUTE_LEN..];
        self.note_session(source, link, inner);
        let Some(counts) = self.pass(route.dest, inner) else {
            return;
        };
        let mut out = self.out.buffer();
        out.extend_from_slice(&onward.encode());
        out.extend_from_slice(inner);
        if counts {
            Header::count_hop(&mut out[ROUTE_LEN..]);
        }
        self.push_forward(source, link, out);
    }

    fn push_forward(&mut self, source: Link, link: Link, bytes: Vec<u8>) {
        if self.forwards.push(source, link, bytes) {
            self.flows.push_back(Flow::Forward(source));
        }
        self.out.stats.forwarded += 1;
    }

    /// Remembers whose session a relayed packet belongs to. Only neighbours with a session count, at either end.
    fn note_session(&mut self, source: Link, link: Link, packet: &[u8]) {
        let Ok(header) = Header::decode(packet) else {
            return;
        };
        if !self.links.contains_key(&source) || !self.links.contains_key(&link) {
            return;
        }
        if header.flags & flags::HANDSHAKE != 0 {
            self.relayed.handshake(self.now, source, link);
        } else {
            self.relayed.routed(self.now, header.session_id, source, link);
        }
    }

    /// A packet without routing header belongs to none of our sessions. 0.19.0 sends such to its relay: it goes on to the session's
    /// other end as it is, which finds the session by its id. Returns whether the packet was one of these.
    pub(super) fn forward_unrouted(&mut self, source: Link, header: &Header, packet: &[u8]) -> bool {
        if !self.started || self.config.bus || !self.links.contains_key(&source) {
            return false;
        }
        let Some(link) = self.relayed.direct(self.now, header.session_id, source) else {
            return false;
        };
        let Some(dest) = self.links.get(&link).copied() else {
            return false;
        };
        if self.blocked.contains(&link) {
            self.out.stats.filtered += 1;
        } else if header.hop_count >= MAX_HOPS {
            self.out.stats.forward_ttl += 1;
        } else if !self.forwards.has_room(source) {
            self.out.stats.forward_full += 1;
        } else if self.pass(dest, packet).is_some() {
            let mut out = self.out.buffer();
            // The hop count is the one byte of a header that a relay may change.
            let onward = Header {
                hop_count: header.hop_count + 1,
                ..*header
            };
            let mut head = [0; HEADER_LEN];
            onward.encode(&mut head);
            out.extend_from_slice(&head);
            out.extend_from_slice(&packet[HEADER_LEN..]);
            self.push_forward(source, link, out);
        }
        true
    }
}
