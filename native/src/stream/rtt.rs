//! Round-trip time of a path (RFC 6298, with minima for fast local links).

/// Longest that a receiver holds an acknowledgement back. Microseconds.
pub const MAX_ACK_DELAY: u64 = 2_000;

/// Smoothed round-trip time and its variation, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    smoothed: u64,
    variation: u64,
    measured: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            smoothed: 200_000,
            variation: 100_000,
            measured: false,
        }
    }
}

impl Rtt {
    /// Takes a sample; `delay` is what the receiver says it held back.
    pub fn sample(&mut self, took: u64, delay: u64) {
        let took = took.saturating_sub(delay.min(MAX_ACK_DELAY)).max(1);
        if self.measured {
            self.variation = (3 * self.variation + self.smoothed.abs_diff(took)) / 4;
            self.smoothed = (7 * self.smoothed + took) / 8;
        } else {
            *self = Self {
                smoothed: took,
                variation: took / 2,
                measured: true,
            };
        }
    }

    /// Smoothed value; `None` before the first sample.
    pub fn measured(&self) -> Option<u64> {
        self.measured.then_some(self.smoothed)
    }

    /// Smoothed value, or the assumption before the first sample.
    pub fn smoothed(&self) -> u64 {
        self.smoothed
    }

    /// How long to wait for an acknowledgement before asking again; doubles with each unanswered time, up to 2 s.
    pub fn probe_timeout(&self, unanswered: u32) -> u64 {
        let base = (self.smoothed + (4 * self.variation).max(1_000) + MAX_ACK_DELAY).max(5_000);
        base.saturating_mul(1 << unanswered.min(16)).min(2_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settles_on_a_steady_path_and_backs_off() {
        let mut rtt = Rtt::default();
        for _ in 0..50 {
            rtt.sample(40_500, 500);
        }
        assert!((39_000..41_000).contains(&rtt.smoothed()));
        let first = rtt.probe_timeout(0);
        assert!(first < 60_000);
        assert_eq!(rtt.probe_timeout(1), 2 * first);
        assert_eq!(rtt.probe_timeout(40), 2_000_000);
    }
}
