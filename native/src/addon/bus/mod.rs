//! The bus for JavaScript: one `Bus` object for each producer thread of a node.
//!
//! What is called for each event or each tick is a raw function (`producer`); everything else is a method.

mod producer;
mod waiters;

use super::filter::FilterJs;
use crate::bus::core::{cut, Config, Home};
use crate::bus::node::{Lane, Node};
use crate::bus::page;
use crate::driver::drain::{Driver, Listener};
use crate::filter::Scratch;
use napi::bindgen_prelude::{
    BigInt, BigUint64Array, Buffer, Env, Error, Float64Array, Function, Object, Result, Status, Uint32Array,
    Uint8Array,
};
use napi_derive::napi;
use producer::Producer;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use waiters::Waiters;

/// A node as all threads of the process can find it.
struct Shared {
    driver: Arc<Driver>,
    waiters: Arc<Waiters>,
    shape: (u32, bool),
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static NODES: Mutex<Option<HashMap<u64, Arc<Shared>>>> = Mutex::new(None);

fn with_nodes<T>(f: impl FnOnce(&mut HashMap<u64, Arc<Shared>>) -> T) -> T {
    let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    f(nodes.get_or_insert_with(HashMap::new))
}

/// A producer's view of a node. The first one owns the node, the others are attached from other threads.
#[napi(js_name = "Bus")]
pub struct BusJs {
    producer: Arc<Producer>,
    key: u64,
    node: u64,
    owner: bool,
    detached: Arc<AtomicBool>,
}

#[napi]
impl BusJs {
    /// A node of its own (`settings`) or a view of the node `id` of this process.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, settings: Option<Float64Array>, id: Option<BigInt>) -> Result<Self> {
        let (node, shared, owner) = match (settings, id) {
            (Some(settings), _) => {
                let waiters = Arc::new(Waiters::default());
                let Some((config, ring_bytes)) = Config::from_numbers(&settings) else {
                    return Err(Error::new(Status::InvalidArg, "bus: settings must be 14 numbers"));
                };
                let node = Node::new(config, ring_bytes);
                let driver = Driver::start(node, waiters.clone())
                    .map_err(|e| Error::from_reason(format!("bus: the drain thread cannot start: {e}")))?;
                let shared = Arc::new(Shared {
                    driver,
                    waiters,
                    shape: (config.shards, matches!(config.home, Home::Queue { .. })),
                });
                let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
                with_nodes(|nodes| nodes.insert(id, shared.clone()));
                (id, shared, true)
            }
            (None, Some(id)) => {
                let (_, id, exact) = id.get_u64();
                let found = with_nodes(|nodes| nodes.get(&id).cloned()).filter(|_| exact);
                (id, found.ok_or_else(gone)?, false)
            }
            (None, None) => {
                return Err(Error::new(
                    Status::InvalidArg,
                    "bus: settings or an id are needed",
                ))
            }
        };
        let lane = shared.driver.node.attach().ok_or_else(gone)?;
        let bus = Self {
            producer: Arc::new(Producer { shared, lane }),
            key: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            node,
            owner,
            detached: Arc::new(AtomicBool::new(false)),
        };
        // An environment that ends without shutdown (exit, worker.terminate) must not be called any more. The hook
        // stays until then: it must not keep the memory of a node that has ended.
        let end = (
            Arc::downgrade(&bus.producer.shared),
            Arc::downgrade(&bus.producer.lane),
            bus.key,
            bus.node,
            bus.owner,
            bus.detached.clone(),
        );
        env.add_env_cleanup_hook(end, |(shared, lane, key, node, owner, detached)| {
            if let Some(shared) = shared.upgrade() {
                release(&shared, lane.upgrade().as_ref(), key, node, owner, &detached);
            }
        })?;
        Ok(bus)
    }

    /// Lets other threads attach; returns the id under which they do.
    #[napi(catch_unwind)]
    pub fn share(&self) -> BigInt {
        let Producer { shared, lane } = &*self.producer;
        let changes = shared.driver.node.share(lane, shared.driver.now());
        self.producer.settle(changes);
        BigInt::from(self.node)
    }

    /// Number of shards, and whether they are queues.
    #[napi(catch_unwind)]
    pub fn shape(&self) -> Vec<u32> {
        let (shards, queue) = self.producer.shared.shape;
        vec![shards, u32::from(queue)]
    }

