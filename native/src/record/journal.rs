//! Entries of a producer's journal (11 §6.3): `u32 length | u32 CRC-32C | body`, little endian.

use super::batch::Batch;

const BATCH: u8 = 1;

/// The entry of a batch before its first attempt:
/// `u8 kind = 1 | u16 shard | u64 sequence start | u32 count | count x (u64 time stamp | u32 length | bytes)`.
pub fn batch_entry(batch: &Batch<'_>, sequence_start: u64) -> Vec<u8> {
    let body_len = 15 + batch.len() * 12 + batch.bytes(0..batch.len());
    let mut entry = Vec::with_capacity(8 + body_len);
    entry.extend_from_slice(&[0; 8]);
    entry.push(BATCH);
    entry.extend_from_slice(&batch.shard.to_le_bytes());
    entry.extend_from_slice(&sequence_start.to_le_bytes());
    entry.extend_from_slice(&(batch.len() as u32).to_le_bytes());
    for (_, event, timestamp) in batch.events(0..batch.len()) {
        entry.extend_from_slice(&timestamp.to_le_bytes());
        entry.extend_from_slice(&(event.len() as u32).to_le_bytes());
        entry.extend_from_slice(event);
    }
    let crc = crc32c(&entry[8..]);
    let length = (entry.len() - 8) as u32;
    entry[..4].copy_from_slice(&length.to_le_bytes());
    entry[4..8].copy_from_slice(&crc.to_le_bytes());
    entry
}

/// Eight tables for eight bytes a step.
const TABLES: [[u32; 256]; 8] = tables();
static CRC_TABLES: [[u32; 256]; 8] = TABLES;

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut level = 1;
    while level < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[level - 1][i];
            tables[level][i] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        level += 1;
    }
    tables
}

/// CRC-32C (Castagnoli) of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let t = &CRC_TABLES;
    let mut crc = u32::MAX;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word) ^ u64::from(crc);
        crc = (0..8).fold(0, |sum, i| sum ^ t[7 - i][(word >> (8 * i) & 0xff) as usize]);
    }
    for &byte in rest {
        crc = crc >> 8 ^ t[0][((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_check_values() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn lays_an_entry_out() {
        let batch = Batch::new(b"abc", &[1, 3], &[5, 6], 2).unwrap();
        let entry = batch_entry(&batch, 9);
        assert_eq!(entry[..4], ((entry.len() - 8) as u32).to_le_bytes());
        assert_eq!(entry[4..8], crc32c(&entry[8..]).to_le_bytes());
        assert_eq!(entry[8..23], [1, 2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(
            entry[23..],
            [5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'a', 6, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'b', b'c']
        );
    }
}
