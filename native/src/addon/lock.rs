//! Advisory locks of the operating system on files.

use napi::bindgen_prelude::{Error, Result, Status};
use napi_derive::napi;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};

/// An exclusive advisory lock on a file, held until `release` or the end of the process.
#[napi]
pub struct FileLock(Option<File>);

#[napi]
impl FileLock {
    /// Tries to lock `path` (created when missing) and then writes `content` into the file. See `held`.
    #[napi(constructor, catch_unwind)]
    pub fn new(path: String, content: String) -> Result<FileLock> {
        // The file may be removed by the holder that ends between our open and our lock: then lock its successor.
        for _ in 0..64 {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(FileLock(None)),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            if !same_file(&file, &path) {
                continue;
            }
            file.set_len(0).map_err(io)?;
            file.rewind().map_err(io)?;
            file.write_all(content.as_bytes()).map_err(io)?;
            return Ok(FileLock(Some(file)));
        }
        Ok(FileLock(None))
    }

    /// Whether this object holds the lock; false when another holder had it.
    #[napi(getter)]
    pub fn held(&self) -> bool {
        self.0.is_some()
    }

    /// Gives the lock up. Remove the file before, so that nobody locks a file without a name.
    #[napi(catch_unwind)]
    pub fn release(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &str) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn same_file(_file: &File, _path: &str) -> bool {
    true
}

fn io(error: std::io::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}
