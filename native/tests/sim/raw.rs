//! A peer made of bytes: it knows the mesh's key, speaks as 0.19.0, and sends whatever a test says.

use super::{Rng, Sim};
use meshring::crypto::Key;
use meshring::engine::Link;
use meshring::noise::{mesh_prologue, Initiator, Role, SessionSecrets};
use meshring::packet::{flags, Header, RouteHeader, HEADER_LEN, ROUTE_LEN};
use meshring::session::Session;
use std::net::SocketAddr;

/// A packet that came back: header and plaintext.
pub type Answer = (Header, Vec<u8>);

pub struct Raw {
    pub id: u64,
    pub address: SocketAddr,
    /// The node at the other end.
    pub node: usize,
    pub session: Session,
}

impl Raw {
    /// Calls a started node by a routed handshake; `None` when it gives no answer.
    pub fn call(sim: &mut Sim, node: usize, id: u64, address: SocketAddr) -> Option<Self> {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&sim.rng.next().to_le_bytes());
        let mut message = Vec::new();
        let initiator = Initiator::start(
            Some(&Key::from([0x42; 32])),
            &mesh_prologue(id, sim.nodes[node].id),
            sim.nodes[node].engine.public_key(),
            Key::from(secret),
            &id.to_le_bytes(),
            &mut message,
        )
        .unwrap();
        let mut bytes = route(id, sim.nodes[node].id, 16);
        let mut head = [0; HEADER_LEN];
        Header {
            flags: flags::HANDSHAKE,
            payload_len: message.len() as u16,
            ..Header::default()
        }
        .encode(&mut head);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&message);
        exchange(sim, node, address, bytes).into_iter().find_map(|reply| {
            let body = reply.get(ROUTE_LEN + HEADER_LEN..)?;
            let (outcome, _) = initiator.finish(body).ok()?;
            let secrets = SessionSecrets::transcript(&outcome, Role::Initiator);
            Some(Self {
                id,
                address,
                node,
                session: Session::new(&secrets, None),
            })
        })
    }

    /// A sealed packet, not sent yet.
    pub fn seal(&mut self, header: Header, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.seal(header, payload, &mut out);
        out
    }

    pub fn heartbeat(&mut self) -> Vec<u8> {
        let header = Header {
            flags: flags::HEARTBEAT,
            ..Header::default()
        };
        self.seal(header, &[])
    }

    /// Sends bytes and returns what came back at once, but for beacons.
    pub fn send(&mut self, sim: &mut Sim, bytes: Vec<u8>) -> Vec<Answer> {
        let replies = exchange(sim, self.node, self.address, bytes);
        let mut opened = Vec::new();
        for mut reply in replies {
            let Ok(header) = Header::decode(&reply) else {
                continue;
            };
            if let Ok(payload) = self.session.open(&header, &mut reply) {
                opened.push((header, payload.to_vec()));
            }
        }
        opened
    }
}

/// A routing header.
pub fn route(src: u64, dest: u64, ttl: u8) -> Vec<u8> {
    let header = RouteHeader {
        ttl,
        src: src as u32,
        dest,
        ..RouteHeader::default()
    };
    header.encode().to_vec()
}

/// A handshake packet that nobody can decrypt.
pub fn noise(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    let mut head = [0; HEADER_LEN];
    Header {
        flags: flags::HANDSHAKE,
        payload_len: 48,
        ..Header::default()
    }
    .encode(&mut head);
    bytes.copy_from_slice(&head);
    bytes.extend((0..48).map(|_| rng.next() as u8));
    bytes
}

fn exchange(sim: &mut Sim, node: usize, from: SocketAddr, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let now = sim.time(node);
    let engine = &mut sim.nodes[node].engine;
    engine.handle_datagram(now, Link::Udp(from), &mut bytes);
    let mut replies = Vec::new();
    while let Some(transmit) = engine.poll_transmit(now) {
        if transmit.link == Link::Udp(from) {
            replies.push(transmit.bytes);
        }
    }
    sim.touch(node);
    replies
}
