//! The bus for JavaScript without threads: TypeScript drives the clock and drains inline.

use meshring::bus::core::{cut, Config, Home};
use meshring::bus::node::{Changes, Lane, Node};
use meshring::bus::page;
use meshring::filter::Scratch;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

fn request(after: f64, limit: u32, max_bytes: u32, max_scan: u32) -> page::Request {
    page::Request {
        after: after as u64,
        limit: limit as usize,
        max_bytes: max_bytes as usize,
        max_scan: max_scan as usize,
    }
}

/// A node and its one producer.
#[wasm_bindgen]
pub struct Bus {
    node: Node,
    lane: Arc<Lane>,
    shape: [u32; 2],
    now: u64,
    attention: bool,
}

impl Bus {
    fn page(&self, shard: u32, request: page::Request, keep: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        self.node.with_core(|core| {
            core.expire(self.now);
            core.read(shard, request, keep, &mut out);
        });
        out
    }

    fn settle(&mut self, changes: Changes) {
        self.attention |= changes.attention;
    }
}

#[wasm_bindgen]
impl Bus {
    /// A node of its own; other threads cannot attach.
    #[wasm_bindgen(constructor)]
    pub fn new(settings: &[f64]) -> Result<Bus, JsError> {
        let (config, ring_bytes) =
            Config::from_numbers(settings).ok_or_else(|| JsError::new("bus: settings must be 14 numbers"))?;
        let node = Node::new(config, ring_bytes);
        let lane = node.attach().ok_or_else(|| JsError::new("bus: closed"))?;
        Ok(Bus {
            node,
            lane,
            shape: [
                config.shards,
                u32::from(matches!(config.home, Home::Queue { .. })),
            ],
            now: 0,
            attention: false,
        })
    }

    /// Sets the clock: nanoseconds since the node was created.
    pub fn tick(&mut self, now: f64) {
        self.now = self.now.max(now as u64);
    }

    /// Number of shards, and whether they are queues.
    pub fn shape(&self) -> Vec<u32> {
        self.shape.to_vec()
    }

    /// Address of the staging ring in the module's memory.
    #[wasm_bindgen(js_name = ringPointer)]
    pub fn ring_pointer(&self) -> u32 {
        self.lane.ring.pointer() as usize as u32
    }

    /// Length of the staging ring, header included.
    #[wasm_bindgen(js_name = ringLength)]
    pub fn ring_length(&self) -> u32 {
        self.lane.ring.memory_len() as u32
    }

    /// Takes everything that was staged and answers in the ring's header.
    pub fn drain(&mut self) {
        let changes = self.node.drain_own(&self.lane, self.now);
        self.settle(changes);
    }

    /// As `drain`.
    pub fn sweep(&mut self) {
        let changes = self.node.sweep(self.now);
        self.settle(changes);
    }

    /// Whether a batch became worth looking at since the last call.
    #[wasm_bindgen(js_name = takeAttention)]
    pub fn take_attention(&mut self) -> bool {
        std::mem::take(&mut self.attention)
    }

    /// Stores an event which is too large for the ring; the answer is in the ring's header.
    pub fn push(&mut self, raw: &[u8], hash: Option<u64>) {
        let changes = self.node.push_direct(&self.lane, raw, hash, self.now);
        self.settle(changes);
    }

    /// A page of a shard's log; layout in `native/src/bus/page.rs`.
    pub fn read(&self, shard: u32, after: f64, limit: u32, max_bytes: u32, max_scan: u32) -> Vec<u8> {
        self.page(shard, request(after, limit, max_bytes, max_scan), |_| true)
    }

    /// As `read`, only events that match.
    #[wasm_bindgen(js_name = readFiltered)]
    pub fn read_filtered(
        &self,
        shard: u32,
        after: f64,
        limit: u32,
        max_bytes: u32,
        max_scan: u32,
        filter: &crate::filter::Filter,
    ) -> Vec<u8> {
        let mut scratch = Scratch::default();
        let keep = |raw: &[u8]| filter.core().matches_with(raw, &mut scratch);
        self.page(shard, request(after, limit, max_bytes, max_scan), keep)
    }

