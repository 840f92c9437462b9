//! The 20-byte records of `idx` (50 §3.2).
//!
//! | offset | heap record | inline record |
//! |---|---|---|
//! | 0 | seq u64 | seq u64 |
//! | 8 | offset into `dat` u32 | payload bytes 0..4 |
//! | 12 | length u32 | payload bytes 4..8 |
//! | 16 | flags (top 4 bits) and checksum (low 28 bits) | same |

use crate::hash::xxh3_64;

/// Bytes of a record.
pub const RECORD: usize = 20;
/// Bytes of a time in `ts`.
pub const TIME: usize = 8;
/// Flag: the payload is exactly 8 bytes and stands in the record.
pub const INLINE: u32 = 0x8000_0000;
/// The bits of `tag` that hold the checksum.
pub const CHECKSUM_MASK: u32 = 0x0fff_ffff;
/// Where the length stands: the last field that an append stores, so that a record counts only when it is complete.
pub const LENGTH_AT: usize = 12;

/// What preallocated room in `idx` is filled with: an offset and length beyond any `dat`, so that every reader takes
/// it for the torn tail of a crash and cuts it off (50 §5.3 step 2).
pub const FILLER: [u8; RECORD] = {
    let mut bytes = [0xff; RECORD];
    bytes[16] = 0;
    bytes[17] = 0;
    bytes[18] = 0;
    bytes[19] = 0;
    bytes
};

/// Low 28 bits of XXH3-64 of a payload.
pub fn checksum(payload: &[u8]) -> u32 {
    (xxh3_64(payload) as u32) & CHECKSUM_MASK
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Sequence number.
    pub seq: u64,
    /// Offset into `dat`, or the first half of an inline payload.
    pub low: u32,
    /// Length, or the second half of an inline payload.
    pub high: u32,
    /// Flags and checksum.
    pub tag: u32,
}

impl Record {
    /// A record whose payload lies in `dat`.
    pub fn heap(seq: u64, offset: u32, length: u32, checksum: u32) -> Self {
        Self {
            seq,
            low: offset,
            high: length,
            tag: checksum & CHECKSUM_MASK,
        }
    }

    /// A record that holds its payload.
    pub fn inline(seq: u64, payload: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = payload;
        Self {
            seq,
            low: u32::from_le_bytes([a, b, c, d]),
            high: u32::from_le_bytes([e, f, g, h]),
            tag: INLINE | checksum(&payload),
        }
    }

    /// Whether the payload stands in the record.
    pub fn is_inline(&self) -> bool {
        self.tag & INLINE != 0
    }

    /// Payload of an inline record.
    pub fn inline_payload(&self) -> [u8; 8] {
        (u64::from(self.low) | u64::from(self.high) << 32).to_le_bytes()
    }

    /// End of the payload in `dat`; 0 for inline records.
    pub fn end(&self) -> u64 {
        if self.is_inline() {
            0
        } else {
            u64::from(self.low) + u64::from(self.high)
        }
    }

    /// Reads a record; `None` when there are fewer than 20 bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD] = bytes.get(..RECORD)?.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(Self {
            seq: u64::from(word(0)) | u64::from(word(4)) << 32,
            low: word(8),
            high: word(12),
            tag: word(16),
        })
    }

    /// The bytes of the record.
    pub fn encode(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[0..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.low.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.high.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.tag.to_le_bytes());
        bytes
    }
}

/// The record of a payload: inline when asked and it is exactly 8 bytes.
pub fn from_payload(seq: u64, offset: u32, payload: &[u8], inline: bool) -> Record {
    match payload.try_into() {
        Ok(bytes) if inline => Record::inline(seq, bytes),
        _ => Record::heap(seq, offset, payload.len() as u32, checksum(payload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_record_survives_encoding(seq: u64, low: u32, high: u32, tag: u32) {
            let record = Record { seq, low, high, tag };
            prop_assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn an_empty_payload_has_the_published_checksum() {
        assert_eq!(checksum(b""), 0x08d3_94c2);
        assert_eq!(
            Record::heap(0, 0, 5, checksum(b"hello")).encode(),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0xfd, 0xdc, 0x62, 0x0c]
        );
    }

    #[test]
    fn filler_lies_beyond_every_file() {
        let filler = Record::decode(&FILLER).map(|record| (record.is_inline(), record.end()));
        assert_eq!(filler, Some((false, 2 * u64::from(u32::MAX))));
    }
}
