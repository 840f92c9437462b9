//! Shards of one node behind the consumer lock: routing, stamping, storing, cutting batches.

use super::adaptive::BatchSizes;
use super::page::{self, Request};
use super::ring::{Ring, ACCEPT, CLOSED, LIMIT};
use super::segments::Segments;
use super::shard::{Backpressure, Batch, Bounds, Counters, Outcome, Shard};
use crate::hash::xxh3_64;
use std::sync::atomic::Ordering;

/// What the shards are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Retained logs of the memory transport and of inbound mesh events: nothing is refused.
    Log,
    /// Queues in front of a store.
    Queue {
        /// What happens when a queue is full.
        mode: Backpressure,
        /// Longest time that a partial batch waits, nanoseconds.
        max_delay: u64,
    },
}

/// Settings of a node's shards.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Number of shards, 1..=65535.
    pub shards: u32,
    /// What the shards are for.
    pub home: Home,
    /// Bounds of each shard.
    pub bounds: Bounds,
    /// Sizes of batches.
    pub sizes: BatchSizes,
    /// Bytes of each shard that are allocated and touched at the start.
    pub reserve: usize,
}

impl Config {
    /// Settings as both doors get them, in the order of `settingsOf` in `ts/src/backend/bus.ts`, and the bytes of a
    /// staging ring. `None` when a number is missing.
    pub fn from_numbers(numbers: &[f64]) -> Option<(Self, usize)> {
        let &[shards, queue, mode, rate, events, bytes, age, min, max, adaptive, window, delay, ring, reserve] =
            numbers
        else {
            return None;
        };
        let mode = match mode as u32 {
            0 => Backpressure::DropOldest,
            1 => Backpressure::DropNewest,
            2 => Backpressure::FailProducer,
            _ => Backpressure::Sample(rate as u64),
        };
        let home = if queue != 0.0 {
            Home::Queue {
                mode,
                max_delay: delay as u64,
            }
        } else {
            Home::Log
        };
        let config = Self {
            shards: (shards as u32).clamp(1, 65_535),
            home,
            bounds: Bounds {
                events: (events as u64).max(1),
                bytes: bytes as usize,
                age: (age > 0.0).then_some(age as u64),
            },
            sizes: BatchSizes {
                min: (min as u64).max(1),
                max: (max as u64).max(1),
                adaptive: adaptive != 0.0,
                window: window as u64,
            },
            reserve: reserve as usize,
        };
        Some((config, ring as usize))
    }
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Shard of the event.
    pub shard: u32,
    /// Its time stamp, nanoseconds since the node was created.
    pub ts: u64,
    /// Whether it was stored.
    pub outcome: Outcome,
}

/// `floor(hash * shards / 2^64)` (10 §3.2).
#[inline]
pub fn shard_of(hash: u64, shards: u32) -> u32 {
    ((u128::from(hash) * u128::from(shards)) >> 64) as u32
}

/// All shards of a node. Used by one thread at a time.
pub struct Core {
    shards: Vec<Shard>,
    home: Home,
    last_ts: u64,
    /// A queue became worth looking at since this was last taken.
    attention: bool,
    /// Queues that got events since their rate was last recorded.
    touched: Vec<u32>,
    /// Whether the log has an age bound.
    ages: bool,
}

impl Core {
    /// Empty shards.
    pub fn new(config: Config) -> Self {
        let make = |_| {
            let mut shard = Shard::new(config.bounds, config.sizes);
            shard.reserve(config.reserve);
            shard
        };
        let shards = (0..config.shards.max(1)).map(make).collect();
        Self {
            shards,
            home: config.home,
            last_ts: 0,
            attention: false,
            touched: Vec::new(),
            ages: config.bounds.age.is_some(),
        }
    }

    /// Number of shards.
    pub fn shard_count(&self) -> u32 {
        self.shards.len() as u32
    }

    /// A shard, if it exists.
    pub fn shard(&self, shard: u32) -> Option<&Shard> {
        self.shards.get(shard as usize)
    }

