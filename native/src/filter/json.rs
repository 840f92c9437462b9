//! Validating JSON scanner on raw bytes: no tree, no allocation, one pass.
//!
//! Every function takes a position and answers the position behind what it read, or in `Err` the offset of the first
//! byte that is wrong. Text is checked as UTF-8 before it is scanned, so strings are only searched for their end.

/// Deepest nesting of lists and objects.
pub const MAX_DEPTH: u32 = 128;

/// Position behind an element, or the offset of the error.
pub(super) type Scan = Result<usize, usize>;

/// Set in the answer of [`string`] when the string holds an escape.
pub(super) const ESCAPED: usize = 1 << (usize::BITS - 1);

/// Whether `text` is exactly one JSON value in valid UTF-8, white space around it allowed, nested at most [`MAX_DEPTH`].
pub fn is_json(text: &[u8]) -> bool {
    validate(text).is_ok()
}

/// As [`is_json`]; `Err` is the offset of the first byte that is wrong.
pub(super) fn validate(text: &[u8]) -> Result<(), usize> {
    utf8(text)?;
    let end = skip_value(text, skip_space(text, 0), 0)?;
    end_of_text(text, end)
}

/// Checks that `text` is UTF-8.
#[inline]
pub(super) fn utf8(text: &[u8]) -> Result<(), usize> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.valid_up_to()),
    }
}

/// Checks that only white space follows.
#[inline]
pub(super) fn end_of_text(text: &[u8], at: usize) -> Result<(), usize> {
    let at = skip_space(text, at);
    if at == text.len() {
        Ok(())
    } else {
        Err(at)
    }
}

