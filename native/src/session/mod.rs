//! One session: its keys, its single send counter for all packets, its replay window.

pub mod replay;

use crate::crypto::{Aead, Cipher, TAG_LEN};
use crate::noise::SessionSecrets;
use crate::packet::{flags, Features, Header, HEADER_LEN};
use replay::{Refused, ReplayWindow};

/// Why a packet of a known session was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The body's length does not match the header.
    Length,
    /// See [`Refused::Replayed`].
    Replayed,
    /// See [`Refused::TooFar`].
    TooFar,
    /// The tag does not match.
    Forged,
}

impl From<Refused> for OpenError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Replayed => Self::Replayed,
            Refused::TooFar => Self::TooFar,
        }
    }
}

/// Keys and counters of one session.
pub struct Session {
    id: u64,
    prefix: [u8; 4],
    send: Cipher,
    receive: Cipher,
    send_counter: u64,
    window: ReplayWindow,
    features: Option<Features>,
}

impl Session {
    /// A session from a finished handshake. `features`: what both ends agreed on; `None` toward 0.19.0.
    pub fn new(secrets: &SessionSecrets, features: Option<Features>) -> Self {
        let id = secrets.session_id;
        Self {
            id,
            prefix: nonce_prefix(id),
            send: Cipher::new(&secrets.send),
            receive: Cipher::new(&secrets.receive),
            send_counter: 0,
            window: ReplayWindow::new(features.is_some()),
            features,
        }
    }

    /// The session id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What both ends agreed on; `None` toward 0.19.0.
    pub fn features(&self) -> Option<Features> {
        self.features
    }

    /// Whether the agreement has a feature.
    pub fn has(&self, feature: Features) -> bool {
        self.features.is_some_and(|features| features.has(feature))
    }

    /// From now on authenticated packets count however far ahead they are.
    pub fn accept_any_jump(&mut self) {
        self.window.accept_any_jump();
    }

    /// Packets sealed so far.
    pub fn sealed(&self) -> u64 {
        self.send_counter
    }

    /// One more than the highest counter received.
    pub fn received(&self) -> u64 {
        self.window.next()
    }

    /// Appends a sealed packet to `out`. Nonce, session id and payload length of `header` are filled in here.
    pub fn seal(&mut self, mut header: Header, payload: &[u8], out: &mut Vec<u8>) {
        header.nonce[..4].copy_from_slice(&self.prefix);
        header.nonce[4..].copy_from_slice(&self.send_counter.to_le_bytes());
        self.send_counter += 1;
        header.session_id = self.id;
        header.payload_len = payload.len() as u16;
        let mut head = [0; HEADER_LEN];
        header.encode(&mut head);
        out.extend_from_slice(&head);
        let start = out.len();
        out.extend_from_slice(payload);
        let tag = self
            .send
            .seal(&header.nonce, &Header::aad(&head), &mut out[start..]);
        out.extend_from_slice(&tag);
    }

    /// Opens a packet in place: length, then window, then tag, then window again. Only a packet that passes all changes anything.
    pub fn open<'a>(&mut self, header: &Header, packet: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let (head, body) = packet
            .split_first_chunk_mut::<HEADER_LEN>()
            .ok_or(OpenError::Length)?;
        let plain = if header.flags & flags::HEARTBEAT != 0 {
            0
        } else {
            usize::from(header.payload_len)
        };
        if body.len() != plain + TAG_LEN {
            return Err(OpenError::Length);
        }
        let counter = header.counter();
        self.window.check(counter)?;
        // The prefix on the wire is not covered by the tag and not used.
        let mut nonce = header.nonce;
        nonce[..4].copy_from_slice(&self.prefix);
        let payload = self
            .receive
            .open(&nonce, &Header::aad(head), body)
            .map_err(|_| OpenError::Forged)?;
        self.window.commit(counter)?;
        Ok(payload)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

/// The 4 bytes in front of the counter in each nonce of a session.
pub fn nonce_prefix(session_id: u64) -> [u8; 4] {
    ((session_id ^ session_id >> 32) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use proptest::prelude::*;

    fn pair() -> (Session, Session) {
        let secrets = |send, receive| SessionSecrets {
            session_id: 0x1122_3344_5566_7788,
            send: Key::from([send; 32]),
            receive: Key::from([receive; 32]),
        };
        (
            Session::new(&secrets(1, 2), None),
            Session::new(&secrets(2, 1), None),
        )
    }

    #[test]
    fn nonce_prefixes_of_the_vectors() {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/wire-layouts.json")).unwrap();
        for case in all["nonce_prefix"].as_array().unwrap() {
            let prefix = nonce_prefix(case["session_id"].as_str().unwrap().parse().unwrap());
            let hex: String = prefix.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, case["prefix"]);
        }
    }

    #[test]
    fn packets_open_once() {
        let (mut a, mut b) = pair();
        let mut packet = Vec::new();
        a.seal(
            Header {
                stream_id: 7,
                event_count: 1,
                ..Header::default()
            },
            b"\x01\0\0\0x",
            &mut packet,
        );
        let header = Header::decode(&packet).unwrap();
        assert_eq!((header.counter(), header.payload_len), (0, 5));
        assert_eq!(b.open(&header, &mut packet.clone()).unwrap(), b"\x01\0\0\0x");
        assert_eq!(b.open(&header, &mut packet.clone()), Err(OpenError::Replayed));
        assert_eq!(
            a.open(&header, &mut packet),
            Err(OpenError::Forged),
            "reflected to its sender"
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", pair().0);
        assert!(!text.contains("send") && !text.contains("receive"), "{text}");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_outside_prefix_and_hop_count_is_refused(payload in prop::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index) {
            let (mut a, mut b) = pair();
            let mut packet = Vec::new();
            a.seal(Header::default(), &payload, &mut packet);
            let bit = at.index(packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
            let free = matches!(bit / 8, 6 | 12..=15);
            // The session id decides which session is asked, so it is not in question here.
            if let Ok(header) = Header::decode(&packet) {
                prop_assert_eq!(b.open(&header, &mut packet).is_ok(), free);
            }
        }
    }
}
