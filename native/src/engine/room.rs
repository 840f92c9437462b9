//! Waiting until a stream takes more: told once, when there is room or when the handle has become worthless.

use super::send::payload_limit;
use super::{Engine, Event, StreamHandle};
use crate::packet::OVERHEAD;
use std::collections::BTreeMap;

/// Handles that may wait.
const MAX_WAITING: usize = 65_536;

/// How many bytes each handle waits for.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    bytes: BTreeMap<StreamHandle, u64>,
    /// Sessions or streams began or ended: any handle may be worthless.
    all: bool,
}

impl Awaited {
    /// All are to be looked at again.
    pub fn look_at_all(&mut self) {
        self.all = true;
    }
}

impl Engine {
    /// Whether a call with so many bytes of frames would be taken now; none fits that costs more than the window, so the window
    /// is asked for then. `None` when session, stream or handle is gone. Otherwise an [`Event::Room`] follows: to be asked
    /// again at that event, since others may have taken the room.
    pub fn await_room(&mut self, now: u64, handle: StreamHandle, frames: u64) -> Option<bool> {
        self.advance(now);
        let cost = self.cost(handle, frames)?;
        let fits = self.fits(handle, cost)?;
        if !fits && self.awaited.bytes.len() < MAX_WAITING {
            let least = self.awaited.bytes.entry(handle).or_insert(cost);
            *least = cost.min(*least);
        }
        Some(fits)
    }

    /// Something about a stream changed: tells who waits for it when there is room now, or never will be.
    pub(super) fn tell_room_of(&mut self, peer: u64, stream: u64) {
        let handle = |epoch| StreamHandle { peer, stream, epoch };
        let waiting = self.awaited.bytes.range(handle(0)..=handle(u64::MAX));
        let told: Vec<StreamHandle> = waiting
            .filter(|(handle, cost)| self.fits(**handle, **cost) != Some(false))
            .map(|(handle, _)| *handle)
            .collect();
        for handle in told {
            self.awaited.bytes.remove(&handle);
            self.out.event(Event::Room { peer, stream });
        }
    }

    /// The same for all streams, after sessions or streams began or ended.
    pub(super) fn tell_room(&mut self) {
        let all = std::mem::take(&mut self.awaited.all);
        if !all || self.awaited.bytes.is_empty() {
            return;
        }
        let mut awaited = std::mem::take(&mut self.awaited.bytes);
        awaited.retain(|handle, cost| {
            let waits = self.fits(*handle, *cost) == Some(false);
            if !waits {
                let (peer, stream) = (handle.peer, handle.stream);
                self.out.event(Event::Room { peer, stream });
            }
            waits
        });
        self.awaited.bytes = awaited;
    }

    /// The most that frames of so many bytes can cost: greedy packets are more than half full, two by two.
    fn cost(&self, handle: StreamHandle, frames: u64) -> Option<u64> {
        let limit = payload_limit(self.mtu_to(handle.peer)?) as u64;
        let packets = (2 * frames).div_ceil(limit).max(1);
        let cost = frames + packets * OVERHEAD as u64;
        let stream = self.peers.get(&handle.peer)?.streams.get(handle.stream)?;
        match stream.credit.window() {
            0 => Some(cost),
            window => Some(cost.min(window.into())),
        }
    }

    fn fits(&self, handle: StreamHandle, cost: u64) -> Option<bool> {
        let stream = self.peers.get(&handle.peer)?.streams.get(handle.stream)?;
        let valid = stream.open && stream.epoch == handle.epoch;
        valid.then(|| stream.credit.fits(cost) && (stream.sender.has_room(cost) || stream.sender.is_idle()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::engine::{Config, Link, Publish};
    use crate::packet::put_frame;
    use crate::stream::{Reliability, StreamConfig};

    fn node(id: u64) -> Engine {
        let config = Config::new(id, Key::from([0x42; 32]), Key::from([id as u8; 32]));
        let mut engine = Engine::new(config, [id as u8; 32], 0);
        engine.start(0);
        engine
    }

    fn settle(now: u64, nodes: &mut [Engine; 2]) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for (from, to) in [(0, 1), (1, 0)] {
                while let Some(mut transmit) = nodes[from].poll_transmit(now) {
                    nodes[to].handle_datagram(now, Link::Channel(1), &mut transmit.bytes);
                    moved = true;
                }
            }
        }
    }

    #[test]
    fn room_is_told_once_when_credit_comes_back_and_when_the_stream_is_gone() {
        let mut nodes = [node(1), node(2)];
        let key = *nodes[1].public_key();
        nodes[0].connect(0, Link::Channel(1), key, 2).expect("begins");
        settle(0, &mut nodes);
        let config = StreamConfig {
            reliability: Reliability::Full,
            window: 1000,
            weight: 1,
        };
        let handle = nodes[0].open_stream(0, 2, 7, config).expect("a session");
        assert_eq!(nodes[0].await_room(0, handle, 8112), Some(true));
        let mut frames = Vec::new();
        put_frame(&mut frames, &[0; 700]);
        let publish = Publish::default();
        nodes[0]
            .send(0, handle, &frames, 1, false, publish)
            .expect("room");
        while nodes[0].poll_event().is_some() {}
        assert_eq!(nodes[0].await_room(0, handle, 8112), Some(false));
        assert_eq!(nodes[0].await_room(0, handle, 100), Some(true));
        assert_eq!(nodes[0].poll_event(), None);
        settle(0, &mut nodes);
        for now in [3000, 6000] {
            nodes[1].handle_timeout(now);
            settle(now, &mut nodes);
        }
        let room = Event::Room { peer: 2, stream: 7 };
        assert_eq!(
            (nodes[0].poll_event(), nodes[0].poll_event()),
            (Some(room.clone()), None)
        );
        nodes[0]
            .send(6000, handle, &frames, 1, false, publish)
            .expect("room");
        assert_eq!(nodes[0].await_room(6000, handle, 8112), Some(false));
        nodes[0].close_stream(6000, 2, 7);
        assert_eq!(nodes[0].poll_event(), Some(room));
        assert_eq!(nodes[0].await_room(6000, handle, 1), None);
    }
}
