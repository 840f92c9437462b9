//! A log: memory, and below it the files, if it is persistent. Disk before memory, always (50 §9.1).

use super::compaction::Compaction;
use super::disk::{open_file, Disk};
use super::error::LogError;
use super::generation;
use super::load::{load, Loaded};
use super::memory::Memory;
use super::record::{checksum, Record, INLINE, RECORD, TIME};
use super::retention::Retention;
use super::storage::{Storage, Stored, StoredFile};

/// Evicted bytes on disk below this are never worth a compaction while the log is open.
const COMPACT_MIN: u64 = 1 << 20;
/// A log with at most so many live bytes is always compacted when it is closed.
const COMPACT_AT_CLOSE: u64 = 16 << 20;

/// What the last open found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Damaged records, set aside.
    pub damaged: u64,
    /// Records that a crash left unfinished, dropped.
    pub torn: u64,
}

/// Outcome of one step of a compaction.
pub enum Step<F> {
    /// There is more to do.
    More,
    /// These files should be flushed, without holding appends up, before the next step; [`Journal::flushed`] is told.
    Flush([F; 3]),
    /// The files are as small as they can be.
    Done,
}

/// One log.
pub struct Journal<S: Storage> {
    memory: Memory,
    disk: Option<Disk<S>>,
    persistent: bool,
    closed: bool,
    found: Found,
    compaction: Option<Compaction<S::File>>,
    scratch: Vec<u8>,
    times: Vec<u8>,
}

