//! A stream's send window in wire bytes (20 §9.3), with the repairs of 30 §5 for lost packets and reopened streams.

/// Without any grant for this long, outstanding bytes count as lost. Microseconds.
pub const RECLAIM_AFTER: u64 = 2_000_000;

/// Credit of one life of a stream. Invariant: `remaining + (sent − settled) ≤ window` while there is a window.
#[derive(Clone, Debug)]
pub struct Credit {
    window: u32,
    remaining: u64,
    /// Bytes admitted in this life.
    sent: u64,
    /// Of these, bytes granted back or given up.
    settled: u64,
    /// The receiver's total when this life began; totals only grow over all lives.
    base: u64,
    /// Bytes given up: the receiver will never count them.
    lost: u64,
    /// Highest total seen.
    total: u64,
    /// After bytes were given up: one call at a time until a grant comes.
    probing: bool,
    /// When credit last moved.
    progress: u64,
}

impl Credit {
    /// Full credit. `window` 0 = no limit. `base` = the receiver's last known total of an earlier life, else 0.
    pub fn new(window: u32, base: u64) -> Self {
        Self {
            window,
            remaining: window.into(),
            sent: 0,
            settled: 0,
            base,
            lost: 0,
            total: base,
            probing: false,
            progress: 0,
        }
    }

    /// Whether `bytes` may be sent now.
    pub fn fits(&self, bytes: u64) -> bool {
        self.window == 0 || (self.remaining >= bytes && !(self.probing && self.outstanding() > 0))
    }

    /// Takes credit; the caller has asked [`fits`](Self::fits) for the whole call.
    pub fn take(&mut self, now: u64, bytes: u64) {
        if self.outstanding() == 0 {
            self.progress = now;
        }
        self.remaining = self.remaining.saturating_sub(bytes);
        self.sent += bytes;
    }

    /// Returns credit of a packet that never reached the socket.
    pub fn untake(&mut self, bytes: u64) {
        let bytes = bytes.min(self.outstanding());
        self.sent -= bytes;
        self.remaining = (self.remaining + bytes).min(self.window.into());
    }

    /// Applies a 0.19.0 grant: monotonic, clamped to what was sent and to the window.
    pub fn grant(&mut self, now: u64, total: u64) {
        self.total = self.total.max(total.min(self.base.saturating_add(self.sent)));
        let settled = total
            .saturating_sub(self.base)
            .saturating_add(self.lost)
            .min(self.sent);
        if settled > self.settled {
            let bytes = settled - self.settled;
            self.settle(now, bytes);
            self.probing = false;
        }
    }

    /// Settles bytes which an acknowledgement covers.
    pub fn settle(&mut self, now: u64, bytes: u64) {
        let bytes = bytes.min(self.outstanding());
        self.settled += bytes;
        self.remaining = (self.remaining + bytes).min(self.window.into());
        self.progress = now;
    }

    /// Gives outstanding bytes up when nothing was granted for [`RECLAIM_AFTER`]. Returns whether it did.
    pub fn reclaim(&mut self, now: u64) -> bool {
        if self.window == 0 || self.outstanding() == 0 || now.saturating_sub(self.progress) < RECLAIM_AFTER {
            return false;
        }
        let bytes = self.outstanding();
        self.lost += bytes;
        self.settle(now, bytes);
        self.probing = true;
        true
    }

    /// Begins the wait for [`reclaim`](Self::reclaim) anew.
    pub fn touch(&mut self, now: u64) {
        self.progress = now;
    }

    /// When [`reclaim`](Self::reclaim) is worth a call.
    pub fn deadline(&self) -> Option<u64> {
        (self.window != 0 && self.outstanding() > 0).then(|| self.progress + RECLAIM_AFTER)
    }

    /// Bytes sent and not settled.
    pub fn outstanding(&self) -> u64 {
        self.sent - self.settled
    }

    /// Bytes that may be sent; 0 without a window.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The window at open; 0 = none.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// The receiver's total as far as known: `base` of a next life.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_trace_of_a_running_peer() {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/wire-observed.json")).unwrap();
        let mut credit = Credit::new(1000, 0);
        for step in all["sender_credit"]["trace"].as_array().unwrap() {
            let remaining = step["tx_credit_remaining"].as_u64().unwrap();
            if step["action"] == "send" {
                let bytes = 84 + step["value"].as_u64().unwrap();
                let fits = credit.fits(bytes);
                assert_eq!(fits, step["result"] == "ok", "{step}");
                if fits {
                    credit.take(0, bytes);
                }
            } else {
                credit.grant(0, step["value"].as_str().unwrap().parse().unwrap());
            }
            assert_eq!(credit.remaining(), remaining, "{step}");
        }
    }

    #[test]
    fn lost_bytes_come_back_after_two_seconds_and_are_probed() {
        let mut credit = Credit::new(1000, 0);
        credit.take(0, 600);
        credit.take(5, 300);
        assert!(!credit.fits(200));
        assert!(!credit.reclaim(RECLAIM_AFTER - 1));
        assert!(credit.reclaim(RECLAIM_AFTER));
        assert_eq!(credit.remaining(), 1000);
        credit.take(RECLAIM_AFTER, 100);
        assert!(!credit.fits(1), "one at a time until a grant comes");
        // 900 bytes were lost: the receiver has counted the 100 only.
        credit.grant(RECLAIM_AFTER + 9, 100);
        assert!(credit.fits(1000));
        assert_eq!(credit.outstanding(), 0);
    }

    #[test]
    fn a_reopened_stream_is_not_stalled_by_the_old_total() {
        let mut old = Credit::new(1000, 0);
        old.take(0, 500);
        old.grant(0, 500);
        let mut new = Credit::new(1000, old.total());
        new.take(1, 800);
        new.grant(1, 500);
        assert_eq!(new.remaining(), 200, "a late grant of the old life");
        new.grant(1, 1300);
        assert_eq!(new.remaining(), 1000);
    }

    proptest! {
        #[test]
        fn never_negative_never_above_the_window(window in 1u32..5000, steps in prop::collection::vec((0u8..4, 0u64..6000), 0..200)) {
            let (mut credit, mut now) = (Credit::new(window, 0), 0);
            for (what, value) in steps {
                now += value;
                match what {
                    0 if credit.fits(value) => credit.take(now, value),
                    0 => {}
                    1 => credit.grant(now, value * 7),
                    2 => { credit.reclaim(now * 1000); }
                    _ => credit.untake(value),
                }
                prop_assert!(credit.remaining() + credit.outstanding() <= u64::from(window));
            }
            // Whatever happened, the window opens again in the end.
            credit.reclaim(u64::MAX);
            prop_assert_eq!(credit.remaining(), u64::from(window));
        }
    }
}
