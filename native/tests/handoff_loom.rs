//! Every interleaving of a producer and the drain: no frame is read before it is complete, none is lost, and the drain
//! never sleeps for ever while something is published.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{fence, AtomicU32, Ordering};
use loom::sync::Arc;
use loom::thread;
use meshring::bus::handoff::{Handoff, Word};

/// Loom models sequentially consistent accesses as acquire and release; the fences add what is missing.
struct Modelled(AtomicU32);

impl Word for Modelled {
    fn load(&self) -> u32 {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst)
    }

    fn store(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

/// A ring of two slots; a position counts slots.
struct Ring {
    words: [Modelled; 3],
    slots: [UnsafeCell<u32>; 2],
}

// SAFETY: the protocol under test keeps the slots apart; loom reports it when it does not.
unsafe impl Sync for Ring {}
// SAFETY: as above.
unsafe impl Send for Ring {}

impl Ring {
    fn new() -> Self {
        Self {
            words: [0; 3].map(|zero| Modelled(AtomicU32::new(zero))),
            slots: [0; 2].map(UnsafeCell::new),
        }
    }

    fn handoff(&self) -> Handoff<'_, Modelled> {
        let [tail, head, asleep] = &self.words;
        Handoff { tail, head, asleep }
    }
}

fn model(events: u32, preemptions: usize) {
    let mut builder = loom::model::Builder::new();
    // Full exploration of three events takes minutes; two preemptions a thread find what matters in seconds.
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let ring = Arc::new(Ring::new());
        let drain = {
            let ring = ring.clone();
            thread::spawn(move || {
                let handoff = ring.handoff();
                let mut taken = 0;
                while taken < events {
                    let published = handoff.published();
                    if published != taken {
                        for position in taken..published {
                            // SAFETY: published and not yet released.
                            let value = ring.slots[position as usize % 2].with(|slot| unsafe { *slot });
                            assert_eq!(value, position + 1);
                        }
                        taken = published;
                        handoff.release(taken);
                    } else if handoff.fall_asleep() {
                        thread::park();
                        handoff.wake_up();
                    } else {
                        handoff.wake_up();
                    }
                }
            })
        };
        let handoff = ring.handoff();
        for position in 0..events {
            while handoff.used(position) == 2 {
                thread::yield_now();
            }
            // SAFETY: the slot is free: it was never used or was released.
            ring.slots[position as usize % 2].with_mut(|slot| unsafe { *slot = position + 1 });
            if handoff.publish(position + 1) {
                drain.thread().unpark();
            }
        }
        assert!(drain.join().is_ok());
    });
}

#[test]
fn one_event_always_arrives() {
    model(1, 4);
}

#[test]
fn several_events_arrive_complete_and_in_order() {
    model(2, 3);
}

#[test]
fn space_is_reused_only_after_its_release() {
    model(3, 2);
}
