//! Channels behind the door: grants, expectations, publishes to all recipients in one call, and the gateway's tables.

use super::Port;
use crate::engine::{OpenError, PublishError, PublishOptions, SendError};
use crate::guard::{Gateway, Rule};

/// What became of each recipient of a publish.
pub mod outcome {
    /// Handed on.
    pub const SENT: i8 = 0;
    /// Credit too low.
    pub const BACKPRESSURE: i8 = -1;
    /// No session.
    pub const NO_SESSION: i8 = -2;
    /// Frames that do not add up, or an event above 8108 bytes.
    pub const BAD_FRAMES: i8 = -4;
    /// The socket refused its datagram.
    pub const SOCKET: i8 = -5;
    /// The guard does not admit it.
    pub const NOT_GRANTED: i8 = -6;
    /// It has too many streams with unacknowledged packets.
    pub const TOO_MANY: i8 = -7;
    /// An earlier recipient failed, and the call was to stop there.
    pub const NOT_TRIED: i8 = 1;
}

/// One publish: events framed as on the wire, for any number of recipients.
#[derive(Clone, Copy, Debug)]
pub struct Fanout<'a> {
    /// Number that [`Port::grant`] gave.
    pub channel: u32,
    /// Node ids.
    pub peers: &'a [u64],
    /// `length u32 ‖ bytes`, again and again.
    pub frames: &'a [u8],
    /// Number of events.
    pub count: u32,
    /// Reliability and priority.
    pub options: PublishOptions,
    /// Whether the first failure ends it.
    pub stops: bool,
}

impl<'a> Fanout<'a> {
    /// `flags`: priority in the low byte, then bit 8 = reliable, bit 9 = stop at the first failure. `None`: `length` lies
    /// beyond the frames.
    pub fn new(
        channel: u32,
        peers: &'a [u64],
        frames: &'a [u8],
        length: u32,
        count: u32,
        flags: u32,
    ) -> Option<Self> {
        Some(Self {
            channel,
            peers,
            frames: frames.get(..length as usize)?,
            count,
            options: PublishOptions {
                reliable: flags & 0x100 != 0,
                priority: flags as u8,
            },
            stops: flags & 0x200 != 0,
        })
    }
}

fn code(error: PublishError) -> i8 {
    match error {
        PublishError::NotGranted => outcome::NOT_GRANTED,
        PublishError::Stream(OpenError::TooMany) => outcome::TOO_MANY,
        PublishError::Stream(OpenError::NoSession | OpenError::Reserved) => outcome::NO_SESSION,
        PublishError::Send(SendError::Backpressure) => outcome::BACKPRESSURE,
        PublishError::Send(SendError::NotConnected) => outcome::NO_SESSION,
        PublishError::Send(SendError::TooLarge(_) | SendError::BadFrames) => outcome::BAD_FRAMES,
    }
}

impl Port {
    /// Grants a channel to a node: the channel's number, or 0 when the guard is full.
    pub fn grant(&mut self, node: u64, channel: &str) -> u32 {
        self.engine.channels().outbound.grant(node, channel).unwrap_or(0)
    }

    /// Takes a channel from a node.
    pub fn revoke(&mut self, node: u64, channel: &str) -> bool {
        self.engine.channels().outbound.revoke(node, channel)
    }

    /// Sends a publish to all recipients and writes what became of each, in their order, to `outcomes` (see [`outcome`]).
    /// Returns how many it was sent to.
    pub fn publish(&mut self, now: u64, fanout: &Fanout<'_>, outcomes: &mut [i8]) -> u32 {
        self.engine.channels().take_unsent();
        let (mut sent, mut over) = (0, false);
        for (peer, told) in fanout.peers.iter().zip(outcomes) {
            if over {
                *told = outcome::NOT_TRIED;
                continue;
            }
            let count = fanout.count as usize;
            let published =
                self.engine
                    .publish(now, fanout.channel, *peer, fanout.frames, count, fanout.options);
            *told = published.map_or_else(code, |_| outcome::SENT);
            sent += u32::from(*told == outcome::SENT);
            over = fanout.stops && *told != outcome::SENT;
        }
        sent
    }

    /// After the socket refused something: marks the recipients it refused. Returns how many are left of those sent to.
    pub fn mark_unsent(&mut self, peers: &[u64], outcomes: &mut [i8]) -> u32 {
        let mut unsent = self.engine.channels().take_unsent();
        unsent.sort_unstable();
        let mut sent = 0;
        for (peer, told) in peers.iter().zip(outcomes) {
            if *told == outcome::SENT && unsent.binary_search(peer).is_ok() {
                *told = outcome::SOCKET;
            }
            sent += u32::from(*told == outcome::SENT);
        }
        sent
    }

    /// Own subnet and low half of the own origin hash, for headers.
    pub fn identify(&mut self, subnet: u32, origin_hash: u32) {
        let channels = self.engine.channels();
        (channels.subnet, channels.origin_hash) = (subnet, origin_hash);
    }

    /// Expects a publish stream of a publisher (0 = of any peer) for the channel `tag`; `false` when the table is full.
    pub fn expect(&mut self, publisher: u64, stream: u64, tag: u32) -> bool {
        self.engine.channels().inbound.expect(publisher, stream, tag)
    }

    /// Ends an expectation.
    pub fn forget(&mut self, publisher: u64, stream: u64) -> bool {
        self.engine.channels().inbound.forget(publisher, stream)
    }

    /// Whether publishes that nobody asked for are dropped instead of kept as plain events.
    pub fn drop_unsolicited(&mut self, drops: bool) {
        self.engine.channels().inbound.drops = drops;
    }

    /// Relays by subnet, or no longer; `denies_unknown`: nodes of unknown subnet get global channels only.
    pub fn set_gateway(&mut self, on: bool, denies_unknown: bool) {
        self.engine.channels().set_gateway(on);
        self.with_gateway(|gateway| gateway.denies_unknown = denies_unknown);
    }

    /// What the gateway knows of a 16-bit channel hash: 0 subnet-local, 1 parent-visible, 2 exported, 3 global; else nothing.
    pub fn gateway_rule(&mut self, channel_hash: u16, visibility: u32, exports: &[u32]) {
        let rule = match visibility {
            0 => Some(Rule::SubnetLocal),
            1 => Some(Rule::ParentVisible),
            2 => Some(Rule::Exported(exports.to_vec())),
            3 => Some(Rule::Global),
            _ => None,
        };
        self.with_gateway(|gateway| gateway.set_rule(channel_hash, rule));
    }

    /// Subnet of a node for the gateway; `None` = unknown.
    pub fn gateway_subnet(&mut self, node: u64, subnet: Option<u32>) {
        self.with_gateway(|gateway| gateway.set_subnet(node, subnet));
    }

    fn with_gateway(&mut self, work: impl FnOnce(&mut Gateway)) {
        if let Some(gateway) = self.engine.channels().gateway.as_deref_mut() {
            work(gateway);
        }
    }
}
