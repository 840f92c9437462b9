//! Append-only logs: record codec, checksums, index, payload space, recovery, retention, compaction.
//!
//! Pure: bytes and time go in, bytes come out. What touches files goes through [`storage::Storage`], which the addon
//! implements over the operating system and TypeScript over `node:fs`, the browser's file system or memory.

pub mod appender;
pub mod area;
pub mod compaction;
pub mod disk;
pub mod error;
pub mod generation;
pub mod index;
pub mod journal;
pub mod load;
pub mod manifest;
pub mod memory;
pub mod record;
pub mod recovery;
pub mod retention;
pub mod space;
pub mod storage;
pub mod verify;

pub use error::LogError;
pub use journal::Journal;
pub use retention::Retention;
