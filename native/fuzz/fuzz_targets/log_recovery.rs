//! The three files of a generation, in one input: recovery never panics, agrees with itself, and every record that it
//! keeps has the checksum that it claims.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::log::record::{checksum, Record, CHECKSUM_MASK, RECORD};
use meshring::log::recovery::{cut, times, Verdict, Walk};
use meshring::log::verify::verify;

fuzz_target!(|data: &[u8]| {
    let Some((&[a, b], rest)) = data.split_first_chunk::<2>() else { return };
    let (idx, rest) = rest.split_at((usize::from(a) * RECORD + usize::from(b) % 3).min(rest.len()));
    let (dat, ts) = rest.split_at(rest.len() / 2);
    let cut = cut(idx, dat.len() as u64);
    assert!(cut.records * RECORD as u64 <= idx.len() as u64 && cut.dat <= dat.len() as u64);
    assert_eq!(times(ts, cut.records, 7).0.len() as u64, cut.records);
    let mut walk = Walk::default();
    let mut last = None;
    for at in 0..cut.records {
        let Some(record) = Record::decode(&idx[at as usize * RECORD..]) else { unreachable!() };
        let inline = record.inline_payload();
        let payload = if record.is_inline() { Some(&inline[..]) } else { dat.get(record.low as usize..record.end() as usize) };
        match walk.next(at, &record, payload.map(checksum)) {
            Verdict::Drop => {}
            Verdict::Keep => {
                assert_eq!(payload.map(checksum), Some(record.tag & CHECKSUM_MASK));
                assert!(last.is_none_or(|last| last < record.seq));
                last = Some(record.seq);
            }
            Verdict::KeepInsteadOfLast => last = Some(record.seq),
        }
    }
    assert!(last.is_none_or(|last| walk.next_seq() > last));
    assert!(verify(idx, dat, ts.len() as u64).ends_with('}'));
});
