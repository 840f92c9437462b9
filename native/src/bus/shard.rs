//! One shard: the retained log of the memory transport, or the bounded queue in front of a store.

use super::adaptive::{Adaptive, BatchSizes};
use super::segments::Segments;

/// What happens to an event that finds its shard full (10 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backpressure {
    /// The oldest undrained event goes.
    DropOldest,
    /// The new event is refused.
    DropNewest,
    /// The new event is refused, and single calls report an error.
    FailProducer,
    /// From three quarters of the capacity on, only every N-th event of the shard is kept.
    Sample(u64),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Accepted,
    /// Refused by the backpressure mode.
    Rejected,
}

/// Bounds of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most events held.
    pub events: u64,
    /// Most bytes held; the newest event is always kept.
    pub bytes: usize,
    /// Oldest age of an event in nanoseconds, retained log only.
    pub age: Option<u64>,
}

/// Counters of a shard; all only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events accepted.
    pub ingested: u64,
    /// Events refused at ingest.
    pub rejected: u64,
    /// Events that `drop_oldest` pushed out of the queue before they were sent.
    pub evicted: u64,
    /// Events given up by the transport.
    pub failed: u64,
    /// Events stored by the transport; for the memory transport, events appended to the log.
    pub dispatched: u64,
    /// Batches stored by the transport.
    pub batches: u64,
    /// Events that the retained log has let go because of its bounds.
    pub expired: u64,
}

/// A batch of one shard, copied out of the queue.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of events in all earlier batches of this shard.
    pub sequence_start: u64,
    /// The events back to back.
    pub data: Vec<u8>,
    /// End offset of each event in `data`.
    pub ends: Vec<u32>,
    /// Insertion time stamp of each event.
    pub stamps: Vec<u64>,
}

/// State of one shard.
pub struct Shard {
    pub(super) store: Segments,
    bounds: Bounds,
    pub(super) counters: Counters,
    pub(super) adaptive: Adaptive,
    /// Whether it got events since its rate was last recorded.
    pub(super) touched: bool,
    /// Number of events in all batches that were cut.
    sequence: u64,
    /// Events in the batch which the transport has now.
    in_flight: u64,
    /// Events seen in the sampling zone.
    sampled: u64,
}

impl Shard {
    /// An empty shard whose first batch starts at sequence 0.
    pub fn new(bounds: Bounds, sizes: BatchSizes) -> Self {
        Self {
            store: Segments::new(),
            bounds,
            counters: Counters::default(),
            adaptive: Adaptive::new(sizes),
            touched: false,
            sequence: 0,
            in_flight: 0,
            sampled: 0,
        }
    }

    /// See [`Segments::reserve`].
    pub fn reserve(&mut self, bytes: usize) {
        self.store.reserve(bytes);
    }

