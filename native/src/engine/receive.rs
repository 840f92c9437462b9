//! A datagram arrived: classify, authenticate, deliver.

use super::event::Delivery;
use super::peer::Liveness;
use super::transmit::{ACK_NOW, ANY_ORDER};
use super::{Engine, Event, Link, PeerChange};
use crate::packet::{
    classify, flags, subprotocol, Datagram, Features, Frames, Grant, Header, RouteHeader, OVERHEAD, ROUTE_LEN,
};
use crate::session::OpenError;
use crate::stream::ordered::{Arrival, Ordered};
use crate::stream::rtt::MAX_ACK_DELAY;
use crate::stream::{Reliability, Stream, StreamConfig};

/// Streams which appear by receipt.
const IMPLICIT: StreamConfig = StreamConfig {
    reliability: Reliability::Once,
    window: 65_536,
    weight: 1,
};

/// What the driver handed in, after authentication.
struct Opened<'a> {
    peer: u64,
    header: Header,
    payload: &'a [u8],
    /// Bytes of the datagram.
    size: usize,
}

impl Engine {
    /// Takes a datagram in. Its bytes are decrypted in place.
    pub fn handle_datagram(&mut self, now: u64, link: Link, bytes: &mut [u8]) {
        self.advance(now);
        self.out.stats.datagrams_in += 1;
        self.out.stats.bytes_in += bytes.len() as u64;
        if self.blocked.contains(&link) {
            self.out.stats.filtered += 1;
            return;
        }
        match classify(bytes) {
            None => self.out.stats.junk += 1,
            Some(kind) if self.config.bus && !matches!(kind, Datagram::Direct(_)) => {
                self.out.stats.junk += 1;
            }
            Some(Datagram::KeepAlive(beat)) => self.on_keep_alive(link, &beat),
            Some(Datagram::Pingwave(wave)) => self.on_pingwave(link, &wave),
            Some(Datagram::Routed(route)) if route.dest == self.config.node_id => {
                let packet = &mut bytes[ROUTE_LEN..];
                match Header::decode(packet) {
                    Ok(header) => self.on_packet(link, packet, header, Some(route)),
                    Err(_) => self.out.stats.junk += 1,
                }
            }
            Some(Datagram::Routed(route)) => self.forward(link, route, bytes),
            Some(Datagram::Direct(header)) => self.on_packet(link, bytes, header, None),
        }
        self.tell_room();
    }

    fn on_packet(&mut self, link: Link, packet: &mut [u8], header: Header, route: Option<RouteHeader>) {
        if header.flags & flags::HANDSHAKE != 0 {
            self.on_handshake(link, packet, &header, route);
            return;
        }
        let Some(id) = self.sessions.get(&header.session_id).copied() else {
            if route.is_none() && self.forward_unrouted(link, &header, packet) {
                return;
            }
            self.out.stats.unknown_session += 1;
            self.on_strange(link);
            return;
        };
        let heartbeat = header.flags & flags::HEARTBEAT != 0;
        if heartbeat && route.is_some() {
            self.out.stats.forged += 1;
            return;
        }
        let size = packet.len();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if header.session_id != peer.session.id() {
            self.on_superseded(id, &header, packet);
            return;
        }
        let payload = match peer.session.open(&header, packet) {
            Ok(payload) => &*payload,
            Err(error) => {
                peer.beyond_window += u64::from(error == OpenError::TooFar);
                self.refuse(error);
                return;
            }
        };
        let silence = self.now.saturating_sub(peer.last_received);
        if !peer.outrun {
            peer.outrun = peer.has_outrun(silence, self.config.heartbeat_interval);
            peer.redial = None;
        }
        peer.sealed_at_last = peer.session.sealed();
        peer.last_received = self.now;
        let first = !std::mem::replace(&mut peer.confirmed, true);
        (peer.beyond_window, peer.strange) = (0, 0);
        let extended = peer.session.features().is_some();
        let newest = header.counter() + 1 == peer.session.received();
        if first {
            self.settle(id);
        }
        if heartbeat || extended {
            self.on_beat(id, route.is_none());
        }
        if route.is_none() {
            self.on_source(id, link, newest);
        }
        if heartbeat {
            return;
        }
        self.on_payload(
            link,
            Opened {
                peer: id,
                header,
                payload,
                size,
            },
        );
    }

