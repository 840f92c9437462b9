//! Where each retained event lies: fixed-size blocks of entries, addressed by an ordinal that only grows.

use std::collections::VecDeque;

const BLOCK: usize = 4096;

/// One event in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Position of the payload in the space; the payload itself for inline records.
    pub start: u64,
    /// Length of the payload in bytes.
    pub length: u32,
    /// Flags and checksum, as in the record.
    pub tag: u32,
}

/// A queue of values in blocks, so that growth never copies and eviction frees.
#[derive(Debug)]
struct Blocks<T> {
    blocks: VecDeque<Vec<T>>,
    /// Ordinal of the first value of the first block.
    base: u64,
    end: u64,
}

impl<T: Copy> Blocks<T> {
    fn new() -> Self {
        Self {
            blocks: VecDeque::new(),
            base: 0,
            end: 0,
        }
    }

    fn push(&mut self, value: T) {
        if self.blocks.back().is_none_or(|block| block.len() == BLOCK) {
            // The first block starts small: many logs hold few events.
            let room = if self.blocks.is_empty() { 16 } else { BLOCK };
            self.blocks.push_back(Vec::with_capacity(room));
        }
        if let Some(block) = self.blocks.back_mut() {
            block.push(value);
        }
        self.end += 1;
    }

    fn get(&self, ordinal: u64) -> Option<T> {
        let at = ordinal.checked_sub(self.base)? as usize;
        self.blocks.get(at / BLOCK)?.get(at % BLOCK).copied()
    }

    fn truncate(&mut self, end: u64) {
        while self.end > end.max(self.base) {
            let Some(last) = self.blocks.back_mut() else { break };
            let surplus = ((self.end - end) as usize).min(last.len());
            last.truncate(last.len() - surplus);
            self.end -= surplus as u64;
            if last.is_empty() {
                self.blocks.pop_back();
            }
        }
    }

    fn free_below(&mut self, ordinal: u64) {
        while self.blocks.len() > 1 && self.base + BLOCK as u64 <= ordinal {
            self.blocks.pop_front();
            self.base += BLOCK as u64;
        }
    }
}

/// Index of one log.
#[derive(Debug)]
pub struct Index {
    entries: Blocks<Entry>,
    /// Append times, only when somebody needs them.
    times: Option<Blocks<u64>>,
    /// Where sequences are not contiguous: (ordinal, sequence) of the first entry of each run.
    runs: VecDeque<(u64, u64)>,
    /// First entry that is still there.
    first: u64,
}

impl Index {
    /// `timed`: whether append times are kept.
    pub fn new(timed: bool) -> Self {
        Self {
            entries: Blocks::new(),
            times: timed.then(Blocks::new),
            runs: VecDeque::new(),
            first: 0,
        }
    }

    /// Ordinal of the first entry.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Ordinal after the last entry.
    pub fn end(&self) -> u64 {
        self.entries.end
    }

    /// Adds an entry; `seq` must be above the last one.
    pub fn push(&mut self, seq: u64, entry: Entry, time: u64) {
        let ordinal = self.entries.end;
        let follows = self
            .runs
            .back()
            .is_some_and(|(from, start)| start + (ordinal - from) == seq);
        if !follows {
            self.runs.push_back((ordinal, seq));
        }
        self.entries.push(entry);
        if let Some(times) = &mut self.times {
            times.push(time);
        }
    }

    /// Takes back the entries from an ordinal on.
    pub fn truncate(&mut self, end: u64) {
        self.entries.truncate(end);
        if let Some(times) = &mut self.times {
            times.truncate(end);
        }
        while self.runs.back().is_some_and(|(from, _)| *from >= end) {
            self.runs.pop_back();
        }
    }

    /// The entry at an ordinal.
    pub fn get(&self, ordinal: u64) -> Option<Entry> {
        if ordinal < self.first {
            return None;
        }
        self.entries.get(ordinal)
    }

    /// Append time at an ordinal, 0 when times are not kept.
    pub fn time(&self, ordinal: u64) -> u64 {
        self.times
            .as_ref()
            .and_then(|times| times.get(ordinal))
            .unwrap_or(0)
    }

    /// Sequence of the entry at an ordinal (which must be there).
    pub fn seq(&self, ordinal: u64) -> u64 {
        let run = self.runs.partition_point(|(from, _)| *from <= ordinal);
        match run.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some((from, start)) => start + (ordinal - from),
            None => 0,
        }
    }

    /// Ordinal of the first entry whose sequence is at least `seq`; `end()` when there is none.
    pub fn lower_bound(&self, seq: u64) -> u64 {
        let after = self.runs.partition_point(|(_, start)| *start <= seq);
        let run_end = self.runs.get(after).map_or(self.end(), |(from, _)| *from);
        let ordinal = match after.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some((from, start)) => (from + (seq - start).min(run_end - from)).min(run_end),
            None => self.first,
        };
        ordinal.clamp(self.first, self.end())
    }

    /// Removes entries below an ordinal.
    pub fn drop_below(&mut self, ordinal: u64) {
        self.first = ordinal.clamp(self.first, self.end());
        self.entries.free_below(self.first);
        if let Some(times) = &mut self.times {
            times.free_below(self.first);
        }
        while self.runs.get(1).is_some_and(|(from, _)| *from <= self.first) {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(n: u64) -> Entry {
        Entry {
            start: n,
            length: n as u32,
            tag: 0,
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_list(gaps in prop::collection::vec(0u64..3, 1..9000), cut in 0usize..9000, probes in prop::collection::vec(0u64..20_000, 20)) {
            let mut index = Index::new(true);
            let mut model = Vec::new();
            let mut seq = 5;
            for (i, gap) in gaps.iter().enumerate() {
                seq += gap / 2 + 1;
                index.push(seq, entry(i as u64), seq * 10);
                model.push(seq);
            }
            let cut = cut.min(model.len());
            index.drop_below(cut as u64);
            for probe in probes {
                let expected = model[cut..].iter().position(|s| *s >= probe).map_or(model.len(), |at| at + cut) as u64;
                prop_assert_eq!(index.lower_bound(probe), expected);
                if expected < model.len() as u64 {
                    prop_assert_eq!(index.seq(expected), model[expected as usize]);
                    prop_assert_eq!(index.get(expected), Some(entry(expected)));
                    prop_assert_eq!(index.time(expected), model[expected as usize] * 10);
                }
            }
            prop_assert_eq!(index.end(), model.len() as u64);
            let back = (cut + model.len()) / 2;
            index.truncate(back as u64);
            prop_assert_eq!(index.end(), back as u64);
            index.push(1 << 40, entry(1), 7);
            prop_assert_eq!(index.seq(back as u64), 1 << 40);
        }
    }
}