/// Position of the next byte that is not white space.
#[inline(always)]
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = text.get(at) {
        if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            break;
        }
        at += 1;
    }
    at
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that end a run of plain string bytes: quote, backslash, control characters.
/// The lowest mark is exact; marks above it may be false.
#[inline(always)]
fn string_marks(word: u64) -> u64 {
    let zero_where = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero_where(word ^ (ONES * b'"' as u64));
    let backslash = zero_where(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// Scans a string whose first byte after the opening quote is at `at`. Answers the position behind the closing quote,
/// with [`ESCAPED`] set when there was an escape.
#[inline(always)]
pub(super) fn string(text: &[u8], mut at: usize) -> Scan {
    let mut escaped = 0;
    loop {
        while let Some(chunk) = text.get(at..at + 8) {
            let Ok(chunk) = <[u8; 8]>::try_from(chunk) else {
                break;
            };
            let marks = string_marks(u64::from_le_bytes(chunk));
            if marks != 0 {
                at += marks.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match text.get(at) {
            Some(b'"') => return Ok((at + 1) | escaped),
            Some(b'\\') => {
                at = escape(text, at)?;
                escaped = ESCAPED;
            }
            Some(&byte) if byte >= 0x20 => at += 1,
            _ => return Err(at),
        }
    }
}

/// Scans an escape whose backslash is at `at`.
fn escape(text: &[u8], at: usize) -> Scan {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for i in at + 2..at + 6 {
                if !text.get(i).is_some_and(u8::is_ascii_hexdigit) {
                    return Err(i);
                }
            }
            Ok(at + 6)
        }
        _ => Err(at + 1),
    }
}

/// Scans a number that begins at `at`.
#[inline(always)]
fn number(text: &[u8], mut at: usize) -> Scan {
    let digits = |mut at: usize| -> Scan {
        let start = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == start {
            Err(at)
        } else {
            Ok(at)
        }
    };
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if text.get(at) == Some(&b'0') {
        at + 1
    } else {
        digits(at)?
    };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Ok(at)
}

#[inline(always)]
fn literal(text: &[u8], at: usize, word: &[u8]) -> Scan {
    match text.get(at..at + word.len()) {
        Some(found) if found == word => Ok(at + word.len()),
        _ => Err(at),
    }
}

/// Scans `"key" :` and the white space around it; the quote is expected at `at`.
#[inline(always)]
fn skip_key(text: &[u8], at: usize) -> Scan {
    let (_, _, value) = key(text, at)?;
    Ok(value)
}

/// Scans `"key" :`. Answers where the key's characters begin, where they end (with [`ESCAPED`]), and where the value begins.
#[inline(always)]
pub(super) fn key(text: &[u8], at: usize) -> Result<(usize, usize, usize), usize> {
    if text.get(at) != Some(&b'"') {
        return Err(at);
    }
    let end = string(text, at + 1)?;
    let mut next = end & !ESCAPED;
    if text.get(next) != Some(&b':') {
        next = skip_space(text, next);
        if text.get(next) != Some(&b':') {
            return Err(next);
        }
    }
    Ok((at + 1, end - 1, skip_space(text, next + 1)))
}

/// Scans a string, number or literal; `Err` for the beginning of a container, too.
#[inline(always)]
fn scalar(text: &[u8], at: usize) -> Scan {
    match text.get(at) {
        Some(b'"') => Ok(string(text, at + 1)? & !ESCAPED),
        Some(b'-' | b'0'..=b'9') => number(text, at),
        Some(b't') => literal(text, at, b"true"),
        Some(b'f') => literal(text, at, b"false"),
        Some(b'n') => literal(text, at, b"null"),
        _ => Err(at),
    }
}

/// Scans a value that begins at `at`, inside of `depth` open containers.
#[inline(always)]
pub(super) fn skip_value(text: &[u8], at: usize, depth: u32) -> Scan {
    match text.get(at) {
        Some(b'{' | b'[') => skip_container(text, at, depth),
        _ => scalar(text, at),
    }
}

fn skip_container(text: &[u8], mut at: usize, outer: u32) -> Scan {
    // One bit for each open container: 1 = object. MAX_DEPTH bits are enough.
    let mut kinds: u128 = 0;
    let mut depth = outer;
    'value: loop {
        match text.get(at) {
            Some(&open @ (b'{' | b'[')) => {
                if depth == MAX_DEPTH {
                    return Err(at);
                }
                depth += 1;
                kinds = kinds << 1 | u128::from(open == b'{');
                at = skip_space(text, at + 1);
                // '{' + 2 = '}' and '[' + 2 = ']'
                if text.get(at) == Some(&(open + 2)) {
                    at += 1;
                    kinds >>= 1;
                    depth -= 1;
                } else {
                    if open == b'{' {
                        at = skip_key(text, at)?;
                    }
                    continue 'value;
                }
            }
            _ => at = scalar(text, at)?,
        }
        loop {
            if depth == outer {
                return Ok(at);
            }
            at = skip_space(text, at);
            match text.get(at) {
                Some(b',') => {
                    at = skip_space(text, at + 1);
                    if kinds & 1 == 1 {
                        at = skip_key(text, at)?;
                    }
                    continue 'value;
                }
                Some(b'}') if kinds & 1 == 1 => {}
                Some(b']') if kinds & 1 == 0 => {}
                _ => return Err(at),
            }
            at += 1;
            kinds >>= 1;
            depth -= 1;
        }
    }
}

/// What follows an element of a container.
pub(super) enum Next {
    /// Another element, which begins here.
    Element(usize),
    /// The container ended; position behind it.
    End(usize),
}

/// Reads what follows an element: a comma, or the closing byte.
#[inline(always)]
pub(super) fn after_element(text: &[u8], at: usize, close: u8) -> Result<Next, usize> {
    let at = skip_space(text, at);
    match text.get(at) {
        Some(b',') => Ok(Next::Element(skip_space(text, at + 1))),
        Some(&byte) if byte == close => Ok(Next::End(at + 1)),
        _ => Err(at),
    }
}

/// Reads the beginning of a container whose opening byte is at `at`.
#[inline(always)]
pub(super) fn enter(text: &[u8], at: usize, close: u8) -> Next {
    let at = skip_space(text, at + 1);
    if text.get(at) == Some(&close) {
        Next::End(at + 1)
    } else {
        Next::Element(at)
    }
}

/// Appends the characters of a scanned string (without quotes) to `out`: UTF-8, except that an unpaired surrogate
/// escape becomes the three bytes that UTF-8 would use for it (so it equals only itself).
pub(super) fn unescape(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..at]);
        let (length, code) = match raw.get(at + 1) {
            Some(b'b') => (2, 0x08),
            Some(b'f') => (2, 0x0c),
            Some(b'n') => (2, 0x0a),
            Some(b'r') => (2, 0x0d),
            Some(b't') => (2, 0x09),
            Some(b'u') => unescape_unit(&raw[at..]),
            Some(&byte) => (2, u32::from(byte)),
            None => (1, u32::from(b'\\')),
        };
        push_wtf8(code, out);
        raw = raw.get(at + length..).unwrap_or_default();
    }
    out.extend_from_slice(raw);
}

