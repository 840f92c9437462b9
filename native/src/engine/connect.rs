//! Handshakes: connecting, accepting, answering (20 §4.4, §4.5; 21 §13).

use super::establish::Established;
use super::event::HandshakeFailure;
use super::timers::Timer;
use super::{Engine, Event, Link, HANDSHAKE_TTL};
use crate::noise::{mesh_prologue, Initiator, NoiseError, Reply, Responder, Role, SessionSecrets};
use crate::packet::{flags, Features, Header, RouteHeader, HEADER_LEN, OFFER_LEN};
use crate::session::Session;
use std::collections::{BTreeSet, VecDeque};

/// Connects and accepts at the same time.
const MAX_PENDING: usize = 1024;
/// Accepts tried with one message.
const MAX_TRIED: usize = 16;
/// First messages remembered against replay.
const MAX_EPHEMERALS: usize = 65_536;
/// A session heard within this time is not replaced by a stranger at its address. Microseconds.
const ALIVE_WITHIN: u64 = 900_000;

const MASK: u64 = 0xffff_ffff;

/// What the other end of a bus link is called: the link has no node ids.
pub const BUS_PEER: u64 = 1;

/// The prologue, which a bus link has not.
fn prologue(bus: bool, mesh: &[u8; 32]) -> &[u8] {
    if bus {
        &[]
    } else {
        mesh
    }
}

struct Attempt {
    noise: Initiator,
    routed: bool,
    sent_at: u64,
}

/// An outgoing handshake.
pub(super) struct Connect {
    peer: u64,
    remote_static: [u8; 32],
    link: Link,
    begun: u64,
    /// Offsets in microseconds, and whether the message goes behind a routing header.
    plan: Vec<(u64, bool)>,
    step: usize,
    attempts: Vec<Attempt>,
    until: u64,
    /// Reported; late answers are still taken.
    done: bool,
    /// Begun by the engine itself: nobody waits.
    silent: bool,
}

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

/// Why a connect can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Another connect waits for the same low 32 bits of a node id.
    InFlight,
    /// No route to the destination.
    NoRoute,
    /// Too many at once.
    TooMany,
    /// The public key is of small order.
    WeakKey,
    /// The engine was shut down.
    Closed,
}

impl Engine {
    /// Connects to a node at an address: direct and routed messages in turn, so that both a node that waits in accept and one that
    /// is started answer. Returns the id of the [`Event::Handshake`] or [`Event::HandshakeFailed`] that follows.
    pub fn connect(&mut self, now: u64, link: Link, key: [u8; 32], peer: u64) -> Result<u64, ConnectError> {
        self.advance(now);
        let wait = self.config.handshake_timeout;
        let pause = wait / 50;
        let bus = self.config.bus;
        let plan = (0..3)
            .flat_map(|n| {
                let begin = n * wait + pause * n * (n + 1) / 2;
                if bus {
                    super::bus::calls(begin, wait)
                } else {
                    vec![(begin, false), (begin + wait / 5, true)]
                }
            })
            .collect();
        self.supersede(peer);
        self.begin(link, key, peer, plan, 3 * wait + 3 * pause, false)
    }

    /// Connects over a relay, or to a started node, by routed messages only.
    pub fn connect_via(
        &mut self,
        now: u64,
        link: Link,
        key: [u8; 32],
        peer: u64,
    ) -> Result<u64, ConnectError> {
        self.advance(now);
        if self
            .connects
            .values()
            .any(|other| !other.done && !other.silent && other.peer & MASK == peer & MASK)
        {
            return Err(ConnectError::InFlight);
        }
        self.begin_routed(link, key, peer, false)
    }

    /// As [`connect_via`](Self::connect_via), over the next hop of the routing table.
    pub fn connect_routed(&mut self, now: u64, key: [u8; 32], peer: u64) -> Result<u64, ConnectError> {
        self.advance(now);
        let link = self.routes.lookup(self.now, peer).ok_or(ConnectError::NoRoute)?;
        self.connect_via(now, link, key, peer)
    }