impl<S: Storage> Journal<S>
where
    S::File: Clone,
{
    /// An empty log in memory.
    pub fn in_memory(retention: Retention) -> Self {
        Self::with(Memory::new(retention, false), None, Found::default())
    }

    fn with(memory: Memory, disk: Option<Disk<S>>, found: Found) -> Self {
        let persistent = disk.is_some();
        let (scratch, times) = (Vec::new(), Vec::new());
        Self {
            memory,
            disk,
            persistent,
            closed: false,
            found,
            compaction: None,
            scratch,
            times,
        }
    }

    /// Opens the channel directory `root`, recovering what a crash or damage left. `now` in unix ns.
    pub fn open(storage: S, root: &str, retention: Retention, now: u64) -> Result<Self, LogError> {
        storage.make_dir(root).map_err(LogError::Io)?;
        let lock = storage
            .lock(&format!("{root}/~lock"))
            .map_err(LogError::Io)?
            .ok_or(LogError::Locked)?;
        Self::recover(storage, root, retention, now, lock).map_err(LogError::Io)
    }

    fn recover(storage: S, root: &str, retention: Retention, now: u64, lock: S::Lock) -> Stored<Self> {
        let live = generation::find(&storage, root)?;
        let directory = generation::path(root, live);
        let [dat, idx, ts] = ["dat", "idx", "ts"].map(|name| open_file(&storage, &directory, name));
        let (dat, idx, ts) = (dat?, idx?, ts?);
        let mut memory = Memory::new(retention, true);
        let Loaded {
            cut,
            dat_length,
            idx_length,
            known,
            walk,
        } = load([&dat, &idx, &ts], &mut memory, now)?;
        let found = Found {
            damaged: walk.damage().len() as u64,
            torn: cut.torn,
        };
        memory.skip_to(walk.next_seq());

        if walk.is_damaged() {
            let fresh = live
                .checked_add(1)
                .ok_or("no generation number is left; re-create the channel")?;
            let mut copy = Compaction::begin(&storage, root, fresh, &memory, 0)?;
            copy.rest(&memory)?;
            copy.publish(&storage, root)?;
            drop((dat, idx, ts));
            generation::set_aside(&storage, root, live, now);
            generation::sweep(&storage, root, fresh);
            let mut disk = Disk::new(storage, root.into(), fresh, copy.files(), copy.ends(), Some(lock));
            disk.base = copy.base;
            return Ok(Self::with(memory, Some(disk), found));
        }
        if idx_length != cut.records * RECORD as u64 {
            idx.truncate(cut.records * RECORD as u64)?;
            idx.sync()?;
        }
        if dat_length != cut.dat {
            dat.truncate(cut.dat)?;
            dat.sync()?;
        }
        let ts_length = ts.length()?;
        if ts_length != cut.records * TIME as u64 && cut.records > 0 {
            let missing = now.to_le_bytes().repeat((cut.records - known) as usize);
            ts.truncate(known * TIME as u64)?;
            ts.write_at(known * TIME as u64, &missing)?;
            ts.sync()?;
        }
        generation::sweep(&storage, root, live);
        let mut disk = Disk::new(
            storage,
            root.into(),
            live,
            [dat, idx, ts],
            [cut.dat, cut.records],
            Some(lock),
        );
        if cut.records == 0 && ts_length > 0 {
            disk.has_stale_times(ts_length);
        }
        Ok(Self::with(memory, Some(disk), found))
    }

    /// What is in memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What the open found.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Live generation, 0 for logs in memory and closed ones.
    pub fn generation(&self) -> u32 {
        self.disk.as_ref().map_or(0, |disk| disk.generation)
    }

    /// Whether a failed write could not be undone.
    pub fn is_poisoned(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.poisoned)
    }

    /// Whether appends need the time.
    pub fn needs_time(&self) -> bool {
        self.persistent || self.memory.is_bounded()
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.closed || (self.persistent && self.disk.is_none()) {
            return Err(LogError::Closed);
        }
        if self.is_poisoned() {
            return Err(LogError::Poisoned);
        }
        Ok(())
    }

    /// Appends one event and returns its sequence.
    pub fn append(&mut self, payload: &[u8], now: u64) -> Result<u64, LogError> {
        self.check_open()?;
        self.memory.check_room(payload.len() as u64)?;
        let tag = checksum(payload);
        if let Some(disk) = &mut self.disk {
            let offset = match disk.offset(self.memory.space_end()) {
                Ok(offset) => offset,
                Err(overflow) => return self.make_room(overflow).and_then(|()| self.append(payload, now)),
            };
            let record = Record::heap(self.memory.next_seq(), offset, payload.len() as u32, tag);
            disk.append(record, payload, now)?;
        }
        let seq = self.memory.push(payload, tag, now);
        if self.memory.is_bounded() && self.memory.wants_eviction() {
            self.memory.evict(now);
        }
        Ok(seq)
    }

    /// Appends all payloads, which lie back to back, or none. Returns the first sequence (the next one for no payloads).
    pub fn append_batch(&mut self, lengths: &[u32], payloads: &[u8], now: u64) -> Result<u64, LogError> {
        self.check_open()?;
        let first = self.memory.next_seq();
        if lengths.is_empty() {
            return Ok(first);
        }
        self.memory.check_room(payloads.len() as u64)?;
        if let Some(disk) = &mut self.disk {
            let ends = disk.offset(self.memory.space_end() + payloads.len() as u64);
            if let Err(overflow) = ends {
                return self
                    .make_room(overflow)
                    .and_then(|()| self.append_batch(lengths, payloads, now));
            }
            let mut offset = disk.offset(self.memory.space_end())?;
            self.scratch.clear();
            self.times.clear();
            for (seq, (length, payload)) in (first..).zip(pieces(lengths, payloads)) {
                let record = Record::heap(seq, offset, length, checksum(payload));
                self.scratch.extend_from_slice(&record.encode());
                self.times.extend_from_slice(&now.to_le_bytes());
                offset = offset.wrapping_add(length);
            }
            disk.append_batch(&self.scratch, payloads, &self.times)?;
        }
        // The records that were just written know the checksums.
        let persistent = self.disk.is_some();
        let mut records = self.scratch.chunks_exact(RECORD);
        for (_, payload) in pieces(lengths, payloads) {
            match records.next().filter(|_| persistent).and_then(Record::decode) {
                Some(record) => self.memory.push(payload, record.tag, now),
                None => self.memory.append(payload, now),
            };
        }
        if self.memory.is_bounded() && self.memory.wants_eviction() {
            self.memory.evict(now);
        }
        Ok(first)
    }

    /// A file that reached the end of its 32-bit offsets is rewritten, if something in it was evicted.
    fn make_room(&mut self, overflow: LogError) -> Result<(), LogError> {
        let before = self.disk.as_ref().map_or(0, |disk| disk.base);
        self.abandon_compaction();
        self.compact().map_err(LogError::Io)?;
        if self.disk.as_ref().map_or(0, |disk| disk.base) > before {
            Ok(())
        } else {
            Err(overflow)
        }
    }

    /// Applies retention in memory.
    pub fn evict(&mut self, now: u64) -> u64 {
        self.memory.evict(now)
    }

    /// Drops every event below a sequence; the files keep them until the next compaction.
    pub fn trim(&mut self, below: u64) {
        self.memory.evict_below(below);
    }

    fn evicted_on_disk(&self) -> (u64, u64) {
        let Some(disk) = &self.disk else { return (0, 0) };
        let anchor = self.memory.anchor();
        let records = anchor.saturating_sub(disk.first);
        let payload = self.memory.index().get(anchor).map_or(0, |entry| {
            if entry.tag & INLINE == 0 {
                entry.start.saturating_sub(disk.base)
            } else {
                0
            }
        });
        (payload + records * RECORD as u64, disk.size())
    }

    /// Whether enough was evicted to rewrite the files now.
    pub fn compaction_due(&self) -> bool {
        let (evicted, size) = self.evicted_on_disk();
        evicted > COMPACT_MIN.max(size / 2)
    }

    /// Whether the files should be rewritten before they are closed.
    pub fn compaction_due_at_close(&self) -> bool {
        let (evicted, size) = self.evicted_on_disk();
        let live = size.saturating_sub(evicted);
        evicted > 0 && (live <= COMPACT_AT_CLOSE || evicted >= live / 16)
    }

    /// One step of a compaction; appends may come between steps.
    pub fn compact_step(&mut self) -> Stored<Step<S::File>> {
        let step = self.try_compact_step();
        if step.is_err() {
            self.abandon_compaction();
        }
        step
    }

    fn try_compact_step(&mut self) -> Stored<Step<S::File>> {
        let Some(disk) = &mut self.disk else {
            return Ok(Step::Done);
        };
        let Some(compaction) = &mut self.compaction else {
            let first = self.memory.anchor();
            if first <= disk.first {
                return Ok(Step::Done);
            }
            let fresh = disk.generation.checked_add(1).ok_or(
                "compact_to: live_gen at u32::MAX; refusing further compactions (re-create the channel to reset)",
            )?;
            self.memory.pin(Some(first));
            self.compaction = Some(Compaction::begin(
                &disk.storage,
                &disk.root,
                fresh,
                &self.memory,
                first,
            )?);
            return Ok(Step::More);
        };
        if compaction.slice(&self.memory)? {
            return Ok(Step::More);
        }
        if !compaction.flushed {
            compaction.flushed = true;
            return Ok(Step::Flush(compaction.files()));
        }
        compaction.rest(&self.memory)?;
        compaction.publish(&disk.storage, &disk.root)?;
        disk.base = compaction.base;
        disk.first = compaction.first;
        disk.switch(compaction.generation, compaction.files(), compaction.ends());
        self.compaction = None;
        self.memory.pin(None);
        Ok(Step::Done)
    }

    /// How the flush went that a step of the compaction asked for. What could not be flushed may be lost, and a second
    /// flush would not say so again: the compaction begins anew.
    pub fn flushed(&mut self, done: Stored<()>) -> Stored<()> {
        if done.is_err() {
            self.abandon_compaction();
        }
        done
    }

    fn abandon_compaction(&mut self) {
        let Some(compaction) = self.compaction.take() else {
            return;
        };
        self.memory.pin(None);
        if let Some(disk) = &self.disk {
            let path = generation::path(&disk.root, compaction.generation);
            drop(compaction);
            let _ = generation::remove(&disk.storage, &path);
        }
    }

    /// A whole compaction at once.
    pub fn compact(&mut self) -> Stored<()> {
        loop {
            match self.compact_step()? {
                Step::More => {}
                Step::Flush(files) => self.flushed(files.iter().try_for_each(StoredFile::sync))?,
                Step::Done => return Ok(()),
            }
        }
    }

    /// The open files dat, idx, ts, for a flush that does not hold appends up.
    pub fn files(&self) -> Option<[S::File; 3]> {
        self.disk.as_ref().map(Disk::files)
    }

    /// Moves the next sequence forward: the ones below are never given out.
    pub fn skip_to(&mut self, next: u64) {
        self.memory.skip_to(next);
    }

    /// Appends fail from now on; reads go on.
    pub fn shut(&mut self) {
        self.closed = true;
    }

    /// Whether `shut` was called.
    pub fn is_shut(&self) -> bool {
        self.closed
    }

    /// Gives the files their exact lengths, flushes and closes them, and gives the lock back.
    pub fn close(&mut self) -> Stored<()> {
        self.closed = true;
        self.abandon_compaction();
        match self.disk.take() {
            Some(mut disk) => disk.close(),
            None => Ok(()),
        }
    }
}

/// Payloads that lie back to back, with their lengths.
fn pieces<'a>(lengths: &'a [u32], payloads: &'a [u8]) -> impl Iterator<Item = (u32, &'a [u8])> {
    let mut rest = payloads;
    lengths.iter().map(move |length| {
        let (piece, after) = rest.split_at((*length as usize).min(rest.len()));
        rest = after;
        (*length, piece)
    })
}
