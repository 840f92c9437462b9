//! The language straight from its definition, for tests: builds a tree, recurses everywhere, knows nothing of the engine.

use proptest::prelude::*;

/// A JSON value; strings as UTF-16, so that lone surrogates need no thought; numbers as spelled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    String(Vec<u16>),
    List(Vec<Tree>),
    Object(Vec<(Vec<u16>, Tree)>),
}

struct Reader<'a> {
    text: &'a [char],
    at: usize,
}

pub(super) fn parse(text: &str) -> Option<Tree> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { text: &chars, at: 0 };
    let tree = reader.value(0)?;
    reader.space();
    (reader.at == chars.len()).then_some(tree)
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }
    fn take(&mut self, c: char) -> Option<()> {
        (self.peek()? == c).then(|| self.at += 1)
    }
    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }
    fn word(&mut self, word: &str, tree: Tree) -> Option<Tree> {
        word.chars().try_for_each(|c| self.take(c))?;
        Some(tree)
    }
    fn value(&mut self, depth: usize) -> Option<Tree> {
        self.space();
        match self.peek()? {
            'n' => self.word("null", Tree::Null),
            't' => self.word("true", Tree::Bool(true)),
            'f' => self.word("false", Tree::Bool(false)),
            '"' => self.string().map(Tree::String),
            '[' | '{' if depth == 128 => None,
            '[' => {
                self.take('[')?;
                let mut items = Vec::new();
                self.space();
                if self.take(']').is_some() {
                    return Some(Tree::List(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    self.space();
                    if self.take(',').is_none() {
                        self.take(']')?;
                        return Some(Tree::List(items));
                    }
                }
            }
            '{' => {
                self.take('{')?;
                let mut members: Vec<(Vec<u16>, Tree)> = Vec::new();
                self.space();
                if self.take('}').is_some() {
                    return Some(Tree::Object(members));
                }
                loop {
                    self.space();
                    let key = self.string()?;
                    self.space();
                    self.take(':')?;
                    let value = self.value(depth + 1)?;
                    members.retain(|(other, _)| *other != key);
                    members.push((key, value));
                    self.space();
                    if self.take(',').is_none() {
                        self.take('}')?;
                        return Some(Tree::Object(members));
                    }
                }
            }
            _ => self.number(),
        }
    }
    fn string(&mut self) -> Option<Vec<u16>> {
        self.take('"')?;
        let mut out = Vec::new();
        loop {
            let c = self.peek()?;
            self.at += 1;
            match c {
                '"' => return Some(out),
                '\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    out.push(match escape {
                        '"' | '\\' | '/' => escape as u16,
                        'b' => 8,
                        'f' => 12,
                        'n' => 10,
                        'r' => 13,
                        't' => 9,
                        'u' => {
                            let mut unit = 0;
                            for _ in 0..4 {
                                unit = unit * 16 + self.peek()?.to_digit(16)? as u16;
                                self.at += 1;
                            }
                            unit
                        }
                        _ => return None,
                    });
                }
                c if c < ' ' => return None,
                c => out.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
    fn number(&mut self) -> Option<Tree> {
        let start = self.at;
        let _ = self.take('-');
        if self.take('0').is_none() {
            self.digits()?;
        }
        if self.take('.').is_some() {
            self.digits()?;
        }
        if self.take('e').or_else(|| self.take('E')).is_some() {
            let _ = self.take('+').or_else(|| self.take('-'));
            self.digits()?;
        }
        Some(Tree::Number(self.text[start..self.at].iter().collect()))
    }
}

/// A number as an exact integer of 64 bits if it is one, and as the nearest double.
fn number(text: &str) -> (Option<i128>, f64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let mut zeros = exponent - fraction.len() as i64;
    while zeros < 0 && digits.ends_with('0') {
        digits.pop();
        zeros += 1;
    }
    let zero = digits.chars().all(|c| matches!(c, '0' | '-'));
    let exact = if zero {
        Some(0)
    } else if (0..40).contains(&zeros) {
        format!("{digits}{}", "0".repeat(zeros as usize))
            .parse::<i128>()
            .ok()
    } else {
        None
    };
    let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
    (exact.filter(|value| range.contains(value)), text.parse().unwrap())
}

fn compare_numbers(a: &str, b: &str) -> std::cmp::Ordering {
    match (number(a), number(b)) {
        ((Some(a), _), (Some(b), _)) => a.cmp(&b),
        // A double that is a whole number in the range compares as one.
        ((Some(a), _), (None, b)) if b.fract() == 0.0 && b.abs() < 1e25 => a.cmp(&(b as i128)),
        ((None, a), (Some(b), _)) if a.fract() == 0.0 && a.abs() < 1e25 => (a as i128).cmp(&b),
        ((Some(a), _), (None, b)) if b.abs() < 1e25 => (2 * a).cmp(&(b.floor() as i128 * 2 + 1)),
        ((None, a), (Some(b), _)) if a.abs() < 1e25 => (a.floor() as i128 * 2 + 1).cmp(&(2 * b)),
        ((_, a), (_, b)) => a.partial_cmp(&b).unwrap(),
    }
}

fn equal(a: &Tree, b: &Tree) -> bool {
    match (a, b) {
        (Tree::Number(a), Tree::Number(b)) => compare_numbers(a, b).is_eq(),
        (Tree::List(a), Tree::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Tree::Object(a), Tree::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.iter().any(|(other, b)| key == other && equal(value, b)))
        }
        _ => a == b,
    }
}

