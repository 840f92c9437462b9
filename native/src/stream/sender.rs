//! Send side of a stream: what waits, what is in flight, what must go again.

use super::congestion::Congestion;
use super::rtt::Rtt;
use crate::packet::control::Ack;
use crate::packet::OVERHEAD;
use std::collections::{BTreeSet, VecDeque};

/// Most bytes that one stream may queue or retain, also without a window.
pub const MAX_RETAINED_BYTES: u64 = 16 << 20;

/// A packet's plaintext before it is sealed.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// Frames.
    pub payload: Vec<u8>,
    /// Number of frames.
    pub events: u16,
    /// Channel of a publish, else 0.
    pub channel_hash: u16,
    /// Origin of a publish, else 0.
    pub origin_hash: u32,
    /// Of a publish, else 0.
    pub priority: u8,
    /// 0 = plain events.
    pub subprotocol: u16,
}

impl Plain {
    /// Bytes on the wire without routing header: the unit of credit.
    pub fn cost(&self) -> u64 {
        (OVERHEAD + self.payload.len()) as u64
    }
}

#[derive(Debug, PartialEq)]
enum State {
    InFlight,
    Lost,
    Acked,
}

#[derive(Debug)]
struct Retained {
    plain: Plain,
    state: State,
    /// When it left first, and last.
    since: u64,
    sent_at: u64,
    order: u64,
    times: u32,
}

/// Which packet goes next.
pub enum Next {
    /// A packet nobody will ask for again: sequence and plaintext.
    Once(u64, Plain),
    /// A retained packet; look it up with [`Sender::retained`].
    Retained(u64),
}

/// Queue and retransmission state. Sequences are given when a packet is admitted.
#[derive(Debug, Default)]
pub struct Sender {
    next_sequence: u64,
    /// Sequence of the first queued packet is `next_sequence - queue.len()`.
    queue: VecDeque<Plain>,
    bytes: u64,
    retained: VecDeque<Retained>,
    first: u64,
    again: BTreeSet<u64>,
    order: u64,
    newest_acked: u64,
    /// Sequence and cost of packets which count against the window (between our nodes).
    charged: VecDeque<(u64, u64)>,
    unanswered: u32,
    probe_at: Option<u64>,
}

impl Sender {
    /// A sender whose first sequence is `next_sequence`.
    pub fn new(next_sequence: u64) -> Self {
        Self {
            next_sequence,
            first: next_sequence,
            ..Self::default()
        }
    }

