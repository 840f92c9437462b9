//! What the threads of one node share: the shards behind the consumer lock and the staging rings of all producers.
//!
//! The drain thread and callers that drain for themselves (receipt, full ring, flush, poll) take the same lock, so
//! each ring has one consumer at a time.

use super::core::{Config, Core, Drained, Placed};
use super::ring::{Ring, ASLEEP, CLOSED, HEAD, STAGED, TAIL};
use super::shard::Outcome;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that one step of the drain thread takes from a ring before it lets others have the lock.
const STEP: u32 = 128 << 10;

/// A producer's ring and how many events were taken from it.
pub struct Lane {
    /// The ring.
    pub ring: Ring,
    drained: AtomicU32,
    /// Shard of the event taken last; the top bit says that it was accepted. Written under the consumer lock.
    last_shard: AtomicU32,
    /// Its time stamp.
    last_ts: AtomicU64,
}

impl Lane {
    fn new(ring_bytes: usize) -> Self {
        Self {
            ring: Ring::new(ring_bytes),
            drained: AtomicU32::new(0),
            last_shard: AtomicU32::new(0),
            last_ts: AtomicU64::new(0),
        }
    }
}

/// Bit of [`Lane::last_shard`].
const ACCEPTED: u32 = 1 << 31;

struct State {
    core: Core,
    lanes: Vec<Arc<Lane>>,
    /// Other threads may attach: from then on no producer may count on free slots without asking.
    shared: bool,
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
                shared: false,
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
        state.shared |= !state.lanes.is_empty();
        state.lanes.push(lane.clone());
        state.publish_acceptance();
        Some(lane)
    }

    /// Lets other threads attach. The owner's producer must ask for each event from now on (10 §3.4).
    pub fn share(&self, lane: &Arc<Lane>, now: u64) -> Changes {
        let mut state = self.lock();
        // What it has staged on the promise so far still fits.
        let drained = if lane.closed() {
            Drained::default()
        } else {
            state.take_staged(lane, now)
        };
        state.shared = true;
        state.settle(drained.events > 0)
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
            // Before the last look, so that nothing is staged behind it and answered with yes.
            Core::close_ring(&lane.ring);
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
        let drained = if lane.closed() {
            Drained::default()
        } else {
            state.take_staged(lane, now)
        };
        // Another thread's sweep (also the last one) may have taken the event before this call.
        if lane.ring.head() == lane.ring.staged() {
            lane.answer_last();
        } else {
            lane.ring.answer(0, false, 0);
        }
        if lane.closed() {
            return Changes::default();
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
        if lane.closed() {
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
        if state.closed {
            return Changes::default();
        }
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
    /// The node was shut down, or this producer has left. Written under the consumer lock.
    fn closed(&self) -> bool {
        self.ring.field(CLOSED).load(Ordering::SeqCst) == 1
    }

    fn count(&self, drained: Drained) {
        self.drained.fetch_add(drained.events, Ordering::Relaxed);
        if let Some(Placed { shard, ts, outcome }) = drained.last {
            let accepted = if outcome == Outcome::Accepted { ACCEPTED } else { 0 };
            self.last_shard.store(shard | accepted, Ordering::Relaxed);
            self.last_ts.store(ts, Ordering::Relaxed);
        }
    }

    /// Tells the producer, which waits in a call, what became of the last event that was taken.
    fn answer_last(&self) {
        let last = self.last_shard.load(Ordering::Relaxed);
        let ts = self.last_ts.load(Ordering::Relaxed);
        self.ring.answer(last & !ACCEPTED, last & ACCEPTED != 0, ts);
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
        let alone = !self.shared;
        for lane in &self.lanes {
            self.core
                .publish_acceptance(&lane.ring, lane.drained.load(Ordering::Relaxed), alone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::adaptive::BatchSizes;
    use crate::bus::core::Home;
    use crate::bus::ring::{Producer, ACCEPT};
    use crate::bus::shard::{Backpressure, Bounds};

    fn node(home: Home) -> Node {
        let bounds = Bounds {
            events: 1023,
            bytes: 1 << 24,
            age: None,
        };
        let sizes = BatchSizes {
            min: 1000,
            max: 10_000,
            adaptive: true,
            window: 100_000_000,
        };
        let config = Config {
            shards: 2,
            home,
            bounds,
            sizes,
            reserve: 0,
        };
        Node::new(config, 1 << 16)
    }

    const REFUSING: Home = Home::Queue {
        mode: Backpressure::DropNewest,
        max_delay: 10,
    };

    #[test]
    fn a_receipt_is_of_its_own_event_although_another_thread_swept_it_away() {
        let node = node(Home::Log);
        let lane = node.attach().unwrap();
        let mut producer = Producer::new(&lane.ring);
        assert!(producer.stage(b"first"));
        node.drain_own(&lane, 10);
        assert!(producer.stage(b"second"));
        node.sweep(20);
        node.drain_own(&lane, 30);
        assert_eq!(
            (lane.ring.last_answer().0, lane.ring.last_answer().2),
            (true, 20.0)
        );
        // The last sweep counts as well; what comes behind it does not.
        assert!(producer.stage(b"third"));
        node.close(40);
        node.drain_own(&lane, 50);
        assert_eq!(
            (lane.ring.last_answer().0, lane.ring.last_answer().2),
            (true, 40.0)
        );
        assert!(producer.stage(b"fourth"));
        node.drain_own(&lane, 60);
        assert!(!lane.ring.last_answer().0);
        assert_eq!(node.with_core(|core| core.counters().0.ingested), 3);
    }

    #[test]
    fn nobody_counts_on_free_slots_once_the_node_is_shared() {
        let node = node(REFUSING);
        let owner = node.attach().unwrap();
        let accept = |lane: &Lane| lane.ring.field(ACCEPT).load(Ordering::SeqCst);
        assert_eq!(accept(&owner), 1023);
        node.share(&owner, 1);
        assert_eq!(accept(&owner), 0);
        let other = node.attach().unwrap();
        node.detach(&other, 2);
        assert_eq!((accept(&owner), accept(&other)), (0, 0));
        assert_eq!(other.ring.field(CLOSED).load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_drain_sleeps_although_a_closed_ring_is_not_empty() {
        let node = node(REFUSING);
        let lane = node.attach().unwrap();
        let mut producer = Producer::new(&lane.ring);
        assert!(producer.stage(b"x"));
        producer.publish();
        assert!(!node.fall_asleep());
        node.close(1);
        assert!(producer.stage(b"late"));
        producer.publish();
        assert_eq!(node.step(2), None);
        assert!(node.fall_asleep());
        node.place(0, [b"later".as_slice()].into_iter(), 3);
        assert_eq!(node.with_core(|core| core.counters().0.ingested), 1);
    }
}