    /// Memory of the staging ring, or null where external buffers are not allowed.
    #[napi(catch_unwind)]
    pub fn ring_buffer<'env>(&self, env: &'env Env) -> Result<Option<Object<'env>>> {
        producer::ring_memory(&self.producer.lane, env)
    }

    /// `{ drain, wake }`: functions without arguments. `drain` takes everything this producer has staged and answers
    /// in the ring's header; `wake` wakes the drain thread.
    #[napi(catch_unwind)]
    pub fn calls<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        producer::bound_calls(&self.producer, env)
    }

    /// Registers the function that is called (once for many changes) when somebody here waits and events are
    /// readable, or when a batch is due. It does not keep the process alive.
    #[napi(catch_unwind)]
    pub fn on_wake(&self, wake: Function<(), ()>) -> Result<()> {
        self.producer.shared.waiters.register(self.key, self.owner, wake)
    }

    /// Says whether somebody in this environment waits for readable events.
    #[napi(catch_unwind)]
    pub fn set_waiting(&self, waiting: bool) {
        self.producer.shared.waiters.set_waiting(self.key, waiting);
    }

    /// Drains everything that any thread has staged.
    #[napi(catch_unwind)]
    pub fn sweep(&self) {
        let driver = &self.producer.shared.driver;
        self.producer.settle(driver.node.sweep(driver.now()));
    }

    /// What became of the last event: accepted (1 or 0), shard, time stamp; for producers that cannot see the ring.
    #[napi(catch_unwind)]
    pub fn answer(&self) -> Vec<f64> {
        let (accepted, shard, ts) = self.producer.lane.ring.last_answer();
        vec![f64::from(u8::from(accepted)), f64::from(shard), ts]
    }

    /// Stores an event which is too large for the ring; the answer is in the ring's header.
    #[napi(catch_unwind)]
    pub fn push(&self, raw: Uint8Array, hash: Option<BigInt>) {
        let driver = &self.producer.shared.driver;
        let hash = hash.map(|h| h.get_u64().1);
        let changes = driver
            .node
            .push_direct(&self.producer.lane, &raw, hash, driver.now());
        self.producer.settle(changes);
    }

    /// A page of a shard's log; layout in `native/src/bus/page.rs`.
    #[napi(catch_unwind)]
    pub fn read(&self, shard: u32, after: f64, limit: u32, max_bytes: u32, max_scan: u32) -> Buffer {
        self.page(shard, request(after, limit, max_bytes, max_scan), |_| true)
    }

    /// As `read`, only events that match.
    #[napi(catch_unwind)]
    pub fn read_filtered(
        &self,
        shard: u32,
        after: f64,
        limit: u32,
        max_bytes: u32,
        max_scan: u32,
        filter: &FilterJs,
    ) -> Buffer {
        let mut scratch = Scratch::default();
        let keep = |raw: &[u8]| filter.core().matches_with(raw, &mut scratch);
        self.page(shard, request(after, limit, max_bytes, max_scan), keep)
    }

    /// The latest time stamp given: no later event has a smaller one.
    #[napi(catch_unwind)]
    pub fn last_stamp(&self) -> BigInt {
        BigInt::from(
            self.producer
                .shared
                .driver
                .node
                .with_core(|core| core.last_stamp()),
        )
    }

    /// Numbers of the oldest retained and of the newest event of each shard, alternating.
    #[napi(catch_unwind)]
    pub fn positions(&self) -> Vec<f64> {
        self.producer
            .shared
            .driver
            .node
            .with_core(|core| core.positions())
    }

    /// Number of the newest event of each shard that was confirmed or given up, with all before it.
    #[napi(catch_unwind)]
    pub fn acknowledged(&self) -> Vec<f64> {
        self.producer
            .shared
            .driver
            .node
            .with_core(|core| core.acknowledged())
    }

    /// First the time in ns after which the next batch is due (-1: none), then the shards whose batch is due now.
    #[napi(catch_unwind)]
    pub fn due(&self) -> Vec<f64> {
        let now = self.producer.shared.driver.now();
        self.producer
            .shared
            .driver
            .node
            .with_core(|core| core.due_list(now))
    }

    /// Cuts the next batch of a shard, or null.
    #[napi(catch_unwind)]
    pub fn take_batch(&self, shard: u32) -> Option<RawBatch> {
        let batch = self
            .producer
            .shared
            .driver
            .node
            .with_core(|core| core.take_batch(shard))?;
        Some(RawBatch {
            sequence_start: BigInt::from(batch.sequence_start),
            data: batch.data.into(),
            ends: Uint32Array::new(batch.ends),
            timestamps: BigUint64Array::new(batch.stamps),
        })
    }

    /// The transport is done with the batch of a shard: `stored` events are stored, the rest is given up.
    #[napi(catch_unwind)]
    pub fn finish_batch(&self, shard: u32, stored: f64) {
        self.producer
            .shared
            .driver
            .node
            .with_core(|core| core.finish_batch(shard, stored as u64));
    }

    /// Lets the numbering of a shard's batches start higher.
    #[napi(catch_unwind)]
    pub fn start_sequence(&self, shard: u32, sequence: BigInt) {
        let sequence = sequence.get_u64().1;
        self.producer
            .shared
            .driver
            .node
            .with_core(|core| core.start_sequence(shard, sequence));
    }

    /// Stores inbound events of a shard: `ends` are the end offsets of the events in `data`.
    #[napi(catch_unwind)]
    pub fn place(&self, shard: u32, data: Uint8Array, ends: Uint32Array) {
        let driver = &self.producer.shared.driver;
        let events = cut(&data, &ends);
        self.producer
            .settle(driver.node.place(shard, events, driver.now()));
    }

    /// Stores inbound packets as `RawMesh.takeDeliveries` gives them: the shard is the stream id modulo the number of shards.
    #[napi(catch_unwind)]
    pub fn place_packets(&self, batch: Uint8Array) {
        let driver = &self.producer.shared.driver;
        let now = driver.now();
        let shards = driver.node.with_core(|core| u64::from(core.shard_count()).max(1));
        for (stream, events) in crate::port::deliveries(&batch) {
            let shard = (stream % shards) as u32;
            self.producer.settle(driver.node.place(shard, events, now));
        }
    }

    /// Gives up every queued event; returns how many.
    #[napi(catch_unwind)]
    pub fn give_up(&self) -> f64 {
        self.producer.shared.driver.node.with_core(|core| core.give_up()) as f64
    }

    /// Counters in the order of `CounterNames` in `ts/src/backend/bus.ts`.
    #[napi(catch_unwind)]
    pub fn counters(&self) -> BigUint64Array {
        let list = self
            .producer
            .shared
            .driver
            .node
            .with_core(|core| core.counter_list());
        BigUint64Array::new(list.to_vec())
    }

    /// Owner: refuses further events on all threads and takes what was staged. Attached: takes its own and leaves.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        let Producer { shared, lane } = &*self.producer;
        let now = shared.driver.now();
        let changes = if self.owner {
            shared.driver.node.close(now)
        } else {
            shared.driver.node.detach(lane, now)
        };
        self.producer.settle(changes);
        if self.owner {
            shared.waiters.ended();
        }
    }

    /// Ends the thread (owner) and the calls into this environment.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.end();
    }
}

