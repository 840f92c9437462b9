//! Target size of a batch, following the ingest rate (10 §3.5).

use std::collections::VecDeque;

/// Most samples kept.
const SAMPLES: usize = 1024;
/// The target is recomputed at most this often, in nanoseconds.
const UPDATE_EVERY: u64 = 10_000_000;
/// A batch should hold what arrives in 1/200 s.
const BATCHES_PER_SECOND: u64 = 200;

/// Bounds and window of the adaptation.
#[derive(Clone, Copy, Debug)]
pub struct BatchSizes {
    /// Floor of the target, at least 1.
    pub min: u64,
    /// Ceiling of the target, at least `min`.
    pub max: u64,
    /// Whether the target follows the rate; otherwise it is `max`.
    pub adaptive: bool,
    /// Window of the rate estimate, nanoseconds.
    pub window: u64,
}

/// Rate estimate and target of one shard.
pub struct Adaptive {
    sizes: BatchSizes,
    samples: VecDeque<(u64, u64)>,
    target: u64,
    updated: u64,
}

impl Adaptive {
    /// Starts at the floor.
    pub fn new(sizes: BatchSizes) -> Self {
        let target = if sizes.adaptive { sizes.min } else { sizes.max };
        Self {
            sizes,
            samples: VecDeque::new(),
            target,
            updated: 0,
        }
    }

    /// Number of events at which a batch is cut.
    pub fn target(&self) -> u64 {
        self.target
    }

    /// Notes that `count` events have arrived in all by `now`.
    pub fn record(&mut self, now: u64, count: u64) {
        if !self.sizes.adaptive {
            return;
        }
        let oldest = now.saturating_sub(self.sizes.window);
        while self.samples.front().is_some_and(|&(time, _)| time < oldest) {
            self.samples.pop_front();
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, count));
        if now < self.updated.saturating_add(UPDATE_EVERY) {
            return;
        }
        self.updated = now;
        let BatchSizes { min, max, .. } = self.sizes;
        let goal = (self.rate() / BATCHES_PER_SECOND).clamp(min, max);
        self.target = (self.target.saturating_mul(3).saturating_add(goal) / 4).clamp(min, max);
    }

    /// Events per second over the window; 0 while it cannot be known.
    fn rate(&self) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(&(from, low)), Some(&(to, high))) if to > from => {
                let rate = u128::from(high - low) * 1_000_000_000 / u128::from(to - from);
                u64::try_from(rate).unwrap_or(u64::MAX)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: BatchSizes = BatchSizes {
        min: 1000,
        max: 10_000,
        adaptive: true,
        window: 100_000_000,
    };

    #[test]
    fn the_target_rises_with_the_rate_and_falls_back_to_the_floor() {
        let mut adaptive = Adaptive::new(SIZES);
        assert_eq!(adaptive.target(), 1000);
        // 1 M events/s: the goal is 5000.
        for tick in 1..=100u64 {
            adaptive.record(tick * 10_000_000, tick * 10_000);
        }
        assert!(
            (4900..=5000).contains(&adaptive.target()),
            "{}",
            adaptive.target()
        );
        for tick in 101..=200u64 {
            adaptive.record(tick * 10_000_000, 1_000_000);
        }
        assert!(adaptive.target() < 1010, "{}", adaptive.target());
    }

    #[test]
    fn hostile_clocks_and_counts_saturate() {
        let mut adaptive = Adaptive::new(SIZES);
        adaptive.record(u64::MAX - 1, 0);
        adaptive.record(u64::MAX, u64::MAX);
        assert!(adaptive.target() <= SIZES.max);
    }

    #[test]
    fn without_adaptation_the_target_is_the_ceiling() {
        let mut adaptive = Adaptive::new(BatchSizes {
            adaptive: false,
            ..SIZES
        });
        adaptive.record(50_000_000, 1);
        assert_eq!(adaptive.target(), 10_000);
    }
}
