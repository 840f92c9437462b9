//! What can go wrong with a log, in the words of the published API.

use std::fmt;

/// Failure of a log operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError {
    /// The log was closed.
    Closed,
    /// The live payload bytes would pass their limit.
    TooLarge {
        /// Bytes of the payload or batch.
        size: u64,
        /// Bytes that are left.
        max: u64,
    },
    /// The 32-bit offset of the disk format would overflow.
    Overflow {
        /// The offset that does not fit.
        offset: u64,
    },
    /// The storage failed.
    Io(String),
    /// A failed write could not be undone.
    Poisoned,
    /// Another process holds the channel.
    Locked,
}

impl LogError {
    /// Number of the kind, as in `LogStatus` of the TypeScript door.
    pub fn status(&self) -> u32 {
        match self {
            Self::Closed => 1,
            Self::TooLarge { .. } => 2,
            Self::Overflow { .. } => 3,
            Self::Io(_) => 4,
            Self::Poisoned => 5,
            Self::Locked => 7,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "file closed"),
            Self::TooLarge { size, max } => write!(f, "payload too large: {size} bytes (max {max})"),
            Self::Overflow { offset } => {
                write!(f, "segment offset overflow: offset {offset} exceeds u32::MAX")
            }
            Self::Io(text) => write!(f, "io: {text}"),
            Self::Poisoned => write!(
                f,
                "io: redex segment is poisoned (partial-write rollback could not restore on-disk state to match \
                 in-memory); close and re-open the channel to recover"
            ),
            Self::Locked => write!(f, "io: channel is in use by another process"),
        }
    }
}

impl std::error::Error for LogError {}
