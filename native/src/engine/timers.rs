//! Deadlines. A timer that fires looks at the present state, so moving a deadline back costs nothing.

use super::Engine;
use std::collections::{BTreeMap, BTreeSet};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Heartbeats and sweeps.
    Tick,
    /// Next attempt or end of a connect.
    Connect(u64),
    /// End of an accept.
    Accept(u64),
    /// Pace, path probes, redial.
    Peer(u64),
    /// Acknowledgement, retransmission, credit of a stream.
    Stream(u64, u64),
}

/// Earliest deadline per timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(u64, Timer)>,
    at: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Fires at `at` or earlier.
    pub fn arm(&mut self, timer: Timer, at: u64) {
        match self.at.get_mut(&timer) {
            Some(armed) if *armed <= at => {}
            Some(armed) => {
                self.order.remove(&(*armed, timer));
                *armed = at;
                self.order.insert((at, timer));
            }
            None => {
                self.at.insert(timer, at);
                self.order.insert((at, timer));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.at.len()
    }

    pub fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    fn next(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: u64) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.at.remove(&timer);
        Some(timer)
    }
}

impl Engine {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: u64) {
        self.advance(now);
        while let Some(timer) = self.timers.pop(self.now) {
            match timer {
                Timer::Tick => self.tick(),
                Timer::Connect(id) => self.step_connect(id),
                Timer::Accept(id) => self.end_accept(id),
                Timer::Peer(id) => self.peer_timer(id),
                Timer::Stream(peer, stream) => self.stream_timer(peer, stream),
            }
        }
        self.tell_room();
    }

    /// Arms a stream's timer for its earliest deadline.
    pub(super) fn arm_stream(&mut self, peer_id: u64, stream_id: u64) {
        let Some(stream) = self
            .peers
            .get(&peer_id)
            .and_then(|peer| peer.streams.get(stream_id))
        else {
            return;
        };
        // What is overdue waits for a sign of life.
        let given_up = stream.gives_up_at(self.config.session_timeout).map(|at| {
            if at > self.now {
                at
            } else {
                self.now + self.config.heartbeat_interval
            }
        });
        let deadlines = [
            stream.owed.due,
            stream.sender.deadline(),
            stream.credit.deadline(),
            given_up,
        ];
        if let Some(at) = deadlines.into_iter().flatten().min() {
            self.timers
                .arm(Timer::Stream(peer_id, stream_id), at.max(self.now + 1));
        }
    }
}
