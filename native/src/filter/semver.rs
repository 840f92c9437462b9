//! `$semver`: versions and requirements (10 §6.3). Precedence is that of SemVer 2.0.0 §11.

use std::cmp::Ordering;

/// A version; borrows its prerelease from the text. Build metadata is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    numbers: [u64; 3],
    /// Dot-separated identifiers; empty for a release.
    pre: &'a [u8],
}

impl<'a> Version<'a> {
    /// `[v]N[.N[.N]][-pre][+build]`; missing numbers are 0.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        Partial::parse(text).map(|partial| partial.version)
    }
}

/// A version and how many numbers were given.
#[derive(Clone, Copy)]
struct Partial<'a> {
    version: Version<'a>,
    given: usize,
}

impl<'a> Partial<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.strip_prefix(b"v").unwrap_or(text);
        let (text, build) = split(text, b'+');
        if build.is_some_and(|build| !identifiers(build, false)) {
            return None;
        }
        let (core, pre) = split(text, b'-');
        let mut numbers = [0; 3];
        let mut given = 0;
        for part in core.split(|&byte| byte == b'.') {
            *numbers.get_mut(given)? = number(part)?;
            given += 1;
        }
        if pre.is_some_and(|pre| given != 3 || !identifiers(pre, true)) {
            return None;
        }
        Some(Self {
            version: Version {
                numbers,
                pre: pre.unwrap_or_default(),
            },
            given,
        })
    }
}

