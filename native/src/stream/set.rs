//! All streams of a session: opening, closing, and forgetting the idle ones.

use super::credit::Credit;
use super::ordered::{Ordered, MAX_SESSION_HELD_BYTES};
use super::sender::Sender;
use super::{Owed, Stream, StreamConfig};
use crate::session::replay::ReplayWindow;
use std::collections::BTreeMap;

/// Streams per session; beyond, those with nothing under way go, the least recently active first.
pub const MAX_STREAMS: usize = 4096;
/// Streams without traffic for so long are closed. Microseconds.
pub const IDLE_AFTER: u64 = 300_000_000;
/// Forgotten streams whose positions are still known.
const MAX_REMEMBERED: usize = 8192;

/// Positions that outlive a stream: a new life goes on from them.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    next_sequence: u64,
    total: u64,
    ordered: Option<u64>,
    received: u64,
    consumed: u64,
}

/// Streams by id.
#[derive(Debug, Default)]
pub struct Streams {
    map: BTreeMap<u64, Stream>,
    remembered: BTreeMap<u64, Remembered>,
    /// No forgotten position is above this.
    floor: u64,
    /// Streams that may appear by receipt before the next sweep.
    slack: usize,
    /// Bytes of packets that came before their turn, of all streams.
    held: usize,
}

/// See `slack`.
const SLACK: usize = 64;

impl Streams {
    /// A stream, whether open or implicit.
    pub fn get(&self, id: u64) -> Option<&Stream> {
        self.map.get(&id)
    }

