//! A link of the event bus: exactly one peer, no routing, no pingwaves, no credit; each packet holds events (20 §1, §4.6).

use super::{Engine, BUS_PEER};

/// When an attempt that begins at `begin` sends its first message: often at first, so that an end that was made a little later is met
/// at once. A receiver admits five in a second.
pub(super) fn calls(begin: u64, wait: u64) -> Vec<(u64, bool)> {
    let offsets = [0, 1, 3, 7, 15].into_iter().chain((20..100).step_by(10));
    offsets
        .map(|percent| (begin + percent * wait / 100, false))
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
}