    /// Calls a peer again that this node had connected to before.
    pub(super) fn redial(&mut self, peer: u64) {
        let Some((key, link)) = self
            .peers
            .get(&peer)
            .and_then(|known| known.remote_static.map(|key| (key, known.link)))
        else {
            return;
        };
        if self
            .connects
            .values()
            .any(|other| !other.done && other.peer & MASK == peer & MASK)
        {
            return;
        }
        if self.config.bus {
            // An unanswered call makes room for the next one soon.
            let wait = self.config.heartbeat_interval.max(super::SECOND / 2);
            let wait = wait.min(self.config.handshake_timeout);
            let _ = self.begin(link, key, peer, vec![(0, false)], wait, true);
            return;
        }
        let link = self.routes.lookup(self.now, peer).unwrap_or(link);
        let _ = self.begin_routed(link, key, peer, true);
    }

    fn begin_routed(
        &mut self,
        link: Link,
        key: [u8; 32],
        peer: u64,
        silent: bool,
    ) -> Result<u64, ConnectError> {
        let wait = self.config.handshake_timeout;
        let plan = (0..4).map(|n| (n * wait / 5, true)).collect();
        self.begin(link, key, peer, plan, wait, silent)
    }

    fn begin(
        &mut self,
        link: Link,
        remote_static: [u8; 32],
        peer: u64,
        plan: Vec<(u64, bool)>,
        span: u64,
        silent: bool,
    ) -> Result<u64, ConnectError> {
        if self.closed {
            return Err(ConnectError::Closed);
        }
        if self.connects.len() >= MAX_PENDING {
            return Err(ConnectError::TooMany);
        }
        // A key of small order would fail in each attempt; say so now.
        crate::crypto::x25519(&self.config.static_secret, &remote_static).ok_or(ConnectError::WeakKey)?;
        let id = self.fresh_id();
        let connect = Connect {
            peer,
            remote_static,
            link,
            begun: self.now,
            plan,
            step: 0,
            attempts: Vec::new(),
            until: self.now + span,
            done: false,
            silent,
        };
        self.connects.insert(id, connect);
        self.step_connect(id);
        Ok(id)
    }

    /// A new connect to the same node takes the place of an older one.
    fn supersede(&mut self, peer: u64) {
        let older: Vec<u64> = self
            .connects
            .iter()
            .filter(|(_, connect)| !connect.done && connect.peer & MASK == peer & MASK)
            .map(|(id, _)| *id)
            .collect();
        for id in older {
            self.fail_connect(id, HandshakeFailure::Superseded);
        }
    }

    /// Gives a pending connect or accept up, without an event.
    pub fn cancel(&mut self, id: u64) {
        if self.connects.remove(&id).is_some() {
            self.timers.cancel(Timer::Connect(id));
        }
        if self.accepts.remove(&id).is_some() {
            self.timers.cancel(Timer::Accept(id));
        }
    }

    fn fail_connect(&mut self, id: u64, reason: HandshakeFailure) {
        self.timers.cancel(Timer::Connect(id));
        if let Some(connect) = self.connects.remove(&id) {
            if !connect.done && !connect.silent {
                self.out.event(Event::HandshakeFailed { id, reason });
            }
        }
    }

    /// Sends the attempts that are due, or ends the connect.
    pub(super) fn step_connect(&mut self, id: u64) {
        let now = self.now;
        let Some(connect) = self.connects.get_mut(&id) else {
            return;
        };
        if now >= connect.until {
            self.fail_connect(id, HandshakeFailure::Timeout);
            return;
        }
        let due = connect
            .plan
            .get(connect.step)
            .filter(|(offset, _)| connect.begun + offset <= now)
            .copied();
        if let Some((_, routed)) = due {
            connect.step += 1;
            if !connect.done {
                self.send_first_message(id, routed);
            }
        }
        let Some(connect) = self.connects.get(&id) else {
            return;
        };
        let next = connect
            .plan
            .get(connect.step)
            .map_or(connect.until, |(offset, _)| connect.begun + offset);
        self.timers
            .arm(Timer::Connect(id), next.min(connect.until).max(now + 1));
    }