    /// Stores one event. `now` is nanoseconds since the node was created; time stamps are strictly increasing in the
    /// order of these calls, also for events that are refused.
    #[inline]
    pub fn ingest(&mut self, raw: &[u8], hash: Option<u64>, now: u64) -> Placed {
        let hash = hash.unwrap_or_else(|| xxh3_64(raw));
        let shard = shard_of(hash, self.shards.len() as u32);
        self.place(shard, raw, now)
    }

    /// Stores one event in a given shard (inbound mesh events: the shard is the stream's). Out of range: the last.
    #[inline]
    pub fn place(&mut self, shard: u32, raw: &[u8], now: u64) -> Placed {
        let ts = now.max(self.last_ts + 1);
        self.last_ts = ts;
        let shard = shard.min(self.shards.len() as u32 - 1);
        let target = &mut self.shards[shard as usize];
        let outcome = match self.home {
            Home::Log => {
                target.retain(raw, ts);
                Outcome::Accepted
            }
            Home::Queue { mode, .. } => {
                let outcome = target.enqueue(raw, ts, mode);
                if !std::mem::replace(&mut target.touched, true) {
                    self.touched.push(shard);
                }
                let len = target.store.len();
                if !target.busy() && (len == 1 || len == target.adaptive.target()) {
                    self.attention = true;
                }
                outcome
            }
        };
        Placed { shard, ts, outcome }
    }

    /// Takes the frames of `ring` up to `to`, but stops after `budget` bytes. Returns the last event's fate.
    pub fn drain(&mut self, ring: &Ring, to: u32, now: u64, budget: u32) -> Drained {
        let head = ring.head();
        let mut frames = ring.frames(head, to);
        let mut drained = Drained::default();
        while let Some(frame) = frames.next() {
            drained.last = Some(self.ingest(frame.raw, frame.hash, now));
            drained.events = drained.events.wrapping_add(1);
            if frames.position().wrapping_sub(head) >= budget {
                break;
            }
        }
        let stopped_at_budget = frames.position().wrapping_sub(head) >= budget;
        // Bytes that cannot be parsed are given up, so that a broken producer cannot stop the others.
        let end = if stopped_at_budget { frames.position() } else { to };
        drained.more = end != to;
        ring.release(end);
        if drained.events > 0 {
            self.record(now);
        }
        drained
    }

    fn record(&mut self, now: u64) {
        while let Some(shard) = self.touched.pop() {
            let shard = &mut self.shards[shard as usize];
            shard.touched = false;
            shard.adaptive.record(now, shard.counters.ingested);
        }
        self.expire(now);
    }

    /// Publishes in `ring` what more surely fits: a number of events and a number of bytes. `drained` is the number of
    /// events taken from it so far; with several producers each event must be asked for, since they cannot know of
    /// each other's.
    pub fn publish_acceptance(&self, ring: &Ring, drained: u32, alone: bool) {
        const MUCH: u64 = 1 << 30;
        let refusing = match self.home {
            Home::Log => None,
            Home::Queue { mode, .. } => Some(mode).filter(|&mode| mode != Backpressure::DropOldest),
        };
        let (events, bytes) = match refusing {
            None => (MUCH, MUCH),
            Some(_) if !alone => (0, 0),
            Some(mode) => self.shards.iter().fold((MUCH, MUCH), |(events, bytes), shard| {
                let (e, b) = shard.surely_free(mode);
                (events.min(e), bytes.min(b))
            }),
        };
        ring.field(LIMIT)
            .store(ring.head().wrapping_add(bytes as u32), Ordering::SeqCst);
        ring.field(ACCEPT)
            .store(drained.wrapping_add(events as u32), Ordering::SeqCst);
    }

    /// Marks `ring` as closed for its producer.
    pub fn close_ring(ring: &Ring) {
        ring.field(CLOSED).store(1, Ordering::SeqCst);
    }

    /// Whether a queue became worth looking at since the last call.
    pub fn take_attention(&mut self) -> bool {
        std::mem::take(&mut self.attention)
    }

    /// Shards whose batch is due at `now`, and the time at which the next one will be.
    pub fn due(&self, now: u64, ready: &mut Vec<u32>) -> Option<u64> {
        let Home::Queue { max_delay, .. } = self.home else {
            return None;
        };
        let mut next: Option<u64> = None;
        for (i, shard) in self.shards.iter().enumerate() {
            match shard.due(max_delay) {
                Some(time) if time <= now => ready.push(i as u32),
                Some(time) => next = Some(next.map_or(time, |t| t.min(time))),
                None => {}
            }
        }
        next
    }

