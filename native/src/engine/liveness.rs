//! Heartbeats, failure detection, rerouting, eviction, and the timers of peers and streams (21 §6, §7).

use super::peer::Liveness;
use super::timers::Timer;
use super::{Engine, Event, Link, PeerChange};
use crate::packet::control::Control;
use crate::packet::Features;

/// Session timeouts of silence after which a session is dropped.
const EVICT_AFTER: u64 = 30;
/// Session timeouts of silence after which a peer is called again without other signs.
const REDIAL_AFTER: u64 = 10;
/// Pingwaves of a node are remembered for so long as seen. Microseconds.
const DEDUP: u64 = 10_000_000;

impl Engine {
    pub(super) fn tick(&mut self) {
        if !self.started {
            return;
        }
        self.timers
            .arm(Timer::Tick, self.now + self.config.heartbeat_interval.max(10_000));
        if self.config.bus {
            self.bus_tick();
            self.awaited.look_at_all();
            return;
        }
        let ids: Vec<u64> = self.peers.keys().copied().collect();
        for id in &ids {
            self.beat(*id);
        }
        self.beacon();
        for id in ids {
            self.examine(id);
        }
        // Idle streams went.
        self.awaited.look_at_all();
        self.routes.sweep(self.now);
        self.relayed.sweep(self.now);
        let links = &self.links;
        let peers = &self.peers;
        let timeout = self.config.session_timeout;
        self.graph.sweep(self.now, timeout, DEDUP.min(timeout), &|id| {
            peers
                .get(&id)
                .is_some_and(|peer| links.get(&peer.link) == Some(&id))
        });
    }

