//! Duplicate filter of a reliable stream as 0.19.0 has it on a bus link (20 §9.2): arrival order, 64 sequences of reach.

/// Which sequences were taken.
#[derive(Clone, Debug, Default)]
pub struct DuplicateFilter {
    next: u64,
    ahead: u64,
}

impl DuplicateFilter {
    /// Takes a sequence or refuses it. Since nothing is retransmitted, everything above a gap + 64 is refused for good.
    pub fn accept(&mut self, sequence: u64) -> bool {
        match sequence.checked_sub(self.next) {
            None => false,
            Some(0) => {
                self.next += 1;
                while self.ahead & 1 == 1 {
                    self.next += 1;
                    self.ahead >>= 1;
                }
                self.ahead >>= 1;
                true
            }
            Some(distance) if distance <= 64 => {
                let bit = 1 << (distance - 1);
                let fresh = self.ahead & bit == 0;
                self.ahead |= bit;
                fresh
            }
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_a_running_peer() {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/wire-observed.json")).unwrap();
        let mut filter = DuplicateFilter::default();
        for step in all["bus_reliable_filter"]["trace"].as_array().unwrap() {
            let sequence = step[0].as_u64().unwrap();
            assert_eq!(filter.accept(sequence), step[1] == 1, "sequence {sequence}");
        }
    }

    #[test]
    fn in_any_order_each_once() {
        let mut filter = DuplicateFilter::default();
        for sequence in [2, 0, 3, 1, 5, 4] {
            assert!(filter.accept(sequence));
        }
        for sequence in 0..6 {
            assert!(!filter.accept(sequence));
        }
        assert!(filter.accept(6));
    }
}
