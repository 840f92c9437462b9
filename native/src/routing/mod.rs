//! Who is reached over whom: the routing table and the proximity graph (21 §4, §5, §7).

mod graph;
mod relayed;
mod table;

pub use graph::{Graph, Heard, MAX_GRAPH_NODES, MAX_SEEN};
pub use relayed::{RelayedSessions, FORGET_AFTER, MAX_SESSIONS};
pub use table::{Route, RouteTable, MAX_ROUTES};
