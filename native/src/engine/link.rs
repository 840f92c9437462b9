//! Where a datagram comes from or goes to.

use std::net::{IpAddr, SocketAddr};

/// A path to a neighbour: a UDP address, or a connection that a driver numbers (WebSocket).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// A UDP address.
    Udp(SocketAddr),
    /// A connection-like path; the driver chose the number.
    Channel(u64),
}

impl Link {
    /// The same link without what its owner can choose freely (the port).
    pub fn host(self) -> Self {
        match self {
            Self::Udp(address) => Self::Udp(SocketAddr::new(address.ip(), 0)),
            Self::Channel(_) => self,
        }
    }

    /// Whether packets of full size travel without loss to fragmentation: loopback, or a connection.
    pub fn takes_full_packets(self) -> bool {
        match self {
            Self::Udp(address) => match address.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
            },
            Self::Channel(_) => true,
        }
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(address) => address.fmt(f),
            Self::Channel(number) => write!(f, "link:{number}"),
        }
    }
}
