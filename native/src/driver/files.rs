//! Logs on files of the operating system. On Linux, on file systems where it is safe, appends are stores into mapped
//! room that was written ahead; elsewhere they are writes.

use crate::log::storage::{empty_pieces, read_run, DirEntry, Storage, Stored, StoredFile};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Files from this length on are read by several threads, 4 at most.
const PARALLEL_FROM: u64 = 16 << 20;
const READERS: usize = 4;
/// Pieces that a thread reads before it asks for more.
const RUN: usize = 16;

fn text(error: io::Error) -> String {
    error.to_string()
}

/// Files of the operating system.
#[derive(Debug, Clone, Default)]
pub struct Files;

/// An open file. Clones share it, so that it can be flushed while others append.
#[derive(Debug, Clone)]
pub struct OsFile(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    file: File,
    /// Length as far as this process knows.
    length: AtomicU64,
    /// Whether the length, and with it the file system's own records, changed since the last flush.
    resized: AtomicBool,
    /// Whether a flush of unchanged records may be shared with other files.
    can_share: bool,
}

impl OsFile {
    fn new(file: File, length: u64) -> Self {
        let can_share = platform::overwrites_in_place(&file);
        let resized = AtomicBool::new(true);
        Self(Arc::new(Opened {
            file,
            length: AtomicU64::new(length),
            resized,
            can_share,
        }))
    }

    /// Makes what is there durable; a flush of the device's cache that a later one will do anyway is left out.
    fn settle(&self) -> Stored<()> {
        if !self.0.can_share || self.0.resized.load(Ordering::Acquire) {
            return self.sync();
        }
        // A failure is reported once by the system: a flush after it would say that all is well.
        match platform::write_out(&self.0.file) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.sync(),
            done => done.map_err(text),
        }
    }

    /// Starts to bring the content to the device.
    fn begin_write_out(&self) {
        if self.0.can_share {
            platform::begin_write_out(&self.0.file);
        }
    }
}

/// Makes dat, idx and ts durable, in this order. Where blocks are overwritten in place and no length has changed, the
/// contents are brought to the device and one flush at the end covers all three. Records start when the payloads that
/// they name are there; the times, which nothing depends on, travel with them.
pub fn flush(files: &[OsFile; 3]) -> Stored<()> {
    let [dat, idx, ts] = files;
    dat.settle()?;
    idx.begin_write_out();
    ts.begin_write_out();
    idx.settle()?;
    ts.sync()
}

impl Storage for Files {
    type File = OsFile;
    type Lock = FileLock;

    fn make_dir(&self, path: &str) -> Stored<()> {
        fs::create_dir_all(path).map_err(text)
    }

