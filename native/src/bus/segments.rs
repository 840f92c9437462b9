//! Append-only bytes of one shard in contiguous segments: no allocation per event, the oldest events go first.

use super::chunk::{Chunk, ENTRY, LARGEST};
use std::collections::VecDeque;

/// Size of the first chunk of a shard; an idle shard stays small.
const FIRST_CHUNK: usize = 4 << 10;

struct Segment {
    /// Number of the first event in this segment.
    first: u64,
    chunk: Chunk,
}

/// An event in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// Number of the event in its shard, from 1.
    pub n: u64,
    /// Insertion time stamp, nanoseconds.
    pub ts: u64,
    /// The event's bytes.
    pub raw: &'a [u8],
}

/// Events of one shard, numbered 1, 2, 3, … in order of arrival.
pub struct Segments {
    list: VecDeque<Segment>,
    /// Chunks kept for reuse, at most `keep`.
    spare: Vec<Chunk>,
    keep: usize,
    /// Number of the oldest retained event.
    first: u64,
    /// Number that the next event gets.
    next: u64,
    bytes: usize,
}

impl Default for Segments {
    fn default() -> Self {
        Self::new()
    }
}

impl Segments {
    /// Nothing stored; nothing allocated.
    pub fn new() -> Self {
        Self {
            list: VecDeque::new(),
            spare: Vec::new(),
            keep: 1,
            first: 1,
            next: 1,
            bytes: 0,
        }
    }

    /// Allocates full-grown chunks for `bytes` (index included) and touches them, so that appending never has to wait
    /// for fresh memory. They are kept for reuse.
    pub fn reserve(&mut self, bytes: usize) {
        let chunks = bytes.div_ceil(LARGEST);
        self.keep = self.keep.max(chunks);
        while self.spare.len() < chunks {
            let mut chunk = Chunk::new(LARGEST);
            chunk.touch();
            self.spare.push(chunk);
        }
    }

    /// Number of events held.
    #[inline]
    pub fn len(&self) -> u64 {
        self.next - self.first
    }

    /// Whether no event is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.next == self.first
    }

    /// Bytes of the events held, without the index.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the oldest event held; equals [`Self::next`] when empty.
    #[inline]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number that the next event gets.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Appends an event and returns its number.
    #[inline]
    pub fn push(&mut self, raw: &[u8], ts: u64) -> u64 {
        let fits = self
            .list
            .back_mut()
            .is_some_and(|segment| segment.chunk.push(raw, ts));
        if !fits {
            self.push_in_new_segment(raw, ts);
        }
        self.bytes += raw.len();
        let n = self.next;
        self.next += 1;
        n
    }

    #[cold]
    fn push_in_new_segment(&mut self, raw: &[u8], ts: u64) {
        let needed = raw.len() + ENTRY;
        let mut chunk = match self.spare.pop() {
            Some(spare) if spare.capacity() >= needed => spare,
            unfit => {
                self.spare.extend(unfit);
                let grown = self
                    .list
                    .back()
                    .map_or(FIRST_CHUNK, |last| last.chunk.capacity() * 4);
                Chunk::new(grown.clamp(FIRST_CHUNK, LARGEST).max(needed))
            }
        };
        chunk.push(raw, ts);
        self.list.push_back(Segment {
            first: self.next,
            chunk,
        });
    }

    /// Removes the oldest event; returns its length in bytes.
    #[inline]
    pub fn pop(&mut self) -> Option<usize> {
        let segment = self.list.front()?;
        let i = (self.first - segment.first) as usize;
        let len = segment.chunk.event_len(i);
        let done = i + 1 == segment.chunk.len();
        self.first += 1;
        self.bytes -= len;
        if done {
            self.recycle_front();
        }
        Some(len)
    }

    fn recycle_front(&mut self) {
        let Some(mut segment) = self.list.pop_front() else {
            return;
        };
        // Only full-grown chunks of the usual size are worth keeping.
        if self.spare.len() < self.keep && segment.chunk.capacity() == LARGEST {
            segment.chunk.clear();
            self.spare.push(segment.chunk);
        }
    }

    /// Time stamp of the oldest event.
    pub fn oldest_stamp(&self) -> Option<u64> {
        let segment = self.list.front()?;
        Some(segment.chunk.stamp((self.first - segment.first) as usize))
    }

    /// Events with numbers above `after` (or from the oldest, if those are gone), in order.
    pub fn iter_after(&self, after: u64) -> Iter<'_> {
        let n = after.saturating_add(1).max(self.first);
        let at = self.list.partition_point(|s| s.first + s.chunk.len() as u64 <= n);
        Iter {
            segments: self,
            at,
            n,
        }
    }
}

/// Iterator over events in place.
pub struct Iter<'a> {
    segments: &'a Segments,
    at: usize,
    n: u64,
}

impl<'a> Iterator for Iter<'a> {
    type Item = EventRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<EventRef<'a>> {
        let mut segment = self.segments.list.get(self.at)?;
        let mut i = (self.n - segment.first) as usize;
        if i == segment.chunk.len() {
            self.at += 1;
            segment = self.segments.list.get(self.at)?;
            i = 0;
        }
        let (ts, raw) = segment.chunk.event(i);
        let event = EventRef { n: self.n, ts, raw };
        self.n += 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque as Model;

    #[test]
    fn reading_starts_behind_the_given_number_and_skips_what_was_evicted() {
        let mut log = Segments::new();
        for i in 0..10u8 {
            assert_eq!(log.push(&[i], u64::from(i)), u64::from(i) + 1);
        }
        for _ in 0..4 {
            log.pop();
        }
        let seen: Vec<u64> = log.iter_after(1).map(|e| e.n).collect();
        assert_eq!(seen, [5, 6, 7, 8, 9, 10]);
        let seen: Vec<u64> = log.iter_after(8).map(|e| e.n).collect();
        assert_eq!(seen, [9, 10]);
        assert_eq!(log.iter_after(10).count(), 0);
        assert_eq!(log.iter_after(u64::MAX).count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_a_queue(steps in prop::collection::vec((0usize..3, 0usize..70_000), 1..200)) {
            let mut log = Segments::new();
            let mut model: Model<(u64, Vec<u8>)> = Model::new();
            for (ts, (kind, len)) in steps.into_iter().enumerate() {
                if kind == 0 {
                    prop_assert_eq!(log.pop(), model.pop_front().map(|(_, raw)| raw.len()));
                } else {
                    let len = if kind == 1 { len % 100 } else { len };
                    let raw = vec![ts as u8; len];
                    let n = log.push(&raw, ts as u64);
                    model.push_back((n, raw));
                }
                prop_assert_eq!(log.len(), model.len() as u64);
                prop_assert_eq!(log.bytes(), model.iter().map(|(_, raw)| raw.len()).sum::<usize>());
            }
            let seen: Vec<(u64, Vec<u8>)> = log.iter_after(0).map(|e| (e.n, e.raw.to_vec())).collect();
            prop_assert_eq!(seen, Vec::from(model));
        }
    }
}
