//! What leaves next: urgent datagrams, then streams and forwards in turn by weight. Packets are sealed here, so that
//! counters leave in order whatever the turn.

use super::timers::Timer;
use super::{Engine, Link, Origin, Transmit, DATA_TTL};
use crate::packet::{flags, Features, Header, RouteHeader, MAX_PACKET};
use crate::stream::sender::Next;
use crate::stream::Reliability;

/// Bytes that a stream of weight 1 may send in its turn.
const QUANTUM: u64 = MAX_PACKET as u64;

/// Flag between our nodes: the sender's window runs low, acknowledge at once.
pub(super) const ACK_NOW: u8 = 0x40;

/// Flag between our nodes, beside the one for reliable streams: deliver as it arrives.
pub(super) const ANY_ORDER: u8 = 0x80;

/// A queue that takes its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// A stream of a peer.
    Stream(u64, u64),
    /// Packets to relay that came from a link.
    Forward(Link),
}

/// Routing header of data.
pub(super) fn data_route(own: u64, dest: u64) -> RouteHeader {
    RouteHeader {
        ttl: DATA_TTL,
        src: own as u32,
        dest,
        ..RouteHeader::default()
    }
}

impl Engine {
    /// The next datagram to send.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Transmit> {
        self.advance(now);
        loop {
            if let Some((link, bytes)) = self.out.next_urgent() {
                if let Some(transmit) = self.leave(link, bytes, None) {
                    return Some(transmit);
                }
                continue;
            }
            if !self.owed.is_empty() {
                self.flush_owed();
                continue;
            }
            match *self.flows.front()? {
                Flow::Forward(source) => {
                    self.flows.pop_front();
                    let Some((link, bytes, more)) = self.forwards.pop(source) else {
                        continue;
                    };
                    if more {
                        self.flows.push_back(Flow::Forward(source));
                    }
                    if let Some(transmit) = self.leave(link, bytes, None) {
                        return Some(transmit);
                    }
                }
                Flow::Stream(peer, stream) => {
                    if let Some(transmit) = self.next_of_stream(peer, stream) {
                        return Some(transmit);
                    }
                }
            }
        }
    }

    fn leave(&mut self, link: Link, bytes: Vec<u8>, origin: Option<Origin>) -> Option<Transmit> {
        if self.blocked.contains(&link) {
            self.out.stats.filtered += 1;
            self.out.recycle(bytes);
            return None;
        }
        self.out.stats.datagrams_out += 1;
        self.out.stats.bytes_out += bytes.len() as u64;
        Some(Transmit { link, bytes, origin })
    }

    /// Puts a stream in the transmit order if it has something to send.
    pub(super) fn schedule(&mut self, peer: u64, stream: u64) {
        let found = self
            .peers
            .get_mut(&peer)
            .and_then(|known| known.streams.get_mut(stream));
        if let Some(found) = found {
            if !found.scheduled && found.sender.has_next() {
                found.scheduled = true;
                self.flows.push_back(Flow::Stream(peer, stream));
            }
        }
    }

    /// Lets streams try again that waited for the congestion window or the pace: as many as its room is enough for, so
    /// that an acknowledgement costs the same whether one stream waits or a thousand. The next ones follow when one of them
    /// has nothing left, or with the next acknowledgement.
    pub(super) fn release_blocked(&mut self, id: u64) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let mut room = peer.congestion.room();
        while let Some(stream_id) = peer.blocked.pop_front() {
            let Some(stream) = peer.streams.get_mut(stream_id) else {
                continue;
            };
            stream.blocked = false;
            stream.served = false;
            let Some(cost) = stream.sender.next_cost() else {
                continue;
            };
            if !stream.scheduled {
                stream.scheduled = true;
                self.flows.push_back(Flow::Stream(id, stream_id));
            }
            if room <= cost {
                break;
            }
            room -= cost;
        }
    }

    /// Where packets to a peer go, and whether behind a routing header.
    pub(super) fn path_to(&self, id: u64) -> Option<(Link, bool)> {
        let peer = self.peers.get(&id)?;
        if !peer.relayed && !peer.detoured {
            return Some((peer.link, false));
        }
        let link = self.routes.lookup(self.now, id).unwrap_or(peer.link);
        Some((link, peer.relayed || link != peer.link))
    }

    fn next_of_stream(&mut self, id: u64, stream_id: u64) -> Option<Transmit> {
        let path = self.path_to(id);
        let (Some((link, routed)), Some(peer)) = (path, self.peers.get_mut(&id)) else {
            self.flows.pop_front();
            return None;
        };
        let Some(stream) = peer.streams.get_mut(stream_id) else {
            self.flows.pop_front();
            self.release_blocked(id);
            return None;
        };
        let Some(cost) = stream.sender.next_cost() else {
            stream.scheduled = false;
            stream.deficit = 0;
            self.flows.pop_front();
            self.release_blocked(id);
            return None;
        };
        // While something of a former life is unacknowledged, what follows it is too: the receiver puts them in order together.
        let retain = (stream.is_acknowledged() || stream.sender.has_unacknowledged())
            && peer.session.has(Features::RELIABLE);
        if retain {
            let at = if peer.congestion.admits(cost) {
                peer.congestion.pace(self.now, cost, peer.rtt.smoothed())
            } else {
                u64::MAX
            };
            if at > self.now {
                stream.scheduled = false;
                if !stream.blocked {
                    stream.blocked = true;
                    // Who had no turn is the next.
                    if stream.served {
                        peer.blocked.push_back(stream_id);
                    } else {
                        peer.blocked.push_front(stream_id);
                    }
                }
                self.flows.pop_front();
                if at < u64::MAX {
                    self.timers.arm(Timer::Peer(id), at);
                }
                return None;
            }
        }
        if stream.deficit < cost {
            stream.deficit += QUANTUM * u64::from(stream.config.weight.max(1));
            self.flows.rotate_left(1);
            return None;
        }
        stream.deficit -= cost;
        stream.served = true;
        let next = stream.sender.next(self.now, retain)?;
        let (sequence, distance) = match &next {
            Next::Once(sequence, _) => (*sequence, 0),
            Next::Retained(sequence) => (*sequence, stream.sender.distance(*sequence)),
        };
        let plain = match &next {
            Next::Once(_, plain) => Some(plain),
            Next::Retained(sequence) => stream.sender.retained(*sequence),
        };
        let mut bytes = self.out.buffer();
        let extended = peer.session.features().is_some();
        if let Some(plain) = plain {
            let low = stream.credit.window() > 0
                && stream.credit.remaining() < u64::from(stream.credit.window() / 2);
            let mut bits = if stream.is_acknowledged() && plain.subprotocol == 0 || retain {
                flags::RELIABLE
            } else {
                0
            };
            if low && peer.session.has(Features::RELIABLE) {
                bits |= ACK_NOW;
            }
            if stream.config.reliability == Reliability::Light && peer.session.has(Features::LIGHT) {
                bits |= ANY_ORDER;
            }
            let header = Header {
                flags: bits,
                priority: plain.priority,
                hop_ttl: if extended { DATA_TTL } else { 0 },
                subnet_id: if extended { self.channels.subnet } else { 0 },
                subprotocol_id: plain.subprotocol,
                channel_hash: plain.channel_hash,
                origin_hash: plain.origin_hash,
                stream_id,
                sequence,
                fragment_id: distance as u16,
                fragment_offset: (distance >> 16) as u16,
                event_count: plain.events,
                ..Header::default()
            };
            if routed {
                bytes.extend_from_slice(&data_route(self.config.node_id, id).encode());
            }
            peer.session.seal(header, &plain.payload, &mut bytes);
        }
        let epoch = stream.epoch;
        if retain {
            peer.congestion.sent(cost);
            stream.sender.arm(self.now, &peer.rtt);
        }
        let repeated = matches!(&next, Next::Retained(_)) && stream.sender.was_repeated(sequence);
        if repeated {
            self.out.stats.retransmitted += 1;
        }
        if let Next::Once(_, plain) = next {
            self.out.recycle(plain.payload);
        }
        if retain {
            self.arm_stream(id, stream_id);
        }
        let origin = (!retain).then_some(Origin {
            peer: id,
            stream: stream_id,
            epoch,
            sequence,
            cost,
        });
        self.leave(link, bytes, origin)
    }
}