    /// Cuts the next batch of a shard.
    pub fn take_batch(&mut self, shard: u32) -> Option<Batch> {
        self.shards.get_mut(shard as usize)?.take_batch()
    }

    /// The transport is done with the batch of `shard`.
    pub fn finish_batch(&mut self, shard: u32, stored: u64) {
        if let Some(shard) = self.shards.get_mut(shard as usize) {
            shard.finish_batch(stored);
        }
    }

    /// Lets a shard's numbering of batches continue an earlier run's.
    pub fn start_sequence(&mut self, shard: u32, sequence: u64) {
        if let Some(shard) = self.shards.get_mut(shard as usize) {
            shard.start_sequence(sequence);
        }
    }

    /// Gives up every queued event; returns how many.
    pub fn give_up(&mut self) -> u64 {
        self.shards.iter_mut().map(Shard::give_up).sum()
    }

    /// Frees everything stored; the counters stay.
    pub fn clear(&mut self) {
        for shard in &mut self.shards {
            shard.store = Segments::new();
        }
    }

    /// Lets go what the age bound says, for readers.
    pub fn expire(&mut self, now: u64) {
        if self.ages && self.home == Home::Log {
            for shard in &mut self.shards {
                shard.expire(now);
            }
        }
    }

    /// Reads a page of a shard's log; see [`super::page`]. A shard that does not exist is empty.
    pub fn read(&self, shard: u32, request: Request, keep: impl FnMut(&[u8]) -> bool, out: &mut Vec<u8>) {
        match self.shard(shard) {
            Some(shard) => page::read(&shard.store, request, keep, out),
            None => page::read(&Segments::new(), request, keep, out),
        }
    }

    /// Numbers of the oldest retained and of the newest event of each shard, alternating.
    pub fn positions(&self) -> Vec<f64> {
        let pair = |s: &Shard| [s.store.first() as f64, (s.store.next() - 1) as f64];
        self.shards.iter().flat_map(pair).collect()
    }

    /// Number of the newest event of each shard that was confirmed or given up, with all before it.
    pub fn acknowledged(&self) -> Vec<f64> {
        self.shards
            .iter()
            .map(|s| (s.store.first() - 1 - s.in_flight()) as f64)
            .collect()
    }

    /// [`Self::due`] as numbers: nanoseconds until the next batch is due (-1: none), then the shards that are due.
    pub fn due_list(&self, now: u64) -> Vec<f64> {
        let mut ready = Vec::new();
        let next = self.due(now, &mut ready);
        let wait = next.map_or(-1.0, |time| time.saturating_sub(now) as f64);
        std::iter::once(wait)
            .chain(ready.into_iter().map(f64::from))
            .collect()
    }

    /// Counters in the order of the TypeScript side: ingested, rejected, evicted, failed, dispatched, batches,
    /// expired, pending.
    pub fn counter_list(&self) -> [u64; 8] {
        let (c, pending) = self.counters();
        [
            c.ingested,
            c.rejected,
            c.evicted,
            c.failed,
            c.dispatched,
            c.batches,
            c.expired,
            pending,
        ]
    }

    /// The latest time stamp given.
    pub fn last_stamp(&self) -> u64 {
        self.last_ts
    }

    /// Sum of the counters of all shards, and the number of events pending.
    pub fn counters(&self) -> (Counters, u64) {
        let mut sum = Counters::default();
        let mut pending = 0;
        for shard in &self.shards {
            let c = shard.counters;
            sum.ingested += c.ingested;
            sum.rejected += c.rejected;
            sum.evicted += c.evicted;
            sum.failed += c.failed;
            sum.dispatched += c.dispatched;
            sum.batches += c.batches;
            sum.expired += c.expired;
            if self.home != Home::Log {
                pending += shard.pending();
            }
        }
        (sum, pending)
    }
}

