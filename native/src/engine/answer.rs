//! Answering: who may begin a session with this node, and when it takes the place of another (20 §4.4, §4.5; 21 §13).

use super::bus::Answered;
use super::connect::MAX_PENDING;
use super::establish::Established;
use super::event::HandshakeFailure;
use super::handshake::{prologue, secrets, BUS_PEER};
use super::timers::Timer;
use super::{ConnectError, Engine, Event, Link};
use crate::noise::{mesh_prologue, NoiseError, Reply, Responder, Role};
use crate::packet::{Features, RouteHeader, OFFER_LEN};
use crate::session::Session;
use std::collections::{BTreeSet, VecDeque};

/// Accepts tried with one message.
const MAX_TRIED: usize = 16;
/// First messages remembered against replay.
const MAX_EPHEMERALS: usize = 65_536;
/// A session heard within this time is not replaced by a stranger at its address. Microseconds.
const ALIVE_WITHIN: u64 = 900_000;

/// A waiting accept.
pub(super) struct Accept {
    /// Which initiator; `None` = any that comes by a routed handshake.
    peer: Option<u64>,
    until: u64,
}

/// Initiators' ephemeral keys which were answered: the same again is a replay.
#[derive(Default)]
pub(super) struct SeenEphemerals {
    set: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl SeenEphemerals {
    fn contains(&self, key: &[u8; 32]) -> bool {
        self.set.contains(key)
    }

    fn insert(&mut self, key: [u8; 32]) {
        if self.set.insert(key) {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_EPHEMERALS {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }
}

impl Engine {
    /// Waits for a handshake from a node, or (`None`) from any that comes by a routed handshake or is of our kind.
    /// Junk and foreign handshakes don't use an attempt up: it listens for the whole time.
    pub fn accept(&mut self, now: u64, peer: Option<u64>) -> Result<u64, ConnectError> {
        self.advance(now);
        if self.closed {
            return Err(ConnectError::Closed);
        }
        if self.accepts.len() >= MAX_PENDING {
            return Err(ConnectError::TooMany);
        }
        let id = self.fresh_id();
        let wait = self.config.handshake_timeout;
        let until = self.now + 3 * wait + 3 * (wait / 50);
        self.accepts.insert(id, Accept { peer, until });
        self.timers.arm(Timer::Accept(id), until);
        Ok(id)
    }

    pub(super) fn end_accept(&mut self, id: u64) {
        if let Some(accept) = self.accepts.get(&id) {
            if self.now < accept.until {
                self.timers.arm(Timer::Accept(id), accept.until);
            } else {
                self.accepts.remove(&id);
                self.out.event(Event::HandshakeFailed {
                    id,
                    reason: HandshakeFailure::Timeout,
                });
            }
        }
    }

    fn read(&self, initiator: u64, body: &[u8]) -> Result<(Reply, Vec<u8>), NoiseError> {
        Responder {
            psk: Some(&self.config.psk),
            prologue: prologue(self.config.bus, &mesh_prologue(initiator, self.config.node_id)),
            secret: &self.config.static_secret,
            public: &self.public,
        }
        .read(body)
    }

    pub(super) fn on_direct_call(&mut self, link: Link, body: &[u8], hint: u32) -> bool {
        let candidates: Vec<(u64, u64)> = self
            .accepts
            .iter()
            .filter_map(|(id, accept)| accept.peer.map(|peer| (*id, peer)))
            .filter(|(_, peer)| hint == 0 || hint == *peer as u32)
            .take(MAX_TRIED)
            .collect();
        for (id, peer) in candidates {
            if let Ok((reply, payload)) = self.read(peer, body) {
                let offer = payload.get(..OFFER_LEN).unwrap_or_default().to_vec();
                return self.answer(link, peer, reply, &offer, None, Some(id));
            }
        }
        if self.config.bus && self.started {
            // The initiator has restarted; its session is replaced when it is silent or at the same address.
            let Ok((reply, payload)) = self.read(BUS_PEER, body) else {
                return false;
            };
            let offer = payload.get(..OFFER_LEN).unwrap_or_default().to_vec();
            return self.answer(link, BUS_PEER, reply, &offer, None, None);
        }
        if hint == 0 || !(self.started || self.accepts.values().any(|accept| accept.peer.is_none())) {
            return false;
        }
        let Ok((reply, payload)) = self.read(hint.into(), body) else {
            return false;
        };
        let (Some(offer), Some(id)) = (payload.get(..OFFER_LEN), payload.get(OFFER_LEN..OFFER_LEN + 8))
        else {
            return false;
        };
        let peer = u64::from_le_bytes(id.try_into().unwrap_or_default());
        peer as u32 == hint && self.answer(link, peer, reply, offer, None, None)
    }

    pub(super) fn on_routed_call(&mut self, link: Link, body: &[u8], route: RouteHeader) -> bool {
        if !self.started {
            return false;
        }
        let Ok((reply, payload)) = self.read(route.src.into(), body) else {
            return false;
        };
        let Some((id, offer)) = payload.split_first_chunk::<8>() else {
            return false;
        };
        let peer = u64::from_le_bytes(*id);
        peer as u32 == route.src && self.answer(link, peer, reply, offer, Some(route), None)
    }

    /// Whether a session may begin with a node that calls, and has perhaps one already.
    fn may_replace(&self, peer: u64, link: Link, asked_for: bool) -> bool {
        // Both call each other: the call of the higher node id counts.
        if self.config.node_id > peer && self.is_calling(peer) {
            return false;
        }
        let Some(known) = self.peers.get(&peer) else {
            return true;
        };
        let silence = self.now.saturating_sub(known.last_received);
        asked_for
            || silence >= self.config.session_timeout
            || (known.link == link && !(known.confirmed && silence < ALIVE_WITHIN))
    }

    fn answer(
        &mut self,
        link: Link,
        peer: u64,
        reply: Reply,
        offer: &[u8],
        route: Option<RouteHeader>,
        accept: Option<u64>,
    ) -> bool {
        let ephemeral = *reply.initiator_ephemeral();
        if self.answer_again(link, &ephemeral) {
            return true;
        }
        if peer == self.config.node_id
            || self.ephemerals.contains(&ephemeral)
            || !self.may_replace(peer, link, accept.is_some())
        {
            return false;
        }
        let features = self.config.features.and_then(|own| own.agree(offer));
        let payload = features.map(Features::encode);
        let mut message = Vec::with_capacity(64);
        let payload = payload.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        let Ok(outcome) = reply.write(self.entropy.key(), payload, &mut message) else {
            return false;
        };
        let relayed = route.is_some_and(|route| route.hop_count > 0);
        let back = if relayed {
            self.routes.lookup(self.now, peer).unwrap_or(link)
        } else {
            link
        };
        let session = Session::new(&secrets(&outcome, Role::Responder, features), features);
        let new = Established {
            peer,
            session,
            link,
            relayed,
            remote_static: None,
            took: None,
        };
        if !self.establish(new) {
            return false;
        }
        self.ephemerals.insert(ephemeral);
        self.send_handshake(back, route.map(|_| peer), 0, &message);
        if let Some(known) = self.peers.get_mut(&peer).filter(|_| self.config.bus) {
            known.answered = Some(Answered { ephemeral, message });
        }
        self.end_calls_to(peer, link);
        let waiting = accept.or_else(|| {
            let wanted = |accept: &&Accept| accept.peer == Some(peer);
            let any = |accept: &&Accept| accept.peer.is_none();
            let find = |test: &dyn Fn(&&Accept) -> bool| {
                self.accepts
                    .iter()
                    .find(|(_, accept)| test(accept))
                    .map(|(id, _)| *id)
            };
            find(&wanted).or_else(|| find(&any))
        });
        if let Some(id) = waiting {
            self.accepts.remove(&id);
            self.timers.cancel(Timer::Accept(id));
            self.out.event(Event::Handshake { id, peer, link });
        }
        true
    }
}
