//! Replay window over a session's packet counters (20 §6.3).

/// Counters remembered below the highest accepted one, and the furthest jump forward toward a 0.19.0 peer.
pub const WINDOW: u64 = 1024;

/// Why a counter was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Accepted before, or too old to know.
    Replayed,
    /// More than [`WINDOW`] ahead, or the counter that never occurs.
    TooFar,
}

/// Which counters were accepted. A counter's bit is at its value modulo the window.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    next: u64,
    bits: [u64; (WINDOW / 64) as usize],
    any_jump: bool,
}

impl ReplayWindow {
    /// `any_jump`: accept authenticated packets however far ahead (between our nodes), so that a long
    /// outage doesn't end the session.
    pub fn new(any_jump: bool) -> Self {
        Self {
            next: 0,
            bits: [0; (WINDOW / 64) as usize],
            any_jump,
        }
    }

    /// Changes to accepting authenticated packets however far ahead.
    pub fn accept_any_jump(&mut self) {
        self.any_jump = true;
    }

    /// Whether a packet with this counter may be decrypted.
    #[inline]
    pub fn check(&self, counter: u64) -> Result<(), Refused> {
        if counter == u64::MAX {
            return Err(Refused::TooFar);
        }
        if counter >= self.next {
            return if self.any_jump || counter - self.next <= WINDOW {
                Ok(())
            } else {
                Err(Refused::TooFar)
            };
        }
        let (word, bit) = slot(counter);
        if self.next - 1 - counter >= WINDOW || self.bits[word] & bit != 0 {
            return Err(Refused::Replayed);
        }
        Ok(())
    }

    /// Records the counter of an authenticated packet; checks once more.
    #[inline]
    pub fn commit(&mut self, counter: u64) -> Result<(), Refused> {
        self.check(counter)?;
        if counter >= self.next {
            if counter - self.next >= WINDOW {
                self.bits.fill(0);
            } else {
                for skipped in self.next..counter {
                    let (word, bit) = slot(skipped);
                    self.bits[word] &= !bit;
                }
            }
            self.next = counter + 1;
        }
        let (word, bit) = slot(counter);
        self.bits[word] |= bit;
        Ok(())
    }

    /// One more than the highest accepted counter.
    pub fn next(&self) -> u64 {
        self.next
    }
}

#[inline]
fn slot(counter: u64) -> (usize, u64) {
    ((counter % WINDOW / 64) as usize, 1 << (counter % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_trace_of_a_running_peer() {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/wire-observed.json")).unwrap();
        let trace = all["replay_window"]["trace"].as_array().unwrap();
        let mut window = ReplayWindow::new(false);
        window.commit(56).unwrap();
        for step in trace {
            let counter: u64 = step[0].as_str().unwrap().parse().unwrap();
            assert_eq!(
                window.commit(counter).is_ok(),
                step[1].as_bool().unwrap(),
                "counter {counter}"
            );
        }
    }

    #[test]
    fn the_edges() {
        let mut window = ReplayWindow::new(false);
        assert_eq!(window.check(WINDOW), Ok(()));
        assert_eq!(window.check(WINDOW + 1), Err(Refused::TooFar));
        window.commit(0).unwrap();
        window.commit(1 + WINDOW).unwrap();
        assert_eq!(window.check(0), Err(Refused::Replayed), "older than the window");
        assert_eq!(window.check(1), Err(Refused::Replayed));
        assert_eq!(window.check(2), Ok(()));
        assert_eq!(ReplayWindow::new(true).check(u64::MAX - 1), Ok(()));
        assert_eq!(ReplayWindow::new(true).check(u64::MAX), Err(Refused::TooFar));
    }

    proptest! {
        #[test]
        fn as_a_set_of_seen_counters(steps in prop::collection::vec(0u64..4000, 1..400), any_jump: bool) {
            let (mut window, mut seen, mut next) = (ReplayWindow::new(any_jump), BTreeSet::new(), 0u64);
            for counter in steps {
                let fresh = if counter >= next {
                    any_jump || counter - next <= WINDOW
                } else {
                    next - 1 - counter < WINDOW && !seen.contains(&counter)
                };
                prop_assert_eq!(window.check(counter).is_ok(), fresh);
                prop_assert_eq!(window.commit(counter).is_ok(), fresh);
                if fresh {
                    seen.insert(counter);
                    next = next.max(counter + 1);
                }
            }
        }
    }
}
