//! What a persistent log needs of the files below it. Failures are texts, ready for `io: <text>`.

/// Result of a storage call.
pub type Stored<T> = Result<T, String>;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Name without path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A home of persistent logs.
pub trait Storage {
    /// An open file.
    type File: StoredFile;
    /// A held lock; dropping it gives it back.
    type Lock;

    /// Creates a directory and its parents.
    fn make_dir(&self, path: &str) -> Stored<()>;
    /// Entries of a directory; `None` when there is none.
    fn list(&self, path: &str) -> Stored<Option<Vec<DirEntry>>>;
    /// Opens a file; `None` when it is missing and not to be created, or is not a regular file.
    fn open(&self, path: &str, create: bool) -> Stored<Option<Self::File>>;
    /// Renames; an existing file is replaced in one step.
    fn rename(&self, from: &str, to: &str) -> Stored<()>;
    /// Removes a file or an empty directory; a missing one is fine.
    fn remove(&self, path: &str) -> Stored<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &str) -> Stored<()>;
    /// Takes an exclusive lock; `None` when another process holds it.
    fn lock(&self, path: &str) -> Stored<Option<Self::Lock>>;
}

/// An open file.
pub trait StoredFile {
    /// Memory that is the file.
    type Window: Window;

    /// Length in bytes.
    fn length(&self) -> Stored<u64>;
    /// Reads at an offset; 0 = end of file.
    fn read_at(&self, at: u64, into: &mut [u8]) -> Stored<usize>;
    /// Reads the first `length` bytes in pieces of `piece` bytes, each with room for a whole one. What the file does not
    /// have is zeros.
    fn read_pieces(&self, length: u64, piece: usize) -> Stored<Vec<Vec<u8>>> {
        let mut pieces = empty_pieces(length, piece)?;
        read_run(self, 0, length, piece, &mut pieces)?;
        Ok(pieces)
    }
    /// Writes all bytes at an offset.
    fn write_at(&self, at: u64, bytes: &[u8]) -> Stored<()>;
    /// Sets the length.
    fn truncate(&self, length: u64) -> Stored<()>;
    /// Makes content and length durable.
    fn sync(&self) -> Stored<()>;
    /// Maps a part of the file that exists; `None` where that cannot be done safely.
    fn window(&self, from: u64, length: usize) -> Option<Self::Window>;
}

/// Memory that is a part of a file: a store into it survives the end of the process.
pub trait Window {
    /// Stores bytes.
    fn put(&mut self, at: usize, bytes: &[u8]);
    /// Stores a word (at a multiple of 4) after everything that was stored before.
    fn commit(&mut self, at: usize, word: u32);
    /// Whether a store went nowhere, because somebody cut the file.
    fn is_lost(&self) -> bool;
}

/// The window of storages that have none.
#[derive(Debug)]
pub enum NoWindow {}

impl Window for NoWindow {
    fn put(&mut self, _: usize, _: &[u8]) {
        match *self {}
    }
    fn commit(&mut self, _: usize, _: u32) {
        match *self {}
    }
    fn is_lost(&self) -> bool {
        match *self {}
    }
}

/// Reads until the buffer is full or the file ends; returns how many bytes it was.
pub fn read_fully<F: StoredFile + ?Sized>(file: &F, at: u64, into: &mut [u8]) -> Stored<usize> {
    let mut have = 0;
    while have < into.len() {
        match file.read_at(at + have as u64, &mut into[have..])? {
            0 => break,
            count => have += count,
        }
    }
    Ok(have)
}

/// Reads a whole file, at most `limit` bytes.
pub fn read_all<F: StoredFile>(file: &F, limit: u64) -> Stored<Vec<u8>> {
    let mut bytes = vec![0; file.length()?.min(limit) as usize];
    let have = read_fully(file, 0, &mut bytes)?;
    bytes.truncate(have);
    Ok(bytes)
}

/// Room for `length` bytes in pieces of `piece` bytes. A file that is too long for the memory there is, is an error.
pub fn empty_pieces(length: u64, piece: usize) -> Stored<Vec<Vec<u8>>> {
    let room = || {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(piece).map(|()| bytes)
    };
    (0..length.div_ceil(piece as u64))
        .map(|_| room())
        .collect::<Result<_, _>>()
        .map_err(|_| format!("not enough memory to read {length} bytes of dat"))
}

/// Fills neighbouring pieces, of which the first begins at `at`, with the bytes of a file up to `end`.
pub fn read_run<F: StoredFile + ?Sized>(
    file: &F,
    at: u64,
    end: u64,
    piece: usize,
    run: &mut [Vec<u8>],
) -> Stored<()> {
    for (i, bytes) in run.iter_mut().enumerate() {
        let at = at + (i * piece) as u64;
        bytes.resize((end - at).min(piece as u64) as usize, 0);
        read_fully(file, at, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_memory_cannot_hold_is_an_error() {
        assert!(empty_pieces(1 << 62, 1 << 61).is_err_and(|text| text.starts_with("not enough memory")));
        assert_eq!(empty_pieces(5, 4).map(|pieces| pieces.len()), Ok(2));
    }
}
