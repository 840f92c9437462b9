//! Checks a generation without changing it; the text is for the command line.

use super::record::{checksum, Record, RECORD, TIME};
use super::recovery::{cut, Fault, Walk};
use std::fmt::Write;

/// Checks every record of a generation. Returns JSON: `records`, `events`, `nextSeq`, `torn`, `dat` (referenced bytes),
/// `missingTimes`, `damage: [{ file, offset, record, seq, reason }]`.
pub fn verify(idx: &[u8], dat: &[u8], ts_length: u64) -> String {
    let cut = cut(idx, dat.len() as u64);
    let mut walk = Walk::default();
    for at in 0..cut.records {
        let Some(record) = Record::decode(&idx[at as usize * RECORD..]) else {
            break;
        };
        let sum = if record.is_inline() {
            Some(checksum(&record.inline_payload()))
        } else {
            dat.get(record.low as usize..record.end() as usize).map(checksum)
        };
        walk.next(at, &record, sum);
    }
    let mut out = format!(
        "{{\"records\":{},\"events\":{},\"nextSeq\":\"{}\",\"torn\":{},\"dat\":{},\"missingTimes\":{},\"damage\":[",
        cut.records,
        cut.records - walk.damage().len() as u64,
        walk.next_seq(),
        cut.torn,
        cut.dat,
        cut.records.saturating_sub(ts_length / TIME as u64),
    );
    for (i, damage) in walk.damage().iter().enumerate() {
        let inline =
            Record::decode(&idx[damage.record as usize * RECORD..]).is_some_and(|record| record.is_inline());
        let (file, reason) = match damage.fault {
            Fault::Checksum if inline => ("idx", "checksum"),
            Fault::Checksum => ("dat", "checksum"),
            Fault::OutOfBounds => ("idx", "payload beyond the end of dat"),
            Fault::Sequence => ("idx", "sequence out of order"),
            Fault::Repeated => ("idx", "sequence repeated"),
        };
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}{{\"file\":\"{file}\",\"offset\":{},\"record\":{},\"seq\":\"{}\",\"reason\":\"{reason}\"}}",
            damage.offset, damage.record, damage.seq
        );
    }
    out.push_str("]}");
    out
}
