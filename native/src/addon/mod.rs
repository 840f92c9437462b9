//! The addon's door: thin napi classes over the core. No protocol decision is made here.

pub mod bus;
pub mod filter;
pub mod hash;
pub mod identity;
pub mod lock;
pub mod log;
pub mod mesh;
pub mod mesh_channels;
pub mod record;