/// Text before the first `separator`, and after it if there is one.
fn split(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(separator, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// A number without leading zeros.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text[0] == b'0') {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether `text` is a list of identifiers; of a prerelease, numeric ones have no leading zeros.
fn identifiers(text: &[u8], prerelease: bool) -> bool {
    text.split(|&byte| byte == b'.').all(|part| {
        let numeric = part.iter().all(u8::is_ascii_digit);
        !part.is_empty()
            && part
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !(prerelease && numeric && part.len() > 1 && part[0] == b'0')
    })
}

fn precedence(a: &Version<'_>, b: &Version<'_>) -> Ordering {
    a.numbers
        .cmp(&b.numbers)
        .then_with(|| match (a.pre.is_empty(), b.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => prerelease_order(a.pre, b.pre),
        })
}

fn prerelease_order(a: &[u8], b: &[u8]) -> Ordering {
    let dot = |byte: &u8| *byte == b'.';
    let (mut left, mut right) = (a.split(dot), b.split(dot));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => {
                match (a.iter().all(u8::is_ascii_digit), b.iter().all(u8::is_ascii_digit)) {
                    // No leading zeros: the longer number is the larger one.
                    (true, true) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    (false, false) => a.cmp(b),
                }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// One bound of a range.
#[derive(Debug)]
struct Bound {
    /// Which orders of field to `version` are allowed.
    allowed: &'static [Ordering],
    numbers: [u64; 3],
    pre: Vec<u8>,
}

impl Bound {
    fn holds(&self, version: &Version<'_>) -> bool {
        let bound = Version {
            numbers: self.numbers,
            pre: &self.pre,
        };
        self.allowed.contains(&precedence(version, &bound))
    }
}

const EQUAL: &[Ordering] = &[Ordering::Equal];
const GREATER: &[Ordering] = &[Ordering::Greater];
const AT_LEAST: &[Ordering] = &[Ordering::Greater, Ordering::Equal];
const LESS: &[Ordering] = &[Ordering::Less];
const AT_MOST: &[Ordering] = &[Ordering::Less, Ordering::Equal];

/// A requirement: alternatives, each a list of bounds that must all hold.
#[derive(Debug)]
pub(super) struct Requirement(Vec<Vec<Bound>>);

impl Requirement {
    /// Compiles a requirement; `Err` names the part that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        text.split("||")
            .map(|alternative| {
                alternative_bounds(alternative.as_bytes())
                    .ok_or_else(|| format!("\"{}\" is not a version requirement", alternative.trim()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `field` is a version that satisfies the requirement.
    pub(super) fn matches(&self, field: &[u8]) -> bool {
        let Some(version) = Version::parse(field) else {
            return false;
        };
        self.0
            .iter()
            .any(|bounds| bounds.iter().all(|bound| bound.holds(&version)))
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(byte)).count();
    &text[blanks..]
}

/// Comparators separated by blanks and at most one comma; at least one.
fn alternative_bounds(text: &[u8]) -> Option<Vec<Bound>> {
    let mut bounds = Vec::new();
    let mut rest = trim_start(text);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let operator = [&b">="[..], b"<=", b">", b"<", b"=", b"^", b"~"]
            .into_iter()
            .find(|op| rest.starts_with(op));
        let body = operator.map_or(rest, |operator| trim_start(&rest[operator.len()..]));
        let length = body
            .iter()
            .take_while(|byte| !is_blank(byte) && **byte != b',')
            .count();
        let (version, after) = body.split_at(length);
        comparator(operator, version, &mut bounds)?;
        let blank = trim_start(after);
        rest = match blank {
            [b',', next @ ..] => {
                let next = trim_start(next);
                if next.is_empty() {
                    return None;
                }
                next
            }
            _ => blank,
        };
    }
    Some(bounds)
}

fn comparator(operator: Option<&[u8]>, text: &[u8], bounds: &mut Vec<Bound>) -> Option<()> {
    let Some(operator) = operator else {
        if let Some(given) = wildcard(text) {
            let mut numbers = [0; 3];
            numbers[..given.len()].copy_from_slice(&given);
            if !given.is_empty() {
                bounds.push(Bound {
                    allowed: AT_LEAST,
                    numbers,
                    pre: Vec::new(),
                });
                below_next(numbers, given.len() - 1, bounds);
            }
            return Some(());
        }
        return comparator(Some(b"="), text, bounds);
    };
    let Partial { version, given } = Partial::parse(text)?;
    let numbers = version.numbers;
    let bound = |allowed| Bound {
        allowed,
        numbers,
        pre: version.pre.to_vec(),
    };
    match operator {
        b">" => bounds.push(bound(GREATER)),
        b">=" => bounds.push(bound(AT_LEAST)),
        b"<" => bounds.push(bound(LESS)),
        b"<=" => bounds.push(bound(AT_MOST)),
        b"^" => {
            bounds.push(bound(AT_LEAST));
            let position = match numbers {
                [major, ..] if major > 0 || given == 1 => 0,
                [_, minor, _] if minor > 0 || given == 2 => 1,
                _ => 2,
            };
            below_next(numbers, position, bounds);
        }
        b"~" => {
            bounds.push(bound(AT_LEAST));
            below_next(numbers, usize::from(given > 1), bounds);
        }
        _ => bounds.push(bound(EQUAL)),
    }
    Some(())
}

/// Adds `<` the first prerelease of the version with the number at `position` one higher.
fn below_next(mut numbers: [u64; 3], position: usize, bounds: &mut Vec<Bound>) {
    // The largest number has no next: no bound.
    let Some(next) = numbers[position].checked_add(1) else {
        return;
    };
    numbers[position] = next;
    numbers[position + 1..].fill(0);
    bounds.push(Bound {
        allowed: LESS,
        numbers,
        pre: b"0".to_vec(),
    });
}

/// The numbers in front of the first wildcard, if there is one: `*`, `1.x`, `1.2.*`, `1.x.x`.
fn wildcard(text: &[u8]) -> Option<Vec<u64>> {
    let text = text.strip_prefix(b"v").unwrap_or(text);
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b'.').collect();
    let is_wild = |part: &&[u8]| matches!(*part, b"*" | b"x" | b"X");
    let first = parts.iter().position(is_wild)?;
    if parts.len() > 3 || !parts[first..].iter().all(is_wild) {
        return None;
    }
    parts[..first].iter().map(|part| number(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn satisfies(version: &str, requirement: &str) -> bool {
        Requirement::parse(requirement)
            .unwrap()
            .matches(version.as_bytes())
    }

    #[test]
    fn precedence_of_the_standard() {
        let ascending = [
            "1.0.0-0",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "2.0.0",
            "18446744073709551615.0.0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let parse = |text: &'static str| Version::parse(text.as_bytes()).unwrap();
                assert_eq!(precedence(&parse(a), &parse(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn versions() {
        for good in [
            "1",
            "v1.2",
            "1.2.3",
            "1.2.3-a.b-c",
            "1.2.3+001",
            "1+b",
            "1.0.0-0a",
            "0.0.0",
        ] {
            assert!(Version::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            "v",
            "1.",
            "1.2.3.4",
            "01.2",
            "1.2.03",
            "1-a",
            "1.2-a",
            "1.2.3-",
            "1.2.3+",
            "1.2.3-01",
            "1.2.3-a..b",
            "V1",
            " 1",
            "1 ",
            "1.x",
            "-1",
            "1.2.3-é",
            "18446744073709551616.0.0",
        ] {
            assert!(Version::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn requirements() {
        for (version, requirement, expected) in [
            ("1.2.3", "^1.2", true),
            ("2.0.0-rc.1", "^1.2", false),
            ("1.9.9", "^1", true),
            ("0.9.9", "^0", true),
            ("1.0.0", "^0", false),
            ("0.0.9", "^0.0", true),
            ("0.1.0", "^0.0", false),
            ("0.0.4", "^0.0.3", false),
            ("0.2.5", "^0.2.3", true),
            ("0.3.0", "^0.2.3", false),
            ("1.3.0", "~1.2", false),
            ("1.2.9", "~1.2.3", true),
            ("1.9.0", "~1", true),
            ("2.0.0-0", "~1", false),
            ("2.0.0-rc.1", "<2", true),
            ("2.0.0-rc.1", "*", true),
            ("1.3.0-0", "1.2.x", false),
            ("1.2.7", "1.2.*", true),
            ("1.2.0-rc.1", "1.2.x", false),
            ("1.5.0", "1.x.x", true),
            ("1.2.0", "1.2", true),
            ("1.2.1", "1.2", false),
            ("1.5.0", ">=1.2,<2", true),
            ("1.5.0", ">=1.2 , <2", true),
            ("3.0.0", "<1||>=3", true),
            ("1.2.3+x", "=1.2.3+y", true),
            ("1.2.3-rc.2", "^1.2.3-rc.1", true),
            ("18446744073709551615.1.0", "^18446744073709551615.0.0", true),
        ] {
            assert_eq!(
                satisfies(version, requirement),
                expected,
                "{version} {requirement}"
            );
        }
        for bad in [
            "", " ", "one", ">=1 || ", "||", ">", ">*", "^1.x", "1.x.2", "1.2.3.*", ",1", "1,", "1,,2",
            ">=1.2-rc", "> = 1", "=>1",
        ] {
            assert!(Requirement::parse(bad).is_err(), "{bad}");
        }
    }
}
