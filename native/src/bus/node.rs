//! What the threads of one node share: the shards behind the consumer lock and the staging rings of all producers.
//!
//! The drain thread and callers that drain for themselves (receipt, full ring, flush, poll) take the same lock, so
//! each ring has one consumer at a time.

use super::core::{Config, Core, Drained};
use super::ring::{Ring, ASLEEP, HEAD, STAGED, TAIL};
use super::shard::Outcome;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that one step of the drain thread takes from a ring before it lets others have the lock.
const STEP: u32 = 128 << 10;

/// A producer's ring and how many events were taken from it.
pub struct Lane {
    /// The ring.
    pub ring: Ring,
    drained: AtomicU32,
}

impl Lane {
    fn new(ring_bytes: usize) -> Self {
        Self {
            ring: Ring::new(ring_bytes),
            drained: AtomicU32::new(0),
        }
    }
}

struct State {
    core: Core,
    lanes: Vec<Arc<Lane>>,
    closed: bool,
}

/// What a drain has changed, for waking those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Events became readable.
    pub appended: bool,
    /// A batch is due or will be: the dispatcher should look.
    pub attention: bool,
}

impl Changes {
    /// Whether nobody needs to know.
    pub fn is_empty(self) -> bool {
        !self.appended && !self.attention
    }
}

/// Shared state of a node.
pub struct Node {
    state: Mutex<State>,
    ring_bytes: usize,
}

impl Node {
    /// A node without producers.
    pub fn new(config: Config, ring_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                core: Core::new(config),
                lanes: Vec::new(),
                closed: false,
            }),
            ring_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside leaves counters and logs usable; the entry that panicked reports it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a producer. `None` after the node was closed.
    pub fn attach(&self) -> Option<Arc<Lane>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let lane = Arc::new(Lane::new(self.ring_bytes));
        // The drain thread may sleep since before this ring was there: the first publication wakes it.
        lane.ring.field(ASLEEP).store(1, Ordering::SeqCst);
        state.lanes.push(lane.clone());
        state.publish_acceptance();
        Some(lane)
    }

    /// Number of producers.
    pub fn producers(&self) -> usize {
        self.lock().lanes.len()
    }

    /// Drains what a producer has staged and removes it.
    pub fn detach(&self, lane: &Arc<Lane>, now: u64) -> Changes {
        let mut state = self.lock();
        let drained = if state.closed {
            Drained::default()
        } else {
            state.take_staged(lane, now)
        };
        state.lanes.retain(|other| !Arc::ptr_eq(other, lane));
        state.settle(drained.events > 0)
    }

    /// One step of the drain thread: takes what the producers have published. `None` when there was nothing.
    pub fn step(&self, now: u64) -> Option<Changes> {
        let mut state = self.lock();
        if state.closed {
            // What counts was taken by `close`; what was published later has been refused.
            return None;
        }
        let State { core, lanes, .. } = &mut *state;
        let mut events = 0u32;
        for lane in lanes.iter() {
            let tail = lane.ring.tail();
            if tail != lane.ring.head() {
                let drained = core.drain(&lane.ring, tail, now, STEP);
                lane.count(drained);
                events = events.saturating_add(drained.events.max(1));
            }
        }
        if events == 0 {
            return None;
        }
        Some(state.settle(true))
    }

    /// Asks all producers for a wake call. False when one of them has published something, so that the drain must not
    /// sleep.
    pub fn fall_asleep(&self) -> bool {
        let state = self.lock();
        // Every ring is asked, also behind one that has something.
        let quiet = state
            .lanes
            .iter()
            .filter(|lane| !lane.ring.handoff().fall_asleep())
            .count()
            == 0;
        quiet || state.closed
    }

    /// Needs no wake calls any more.
    pub fn wake_up(&self) {
        for lane in &self.lock().lanes {
            lane.ring.handoff().wake_up();
        }
    }

    /// Drains one producer's ring up to what it has staged, on the producer's own thread, and answers in the ring's
    /// header what became of its last event.
    pub fn drain_own(&self, lane: &Arc<Lane>, now: u64) -> Changes {
        let mut state = self.lock();
        if state.closed {
            lane.ring.answer(0, false, 0);
            return Changes::default();
        }
        let drained = state.take_staged(lane, now);
        if let Some(last) = drained.last {
            lane.ring
                .answer(last.shard, last.outcome == Outcome::Accepted, last.ts);
        }
        state.settle(drained.events > 0)
    }

    /// Drains everything that any producer has staged.
    pub fn sweep(&self, now: u64) -> Changes {
        let mut state = self.lock();
        if state.closed {
            return Changes::default();
        }
        state.sweep(now)
    }

    /// Stores an event which is too large for a ring, behind what `lane` has staged; answers like [`Self::drain_own`].
    pub fn push_direct(&self, lane: &Arc<Lane>, raw: &[u8], hash: Option<u64>, now: u64) -> Changes {
        let mut state = self.lock();
        if state.closed {
            lane.ring.answer(0, false, 0);
            return Changes::default();
        }
        state.take_staged(lane, now);
        let placed = state.core.ingest(raw, hash, now);
        lane.ring
            .answer(placed.shard, placed.outcome == Outcome::Accepted, placed.ts);
        state.settle(true)
    }

    /// Stores inbound events of a shard (mesh transport), which pass no ring.
    pub fn place<'a>(&self, shard: u32, events: impl Iterator<Item = &'a [u8]>, now: u64) -> Changes {
        let mut state = self.lock();
        let mut any = false;
        for raw in events {
            state.core.place(shard, raw, now);
            any = true;
        }
        state.settle(any)
    }

    /// Refuses further producers, tells the present ones, and takes everything they have staged so far.
    pub fn close(&self, now: u64) -> Changes {
        let mut state = self.lock();
        if std::mem::replace(&mut state.closed, true) {
            return Changes::default();
        }
        for lane in &state.lanes {
            Core::close_ring(&lane.ring);
        }
        state.sweep(now)
    }

    /// Runs `f` on the shards.
    pub fn with_core<T>(&self, f: impl FnOnce(&mut Core) -> T) -> T {
        let mut state = self.lock();
        let result = f(&mut state.core);
        state.publish_acceptance();
        result
    }
}

impl Lane {
    fn count(&self, drained: Drained) {
        self.drained.fetch_add(drained.events, Ordering::Relaxed);
    }
}

impl State {
    fn take_staged(&mut self, lane: &Lane, now: u64) -> Drained {
        let staged = lane.ring.field(STAGED).load(Ordering::SeqCst);
        // A position behind HEAD can only come from a producer that was cut off in mid write: nothing is staged.
        if staged.wrapping_sub(lane.ring.field(HEAD).load(Ordering::Relaxed)) as usize > lane.ring.size() {
            return Drained::default();
        }
        lane.ring.field(TAIL).store(staged, Ordering::SeqCst);
        let drained = self.core.drain(&lane.ring, staged, now, u32::MAX);
        lane.count(drained);
        drained
    }

    fn sweep(&mut self, now: u64) -> Changes {
        let mut appended = false;
        for lane in self.lanes.clone() {
            appended |= self.take_staged(&lane, now).events > 0;
        }
        self.settle(appended)
    }

    fn settle(&mut self, appended: bool) -> Changes {
        self.publish_acceptance();
        Changes {
            appended,
            attention: self.core.take_attention(),
        }
    }

    fn publish_acceptance(&self) {
        let alone = self.lanes.len() == 1;
        for lane in &self.lanes {
            self.core
                .publish_acceptance(&lane.ring, lane.drained.load(Ordering::Relaxed), alone);
        }
    }
}
