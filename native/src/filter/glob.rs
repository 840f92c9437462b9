//! `$matches`: `*` any run, `?` one character, `\c` the character c; the whole string must match.

/// A compiled pattern: runs of tokens between stars.
#[derive(Debug)]
pub(super) struct Glob {
    /// Runs of the pattern; between two runs stood one or more `*`.
    runs: Vec<Vec<Token>>,
}

#[derive(Debug)]
enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// Any one character.
    One,
}

impl Glob {
    /// Compiles a pattern; `Err` is the reason.
    pub(super) fn parse(pattern: &[u8]) -> Result<Self, &'static str> {
        let mut runs = vec![Vec::new()];
        let mut literal = Vec::new();
        let mut bytes = pattern.iter();
        let flush = |literal: &mut Vec<u8>, runs: &mut Vec<Vec<Token>>| {
            if let (false, Some(run)) = (literal.is_empty(), runs.last_mut()) {
                run.push(Token::Literal(std::mem::take(literal)));
            }
        };
        while let Some(&byte) = bytes.next() {
            match byte {
                b'*' => {
                    flush(&mut literal, &mut runs);
                    runs.push(Vec::new());
                }
                b'?' => {
                    flush(&mut literal, &mut runs);
                    if let Some(run) = runs.last_mut() {
                        run.push(Token::One);
                    }
                }
                b'\\' => literal.push(*bytes.next().ok_or("the pattern ends with a backslash")?),
                _ => literal.push(byte),
            }
        }
        flush(&mut literal, &mut runs);
        // Of neighbouring stars one is enough; the first and the last run are anchored even if empty.
        let last = runs.len() - 1;
        let mut index = 0;
        runs.retain(|run| {
            index += 1;
            !run.is_empty() || index == 1 || index == last + 1
        });
        Ok(Self { runs })
    }

    /// Whether `text` matches wholly. Time is at most proportional to text times pattern.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let [first, rest @ ..] = self.runs.as_slice() else {
            return text.is_empty();
        };
        let Some(mut at) = run_at(first, text, 0) else {
            return false;
        };
        let [middle @ .., last] = rest else {
            return at == text.len();
        };
        // The leftmost place for each run leaves the most room for the others.
        for run in middle {
            match find(run, text, at) {
                Some(end) => at = end,
                None => return false,
            }
        }
        ends_with(last, text, at)
    }
}

/// Matches `run` exactly at `at`; position behind it.
fn run_at(run: &[Token], text: &[u8], mut at: usize) -> Option<usize> {
    for token in run {
        at = match token {
            Token::Literal(bytes) if text.get(at..)?.starts_with(bytes) => at + bytes.len(),
            Token::Literal(_) => return None,
            Token::One => at + char_length(*text.get(at)?),
        };
    }
    Some(at)
}

/// The leftmost place of `run` at or behind `at`; position behind it.
fn find(run: &[Token], text: &[u8], mut at: usize) -> Option<usize> {
    if let [Token::Literal(bytes)] = run {
        return memchr::memmem::find(text.get(at..)?, bytes).map(|found| at + found + bytes.len());
    }
    loop {
        if let Some(end) = run_at(run, text, at) {
            return Some(end);
        }
        at += char_length(*text.get(at)?);
    }
}

/// Whether `run` matches the end of `text`, beginning at or behind `at`.
fn ends_with(run: &[Token], text: &[u8], at: usize) -> bool {
    let mut end = text.len();
    for token in run.iter().rev() {
        let Some(rest) = text.get(at..end) else {
            return false;
        };
        end -= match token {
            Token::Literal(bytes) if rest.ends_with(bytes) => bytes.len(),
            Token::Literal(_) => return false,
            Token::One => match rest.iter().rev().position(|byte| byte & 0xc0 != 0x80) {
                Some(continuation) => continuation + 1,
                None => return false,
            },
        };
    }
    true
}

/// Bytes of the character that begins with `lead`.
fn char_length(lead: u8) -> usize {
    match lead {
        0..=0xbf => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern.as_bytes()).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a**b", "ab", true),
            ("???", "日本語", true),
            ("??", "日本語", false),
            ("*?", "", false),
            ("?*?", "é", false),
            ("?*?", "éé", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*b*c", "abbc", true),
            ("*b?d*", "abbcd", true),
            ("a?c", "abc", true),
            ("*.log", "x.log.log", true),
            ("a*b*c", "acb", false),
            ("\\\\", "\\", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(Glob::parse(b"a\\").is_err());
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = "a*".repeat(200) + "b";
        let text = "a".repeat(100_000);
        assert!(!matches(&pattern, &text));
        let pattern = "*a?".repeat(100) + "b";
        assert!(!matches(&pattern, &text[..5_000]));
    }

    /// Straight from the definition.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|i| naive(rest, &text[i..])),
            ['?', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab日*?]{0,8}", text in "[ab日]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
        }
    }
}
