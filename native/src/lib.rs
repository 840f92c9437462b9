//! Data plane of meshring.
//!
//! What touches every event or every packet lives here; what decides lives in TypeScript.
//! The core does no I/O and reads no clock: bytes and time go in, bytes and events come out.
//! Feature `addon` adds the napi classes ([`addon`]) and the drivers that own sockets, files and threads.

#[cfg(feature = "addon")]
pub mod addon;
pub mod bus;
pub mod cortex;
pub mod crypto;
#[cfg(feature = "addon")]
pub mod driver;
pub mod engine;
pub mod filter;
pub mod guard;
pub mod hash;
pub mod identity;
pub mod log;
pub mod noise;
pub mod packet;
pub mod port;
pub mod record;
pub mod routing;
pub mod session;
pub mod stream;
