//! Messages of the extension, and the acknowledgements and grants that this end owes.

use super::{Engine, Event, Link, PeerChange};
use crate::packet::control::{Ack, Control};
use crate::packet::{flags, put_frame, subprotocol, Features, Grant, Header, CONTROL_STREAM, OVERHEAD};
use crate::stream::Reliability;

/// Payload at which a control packet is sent and a new one begun.
const FULL: usize = 1100;

impl Engine {
    /// A control message of a peer of our kind.
    pub(super) fn on_control(&mut self, id: u64, link: Link, message: &[u8], size: usize) {
        let Some(message) = Control::decode(message) else {
            self.out.stats.bad_control += 1;
            return;
        };
        match message {
            Control::Ack(ack) => self.on_ack(id, &ack),
            Control::CreditProbe(stream) => {
                if self
                    .peers
                    .get(&id)
                    .is_some_and(|peer| peer.streams.get(stream).is_some())
                {
                    self.owed.insert((id, stream));
                }
            }
            Control::Goodbye => self.remove_peer(id),
            Control::PathChallenge(token) => {
                self.send_control(id, Some(link), &Control::PathResponse(token), 0)
            }
            Control::PathResponse(token) => {
                let now = self.now;
                let right = self
                    .peers
                    .get_mut(&id)
                    .is_some_and(|peer| peer.path.answered(now, link, token));
                if right {
                    self.move_peer(id, link);
                }
            }
            Control::MtuProbe(claimed) if usize::from(claimed) == size => {
                self.send_control(id, None, &Control::MtuAck(claimed), 0);
            }
            Control::MtuProbe(_) => self.out.stats.bad_control += 1,
            Control::MtuAck(size) => {
                let now = self.now;
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.path.acknowledged(now, size);
                }
                self.peer_timer(id);
            }
            Control::Alive => {}
        }
    }

    fn on_ack(&mut self, id: u64, ack: &Ack) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(stream) = peer.streams.get_mut(ack.stream_id) else {
            return;
        };
        stream.grants_received += 1;
        let out = &mut self.out;
        stream
            .sender
            .acknowledge(now, ack, &mut peer.rtt, &mut peer.congestion, &mut |payload| {
                out.recycle(payload);
            });
        // A receiver that withholds nothing credits up to its first gap, which on a light stream may never close.
        let light = stream.config.reliability == Reliability::Light && ack.credited >= ack.next;
        let credited = if light {
            ack.credited.max(stream.sender.settled())
        } else {
            ack.credited
        };
        let bytes = stream.sender.credited(credited);
        if bytes > 0 {
            stream.credit.settle(now, bytes);
        }
        if self.config.bus && stream.sender.is_idle() {
            self.out.event(Event::Flushed {
                stream: ack.stream_id,
            });
        }
        self.tell_room_of(id, ack.stream_id);
        self.schedule(id, ack.stream_id);
        self.release_blocked(id);
        self.arm_stream(id, ack.stream_id);
    }

    /// Sends a control message now, to the peer's path or to a given link.
    pub(super) fn send_control(&mut self, id: u64, to: Option<Link>, message: &Control, pad_to: usize) {
        let mut event = Vec::with_capacity(64);
        message.encode(&mut event);
        let fixed = OVERHEAD + 4 + event.len();
        event.resize(event.len() + pad_to.saturating_sub(fixed), 0);
        let mut payload = self.out.buffer();
        put_frame(&mut payload, &event);
        self.send_control_packet(id, to, subprotocol::SESSION_CONTROL, 1, &payload);
        self.out.recycle(payload);
    }

    fn send_control_packet(
        &mut self,
        id: u64,
        to: Option<Link>,
        subprotocol_id: u16,
        events: u16,
        payload: &[u8],
    ) {
        let mut bytes = self.out.buffer();
        let path = match to {
            Some(link) => Some((link, false)),
            None => self.path_to(id),
        };
        let (Some((link, routed)), Some(peer)) = (path, self.peers.get_mut(&id)) else {
            return;
        };
        if routed {
            bytes.extend_from_slice(&super::transmit::data_route(self.config.node_id, id).encode());
        }
        let header = Header {
            subprotocol_id,
            stream_id: CONTROL_STREAM,
            sequence: peer.control_sequence,
            event_count: events,
            ..Header::default()
        };
        peer.control_sequence += 1;
        peer.session.seal(header, payload, &mut bytes);
        self.out.urgent(link, bytes);
    }

    /// A heartbeat (80 bytes, direct only).
    pub(super) fn send_heartbeat(&mut self, id: u64) {
        let mut bytes = self.out.buffer();
        if let Some(peer) = self.peers.get_mut(&id) {
            let header = Header {
                flags: flags::HEARTBEAT,
                ..Header::default()
            };
            peer.session.seal(header, &[], &mut bytes);
            let link = peer.link;
            self.out.urgent(link, bytes);
        }
    }

    /// A sign of life which peers of our kind take also behind relays.
    pub(super) fn send_alive(&mut self, id: u64) {
        if self
            .peers
            .get(&id)
            .is_some_and(|peer| peer.session.features().is_some())
        {
            self.send_control(id, None, &Control::Alive, 0);
        }
    }

    pub(super) fn say_goodbye(&mut self, id: u64) {
        if self
            .peers
            .get(&id)
            .is_some_and(|peer| peer.session.has(Features::GOODBYE))
        {
            self.send_control(id, None, &Control::Goodbye, 0);
        }
    }

    /// Writes the acknowledgements and grants that are owed, many in a packet.
    pub(super) fn flush_owed(&mut self) {
        let crowded = self.is_crowded();
        let mut payload = self.out.buffer();
        while let Some((id, _)) = self.owed.first().copied() {
            let Some(peer) = self.peers.get_mut(&id) else {
                self.owed.retain(|key| key.0 != id);
                continue;
            };
            let extended = peer.session.has(Features::RELIABLE);
            let mut events = 0;
            payload.clear();
            while let Some((_, stream_id)) = self.owed.first().copied().filter(|key| key.0 == id) {
                if payload.len() > FULL {
                    break;
                }
                self.owed.pop_first();
                let Some(stream) = peer.streams.get_mut(stream_id) else {
                    continue;
                };
                if crowded {
                    self.withheld.insert((id, stream_id));
                    if !extended || stream.ordered.is_none() {
                        continue;
                    }
                }
                stream.owed.due = None;
                stream.owed.packets = 0;
                stream.grants_sent += 1;
                events += 1;
                if !extended {
                    let grant = Grant {
                        stream_id,
                        total_consumed: stream.consumed,
                    };
                    put_frame(&mut payload, &grant.encode());
                    continue;
                }
                let mut ack = Ack {
                    stream_id,
                    next: stream.received,
                    ..Ack::default()
                };
                if let Some(ordered) = &stream.ordered {
                    ordered.describe(&mut ack);
                }
                if !crowded {
                    stream.credited = ack.next;
                }
                ack.credited = stream.credited;
                ack.delay_us = self
                    .now
                    .saturating_sub(stream.owed.newest_at)
                    .min(u32::MAX.into()) as u32;
                let start = payload.len();
                payload.extend_from_slice(&[0; 4]);
                Control::Ack(ack).encode(&mut payload);
                let length = (payload.len() - start - 4) as u32;
                payload[start..start + 4].copy_from_slice(&length.to_le_bytes());
            }
            if events > 0 {
                let kind = if extended {
                    subprotocol::SESSION_CONTROL
                } else {
                    subprotocol::STREAM_WINDOW
                };
                self.send_control_packet(id, None, kind, events, &payload);
            }
        }
        self.out.recycle(payload);
    }

    /// An authenticated direct packet came from `link`.
    pub(super) fn on_source(&mut self, id: u64, link: Link, newest: bool) {
        let now = self.now;
        let token = match self.peers.get(&id) {
            Some(peer) if newest && (peer.link != link || peer.relayed) => self.entropy.u64(),
            _ => return,
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.session.has(Features::MIGRATION) {
            if let Some(token) = peer.path.challenge(now, link, token) {
                self.send_control(id, Some(link), &Control::PathChallenge(token), 0);
            }
        } else if !peer.relayed {
            // 0.19.0 has no challenge; its newest authenticated packet is the best proof there is.
            self.move_peer(id, link);
        }
    }

    fn move_peer(&mut self, id: u64, link: Link) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut peer.link, link);
        peer.relayed = false;
        let probing = peer.session.has(Features::PATH_MTU);
        peer.path = super::path::PathProbe::new(self.now, link, false, probing);
        if self.links.get(&old) == Some(&id) {
            self.links.remove(&old);
        }
        self.links.insert(link, id);
        self.routes.set(self.now, id, link);
        self.graph.seed(self.now, self.config.node_id, id, link);
        self.peer_event(id, PeerChange::Moved);
        self.peer_timer(id);
    }
}
