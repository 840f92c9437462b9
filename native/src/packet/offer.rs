//! The 8 bytes in a handshake payload by which our nodes find each other (docs/protocol.md). 0.19.0 ignores them.

/// Bytes of an offer or answer.
pub const OFFER_LEN: usize = 8;

const MAGIC: [u8; 2] = *b"mr";
const VERSION: u8 = 1;

/// What both ends of a session can do; an answer holds the common bits. Unknown bits are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// Keys from Noise Split; part of every agreement.
    pub const FORWARD_SECRECY: Self = Self(1);
    /// Acknowledged, retransmitted, ordered streams, and credit by acknowledgement.
    pub const RELIABLE: Self = Self(1 << 1);
    /// A message at shutdown.
    pub const GOODBYE: Self = Self(1 << 2);
    /// Address changes are followed after a challenge.
    pub const MIGRATION: Self = Self(1 << 3);
    /// Probes for the path's packet size.
    pub const PATH_MTU: Self = Self(1 << 4);
    /// Streams that are repaired for a while and delivered as packets arrive.
    pub const LIGHT: Self = Self(1 << 5);
    /// All that this version knows.
    pub const ALL: Self = Self(0b11_1111);

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// An offer or answer as bytes.
    pub fn encode(self) -> [u8; OFFER_LEN] {
        let mut out = [0; OFFER_LEN];
        out[..2].copy_from_slice(&MAGIC);
        out[2] = VERSION;
        out[4..].copy_from_slice(&self.0.to_le_bytes());
        out
    }

    /// The bits that this end and the other have in common; `None` when the payload holds no offer of a version from 1
    /// with forward secrecy. Bytes behind the first 8 are ignored.
    pub fn agree(self, payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<OFFER_LEN>()?;
        let theirs = Self(u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
        let common = Self(self.0 & theirs.0);
        (bytes[..2] == MAGIC && bytes[2] >= VERSION && common.has(Self::FORWARD_SECRECY)).then_some(common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_keep_what_they_have_in_common() {
        let future = Features(0xffff_ffff);
        assert_eq!(Features::ALL.agree(&future.encode()), Some(Features::ALL));
        assert_eq!(
            Features::ALL.agree(&Features(0b101).encode()),
            Some(Features(0b101))
        );
        assert_eq!(
            Features::ALL.agree(&Features(0b100).encode()),
            None,
            "forward secrecy is not optional"
        );
        assert_eq!(Features::ALL.agree(b""), None);
        assert_eq!(Features::ALL.agree(&[0; 8]), None);
        assert_eq!(Features::ALL.agree(&Features::ALL.encode()[..7]), None);
    }
}
