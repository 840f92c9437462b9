//! How many events a log keeps (50 §6).

/// Bytes that an event counts besides its payload.
pub const ENTRY_WEIGHT: u64 = 20;
/// A bound is exceeded by at least so many entries before an append evicts.
const SLACK_ENTRIES: u64 = 64;

/// Bounds of one log; `None` = no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Most events.
    pub max_events: Option<u64>,
    /// Most bytes, 20 per event and its payload.
    pub max_bytes: Option<u64>,
    /// Greatest age in ns.
    pub max_age_ns: Option<u64>,
}

impl Retention {
    /// From the numbers of the API: `u64::MAX` = no bound; the age in ms.
    pub fn from_bounds(max_events: u64, max_bytes: u64, max_age_ms: u64) -> Self {
        let bound = |value: u64| (value != u64::MAX).then_some(value);
        Self {
            max_events: bound(max_events),
            max_bytes: bound(max_bytes),
            max_age_ns: bound(max_age_ms).map(|ms| ms.saturating_mul(1_000_000)),
        }
    }

    /// Whether nothing is ever evicted.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }

    /// How far `count` events of `weight` bytes may be above the bounds before an append evicts.
    pub fn is_well_exceeded(&self, count: u64, weight: u64) -> bool {
        let events = self
            .max_events
            .is_some_and(|max| count > max.saturating_add((max / 16).max(SLACK_ENTRIES)));
        let bytes = self
            .max_bytes
            .is_some_and(|max| weight > max.saturating_add((max / 16).max(SLACK_ENTRIES * ENTRY_WEIGHT)));
        events || bytes
    }

    /// How many leading entries go. `entry(i)` gives weight and time of the i-th of `count`.
    pub fn drop_count(&self, count: u64, weight: u64, now: u64, entry: impl Fn(u64) -> (u64, u64)) -> u64 {
        let mut drop = self.max_events.map_or(0, |max| count.saturating_sub(max));
        if let Some(max) = self.max_bytes {
            let (mut left, mut at) = (weight, 0);
            while at < count && left > max {
                left -= entry(at).0.min(left);
                at += 1;
            }
            drop = drop.max(at);
        }
        if let Some(age) = self.max_age_ns {
            let oldest = now.saturating_sub(age);
            let mut at = 0;
            while at < count && entry(at).1 < oldest {
                at += 1;
            }
            drop = drop.max(at);
        }
        drop.min(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bounds_are_never_exceeded() {
        let most = u64::MAX - 1;
        let retention = Retention::from_bounds(most, most, most);
        assert!(!retention.is_well_exceeded(1 << 40, 1 << 40));
        assert_eq!(retention.drop_count(5, 500, u64::MAX, |_| (100, 0)), 0);
    }
}