impl BusJs {
    fn end(&self) {
        let Producer { shared, lane } = &*self.producer;
        release(
            shared,
            Some(lane),
            self.key,
            self.node,
            self.owner,
            &self.detached,
        );
    }

    fn page(&self, shard: u32, request: page::Request, keep: impl FnMut(&[u8]) -> bool) -> Buffer {
        let driver = &self.producer.shared.driver;
        let now = driver.now();
        let mut out = Vec::new();
        driver.node.with_core(|core| {
            core.expire(now);
            core.read(shard, request, keep, &mut out);
        });
        out.into()
    }
}

fn request(after: f64, limit: u32, max_bytes: u32, max_scan: u32) -> page::Request {
    page::Request {
        after: after as u64,
        limit: limit as usize,
        max_bytes: max_bytes as usize,
        max_scan: max_scan as usize,
    }
}

impl Drop for BusJs {
    fn drop(&mut self) {
        // A forgotten owner must not take the node away from producers on other threads; the end of its environment does.
        if self.owner && self.producer.shared.driver.node.producers() > 1 {
            return;
        }
        self.end();
    }
}

/// A batch for the transport.
#[napi(object, object_from_js = false)]
pub struct RawBatch {
    /// Number of events in all earlier batches of the shard.
    pub sequence_start: BigInt,
    /// The events back to back.
    pub data: Buffer,
    /// End offset of each event.
    pub ends: Uint32Array,
    /// Time stamp of each event.
    pub timestamps: BigUint64Array,
}

fn gone() -> Error {
    Error::new(Status::InvalidArg, "attach: the node of this handle is gone")
}

fn release(
    shared: &Shared,
    lane: Option<&Arc<Lane>>,
    key: u64,
    node: u64,
    owner: bool,
    detached: &AtomicBool,
) {
    if detached.swap(true, Ordering::SeqCst) {
        return;
    }
    shared.waiters.remove(key);
    if owner {
        with_nodes(|nodes| nodes.remove(&node));
        let changes = shared.driver.node.close(shared.driver.now());
        shared.waiters.changed(changes);
        shared.waiters.ended();
        shared.driver.stop();
        // Handles may live on until they are collected; the memory of the log must not.
        shared.driver.node.with_core(|core| core.clear());
    } else if let Some(lane) = lane {
        let changes = shared.driver.node.detach(lane, shared.driver.now());
        shared.waiters.changed(changes);
    }
    // Closed or left: the drain no longer reads this ring, and its producer's thread is here.
    if let Some(lane) = lane {
        lane.ring.discard();
    }
}
