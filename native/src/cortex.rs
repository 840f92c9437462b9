//! Events of event-sourced models (51 §2): a 24-byte header with a checksum, then the model's own bytes.

use crate::hash::xxh3_64;

/// Bytes of the header.
pub const HEADER: usize = 24;
const PAD: std::ops::Range<usize> = 2..4;
const CHECKSUM: std::ops::Range<usize> = 20..24;

/// Checksum over the event with padding and checksum taken as zero; both are zero afterwards.
fn checksum(event: &mut [u8]) -> u32 {
    event[PAD].fill(0);
    event[CHECKSUM].fill(0);
    xxh3_64(event) as u32
}

/// Fills the checksum in. Bytes that are too short for a header are left alone.
pub fn seal(event: &mut [u8]) {
    if event.len() >= HEADER {
        let sum = checksum(event);
        event[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Whether the checksum holds: the current one over header and tail, or the older one over the tail alone. The
/// event's padding and checksum are lost.
pub fn intact(event: &mut [u8]) -> bool {
    if event.len() < HEADER {
        return false;
    }
    let stored = u32::from_le_bytes([event[20], event[21], event[22], event[23]]);
    checksum(event) == stored || xxh3_64(&event[HEADER..]) as u32 == stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `create(1, "write docs", 100)` of origin 0xabcdef01, as the published peer writes it.
    const CREATED: [u8; 37] =
        *b"\x01\0\0\0\x01\xef\xcd\xab\0\0\0\0\0\0\0\0\0\0\0\0\x6c\x72\xf9\xf6\x01\x0awrite docs\x64";

    #[test]
    fn seals_like_the_published_peer() {
        let mut event = CREATED;
        event[CHECKSUM].fill(0xff);
        seal(&mut event);
        assert_eq!(event, CREATED);
    }

    #[test]
    fn accepts_the_older_checksum_and_any_padding() {
        let mut event = CREATED;
        event[PAD].fill(0xaa);
        assert!(intact(&mut event.clone()));
        let old = xxh3_64(&event[HEADER..]) as u32;
        event[CHECKSUM].copy_from_slice(&old.to_le_bytes());
        assert!(intact(&mut event));
    }

    proptest! {
        #[test]
        fn notices_every_flipped_bit(tail in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..1600) {
            let mut event = vec![7; HEADER];
            event.extend(tail);
            seal(&mut event);
            prop_assert!(intact(&mut event.clone()));
            let bit = at % (event.len() * 8);
            event[bit / 8] ^= 1 << (bit % 8);
            let covered = !PAD.contains(&(bit / 8));
            prop_assert_eq!(intact(&mut event), !covered);
        }

        #[test]
        fn takes_any_bytes(mut event in prop::collection::vec(any::<u8>(), 0..64)) {
            intact(&mut event.clone());
            seal(&mut event);
        }
    }
}
