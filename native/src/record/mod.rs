//! Records: how an event is written into a durable store, and how it is read back (11 §4.2, §4.3).
//!
//! A record is the JSON text `{"r":<event>,"t":<time stamp>,"s":<shard>}`. The event stands in it byte for byte. What is
//! not exactly one JSON value is wrapped as `{"$bytes":"<Base64>"}`, so that every record stays readable.

pub mod base64;
pub mod batch;
pub mod journal;
pub mod json;
pub mod page;
pub mod resp;

use json::{skip_blanks, string_end, value_end};
use std::borrow::Cow;

const WRAP_OPEN: &[u8] = br#"{"$bytes":""#;
const WRAP_CLOSE: &[u8] = br#""}"#;

/// Appends the record of an event.
pub fn encode(event: &[u8], timestamp: u64, shard: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"r":"#);
    if stands_for_itself(event) {
        out.extend_from_slice(event);
    } else {
        out.extend_from_slice(WRAP_OPEN);
        base64::encode(event, out);
        out.extend_from_slice(WRAP_CLOSE);
    }
    out.extend_from_slice(br#","t":"#);
    push_decimal(timestamp, out);
    out.extend_from_slice(br#","s":"#);
    push_decimal(u64::from(shard), out);
    out.push(b'}');
}

/// Whether an event can be written verbatim: exactly one JSON value in UTF-8, and not one that a reader would unwrap.
fn stands_for_itself(event: &[u8]) -> bool {
    value_end(event, 0) == Some(event.len())
        && std::str::from_utf8(event).is_ok()
        && !(event.starts_with(WRAP_OPEN) && unwrap(event).is_some())
}

/// The bytes inside a wrapped event, or `None` when `value` is not one.
fn unwrap(value: &[u8]) -> Option<Vec<u8>> {
    let text = value.strip_prefix(WRAP_OPEN)?.strip_suffix(WRAP_CLOSE)?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    base64::decode(text, &mut bytes).then_some(bytes)
}

/// Appends `value` in decimal.
pub fn push_decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A record as read.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The event.
    pub event: Cow<'a, [u8]>,
    /// Insertion time stamp, 0 if the record has none.
    pub timestamp: u64,
}

/// Reads a record; `None` when it is unreadable by the rules of 11 §4.3.
pub fn decode(record: &[u8]) -> Option<Record<'_>> {
    std::str::from_utf8(record).ok()?;
    let mut at = skip_blanks(record, 0);
    if *record.get(at)? != b'{' {
        return None;
    }
    at = skip_blanks(record, at + 1);
    let (mut event, mut timestamp, mut shard) = (None, None, None);
    if *record.get(at)? == b'}' {
        return None;
    }
    loop {
        let key_end = string_end(record, at)?;
        let key = &record[at + 1..key_end - 1];
        at = skip_blanks(record, key_end);
        if *record.get(at)? != b':' {
            return None;
        }
        at = skip_blanks(record, at + 1);
        let end = value_end(record, at)?;
        let value = &record[at..end];
        let first = match field(key) {
            Some(b'r') => event.replace(value).is_none(),
            Some(b't') => timestamp.replace(integer(value)?).is_none(),
            Some(b's') => shard.replace(u16::try_from(integer(value)?).ok()?).is_none(),
            _ => true,
        };
        if !first {
            return None;
        }
        at = skip_blanks(record, end);
        match *record.get(at)? {
            b',' => at = skip_blanks(record, at + 1),
            b'}' => break,
            _ => return None,
        }
    }
    if skip_blanks(record, at + 1) != record.len() {
        return None;
    }
    let value = event?;
    let event = match unwrap(value) {
        Some(bytes) => Cow::Owned(bytes),
        None => Cow::Borrowed(value),
    };
    Some(Record {
        event,
        timestamp: timestamp.unwrap_or(0),
    })
}

/// The one character that a key stands for, if it is one; keys may be spelled with an escape.
fn field(key: &[u8]) -> Option<u8> {
    match key {
        [letter] => Some(*letter),
        [b'\\', b'u', hex @ ..] if hex.len() == 4 => {
            u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
        }
        _ => None,
    }
}

/// An unsigned integer literal; `None` for every other JSON value.
fn integer(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(event: &[u8]) -> String {
        let mut out = Vec::new();
        encode(event, 5, 0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keeps_the_spelling_of_json() {
        assert_eq!(
            written(br#"{"b":  1.0, "z":1}"#),
            r#"{"r":{"b":  1.0, "z":1},"t":5,"s":0}"#
        );
    }

    #[test]
    fn wraps_what_would_break_or_change_the_record() {
        for event in [
            &b"not json"[..],
            b"1,\"t\":9",
            b"",
            b" 1",
            b"1\n",
            b"\xff",
            b"\"\xff\"",
            br#"{"$bytes":"Zg=="}"#,
        ] {
            let record = written(event);
            assert!(record.starts_with(r#"{"r":{"$bytes":""#), "{record}");
            assert_eq!(decode(record.as_bytes()).unwrap().event, event);
        }
    }

    #[test]
    fn leaves_objects_that_only_look_wrapped() {
        for event in [
            r#"{"$bytes":"Zh=="}"#,
            r#"{"$bytes":1}"#,
            r#"{"$bytes":"Zg==","a":1}"#,
            r#"{ "$bytes":"Zg=="}"#,
        ] {
            assert_eq!(
                written(event.as_bytes()),
                format!(r#"{{"r":{event},"t":5,"s":0}}"#)
            );
            assert_eq!(
                decode(written(event.as_bytes()).as_bytes()).unwrap().event,
                event.as_bytes()
            );
        }
    }

    #[test]
    fn reads_escaped_keys_and_refuses_doubles() {
        assert_eq!(decode(br#"{"\u0072":1}"#).unwrap().event, &b"1"[..]);
        assert!(decode(br#"{"r":1,"\u0072":2}"#).is_none());
        assert!(decode(br#"{"r":1,"t":null}"#).is_none());
        assert!(decode(br#"{"r":1,"t":18446744073709551616}"#).is_none());
        assert_eq!(
            decode(br#"{"r":1,"t":18446744073709551615}"#).unwrap().timestamp,
            u64::MAX
        );
        assert!(decode(b"{}").is_none());
        assert!(decode(b"[1,2,3]").is_none());
    }

    proptest! {
        #[test]
        fn round_trips_any_bytes(event: Vec<u8>, timestamp: u64, shard: u16) {
            let mut out = Vec::new();
            encode(&event, timestamp, shard, &mut out);
            let record = decode(&out).unwrap();
            prop_assert_eq!(&record.event[..], &event[..]);
            prop_assert_eq!(record.timestamp, timestamp);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        }

        #[test]
        fn never_panics_on_foreign_bytes(bytes in r#"[{}\[\]"rts:,0-9 \\u$]{0,40}"#) {
            let _ = decode(bytes.as_bytes());
        }
    }
}