/// Packed events one by one; offsets that are not in order or out of bounds end it.
pub fn cut<'a>(data: &'a [u8], ends: &'a [u32]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().map_while(move |&end| {
        let raw = data.get(start..end as usize)?;
        start = end as usize;
        Some(raw)
    })
}

/// Result of a drain step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drained {
    /// Number of events taken.
    pub events: u32,
    /// The last event's fate.
    pub last: Option<Placed>,
    /// The budget ended the step before the given position was reached.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::ring::Producer;

    fn config(home: Home) -> Config {
        Config {
            shards: 4,
            home,
            bounds: Bounds {
                events: 1023,
                bytes: 1 << 24,
                age: None,
            },
            sizes: BatchSizes {
                min: 1000,
                max: 10_000,
                adaptive: true,
                window: 100_000_000,
            },
            reserve: 0,
        }
    }

    #[test]
    fn shards_follow_the_upper_half_of_the_product() {
        assert_eq!(shard_of(0, 4), 0);
        assert_eq!(shard_of(u64::MAX, 4), 3);
        assert_eq!(shard_of(1 << 63, 2), 1);
        assert_eq!(shard_of((1 << 63) - 1, 2), 0);
        assert_eq!(shard_of(u64::MAX, 65_535), 65_534);
    }

    #[test]
    fn drained_events_are_stamped_in_order_and_stored_once() {
        let ring = Ring::new(1 << 16);
        let mut producer = Producer::new(&ring);
        let mut core = Core::new(config(Home::Log));
        for i in 0..1000u32 {
            assert!(producer.stage(&i.to_le_bytes()));
        }
        producer.publish();
        let mut drained = 0;
        loop {
            let step = core.drain(&ring, ring.tail(), 5, 1000);
            drained += step.events;
            if !step.more {
                break;
            }
        }
        assert_eq!(drained, 1000);
        let mut stamps: Vec<(u64, u32)> = Vec::new();
        for shard in 0..4 {
            for event in core.shard(shard).unwrap().store.iter_after(0) {
                stamps.push((event.ts, u32::from_le_bytes(event.raw.try_into().unwrap())));
            }
        }
        stamps.sort_unstable();
        assert_eq!(
            stamps,
            (0..1000u32).map(|i| (u64::from(i) + 5, i)).collect::<Vec<_>>()
        );
        let (sum, pending) = core.counters();
        assert_eq!((sum.ingested, sum.dispatched, pending), (1000, 1000, 0));
    }

    #[test]
    fn acceptance_is_the_smallest_number_of_free_slots() {
        let home = Home::Queue {
            mode: Backpressure::DropNewest,
            max_delay: 10,
        };
        let ring = Ring::new(1 << 16);
        let mut core = Core::new(config(home));
        core.publish_acceptance(&ring, 7, true);
        assert_eq!(ring.field(ACCEPT).load(Ordering::SeqCst), 7 + 1023);
        core.place(2, b"x", 1);
        core.publish_acceptance(&ring, 8, true);
        assert_eq!(ring.field(ACCEPT).load(Ordering::SeqCst), 8 + 1022);
        assert_eq!(ring.field(LIMIT).load(Ordering::SeqCst), (1 << 24) - 1);
        core.publish_acceptance(&ring, 8, false);
        assert_eq!(ring.field(ACCEPT).load(Ordering::SeqCst), 8);
        assert_eq!(ring.field(LIMIT).load(Ordering::SeqCst), 0);
    }

    #[test]
    fn counters_add_up() {
        let home = Home::Queue {
            mode: Backpressure::DropOldest,
            max_delay: 10,
        };
        let mut core = Core::new(config(home));
        for i in 0..10_000u64 {
            core.ingest(&i.to_le_bytes(), None, i);
        }
        assert!(core.take_attention());
        let mut ready = Vec::new();
        core.due(u64::MAX, &mut ready);
        assert_eq!(ready, [0, 1, 2, 3]);
        let batch = core.take_batch(1).unwrap();
        core.finish_batch(1, batch.ends.len() as u64 - 10);
        core.take_batch(2).unwrap();
        let (sum, pending) = core.counters();
        assert_eq!(sum.ingested, sum.dispatched + sum.evicted + sum.failed + pending);
        assert_eq!((sum.failed, sum.batches), (10, 1));
    }
}
