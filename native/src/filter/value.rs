//! Values of a filter, and deep equality with raw JSON.

use super::json::{after_element, enter, key, skip_value, unescape, Next, ESCAPED};
use super::number::Number;

/// A JSON value, decoded. Strings are UTF-8, except that an unpaired surrogate stands as three bytes.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(Vec<u8>),
    List(Vec<Value>),
    /// Sorted by key, each key once.
    Object(Vec<(Vec<u8>, Value)>),
}

impl Value {
    /// Decodes the valid JSON value that begins at `at`; answers also the position behind it. Of equal keys the last counts.
    pub(super) fn decode(text: &[u8], at: usize) -> Result<(Self, usize), usize> {
        match text.get(at) {
            Some(b'[') => Self::decode_list(text, at),
            Some(b'{') => Self::decode_object(text, at),
            _ => {
                let end = skip_value(text, at, 0)?;
                let raw = &text[at..end];
                let value = match raw.first() {
                    Some(b'n') => Self::Null,
                    Some(b't') => Self::Bool(true),
                    Some(b'f') => Self::Bool(false),
                    Some(b'"') => Self::String(characters(&raw[1..raw.len() - 1])),
                    _ => Self::Number(Number::parse(raw)),
                };
                Ok((value, end))
            }
        }
    }

    fn decode_list(text: &[u8], at: usize) -> Result<(Self, usize), usize> {
        let mut items = Vec::new();
        let mut next = enter(text, at, b']');
        loop {
            match next {
                Next::End(end) => return Ok((Self::List(items), end)),
                Next::Element(start) => {
                    let (item, end) = Self::decode(text, start)?;
                    items.push(item);
                    next = after_element(text, end, b']')?;
                }
            }
        }
    }

    fn decode_object(text: &[u8], at: usize) -> Result<(Self, usize), usize> {
        let mut members: Vec<(Vec<u8>, Self)> = Vec::new();
        let mut next = enter(text, at, b'}');
        let end = loop {
            match next {
                Next::End(end) => break end,
                Next::Element(start) => {
                    let (from, to, value_at) = key(text, start)?;
                    let (value, end) = Self::decode(text, value_at)?;
                    members.push((characters(&text[from..to & !ESCAPED]), value));
                    next = after_element(text, end, b'}')?;
                }
            }
        };
        // A stable sort keeps the order of equal keys; the last of them stays.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members.reverse();
        members.dedup_by(|a, b| a.0 == b.0);
        members.reverse();
        Ok((Self::Object(members), end))
    }

    /// Whether the valid JSON value `raw` (without white space around it) deep-equals this one.
    pub(super) fn equals(&self, raw: &[u8], buffer: &mut Vec<u8>) -> bool {
        match (self, raw.first()) {
            (Self::Null, Some(b'n')) | (Self::Bool(true), Some(b't')) | (Self::Bool(false), Some(b'f')) => {
                true
            }
            (Self::String(expected), Some(b'"')) => string_text(raw, buffer) == expected.as_slice(),
            (Self::Number(expected), Some(b'-' | b'0'..=b'9')) => Number::parse(raw) == *expected,
            (Self::List(expected), Some(b'[')) => list_equals(expected, raw, buffer),
            (Self::Object(expected), Some(b'{')) => object_equals(expected, raw, buffer),
            _ => false,
        }
    }
}

/// Decoded characters of a string given without its quotes.
pub(super) fn characters(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    unescape(raw, &mut out);
    out
}

/// Characters of a string given with its quotes: the bytes themselves, or decoded in `buffer` when there are escapes.
#[inline]
pub(super) fn string_text<'a>(raw: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let inner = raw.get(1..raw.len() - 1).unwrap_or_default();
    if memchr::memchr(b'\\', inner).is_none() {
        return inner;
    }
    buffer.clear();
    unescape(inner, buffer);
    buffer
}

/// Calls `visit` with each element of the valid list `raw` until it answers false.
pub(super) fn each_element(raw: &[u8], mut visit: impl FnMut(&[u8]) -> bool) {
    let mut next = enter(raw, 0, b']');
    while let Next::Element(start) = next {
        // The list is valid, so the errors cannot occur.
        let Ok(end) = skip_value(raw, start, 0) else {
            return;
        };
        if !visit(&raw[start..end]) {
            return;
        }
        let Ok(following) = after_element(raw, end, b']') else {
            return;
        };
        next = following;
    }
}

fn list_equals(expected: &[Value], raw: &[u8], buffer: &mut Vec<u8>) -> bool {
    let mut rest = expected.iter();
    let mut equal = true;
    each_element(raw, |element| {
        equal = rest.next().is_some_and(|value| value.equals(element, buffer));
        equal
    });
    equal && rest.next().is_none()
}

/// Which members of an expected object were seen, and whether the last one of that key was equal.
enum Marks {
    Few { seen: u64, equal: u64 },
    Many(Vec<(bool, bool)>),
}

impl Marks {
    fn new(members: usize) -> Self {
        if members <= 64 {
            Self::Few { seen: 0, equal: 0 }
        } else {
            Self::Many(vec![(false, false); members])
        }
    }

    fn set(&mut self, index: usize, value: bool) {
        match self {
            Self::Few { seen, equal } => {
                *seen |= 1 << index;
                *equal = *equal & !(1 << index) | u64::from(value) << index;
            }
            Self::Many(marks) => marks[index] = (true, value),
        }
    }

    fn all_equal(&self, members: usize) -> bool {
        match self {
            Self::Few { seen, equal } => equal == seen && seen.count_ones() as usize == members,
            Self::Many(marks) => marks.iter().all(|&(seen, equal)| seen && equal),
        }
    }
}

fn object_equals(expected: &[(Vec<u8>, Value)], raw: &[u8], buffer: &mut Vec<u8>) -> bool {
    let mut marks = Marks::new(expected.len());
    let mut next = enter(raw, 0, b'}');
    while let Next::Element(start) = next {
        let Ok((from, to, value_at)) = key(raw, start) else {
            return false;
        };
        let name = string_text(&raw[from - 1..(to & !ESCAPED) + 1], buffer);
        let Ok(index) = expected.binary_search_by(|(key, _)| key.as_slice().cmp(name)) else {
            return false;
        };
        let Ok(end) = skip_value(raw, value_at, 0) else {
            return false;
        };
        marks.set(index, expected[index].1.equals(&raw[value_at..end], buffer));
        let Ok(following) = after_element(raw, end, b'}') else {
            return false;
        };
        next = following;
    }
    marks.all_equal(expected.len())
}