    /// A stream, whether open or implicit.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Stream> {
        self.map.get_mut(&id)
    }

    /// Bytes of packets before their turn that may still be held.
    pub fn room_to_hold(&self) -> usize {
        MAX_SESSION_HELD_BYTES.saturating_sub(self.held)
    }

    /// A stream holds `after` bytes of packets before their turn, and held `before`.
    pub fn held_changed(&mut self, before: usize, after: usize) {
        self.held = self.held.saturating_sub(before) + after;
    }

    /// All streams.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.map.values()
    }

    /// All streams.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.map.values_mut()
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Opens a stream, or returns the life of the one that is open (its first configuration stays).
    pub fn open(&mut self, now: u64, id: u64, config: StreamConfig, epoch: u64) -> u64 {
        let stream = self.implicit(now, id, config);
        if stream.open {
            return stream.epoch;
        }
        let total = stream.credit.total();
        stream.open = true;
        stream.present = true;
        stream.epoch = epoch;
        stream.config = config;
        stream.credit = Credit::new(config.window, total);
        stream.sender.forget_charges();
        stream.backpressure = 0;
        stream.lost = 0;
        self.trim(Some(id));
        epoch
    }

    /// The stream, made with the given configuration when there is none yet (not open).
    pub fn implicit(&mut self, now: u64, id: u64, config: StreamConfig) -> &mut Stream {
        let (remembered, floor) = (&mut self.remembered, self.floor);
        let stream = self.map.entry(id).or_insert_with(|| {
            let before = remembered.remove(&id);
            Stream {
                id,
                epoch: 0,
                present: true,
                open: false,
                config,
                credit: Credit::new(config.window, before.map_or(0, |b| b.total)),
                sender: Sender::new(before.map_or(floor, |b| b.next_sequence)),
                ordered: before.and_then(|b| b.ordered).map(Ordered::new),
                duplicates: ReplayWindow::new(true),
                received: before.map_or(0, |b| b.received),
                consumed: before.map_or(0, |b| b.consumed),
                credited: 0,
                owed: Owed::default(),
                last_activity: now,
                backpressure: 0,
                lost: 0,
                grants_received: 0,
                grants_sent: 0,
                scheduled: false,
                blocked: false,
                served: true,
                deficit: 0,
                probed_at: 0,
            }
        });
        stream.last_activity = stream.last_activity.max(now);
        stream
    }

    /// As [`implicit`](Self::implicit) for a stream that appears by receipt; the oldest go from time to time.
    pub fn received(&mut self, now: u64, id: u64, config: StreamConfig) -> &mut Stream {
        if self.map.len() >= MAX_STREAMS && !self.map.contains_key(&id) {
            if self.slack == 0 {
                self.sweep(now);
                self.slack = SLACK;
            }
            self.slack -= 1;
        }
        self.implicit(now, id, config)
    }

    /// Closes a stream for the application. Unacknowledged packets still go out, and positions stay.
    pub fn close(&mut self, id: u64) {
        if let Some(stream) = self.map.get_mut(&id) {
            stream.open = false;
            stream.present = false;
            stream.epoch = 0;
        }
    }

    /// Closes idle streams, then the least recently active beyond the limit, but none with anything to send: that would be
    /// lost. Of the rest those that wait for a missing packet go last: what they hold will not come again. Returns how many.
    pub fn sweep(&mut self, now: u64) -> usize {
        let idle: Vec<u64> = self
            .map
            .values()
            .filter(|stream| {
                now.saturating_sub(stream.last_activity) >= IDLE_AFTER && stream.sender.is_idle()
            })
            .map(|stream| stream.id)
            .collect();
        for id in &idle {
            self.forget(*id);
        }
        idle.len() + self.trim(None)
    }

    fn trim(&mut self, keep: Option<u64>) -> usize {
        let excess = self.map.len().saturating_sub(MAX_STREAMS);
        if excess == 0 {
            return 0;
        }
        let mut by_age: Vec<(bool, u64, u64)> = self
            .map
            .values()
            .filter(|stream| Some(stream.id) != keep && stream.sender.is_idle())
            .map(|stream| {
                let waits = stream.ordered.as_ref().is_some_and(Ordered::has_gap);
                (waits, stream.last_activity, stream.id)
            })
            .collect();
        by_age.sort_unstable();
        by_age.truncate(excess);
        for (_, _, id) in &by_age {
            self.forget(*id);
        }
        by_age.len()
    }

    fn forget(&mut self, id: u64) {
        let Some(stream) = self.map.remove(&id) else {
            return;
        };
        self.held_changed(stream.held_bytes(), 0);
        let positions = Remembered {
            next_sequence: stream.sender.next_sequence(),
            total: stream.credit.total(),
            ordered: stream.ordered.map(|ordered| ordered.next()),
            received: stream.received,
            consumed: stream.consumed,
        };
        if self.remembered.len() >= MAX_REMEMBERED {
            if let Some((_, gone)) = self.remembered.pop_first() {
                self.floor = self.floor.max(gone.next_sequence);
            }
        }
        self.remembered.insert(id, positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Reliability;

    const CONFIG: StreamConfig = StreamConfig {
        reliability: Reliability::Full,
        window: 1000,
        weight: 1,
    };

    #[test]
    fn an_open_stream_keeps_its_first_configuration() {
        let mut streams = Streams::default();
        assert_eq!(streams.open(0, 7, CONFIG, 1), 1);
        assert_eq!(streams.open(0, 7, StreamConfig { window: 5, ..CONFIG }, 2), 1);
        assert_eq!(streams.get(7).unwrap().config, CONFIG);
        streams.close(7);
        assert!(!streams.get(7).unwrap().present);
        assert_eq!(streams.open(0, 7, StreamConfig { window: 5, ..CONFIG }, 3), 3);
        assert_eq!(streams.get(7).unwrap().credit.window(), 5);
    }

    #[test]
    fn a_new_life_continues_the_sequence() {
        let mut streams = Streams::default();
        streams.open(0, 7, CONFIG, 1);
        let stream = streams.get_mut(7).unwrap();
        stream.sender.push(Default::default(), false);
        let _ = stream.sender.next(0, false);
        stream.consumed = 84;
        assert_eq!(streams.sweep(IDLE_AFTER), 1);
        assert!(streams.get(7).is_none());
        streams.open(IDLE_AFTER, 7, CONFIG, 2);
        let stream = streams.get(7).unwrap();
        assert_eq!((stream.sender.next_sequence(), stream.consumed), (1, 84));
    }

    #[test]
    fn the_oldest_go_beyond_the_limit_and_never_the_one_just_opened() {
        let mut streams = Streams::default();
        for id in 0..MAX_STREAMS as u64 {
            streams.implicit(id, id, CONFIG);
        }
        streams.implicit(u64::MAX, 0, CONFIG);
        streams.open(0, u64::MAX - 1, CONFIG, 1);
        assert_eq!(streams.len(), MAX_STREAMS);
        assert!(streams.get(1).is_none() && streams.get(0).is_some() && streams.get(u64::MAX - 1).is_some());
    }

    #[test]
    fn what_streams_hold_is_counted_for_the_session() {
        let mut streams = Streams::default();
        let all = streams.room_to_hold();
        for id in 0..MAX_STREAMS as u64 {
            let room = streams.room_to_hold();
            let stream = streams.implicit(id, id, CONFIG);
            let ordered = stream.ordered.insert(Ordered::new(0));
            ordered.arrive(1, 9000, room, Default::default());
            let holds = stream.held_bytes();
            streams.held_changed(0, holds);
        }
        assert_eq!(streams.room_to_hold(), all % 9000);
        streams.open(u64::MAX, u64::MAX - 1, CONFIG, 1);
        let held: usize = streams.iter().map(Stream::held_bytes).sum();
        assert_eq!(streams.room_to_hold(), all - held);
    }

    #[test]
    fn what_is_under_way_is_kept_and_what_waits_for_a_gap_goes_last() {
        let mut streams = Streams::default();
        for id in 0..MAX_STREAMS as u64 {
            let stream = streams.implicit(id, id, CONFIG);
            match id {
                0 => drop(stream.sender.push(Default::default(), false)),
                1 => drop(
                    stream
                        .ordered
                        .insert(Ordered::new(0))
                        .arrive(1, 0, 0, Default::default()),
                ),
                _ => {}
            }
        }
        let now = MAX_STREAMS as u64;
        streams.open(now, now, CONFIG, 1);
        assert!(streams.get(0).is_some() && streams.get(1).is_some() && streams.get(2).is_none());
        for id in 0..MAX_STREAMS as u64 {
            streams
                .get_mut(id)
                .map(|stream| stream.sender.push(Default::default(), false));
        }
        streams.open(now, u64::MAX - 1, CONFIG, 2);
        assert_eq!(streams.len(), MAX_STREAMS, "the stream opened before was idle");
        streams
            .get_mut(u64::MAX - 1)
            .map(|stream| stream.sender.push(Default::default(), false));
        streams.open(now, u64::MAX - 2, CONFIG, 3);
        assert_eq!(
            streams.len(),
            MAX_STREAMS + 1,
            "all others have something under way"
        );
    }

    #[test]
    fn streams_that_appear_by_receipt_are_bounded() {
        let mut streams = Streams::default();
        for id in 0..3 * MAX_STREAMS as u64 {
            streams.received(id, id, CONFIG);
            assert!(streams.len() <= MAX_STREAMS + SLACK);
        }
    }

    #[test]
    fn positions_of_forgotten_streams_are_bounded_and_no_sequence_comes_twice() {
        let mut streams = Streams::default();
        for id in 0..MAX_REMEMBERED as u64 + 100 {
            streams.open(0, id, CONFIG, 1 + id);
            let stream = streams.get_mut(id).unwrap();
            for _ in 0..3 {
                stream.sender.push(Default::default(), false);
                let _ = stream.sender.next(0, false);
            }
            streams.sweep(IDLE_AFTER);
        }
        assert_eq!(streams.remembered.len(), MAX_REMEMBERED);
        // The first are no longer known; they go on above all that were forgotten.
        assert_eq!(streams.implicit(0, 0, CONFIG).sender.next_sequence(), 3);
    }
}
