//! Congestion window and pacing of one session's acknowledged traffic (NewReno in bytes).

/// Smallest window: four packets of the safe size.
const MIN_WINDOW: u64 = 4 * 1200;
/// Largest window; flow control ends before it in practice.
const MAX_WINDOW: u64 = 32 << 20;
/// Bytes that may leave at once whatever the pace.
const BURST: u64 = 16 * 8192;

/// How much may be in flight, and when the next packet may leave.
#[derive(Clone, Debug)]
pub struct Congestion {
    window: u64,
    threshold: u64,
    in_flight: u64,
    /// Losses of packets sent before this moment belong to the last reduction.
    reduced_at: Option<u64>,
    budget: u64,
    filled_at: u64,
}

impl Congestion {
    /// `local`: the path never leaves this machine, so it starts wide open.
    pub fn new(local: bool) -> Self {
        Self {
            window: if local { 4 << 20 } else { 32 * 1200 },
            threshold: MAX_WINDOW,
            in_flight: 0,
            reduced_at: None,
            budget: BURST,
            filled_at: 0,
        }
    }

    /// Whether a packet of this size may leave; with nothing in flight one always may.
    pub fn admits(&self, bytes: u64) -> bool {
        self.in_flight == 0 || self.in_flight + bytes <= self.window
    }

    /// When the pace lets a packet of this size leave: now or later. Paths below 2 ms are not paced.
    pub fn pace(&mut self, now: u64, bytes: u64, smoothed: u64) -> u64 {
        if smoothed < 2_000 {
            return now;
        }
        // A quarter above the rate which the window gives, so that pacing never is the limit for long.
        let refill = now.saturating_sub(self.filled_at).saturating_mul(self.window) / smoothed * 5 / 4;
        let cap = BURST.min(self.window / 2).max(2 * 8192);
        if refill > 0 {
            self.budget = (self.budget + refill).min(cap);
            self.filled_at = now;
        }
        if self.budget >= bytes {
            return now;
        }
        now + ((bytes - self.budget) * smoothed * 4 / 5 / self.window).max(200)
    }

    /// A packet left.
    pub fn sent(&mut self, bytes: u64) {
        self.in_flight += bytes;
        self.budget = self.budget.saturating_sub(bytes);
    }

    /// A packet was acknowledged.
    pub fn acked(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        let grow = if self.window < self.threshold {
            bytes
        } else {
            1200 * bytes / self.window.max(1)
        };
        self.window = (self.window + grow).min(MAX_WINDOW);
    }

    /// A packet is given up (it will be sent anew, or its stream is gone).
    pub fn forgot(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// A loss was detected; once per round trip the window is halved.
    pub fn lost(&mut self, now: u64, sent_at: u64) {
        if self.reduced_at.is_some_and(|at| sent_at <= at) {
            return;
        }
        self.reduced_at = Some(now);
        self.window = (self.window / 2).max(MIN_WINDOW);
        self.threshold = self.window;
    }

    /// Nothing was heard for several timeouts: begin anew.
    pub fn collapse(&mut self, now: u64) {
        self.threshold = (self.window / 2).max(MIN_WINDOW);
        self.window = MIN_WINDOW;
        self.reduced_at = Some(now);
    }

    /// Bytes that may leave until the window is full.
    pub fn room(&self) -> u64 {
        self.window.saturating_sub(self.in_flight)
    }

    /// Bytes in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_once_per_round_trip_and_grows_again() {
        let mut c = Congestion::new(true);
        let start = c.window;
        c.lost(100, 50);
        c.lost(110, 60);
        assert_eq!(c.window, start / 2);
        c.lost(120, 105);
        assert_eq!(c.window, start / 4);
        for _ in 0..100_000 {
            c.sent(1200);
            c.acked(1200);
        }
        assert!(c.window > start / 4 && c.in_flight == 0);
    }

    #[test]
    fn something_may_always_leave() {
        let mut c = Congestion::new(false);
        c.collapse(0);
        assert!(c.admits(8192));
        c.sent(8192);
        assert!(!c.admits(1));
        c.acked(8192);
        assert!(c.admits(8192));
    }
}
