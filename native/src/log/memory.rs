//! A log in memory: index, payload space, sequences, eviction.

use super::error::LogError;
use super::index::{Entry, Index};
use super::record::{checksum, INLINE};
use super::retention::{Retention, ENTRY_WEIGHT};
use super::space::Space;

/// Most live payload bytes of one log.
pub const LIVE_MAX: u64 = if cfg!(target_pointer_width = "64") {
    3 << 30
} else {
    1 << 30
};

/// One log in memory.
#[derive(Debug)]
pub struct Memory {
    index: Index,
    space: Space,
    retention: Retention,
    next_seq: u64,
    /// Ordinal of the first retained entry; entries below it are kept only until the files no longer need them.
    visible: u64,
    /// Every sequence below this that ever was is gone.
    evicted_below: u64,
    /// Payload bytes of the retained entries that lie in the space.
    bytes: u64,
    /// Weight of the retained entries for the byte bound.
    weight: u64,
    /// Entries from this ordinal on must stay, because they are being copied.
    pin: Option<u64>,
    /// Highest position at which a payload of the files began, and whether a later one began below: only an image that
    /// others made is like that.
    highest_start: u64,
    out_of_order: bool,
}

impl Memory {
    /// An empty log. Times are kept for files and for the age bound.
    pub fn new(retention: Retention, timed: bool) -> Self {
        Self {
            index: Index::new(timed || retention.max_age_ns.is_some()),
            space: Space::default(),
            retention,
            next_seq: 0,
            visible: 0,
            evicted_below: 0,
            bytes: 0,
            weight: 0,
            pin: None,
            highest_start: 0,
            out_of_order: false,
        }
    }

    /// Sequence of the next append.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Moves the next sequence forward.
    pub fn skip_to(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq);
    }

    /// Lowest retained sequence; the next one when nothing is retained.
    pub fn first_seq(&self) -> u64 {
        if self.visible < self.index.end() {
            self.index.seq(self.visible)
        } else {
            self.next_seq
        }
    }

    /// See the field.
    pub fn evicted_below(&self) -> u64 {
        self.evicted_below
    }

    /// Number of retained events.
    pub fn len(&self) -> u64 {
        self.index.end() - self.visible
    }

    /// Whether nothing is retained.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Payload bytes of the retained events.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Position after the last payload byte.
    pub fn space_end(&self) -> u64 {
        self.space.end()
    }

    /// The space, for recovery.
    pub fn space_mut(&mut self) -> &mut Space {
        &mut self.space
    }

    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// First ordinal that the files still need: the retained ones, and always the last one, which carries the sequence.
    pub fn anchor(&self) -> u64 {
        self.visible
            .min(self.index.end().saturating_sub(1))
            .max(self.index.first())
    }

    /// Fails when `size` more payload bytes do not fit.
    pub fn check_room(&self, size: u64) -> Result<(), LogError> {
        let max = LIVE_MAX.saturating_sub(self.bytes);
        if size > max {
            return Err(LogError::TooLarge { size, max });
        }
        Ok(())
    }

    /// Appends a payload whose checksum is known.
    pub fn push(&mut self, payload: &[u8], tag: u32, time: u64) -> u64 {
        let start = self.space.push(payload);
        let seq = self.next_seq;
        let length = payload.len() as u32;
        self.index.push(seq, Entry { start, length, tag }, time);
        self.next_seq = seq.wrapping_add(1);
        self.bytes += u64::from(length);
        self.weight += ENTRY_WEIGHT + u64::from(length);
        seq
    }

    /// Appends a payload.
    pub fn append(&mut self, payload: &[u8], time: u64) -> u64 {
        self.push(payload, checksum(payload), time)
    }

    /// Adds an event that was read from files; its payload is in the space already.
    pub fn restore(&mut self, seq: u64, entry: Entry, time: u64) {
        self.index.push(seq, entry, time);
        self.next_seq = seq.saturating_add(1);
        if entry.tag & INLINE == 0 {
            self.out_of_order |= entry.start < self.highest_start;
            self.highest_start = self.highest_start.max(entry.start);
        }
        let (bytes, weight) = measures(&entry);
        self.bytes += bytes;
        self.weight += weight;
    }

    /// Takes the last restored event back.
    pub fn retract(&mut self) {
        let Some(last) = self.index.end().checked_sub(1) else {
            return;
        };
        if let Some(entry) = self.index.get(last) {
            let (bytes, weight) = measures(&entry);
            self.bytes -= bytes;
            self.weight -= weight;
        }
        self.index.truncate(last);
    }

    /// Whether an append should evict now.
    pub fn wants_eviction(&self) -> bool {
        self.retention.is_well_exceeded(self.len(), self.weight)
    }

    /// Whether any bound is set.
    pub fn is_bounded(&self) -> bool {
        !self.retention.is_unbounded()
    }

    /// Applies the bounds. Returns how many events went.
    pub fn evict(&mut self, now: u64) -> u64 {
        if self.retention.is_unbounded() {
            return 0;
        }
        let from = self.visible;
        let drop = self.retention.drop_count(self.len(), self.weight, now, |i| {
            let weight = self.index.get(from + i).map_or(0, |entry| measures(&entry).1);
            (weight, self.index.time(from + i))
        });
        self.drop_front(drop);
        drop
    }

    /// Drops every event below a sequence, whatever the bounds say.
    pub fn evict_below(&mut self, seq: u64) {
        self.drop_front(self.lower_bound(seq) - self.visible);
    }

    fn drop_front(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let end = self.visible + count;
        for ordinal in self.visible..end {
            if let Some(entry) = self.index.get(ordinal) {
                let (bytes, weight) = measures(&entry);
                self.bytes -= bytes;
                self.weight -= weight;
            }
        }
        self.evicted_below = self.index.seq(end - 1) + 1;
        self.visible = end;
        self.free();
    }

    /// Holds entries from an ordinal on while they are copied, or lets them go again.
    pub fn pin(&mut self, from: Option<u64>) {
        self.pin = from;
        self.free();
    }

    fn free(&mut self) {
        let below = self.anchor().min(self.pin.unwrap_or(u64::MAX));
        self.index.drop_below(below);
        let mut starts = (self.index.first()..self.index.end())
            .filter_map(|ordinal| self.index.get(ordinal))
            .filter(|entry| entry.tag & INLINE == 0)
            .map(|entry| entry.start);
        let lowest = if self.out_of_order {
            starts.min()
        } else {
            starts.next()
        };
        self.space.free_below(lowest.unwrap_or(self.space.end()));
    }

    /// Ordinal of the first retained event with at least this sequence.
    pub fn lower_bound(&self, seq: u64) -> u64 {
        self.index.lower_bound(seq).max(self.visible)
    }

    /// Copies an event's payload into a buffer of its length. False when it is not there.
    pub fn copy(&self, entry: &Entry, into: &mut [u8]) -> bool {
        if entry.tag & INLINE != 0 {
            let bytes = entry.start.to_le_bytes();
            into.copy_from_slice(&bytes[..into.len().min(8)]);
            return true;
        }
        match self.space.slice(entry.start, into.len()) {
            Some(bytes) => {
                into.copy_from_slice(bytes);
                true
            }
            None => self.space.copy(entry.start, into),
        }
    }
}

