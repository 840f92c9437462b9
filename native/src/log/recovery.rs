//! What a crash or damage left of a generation, decided from its bytes alone (50 §5.3).

use super::record::{Record, CHECKSUM_MASK, RECORD};

/// How far beyond the last good sequence a damaged record at the end is believed.
const PLAUSIBLE_SKIP: u64 = 1_000_000;

/// What is wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The payload has another checksum.
    Checksum,
    /// The payload lies beyond the end of `dat`.
    OutOfBounds,
    /// Its sequence does not fit between its neighbours'.
    Sequence,
    /// Its sequence came before: two writers. Left out, but no damage of the files.
    Repeated,
}

/// One record that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Position in `idx`, counted in records.
    pub record: u64,
    /// The sequence that it claims.
    pub seq: u64,
    /// Offset of its payload in `dat`, or of the record in `idx` when the payload stands there.
    pub offset: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// Where the three files end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Complete records.
    pub records: u64,
    /// Records at the end that a crash left unfinished (room written ahead does not count).
    pub torn: u64,
    /// End of the last payload in `dat`.
    pub dat: u64,
}

/// Steps 1 to 3: torn index, torn records, unreferenced payload.
pub fn cut(idx: &[u8], dat_length: u64) -> Cut {
    let mut cutter = Cutter::new(dat_length);
    idx.chunks_exact(RECORD)
        .filter_map(Record::decode)
        .for_each(|record| cutter.take(&record));
    cutter.finish()
}

/// The same for records that come one after the other. The torn tail begins at the first record beyond the end of `dat`
/// that no good record with a payload follows.
#[derive(Debug)]
pub struct Cutter {
    dat_length: u64,
    taken: u64,
    /// Where a torn tail may begin.
    tail: Option<u64>,
    torn: u64,
    dat: u64,
}

impl Cutter {
    /// For a `dat` of this length.
    pub fn new(dat_length: u64) -> Self {
        Self {
            dat_length,
            taken: 0,
            tail: None,
            torn: 0,
            dat: 0,
        }
    }

    /// Takes the next record.
    pub fn take(&mut self, record: &Record) {
        let end = record.end();
        if end > self.dat_length {
            self.tail.get_or_insert(self.taken);
        } else if !record.is_inline() {
            self.tail = None;
            self.torn = 0;
            self.dat = self.dat.max(end);
        }
        let is_room = record.seq == u64::MAX && record.high == u32::MAX;
        self.torn += u64::from(self.tail.is_some() && !is_room);
        self.taken += 1;
    }

    /// Where the files end.
    pub fn finish(&self) -> Cut {
        Cut {
            records: self.tail.unwrap_or(self.taken),
            torn: self.torn,
            dat: self.dat,
        }
    }
}

/// A record that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivor {
    /// The record.
    pub record: Record,
    /// Its position in `idx`, counted in records.
    pub at: u64,
}

/// Walks the records in order and separates good from damaged ones. `survivor` is called for each good one; the last
/// call may be taken back by `retract`, when the next record shows that its sequence was wrong.
#[derive(Debug, Default)]
pub struct Walk {
    damage: Vec<Damage>,
    /// Sequences of the last two good records.
    last: Option<u64>,
    before: Option<u64>,
    last_at: u64,
    /// Whether the last good record skipped sequences.
    skipped: bool,
    /// Damaged records since the last good one, and the highest sequence that they may have had.
    trailing: u64,
    trailing_seq: u64,
    /// Whether the record before this one is room that was never used: its page did not reach the disk.
    after_room: bool,
}

/// What to do with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is good.
    Keep,
    /// It is good, and the previous good one was not.
    KeepInsteadOfLast,
    /// It is left out.
    Drop,
}

impl Walk {
    /// Judges the next record, at position `at`; `sum` is the checksum of its payload, `None` when that is not there.
    pub fn next(&mut self, at: u64, record: &Record, sum: Option<u32>) -> Verdict {
        let fault = match sum {
            None => Some(Fault::OutOfBounds),
            Some(sum) if sum != record.tag & CHECKSUM_MASK => Some(Fault::Checksum),
            Some(_) => self.room_in(record).then_some(Fault::Sequence),
        };
        self.after_room = record.seq == u64::MAX && record.high == u32::MAX;
        if let Some(fault) = fault {
            self.drop(at, record, fault);
            self.trailing += 1;
            self.trailing_seq = self.trailing_seq.max(self.plausible(record.seq));
            return Verdict::Drop;
        }
        if let Some(last) = self.last.filter(|last| record.seq <= *last) {
            // A good payload under a sequence that leaps and is then overtaken: the leap was the damage.
            let leap =
                self.skipped && record.seq < last && self.before.is_none_or(|before| record.seq > before);
            if !leap {
                self.drop(
                    at,
                    record,
                    if record.seq == last {
                        Fault::Repeated
                    } else {
                        Fault::Sequence
                    },
                );
                return Verdict::Drop;
            }
            self.damage.push(Damage {
                record: self.last_at,
                seq: last,
                offset: self.last_at * RECORD as u64,
                fault: Fault::Sequence,
            });
            self.last = self.before;
            self.accept(at, record.seq);
            return Verdict::KeepInsteadOfLast;
        }
        self.before = self.last;
        self.accept(at, record.seq);
        Verdict::Keep
    }

