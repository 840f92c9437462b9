//! Checks a generation piece by piece, without changing it; the text is for the command line.

use super::record::{checksum, Record, RECORD, TIME};
use super::recovery::{Cut, Cutter, Damage, Fault, Walk};
use std::fmt::Write;

/// The check of one generation: all records pass by twice, the second time with their payloads, so that it needs memory
/// for what is damaged only.
pub struct Verifier {
    cutter: Cutter,
    cut: Option<Cut>,
    walk: Walk,
    dat_length: u64,
    times: u64,
    /// Records that were checked.
    checked: u64,
    /// What is damaged, as JSON.
    damage: String,
}

impl Verifier {
    /// For files of these lengths.
    pub fn new(dat_length: u64, ts_length: u64) -> Self {
        Self {
            cutter: Cutter::new(dat_length),
            cut: None,
            walk: Walk::default(),
            dat_length,
            times: ts_length / TIME as u64,
            checked: 0,
            damage: String::new(),
        }
    }

    /// Takes the next records of `idx`, for the first time.
    pub fn take(&mut self, idx: &[u8]) {
        idx.chunks_exact(RECORD)
            .filter_map(Record::decode)
            .for_each(|record| self.cutter.take(&record));
    }

    /// Takes the next records of `idx` again, when all were taken once; `dat` has the bytes of their payloads, as far as
    /// the file goes, and begins at `from` in it.
    pub fn check(&mut self, idx: &[u8], dat: &[u8], from: u64) {
        let end = self.cut.get_or_insert_with(|| self.cutter.finish()).records;
        for record in idx.chunks_exact(RECORD).filter_map(Record::decode) {
            if self.checked == end {
                return;
            }
            let sum = if record.is_inline() {
                Some(checksum(&record.inline_payload()))
            } else {
                self.payload(&record, dat, from).map(checksum)
            };
            let known = self.walk.damage().len();
            self.walk.next(self.checked, &record, sum);
            for damage in &self.walk.damage()[known..] {
                note(&mut self.damage, damage, record.is_inline());
            }
            self.checked += 1;
        }
    }

    fn payload<'a>(&self, record: &Record, dat: &'a [u8], from: u64) -> Option<&'a [u8]> {
        if record.end() > self.dat_length {
            return None;
        }
        if record.high == 0 {
            return Some(&[]);
        }
        let start = usize::try_from(u64::from(record.low).checked_sub(from)?).ok()?;
        dat.get(start..start.checked_add(record.high as usize)?)
    }

    /// JSON: `records`, `events`, `nextSeq`, `torn`, `dat` (referenced bytes), `missingTimes`,
    /// `damage: [{ file, offset, record, seq, reason }]`.
    pub fn result(&self) -> String {
        let cut = self.cut.unwrap_or_else(|| self.cutter.finish());
        format!(
            "{{\"records\":{},\"events\":{},\"nextSeq\":\"{}\",\"torn\":{},\"dat\":{},\"missingTimes\":{},\"damage\":[{}]}}",
            cut.records,
            self.checked - self.walk.damage().len() as u64,
            self.walk.next_seq(),
            cut.torn,
            cut.dat,
            cut.records.saturating_sub(self.times),
            self.damage,
        )
    }
}

/// Adds one damage, of which a record gave notice that holds its payload (`inline`) or names it.
fn note(all: &mut String, damage: &Damage, inline: bool) {
    let (file, reason) = match damage.fault {
        Fault::Checksum if inline => ("idx", "checksum"),
        Fault::Checksum => ("dat", "checksum"),
        Fault::OutOfBounds => ("idx", "payload beyond the end of dat"),
        Fault::Sequence => ("idx", "sequence out of order"),
        Fault::Repeated => ("idx", "sequence repeated"),
    };
    let comma = if all.is_empty() { "" } else { "," };
    let _ = write!(
        all,
        "{comma}{{\"file\":\"{file}\",\"offset\":{},\"record\":{},\"seq\":\"{}\",\"reason\":\"{reason}\"}}",
        damage.offset, damage.record, damage.seq
    );
}
