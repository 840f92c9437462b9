//! Extent of a JSON value inside a text, without building it. Iterative, so that nesting cannot exhaust the stack.
//!
//! Only the grammar is checked here; the caller has checked that the text is UTF-8.

/// End of the JSON value that begins at `start` (no white space in front of it), or `None` if there is none.
pub fn value_end(text: &[u8], start: usize) -> Option<usize> {
    let mut nest = Nest::default();
    let mut at = start;
    loop {
        // A value begins at `at`.
        match *text.get(at)? {
            b'{' => {
                at = skip_blanks(text, at + 1);
                if *text.get(at)? != b'}' {
                    nest.push(true);
                    at = key_end(text, at)?;
                    continue;
                }
                at += 1;
            }
            b'[' => {
                at = skip_blanks(text, at + 1);
                if *text.get(at)? != b']' {
                    nest.push(false);
                    continue;
                }
                at += 1;
            }
            b'"' => at = string_end(text, at)?,
            b't' => at = word_end(text, at, b"true")?,
            b'f' => at = word_end(text, at, b"false")?,
            b'n' => at = word_end(text, at, b"null")?,
            b'-' | b'0'..=b'9' => at = number_end(text, at)?,
            _ => return None,
        }
        // A value ended at `at`: close what ends with it, or go on to the next value.
        loop {
            let Some(object) = nest.top() else { return Some(at) };
            at = skip_blanks(text, at);
            match (*text.get(at)?, object) {
                (b',', true) => {
                    at = key_end(text, skip_blanks(text, at + 1))?;
                    break;
                }
                (b',', false) => {
                    at = skip_blanks(text, at + 1);
                    break;
                }
                (b'}', true) | (b']', false) => {
                    nest.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// First position at or behind `at` that is not white space.
#[inline]
pub fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Position behind the string literal whose opening quote is at `start`.
#[inline]
pub fn string_end(text: &[u8], start: usize) -> Option<usize> {
    if *text.get(start)? != b'"' {
        return None;
    }
    let mut at = start + 1;
    loop {
        // Eight bytes at once while none of them ends or escapes anything.
        while let Some(word) = text.get(at..at + 8) {
            let word = u64::from_le_bytes(word.try_into().ok()?);
            let stop = stops(word);
            if stop != 0 {
                at += (stop.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match *text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

/// High bit of each byte that is a quote, a backslash or a control character. Bits above the first one set may be wrong.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control) & HIGH
}

/// Position behind the key at `at`, its colon and the blanks behind it.
#[inline]
fn key_end(text: &[u8], at: usize) -> Option<usize> {
    let at = skip_blanks(text, string_end(text, at)?);
    (*text.get(at)? == b':').then(|| skip_blanks(text, at + 1))
}

#[inline]
fn word_end(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then(|| at + word.len())
}

#[inline]
fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    if text[at] == b'-' {
        at += 1;
    }
    at = match *text.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => digits_end(text, at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        at = some_digits_end(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = some_digits_end(text, at)?;
    }
    Some(at)
}

#[inline]
fn digits_end(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    at
}

#[inline]
fn some_digits_end(text: &[u8], at: usize) -> Option<usize> {
    let end = digits_end(text, at);
    (end > at).then_some(end)
}

/// Kinds of the open containers, one bit each: set = object.
#[derive(Default)]
struct Nest {
    depth: usize,
    low: u64,
    /// Levels beyond 64.
    spill: Vec<u64>,
}

impl Nest {
    #[inline]
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.spill.push(self.low);
            self.low = 0;
        }
        let bit = 1u64 << (self.depth % 64);
        self.low = if object { self.low | bit } else { self.low & !bit };
        self.depth += 1;
    }

    #[inline]
    fn top(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        Some(self.low >> (level % 64) & 1 == 1)
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.low = self.spill.pop().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> bool {
        value_end(text.as_bytes(), 0) == Some(text.len())
    }

    #[test]
    fn finds_the_end_of_a_value() {
        assert_eq!(value_end(b"{\"a\": [1, {}, []]},\"t\"", 0), Some(18));
        assert_eq!(value_end(b"12.5e-3]", 0), Some(7));
        assert_eq!(value_end(b"x[null]", 1), Some(7));
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            " 1",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{1:2}",
            "01x",
            "-",
            "1.",
            "1e",
            "tru",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "[1}",
            "{\"a\":1]",
            "+1",
            ".5",
            "nul",
            "'a'",
        ] {
            assert!(!whole(text), "{text}");
        }
    }

    #[test]
    fn nests_without_a_limit() {
        for depth in [63, 64, 65, 128, 129, 100_000] {
            assert!(whole(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth))));
            assert!(!whole(&format!(
                "{}1{}",
                "[".repeat(depth),
                "]".repeat(depth - 1)
            )));
        }
        let mixed = format!("{}1{}", "[{\"a\":".repeat(100), "}]".repeat(100));
        assert!(whole(&mixed));
        assert!(!whole(&mixed.replacen("}]", "]}", 1)));
    }

    proptest! {
        #[test]
        fn agrees_with_serde(text in r#"[\[\]{}",:\\nt0-9.\- \n]{0,24}|"[ -Za-tv-~é\t]{0,20}"|-?[0-9.]{1,5}[eE][+-]?[0-9]{0,2}"#) {
            // serde_json allows blanks around the value; its limits (nesting, exponents) are beyond this grammar.
            let ours = whole(&text);
            let trimmed = text.trim_matches([' ', '\n', '\t', '\r']) == text;
            let theirs = trimmed && serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(ours, theirs);
        }
    }
}