    fn list(&self, path: &str) -> Stored<Option<Vec<DirEntry>>> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None)
            }
            Err(error) => return Err(text(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(text)?;
            let is_dir = entry.file_type().map_err(text)?.is_dir();
            all.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir,
            });
        }
        Ok(Some(all))
    }

    fn open(&self, path: &str, create: bool) -> Stored<Option<OsFile>> {
        match OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(path)
        {
            Ok(file) => {
                let about = file.metadata().map_err(text)?;
                Ok(about.is_file().then(|| OsFile::new(file, about.len())))
            }
            Err(error)
                if !create && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) =>
            {
                Ok(None)
            }
            Err(error) => Err(text(error)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Stored<()> {
        fs::rename(from, to).map_err(text)
    }

    fn remove(&self, path: &str) -> Stored<()> {
        let done = match fs::symlink_metadata(path) {
            Ok(kind) if kind.is_dir() => fs::remove_dir(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match done {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map_err(text),
        }
    }

    fn sync_dir(&self, path: &str) -> Stored<()> {
        if cfg!(windows) {
            return Ok(());
        }
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(text)
    }

    fn lock(&self, path: &str) -> Stored<Option<FileLock>> {
        FileLock::take(Path::new(path)).map_err(text)
    }
}

impl StoredFile for OsFile {
    type Window = platform::Map;

    fn length(&self) -> Stored<u64> {
        Ok(self.0.file.metadata().map_err(text)?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Stored<usize> {
        platform::read_at(&self.0.file, at, into).map_err(text)
    }

    /// Reads long files on several threads, the first touch of whose memory costs more than the reading.
    fn read_pieces(&self, length: u64, piece: usize) -> Stored<Vec<Vec<u8>>> {
        let mut pieces = empty_pieces(length, piece)?;
        // Where a read moves the position of the file, threads would get in each other's way.
        let helpers = if length < PARALLEL_FROM || cfg!(not(unix)) {
            0
        } else {
            thread::available_parallelism().map_or(0, |cores| cores.get().min(READERS) - 1)
        };
        let runs = Mutex::new(pieces.chunks_mut(RUN).enumerate());
        let read = || -> Stored<()> {
            loop {
                let next = runs.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((i, run)) = next else { return Ok(()) };
                read_run(self, (i * RUN * piece) as u64, length, piece, run)?;
            }
        };
        thread::scope(|scope| {
            // A helper that cannot be started is done without.
            let helpers: Vec<_> = (0..helpers)
                .filter_map(|_| {
                    thread::Builder::new()
                        .name("meshring-read".into())
                        .stack_size(256 << 10)
                        .spawn_scoped(scope, read)
                        .ok()
                })
                .collect();
            let own = read();
            helpers.into_iter().fold(own, |done, helper| {
                let theirs = helper
                    .join()
                    .unwrap_or_else(|_| Err("a reading thread has failed".into()));
                done.and(theirs)
            })
        })?;
        Ok(pieces)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Stored<()> {
        let end = at + bytes.len() as u64;
        let done = platform::write_at(&self.0.file, at, bytes).map_err(text);
        // Marked when it has happened: a flush in between must not take the mark away from the one after it.
        if end > self.0.length.load(Ordering::Relaxed) {
            self.0.length.store(end, Ordering::Relaxed);
            self.0.resized.store(true, Ordering::Release);
        }
        done
    }

    fn truncate(&self, length: u64) -> Stored<()> {
        let done = self.0.file.set_len(length).map_err(text);
        self.0.length.store(length, Ordering::Relaxed);
        self.0.resized.store(true, Ordering::Release);
        done
    }

    fn sync(&self) -> Stored<()> {
        let resized = self.0.resized.swap(false, Ordering::AcqRel);
        self.0.file.sync_data().map_err(|error| {
            self.0.resized.fetch_or(resized, Ordering::AcqRel);
            text(error)
        })
    }

    fn window(&self, from: u64, length: usize) -> Option<platform::Map> {
        platform::Map::new(&self.0.file, from, length)
    }
}

/// Whether the open file is still what its path names.
pub fn is_live(file: &OsFile, path: &str) -> bool {
    match (file.0.file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => platform::same_file(&open, &named),
        _ => false,
    }
}

/// An exclusive lock of the operating system on a file, which also names its holder for processes that can't lock files.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    fn take(path: &Path) -> io::Result<Option<Self>> {
        // The path may be removed by the last holder between opening and locking: try again then.
        for _ in 0..16 {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let same = match (file.metadata(), fs::metadata(path)) {
                (Ok(open), Ok(named)) => platform::same_file(&open, &named),
                _ => false,
            };
            if !same {
                continue;
            }
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            if platform::is_living_holder(&holder) {
                return Ok(None);
            }
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(platform::holder().as_bytes())?;
            return Ok(Some(Self {
                file,
                path: path.into(),
            }));
        }
        Ok(None)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let same = match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => platform::same_file(&open, &named),
            _ => false,
        };
        if same {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    pub use super::mapped::{begin_write_out, overwrites_in_place, write_out, Map};
    pub use super::unix::*;
}

#[cfg(all(unix, not(target_os = "linux")))]
mod platform {
    pub use super::unix::*;
    pub use super::unmapped::{begin_write_out, overwrites_in_place, write_out, Map};
}

#[cfg(not(unix))]
mod platform {
    pub use super::portable::*;
    pub use super::unmapped::{begin_write_out, overwrites_in_place, write_out, Map};
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::os::unix::fs::{FileExt, MetadataExt};

    pub fn read_at(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
        file.read_at(into, at)
    }

    pub fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    pub fn same_file(a: &Metadata, b: &Metadata) -> bool {
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }

    /// Start time of a process in clock ticks since boot, `None` when there is no such process (or no /proc).
    fn start_of(pid: u32) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(19)
            .map(str::to_owned)
    }

    /// What this process writes into the lock file.
    pub fn holder() -> String {
        let pid = std::process::id();
        format!("{pid} {} addon\n", start_of(pid).unwrap_or_else(|| "0".into()))
    }

    /// Whether the text names a living process that cannot lock files (one that runs the WebAssembly build).
    pub fn is_living_holder(text: &str) -> bool {
        let mut words = text.split_whitespace();
        match (
            words.next().and_then(|pid| pid.parse().ok()),
            words.next(),
            words.next(),
        ) {
            (Some(pid), Some(start), Some("wasm")) => start_of(pid).as_deref() == Some(start),
            _ => false,
        }
    }
}

#[cfg(not(unix))]
mod portable {
    use std::fs::{File, Metadata};
    use std::io::{self, Read, Seek, SeekFrom, Write};

    pub fn read_at(mut file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
        file.seek(SeekFrom::Start(at))?;
        file.read(into)
    }

    pub fn write_at(mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }

    pub fn same_file(a: &Metadata, b: &Metadata) -> bool {
        a.created().ok() == b.created().ok()
    }

    pub fn holder() -> String {
        format!("{} 0 addon\n", std::process::id())
    }

    pub fn is_living_holder(_: &str) -> bool {
        false
    }
}

#[cfg(not(target_os = "linux"))]
mod unmapped {
    use crate::log::storage::Window;
    use std::fs::File;
    use std::io;

    pub fn overwrites_in_place(_: &File) -> bool {
        false
    }

    pub fn begin_write_out(_: &File) {}

    pub fn write_out(_: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// No file is mapped on this platform.
    #[derive(Debug)]
    pub enum Map {}

    impl Map {
        pub fn new(_: &File, _: u64, _: usize) -> Option<Self> {
            None
        }
    }

    impl Window for Map {
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
}

#[cfg(target_os = "linux")]
#[path = "mapped.rs"]
mod mapped;
