//! Drivers of the operating system: files, sockets, threads. The core below them does no I/O.

pub mod files;
pub mod logs;