    /// Counts a packet that its session does not open.
    pub(super) fn refuse(&mut self, error: OpenError) {
        match error {
            OpenError::Replayed => self.out.stats.replayed += 1,
            OpenError::TooFar => self.out.stats.too_far += 1,
            OpenError::Forged | OpenError::Length => self.out.stats.forged += 1,
        }
    }

    /// A sign of life that counts for failure detection.
    fn on_beat(&mut self, id: u64, direct: bool) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.last_beat = self.now;
        let (link, relayed) = (peer.link, peer.relayed);
        let before = std::mem::replace(&mut peer.liveness, Liveness::Healthy);
        let back = direct && std::mem::replace(&mut peer.detoured, false);
        self.routes.confirm(self.now, id, link);
        if back {
            self.routes.restore(self.now, id, link);
            self.routes.set(self.now, id, link);
            if !relayed {
                self.graph.seed(self.now, self.config.node_id, id, link);
            }
        }
        if before == Liveness::Failed {
            self.peer_event(id, PeerChange::Recovered);
        }
    }

    fn on_payload(&mut self, link: Link, opened: Opened<'_>) {
        match opened.header.subprotocol_id {
            subprotocol::STREAM_WINDOW if !self.config.bus => self.on_grants(&opened),
            subprotocol::SESSION_CONTROL if self.has(opened.peer, Features::FORWARD_SECRECY) => {
                for message in Frames::new(opened.payload, opened.header.event_count) {
                    self.on_control(opened.peer, link, message, opened.size);
                }
            }
            _ => self.on_events(&opened),
        }
    }

    fn has(&self, peer: u64, feature: Features) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|peer| peer.session.has(feature))
    }

    fn on_grants(&mut self, opened: &Opened<'_>) {
        let now = self.now;
        for frame in Frames::new(opened.payload, opened.header.event_count) {
            let Some(grant) = Grant::decode(frame) else {
                self.out.stats.bad_control += 1;
                continue;
            };
            let peer = self.peers.get_mut(&opened.peer);
            if let Some(stream) = peer.and_then(|peer| peer.streams.get_mut(grant.stream_id)) {
                stream.grants_received += 1;
                stream.credit.grant(now, grant.total_consumed);
                self.tell_room_of(opened.peer, grant.stream_id);
            }
        }
    }

    fn on_events(&mut self, opened: &Opened<'_>) {
        let (id, header) = (opened.peer, &opened.header);
        let known = is_known(header.subprotocol_id) && !self.config.bus;
        let (count, used) = Frames::extent(opened.payload, header.event_count);
        let acknowledged = header.flags & flags::RELIABLE != 0 && self.has(id, Features::RELIABLE);
        let room = if known {
            self.out.has_message_room()
        } else {
            let (events, bytes) = (self.config.max_inbound_events, self.config.max_inbound_bytes);
            self.out.fits(count, used, events, bytes)
        };
        // No honest sender gets near the end of the numbers; refusing them keeps all sums below it.
        if header.sequence >= u64::MAX / 2 {
            self.out.stats.forged += 1;
            return;
        }
        let charged = !known;
        if acknowledged && !room {
            // Not acknowledged, so it will come again when there is room.
            return;
        }
        let mut frames = self.out.buffer();
        frames.extend_from_slice(&opened.payload[..used]);
        let delivery = Delivery::new(id, header, count, frames);
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let extended = peer.session.features().is_some();
        let room_to_hold = peer.streams.room_to_hold();
        let stream = peer.streams.received(now, header.stream_id, IMPLICIT);
        let held = stream.held_bytes();
        let repeated = self.config.bus
            && !extended
            && header.flags & flags::RELIABLE != 0
            && stream.duplicates.commit(header.sequence).is_err();
        if repeated {
            self.out.recycle(delivery.frames);
            return;
        }
        stream.received = stream.received.max(header.sequence.saturating_add(1));
        stream.owed.packets += 1;
        stream.owed.newest_at = now;
        let mut ready = Vec::new();
        if acknowledged {
            let urgent = in_order(
                stream,
                header,
                delivery,
                room_to_hold,
                &mut ready,
                &mut |frames| self.out.recycle(frames),
            );
            let due = urgent || header.flags & ACK_NOW != 0 || stream.owed.packets >= 2;
            owe(stream, now, due);
            if due {
                self.owed.insert((id, header.stream_id));
            }
        } else {
            if let Some(ordered) = stream.ordered.as_mut().filter(|_| extended) {
                // A sender that promises nothing any more has everything below acknowledged.
                let floor = header.sequence + 1;
                ready.extend(ordered.skip_to(floor).into_iter().map(|(_, delivery)| delivery));
            }
            if charged {
                stream.consumed += (OVERHEAD + opened.payload.len()) as u64;
                if !extended && self.config.bus {
                    // A bus link has no credit.
                } else if !extended {
                    // A receiver which opened the stream without a window sends no grants on it.
                    if !(stream.open && stream.config.window == 0) {
                        self.owed.insert((id, header.stream_id));
                    }
                } else {
                    let due = header.flags & ACK_NOW != 0 || stream.owed.packets >= 8;
                    owe(stream, now, due);
                    if due {
                        self.owed.insert((id, header.stream_id));
                    }
                }
            }
            if room {
                ready.push(delivery);
            } else if known {
                self.out.stats.messages_dropped += 1;
            } else {
                self.out.stats.inbound_dropped += u64::from(count);
            }
        }
        let holds = stream.held_bytes();
        peer.streams.held_changed(held, holds);
        for mut delivery in ready {
            if known {
                self.out.event(Event::Message(delivery));
                continue;
            }
            if delivery.subprotocol != 0 {
                self.out.stats.unknown_subprotocol += u64::from(delivery.count);
            }
            if delivery.count > 0 && self.admit(&mut delivery) {
                self.out.deliver(delivery);
            } else {
                self.out.recycle(delivery.frames);
            }
        }
        self.arm_stream(id, header.stream_id);
    }
}

