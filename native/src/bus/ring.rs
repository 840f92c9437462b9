//! The staging ring: a single-producer single-consumer byte ring in memory that JavaScript and Rust both see.
//!
//! One JavaScript thread frames events into it without crossing into Rust; the drain takes them out in batches.
//! Layout (byte offsets; every position is a wrapping 32-bit byte count, compared by difference, which is exact
//! because a ring is far smaller than 2^31 bytes):
//!
//! | offset | field | written by | meaning |
//! |---|---|---|---|
//! | 0 | `TAIL` | producer, atomically | frames before it are complete: the drain may take them at any time |
//! | 64 | `HEAD` | consumer | frames before it are taken |
//! | 68 | `ASLEEP` | consumer | 1 while the drain thread sleeps and wants one wake call |
//! | 72 | `ACCEPT` | consumer | number of events (wrapping) that surely fit under the backpressure mode |
//! | 76 | `LIMIT` | consumer | position up to which frames surely fit within the bound on bytes |
//! | 128 | `STAGED` | producer, per event | like `TAIL`, but newer: read at flush, poll and shutdown only |
//! | 132 | `COUNT` | producer, per event | number of events staged in all (wrapping) |
//! | 192 | `CLOSED` | consumer | 1 after the node was shut down |
//! | 196 | `RESULT_SHARD` | consumer | shard of the last event of a receipt call |
//! | 200 | `RESULT_OK` | consumer | 1 if that event was accepted |
//! | 208 | `RESULT_TS` | consumer | its time stamp, as f64 |
//! | 256 | data | producer | frames |
//!
//! The fields are on cache lines of their own by writer, so that staging an event does not touch a line that the
//! drain writes. A frame is `u32 header | payload | padding to 4`; the header holds the length in its low 28 bits.
//! A frame never wraps: [`SKIP`] sends the reader to the start of the data.
//!
//! Memory order: `TAIL`, `HEAD` and `ASLEEP` are sequentially consistent on both sides (`Atomics` in JavaScript).
//! `STAGED` and `COUNT` of a ring whose producer shares the thread of the reader need no order; those of other
//! threads are written with `Atomics.store`, except on x86-64 by the owner, where plain stores keep their order
//! (total store order) and V8 keeps stores to typed arrays in program order.

use super::handoff::Handoff;
use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Offset of the producer's published position.
pub const TAIL: usize = 0;
/// Offset of the consumer's position.
pub const HEAD: usize = 64;
/// Offset of the sleep flag.
pub const ASLEEP: usize = 68;
/// Offset of the number of events that surely fit.
pub const ACCEPT: usize = 72;
/// Offset of the position up to which frames surely fit.
pub const LIMIT: usize = 76;
/// Offset of the staged position.
pub const STAGED: usize = 128;
/// Offset of the number of events staged.
pub const COUNT: usize = 132;
/// Offset of the closed flag.
pub const CLOSED: usize = 192;
/// Offset of the shard of the last receipt.
pub const RESULT_SHARD: usize = 196;
/// Offset of the acceptance of the last receipt.
pub const RESULT_OK: usize = 200;
/// Offset of the time stamp of the last receipt.
pub const RESULT_TS: usize = 208;
/// Offset of the first frame.
pub const DATA: usize = 256;

/// Header of a frame that sends the reader to the start of the data.
pub const SKIP: u32 = u32::MAX;
/// Header flag: the payload starts with the event's hash (u64, little endian).
pub const HASHED: u32 = 1 << 30;
/// Bits of the header that hold the payload's length.
pub const LENGTH: u32 = (1 << 28) - 1;

/// Smallest and largest size of the data part.
const SIZES: std::ops::RangeInclusive<usize> = (4 << 10)..=(256 << 20);

/// A frame in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Hash that the producer gave, if any.
    pub hash: Option<u64>,
    /// The event's bytes.
    pub raw: &'a [u8],
}

/// Memory of one staging ring.
pub struct Ring {
    memory: NonNull<u8>,
    size: usize,
}

