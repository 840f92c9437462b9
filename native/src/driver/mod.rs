//! Drivers of the operating system: files, sockets, threads. The core below them does no I/O.

pub mod drain;
pub mod files;
mod held;
pub mod logs;
pub mod udp;
