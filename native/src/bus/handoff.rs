//! The protocol between the producer of a ring and the drain: who may touch which bytes, and who wakes whom.
//!
//! A small type over three words, so that the same code runs over the memory shared with JavaScript and under the model
//! checker (`native/tests/handoff_loom.rs`). JavaScript follows the producer's side with `Atomics`.

use std::sync::atomic::{AtomicU32, Ordering};

/// A word whose loads and stores are sequentially consistent.
pub trait Word {
    /// Reads it.
    fn load(&self) -> u32;
    /// Writes it.
    fn store(&self, value: u32);
}

impl Word for AtomicU32 {
    #[inline]
    fn load(&self) -> u32 {
        AtomicU32::load(self, Ordering::SeqCst)
    }

    #[inline]
    fn store(&self, value: u32) {
        AtomicU32::store(self, value, Ordering::SeqCst);
    }
}

/// The three words of a ring: the producer writes `tail`, the consumer `head`, both write `asleep`.
#[derive(Clone, Copy)]
pub struct Handoff<'a, W: Word> {
    /// Frames before it are complete.
    pub tail: &'a W,
    /// Frames before it are taken; the producer may use their space.
    pub head: &'a W,
    /// 1 while the drain sleeps and wants one wake call.
    pub asleep: &'a W,
}

impl<W: Word> Handoff<'_, W> {
    /// Producer: everything before `position` is complete. True when the drain must be woken, by one call.
    #[inline]
    pub fn publish(&self, position: u32) -> bool {
        self.tail.store(position);
        // The order of this store and the load is what makes a wake-up certain: either the load sees the flag, or the
        // drain, which sets the flag before it looks at the tail, sees this position.
        let wake = self.asleep.load() == 1;
        if wake {
            self.asleep.store(0);
        }
        wake
    }

    /// Producer: bytes in use.
    #[inline]
    pub fn used(&self, position: u32) -> u32 {
        position.wrapping_sub(self.head.load())
    }

    /// Consumer: up to where frames may be taken.
    #[inline]
    pub fn published(&self) -> u32 {
        self.tail.load()
    }

    /// Consumer: the space before `position` is free again.
    #[inline]
    pub fn release(&self, position: u32) {
        self.head.store(position);
    }

    /// Consumer: wants a wake call from now on. False when there is something to take, so that it must not sleep.
    #[inline]
    pub fn fall_asleep(&self) -> bool {
        self.asleep.store(1);
        self.tail.load() == self.head.load()
    }

    /// Consumer: needs no wake call any more.
    #[inline]
    pub fn wake_up(&self) {
        self.asleep.store(0);
    }
}