    /// A record may begin in a page that did not reach the disk and end in one that did.
    fn room_in(&self, record: &Record) -> bool {
        let (low, high) = (record.seq as u32, (record.seq >> 32) as u32);
        high == u32::MAX || (self.after_room && low == u32::MAX)
    }

    fn accept(&mut self, at: u64, seq: u64) {
        self.skipped = self.last.map_or(seq != 0, |last| seq - last > 1 + self.trailing);
        self.last = Some(seq);
        self.last_at = at;
        self.trailing = 0;
        self.trailing_seq = 0;
    }

    fn plausible(&self, seq: u64) -> u64 {
        let expected = self
            .last
            .map_or(0, |last| last.saturating_add(1))
            .saturating_add(self.trailing - 1);
        if seq >= expected && seq - expected < PLAUSIBLE_SKIP {
            seq
        } else {
            expected
        }
    }

    fn drop(&mut self, at: u64, record: &Record, fault: Fault) {
        let in_dat = !record.is_inline() && fault == Fault::Checksum;
        let offset = if in_dat {
            u64::from(record.low)
        } else {
            at * RECORD as u64
        };
        self.damage.push(Damage {
            record: at,
            seq: record.seq,
            offset,
            fault,
        });
    }

    /// What was left out.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Whether the files need to be written anew.
    pub fn is_damaged(&self) -> bool {
        self.damage.iter().any(|damage| damage.fault != Fault::Repeated)
    }

    /// Lowest sequence that nobody can have seen.
    pub fn next_seq(&self) -> u64 {
        let after = self.last.map_or(0, |last| last.saturating_add(1));
        if self.trailing == 0 {
            after
        } else {
            after.max(self.trailing_seq.saturating_add(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{checksum, FILLER};
    use super::*;
    use proptest::prelude::*;

    fn idx(records: &[Record]) -> Vec<u8> {
        records.iter().flat_map(|record| record.encode()).collect()
    }

    fn verdicts(seqs: &[u64]) -> (Vec<Verdict>, Walk) {
        let mut walk = Walk::default();
        let sum = checksum(b"x");
        let all = seqs
            .iter()
            .enumerate()
            .map(|(at, seq)| walk.next(at as u64, &Record::heap(*seq, 0, 1, sum), Some(sum)));
        (all.collect(), walk)
    }

    #[test]
    fn room_written_ahead_is_cut_off_and_is_not_torn() {
        let mut bytes = idx(&[Record::heap(0, 0, 5, checksum(b"hello"))]);
        for _ in 0..300 {
            bytes.extend_from_slice(&FILLER);
        }
        bytes.extend_from_slice(&FILLER[..7]);
        assert_eq!(
            cut(&bytes, 65_536),
            Cut {
                records: 1,
                torn: 0,
                dat: 5
            }
        );
    }

    /// The rule as 50 §5.3 words it: from the last record backwards.
    fn cut_backwards(records: &[Record], dat_length: u64) -> Cut {
        let mut end = records.len();
        for (i, record) in records.iter().enumerate().rev() {
            if record.is_inline() {
                continue;
            }
            if record.end() <= dat_length {
                break;
            }
            end = i;
        }
        let (kept, dropped) = records.split_at(end);
        let dat = kept
            .iter()
            .map(Record::end)
            .filter(|end| *end <= dat_length)
            .max();
        let is_room = |record: &&Record| record.seq == u64::MAX && record.high == u32::MAX;
        Cut {
            records: end as u64,
            torn: (dropped.len() - dropped.iter().filter(is_room).count()) as u64,
            dat: dat.unwrap_or(0),
        }
    }

    proptest! {
        #[test]
        fn a_cut_from_the_front_is_the_one_from_the_back(kinds in prop::collection::vec(0u32..5, 0..40)) {
            let records: Vec<Record> = kinds.iter().map(|kind| match kind {
                0 => Record::inline(7, *b"in place"),
                1 => Record { seq: u64::MAX, low: u32::MAX, high: u32::MAX, tag: 0 },
                2 => Record::heap(3, 90, 11, 0),
                _ => Record::heap(3, *kind * 10, 20, 0),
            }).collect();
            prop_assert_eq!(cut(&idx(&records), 100), cut_backwards(&records, 100));
        }
    }

    #[test]
    fn a_leap_that_is_overtaken_is_the_damage() {
        let (all, walk) = verdicts(&[0, 1, 1 << 40, 3, 4]);
        assert_eq!(all[3], Verdict::KeepInsteadOfLast);
        assert_eq!(walk.damage().iter().map(|d| d.record).collect::<Vec<_>>(), [2]);
        assert_eq!(walk.next_seq(), 5);
    }

    #[test]
    fn of_two_writers_the_first_counts() {
        let (all, walk) = verdicts(&[3, 3]);
        assert_eq!(all, [Verdict::Keep, Verdict::Drop]);
        assert!(!walk.is_damaged());
        assert_eq!(walk.next_seq(), 4);
    }

    #[test]
    fn a_damaged_end_is_not_given_out_again_and_cannot_exhaust_the_sequence() {
        let mut walk = Walk::default();
        let sum = checksum(b"x");
        walk.next(0, &Record::heap(0, 0, 1, sum), Some(sum));
        walk.next(1, &Record::heap(1, 0, 1, sum), Some(0));
        assert_eq!(walk.next_seq(), 2);
        walk.next(2, &Record::heap(u64::MAX, 0, 1, sum), Some(0));
        assert_eq!(walk.next_seq(), 3);
    }
}
