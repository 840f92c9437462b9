//! Receive side of a reliable stream between our nodes: each packet once, in order.

use crate::packet::control::{Ack, ACK_REACH};
use std::collections::BTreeMap;

/// Bytes of early packets that one stream may hold.
const MAX_HELD_BYTES: usize = 4 << 20;
/// Bytes of early packets that all streams of a session may hold: more than a sender of ours ever has under way.
pub const MAX_SESSION_HELD_BYTES: usize = 32 << 20;

/// What became of an arrived packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is next; [`Ordered::release`] may have more.
    Deliver,
    /// Held until those before it arrive.
    Held,
    /// Had before.
    Duplicate,
    /// Too far ahead to hold; the sender will repeat it.
    Refused,
}

/// Packets that came before their turn, and whose turn it is. `T` is a packet.
#[derive(Debug)]
pub struct Ordered<T> {
    next: u64,
    /// Size and packet; without packet when it was delivered before its turn.
    held: BTreeMap<u64, (usize, Option<T>)>,
    held_bytes: usize,
}

impl<T> Ordered<T> {
    /// `first`: the oldest sequence the sender still has.
    pub fn new(first: u64) -> Self {
        Self {
            next: first,
            held: BTreeMap::new(),
            held_bytes: 0,
        }
    }

    /// Bytes of the packets that wait.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Next sequence to deliver.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The sender has nothing below `floor` any more: what is missing there will never come.
    /// Held packets below it are released first.
    pub fn skip_to(&mut self, floor: u64) -> Vec<(u64, T)> {
        let mut out = Vec::new();
        while let Some((&sequence, _)) = self
            .held
            .first_key_value()
            .filter(|(&sequence, _)| sequence < floor)
        {
            if let Some((size, packet)) = self.held.remove(&sequence) {
                self.held_bytes -= size;
                out.extend(packet.map(|packet| (sequence, packet)));
            }
        }
        self.next = self.next.max(floor);
        out
    }

    /// Sorts an arrival in. The packet comes back when it is not held. `room`: bytes that may be held besides what is.
    pub fn arrive(&mut self, sequence: u64, size: usize, room: usize, packet: T) -> (Arrival, Option<T>) {
        if sequence < self.next || self.held.contains_key(&sequence) {
            return (Arrival::Duplicate, Some(packet));
        }
        if sequence == self.next {
            self.next += 1;
            return (Arrival::Deliver, Some(packet));
        }
        let room = room.min(MAX_HELD_BYTES.saturating_sub(self.held_bytes));
        if sequence - self.next > ACK_REACH || size > room {
            return (Arrival::Refused, Some(packet));
        }
        self.held_bytes += size;
        self.held.insert(sequence, (size, Some(packet)));
        (Arrival::Held, None)
    }

    /// As [`arrive`](Self::arrive) for a packet that need not wait for those before it: it comes back at once, the first time.
    pub fn arrive_in_any_order(&mut self, sequence: u64, packet: T) -> (Arrival, Option<T>) {
        if sequence < self.next || self.held.contains_key(&sequence) {
            return (Arrival::Duplicate, Some(packet));
        }
        if sequence - self.next > ACK_REACH {
            return (Arrival::Refused, Some(packet));
        }
        if sequence == self.next {
            self.next += 1;
        } else {
            self.held.insert(sequence, (0, None));
        }
        (Arrival::Deliver, Some(packet))
    }

    /// The next held packet, if it is its turn.
    pub fn release(&mut self) -> Option<(u64, T)> {
        loop {
            let (size, packet) = self.held.remove(&self.next)?;
            self.held_bytes -= size;
            self.next += 1;
            if let Some(packet) = packet {
                return Some((self.next - 1, packet));
            }
        }
    }

    /// Whether something is missing below what arrived.
    pub fn has_gap(&self) -> bool {
        !self.held.is_empty()
    }

    /// Fills an acknowledgement.
    pub fn describe(&self, ack: &mut Ack) {
        ack.next = self.next;
        for sequence in self.held.keys() {
            ack.mark(*sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_order_becomes_the_order(shuffled in Just((0u64..60).collect::<Vec<_>>()).prop_shuffle(), again in prop::collection::vec(0u64..60, 0..60)) {
            let mut ordered = Ordered::new(0);
            let mut out = Vec::new();
            for sequence in shuffled.into_iter().chain(again) {
                if let (Arrival::Deliver, Some(packet)) = ordered.arrive(sequence, 10, 1000, sequence) {
                    out.push(packet);
                    while let Some((sequence, packet)) = ordered.release() {
                        prop_assert_eq!(sequence, packet);
                        out.push(packet);
                    }
                }
            }
            prop_assert_eq!(out, (0..60).collect::<Vec<_>>());
            prop_assert_eq!(ordered.held_bytes, 0);
        }

        #[test]
        fn in_any_order_each_packet_once_whatever_the_order(steps in prop::collection::vec((0u64..40, any::<bool>()), 0..200)) {
            let (mut ordered, mut out) = (Ordered::new(0), Vec::new());
            for (sequence, waits) in steps {
                let (arrival, packet) = if waits {
                    ordered.arrive(sequence, 10, 1000, sequence)
                } else {
                    ordered.arrive_in_any_order(sequence, sequence)
                };
                if arrival == Arrival::Deliver {
                    out.extend(packet);
                }
                while let Some((_, packet)) = ordered.release() {
                    out.push(packet);
                }
            }
            out.extend(ordered.skip_to(40).into_iter().map(|(_, packet)| packet));
            let mut once = out.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), out.len(), "a packet twice");
            prop_assert_eq!((ordered.held_bytes, ordered.has_gap()), (0, false));
        }
    }

    #[test]
    fn what_the_sender_gave_up_is_skipped() {
        let mut ordered = Ordered::new(5);
        assert_eq!(ordered.arrive(7, 1, 1, 'b').0, Arrival::Held);
        assert_eq!(ordered.arrive(9, 1, 1, 'c').0, Arrival::Held);
        assert_eq!(ordered.skip_to(8), [(7, 'b')]);
        assert_eq!(ordered.next(), 8);
        assert_eq!(ordered.arrive(8, 1, 0, 'd').0, Arrival::Deliver);
        assert_eq!(ordered.release(), Some((9, 'c')));
    }

    #[test]
    fn too_far_ahead_is_refused() {
        let mut ordered = Ordered::new(0);
        let much = usize::MAX;
        assert_eq!(ordered.arrive(ACK_REACH + 1, 1, much, ()).0, Arrival::Refused);
        assert_eq!(ordered.arrive(ACK_REACH, 1, much, ()).0, Arrival::Held);
        assert_eq!(ordered.arrive(1, MAX_HELD_BYTES, much, ()).0, Arrival::Refused);
        assert_eq!(ordered.arrive(1, 10, 9, ()).0, Arrival::Refused);
        assert_eq!(ordered.arrive(1, 10, 10, ()).0, Arrival::Held);
    }
}
