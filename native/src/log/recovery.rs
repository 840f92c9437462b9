//! What a crash or damage left of a generation, decided from its bytes alone (50 §5.3).

use super::record::{Record, CHECKSUM_MASK, RECORD, TIME};

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
    let whole = idx.len() / RECORD;
    let at = |i: usize| Record::decode(&idx[i * RECORD..]);
    let mut end = whole;
    let mut torn = 0;
    for i in (0..whole).rev() {
        let Some(record) = at(i) else { break };
        if record.is_inline() {
            continue;
        }
        if record.end() <= dat_length {
            break;
        }
        end = i;
    }
    let filler = u64::from(u32::MAX);
    for i in end..whole {
        torn += u64::from(at(i).is_some_and(|r| r.seq != u64::MAX || u64::from(r.high) != filler));
    }
    let dat = (0..end)
        .filter_map(at)
        .map(|record| record.end())
        .filter(|end| *end <= dat_length)
        .max();
    Cut {
        records: end as u64,
        torn,
        dat: dat.unwrap_or(0),
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

/// Times of `records` records from the bytes of `ts`: missing ones are the time of opening. Also says how many were there.
pub fn times(ts: &[u8], records: u64, now: u64) -> (Vec<u64>, u64) {
    let known = (ts.len() / TIME).min(records as usize);
    let mut times = Vec::with_capacity(records as usize);
    times.extend(ts.chunks_exact(TIME).take(known).map(|bytes| {
        let mut word = [0; TIME];
        word.copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }));
    times.resize(records as usize, now);
    (times, known as u64)
}

#[cfg(test)]
mod tests {
    use super::super::record::{checksum, FILLER};
    use super::*;

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