    /// Next sequence to give.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Whether so many more bytes may be kept.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.bytes + bytes <= MAX_RETAINED_BYTES
    }

    /// Bytes that wait or are unacknowledged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nothing waits and nothing is unacknowledged.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.retained.is_empty()
    }

    /// Whether something that left is kept until it is acknowledged.
    pub fn has_unacknowledged(&self) -> bool {
        !self.retained.is_empty()
    }

    /// Whether something could be sent now.
    pub fn has_next(&self) -> bool {
        !self.queue.is_empty() || !self.again.is_empty()
    }

    /// Queues a packet. `charged`: remember its cost until an acknowledgement credits it.
    pub fn push(&mut self, plain: Plain, charged: bool) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.bytes += plain.cost();
        if charged {
            self.charged.push_back((sequence, plain.cost()));
        }
        self.queue.push_back(plain);
        sequence
    }

    /// The newest packet that has not left yet.
    pub fn last_queued(&self) -> Option<&Plain> {
        self.queue.back()
    }

    /// Adds frames to the newest packet that has not left yet; nothing happens without one.
    pub fn extend_last(&mut self, frames: &[u8], events: u16) {
        let Some(last) = self.queue.back_mut() else {
            return;
        };
        last.payload.extend_from_slice(frames);
        last.events += events;
        self.bytes += frames.len() as u64;
        if let Some((sequence, cost)) = self.charged.back_mut() {
            if *sequence + 1 == self.next_sequence {
                *cost += frames.len() as u64;
            }
        }
    }

    /// Cost of the packet that [`next`](Self::next) would give.
    pub fn next_cost(&self) -> Option<u64> {
        match self.again.first().and_then(|sequence| self.retained(*sequence)) {
            Some(plain) => Some(plain.cost()),
            None => self.queue.front().map(Plain::cost),
        }
    }

    /// Takes the next packet: repetitions first. `retain`: keep it until it is acknowledged.
    pub fn next(&mut self, now: u64, retain: bool) -> Option<Next> {
        while let Some(sequence) = self.again.pop_first() {
            let order = self.take_order();
            let index = self.index(sequence);
            if let Some(packet) = index.and_then(|index| self.retained.get_mut(index)) {
                if packet.state == State::Lost {
                    packet.state = State::InFlight;
                    packet.sent_at = now;
                    packet.order = order;
                    packet.times += 1;
                    return Some(Next::Retained(sequence));
                }
            }
        }
        let sequence = self.next_sequence - self.queue.len() as u64;
        let plain = self.queue.pop_front()?;
        if !retain {
            self.bytes -= plain.cost();
            if self.retained.is_empty() {
                self.first = sequence + 1;
            }
            return Some(Next::Once(sequence, plain));
        }
        if self.retained.is_empty() {
            self.first = sequence;
        }
        let order = self.take_order();
        self.retained.push_back(Retained {
            plain,
            state: State::InFlight,
            since: now,
            sent_at: now,
            order,
            times: 1,
        });
        Some(Next::Retained(sequence))
    }

    /// A retained packet.
    pub fn retained(&self, sequence: u64) -> Option<&Plain> {
        self.index(sequence)
            .and_then(|index| self.retained.get(index))
            .map(|packet| &packet.plain)
    }

    /// Whether a retained packet was sent more than once.
    pub fn was_repeated(&self, sequence: u64) -> bool {
        self.index(sequence)
            .and_then(|index| self.retained.get(index))
            .is_some_and(|packet| packet.times > 1)
    }

    /// Probes in a row without an acknowledgement.
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// How far a packet's sequence is from the oldest which this end still has: receivers may skip what lies below.
    pub fn distance(&self, sequence: u64) -> u32 {
        let oldest = if self.retained.is_empty() {
            sequence
        } else {
            self.first
        };
        u32::try_from(sequence.saturating_sub(oldest)).unwrap_or(u32::MAX)
    }

    /// Starts the probe timer after a retained packet left.
    pub fn arm(&mut self, now: u64, rtt: &Rtt) {
        self.probe_at = Some(now + rtt.probe_timeout(self.unanswered));
    }

    /// When to ask again.
    pub fn deadline(&self) -> Option<u64> {
        self.probe_at
    }

    /// Bytes which the acknowledgement credits.
    pub fn credited(&mut self, below: u64) -> u64 {
        let mut bytes = 0;
        while let Some((_, cost)) = self.charged.front().filter(|(sequence, _)| *sequence < below) {
            bytes += cost;
            self.charged.pop_front();
        }
        bytes
    }

    /// A packet never left: what it was charged with, which no acknowledgement gives back any more.
    pub fn uncharge(&mut self, sequence: u64) -> u64 {
        let index = self.charged.binary_search_by_key(&sequence, |(known, _)| *known);
        index
            .ok()
            .and_then(|index| self.charged.remove(index))
            .map_or(0, |(_, cost)| cost)
    }

    /// The window begins anew: acknowledgements of what was sent before give no credit.
    pub fn forget_charges(&mut self) {
        self.charged.clear();
    }

    /// Whether packets wait for credit of the receiver.
    pub fn has_charged(&self) -> bool {
        !self.charged.is_empty()
    }

    /// Takes an acknowledgement in: frees what arrived, finds what was lost. Freed plaintexts go to `free`.
    pub fn acknowledge(
        &mut self,
        now: u64,
        ack: &Ack,
        rtt: &mut Rtt,
        congestion: &mut Congestion,
        free: &mut dyn FnMut(Vec<u8>),
    ) {
        let mut newest: Option<(u64, u64, u32)> = None;
        let reach = ack.next.saturating_add(crate::packet::control::ACK_REACH + 1);
        let end = (reach.saturating_sub(self.first) as usize).min(self.retained.len());
        for (index, packet) in self.retained.iter_mut().enumerate().take(end) {
            let sequence = self.first + index as u64;
            if packet.state == State::Acked || !ack.covers(sequence) {
                continue;
            }
            let cost = packet.plain.cost();
            match packet.state {
                State::InFlight => congestion.acked(cost),
                State::Lost => {
                    self.again.remove(&sequence);
                }
                State::Acked => {}
            }
            packet.state = State::Acked;
            self.bytes -= cost;
            free(std::mem::take(&mut packet.plain.payload));
            if newest.is_none_or(|(order, ..)| packet.order > order) {
                newest = Some((packet.order, packet.sent_at, packet.times));
            }
        }
        while self
            .retained
            .front()
            .is_some_and(|packet| packet.state == State::Acked)
        {
            self.retained.pop_front();
            self.first += 1;
        }
        let Some((order, sent_at, times)) = newest else {
            return;
        };
        self.unanswered = 0;
        self.newest_acked = self.newest_acked.max(order);
        if times == 1 {
            rtt.sample(now.saturating_sub(sent_at), ack.delay_us.into());
        }
        self.find_losses(now, sent_at, rtt, congestion);
        self.probe_at = (!self.retained.is_empty()).then(|| now + rtt.probe_timeout(0));
    }

    /// A packet is lost when three that left after it arrived, or one that left clearly later.
    fn find_losses(&mut self, now: u64, acked_sent_at: u64, rtt: &Rtt, congestion: &mut Congestion) {
        let grace = rtt.smoothed() / 4 + 500;
        for (index, packet) in self.retained.iter_mut().enumerate() {
            if packet.times == 1 && packet.order > self.newest_acked {
                // What comes behind it left after it.
                break;
            }
            let lost = packet.state == State::InFlight
                && packet.order < self.newest_acked
                && (packet.order + 3 <= self.newest_acked || packet.sent_at + grace < acked_sent_at);
            if lost {
                packet.state = State::Lost;
                congestion.forgot(packet.plain.cost());
                congestion.lost(now, packet.sent_at);
                self.again.insert(self.first + index as u64);
            }
        }
    }

    /// Nothing was acknowledged in time: send the oldest again; after three times, all.
    pub fn probe(&mut self, now: u64, rtt: &Rtt, congestion: &mut Congestion) {
        self.unanswered += 1;
        let all = self.unanswered >= 3;
        if all {
            congestion.collapse(now);
        }
        let limit = if all { usize::MAX } else { 2 };
        let mut marked = 0;
        for (index, packet) in self.retained.iter_mut().enumerate() {
            if marked >= limit {
                break;
            }
            if packet.state == State::InFlight {
                packet.state = State::Lost;
                congestion.forgot(packet.plain.cost());
                self.again.insert(self.first + index as u64);
                marked += 1;
            }
        }
        self.probe_at = (!self.retained.is_empty()).then(|| now + rtt.probe_timeout(self.unanswered));
    }

    /// Below this sequence everything is acknowledged or given up.
    pub fn settled(&self) -> u64 {
        self.first
    }

    /// When the oldest retained packet left first.
    pub fn oldest(&self) -> Option<u64> {
        self.retained.front().map(|packet| packet.since)
    }

    /// Gives up what left first before `horizon` and is not acknowledged yet. Returns the number of events, and the credit that they held.
    pub fn give_up(
        &mut self,
        horizon: u64,
        congestion: &mut Congestion,
        free: &mut dyn FnMut(Vec<u8>),
    ) -> (u64, u64) {
        let (mut events, mut credit) = (0, 0);
        while self
            .retained
            .front()
            .is_some_and(|packet| packet.since < horizon || packet.state == State::Acked)
        {
            let Some(packet) = self.retained.pop_front() else {
                break;
            };
            let sequence = self.first;
            self.first += 1;
            if packet.state == State::Acked {
                continue;
            }
            let cost = packet.plain.cost();
            if packet.state == State::InFlight {
                congestion.forgot(cost);
            }
            self.again.remove(&sequence);
            self.bytes -= cost;
            events += u64::from(packet.plain.events);
            if let Ok(index) = self.charged.binary_search_by_key(&sequence, |(known, _)| *known) {
                if let Some((_, charged)) = self.charged.get_mut(index) {
                    credit += std::mem::take(charged);
                }
            }
            free(packet.plain.payload);
        }
        if self.retained.is_empty() {
            self.probe_at = None;
            self.unanswered = 0;
        }
        (events, credit)
    }

    /// Gives up everything; the caller's congestion state is told.
    pub fn abandon(&mut self, congestion: &mut Congestion) {
        for packet in &self.retained {
            if packet.state == State::InFlight {
                congestion.forgot(packet.plain.cost());
            }
        }
        *self = Self::new(self.next_sequence);
    }

    fn take_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn index(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(byte: u8) -> Plain {
        Plain {
            payload: vec![byte; 10],
            events: 1,
            ..Plain::default()
        }
    }

    fn send_all(sender: &mut Sender, congestion: &mut Congestion, now: u64) -> Vec<u64> {
        let mut out = Vec::new();
        while let Some(Next::Retained(sequence)) = sender.next(now, true) {
            congestion.sent(90);
            out.push(sequence);
        }
        out
    }

    #[test]
    fn a_hole_is_filled_after_three_later_arrivals() {
        let (mut sender, mut rtt, mut congestion) = (Sender::new(0), Rtt::default(), Congestion::new(true));
        for byte in 0..6 {
            sender.push(plain(byte), true);
        }
        assert_eq!(send_all(&mut sender, &mut congestion, 0), [0, 1, 2, 3, 4, 5]);
        let mut ack = Ack {
            next: 1,
            credited: 1,
            ..Ack::default()
        };
        ack.mark(2);
        ack.mark(3);
        sender.acknowledge(100, &ack, &mut rtt, &mut congestion, &mut |_| ());
        assert!(
            send_all(&mut sender, &mut congestion, 100).is_empty(),
            "two later arrivals may be reordering"
        );
        ack.mark(4);
        sender.acknowledge(120, &ack, &mut rtt, &mut congestion, &mut |_| ());
        assert_eq!(send_all(&mut sender, &mut congestion, 120), [1]);
        assert_eq!(sender.distance(5), 4);
        let ack = Ack {
            next: 6,
            credited: 6,
            ..Ack::default()
        };
        sender.acknowledge(200, &ack, &mut rtt, &mut congestion, &mut |_| ());
        assert!(sender.is_idle() && sender.deadline().is_none());
        assert_eq!((congestion.in_flight(), sender.bytes), (0, 0));
        assert_eq!(sender.credited(6), 6 * 90);
    }

    #[test]
    fn silence_repeats_the_oldest_then_everything() {
        let (mut sender, rtt, mut congestion) = (Sender::new(7), Rtt::default(), Congestion::new(true));
        for byte in 0..5 {
            sender.push(plain(byte), false);
        }
        send_all(&mut sender, &mut congestion, 0);
        sender.probe(1, &rtt, &mut congestion);
        assert_eq!(send_all(&mut sender, &mut congestion, 1), [7, 8]);
        sender.probe(2, &rtt, &mut congestion);
        assert_eq!(send_all(&mut sender, &mut congestion, 2), [7, 8]);
        sender.probe(3, &rtt, &mut congestion);
        assert_eq!(send_all(&mut sender, &mut congestion, 3), [7, 8, 9, 10, 11]);
        sender.abandon(&mut congestion);
        assert_eq!((congestion.in_flight(), sender.next_sequence()), (0, 12));
    }

    #[test]
    fn packets_sent_once_are_not_kept() {
        let mut sender = Sender::new(3);
        sender.push(plain(1), false);
        assert!(matches!(sender.next(0, false), Some(Next::Once(3, _))));
        assert!(sender.is_idle());
        assert_eq!(sender.bytes, 0);
        sender.push(plain(2), false);
        assert!(matches!(sender.next(0, true), Some(Next::Retained(4))));
        assert_eq!(sender.distance(4), 0);
    }
}