/// Payload bytes in the space, and weight for the byte bound.
fn measures(entry: &Entry) -> (u64, u64) {
    let bytes = if entry.tag & INLINE == 0 {
        u64::from(entry.length)
    } else {
        0
    };
    (bytes, ENTRY_WEIGHT + bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_by_count_keeps_the_newest() {
        let mut log = Memory::new(
            Retention {
                max_events: Some(2),
                ..Retention::default()
            },
            false,
        );
        for byte in 0..5u8 {
            log.append(&[byte], 0);
        }
        assert_eq!(log.evict(0), 3);
        assert_eq!(
            (log.first_seq(), log.next_seq(), log.evicted_below(), log.bytes()),
            (3, 5, 3, 2)
        );
    }

    #[test]
    fn what_later_entries_name_stays_in_whatever_order_a_foreign_image_has_it() {
        use super::super::space::CHUNK;
        let retention = Retention {
            max_events: Some(1),
            ..Retention::default()
        };
        let mut log = Memory::new(retention, false);
        log.space_mut().push(&vec![7; 3 * CHUNK]);
        for (seq, start) in [2 * CHUNK as u64, 2 * CHUNK as u64 + 1, 5]
            .into_iter()
            .enumerate()
        {
            let (length, tag) = (1, checksum(&[7]));
            log.restore(seq as u64, Entry { start, length, tag }, 0);
        }
        // A compaction holds the second entry meanwhile.
        log.pin(Some(1));
        log.evict(0);
        let last = log.index().get(2).expect("the bound keeps one");
        let mut byte = [0];
        assert!(log.copy(&last, &mut byte) && byte == [7]);
    }

    #[test]
    fn the_last_entry_stays_as_the_anchor_of_the_sequence() {
        let mut log = Memory::new(
            Retention {
                max_events: Some(0),
                ..Retention::default()
            },
            true,
        );
        log.append(b"a", 0);
        log.append(b"b", 0);
        log.evict(0);
        assert_eq!((log.len(), log.first_seq(), log.anchor()), (0, 2, 1));
    }

    #[test]
    fn events_below_a_sequence_go_and_the_rest_stays() {
        let mut log = Memory::new(Retention::default(), true);
        log.skip_to(10);
        for byte in 0..5u8 {
            log.append(&[byte, byte], 0);
        }
        log.evict_below(9);
        assert_eq!((log.len(), log.evicted_below()), (5, 0));
        log.evict_below(12);
        log.evict_below(11);
        assert_eq!(
            (log.first_seq(), log.len(), log.bytes(), log.evicted_below()),
            (12, 3, 6, 12)
        );
        log.evict_below(u64::MAX);
        assert_eq!((log.len(), log.next_seq(), log.anchor()), (0, 15, 4));
        assert_eq!(log.append(b"next", 0), 15);
    }

    proptest! {
        #[test]
        fn reads_agree_with_a_list(sizes in prop::collection::vec(0usize..5000, 1..200), max in 1u64..60) {
            let mut log = Memory::new(Retention { max_events: Some(max), ..Retention::default() }, false);
            let mut model = Vec::new();
            for (i, size) in sizes.iter().enumerate() {
                let payload = vec![i as u8; *size];
                prop_assert_eq!(log.append(&payload, 0), i as u64);
                model.push(payload);
                if i % 7 == 0 { log.evict(0); }
            }
            log.evict(0);
            prop_assert_eq!(log.len(), (model.len() as u64).min(max));
            for ordinal in log.lower_bound(0)..log.index().end() {
                let seq = log.index().seq(ordinal);
                let entry = log.index().get(ordinal).map(|e| { let mut b = vec![0; e.length as usize]; assert!(log.copy(&e, &mut b)); b });
                prop_assert_eq!(entry.as_ref(), model.get(seq as usize));
            }
        }
    }
}