/// Puts a packet of an acknowledged stream in its place: in order, unless its sender does not ask for that. `room`: bytes
/// that may be held. Returns whether the sender should hear at once.
fn in_order(
    stream: &mut Stream,
    header: &Header,
    delivery: Delivery,
    room: usize,
    ready: &mut Vec<Delivery>,
    free: &mut dyn FnMut(Vec<u8>),
) -> bool {
    let distance = u64::from(header.fragment_id) | u64::from(header.fragment_offset) << 16;
    let floor = header.sequence.saturating_sub(distance);
    let ordered = stream.ordered.get_or_insert_with(|| Ordered::new(floor));
    ready.extend(ordered.skip_to(floor).into_iter().map(|(_, delivery)| delivery));
    let size = delivery.frames.len();
    let (arrival, back) = if header.flags & ANY_ORDER != 0 {
        ordered.arrive_in_any_order(header.sequence, delivery)
    } else {
        ordered.arrive(header.sequence, size, room, delivery)
    };
    let plain = arrival == Arrival::Deliver && !ordered.has_gap();
    match (arrival, back) {
        (Arrival::Deliver, Some(delivery)) => ready.push(delivery),
        (_, Some(delivery)) => free(delivery.frames),
        (_, None) => {}
    }
    while let Some((_, delivery)) = ordered.release() {
        ready.push(delivery);
    }
    !plain
}

fn owe(stream: &mut Stream, now: u64, due: bool) {
    if due {
        stream.owed.due = None;
    } else if stream.owed.due.is_none() {
        stream.owed.due = Some(now + MAX_ACK_DELAY);
    }
}

/// Subprotocols which are handed up as messages; all others arrive as plain events, as with 0.19.0.
fn is_known(id: u16) -> bool {
    matches!(
        id,
        subprotocol::MEMBERSHIP
            | subprotocol::CAPABILITIES
            | subprotocol::REFLEX
            | subprotocol::RENDEZVOUS
            | subprotocol::MIGRATION
            | subprotocol::REDEX
            | subprotocol::MESHDB
    )
}
