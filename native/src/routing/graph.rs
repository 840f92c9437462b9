//! The proximity graph: what pingwaves tell.

use crate::engine::Link;
use crate::packet::{Health, Pingwave};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most nodes in the graph.
pub const MAX_GRAPH_NODES: usize = 65_536;
/// Most pingwaves remembered as seen.
pub const MAX_SEEN: usize = 262_144;
/// Most edges.
const MAX_EDGES: usize = 262_144;

/// A node that was heard of.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Hops from here.
    pub hops: u8,
    /// Over which link.
    pub link: Link,
    /// Microseconds from origin to here by both wall clocks; 0 if negative.
    pub latency_us: u64,
    /// Highest sequence.
    pub seq: u64,
    /// As the node said.
    pub load: u8,
    /// As the node said.
    pub health: Health,
    /// Monotonic microseconds.
    pub last_seen: u64,
}

/// Nodes and directed edges.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<u64, Heard>,
    edges: BTreeMap<(u64, u64), (u64, u64)>,
    seen: BTreeSet<(u64, u64)>,
    seen_order: VecDeque<(u64, (u64, u64))>,
}

impl Graph {
    /// Takes a pingwave in, which came from the direct peer `from`. Returns false when it was seen before.
    pub fn hear(&mut self, now: u64, wall_us: u64, own: u64, from: u64, link: Link, wave: &Pingwave) -> bool {
        let key = (wave.origin, wave.seq);
        if !self.seen.insert(key) {
            return false;
        }
        self.seen_order.push_back((now, key));
        if self.seen_order.len() > MAX_SEEN {
            if let Some((_, oldest)) = self.seen_order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
        let hops = wave.hop_count.saturating_add(1);
        let latency_us = wall_us.saturating_sub(wave.timestamp_us);
        let fresh = Heard {
            hops,
            link,
            latency_us,
            seq: wave.seq,
            load: wave.load,
            health: wave.health,
            last_seen: now,
        };
        let full = self.nodes.len() >= MAX_GRAPH_NODES;
        match self.nodes.get_mut(&wave.origin) {
            Some(node) => {
                if hops <= node.hops {
                    (node.hops, node.link, node.latency_us) = (hops, link, latency_us);
                }
                node.seq = node.seq.max(wave.seq);
                (node.load, node.health, node.last_seen) = (wave.load, wave.health, now);
            }
            None if full => {}
            None => {
                self.nodes.insert(wave.origin, fresh);
            }
        }
        self.edge(now, own, from, 0);
        if from != wave.origin {
            self.edge(now, from, wave.origin, latency_us);
        }
        true
    }

    /// Puts a direct peer in, as a handshake does.
    pub fn seed(&mut self, now: u64, own: u64, peer: u64, link: Link) {
        if self.nodes.len() < MAX_GRAPH_NODES || self.nodes.contains_key(&peer) {
            let node = self.nodes.entry(peer).or_insert(Heard {
                hops: 1,
                link,
                latency_us: 0,
                seq: 0,
                load: 0,
                health: Health::Healthy,
                last_seen: now,
            });
            (node.hops, node.link, node.last_seen) = (1, link, now);
        }
        self.edge(now, own, peer, 0);
    }

    fn edge(&mut self, now: u64, from: u64, to: u64, sample: u64) {
        if self.edges.len() >= MAX_EDGES && !self.edges.contains_key(&(from, to)) {
            return;
        }
        let edge = self.edges.entry((from, to)).or_insert((sample, now));
        edge.0 = edge.0 - edge.0 / 8 + sample / 8;
        edge.1 = now;
    }

    /// Forgets what was not heard of for too long. `keep` are direct peers.
    pub fn sweep(&mut self, now: u64, node_timeout: u64, dedup_timeout: u64, keep: &dyn Fn(u64) -> bool) {
        while let Some((at, key)) = self.seen_order.front().copied() {
            if now.saturating_sub(at) < dedup_timeout {
                break;
            }
            self.seen.remove(&key);
            self.seen_order.pop_front();
        }
        self.nodes
            .retain(|id, node| keep(*id) || now.saturating_sub(node.last_seen) < node_timeout);
        self.edges
            .retain(|_, edge| now.saturating_sub(edge.1) < node_timeout);
    }

    /// Removes a node.
    pub fn remove(&mut self, id: u64) {
        self.nodes.remove(&id);
    }

    /// Number of nodes, self not counted.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nobody was heard of.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Nodes by id.
    pub fn nodes(&self) -> impl Iterator<Item = (u64, &Heard)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// First hop of a shortest path that avoids `without`; only hops for which `usable` holds.
    pub fn first_hop(&self, own: u64, dest: u64, without: u64, usable: &dyn Fn(u64) -> bool) -> Option<u64> {
        let mut queue = VecDeque::new();
        let mut visited = BTreeSet::from([own, without]);
        let neighbours = |node: u64| {
            self.edges
                .range((node, 0)..=(node, u64::MAX))
                .map(|((_, to), _)| *to)
        };
        for hop in neighbours(own).filter(|hop| usable(*hop)) {
            if visited.insert(hop) {
                queue.push_back((hop, hop));
            }
        }
        while let Some((node, first)) = queue.pop_front() {
            if node == dest {
                return Some(first);
            }
            for next in neighbours(node) {
                if visited.insert(next) {
                    queue.push_back((next, first));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pingwave_counts_once_and_paths_are_found() {
        let mut graph = Graph::default();
        let wave = |origin, seq, hop_count| Pingwave {
            origin,
            seq,
            hop_count,
            ..Pingwave::default()
        };
        for peer in [2, 3] {
            graph.seed(0, 1, peer, Link::Channel(peer));
        }
        assert!(graph.hear(0, 0, 1, 2, Link::Channel(2), &wave(9, 1, 1)));
        assert!(!graph.hear(0, 0, 1, 3, Link::Channel(3), &wave(9, 1, 0)));
        assert!(graph.hear(0, 0, 1, 3, Link::Channel(3), &wave(9, 2, 0)));
        assert_eq!(graph.len(), 3);
        assert_eq!(graph.first_hop(1, 9, 2, &|_| true), Some(3));
        assert_eq!(graph.first_hop(1, 9, 3, &|_| true), Some(2));
        assert_eq!(graph.first_hop(1, 9, 3, &|hop| hop != 2), None);
        graph.sweep(100, 50, 50, &|id| id == 2);
        assert_eq!(graph.nodes().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
        assert!(
            graph.hear(100, 0, 1, 2, Link::Channel(2), &wave(9, 1, 1)),
            "forgotten after the timeout"
        );
    }

    #[test]
    fn nodes_edges_and_seen_pingwaves_are_bounded() {
        let mut graph = Graph::default();
        let wave = |origin, seq| Pingwave {
            origin,
            seq,
            hop_count: 1,
            ..Pingwave::default()
        };
        let hear = |graph: &mut Graph, from, origin, seq| {
            graph.hear(0, 0, 1, from, Link::Channel(from), &wave(origin, seq))
        };
        for n in 0..MAX_SEEN as u64 + 10 {
            hear(&mut graph, 2 + n % 7, 1000 + n / 4, n);
        }
        assert_eq!((graph.len(), graph.seen.len()), (MAX_GRAPH_NODES, MAX_SEEN));
        assert_eq!(graph.seen_order.len(), MAX_SEEN);
        for origin in 0..40_000 {
            for from in 10..20 {
                hear(&mut graph, from, 1000 + origin, from << 32 | origin);
            }
        }
        assert_eq!((graph.edges.len(), graph.seen.len()), (MAX_EDGES, MAX_SEEN));
        assert!(!hear(&mut graph, 19, 1000 + 39_999, 19 << 32 | 39_999));
        graph.sweep(100, 50, 50, &|_| false);
        assert!(graph.is_empty() && graph.edges.is_empty() && graph.seen.is_empty());
        assert!(graph.seen_order.is_empty());
    }

    #[test]
    fn hops_saturate() {
        let mut graph = Graph::default();
        let wave = Pingwave {
            origin: 9,
            hop_count: u8::MAX,
            ..Pingwave::default()
        };
        assert!(graph.hear(0, 0, 1, 2, Link::Channel(2), &wave));
        assert_eq!(
            graph.nodes().map(|(_, node)| node.hops).collect::<Vec<_>>(),
            [255]
        );
    }
}