fn text(units: &[u16]) -> String {
    String::from_utf16_lossy(units)
}

fn member<'a>(tree: &'a Tree, key: &str) -> Option<&'a Tree> {
    let Tree::Object(members) = tree else { return None };
    let key: Vec<u16> = key.encode_utf16().collect();
    members
        .iter()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// `path` without escapes.
fn find<'a>(event: &'a Tree, path: &str) -> Option<&'a Tree> {
    if path.is_empty() {
        return Some(event);
    }
    path.split('.').try_fold(event, |tree, segment| match tree {
        Tree::List(items) => {
            let digits = segment.strip_prefix('+').unwrap_or(segment);
            let spelled = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            spelled
                .then(|| digits.parse::<usize>().ok().and_then(|i| items.get(i)))
                .flatten()
        }
        _ => member(tree, segment),
    })
}

/// Whether `event` matches `filter`; both given as trees, the filter known to be well-formed and without `$semver` and `$matches`.
pub(super) fn matches(filter: &Tree, event: &Tree) -> bool {
    let Tree::Object(members) = filter else {
        unreachable!()
    };
    let Some((operator, body)) = members
        .iter()
        .find(|(key, _)| key.first() == Some(&u16::from(b'$')))
    else {
        return test("$eq", filter, event);
    };
    let list = |body: &Tree| match body {
        Tree::List(items) => items.clone(),
        _ => unreachable!(),
    };
    match text(operator).as_str() {
        "$and" => !list(body).is_empty() && list(body).iter().all(|f| matches(f, event)),
        "$or" => list(body).iter().any(|f| matches(f, event)),
        "$not" => !matches(body, event),
        operator => test(operator, body, event),
    }
}

/// Code points of UTF-16 units; an unpaired surrogate stands for itself.
fn points(units: &[u16]) -> Vec<u32> {
    char::decode_utf16(units.iter().copied())
        .map(|c| c.map_or_else(|e| u32::from(e.unpaired_surrogate()), u32::from))
        .collect()
}

fn test(operator: &str, body: &Tree, event: &Tree) -> bool {
    let path = match (body, member(body, "path")) {
        (Tree::String(path), _) | (_, Some(Tree::String(path))) => text(path),
        _ => unreachable!(),
    };
    let field = find(event, &path);
    let value = member(body, "value").cloned().unwrap_or(Tree::Bool(true));
    let order = || match (field?, &value) {
        (Tree::Number(a), Tree::Number(b)) => Some(compare_numbers(a, b)),
        // Code point order is the order of UTF-8 bytes.
        (Tree::String(a), Tree::String(b)) => Some(points(a).cmp(&points(b))),
        _ => None,
    };
    // By code points: a lone surrogate is no part of a character that is spelled with a pair.
    let strings = |check: fn(&[u32], &[u32]) -> bool| match (field, &value) {
        (Some(Tree::String(a)), Tree::String(b)) => check(&points(a), &points(b)),
        _ => false,
    };
    let within = || match member(body, "values") {
        Some(Tree::List(values)) => field.is_some_and(|field| values.iter().any(|value| equal(field, value))),
        _ => unreachable!(),
    };
    match operator {
        "$eq" => field.is_some_and(|field| equal(field, &value)),
        "$ne" => !field.is_some_and(|field| equal(field, &value)),
        "$in" => within(),
        "$nin" => !within(),
        "$gt" => order().is_some_and(|o| o.is_gt()),
        "$gte" => order().is_some_and(|o| o.is_ge()),
        "$lt" => order().is_some_and(|o| o.is_lt()),
        "$lte" => order().is_some_and(|o| o.is_le()),
        "$exists" => field.is_some() == (value == Tree::Bool(true)),
        "$startsWith" => strings(|a, b| a.starts_with(b)),
        "$endsWith" => strings(|a, b| a.ends_with(b)),
        "$contains" => match field {
            Some(Tree::List(items)) => items.iter().any(|item| equal(item, &value)),
            _ => strings(|a, b| b.is_empty() || a.windows(b.len()).any(|w| w == b)),
        },
        _ => unreachable!("{operator}"),
    }
}

