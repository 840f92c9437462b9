//! The three open files of the live generation.

use super::appender::{Appender, Failure, Fill};
use super::error::LogError;
use super::generation;
use super::record::{Record, LENGTH_AT, RECORD, TIME};
use super::storage::{Storage, Stored, StoredFile};

/// Most room written ahead in `dat`, `idx` and `ts`, in bytes.
const AHEAD: [u64; 3] = [4 << 20, 1 << 20, 512 << 10];

/// Files of one generation, open for append.
pub struct Disk<S: Storage> {
    /// The storage.
    pub storage: S,
    /// Directory of the channel.
    pub root: String,
    /// Live generation.
    pub generation: u32,
    /// Position in the memory's space of the first byte of `dat`.
    pub base: u64,
    /// Ordinal of the first record in `idx`.
    pub first: u64,
    /// A failed write could not be undone.
    pub poisoned: bool,
    dat: Appender<S::File>,
    idx: Appender<S::File>,
    ts: Appender<S::File>,
    lock: Option<S::Lock>,
    /// Bytes of times in `ts` that belong to no record: the peer leaves them when every record was torn off.
    stale: u64,
}

/// Opens one file of a generation, creating it.
pub fn open_file<S: Storage>(storage: &S, directory: &str, name: &str) -> Stored<S::File> {
    let path = format!("{directory}/{name}");
    storage
        .open(&path, true)?
        .ok_or_else(|| format!("{path} is not a file"))
}

impl<S: Storage> Disk<S>
where
    S::File: Clone,
{
    /// Takes the files over; `dat_end` and `records` are their exact lengths.
    pub fn new(
        storage: S,
        root: String,
        generation: u32,
        files: [S::File; 3],
        ends: [u64; 2],
        lock: Option<S::Lock>,
    ) -> Self {
        let [dat, idx, ts] = files;
        let [dat_end, records] = ends;
        Self {
            storage,
            root,
            generation,
            base: 0,
            first: 0,
            poisoned: false,
            dat: Appender::new(dat, dat_end, Fill::Zeros, AHEAD[0]),
            idx: Appender::new(idx, records * RECORD as u64, Fill::Torn, AHEAD[1]),
            ts: Appender::new(ts, records * TIME as u64, Fill::Zeros, AHEAD[2]),
            lock,
            stale: 0,
        }
    }

    /// Says that `ts` begins with so many bytes of no record. They go with the second append, as the first one leaves
    /// what the peer would leave.
    pub fn has_stale_times(&mut self, bytes: u64) {
        self.stale = bytes;
        self.ts = Appender::new(self.ts.file().clone(), bytes, Fill::Zeros, 0);
    }

    fn drop_stale_times(&mut self) -> Stored<()> {
        let mut times = vec![0; (self.idx.end() / RECORD as u64 * TIME as u64) as usize];
        let file = self.ts.file().clone();
        file.read_at(self.stale, &mut times)?;
        file.write_at(0, &times)?;
        file.truncate(times.len() as u64)?;
        self.ts = Appender::new(file, times.len() as u64, Fill::Zeros, AHEAD[2]);
        self.stale = 0;
        Ok(())
    }

    /// The files in the order of flushing: dat, idx, ts.
    pub fn files(&self) -> [S::File; 3] {
        [
            self.dat.file().clone(),
            self.idx.file().clone(),
            self.ts.file().clone(),
        ]
    }

    /// Bytes of `dat` and `idx`.
    pub fn size(&self) -> u64 {
        self.dat.end() + self.idx.end()
    }

    /// Offset in `dat` of a position in the space.
    pub fn offset(&self, position: u64) -> Result<u32, LogError> {
        let offset = position - self.base;
        u32::try_from(offset).map_err(|_| LogError::Overflow { offset })
    }

    /// Appends one event. The record in `idx` comes last: it makes the event count.
    pub fn append(&mut self, record: Record, payload: &[u8], time: u64) -> Result<(), LogError> {
        if self.stale > 0 && self.idx.end() > 0 {
            self.drop_stale_times().map_err(LogError::Io)?;
        }
        let before = [self.dat.end(), self.idx.end(), self.ts.end()];
        let time = time.to_le_bytes();
        let mut done = self.dat.append(payload);
        // With no record in `idx` the peer leaves surplus times alone and writes after them: then times come last.
        let first = before[1] == 0;
        if !first {
            done = done.and_then(|()| self.ts.append(&time));
        }
        done = done.and_then(|()| self.idx.append_record(&record.encode(), LENGTH_AT));
        if first {
            done = done.and_then(|()| self.ts.append(&time));
        }
        done.map_err(|failure| self.undo(before, failure))
    }

    /// Appends a batch with one write per file at most.
    pub fn append_batch(&mut self, records: &[u8], payloads: &[u8], times: &[u8]) -> Result<(), LogError> {
        if self.stale > 0 && self.idx.end() > 0 {
            self.drop_stale_times().map_err(LogError::Io)?;
        }
        let before = [self.dat.end(), self.idx.end(), self.ts.end()];
        let mut done = self.dat.append(payloads);
        let first = before[1] == 0;
        if !first {
            done = done.and_then(|()| self.ts.append(times));
        }
        done = done.and_then(|()| self.idx.append_whole(records));
        if first {
            done = done.and_then(|()| self.ts.append(times));
        }
        done.map_err(|failure| self.undo(before, failure))
    }

    fn undo(&mut self, [dat, idx, ts]: [u64; 3], failure: Failure) -> LogError {
        let (text, mut stuck) = match failure {
            Failure::Undone(text) => (text, false),
            Failure::Stuck(text) => (text, true),
        };
        // Payloads go only when no record can name them any more.
        stuck = stuck || self.idx.roll_back(idx).is_err();
        stuck = stuck || self.ts.roll_back(ts).is_err() || self.dat.roll_back(dat).is_err();
        self.poisoned |= stuck;
        LogError::Io(text)
    }

    /// Gives the files their exact lengths.
    pub fn trim(&mut self) -> Stored<()> {
        self.dat.trim()?;
        self.idx.trim()?;
        self.ts.trim()
    }

    /// Flushes dat, idx, ts.
    pub fn sync(&self) -> Stored<()> {
        self.files().iter().try_for_each(StoredFile::sync)
    }

    /// Goes over to a new generation, which is complete and named by the manifest, and removes the old one.
    pub fn switch(&mut self, generation: u32, files: [S::File; 3], ends: [u64; 2]) {
        let [dat, idx, ts] = files;
        let [dat_end, records] = ends;
        self.dat = Appender::new(dat, dat_end, Fill::Zeros, AHEAD[0]);
        self.idx = Appender::new(idx, records * RECORD as u64, Fill::Torn, AHEAD[1]);
        self.ts = Appender::new(ts, records * TIME as u64, Fill::Zeros, AHEAD[2]);
        let old = generation::path(&self.root, self.generation);
        self.generation = generation;
        self.poisoned = false;
        self.stale = 0;
        let _ = generation::remove(&self.storage, &old);
    }

    /// Trims, flushes, and gives the lock back.
    pub fn close(&mut self) -> Stored<()> {
        let done = self.trim().and_then(|()| self.sync());
        self.lock = None;
        done
    }
}

impl<S: Storage> Drop for Disk<S> {
    /// Nothing is flushed, but the files get their exact lengths.
    fn drop(&mut self) {
        let _ = self.dat.trim().and(self.idx.trim()).and(self.ts.trim());
    }
}
