//! Calling: outgoing handshakes, their repetitions, and the answers to them (20 §4.4, §4.5; 21 §13).

use super::establish::Established;
use super::event::HandshakeFailure;
use super::handshake::{prologue, secrets, MASK};
use super::timers::Timer;
use super::{Engine, Event, Link};
use crate::noise::{mesh_prologue, Initiator, Role};
use crate::packet::{Features, RouteHeader};
use crate::session::Session;

/// Connects, and accepts, at the same time.
pub(super) const MAX_PENDING: usize = 1024;

/// One sending of a first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A new one.
    Direct,
    /// A new one behind a routing header.
    Routed,
    /// The last one, as it was.
    Again,
}

struct Attempt {
    noise: Initiator,
    routed: bool,
    sent_at: u64,
    /// Sent more than once: which one an answer is for can't be seen.
    repeated: bool,
    /// Hint and bytes, for a repetition.
    message: (u32, Vec<u8>),
}

/// An outgoing handshake.
pub(super) struct Connect {
    peer: u64,
    remote_static: [u8; 32],
    link: Link,
    begun: u64,
    /// Offsets in microseconds, and what is sent.
    plan: Vec<(u64, Call)>,
    step: usize,
    attempts: Vec<Attempt>,
    until: u64,
    /// Reported; late answers are still taken.
    done: bool,
    /// Begun by the engine itself: nobody waits.
    silent: bool,
    /// The link is the node's own: it is no relay, whichever way the answer comes.
    straight: bool,
}

impl Connect {
    /// Whether somebody waits for its outcome.
    fn waits(&self) -> bool {
        !self.done && !self.silent
    }
}

/// Why a connect can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// A connect to another node with the same low 32 bits waits (to the same one, for a connect by routed messages only).
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
        // Handshake messages name the low half of an id only: answers to the two could not be told apart by it.
        let is_other = |other: &Connect| other.peer & MASK == peer & MASK && other.peer != peer;
        if self
            .connects
            .values()
            .any(|other| other.waits() && is_other(other))
        {
            return Err(ConnectError::InFlight);
        }
        let wait = self.config.handshake_timeout;
        let pause = wait / 50;
        let bus = self.config.bus;
        let plan = (0..3)
            .flat_map(|n| {
                let begin = n * wait + pause * n * (n + 1) / 2;
                if bus {
                    super::bus::calls(begin, wait)
                } else {
                    vec![(begin, Call::Direct), (begin + wait / 5, Call::Routed)]
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
            .any(|other| other.waits() && other.peer & MASK == peer & MASK)
        {
            return Err(ConnectError::InFlight);
        }
        self.begin_routed(link, key, peer, false)
    }

    /// As [`connect_via`](Self::connect_via), to an address of the node itself. (0.19.0 answers over its routing table, perhaps
    /// over a relay, and sends its data to where the call came from.)
    pub fn connect_straight(
        &mut self,
        now: u64,
        link: Link,
        key: [u8; 32],
        peer: u64,
    ) -> Result<u64, ConnectError> {
        let id = self.connect_via(now, link, key, peer)?;
        if let Some(connect) = self.connects.get_mut(&id) {
            connect.straight = true;
        }
        Ok(id)
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
            let _ = self.begin(link, key, peer, vec![(0, Call::Direct)], wait, true);
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
        let plan = (0..4).map(|n| (n * wait / 5, Call::Routed)).collect();
        self.begin(link, key, peer, plan, wait, silent)
    }

    fn begin(
        &mut self,
        link: Link,
        remote_static: [u8; 32],
        peer: u64,
        plan: Vec<(u64, Call)>,
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
            straight: false,
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
        if let Some((_, call)) = due {
            connect.step += 1;
            match call {
                _ if connect.done => {}
                Call::Direct => self.send_first_message(id, false),
                Call::Routed => self.send_first_message(id, true),
                Call::Again => self.repeat_first_message(id),
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
        let (link, peer) = (connect.link, connect.peer);
        // A started node of ours learns from the hint which prologue to try; 0.19.0 does not look at the field.
        let hint = if routed || offer.is_none() || self.config.bus {
            0
        } else {
            own as u32
        };
        self.send_handshake(link, routed.then_some(peer), hint, &message);
        if let Some(connect) = self.connects.get_mut(&id) {
            connect.attempts.push(Attempt {
                noise,
                routed,
                sent_at: self.now,
                repeated: false,
                message: (hint, message),
            });
        }
    }

    fn repeat_first_message(&mut self, id: u64) {
        let Some(connect) = self.connects.get_mut(&id) else {
            return;
        };
        let (link, peer) = (connect.link, connect.peer);
        let Some(attempt) = connect.attempts.last_mut() else {
            return;
        };
        attempt.repeated = true;
        let ((hint, message), routed) = (attempt.message.clone(), attempt.routed);
        self.send_handshake(link, routed.then_some(peer), hint, &message);
    }

    /// Tries the message as the answer to one of our own calls.
    pub(super) fn on_answer(&mut self, link: Link, body: &[u8], route: Option<RouteHeader>) -> bool {
        let found = self.connects.iter().find_map(|(id, connect)| {
            let fits = match route {
                Some(route) => connect.peer & MASK == u64::from(route.src),
                None => connect.link == link,
            };
            if !fits {
                return None;
            }
            let attempts = connect.attempts.iter().enumerate().rev();
            attempts
                .filter(|(_, attempt)| attempt.routed == route.is_some())
                .find_map(|(at, attempt)| {
                    let (outcome, payload) = attempt.noise.finish(body).ok()?;
                    Some((*id, at, outcome, payload))
                })
        });
        let Some((id, at, outcome, payload)) = found else {
            return false;
        };
        let features = self.config.features.and_then(|own| own.agree(&payload));
        let secrets = secrets(&outcome, Role::Initiator, features);
        let Some(connect) = self.connects.get_mut(&id) else {
            return false;
        };
        // An attempt makes one session: its keys would otherwise begin at counter 0 again when the answer is repeated.
        let attempt = connect.attempts.remove(at);
        let took = (!attempt.repeated).then(|| self.now.saturating_sub(attempt.sent_at));
        let first = !connect.done;
        connect.done = true;
        // Later answers can still come: the other end may have taken a repetition for the newest call.
        let late = self.now + self.config.handshake_timeout;
        // A bus link has one call at most; what its later attempts have begun is waited for too.
        connect.until = if self.config.bus {
            connect.until.max(late)
        } else {
            late
        };
        let (peer, silent) = (connect.peer, connect.silent);
        let remote_static = Some(connect.remote_static);
        let detour = route.is_some_and(|route| route.hop_count > 0);
        let relayed = detour && !connect.straight;
        let link = if detour { connect.link } else { link };
        let session = Session::new(&secrets, features);
        let new = Established {
            peer,
            session,
            link,
            relayed,
            remote_static,
            took,
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

    /// Whether a call to the node is so young that its answer may be under way.
    pub(super) fn is_calling(&self, peer: u64) -> bool {
        self.connects
            .values()
            .find(|connect| !connect.done && connect.peer == peer)
            .is_some_and(|connect| self.now - connect.begun < self.config.handshake_timeout)
    }

    /// The node that we call has called us: our connect has its session.
    pub(super) fn end_calls_to(&mut self, peer: u64, link: Link) {
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
