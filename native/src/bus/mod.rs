//! Ingest: staging rings, sharding, backpressure, batches and the retained log of the memory transport.
//!
//! A producer frames events into a [`ring::Ring`]; [`core::Core::drain`] takes them out, hashes them onto shards
//! (10 §3.2), stamps them (10 §3.3) and stores each once in its shard's [`segments::Segments`]: as the retained log
//! of the memory transport, or as the queue from which batches for a store are cut (10 §3.4, §3.5).
//! Nothing here reads a clock: the driver hands in nanoseconds since the node was created.

pub mod adaptive;
pub mod chunk;
pub mod core;
pub mod handoff;
pub mod node;
pub mod page;
pub mod ring;
pub mod segments;
pub mod shard;