    /// The latest time stamp given: no later event has a smaller one.
    #[wasm_bindgen(js_name = lastStamp)]
    pub fn last_stamp(&self) -> u64 {
        self.node.with_core(|core| core.last_stamp())
    }

    /// Numbers of the oldest retained and of the newest event of each shard, alternating.
    pub fn positions(&self) -> Vec<f64> {
        self.node.with_core(|core| core.positions())
    }

    /// Number of the newest event of each shard that was confirmed or given up, with all before it.
    pub fn acknowledged(&self) -> Vec<f64> {
        self.node.with_core(|core| core.acknowledged())
    }

    /// First the time in ns after which the next batch is due (-1: none), then the shards whose batch is due now.
    pub fn due(&self) -> Vec<f64> {
        self.node.with_core(|core| core.due_list(self.now))
    }

    /// Cuts the next batch of a shard.
    #[wasm_bindgen(js_name = takeBatch)]
    pub fn take_batch(&self, shard: u32) -> Option<RawBatch> {
        let batch = self.node.with_core(|core| core.take_batch(shard))?;
        Some(RawBatch {
            sequence_start: batch.sequence_start,
            data: batch.data,
            ends: batch.ends,
            timestamps: batch.stamps,
        })
    }

    /// The transport is done with the batch of a shard: `stored` events are stored, the rest is given up.
    #[wasm_bindgen(js_name = finishBatch)]
    pub fn finish_batch(&self, shard: u32, stored: f64) {
        self.node
            .with_core(|core| core.finish_batch(shard, stored as u64));
    }

    /// Lets the numbering of a shard's batches start higher.
    #[wasm_bindgen(js_name = startSequence)]
    pub fn start_sequence(&self, shard: u32, sequence: u64) {
        self.node.with_core(|core| core.start_sequence(shard, sequence));
    }

    /// Stores inbound events of a shard: `ends` are the end offsets of the events in `data`.
    pub fn place(&mut self, shard: u32, data: &[u8], ends: &[u32]) {
        let changes = self.node.place(shard, cut(data, ends), self.now);
        self.settle(changes);
    }

    /// Stores inbound packets as `RawMesh.takeDeliveries` gives them: the shard is the stream id modulo the number of shards.
    #[wasm_bindgen(js_name = placePackets)]
    pub fn place_packets(&mut self, batch: &[u8]) {
        let shards = self.node.with_core(|core| u64::from(core.shard_count()).max(1));
        for (stream, events) in meshring::port::deliveries(batch) {
            let changes = self.node.place((stream % shards) as u32, events, self.now);
            self.settle(changes);
        }
    }

    /// Gives up every queued event; returns how many.
    #[wasm_bindgen(js_name = giveUp)]
    pub fn give_up(&self) -> f64 {
        self.node.with_core(|core| core.give_up()) as f64
    }

    /// Counters in the order of `CounterNames` in `ts/src/backend/bus.ts`.
    pub fn counters(&self) -> Vec<u64> {
        self.node.with_core(|core| core.counter_list()).to_vec()
    }

    /// Refuses further events and takes what was staged.
    pub fn close(&mut self) {
        let changes = self.node.close(self.now);
        self.settle(changes);
    }
}

/// A batch for the transport. The getters move the parts out: each is read once.
#[wasm_bindgen]
pub struct RawBatch {
    sequence_start: u64,
    data: Vec<u8>,
    ends: Vec<u32>,
    timestamps: Vec<u64>,
}

#[wasm_bindgen]
impl RawBatch {
    /// Number of events in all earlier batches of the shard.
    #[wasm_bindgen(getter, js_name = sequenceStart)]
    pub fn sequence_start(&self) -> u64 {
        self.sequence_start
    }

    /// The events back to back.
    #[wasm_bindgen(getter)]
    pub fn data(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.data)
    }

    /// End offset of each event.
    #[wasm_bindgen(getter)]
    pub fn ends(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.ends)
    }

    /// Time stamp of each event.
    #[wasm_bindgen(getter)]
    pub fn timestamps(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.timestamps)
    }
}