/// Texts of few keys and values in many spellings, so that they meet.
pub(super) fn any_json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        prop::sample::select(vec![
            "0",
            "-0",
            "1",
            "1.0",
            "1e0",
            "10e-1",
            "1.5",
            "-1",
            "2",
            "9007199254740993",
            "9007199254740992",
            "9007199254740992.0",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "1e19",
            "1e300",
            "1e-7",
            "0.1",
            "9007199254740992.5",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
        (-1000_i32..1000, -5_i32..5).prop_map(|(n, e)| format!("{n}e{e}")),
    ];
    let string = prop::sample::select(vec![
        r#""""#,
        r#""a""#,
        r#""\u0061""#,
        r#""ab""#,
        r#""A\/B""#,
        r#""A/B""#,
        r#""é""#,
        r#""\u00e9""#,
        r#""日本""#,
        r#""😀""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""\ude00x""#,
        r#""hello world, a longer text""#,
        r#""ab\n""#,
        r#""\uffff""#,
    ])
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        number,
        string
    ];
    let key = prop::sample::select(vec![
        r#""a""#,
        r#""b""#,
        r#""\u0061""#,
        r#""0""#,
        r#""1""#,
        r#""""#,
        r#""é""#,
        r#""longer key here""#,
    ]);
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let space = prop::sample::select(vec!["", "", " ", "\n\t"]);
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space.clone()).prop_map(|(items, space)| format!(
                "[{space}{}{space}]",
                items.join(&format!("{space},{space}"))
            )),
            (prop::collection::vec((key.clone(), inner), 0..5), space).prop_map(|(members, space)| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{key}{space}:{space}{value}"))
                    .collect();
                format!("{{{space}{}{space}}}", members.join(","))
            }),
        ]
    })
}

/// Well-formed filter texts over the same keys and values.
pub(super) fn any_filter() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "",
        "a",
        "b",
        "a.b",
        "a.0",
        "0",
        "1",
        "+1",
        "01",
        "a.a",
        "é",
        ".",
        "b.1.a",
        "longer key here",
        "a.-1",
        "1.1",
    ]);
    let value = any_json().boxed();
    let string = prop::sample::select(vec![
        r#""""#,
        r#""a""#,
        r#""b""#,
        r#""A/""#,
        r#""\u00e9""#,
        r#""\ud83d\ude00""#,
        r#""\ude00""#,
    ]);
    let ordered = prop::sample::select(vec![
        "1",
        "0.5",
        "\"a\"",
        "\"é\"",
        "9007199254740992",
        "1e19",
        "-1",
        "\"\\ud83d\"",
    ]);
    let leaf = prop_oneof![
        (
            prop::sample::select(vec!["$eq", "$ne", "$contains"]),
            path.clone(),
            value.clone()
        )
            .prop_map(|(op, path, value)| format!(r#"{{"{op}":{{"path":"{path}","value":{value}}}}}"#)),
        (path.clone(), value.clone())
            .prop_map(|(path, value)| format!(r#"{{"path":"{path}","value":{value}}}"#)),
        (
            prop::sample::select(vec!["$gt", "$gte", "$lt", "$lte"]),
            path.clone(),
            ordered
        )
            .prop_map(|(op, path, value)| format!(r#"{{"{op}":{{"value":{value},"path":"{path}"}}}}"#)),
        (
            prop::sample::select(vec!["$startsWith", "$endsWith"]),
            path.clone(),
            string
        )
            .prop_map(|(op, path, value)| format!(r#"{{"{op}":{{"path":"{path}","value":{value}}}}}"#)),
        (
            prop::sample::select(vec!["$in", "$nin"]),
            path.clone(),
            prop::collection::vec(value, 0..4)
        )
            .prop_map(|(op, path, values)| format!(
                r#"{{"{op}":{{"path":"{path}","values":[{}]}}}}"#,
                values.join(",")
            )),
        (path.clone(), any::<bool>())
            .prop_map(|(path, value)| format!(r#"{{"$exists":{{"path":"{path}","value":{value}}}}}"#)),
        path.prop_map(|path| format!(r#"{{"$exists":"{path}"}}"#)),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (
                prop::sample::select(vec!["$and", "$or"]),
                prop::collection::vec(inner.clone(), 0..4)
            )
                .prop_map(|(op, filters)| format!(r#"{{"{op}":[{}]}}"#, filters.join(","))),
            inner.prop_map(|filter| format!(r#"{{"$not":{filter}}}"#)),
        ]
    })
}
