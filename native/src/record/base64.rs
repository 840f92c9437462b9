//! Standard Base64 with padding, for events that are not JSON (11 §4.2).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const fn inverse() -> [u8; 256] {
    let mut table = [0xff; 256];
    let mut i = 0;
    while i < 64 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
}

static VALUE: [u8; 256] = inverse();

/// Appends the Base64 text of `bytes`.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { symbol } else { b'=' });
        }
    }
}

/// Appends the bytes that a canonical Base64 text stands for; false (and nothing appended) when it is not one.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let done = decode_into(text, out).is_some();
    if !done {
        out.truncate(start);
    }
    done
}

fn decode_into(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let last = (text.len() / 4).wrapping_sub(1);
    for (n, quad) in text.chunks_exact(4).enumerate() {
        let padding = if n != last {
            0
        } else {
            quad.iter().rev().take(2).take_while(|&&c| c == b'=').count()
        };
        let mut word = 0u32;
        for &symbol in &quad[..4 - padding] {
            let value = VALUE[symbol as usize];
            if value == 0xff {
                return None;
            }
            word = word << 6 | u32::from(value);
        }
        word <<= 6 * padding;
        let bytes = word.to_be_bytes();
        let kept = 3 - padding;
        // Bits behind the last byte must be zero: one text for one value.
        if bytes[1 + kept..].iter().any(|&byte| byte != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..1 + kept]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_the_examples_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        for text in [
            "Zg=", "Zg", "Zh==", "Z===", "====", "Zm9=", "Zm8=Zm8=", "Zm9v\n", "Zm-_",
        ] {
            assert!(!decode(text.as_bytes(), &mut Vec::new()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes: Vec<u8>) {
            let (mut text, mut back) = (Vec::new(), Vec::new());
            encode(&bytes, &mut text);
            prop_assert!(decode(&text, &mut back));
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn has_one_text_per_value(text in "[A-Za-z0-9+/=]{0,12}") {
            let (mut back, mut again) = (Vec::new(), Vec::new());
            if decode(text.as_bytes(), &mut back) {
                encode(&back, &mut again);
                prop_assert_eq!(again, text.as_bytes());
            }
        }
    }
}
