//! Evaluation of a compiled filter over the values that a scan has noted.

use super::glob::Glob;
use super::number::Number;
use super::path::Span;
use super::semver::Requirement;
use super::value::{each_element, string_text, Value};
use memchr::memmem::Finder;
use std::cmp::Ordering;

/// A compiled filter without its paths.
pub(super) enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    /// A test of the value in this slot.
    Test(u32, Test),
}

/// What is asked of one field.
pub(super) enum Test {
    /// Deep equality; false: its negation.
    Equals(Value, bool),
    /// Deep equality with one of a list; false: its negation.
    In(Membership, bool),
    /// Number against number, string against string.
    Compare(Operand, &'static [Ordering]),
    /// String contains string, or list contains value. The finder is there for a string value.
    Contains(Option<Box<Finder<'static>>>, Value),
    StartsWith(Vec<u8>),
    EndsWith(Vec<u8>),
    Matches(Glob),
    Semver(Requirement),
    Exists(bool),
}

/// Right side of a comparison.
pub(super) enum Operand {
    Number(Number),
    String(Vec<u8>),
}

/// The values of `$in`, so that a long list costs a binary search.
pub(super) struct Membership {
    strings: Vec<Vec<u8>>,
    numbers: Vec<Number>,
    others: Vec<Value>,
}

impl Membership {
    pub(super) fn new(values: Vec<Value>) -> Self {
        let mut all = Self {
            strings: Vec::new(),
            numbers: Vec::new(),
            others: Vec::new(),
        };
        for value in values {
            match value {
                Value::String(text) => all.strings.push(text),
                Value::Number(number) => all.numbers.push(number),
                other => all.others.push(other),
            }
        }
        all.strings.sort_unstable();
        all.numbers.sort_unstable();
        all
    }

    fn contains(&self, raw: &[u8], buffer: &mut Vec<u8>) -> bool {
        match raw.first() {
            Some(b'"') => {
                let text = string_text(raw, buffer);
                self.strings
                    .binary_search_by(|value| value.as_slice().cmp(text))
                    .is_ok()
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = Number::parse(raw);
                self.numbers.binary_search(&number).is_ok()
            }
            _ => self.others.iter().any(|value| value.equals(raw, buffer)),
        }
    }
}

impl Rule {
    /// Puts the final slot numbers in.
    pub(super) fn renumber(&mut self, order: &[u32]) {
        match self {
            Self::And(rules) | Self::Or(rules) => rules.iter_mut().for_each(|rule| rule.renumber(order)),
            Self::Not(rule) => rule.renumber(order),
            Self::Test(slot, _) => *slot = order[*slot as usize],
        }
    }

    /// Whether the event satisfies the rule.
    #[inline]
    pub(super) fn holds(&self, event: &[u8], spans: &[Span], buffer: &mut Vec<u8>) -> bool {
        match self {
            Self::Test(slot, test) => {
                test.holds(spans.get(*slot as usize).and_then(|span| span.of(event)), buffer)
            }
            Self::And(rules) => {
                !rules.is_empty() && rules.iter().all(|rule| rule.holds(event, spans, buffer))
            }
            Self::Or(rules) => rules.iter().any(|rule| rule.holds(event, spans, buffer)),
            Self::Not(rule) => !rule.holds(event, spans, buffer),
        }
    }
}

impl Test {
    /// `field` is the raw value, or nothing if the field is missing.
    #[inline]
    fn holds(&self, field: Option<&[u8]>, buffer: &mut Vec<u8>) -> bool {
        match self {
            Self::Equals(value, wanted) => field.is_some_and(|raw| value.equals(raw, buffer)) == *wanted,
            Self::In(values, wanted) => field.is_some_and(|raw| values.contains(raw, buffer)) == *wanted,
            Self::Exists(wanted) => field.is_some() == *wanted,
            Self::Compare(operand, allowed) => field
                .and_then(|raw| operand.order(raw, buffer))
                .is_some_and(|order| allowed.contains(&order)),
            Self::Contains(finder, value) => {
                field.is_some_and(|raw| contains(finder.as_deref(), value, raw, buffer))
            }
            Self::StartsWith(prefix) => text(field, buffer).is_some_and(|text| text.starts_with(prefix)),
            Self::EndsWith(suffix) => text(field, buffer).is_some_and(|text| text.ends_with(suffix)),
            Self::Matches(glob) => text(field, buffer).is_some_and(|text| glob.matches(text)),
            Self::Semver(requirement) => text(field, buffer).is_some_and(|text| requirement.matches(text)),
        }
    }
}

impl Operand {
    /// Order of the field against the operand, if they have the same type.
    fn order(&self, raw: &[u8], buffer: &mut Vec<u8>) -> Option<Ordering> {
        match (self, raw.first()) {
            (Self::Number(number), Some(b'-' | b'0'..=b'9')) => Some(Number::parse(raw).cmp(number)),
            (Self::String(value), Some(b'"')) => Some(string_text(raw, buffer).cmp(value.as_slice())),
            _ => None,
        }
    }
}

/// Characters of a string field.
fn text<'a>(field: Option<&'a [u8]>, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    match field {
        Some(raw @ [b'"', ..]) => Some(string_text(raw, buffer)),
        _ => None,
    }
}

fn contains(finder: Option<&Finder<'_>>, value: &Value, raw: &[u8], buffer: &mut Vec<u8>) -> bool {
    match (raw.first(), finder) {
        (Some(b'"'), Some(finder)) => finder.find(string_text(raw, buffer)).is_some(),
        (Some(b'['), _) => {
            let mut found = false;
            each_element(raw, |element| {
                found = value.equals(element, buffer);
                !found
            });
            found
        }
        _ => false,
    }
}
