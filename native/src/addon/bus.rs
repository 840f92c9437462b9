//! The bus for JavaScript: one `Bus` object for each producer thread of a node.
//!
//! What is called for each event or each tick is a raw Node-API function with bound data (a method of a class costs
//! some 350 ns more); everything else is a method.

use super::filter::FilterJs;
use crate::bus::core::{cut, Config, Home};
use crate::bus::node::{Changes, Lane, Node};
use crate::bus::page;
use crate::driver::drain::{Driver, Listener};
use crate::filter::Scratch;
use napi::bindgen_prelude::{
    BigInt, BigUint64Array, Buffer, Env, Error, Float64Array, Function, JsObjectValue, Object, Result,
    Status, Uint32Array, Uint8Array,
};
use napi::sys;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// A Node-API callback.
type RawCall = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// One JavaScript environment that may wait for this node.
struct Waiter {
    wake: Wake,
    /// A call is on its way: more are not queued while that environment is busy.
    called: Arc<AtomicBool>,
    /// Somebody there waits for readable events.
    waiting: AtomicBool,
    /// Whether this environment runs the dispatcher.
    owner: bool,
}

#[derive(Default)]
struct Waiters(Mutex<HashMap<u64, Arc<Waiter>>>);

impl Waiters {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn call(&self) {
        if !self.called.swap(true, Ordering::SeqCst) {
            // A closing environment answers with an error: it no longer waits.
            let _ = self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Waiters {
    /// The node was shut down: everybody learns it.
    fn ended(&self) {
        for waiter in self.all().values() {
            waiter.call();
        }
    }
}

impl Listener for Waiters {
    fn changed(&self, changes: Changes) {
        for waiter in self.all().values() {
            let wanted = changes.appended && waiter.waiting.swap(false, Ordering::SeqCst);
            if wanted || (changes.attention && waiter.owner) {
                waiter.call();
            }
        }
    }
}

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

/// What the raw functions and the memory of one producer hold on to.
struct Producer {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

impl Producer {
    fn settle(&self, changes: Changes) {
        if !changes.is_empty() {
            self.shared.waiters.changed(changes);
        }
    }

    fn drain(&self) {
        let driver = &self.shared.driver;
        self.settle(driver.node.drain_own(&self.lane, driver.now()));
    }
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
        let lane = self.producer.lane.clone();
        let (pointer, length) = (lane.ring.pointer(), lane.ring.memory_len());
        let hint = Arc::into_raw(lane).cast_mut().cast::<c_void>();
        let mut buffer = std::ptr::null_mut();
        // SAFETY: the memory lives until the finalizer gives the reference back.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                env.raw(),
                pointer.cast(),
                length,
                Some(release_lane),
                hint,
                &mut buffer,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: the call failed, so the finalizer will not run.
            unsafe { drop(Arc::from_raw(hint.cast::<Lane>())) };
            return Ok(None);
        }
        // SAFETY: a value of this environment, just made.
        Ok(Some(Object::from_raw(env.raw(), buffer)))
    }

    /// `{ drain, wake }`: functions without arguments. `drain` takes everything this producer has staged and answers
    /// in the ring's header; `wake` wakes the drain thread.
    #[napi(catch_unwind)]
    pub fn calls<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let mut calls = Object::new(env)?;
        for (name, callback) in [
            (c"drain", Some(drain_call as RawCall)),
            (c"wake", Some(wake_call as RawCall)),
        ] {
            let data = Arc::into_raw(self.producer.clone()).cast_mut().cast::<c_void>();
            let mut function = std::ptr::null_mut();
            // SAFETY: `data` is given back by the finalizer of the function.
            let status = unsafe {
                let made = sys::napi_create_function(
                    env.raw(),
                    name.as_ptr(),
                    name.to_bytes().len() as isize,
                    callback,
                    data,
                    &mut function,
                );
                if made == sys::Status::napi_ok {
                    sys::napi_add_finalizer(
                        env.raw(),
                        function,
                        data,
                        Some(release_producer),
                        std::ptr::null_mut(),
                        std::ptr::null_mut(),
                    )
                } else {
                    drop(Arc::from_raw(data.cast::<Producer>()));
                    made
                }
            };
            if status != sys::Status::napi_ok {
                return Err(Error::from_reason("bus: a function could not be made"));
            }
            // SAFETY: a value of this environment, just made.
            let value = unsafe { napi::Unknown::from_raw_unchecked(env.raw(), function) };
            calls.set_named_property(&name.to_string_lossy(), value)?;
        }
        Ok(calls)
    }

    /// Registers the function that is called (once for many changes) when somebody here waits and events are
    /// readable, or when a batch is due. It does not keep the process alive.
    #[napi(catch_unwind)]
    pub fn on_wake(&self, wake: Function<(), ()>) -> Result<()> {
        let called = Arc::new(AtomicBool::new(false));
        let arrived = called.clone();
        let wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .max_queue_size::<0>()
            .build_callback(move |_| {
                // Before the look, so that a change behind it calls again.
                arrived.store(false, Ordering::SeqCst);
                Ok(())
            })?;
        self.producer.shared.waiters.all().insert(
            self.key,
            Arc::new(Waiter {
                wake,
                called,
                waiting: AtomicBool::new(false),
                owner: self.owner,
            }),
        );
        Ok(())
    }

    /// Says whether somebody in this environment waits for readable events.
    #[napi(catch_unwind)]
    pub fn set_waiting(&self, waiting: bool) {
        if let Some(waiter) = self.producer.shared.waiters.all().get(&self.key) {
            waiter.waiting.store(waiting, Ordering::SeqCst);
        }
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
    shared.waiters.all().remove(&key);
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

unsafe extern "C" fn release_lane(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `ring_buffer`.
    drop(unsafe { Arc::from_raw(hint.cast::<Lane>()) });
}

unsafe extern "C" fn release_producer(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `calls`.
    drop(unsafe { Arc::from_raw(data.cast::<Producer>()) });
}

/// The producer that is bound to a raw function.
unsafe fn bound<'a>(env: sys::napi_env, info: sys::napi_callback_info) -> Option<&'a Producer> {
    let mut data = std::ptr::null_mut();
    // SAFETY: `env` and `info` are those of the running callback.
    unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &mut data,
        );
        data.cast::<Producer>().as_ref()
    }
}

/// Runs `f` on the bound producer; a panic becomes a JavaScript exception.
unsafe fn guarded(env: sys::napi_env, info: sys::napi_callback_info, f: fn(&Producer)) -> sys::napi_value {
    // SAFETY: the data was bound in `calls` and lives as long as the function.
    if let Some(producer) = unsafe { bound(env, info) } {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(producer))).is_err() {
            // SAFETY: both strings are NUL-terminated.
            unsafe {
                sys::napi_throw_error(
                    env,
                    c"GenericFailure".as_ptr(),
                    c"meshring: internal error".as_ptr(),
                )
            };
        }
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn drain_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API.
    unsafe { guarded(env, info, Producer::drain) }
}

unsafe extern "C" fn wake_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API.
    unsafe { guarded(env, info, |producer| producer.shared.driver.wake()) }
}
