//! Writing a new generation from memory, in slices, while appends go on (50 §6).

use super::disk::open_file;
use super::generation;
use super::index::Entry;
use super::memory::Memory;
use super::record::{Record, INLINE, RECORD};
use super::storage::{Storage, Stored, StoredFile};

/// Payload bytes that one slice copies.
const SLICE: u64 = 1 << 20;
/// Records that one slice copies.
const SLICE_RECORDS: u64 = 16 * 1024;
/// What may be left for the final step, during which appends wait.
const LEFT: u64 = 64 << 10;

/// A generation that is being written.
pub struct Compaction<F> {
    /// Its number.
    pub generation: u32,
    /// Position in the space of its first byte of `dat`.
    pub base: u64,
    /// Ordinal of its first record.
    pub first: u64,
    dat: F,
    idx: F,
    ts: F,
    position: u64,
    ordinal: u64,
    /// Whether its files were flushed when little was left.
    pub flushed: bool,
}

impl<F: StoredFile + Clone> Compaction<F> {
    /// Creates the files of generation `generation`, to hold the entries from `first` on.
    pub fn begin<S: Storage<File = F>>(
        storage: &S,
        root: &str,
        generation: u32,
        memory: &Memory,
        first: u64,
    ) -> Stored<Self> {
        let directory = generation::path(root, generation);
        generation::remove(storage, &directory)?;
        storage.make_dir(&directory)?;
        let index = memory.index();
        // Entries of a log that we wrote lie in order; those of a foreign image need not.
        let base = (first..index.end())
            .filter_map(|ordinal| index.get(ordinal))
            .filter(|entry| entry.tag & INLINE == 0)
            .map(|entry| entry.start)
            .min()
            .unwrap_or_else(|| memory.space_end());
        Ok(Self {
            generation,
            base,
            first,
            dat: open_file(storage, &directory, "dat")?,
            idx: open_file(storage, &directory, "idx")?,
            ts: open_file(storage, &directory, "ts")?,
            position: base,
            ordinal: first,
            flushed: false,
        })
    }

    /// Copies a slice. False when little is left.
    pub fn slice(&mut self, memory: &Memory) -> Stored<bool> {
        self.copy(memory, SLICE, SLICE_RECORDS)?;
        let left = memory.space_end() - self.position + (memory.index().end() - self.ordinal) * RECORD as u64;
        Ok(left > LEFT)
    }

    /// Copies all that is left.
    pub fn rest(&mut self, memory: &Memory) -> Stored<()> {
        while self.position < memory.space_end() || self.ordinal < memory.index().end() {
            self.copy(memory, SLICE, SLICE_RECORDS)?;
        }
        Ok(())
    }

    fn copy(&mut self, memory: &Memory, bytes: u64, records: u64) -> Stored<()> {
        let count = (memory.space_end() - self.position).min(bytes) as usize;
        if count > 0 {
            let mut payloads = vec![0; count];
            if !memory.space().copy(self.position, &mut payloads) {
                return Err("payload bytes were freed while they were copied".into());
            }
            self.dat.write_at(self.position - self.base, &payloads)?;
            self.position += count as u64;
        }
        let end = memory.index().end().min(self.ordinal + records);
        if self.ordinal < end {
            let count = (end - self.ordinal) as usize;
            let (mut idx, mut ts) = (Vec::with_capacity(count * RECORD), Vec::with_capacity(count * 8));
            for ordinal in self.ordinal..end {
                let Some(entry) = memory.index().get(ordinal) else {
                    return Err("entries were freed while they were copied".into());
                };
                idx.extend_from_slice(&self.record(memory.index().seq(ordinal), &entry)?.encode());
                ts.extend_from_slice(&memory.index().time(ordinal).to_le_bytes());
            }
            let at = self.ordinal - self.first;
            self.idx.write_at(at * RECORD as u64, &idx)?;
            self.ts.write_at(at * 8, &ts)?;
            self.ordinal = end;
        }
        Ok(())
    }

    fn record(&self, seq: u64, entry: &Entry) -> Stored<Record> {
        if entry.tag & INLINE != 0 {
            return Ok(Record {
                seq,
                low: entry.start as u32,
                high: (entry.start >> 32) as u32,
                tag: entry.tag,
            });
        }
        let offset = entry.start - self.base;
        let low = u32::try_from(offset)
            .map_err(|_| format!("segment offset overflow: offset {offset} exceeds u32::MAX"))?;
        Ok(Record {
            seq,
            low,
            high: entry.length,
            tag: entry.tag,
        })
    }

    /// The files in the order dat, idx, ts.
    pub fn files(&self) -> [F; 3] {
        [self.dat.clone(), self.idx.clone(), self.ts.clone()]
    }

    /// Bytes of `dat` and number of records.
    pub fn ends(&self) -> [u64; 2] {
        [self.position - self.base, self.ordinal - self.first]
    }

    /// Makes the new generation the live one. After an error nothing has changed.
    pub fn publish<S: Storage<File = F>>(&self, storage: &S, root: &str) -> Stored<()> {
        self.files().iter().try_for_each(StoredFile::sync)?;
        storage.sync_dir(&generation::path(root, self.generation))?;
        storage.sync_dir(root)?;
        generation::write_manifest(storage, root, self.generation)
    }
}