    fn send_first_message(&mut self, id: u64, routed: bool) {
        let own = self.config.node_id;
        let Some(connect) = self.connects.get_mut(&id) else {
            return;
        };
        let offer = self.config.features.map(Features::encode);
        let mut payload = Vec::with_capacity(16);
        if routed {
            payload.extend_from_slice(&own.to_le_bytes());
            payload.extend_from_slice(offer.as_ref().map_or(&[], |offer| &offer[..]));
        } else if let Some(offer) = &offer {
            payload.extend_from_slice(offer);
            payload.extend_from_slice(&own.to_le_bytes());
        }
        let mut message = Vec::with_capacity(80);
        let started = Initiator::start(
            Some(&self.config.psk),
            prologue(self.config.bus, &mesh_prologue(own, connect.peer)),
            &connect.remote_static,
            self.entropy.key(),
            &payload,
            &mut message,
        );
        let Ok(noise) = started else {
            return;
        };
        connect.attempts.push(Attempt {
            noise,
            routed,
            sent_at: self.now,
        });
        let (link, peer) = (connect.link, connect.peer);
        // A started node of ours learns from the hint which prologue to try; 0.19.0 does not look at the field.
        let hint = if routed || offer.is_none() || self.config.bus {
            0
        } else {
            own as u32
        };
        self.send_handshake(link, routed.then_some(peer), hint, &message);
    }

    fn send_handshake(&mut self, link: Link, routed_to: Option<u64>, hint: u32, message: &[u8]) {
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

    /// Tries the message as the answer to one of our own calls.
    fn on_answer(&mut self, link: Link, body: &[u8], route: Option<RouteHeader>) -> bool {
        let found = self.connects.iter().find_map(|(id, connect)| {
            let fits = match route {
                Some(route) => connect.peer & MASK == u64::from(route.src),
                None => connect.link == link,
            };
            if !fits {
                return None;
            }
            let attempts = connect.attempts.iter().rev();
            attempts
                .filter(|attempt| attempt.routed == route.is_some())
                .find_map(|attempt| {
                    attempt
                        .noise
                        .finish(body)
                        .ok()
                        .map(|(outcome, payload)| (*id, attempt.sent_at, outcome, payload))
                })
        });
        let Some((id, sent_at, outcome, payload)) = found else {
            return false;
        };
        let features = self.config.features.and_then(|own| own.agree(&payload));
        let secrets = secrets(&outcome, Role::Initiator, features);
        let Some(connect) = self.connects.get_mut(&id) else {
            return false;
        };
        let first = !connect.done;
        connect.done = true;
        // Later answers can still come: the other end may have taken a repetition for the newest call.
        connect.until = self.now + self.config.handshake_timeout;
        let (peer, silent) = (connect.peer, connect.silent);
        let remote_static = Some(connect.remote_static);
        let relayed = route.is_some_and(|route| route.hop_count > 0);
        let link = if relayed { connect.link } else { link };
        let session = Session::new(&secrets, features);
        let took = self.now.saturating_sub(sent_at);
        let new = Established {
            peer,
            session,
            link,
            relayed,
            remote_static,
            took: Some(took),
        };
        if !self.establish(new) {
            self.fail_connect(id, HandshakeFailure::Full);
            return true;
        }
        if first && !silent {
            self.out.event(Event::Handshake { id, peer, link });
        }
        // The other end has its session confirmed by our first packet.
        self.send_alive(peer);
        true
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

    fn on_direct_call(&mut self, link: Link, body: &[u8], hint: u32) -> bool {
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

    fn on_routed_call(&mut self, link: Link, body: &[u8], route: RouteHeader) -> bool {
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
        if let Some(connect) = self
            .connects
            .values()
            .find(|connect| !connect.done && connect.peer == peer)
        {
            // Both call each other: the call of the higher node id counts.
            if self.config.node_id > peer && self.now - connect.begun < self.config.handshake_timeout {
                return false;
            }
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

    /// The node that we call has called us: our connect has its session.
    fn end_calls_to(&mut self, peer: u64, link: Link) {
        let ids: Vec<u64> = self
            .connects
            .iter()
            .filter(|(_, connect)| !connect.done && connect.peer == peer)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.timers.cancel(Timer::Connect(id));
            if self.connects.remove(&id).is_some_and(|connect| !connect.silent) {
                self.out.event(Event::Handshake { id, peer, link });
            }
        }
    }
}

fn secrets(outcome: &crate::noise::Outcome, role: Role, features: Option<Features>) -> SessionSecrets {
    match features {
        Some(_) => SessionSecrets::forward_secret(outcome, role),
        None => SessionSecrets::transcript(outcome, role),
    }
}
