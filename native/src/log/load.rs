//! Reading a generation into memory. Records and times stream through small buffers; payloads go straight into the
//! space, so that an open touches little memory besides what the log keeps.

use super::index::Entry;
use super::memory::Memory;
use super::record::{checksum, Record, RECORD, TIME};
use super::recovery::{Cut, Cutter, Verdict, Walk};
use super::space::CHUNK;
use super::storage::{read_fully, Stored, StoredFile};

/// Records that are read at a time.
const BLOCK: u64 = 16 * 1024;

/// What reading a generation has shown.
pub struct Loaded {
    /// Where the files end.
    pub cut: Cut,
    /// Lengths of `dat` and `idx` as they were found.
    pub dat_length: u64,
    /// See `dat_length`.
    pub idx_length: u64,
    /// Records whose time is known; the others got the time of opening.
    pub known: u64,
    /// What is damaged.
    pub walk: Walk,
}

/// Puts the good records of the files dat, idx, ts into an empty memory. Changes no file. `now` in unix ns.
pub fn load<F: StoredFile>([dat, idx, ts]: [&F; 3], memory: &mut Memory, now: u64) -> Stored<Loaded> {
    let (dat_length, idx_length) = (dat.length()?, idx.length()?);
    let whole = idx_length / RECORD as u64;
    let mut records = Block::new(RECORD, whole);
    let mut cutter = Cutter::new(dat_length);
    for from in (0..whole).step_by(BLOCK as usize) {
        let wanted = BLOCK.min(whole - from);
        if records.read(idx, from, wanted)? < wanted {
            return Err(CUT.into());
        }
        records
            .items(wanted)
            .filter_map(Record::decode)
            .for_each(|record| cutter.take(&record));
    }
    let cut = cutter.finish();
    memory.space_mut().fill(dat.read_pieces(cut.dat, CHUNK)?, cut.dat);

    let mut walk = Walk::default();
    let mut known = 0;
    let mut times = Block::new(TIME, cut.records);
    let mut joined = Vec::new();
    for from in (0..cut.records).step_by(BLOCK as usize) {
        let wanted = BLOCK.min(cut.records - from);
        // One block holds most logs: it is there already.
        if whole > BLOCK && records.read(idx, from, wanted)? < wanted {
            return Err(CUT.into());
        }
        let timed = times.read(ts, from, wanted)?;
        known += timed;
        let stamps = times.items(timed).map(stamp).chain(std::iter::repeat(now));
        for ((at, bytes), time) in (from..).zip(records.items(wanted)).zip(stamps) {
            if let Some(record) = Record::decode(bytes) {
                restore(memory, &mut walk, &mut joined, at, &record, time);
            }
        }
    }
    Ok(Loaded {
        cut,
        dat_length,
        idx_length,
        known,
        walk,
    })
}

const CUT: &str = "idx was cut by another program while it was read";

/// A buffer for items of one size.
struct Block {
    bytes: Vec<u8>,
    item: usize,
}

impl Block {
    fn new(item: usize, most: u64) -> Self {
        let bytes = vec![0; most.min(BLOCK) as usize * item];
        Self { bytes, item }
    }

    /// Reads `wanted` items from the `from`-th on; returns how many there were.
    fn read<F: StoredFile>(&mut self, file: &F, from: u64, wanted: u64) -> Stored<u64> {
        let into = &mut self.bytes[..wanted as usize * self.item];
        Ok((read_fully(file, from * self.item as u64, into)? / self.item) as u64)
    }

    fn items(&self, count: u64) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.item).take(count as usize)
    }
}

fn stamp(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn restore(memory: &mut Memory, walk: &mut Walk, joined: &mut Vec<u8>, at: u64, record: &Record, time: u64) {
    let (start, length) = (u64::from(record.low), record.high);
    let sum = if record.is_inline() {
        Some(checksum(&record.inline_payload()))
    } else if record.end() > memory.space_end() {
        None
    } else if let Some(payload) = memory.space().slice(start, length as usize) {
        Some(checksum(payload))
    } else {
        joined.resize(length as usize, 0);
        memory.space().copy(start, joined).then(|| checksum(joined))
    };
    let entry = if record.is_inline() {
        Entry {
            start: u64::from_le_bytes(record.inline_payload()),
            length: 8,
            tag: record.tag,
        }
    } else {
        Entry {
            start,
            length,
            tag: record.tag,
        }
    };
    match walk.next(at, record, sum) {
        Verdict::Drop => {}
        Verdict::KeepInsteadOfLast => {
            memory.retract();
            memory.restore(record.seq, entry, time);
        }
        Verdict::Keep => memory.restore(record.seq, entry, time),
    }
}
