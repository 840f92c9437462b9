//! From filter text to a compiled filter (10 §6.2).

use super::eval::{Membership, Operand, Rule, Test};
use super::glob::Glob;
use super::json::validate;
use super::path::Paths;
use super::semver::Requirement;
use super::value::Value;
use super::{Filter, FilterError};
use std::cmp::Ordering;

/// Longest filter text, bytes.
const MAX_TEXT: usize = 1 << 20;
/// Most filters (operators) in one text.
const MAX_NODES: usize = 10_000;

type Members = Vec<(Vec<u8>, Value)>;

fn error<T>(reason: impl Into<String>) -> Result<T, FilterError> {
    Err(FilterError(reason.into()))
}

/// A decoded string for messages.
fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 64;
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    let bytes = text.as_bytes();
    if bytes.len() > MAX_TEXT {
        return error(format!(
            "the text has {} bytes, the limit is {MAX_TEXT}",
            bytes.len()
        ));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return error("the text is empty");
    }
    let decoded = validate(bytes).and_then(|()| {
        let start = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        Value::decode(bytes, start)
    });
    let value = match decoded {
        Ok((value, _)) => value,
        Err(at) => return error(format!("not JSON (nested at most 128 deep) at byte {at}")),
    };
    let mut parser = Parser {
        paths: Paths::new(),
        nodes: 0,
    };
    let mut root = parser.filter(value)?;
    let order = parser.paths.finish();
    root.renumber(&order);
    Ok(Filter {
        paths: parser.paths,
        root,
    })
}

struct Parser {
    paths: Paths,
    nodes: usize,
}

impl Parser {
    fn filter(&mut self, value: Value) -> Result<Rule, FilterError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return error(format!("more than {MAX_NODES} filters in one"));
        }
        let Value::Object(mut members) = value else {
            return error(format!("a filter must be an object, got {}", kind(&value)));
        };
        let mut operators = (0..members.len()).filter(|&i| members[i].0.starts_with(b"$"));
        let (first, second) = (operators.next(), operators.next());
        if let (Some(a), Some(b)) = (first, second) {
            let (a, b) = (shown(&members[a].0), shown(&members[b].0));
            return error(format!(
                "one operator at a time, got {a} and {b}; combine them with \"$and\""
            ));
        }
        match first {
            Some(index) => {
                let (operator, body) = members.swap_remove(index);
                self.operator(&operator, body)
            }
            None => self.test(b"$eq", members, "a filter without an operator"),
        }
    }

    fn operator(&mut self, operator: &[u8], body: Value) -> Result<Rule, FilterError> {
        let name = shown(operator);
        match operator {
            b"$and" | b"$or" => {
                let Value::List(items) = body else {
                    return error(format!("{name} needs a list of filters, got {}", kind(&body)));
                };
                let rules = items
                    .into_iter()
                    .map(|item| self.filter(item))
                    .collect::<Result<_, _>>()?;
                Ok(if operator == b"$and" {
                    Rule::And(rules)
                } else {
                    Rule::Or(rules)
                })
            }
            b"$not" => Ok(Rule::Not(Box::new(self.filter(body)?))),
            b"$exists" => match body {
                Value::String(path) => Ok(Rule::Test(self.paths.add(&path), Test::Exists(true))),
                Value::Object(members) => self.test(operator, members, &name),
                other => error(format!(
                    "{name} needs a path or an object with \"path\", got {}",
                    kind(&other)
                )),
            },
            b"$eq" | b"$ne" | b"$gt" | b"$gte" | b"$lt" | b"$lte" | b"$contains" | b"$startsWith"
            | b"$endsWith" | b"$matches" | b"$semver" | b"$in" | b"$nin" => match body {
                Value::Object(members) => self.test(operator, members, &name),
                other => error(format!(
                    "{name} needs an object with \"path\", got {}",
                    kind(&other)
                )),
            },
            _ => error(format!("unknown operator {name}")),
        }
    }

    /// An operator on one field. `name` is for messages.
    fn test(&mut self, operator: &[u8], members: Members, name: &str) -> Result<Rule, FilterError> {
        let (mut path, mut value, mut values) = (None, None, None);
        for (key, member) in members {
            match key.as_slice() {
                b"path" => path = Some(member),
                b"value" => value = Some(member),
                b"values" => values = Some(member),
                _ => {}
            }
        }
        let path = match path {
            Some(Value::String(path)) => path,
            Some(other) => return error(format!("{name}: \"path\" must be a string, got {}", kind(&other))),
            None => return error(format!("{name} needs \"path\"")),
        };
        let place = format!("{name} on {}", shown(&path));
        let test = match operator {
            b"$exists" => match value {
                None => Test::Exists(true),
                Some(Value::Bool(present)) => Test::Exists(present),
                Some(other) => {
                    return error(format!(
                        "{place}: \"value\" must be a boolean, got {}",
                        kind(&other)
                    ))
                }
            },
            b"$in" | b"$nin" => match values {
                Some(Value::List(values)) => Test::In(Membership::new(values), operator == b"$in"),
                Some(other) => {
                    return error(format!(
                        "{place}: \"values\" must be a list, got {}",
                        kind(&other)
                    ))
                }
                None => return error(format!("{place} needs \"values\"")),
            },
            _ => match value {
                Some(value) => with_value(operator, value, &place)?,
                None => return error(format!("{place} needs \"value\"")),
            },
        };
        Ok(Rule::Test(self.paths.add(&path), test))
    }
}

fn with_value(operator: &[u8], value: Value, place: &str) -> Result<Test, FilterError> {
    use Ordering::{Equal, Greater, Less};
    let wrong = |needed: &str, value: &Value| {
        error(format!(
            "{place}: \"value\" must be {needed}, got {}",
            kind(value)
        ))
    };
    let compare = |allowed: &'static [Ordering]| match value {
        Value::Number(number) => Ok(Test::Compare(Operand::Number(number), allowed)),
        Value::String(ref text) => Ok(Test::Compare(Operand::String(text.clone()), allowed)),
        ref other => wrong("a number or a string", other),
    };
    match operator {
        b"$gt" => return compare(&[Greater]),
        b"$gte" => return compare(&[Greater, Equal]),
        b"$lt" => return compare(&[Less]),
        b"$lte" => return compare(&[Less, Equal]),
        b"$eq" => return Ok(Test::Equals(value, true)),
        b"$ne" => return Ok(Test::Equals(value, false)),
        b"$contains" => {
            let finder = match &value {
                Value::String(text) => Some(Box::new(memchr::memmem::Finder::new(text).into_owned())),
                _ => None,
            };
            return Ok(Test::Contains(finder, value));
        }
        _ => {}
    }
    let Value::String(text) = value else {
        return wrong("a string", &value);
    };
    match operator {
        b"$startsWith" => Ok(Test::StartsWith(text)),
        b"$endsWith" => Ok(Test::EndsWith(text)),
        b"$matches" => match Glob::parse(&text) {
            Ok(glob) => Ok(Test::Matches(glob)),
            Err(reason) => error(format!("{place}: {reason}")),
        },
        _ => match Requirement::parse(&String::from_utf8_lossy(&text)) {
            Ok(requirement) => Ok(Test::Semver(requirement)),
            Err(reason) => error(format!("{place}: {reason}")),
        },
    }
}
