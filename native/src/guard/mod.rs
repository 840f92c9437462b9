//! What the data plane lets pass: strangers by the rate ([`strangers`]), publishes to their subscribers ([`auth`]), inbound
//! publishes to the channels that asked for them ([`inbound`]), relayed publishes by subnet ([`gateway`]).
//! Who is entitled to what is decided by the control plane; here it is only looked up.

pub mod auth;
mod fold;
pub mod gateway;
pub mod inbound;
pub mod strangers;

pub use auth::{AuthGuard, Verdict};
pub use gateway::{Gateway, Hop, Rule, Stop};
pub use inbound::Inbound;
pub use strangers::Guard;

/// Grants that a table holds at most; beyond, a grant is refused. About 50 MB.
pub const MAX_GRANTS: usize = 1 << 20;
