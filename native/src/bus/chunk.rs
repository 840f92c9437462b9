//! Memory of one segment: event bytes grow from the front, their index from the back.
//!
//! Large chunks are aligned to huge pages and, on Linux, marked for them: touching fresh memory page by page costs
//! more than everything else that happens to an event (measured: 1.6 µs a 4 KiB page, 0.2 µs with huge pages).

use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::ptr::NonNull;

/// Size of a huge page, and of the largest ordinary chunk.
#[cfg(not(target_arch = "wasm32"))]
pub const LARGEST: usize = 2 << 20;
/// WebAssembly memory never shrinks and has no pages to speak of.
#[cfg(target_arch = "wasm32")]
pub const LARGEST: usize = 256 << 10;

/// Bytes of one index entry: end offset u32, time stamp u64.
pub const ENTRY: usize = 12;

/// Events back to back and their index, in one allocation that never moves.
pub struct Chunk {
    memory: NonNull<u8>,
    capacity: usize,
    used: usize,
    events: usize,
}

// SAFETY: the chunk owns its memory; shared access is read-only.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Room for `capacity` bytes, index included.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(64);
        let layout = Self::layout(capacity);
        // SAFETY: the layout is not empty.
        let pointer = unsafe { alloc(layout) };
        let Some(memory) = NonNull::new(pointer) else {
            handle_alloc_error(layout)
        };
        #[cfg(all(target_os = "linux", feature = "addon"))]
        if capacity.is_multiple_of(LARGEST) {
            // SAFETY: the range was just allocated; the advice changes no contents. A kernel without huge pages
            // refuses, which costs nothing but speed.
            unsafe { libc::madvise(memory.as_ptr().cast(), capacity, libc::MADV_HUGEPAGE) };
        }
        Self {
            memory,
            capacity,
            used: 0,
            events: 0,
        }
    }

    fn layout(capacity: usize) -> Layout {
        let align = if capacity.is_multiple_of(LARGEST) {
            LARGEST
        } else {
            16
        };
        // SAFETY: the alignment is a power of two; capacities are far below isize::MAX.
        unsafe { Layout::from_size_align_unchecked(capacity, align) }
    }

    /// Makes the system back every page now. Only for a chunk without events.
    pub fn touch(&mut self) {
        if self.events > 0 {
            return;
        }
        for at in (0..self.capacity).step_by(4096) {
            // Volatile: a fresh allocation that is filled with zeros would become a lazy one.
            // SAFETY: the whole range is owned and holds nothing.
            unsafe { self.memory.as_ptr().add(at).write_volatile(0) };
        }
    }

    /// Capacity in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of events.
    #[inline]
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Forgets all events; the memory stays.
    pub fn clear(&mut self) {
        self.used = 0;
        self.events = 0;
    }

    /// Appends an event; false when there is no room.
    #[inline]
    pub fn push(&mut self, raw: &[u8], ts: u64) -> bool {
        let end = self.used + raw.len();
        let index = (self.events + 1) * ENTRY;
        if end + index > self.capacity || end > u32::MAX as usize {
            return false;
        }
        // SAFETY: both spans lie in the free part between the events and the index.
        unsafe {
            let base = self.memory.as_ptr();
            base.add(self.used)
                .copy_from_nonoverlapping(raw.as_ptr(), raw.len());
            let entry = base.add(self.capacity - index);
            entry.cast::<u64>().write_unaligned(ts);
            entry.add(8).cast::<u32>().write_unaligned(end as u32);
        }
        self.used = end;
        self.events += 1;
        true
    }

    #[inline]
    fn entry(&self, i: usize) -> (u64, usize) {
        assert!(i < self.events, "event index");
        // SAFETY: entry `i` was written, because i < events.
        unsafe {
            let entry = self.memory.as_ptr().add(self.capacity - (i + 1) * ENTRY);
            let ts = entry.cast::<u64>().read_unaligned();
            let end = entry.add(8).cast::<u32>().read_unaligned();
            (ts, end as usize)
        }
    }

    /// Time stamp of event `i`.
    #[inline]
    pub fn stamp(&self, i: usize) -> u64 {
        self.entry(i).0
    }

    /// Time stamp and bytes of event `i`.
    #[inline]
    pub fn event(&self, i: usize) -> (u64, &[u8]) {
        let (ts, end) = self.entry(i);
        let start = if i == 0 { 0 } else { self.entry(i - 1).1 };
        // SAFETY: start <= end <= used, and everything below `used` was written.
        let raw = unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(start), end - start) };
        (ts, raw)
    }

    /// Length of event `i` in bytes.
    #[inline]
    pub fn event_len(&self, i: usize) -> usize {
        let start = if i == 0 { 0 } else { self.entry(i - 1).1 };
        self.entry(i).1 - start
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.memory.as_ptr(), Self::layout(self.capacity)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_index_share_the_room_to_the_last_byte() {
        let mut chunk = Chunk::new(64);
        assert!(chunk.push(&[1; 20], 7));
        assert!(chunk.push(&[], 8));
        assert!(!chunk.push(&[2; 9], 9));
        assert!(chunk.push(&[2; 8], 9));
        assert!(!chunk.push(&[], 10));
        assert_eq!(chunk.event(0), (7, &[1u8; 20][..]));
        assert_eq!(chunk.event(1), (8, &[][..]));
        assert_eq!(chunk.event(2), (9, &[2u8; 8][..]));
        assert_eq!((chunk.len(), chunk.event_len(2)), (3, 8));
    }
}