/// Length and code point of `\uXXXX`, or of a surrogate pair of two of them.
fn unescape_unit(raw: &[u8]) -> (usize, u32) {
    let unit = |at: usize| -> Option<u32> {
        if raw.get(at..at + 2)? != b"\\u" {
            return None;
        }
        raw.get(at + 2..at + 6)?.iter().try_fold(0, |code, &digit| {
            Some(code << 4 | char::from(digit).to_digit(16)?)
        })
    };
    match (unit(0), unit(6)) {
        (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
            (12, 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
        }
        (Some(code), _) => (6, code),
        (None, _) => (2, u32::from(b'u')),
    }
}

fn push_wtf8(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend_from_slice(&[
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_json_and_nothing_else() {
        for good in [
            "5",
            " {} ",
            "[]",
            "\t[1,2]\r\n",
            "-0",
            "0.5e-7",
            "1E+5",
            "\"\"",
            "\"\\u00e9\\n\\/\"",
            "\"\\ud800\"",
            "{\"a\":{\"b\":[{},[],null,true,false]}, \"\" : 1}",
            "\"日本 text that is longer than eight bytes\"",
            "1e999",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "NaN",
            "tru",
            "truee",
            "'a'",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "[]]",
            "[",
            "{",
            "{\"a\":1",
            "\u{feff}1",
            "nul",
            "\"\\",
            "1\u{a0}",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
        assert!(!is_json(b"\"\xff\""));
        assert!(!is_json(b"\"\xed\xa0\x80\""));
    }

    #[test]
    fn nesting_ends_at_128() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(is_json(nested(128).as_bytes()));
        assert!(!is_json(nested(129).as_bytes()));
        assert!(!is_json("[".repeat(1_000_000).as_bytes()));
        let objects = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        assert!(is_json(objects(128).as_bytes()));
        assert!(!is_json(objects(129).as_bytes()));
    }

    #[test]
    fn escapes_become_characters() {
        let text = |raw: &str| {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            out
        };
        assert_eq!(text(r#"a\n\t\"\\\/\u0041b"#), b"a\n\t\"\\/Ab");
        assert_eq!(text(r"\ud83d\ude00"), "😀".as_bytes());
        assert_eq!(text(r"\ud83dx"), b"\xed\xa0\xbdx");
        assert_eq!(text(r"\ude00\ud83d"), b"\xed\xb8\x80\xed\xa0\xbd");
    }

    /// Texts that are nearly JSON.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\"a\""),
            Just("\"\\u0041\""),
            Just("1"),
            Just("-0.5e3"),
            Just("01"),
            Just("true"),
            Just("null"),
            Just(" "),
            Just("\"é\""),
            Just("\""),
            Just("\\"),
            Just("nul"),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in nearly_json()) {
            let theirs = super::super::reference::parse(&text).is_some();
            prop_assert_eq!(is_json(text.as_bytes()), theirs, "{}", text);
        }

        #[test]
        fn agrees_with_the_definition_on_damaged_documents(value in super::super::reference::any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            prop_assert!(is_json(value.as_bytes()));
            let mut bytes = value.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let theirs = std::str::from_utf8(&bytes).is_ok_and(|text| super::super::reference::parse(text).is_some());
            prop_assert_eq!(is_json(&bytes), theirs, "{:?}", String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = is_json(&bytes);
        }
    }
}
