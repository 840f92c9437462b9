//! Session control of the extension (docs/protocol.md): acknowledgements, goodbye, path messages.
//! Each event of a control packet is one message: a kind byte and its body.

use super::{u16_at, u32_at, u64_at};

/// Most words in an acknowledgement's bitmap.
pub const MAX_ACK_WORDS: usize = 16;
/// How far beyond the first missing sequence an acknowledgement can reach.
pub const ACK_REACH: u64 = 64 * MAX_ACK_WORDS as u64;

mod kind {
    pub const ACK: u8 = 1;
    pub const CREDIT_PROBE: u8 = 2;
    pub const GOODBYE: u8 = 3;
    pub const PATH_CHALLENGE: u8 = 4;
    pub const PATH_RESPONSE: u8 = 5;
    pub const MTU_PROBE: u8 = 6;
    pub const MTU_ACK: u8 = 7;
    pub const ALIVE: u8 = 8;
}

/// What a receiver holds of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The stream.
    pub stream_id: u64,
    /// First sequence not yet received; all below it are.
    pub next: u64,
    /// Sequences below this one no longer count against the sender's window.
    pub credited: u64,
    /// Microseconds between the newest packet's arrival and this message.
    pub delay_us: u32,
    /// Bit `i` of word `w`: sequence `next + 1 + 64 w + i` was received.
    pub beyond: [u64; MAX_ACK_WORDS],
}

impl Ack {
    /// Whether the receiver holds `sequence`.
    pub fn covers(&self, sequence: u64) -> bool {
        if sequence < self.next {
            return true;
        }
        match sequence.checked_sub(self.next + 1) {
            Some(bit) if bit < ACK_REACH => self.beyond[(bit / 64) as usize] >> (bit % 64) & 1 == 1,
            _ => false,
        }
    }

    /// Marks a sequence beyond `next` as received; out of reach is ignored.
    pub fn mark(&mut self, sequence: u64) {
        if let Some(bit) = sequence.checked_sub(self.next.saturating_add(1)) {
            if bit < ACK_REACH {
                self.beyond[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
    }

    fn words(&self) -> usize {
        MAX_ACK_WORDS - self.beyond.iter().rev().take_while(|word| **word == 0).count()
    }
}

/// One control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// See [`Ack`].
    Ack(Ack),
    /// Asks for an [`Ack`] of a stream whose window has run dry.
    CreditProbe(u64),
    /// The sender is shutting down; the session ends.
    Goodbye,
    /// Asks the address it was sent to for an echo.
    PathChallenge(u64),
    /// The echo.
    PathResponse(u64),
    /// A padded packet; the number is the size of the whole datagram.
    MtuProbe(u16),
    /// A datagram of that size arrived.
    MtuAck(u16),
    /// Sent in place of heartbeats to peers behind a relay.
    Alive,
}

impl Control {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ack(ack) => {
                let words = ack.words();
                out.push(kind::ACK);
                out.extend_from_slice(&ack.stream_id.to_le_bytes());
                out.extend_from_slice(&ack.next.to_le_bytes());
                out.extend_from_slice(&ack.credited.to_le_bytes());
                out.extend_from_slice(&ack.delay_us.to_le_bytes());
                out.push(words as u8);
                for word in &ack.beyond[..words] {
                    out.extend_from_slice(&word.to_le_bytes());
                }
            }
            Self::CreditProbe(stream) => {
                out.push(kind::CREDIT_PROBE);
                out.extend_from_slice(&stream.to_le_bytes());
            }
            Self::Goodbye => out.push(kind::GOODBYE),
            Self::PathChallenge(token) => {
                out.push(kind::PATH_CHALLENGE);
                out.extend_from_slice(&token.to_le_bytes());
            }
            Self::PathResponse(token) => {
                out.push(kind::PATH_RESPONSE);
                out.extend_from_slice(&token.to_le_bytes());
            }
            Self::MtuProbe(size) => {
                out.push(kind::MTU_PROBE);
                out.extend_from_slice(&size.to_le_bytes());
            }
            Self::MtuAck(size) => {
                out.push(kind::MTU_ACK);
                out.extend_from_slice(&size.to_le_bytes());
            }
            Self::Alive => out.push(kind::ALIVE),
        }
    }

    /// Reads one message. Unknown kinds, wrong lengths and impossible numbers are `None`; padding of a probe is not read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, body) = bytes.split_first()?;
        let exactly = |length: usize| (body.len() == length).then_some(());
        Some(match *kind {
            kind::ACK => {
                let words = usize::from(*body.get(28)?);
                if words > MAX_ACK_WORDS || body.len() != 29 + 8 * words {
                    return None;
                }
                let mut ack = Ack {
                    stream_id: u64_at(body, 0),
                    next: u64_at(body, 8),
                    credited: u64_at(body, 16),
                    delay_us: u32_at(body, 24),
                    beyond: [0; MAX_ACK_WORDS],
                };
                if ack.next >= u64::MAX - 2 * ACK_REACH {
                    return None;
                }
                for (index, word) in ack.beyond[..words].iter_mut().enumerate() {
                    *word = u64_at(body, 29 + 8 * index);
                }
                Self::Ack(ack)
            }
            kind::CREDIT_PROBE => exactly(8).map(|()| Self::CreditProbe(u64_at(body, 0)))?,
            kind::GOODBYE => exactly(0).map(|()| Self::Goodbye)?,
            kind::PATH_CHALLENGE => exactly(8).map(|()| Self::PathChallenge(u64_at(body, 0)))?,
            kind::PATH_RESPONSE => exactly(8).map(|()| Self::PathResponse(u64_at(body, 0)))?,
            kind::MTU_PROBE if body.len() >= 2 => Self::MtuProbe(u16_at(body, 0)),
            kind::MTU_ACK => exactly(2).map(|()| Self::MtuAck(u16_at(body, 0)))?,
            kind::ALIVE => exactly(0).map(|()| Self::Alive)?,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_message_survives_the_wire() {
        let mut ack = Ack {
            stream_id: 9,
            next: 5,
            credited: 4,
            delay_us: 77,
            ..Ack::default()
        };
        for sequence in [6, 8, 70, 5 + ACK_REACH, 6 + ACK_REACH] {
            ack.mark(sequence);
        }
        assert!(ack.covers(4) && !ack.covers(5) && ack.covers(6) && !ack.covers(7) && ack.covers(70));
        assert!(ack.covers(5 + ACK_REACH) && !ack.covers(6 + ACK_REACH) && !ack.covers(u64::MAX));
        let messages = [
            Control::Ack(ack),
            Control::Ack(Ack::default()),
            Control::CreditProbe(u64::MAX),
            Control::Goodbye,
            Control::PathChallenge(1),
            Control::PathResponse(2),
            Control::MtuProbe(1400),
            Control::MtuAck(1400),
            Control::Alive,
        ];
        for message in messages {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(Control::decode(&bytes).as_ref(), Some(&message));
            if !matches!(message, Control::MtuProbe(_)) {
                bytes.push(0);
                assert_eq!(Control::decode(&bytes), None);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut bytes: Vec<u8>, kind in 0u8..12) {
            let _ = Control::decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = kind;
                if let Some(Control::Ack(ack)) = Control::decode(&bytes) {
                    let _ = ack.covers(ack.next + 3);
                }
            }
        }
    }
}
