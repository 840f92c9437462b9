//! A link of the event bus: exactly one peer, no routing, no pingwaves, no credit; each packet holds events (20 §1, §4.6).

use super::connect::Call;
use super::event::Delivery;
use super::{Engine, Link, BUS_PEER};
use crate::packet::{flags, subprotocol, Frames, Header};
use crate::session::Session;

/// Superseded sessions that stay readable.
const MAX_BEFORE: usize = 2;

/// The second message of the handshake that the session comes from, as long as the other end may not have it.
pub(super) struct Answered {
    pub ephemeral: [u8; 32],
    pub message: Vec<u8>,
}

/// When an attempt that begins at `begin` sends its first message: often at first, so that an end that was made a little later is met
/// at once. A receiver admits five in a second. It is the same message each time, so that an end that finds several of them waiting
/// makes one session of them.
pub(super) fn calls(begin: u64, wait: u64) -> Vec<(u64, Call)> {
    let offsets = [0, 1, 3, 7, 15].into_iter().chain((20..100).step_by(10));
    offsets
        .map(|percent| {
            let call = if percent == 0 { Call::Direct } else { Call::Again };
            (begin + percent * wait / 100, call)
        })
        .collect()
}

impl Engine {
    /// Heartbeat; an initiator calls again after three missed beats, and a session timeout of silence ends the session.
    pub(super) fn bus_tick(&mut self) {
        let (now, beat) = (self.now, self.config.heartbeat_interval);
        let Some(peer) = self.peers.get_mut(&BUS_PEER) else {
            return;
        };
        peer.streams.sweep(now);
        let silence = now.saturating_sub(peer.last_received);
        if silence >= self.config.session_timeout {
            self.remove_peer(BUS_PEER);
            return;
        }
        let calls = self.config.reconnect && peer.remote_static.is_some() && silence > 3 * beat;
        let (at, times) = peer.redial.unwrap_or((now, 0));
        if calls && at <= now {
            peer.redial = Some((now + beat.saturating_mul(1 << times.min(4)), times + 1));
        }
        self.send_heartbeat(BUS_PEER);
        if calls && at <= now {
            self.redial(BUS_PEER);
        }
    }

    /// The same first message again: the answer was late or lost, or the path repeats. It is answered with the same bytes, for the
    /// session that exists, until a packet shows that the other end has it.
    pub(super) fn answer_again(&mut self, link: Link, ephemeral: &[u8; 32]) -> bool {
        let known = self.peers.get(&BUS_PEER).filter(|peer| peer.link == link);
        let Some(answered) = known.and_then(|peer| peer.answered.as_ref()) else {
            return false;
        };
        if !self.config.bus || answered.ephemeral != *ephemeral {
            return false;
        }
        let message = answered.message.clone();
        self.send_handshake(link, None, 0, &message);
        true
    }

    /// The sessions that a new one at the same link leaves readable: its other end goes on with one of them until it has the new one.
    pub(super) fn superseded(&mut self, id: u64, link: Link) -> Vec<Session> {
        if !self.config.bus || self.peers.get(&id).is_none_or(|peer| peer.link != link) {
            return Vec::new();
        }
        self.detach(id);
        let Some(old) = self.peers.remove(&id) else {
            return Vec::new();
        };
        let mut before = old.before;
        before.push(old.session);
        if before.len() > MAX_BEFORE {
            before.remove(0);
        }
        for session in &before {
            self.sessions.insert(session.id(), id);
        }
        before
    }

    /// A packet on the current session: the other end has it, so nothing new comes on those before it.
    pub(super) fn settle(&mut self, id: u64) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.answered = None;
        for session in peer.before.drain(..) {
            self.sessions.remove(&session.id());
        }
    }

    /// A packet on a superseded session. Events that are sent once only are taken; what its sender keeps until it is acknowledged
    /// comes again on the new session, and would be there twice.
    pub(super) fn on_superseded(&mut self, id: u64, header: &Header, packet: &mut [u8]) {
        let session = self.peers.get_mut(&id).and_then(|peer| {
            peer.before
                .iter_mut()
                .find(|session| session.id() == header.session_id)
        });
        let Some(session) = session else {
            return;
        };
        let control = header.subprotocol_id == subprotocol::SESSION_CONTROL && session.features().is_some();
        let payload = match session.open(header, packet) {
            Ok(payload) => payload,
            Err(error) => {
                self.refuse(error);
                return;
            }
        };
        if control || header.flags & (flags::HEARTBEAT | flags::RELIABLE) != 0 {
            return;
        }
        let (count, used) = Frames::extent(payload, header.event_count);
        let (events, bytes) = (self.config.max_inbound_events, self.config.max_inbound_bytes);
        if !self.out.fits(count, used, events, bytes) {
            self.out.stats.inbound_dropped += u64::from(count);
            return;
        }
        let mut frames = self.out.buffer();
        frames.extend_from_slice(&payload[..used]);
        let delivery = Delivery::new(id, header, count, frames);
        if count > 0 {
            self.out.deliver(delivery);
        } else {
            self.out.recycle(delivery.frames);
        }
    }
}
