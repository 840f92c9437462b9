//! The WebAssembly door: thin wasm-bindgen classes over the same core as the addon.

mod bus;
mod filter;
mod hash;
mod identity;
mod log;
mod mesh;
mod mesh_channels;
mod record;