// SAFETY: the memory is plain bytes; all shared fields are accessed through atomics, and data bytes only between
// HEAD and a position that the producer has published.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// A ring with `size` data bytes, rounded up to a power of two within 4 KiB..256 MiB.
    pub fn new(size: usize) -> Self {
        let size = size.clamp(*SIZES.start(), *SIZES.end()).next_power_of_two();
        let layout = Self::layout(size);
        // SAFETY: the layout is not empty.
        let pointer = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(pointer) else {
            handle_alloc_error(layout)
        };
        Self { memory, size }
    }

    fn layout(size: usize) -> Layout {
        // SAFETY: 64 is a power of two and the size is at most 256 MiB + 256.
        unsafe { Layout::from_size_align_unchecked(DATA + size, 64) }
    }

    /// Start of the memory, header included.
    pub fn pointer(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    /// Length of the memory, header included.
    pub fn memory_len(&self) -> usize {
        DATA + self.size
    }

    /// Gives the pages of the data back to the system, once nothing reads or writes frames any more: JavaScript frees
    /// the memory itself only when it collects its views, long after the end of the node.
    pub fn discard(&self) {
        #[cfg(all(target_os = "linux", feature = "addon"))]
        {
            // SAFETY: only asks. Whole pages only, so that neighbours in the heap keep theirs.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(64 << 10);
            let data = self.memory.as_ptr().wrapping_add(DATA);
            let skip = data.align_offset(page);
            let length = self.size.saturating_sub(skip) & !(page - 1);
            if length > 0 {
                // SAFETY: the range lies within the data; its private anonymous pages read as zero afterwards.
                unsafe { libc::madvise(data.add(skip).cast(), length, libc::MADV_DONTNEED) };
            }
        }
    }

    /// Number of data bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A header field.
    #[inline]
    pub fn field(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset + 4 <= DATA && offset.is_multiple_of(4));
        // SAFETY: within the header, aligned, and only ever accessed atomically from Rust.
        unsafe { AtomicU32::from_ptr(self.memory.as_ptr().add(offset).cast()) }
    }

    /// The protocol words of this ring.
    #[inline]
    pub fn handoff(&self) -> Handoff<'_, AtomicU32> {
        Handoff {
            tail: self.field(TAIL),
            head: self.field(HEAD),
            asleep: self.field(ASLEEP),
        }
    }

    /// Position up to which the producer has published.
    #[inline]
    pub fn tail(&self) -> u32 {
        self.handoff().published()
    }

    /// Position up to which the producer has staged.
    #[inline]
    pub fn staged(&self) -> u32 {
        self.field(STAGED).load(Ordering::SeqCst)
    }

    /// Position up to which the consumer has taken.
    #[inline]
    pub fn head(&self) -> u32 {
        self.field(HEAD).load(Ordering::Relaxed)
    }

    /// Gives the space before `position` back to the producer.
    #[inline]
    pub fn release(&self, position: u32) {
        self.handoff().release(position);
    }

    /// Writes what became of the last event, for the producer which is waiting in the call.
    pub fn answer(&self, shard: u32, accepted: bool, ts: u64) {
        self.field(RESULT_SHARD).store(shard, Ordering::Relaxed);
        self.field(RESULT_OK)
            .store(u32::from(accepted), Ordering::Relaxed);
        // SAFETY: within the header, 8-byte aligned, read only by the thread that called.
        unsafe { AtomicU64::from_ptr(self.memory.as_ptr().add(RESULT_TS).cast()) }
            .store((ts as f64).to_bits(), Ordering::Relaxed);
    }

    /// What [`Self::answer`] wrote last: accepted, shard, time stamp.
    pub fn last_answer(&self) -> (bool, u32, f64) {
        // SAFETY: within the header, 8-byte aligned.
        let ts = unsafe { AtomicU64::from_ptr(self.memory.as_ptr().add(RESULT_TS).cast()) };
        (
            self.field(RESULT_OK).load(Ordering::Relaxed) == 1,
            self.field(RESULT_SHARD).load(Ordering::Relaxed),
            f64::from_bits(ts.load(Ordering::Relaxed)),
        )
    }

    /// Frames from `from` up to `to`, which the producer must have published.
    #[inline]
    pub fn frames(&self, from: u32, to: u32) -> Frames<'_> {
        // SAFETY: the producer does not write between HEAD and a published position.
        let data = unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(DATA), self.size) };
        Frames { data, at: from, to }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.memory.as_ptr(), Self::layout(self.size)) };
    }
}

/// Iterator over frames in place. Frames that do not fit between the given positions end it.
pub struct Frames<'a> {
    data: &'a [u8],
    at: u32,
    to: u32,
}

impl<'a> Frames<'a> {
    /// A parser over any bytes; `data.len()` must be a power of two.
    pub fn over(data: &'a [u8], from: u32, to: u32) -> Self {
        debug_assert!(data.len().is_power_of_two());
        Self { data, at: from, to }
    }

