//! Channels on the data plane: publishes leave through the guard and are tagged with their channel on arrival. Who was
//! granted what is told by the control plane.

use super::send::Publish;
use super::{Delivery, Engine, OpenError, SendError, Sent};
use crate::guard::{AuthGuard, Gateway, Hop, Inbound};
use crate::hash::xxh3_64;
use crate::packet::{flags, Header};
use crate::stream::{Reliability, StreamConfig};

/// Window of a publish stream, bytes on the wire.
pub const PUBLISH_WINDOW: u32 = 65_536;
/// Peers remembered whose publishes the socket refused.
const MAX_UNSENT: usize = 65_536;

/// Guards of one node.
#[derive(Debug)]
pub struct Channels {
    /// Who receives what this node publishes.
    pub outbound: AuthGuard,
    /// What this node asked for.
    pub inbound: Inbound,
    /// What is relayed between subnets; `None` = everything.
    pub gateway: Option<Box<Gateway>>,
    /// Own subnet, for headers toward nodes of ours.
    pub subnet: u32,
    /// Low 32 bits of the own origin hash, for headers of publishes.
    pub origin_hash: u32,
    /// Seed of further tables.
    pub(super) seed: u64,
    pub(super) unsent: Vec<u64>,
}

impl Channels {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        // Not a secret, but not to be guessed by who chooses stream ids.
        let seed = xxh3_64(seed);
        Self {
            outbound: AuthGuard::new(seed),
            inbound: Inbound::new(seed),
            gateway: None,
            subnet: 0,
            origin_hash: 0,
            seed,
            unsent: Vec::new(),
        }
    }

    /// Begins or ends to relay by subnet. A gateway that begins knows no channel.
    pub fn set_gateway(&mut self, on: bool) {
        match (&self.gateway, on) {
            (None, true) => self.gateway = Some(Box::new(Gateway::new(self.seed))),
            (Some(_), false) => self.gateway = None,
            _ => {}
        }
    }

    /// Peers whose datagrams the socket refused since the last call.
    pub fn take_unsent(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.unsent)
    }

    pub(super) fn note_unsent(&mut self, peer: u64) {
        if self.unsent.len() < MAX_UNSENT {
            self.unsent.push(peer);
        }
    }
}

/// How the payloads of one publish travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Whether losses are made good; the first publish to a recipient decides for its stream.
    pub reliable: bool,
    /// Goes into the headers.
    pub priority: u8,
}

/// Why a recipient got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The guard does not admit it.
    NotGranted,
    /// See [`OpenError`].
    Stream(OpenError),
    /// See [`SendError`].
    Send(SendError),
}

impl Engine {
    /// Guards and what they know.
    pub fn channels(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// Publishes that this node as a gateway relayed, and kept back.
    pub fn gateway_counts(&self) -> (u64, u64) {
        let gateway = self.channels.gateway.as_deref();
        gateway.map_or((0, 0), |gateway| (gateway.forwarded, gateway.dropped))
    }

    /// Sends `count` framed events to one recipient of a channel (by its number in the guard), all or nothing.
    pub fn publish(
        &mut self,
        now: u64,
        channel: u32,
        peer: u64,
        frames: &[u8],
        count: usize,
        options: PublishOptions,
    ) -> Result<Sent, PublishError> {
        let of = self
            .channels
            .outbound
            .channel(channel)
            .ok_or(PublishError::NotGranted)?;
        if !self.channels.outbound.admits(peer, of.hash, channel) {
            return Err(PublishError::NotGranted);
        }
        let config = StreamConfig {
            reliability: if options.reliable {
                Reliability::Full
            } else {
                Reliability::Once
            },
            window: PUBLISH_WINDOW,
            weight: 1,
        };
        let publish = Publish {
            channel_hash: of.wire_hash(),
            origin_hash: self.channels.origin_hash,
            priority: options.priority,
        };
        let handle = self
            .open_stream(now, peer, of.stream(), config)
            .map_err(PublishError::Stream)?;
        self.send(now, handle, frames, count, false, publish)
            .map_err(PublishError::Send)
    }

    /// Whether a delivery goes on to the application; a publish is tagged with the channel that this node asked for.
    pub(super) fn admit(&mut self, delivery: &mut Delivery) -> bool {
        if self.config.bus || !delivery.is_publish() {
            return true;
        }
        let inbound = &self.channels.inbound;
        delivery.channel = inbound.channel_of(delivery.peer, delivery.stream_id);
        if delivery.channel != 0 {
            return true;
        }
        let drops = inbound.drops;
        self.out.stats.unsolicited += 1;
        if let Some(peer) = self.peers.get_mut(&delivery.peer) {
            peer.unsolicited += 1;
        }
        !drops
    }

    /// Whether a packet for another node may pass this one, as a gateway between subnets. All but publishes pass; of a
    /// publish that does the hop is to be counted (`Some(true)`).
    pub(super) fn pass(&mut self, dest: u64, packet: &[u8]) -> Option<bool> {
        let Some(gateway) = &mut self.channels.gateway else {
            return Some(false);
        };
        let Ok(header) = Header::decode(packet) else {
            return Some(false);
        };
        if header.flags & (flags::HANDSHAKE | flags::HEARTBEAT) != 0 || !header.is_publish() {
            return Some(false);
        }
        let hop = Hop {
            source: header.subnet_id,
            dest,
            channel_hash: header.channel_hash,
            ttl: header.hop_ttl,
            count: header.hop_count,
        };
        gateway.admit(hop).is_ok().then_some(true)
    }
}
