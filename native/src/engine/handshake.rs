//! Handshake messages on the wire: which end they are for, and what leaves (20 §4.4, §4.5).

use super::{Engine, Link, HANDSHAKE_TTL};
use crate::noise::{Outcome, Role, SessionSecrets};
use crate::packet::{flags, Features, Header, RouteHeader, HEADER_LEN};

/// What the other end of a bus link is called: the link has no node ids.
pub const BUS_PEER: u64 = 1;

/// The part of a node id that a prologue and a routing header name.
pub(super) const MASK: u64 = 0xffff_ffff;

/// The prologue, which a bus link has not.
pub(super) fn prologue(bus: bool, mesh: &[u8; 32]) -> &[u8] {
    if bus {
        &[]
    } else {
        mesh
    }
}

/// Keys of the session, by what both ends agreed on.
pub(super) fn secrets(outcome: &Outcome, role: Role, features: Option<Features>) -> SessionSecrets {
    match features {
        Some(_) => SessionSecrets::forward_secret(outcome, role),
        None => SessionSecrets::transcript(outcome, role),
    }
}

impl Engine {
    /// A handshake packet arrived, direct or behind a routing header.
    pub(super) fn on_handshake(
        &mut self,
        link: Link,
        packet: &[u8],
        header: &Header,
        route: Option<RouteHeader>,
    ) {
        if self.closed {
            return;
        }
        if !self.guard.admit_handshake(self.now, link) {
            self.out.stats.handshakes_limited += 1;
            return;
        }
        let body = &packet[HEADER_LEN..];
        if self.on_answer(link, body, route) {
            return;
        }
        let done = match route {
            Some(route) => self.on_routed_call(link, body, route),
            None => self.on_direct_call(link, body, header.origin_hash),
        };
        if !done {
            self.out.stats.handshakes_refused += 1;
        }
    }

    pub(super) fn send_handshake(&mut self, link: Link, routed_to: Option<u64>, hint: u32, message: &[u8]) {
        let mut bytes = self.out.buffer();
        if let Some(dest) = routed_to {
            let route = RouteHeader {
                ttl: HANDSHAKE_TTL,
                src: self.config.node_id as u32,
                dest,
                ..RouteHeader::default()
            };
            bytes.extend_from_slice(&route.encode());
        }
        let mut head = [0; HEADER_LEN];
        let header = Header {
            flags: flags::HANDSHAKE,
            payload_len: message.len() as u16,
            origin_hash: hint,
            ..Header::default()
        };
        header.encode(&mut head);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(message);
        self.out.urgent(link, bytes);
    }
}
