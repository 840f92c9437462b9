//! Sends that were held back to leave together with the next ones.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Sends that follow each other this closely leave together. Microseconds.
const TOGETHER: u64 = 100;
/// What was held back leaves after so long even when its thread does not ask for it. Microseconds.
const HELD_AT_MOST: u64 = 1_000;
/// Bytes of frames that are held back at most: one send with segmentation offload.
const MAX_HELD: usize = 56 << 10;

/// What is held back for the next send. Written under the port's lock, except that a flush begins anew.
#[derive(Default)]
pub(super) struct Held {
    /// Since when; 0 = nothing is held back.
    since: AtomicU64,
    /// Bytes of frames.
    bytes: AtomicUsize,
    /// When a send last left.
    sent_at: AtomicU64,
}

impl Held {
    /// Whether so many more bytes may wait for the next send.
    pub fn admits(&self, now: u64, bytes: usize) -> bool {
        let held = self.bytes.load(Ordering::Relaxed) + bytes;
        if held > MAX_HELD || now.saturating_sub(self.sent_at.load(Ordering::Relaxed)) >= TOGETHER {
            return false;
        }
        self.bytes.store(held, Ordering::Relaxed);
        if self.since.load(Ordering::Relaxed) == 0 {
            self.since.store(now.max(1), Ordering::SeqCst);
        }
        true
    }

    /// A send leaves now.
    pub fn sent(&self, now: u64) {
        self.sent_at.store(now, Ordering::Relaxed);
    }

    /// Everything leaves now.
    pub fn clear(&self, now: u64) {
        self.bytes.store(0, Ordering::Relaxed);
        if self.since.swap(0, Ordering::SeqCst) != 0 {
            self.sent_at.store(now, Ordering::Relaxed);
        }
    }

    /// When it leaves at the latest; the end of time when nothing is held back.
    pub fn deadline(&self) -> u64 {
        match self.since.load(Ordering::SeqCst) {
            0 => u64::MAX,
            since => since + HELD_AT_MOST,
        }
    }
}