    /// Lets the numbering of batches start at `sequence` (a producer that continues its earlier run, 11 §6.3).
    pub fn start_sequence(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// Appends to the retained log; what is out of bounds goes. Never refuses.
    #[inline]
    pub fn retain(&mut self, raw: &[u8], ts: u64) {
        self.store.push(raw, ts);
        self.counters.ingested += 1;
        self.counters.dispatched += 1;
        while self.store.len() > self.bounds.events || self.store.bytes() > self.bounds.bytes {
            if self.store.len() == 1 {
                break;
            }
            self.store.pop();
            self.counters.expired += 1;
        }
    }

    /// Lets go what is older than the age bound.
    pub fn expire(&mut self, now: u64) {
        let Some(age) = self.bounds.age else { return };
        let Some(oldest) = now.checked_sub(age) else {
            return;
        };
        while self.store.oldest_stamp().is_some_and(|ts| ts < oldest) {
            self.store.pop();
            self.counters.expired += 1;
        }
    }

    /// Puts an event into the queue, as the mode says.
    #[inline]
    pub fn enqueue(&mut self, raw: &[u8], ts: u64, mode: Backpressure) -> Outcome {
        let full = self.store.len() >= self.bounds.events
            || (self.store.bytes() + raw.len() > self.bounds.bytes && !self.store.is_empty());
        match mode {
            Backpressure::DropOldest if full => self.make_room(raw.len()),
            Backpressure::DropNewest | Backpressure::FailProducer if full => return self.reject(),
            Backpressure::Sample(rate) => {
                if self.store.len() >= self.bounds.events.saturating_mul(3) / 4 {
                    self.sampled += 1;
                    if full || !self.sampled.is_multiple_of(rate.max(1)) {
                        return self.reject();
                    }
                } else if full {
                    return self.reject();
                }
            }
            _ => {}
        }
        self.store.push(raw, ts);
        self.counters.ingested += 1;
        Outcome::Accepted
    }

    fn reject(&mut self) -> Outcome {
        self.counters.rejected += 1;
        Outcome::Rejected
    }

    #[cold]
    fn make_room(&mut self, len: usize) {
        while self.store.len() >= self.bounds.events
            || (self.store.bytes() + len > self.bounds.bytes && !self.store.is_empty())
        {
            if self.store.pop().is_none() {
                return;
            }
            self.counters.evicted += 1;
        }
    }

    /// Number of events, and of their bytes, that surely fit however they are spread.
    pub fn surely_free(&self, mode: Backpressure) -> (u64, u64) {
        let limit = match mode {
            Backpressure::Sample(_) => self.bounds.events.saturating_mul(3) / 4,
            _ => self.bounds.events,
        };
        (
            limit.saturating_sub(self.store.len()),
            self.bounds.bytes.saturating_sub(self.store.bytes()) as u64,
        )
    }

    /// Whether a batch is with the transport.
    pub fn busy(&self) -> bool {
        self.in_flight > 0
    }

    /// Events in the batch which the transport has now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Events in the queue and with the transport.
    pub fn pending(&self) -> u64 {
        self.store.len() + self.in_flight
    }

    /// When the next batch is to be cut: `Some(0)` now, `Some(t)` at time `t`, `None` while nothing waits or a batch
    /// is with the transport.
    pub fn due(&self, max_delay: u64) -> Option<u64> {
        if self.busy() || self.store.is_empty() {
            return None;
        }
        if self.store.len() >= self.adaptive.target() || self.store.len() >= self.bounds.events {
            return Some(0);
        }
        self.store.oldest_stamp().map(|ts| ts.saturating_add(max_delay))
    }

    /// Cuts the next batch of at most the target size. `None` while nothing waits or a batch is with the transport.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if self.busy() || self.store.is_empty() {
            return None;
        }
        let count = self.store.len().min(self.adaptive.target());
        let mut batch = Batch {
            sequence_start: self.sequence,
            data: Vec::new(),
            ends: Vec::with_capacity(count as usize),
            stamps: Vec::with_capacity(count as usize),
        };
        for event in self.store.iter_after(0).take(count as usize) {
            // Offsets are u32: a batch ends before it would pass 4 GiB (it holds at least one event).
            if !batch.ends.is_empty() && batch.data.len() + event.raw.len() > u32::MAX as usize {
                break;
            }
            batch.data.extend_from_slice(event.raw);
            batch.ends.push(batch.data.len() as u32);
            batch.stamps.push(event.ts);
        }
        for _ in 0..batch.ends.len() {
            self.store.pop();
        }
        self.in_flight = batch.ends.len() as u64;
        self.sequence = self.sequence.saturating_add(self.in_flight);
        Some(batch)
    }

    /// The transport is done with the batch: `stored` of its events are stored, the rest is given up.
    pub fn finish_batch(&mut self, stored: u64) {
        let stored = stored.min(self.in_flight);
        self.counters.dispatched += stored;
        self.counters.failed += self.in_flight - stored;
        self.counters.batches += u64::from(stored > 0);
        self.in_flight = 0;
    }

    /// Gives up everything in the queue and returns how many events that were.
    pub fn give_up(&mut self) -> u64 {
        let mut lost = 0;
        while self.store.pop().is_some() {
            lost += 1;
        }
        self.counters.failed += lost;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: BatchSizes = BatchSizes {
        min: 100,
        max: 1000,
        adaptive: true,
        window: 100_000_000,
    };

    fn shard(events: u64) -> Shard {
        let bounds = Bounds {
            events,
            bytes: 1 << 20,
            age: None,
        };
        Shard::new(bounds, SIZES)
    }

    #[test]
    fn drop_oldest_keeps_the_newest_and_counts_what_went() {
        let mut shard = shard(1023);
        for i in 0..20_000u64 {
            assert_eq!(
                shard.enqueue(&i.to_le_bytes(), i, Backpressure::DropOldest),
                Outcome::Accepted
            );
        }
        assert_eq!(shard.counters.ingested, 20_000);
        assert_eq!(shard.counters.evicted, 20_000 - 1023);
        let first = shard.take_batch().unwrap();
        assert_eq!(first.stamps[0], 20_000 - 1023);
    }

    #[test]
    fn drop_newest_keeps_the_earliest() {
        let mut shard = shard(1023);
        let accepted = (0..20_000u64)
            .filter(|i| shard.enqueue(&i.to_le_bytes(), *i, Backpressure::DropNewest) == Outcome::Accepted)
            .collect::<Vec<_>>();
        assert_eq!(accepted, (0..1023).collect::<Vec<_>>());
        assert_eq!(shard.counters.rejected, 20_000 - 1023);
        assert_eq!(shard.surely_free(Backpressure::DropNewest).0, 0);
    }

    #[test]
    fn sampling_starts_at_three_quarters() {
        let mut shard = shard(1000);
        let accepted = (0..2000u64)
            .filter(|i| shard.enqueue(&[1], *i, Backpressure::Sample(10)) == Outcome::Accepted)
            .count();
        assert_eq!(accepted, 750 + 125);
    }

    #[test]
    fn batches_are_numbered_through_and_sent_one_at_a_time() {
        let mut shard = shard(10_000);
        for i in 0..250u64 {
            shard.enqueue(&i.to_le_bytes(), i, Backpressure::DropOldest);
        }
        assert_eq!(shard.due(10), Some(0));
        let first = shard.take_batch().unwrap();
        assert_eq!((first.sequence_start, first.ends.len()), (0, 100));
        assert_eq!(shard.take_batch(), None);
        assert_eq!(shard.due(10), None);
        shard.finish_batch(100);
        assert_eq!(shard.take_batch().unwrap().sequence_start, 100);
        shard.finish_batch(0);
        assert_eq!(shard.due(10), Some(210));
        let last = shard.take_batch().unwrap();
        assert_eq!((last.sequence_start, last.ends.len()), (200, 50));
        shard.finish_batch(50);
        let c = shard.counters;
        assert_eq!(
            (c.ingested, c.dispatched, c.failed, c.batches),
            (250, 150, 100, 2)
        );
        assert_eq!(shard.pending(), 0);
    }

    #[test]
    fn the_log_keeps_the_newest_event_whatever_the_byte_bound() {
        let mut shard = Shard::new(
            Bounds {
                events: 10,
                bytes: 100,
                age: Some(1000),
            },
            SIZES,
        );
        shard.retain(&[0; 500], 1);
        assert_eq!(shard.store.len(), 1);
        shard.retain(&[0; 60], 2);
        shard.retain(&[0; 40], 3);
        assert_eq!((shard.store.len(), shard.store.first()), (2, 2));
        assert_eq!(shard.counters.expired, 1);
        shard.expire(1002);
        assert_eq!(shard.store.len(), 2);
        shard.expire(1003);
        assert_eq!(shard.store.len(), 1);
    }
}
