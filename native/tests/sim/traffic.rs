//! Events with a number on many streams, and what their receivers check.

use super::Sim;
use meshring::engine::{Protocol, Publish, SendError, StreamHandle};
use meshring::packet::{put_frame, Frames};
use meshring::stream::{Reliability, StreamConfig};
use std::collections::{BTreeMap, BTreeSet};

pub const RELIABLE: StreamConfig = StreamConfig {
    reliability: Reliability::Full,
    window: 65_536,
    weight: 1,
};
pub const LOOSE: StreamConfig = StreamConfig {
    reliability: Reliability::Once,
    window: 65_536,
    weight: 1,
};

/// Events with a number, sent from one node to another.
pub struct Traffic {
    pub from: usize,
    pub to: usize,
    pub stream: u64,
    pub config: StreamConfig,
    pub handle: Option<StreamHandle>,
    pub sent: u64,
    pub received: u64,
    pub seen: BTreeSet<u64>,
    /// Receiver promises order and completeness.
    pub exact: bool,
}

impl Traffic {
    pub fn new(from: usize, to: usize, stream: u64, config: StreamConfig) -> Self {
        let seen = BTreeSet::new();
        Self {
            from,
            to,
            stream,
            config,
            handle: None,
            sent: 0,
            received: 0,
            seen,
            exact: false,
        }
    }

    /// Sends up to `most` events of up to `size` bytes; stops at backpressure.
    pub fn send(&mut self, sim: &mut Sim, most: u64, size: u64) {
        let now = sim.time(self.from);
        let peer = sim.nodes[self.to].id;
        let engine = &mut sim.nodes[self.from].engine;
        let handle = match self.handle {
            Some(handle) => handle,
            None => {
                let Ok(handle) = engine.open_stream(now, peer, self.stream, self.config) else {
                    return;
                };
                self.exact = self.config.reliability == Reliability::Full
                    && engine.peer(peer).unwrap().protocol == Protocol::Meshring;
                self.handle = Some(handle);
                handle
            }
        };
        let count = 1 + sim.rng.below(most);
        let mut frames = Vec::new();
        for n in 0..count {
            let mut event = (self.sent + n).to_le_bytes().to_vec();
            event.resize(8 + sim.rng.below(size) as usize, 0xaa);
            put_frame(&mut frames, &event);
        }
        let engine = &mut sim.nodes[self.from].engine;
        match engine.send(now, handle, &frames, count as usize, false, Publish::default()) {
            Ok(sent) => self.sent += sent.events as u64,
            Err(SendError::Backpressure) => {}
            Err(error) => panic!("send: {error:?}"),
        }
        sim.touch(self.from);
    }

    pub fn take(&mut self, event: &[u8]) {
        let number = u64::from_le_bytes(event[..8].try_into().unwrap());
        assert!(number < self.sent, "an event that was never sent");
        if self.exact {
            assert_eq!(number, self.received, "stream {:#x} out of order", self.stream);
        } else {
            assert!(
                self.seen.insert(number),
                "stream {:#x}: event {number} twice",
                self.stream
            );
        }
        self.received += 1;
    }
}

/// Checks what arrived.
pub fn collect(sim: &mut Sim, traffic: &mut [Traffic]) {
    let ids: BTreeMap<u64, usize> = sim
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| (node.id, index))
        .collect();
    for to in 0..sim.nodes.len() {
        for delivery in std::mem::take(&mut sim.nodes[to].inbox) {
            let from = ids[&delivery.peer];
            let one = traffic
                .iter_mut()
                .find(|one| one.to == to && one.from == from && one.stream == delivery.stream_id)
                .expect("a stream that nobody sends on");
            for event in Frames::new(&delivery.frames, delivery.count) {
                one.take(event);
            }
            sim.nodes[to].engine.recycle(delivery.frames);
        }
    }
}