    /// Position behind the last frame taken.
    #[inline]
    pub fn position(&self) -> u32 {
        self.at
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        loop {
            let left = self.to.wrapping_sub(self.at) as usize;
            if left < 4 || left > self.data.len() {
                return None;
            }
            let offset = self.at as usize & (self.data.len() - 1);
            let header = u32::from_le_bytes(self.data.get(offset..offset + 4)?.try_into().ok()?);
            if header == SKIP {
                self.at = self.at.wrapping_add((self.data.len() - offset) as u32);
                continue;
            }
            let len = (header & LENGTH) as usize;
            let end = offset + 4 + len;
            let advance = (4 + len + 3) & !3;
            if advance > left {
                return None;
            }
            let mut raw = self.data.get(offset + 4..end)?;
            let mut hash = None;
            if header & HASHED != 0 {
                let (first, rest) = raw.split_first_chunk::<8>()?;
                hash = Some(u64::from_le_bytes(*first));
                raw = rest;
            }
            self.at = self.at.wrapping_add(advance as u32);
            return Some(Frame { hash, raw });
        }
    }
}

/// The producer's side in Rust: the same protocol that TypeScript follows. Used by tests and by native producers.
pub struct Producer<'a> {
    ring: &'a Ring,
    tail: u32,
}

impl<'a> Producer<'a> {
    /// The one producer of `ring`.
    pub fn new(ring: &'a Ring) -> Self {
        Self {
            tail: ring.staged(),
            ring,
        }
    }

    /// Stages one event; false when there is no room now or the event is longer than a quarter of the ring.
    pub fn stage(&mut self, raw: &[u8]) -> bool {
        let size = self.ring.size as u32;
        let need = (4 + raw.len() as u32 + 3) & !3;
        if raw.len() as u32 > size / 4 {
            return false;
        }
        let offset = self.tail & (size - 1);
        let skip = if offset + need > size { size - offset } else { 0 };
        let used = self
            .tail
            .wrapping_sub(self.ring.field(HEAD).load(Ordering::SeqCst));
        if used + skip + need > size {
            return false;
        }
        // SAFETY: the span lies in the free part of the data, which the consumer does not read.
        unsafe {
            let data = self.ring.memory.as_ptr().add(DATA);
            if skip > 0 {
                data.add(offset as usize)
                    .cast::<u32>()
                    .write_unaligned(SKIP.to_le());
            }
            let at = data.add((self.tail.wrapping_add(skip) & (size - 1)) as usize);
            at.cast::<u32>().write_unaligned((raw.len() as u32).to_le());
            at.add(4).copy_from_nonoverlapping(raw.as_ptr(), raw.len());
        }
        self.tail = self.tail.wrapping_add(skip + need);
        let count = self.ring.field(COUNT).load(Ordering::Relaxed);
        self.ring
            .field(COUNT)
            .store(count.wrapping_add(1), Ordering::Relaxed);
        self.ring.field(STAGED).store(self.tail, Ordering::SeqCst);
        true
    }

    /// Publishes everything staged. True when the drain sleeps and must be woken.
    pub fn publish(&self) -> bool {
        self.ring.handoff().publish(self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(ring: &Ring) -> Vec<Vec<u8>> {
        let mut frames = ring.frames(ring.head(), ring.tail());
        let events = frames.by_ref().map(|f| f.raw.to_vec()).collect();
        assert_eq!(frames.position(), ring.tail());
        ring.release(frames.position());
        events
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_staged_comes_out_in_order(
            start in any::<u32>(),
            lens in prop::collection::vec(0usize..1024, 1..300),
        ) {
            let ring = Ring::new(4096);
            // Positions may start anywhere, also just before they wrap.
            let start = start & !3;
            for field in [TAIL, HEAD, STAGED] {
                ring.field(field).store(start, Ordering::SeqCst);
            }
            let mut producer = Producer::new(&ring);
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for (i, len) in lens.into_iter().enumerate() {
                let event = vec![i as u8; len];
                if !producer.stage(&event) {
                    producer.publish();
                    got.extend(take(&ring));
                    prop_assert!(producer.stage(&event));
                }
                sent.push(event);
            }
            producer.publish();
            got.extend(take(&ring));
            prop_assert_eq!(sent, got);
        }

        #[test]
        fn any_bytes_are_parsed_within_their_bounds(
            data in prop::collection::vec(any::<u8>(), 4096..=4096),
            from in any::<u32>(),
            span in 0u32..8192,
        ) {
            let mut frames = Frames::over(&data, from, from.wrapping_add(span));
            let mut total = 0usize;
            for frame in frames.by_ref() {
                total += frame.raw.len() + 4;
                prop_assert!(total <= 3 * 4096);
            }
        }
    }

    #[test]
    fn an_event_over_a_quarter_of_the_ring_is_refused() {
        let ring = Ring::new(4096);
        let mut producer = Producer::new(&ring);
        assert!(!producer.stage(&[0; 1025]));
        assert!(producer.stage(&[0; 1024]));
    }
}