    fn beat(&mut self, id: u64) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        if !peer.relayed {
            self.send_heartbeat(id);
        }
        let rerouted = self.path_to(id).is_some_and(|(_, routed)| routed);
        if rerouted {
            self.send_alive(id);
        }
    }

    fn examine(&mut self, id: u64) {
        let (now, timeout) = (self.now, self.config.session_timeout);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.streams.sweep(now);
        let silence = now.saturating_sub(peer.last_received);
        // 0.19.0 sends no heartbeat over a relay, so only silence counts for such a peer.
        let tracked = !peer.relayed || peer.session.features().is_some();
        let missed = now.saturating_sub(peer.last_beat) / timeout.max(1);
        let state = match missed {
            _ if !tracked => Liveness::Healthy,
            0 | 1 => Liveness::Healthy,
            2 => Liveness::Suspected,
            _ => Liveness::Failed,
        };
        if silence >= EVICT_AFTER.saturating_mul(timeout) {
            self.remove_peer(id);
            return;
        }
        let before = peer.liveness;
        let link = peer.link;
        let relayed = peer.relayed;
        if state != before && before != Liveness::Failed {
            peer.liveness = state;
            match state {
                Liveness::Suspected => self.peer_event(id, PeerChange::Suspected),
                Liveness::Failed => {
                    self.peer_event(id, PeerChange::Failed);
                    if !relayed {
                        if let Some(peer) = self.peers.get_mut(&id) {
                            peer.detoured = true;
                        }
                        self.reroute(id, link);
                    }
                }
                Liveness::Healthy => {}
            }
        }
        self.consider_redial(id, silence);
    }

    /// A peer that we had called is called again when it falls silent, or when its packets show that it lost the session.
    fn consider_redial(&mut self, id: u64, silence: u64) {
        let now = self.now;
        let (timeout, beat) = (self.config.session_timeout, self.config.heartbeat_interval);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let silent = silence > 3 * beat;
        if !self.config.reconnect {
            return;
        }
        if peer.beyond_window > 0 && silent {
            // What is taken is authenticated, so the jump does no harm, and the session with its streams goes on.
            peer.session.accept_any_jump();
            peer.beyond_window = 0;
        }
        if peer.remote_static.is_none() {
            return;
        }
        let outrun = peer.outrun || peer.has_outrun(silence, beat);
        let lost = peer.strange > 0 && silent || outrun;
        // Silence alone may be a partition, after which the session goes on; a new one would cost what is under way.
        if !(lost || silence >= REDIAL_AFTER.saturating_mul(timeout)) {
            return;
        }
        let (at, times) = peer.redial.unwrap_or((now, 0));
        if at <= now {
            peer.redial = Some((now + timeout.saturating_mul(1 << times.min(4)), times + 1));
            self.redial(id);
        }
    }

    /// A packet of an unknown session came from a known address.
    pub(super) fn on_strange(&mut self, link: Link) {
        if let Some(peer) = self.links.get(&link).and_then(|id| self.peers.get_mut(id)) {
            peer.strange += 1;
        }
    }

    /// Routes over a failed node get another next hop (21 §7).
    fn reroute(&mut self, failed: u64, link: Link) {
        let own = self.config.node_id;
        for dest in self.routes.via(link) {
            let usable = |id: u64| {
                self.peers
                    .get(&id)
                    .is_some_and(|peer| !peer.relayed && !peer.detoured && peer.link != link)
            };
            let hop = self
                .graph
                .first_hop(own, dest, if dest == failed { own } else { failed }, &usable)
                .or_else(|| self.peers.keys().copied().find(|id| usable(*id)));
            if let Some(other) = hop.and_then(|hop| self.peers.get(&hop)).map(|peer| peer.link) {
                self.routes.divert(self.now, dest, failed, other);
            }
        }
    }

    pub(super) fn peer_timer(&mut self, id: u64) {
        self.release_blocked(id);
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let timeout = peer.rtt.probe_timeout(1);
        let probe = peer.path.probe(now, timeout);
        let deadline = peer.path.deadline();
        if let Some(size) = probe {
            self.send_control(id, None, &Control::MtuProbe(size), size.into());
        }
        if let Some(at) = deadline {
            self.timers.arm(Timer::Peer(id), at.max(now + 1));
        }
    }

    /// A light stream is repaired for one session timeout. While the other end is silent nothing is given up: the session may end,
    /// and its user decides then.
    fn give_up_overdue(&mut self, id: u64, stream_id: u64) {
        let (now, patience) = (self.now, self.config.session_timeout);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let silent = now.saturating_sub(peer.last_received) > 3 * self.config.heartbeat_interval;
        let Some(stream) = peer.streams.get_mut(stream_id) else {
            return;
        };
        if silent || stream.gives_up_at(patience).is_none_or(|at| at > now) {
            return;
        }
        let out = &mut self.out;
        let horizon = (now - patience) + 1;
        let (events, credit) = stream
            .sender
            .give_up(horizon, &mut peer.congestion, &mut |payload| out.recycle(payload));
        if credit > 0 {
            stream.credit.settle(now, credit);
        }
        stream.lost += events;
        self.out.stats.lost += events;
        if self.config.bus && stream.sender.is_idle() {
            self.out.event(Event::Flushed { stream: stream_id });
        }
    }

    pub(super) fn stream_timer(&mut self, id: u64, stream_id: u64) {
        self.give_up_overdue(id, stream_id);
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let extended = peer.session.has(Features::RELIABLE);
        let Some(stream) = peer.streams.get_mut(stream_id) else {
            return;
        };
        if stream.owed.due.is_some_and(|at| at <= now) {
            stream.owed.due = None;
            self.owed.insert((id, stream_id));
        }
        if stream.sender.deadline().is_some_and(|at| at <= now) {
            stream.sender.probe(now, &peer.rtt, &mut peer.congestion);
            if stream.sender.unanswered() >= 3 {
                peer.path.shrink(now);
            }
        }
        let mut ask = false;
        if stream.credit.deadline().is_some_and(|at| at <= now) {
            if extended && stream.is_acknowledged() {
                stream.credit.touch(now);
                ask = true;
            } else if stream.credit.reclaim(now) {
                let _ = stream.sender.credited(u64::MAX);
                self.out.stats.credit_reclaimed += 1;
            }
        }
        if ask {
            self.send_control(id, None, &Control::CreditProbe(stream_id), 0);
        }
        self.tell_room_of(id, stream_id);
        self.schedule(id, stream_id);
        self.release_blocked(id);
        self.arm_stream(id, stream_id);
    }
}
