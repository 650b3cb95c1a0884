//! Text input and output.

use super::{Numeric, Parts, overflow};
use crate::types::error::{SqlError, SqlState};
use num_bigint::BigInt;
use std::fmt;

fn syntax_error(text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type numeric: \"{text}\""))
}

/// PostgreSQL's `isspace` in the C locale.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Digits with a point among them, as written: `(all digits, how many stand after the point, rest)`.
fn scan_digits(text: &str) -> (String, usize, &str) {
    let mut digits = String::new();
    let mut after_point = None;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                digits.push(c);
                if let Some(count) = &mut after_point {
                    *count += 1;
                }
            }
            '.' if after_point.is_none() => after_point = Some(0),
            _ => return (digits, after_point.unwrap_or(0), &text[at..]),
        }
    }
    (digits, after_point.unwrap_or(0), "")
}

/// `e±digits`, or nothing.
fn scan_exponent(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let body = text.strip_prefix(['e', 'E'])?;
    let digits = body.strip_prefix(['+', '-']).unwrap_or(body);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let magnitude: i64 = digits.parse().unwrap_or(i64::MAX);
    if magnitude >= i64::from(i32::MAX / 2) {
        return None;
    }
    Some(if body.starts_with('-') { -magnitude } else { magnitude })
}

impl Numeric {
    /// Text input: digits with optional sign, point and exponent; `NaN`, `Infinity`, `inf` in any case.
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        let body = text.trim_matches(is_space);
        let (negative, unsigned) = match body.as_bytes().first() {
            Some(b'-') => (true, &body[1..]),
            Some(b'+') => (false, &body[1..]),
            _ => (false, body),
        };
        if body.eq_ignore_ascii_case("nan") {
            return Ok(Self::NAN);
        }
        if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
            return Ok(if negative { Self::NEG_INFINITY } else { Self::INFINITY });
        }
        let (digits, after_point, rest) = scan_digits(unsigned);
        if digits.is_empty() {
            return Err(syntax_error(text));
        }
        let exponent = scan_exponent(rest).ok_or_else(|| syntax_error(text))?;
        Self::from_digits(negative, &digits, i64::try_from(after_point).unwrap_or(i64::MAX) - exponent)
    }

    /// From decimal digits of which `after_point` (negative: zeros to append) stand after the point.
    pub(super) fn from_digits(negative: bool, digits: &str, after_point: i64) -> Result<Self, SqlError> {
        let digits = digits.trim_start_matches('0');
        let scale = u32::try_from(after_point.max(0)).map_err(|_| overflow())?;
        if scale > u32::from(super::MAX_SCALE) {
            return Err(overflow());
        }
        if digits.is_empty() {
            return Self::checked(BigInt::ZERO, scale);
        }
        let length = i64::try_from(digits.len()).map_err(|_| overflow())?;
        if length - after_point > super::MAX_INTEGER_DIGITS {
            return Err(overflow());
        }
        let zeros = u32::try_from((-after_point).max(0)).map_err(|_| overflow())?;
        if digits.len() + zeros as usize <= 38
            && let Ok(small) = digits.parse::<i128>()
        {
            let scaled = small * super::small_pow10(zeros).unwrap_or(1);
            return Self::checked(BigInt::from(0), scale)
                .map(|_| Self::from_parts(if negative { -scaled } else { scaled }, u16::try_from(scale).unwrap_or(0)));
        }
        let magnitude = BigInt::parse_bytes(digits.as_bytes(), 10).ok_or_else(overflow)? * super::pow10(zeros);
        Self::checked(if negative { -magnitude } else { magnitude }, scale)
    }

    /// Sign and decimal digits of the mantissa of a finite number, without leading zeros (`""` for 0).
    pub(super) fn digits(&self) -> Option<(bool, String)> {
        match self.parts() {
            Parts::Small(0, _) => Some((false, String::new())),
            Parts::Small(mantissa, _) => Some((mantissa < 0, mantissa.unsigned_abs().to_string())),
            Parts::Big(mantissa, _) => Some((super::is_negative(mantissa), mantissa.magnitude().to_string())),
            _ => None,
        }
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((negative, digits)) = self.digits() else {
            return f.write_str(match self.parts() {
                Parts::Infinity => "Infinity",
                Parts::NegInfinity => "-Infinity",
                _ => "NaN",
            });
        };
        let scale = usize::from(self.scale());
        if negative {
            f.write_str("-")?;
        }
        if scale == 0 {
            return f.write_str(if digits.is_empty() { "0" } else { &digits });
        }
        match digits.len().checked_sub(scale) {
            Some(whole) if whole > 0 => write!(f, "{}.{}", &digits[..whole], &digits[whole..]),
            _ => write!(f, "0.{digits:0>scale$}"),
        }
    }
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
