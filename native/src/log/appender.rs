//! One file that only grows at its end. Where the storage can map files, room is written ahead and appends are plain
//! stores into it; a crash leaves that room behind, and every reader cuts it off. Elsewhere each append is a write.

use super::record::{FILLER, RECORD};
use super::storage::{Stored, StoredFile, Window};

const PAGE: u64 = 4096;
/// Appends from this size on are written, not stored: one system call for many pages.
const BY_WRITE: usize = 16 * 1024;
const FILL_BLOCK: usize = RECORD * PAGE as usize;

/// What room ahead of the end looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Zeros: unreferenced bytes of `dat`, surplus times of `ts`.
    Zeros,
    /// Records that every reader takes for torn ([`FILLER`]).
    Torn,
}

/// Why an append failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nothing has changed.
    Undone(String),
    /// What was written could not be taken back.
    Stuck(String),
}

struct Mapped<W> {
    from: u64,
    to: u64,
    memory: W,
}

/// The growing end of a file.
pub struct Appender<F: StoredFile> {
    file: F,
    fill: Fill,
    /// Length as the log sees it.
    end: u64,
    /// Length of the file.
    physical: u64,
    mapped: Option<Mapped<F::Window>>,
    can_map: bool,
    ahead: u64,
    most_ahead: u64,
}

impl<F: StoredFile> Appender<F> {
    /// Appends to a file from `end` on, which is its length. `most_ahead`: most bytes of room, 0 = always write.
    pub fn new(file: F, end: u64, fill: Fill, most_ahead: u64) -> Self {
        Self {
            file,
            fill,
            end,
            physical: end,
            mapped: None,
            can_map: most_ahead > 0,
            ahead: (most_ahead / 64).max(PAGE),
            most_ahead,
        }
    }

    /// The file.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// Length as the log sees it.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() < BY_WRITE && self.reserve(bytes.len()) {
            if let Some(mapped) = &mut self.mapped {
                mapped.memory.put((self.end - mapped.from) as usize, bytes);
                return self.stored(bytes.len());
            }
        }
        self.write(bytes)
    }

    /// Adds one record whose word at `last` is stored after the rest, so that a crash leaves all of it or none.
    pub fn append_record(&mut self, record: &[u8; RECORD], last: usize) -> Result<(), Failure> {
        if !self.reserve(RECORD) {
            return self.write(record);
        }
        let Some(mapped) = &mut self.mapped else {
            return self.write(record);
        };
        let at = (self.end - mapped.from) as usize;
        mapped.memory.put(at, &record[..last]);
        mapped.memory.put(at + last + 4, &record[last + 4..]);
        let word = [record[last], record[last + 1], record[last + 2], record[last + 3]];
        mapped.memory.commit(at + last, u32::from_le_bytes(word));
        self.stored(RECORD)
    }

    /// Adds bytes by one write, so that a crash does not leave a part of them.
    pub fn append_whole(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        // Room that is there already spares the file system a change of length at the next flush.
        if bytes.len() < BY_WRITE {
            self.reserve(bytes.len());
        }
        self.write(bytes)
    }

    fn stored(&mut self, length: usize) -> Result<(), Failure> {
        if self.mapped.as_ref().is_some_and(|mapped| mapped.memory.is_lost()) {
            return Err(Failure::Stuck("the file was cut by another program".into()));
        }
        self.end += length as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.file.write_at(self.end, bytes) {
            Ok(()) => {
                self.end += bytes.len() as u64;
                self.physical = self.physical.max(self.end);
                Ok(())
            }
            Err(text) => {
                self.physical = u64::MAX;
                match self.trim() {
                    Ok(()) => Err(Failure::Undone(text)),
                    Err(_) => Err(Failure::Stuck(text)),
                }
            }
        }
    }

    /// Makes sure that `length` bytes after the end can be stored. False = write instead.
    fn reserve(&mut self, length: usize) -> bool {
        let needed = self.end + length as u64;
        if self
            .mapped
            .as_ref()
            .is_some_and(|mapped| mapped.from <= self.end && needed <= mapped.to)
        {
            return true;
        }
        if !self.can_map {
            return false;
        }
        self.mapped = None;
        if self
            .extend(needed.max((self.end + self.ahead).next_multiple_of(PAGE)))
            .is_err()
        {
            return false;
        }
        let from = self.end / PAGE * PAGE;
        let to = self.physical;
        match self.file.window(from, (to - from) as usize) {
            Some(memory) => {
                self.mapped = Some(Mapped { from, to, memory });
                self.ahead = (self.ahead * 4).min(self.most_ahead);
                true
            }
            None => {
                self.can_map = false;
                // Room that cannot be used would only be in the way.
                let _ = self.trim();
                false
            }
        }
    }

    /// Writes room up to a length; a disk without space gets its old length back.
    fn extend(&mut self, to: u64) -> Stored<()> {
        let before = self.physical;
        while self.physical < to {
            let length = (to - self.physical).min((FILL_BLOCK - RECORD) as u64) as usize;
            let shift = (self.physical % RECORD as u64) as usize;
            let block = match self.fill {
                Fill::Zeros => &ZEROS[..length],
                Fill::Torn => &TORN[shift..shift + length],
            };
            if let Err(text) = self.file.write_at(self.physical, block) {
                self.file.truncate(before)?;
                self.physical = before;
                return Err(text);
            }
            self.physical += length as u64;
        }
        Ok(())
    }

    /// Takes back what was added after `end`.
    pub fn roll_back(&mut self, end: u64) -> Stored<()> {
        if end >= self.end {
            return Ok(());
        }
        let length = (self.end - end) as usize;
        self.end = end;
        match &mut self.mapped {
            Some(mapped) if mapped.from <= end && end + length as u64 <= mapped.to => {
                let at = (end - mapped.from) as usize;
                match self.fill {
                    Fill::Zeros => (0..length).for_each(|i| mapped.memory.put(at + i, &[0])),
                    Fill::Torn => {
                        (0..length / RECORD).for_each(|i| mapped.memory.put(at + i * RECORD, &FILLER))
                    }
                }
                Ok(())
            }
            _ => self.trim(),
        }
    }

    /// Cuts the room off: the file gets its exact length.
    pub fn trim(&mut self) -> Stored<()> {
        self.mapped = None;
        if self.physical > self.end {
            self.file.truncate(self.end)?;
            self.physical = self.end;
        }
        Ok(())
    }
}

static ZEROS: [u8; FILL_BLOCK] = [0; FILL_BLOCK];
static TORN: [u8; FILL_BLOCK] = {
    let mut block = [0; FILL_BLOCK];
    let mut at = 0;
    while at < FILL_BLOCK {
        block[at] = FILLER[at % RECORD];
        at += 1;
    }
    block
};
