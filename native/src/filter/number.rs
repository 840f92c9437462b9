//! Numbers by mathematical value: integers of 64 bits exactly, everything else as the nearest double (10 §6).

use std::cmp::Ordering;

/// A JSON number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// An integer in the range of i64 or u64, however it was spelled (`1`, `1.0`, `10e-1`).
    Integer(i128),
    /// Any other number; infinite beyond the range of doubles.
    Double(f64),
}

/// Digits that the significand keeps; more than any 64-bit integer has.
const SIGNIFICAND_LIMIT: u128 = 10_u128.pow(37);

impl Number {
    /// Value of a text that is a JSON number.
    #[inline]
    pub(super) fn parse(text: &[u8]) -> Self {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        // Up to 18 digits cannot overflow.
        if digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) {
            let value = digits
                .iter()
                .fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
            return Self::Integer(i128::from(if negative { -value } else { value }));
        }
        match integer(digits) {
            Some(value) if negative && value <= 1 << 63 => Self::Integer(-(value as i128)),
            Some(value) if !negative && value <= u128::from(u64::MAX) => Self::Integer(value as i128),
            _ => Self::Double(
                std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0.0),
            ),
        }
    }
}

/// Value of an unsigned JSON number if it is an integer below 10^20 or so.
fn integer(text: &[u8]) -> Option<u128> {
    let mut significand: u128 = 0;
    let mut exponent: i64 = 0;
    let mut fraction = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' if significand < SIGNIFICAND_LIMIT => {
                significand = significand * 10 + u128::from(byte - b'0');
                exponent -= i64::from(fraction);
            }
            // A digit that no longer fits: of no weight if zero, else the number is no 64-bit integer.
            b'0' => exponent += i64::from(!fraction),
            b'1'..=b'9' => return None,
            b'.' => fraction = true,
            _ => break,
        }
        at += 1;
    }
    if significand == 0 {
        return Some(0);
    }
    exponent = exponent.saturating_add(explicit_exponent(text.get(at + 1..).unwrap_or_default()));
    while exponent < 0 {
        if !significand.is_multiple_of(10) {
            return None;
        }
        significand /= 10;
        exponent += 1;
    }
    while exponent > 0 {
        if significand > u128::from(u64::MAX) {
            return None;
        }
        significand *= 10;
        exponent -= 1;
    }
    Some(significand)
}

/// Value of `[+-]?[0-9]*`, saturating.
fn explicit_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let value = digits.iter().fold(0_i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit.wrapping_sub(b'0')))
    });
    if negative {
        -value
    } else {
        value
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Self::Integer(a), Self::Double(b)) => compare(*a, *b),
            (Self::Double(a), Self::Integer(b)) => compare(*b, *a).reverse(),
        }
    }
}

/// Compares a 64-bit integer with a double, exactly.
fn compare(integer: i128, double: f64) -> Ordering {
    // 2^64 and -2^63 are doubles.
    if double >= 18_446_744_073_709_551_616.0 {
        return Ordering::Less;
    }
    if double < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    integer
        .cmp(&(whole as i128))
        .then_with(|| (0.0).partial_cmp(&(double - whole)).unwrap_or(Ordering::Equal))
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text.as_bytes())
    }

    #[test]
    fn spelling_does_not_matter() {
        for (a, b) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("100e-2", "1"),
            ("0", "-0"),
            ("0.0", "-0e99999999999999999999"),
            ("1.5", "15e-1"),
            ("1e3", "1000"),
            ("18446744073709551615", "18446744073709551615.000"),
            ("1e19", "10000000000000000000"),
            ("1000000000000000000000000000000000000000000e-42", "1"),
            ("1e400", "1e500"),
            ("9007199254740993.0", "9007199254740993"),
            ("-9223372036854775808", "-9223372036854775808.0"),
            ("0.1", "0.1000000000000000055511151231257827"),
        ] {
            assert_eq!(number(a), number(b), "{a} {b}");
        }
    }

    #[test]
    fn order_is_exact() {
        let ascending = [
            "-1e400",
            "-9223372036854775809e3",
            "-9223372036854775808",
            "-9223372036854775807",
            "-1.5",
            "-1",
            "-0.5",
            "0",
            "1e-300",
            "0.5",
            "1",
            "1.5",
            "2",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616000",
            "1e300",
            "1e999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(number(a).cmp(&number(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }
}
