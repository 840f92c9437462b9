//! The manifest: the 16-byte pointer to the live generation (50 §3.1), and the names of generations.

use crate::hash::xxh3_64;

/// Bytes of a manifest.
pub const MANIFEST: usize = 16;
const MAGIC: [u8; 4] = *b"REDM";
const VERSION: u8 = 1;

/// The manifest of a generation (≥ 1).
pub fn encode(generation: u32) -> [u8; MANIFEST] {
    let mut bytes = [0; MANIFEST];
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4] = VERSION;
    bytes[5..9].copy_from_slice(&generation.to_le_bytes());
    let check = xxh3_64(&bytes[..12]) as u32;
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// The generation that a manifest names, or `None` when it is not valid. Bytes after the first 16 are ignored.
pub fn decode(bytes: &[u8]) -> Option<u32> {
    let bytes: &[u8; MANIFEST] = bytes.get(..MANIFEST)?.try_into().ok()?;
    let generation = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
    (generation > 0 && *bytes == encode(generation)).then_some(generation)
}

/// Directory name of a generation.
pub fn directory(generation: u32) -> String {
    format!("v{generation:010}")
}

/// The generation of a directory name: `v` and exactly ten digits, 1 … 4294967295.
pub fn parse_directory(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('v').filter(|digits| digits.len() == 10)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|generation| *generation > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_1_has_the_published_bytes() {
        assert_eq!(
            encode(1),
            [0x52, 0x45, 0x44, 0x4d, 1, 1, 0, 0, 0, 0, 0, 0, 0x3e, 0xe1, 0xc1, 0x50]
        );
    }

    #[test]
    fn every_changed_byte_makes_it_invalid() {
        let good = encode(7);
        assert_eq!(decode(&good), Some(7));
        for at in 0..MANIFEST {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "byte {at}");
        }
        assert_eq!(decode(&good[..15]), None);
        assert_eq!(decode(&encode(0)), None);
    }

    #[test]
    fn only_ten_digits_make_a_generation() {
        assert_eq!(parse_directory("v4294967295"), Some(u32::MAX));
        for name in [
            "v0000000000",
            "v4294967296",
            "v1",
            "v00000000001",
            "w0000000001",
            "v00000000aa",
            "v+000000001",
        ] {
            assert_eq!(parse_directory(name), None, "{name}");
        }
    }
}
