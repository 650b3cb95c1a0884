//! Values that are drawn: a number, a range of numbers, or a list of which one is picked.

use crate::stream::{MILLION, between};
use orrery::types::Rng;
use std::fmt::Write;

/// What a number counts. All are integers inside: nanoseconds, parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// A number that may be negative.
    Signed,
    /// A duration, as text: `"300ms"`.
    Duration,
    /// A duration that may be negative: `"-3s"`.
    SignedDuration,
    /// A probability from 0 to 1.
    Probability,
}

impl Unit {
    /// What to write, for messages.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Count => "a number like 3, a range like \"3..=5\" or a list like [1, 4]",
            Self::Signed => "a number like -200, a range like \"-200..=200\" or a list like [-1, 1]",
            Self::Duration => "a duration like \"300ms\", a range like \"1s..5s\" or \"300ms..\", or a list of them",
            Self::SignedDuration => "a duration like \"-3s\", a range like \"-3s..3s\", or a list of them",
            Self::Probability => "a probability from 0 to 1 like 0.05, a range like \"0..0.2\", or a list of them",
        }
    }

    const fn signed(self) -> bool {
        matches!(self, Self::Signed | Self::SignedDuration)
    }

    /// Reads one number.
    fn number(self, text: &str) -> Option<i64> {
        let text = text.trim();
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        if negative && !self.signed() {
            return None;
        }
        let value = match self {
            Self::Count | Self::Signed => digits.replace('_', "").parse().ok()?,
            Self::Duration | Self::SignedDuration => duration(digits)?,
            Self::Probability => {
                let ppm = decimal(digits, u64::from(MILLION))?;
                if ppm > i64::from(MILLION) {
                    return None;
                }
                ppm
            }
        };
        Some(if negative { -value } else { value })
    }

    /// A number as a scenario would write it.
    #[must_use]
    pub fn show(self, value: i64) -> String {
        match self {
            Self::Count | Self::Signed => value.to_string(),
            Self::Duration | Self::SignedDuration => {
                let mut text = if value < 0 { "-".to_owned() } else { String::new() };
                text.push_str(&show_duration(value.unsigned_abs()));
                text
            }
            Self::Probability => {
                let mut text = format!("{}", value / i64::from(MILLION));
                let rest = value % i64::from(MILLION);
                if rest != 0 {
                    // Writing to a string cannot fail.
                    let _ = write!(text, ".{}", format!("{rest:06}").trim_end_matches('0'));
                }
                text
            }
        }
    }
}

/// Nanoseconds in words: the largest unit that shows them exactly.
#[must_use]
pub fn show_duration(ns: u64) -> String {
    for (unit, size) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if ns.is_multiple_of(size) {
            return format!("{}{unit}", ns / size);
        }
    }
    format!("{ns}ns")
}

fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => return None,
    };
    decimal(number.trim(), scale)
}

/// A non-negative decimal number times a scale, rounded down, without floating point.
fn decimal(text: &str, scale: u64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut value = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let part = fraction.parse::<u64>().ok()?;
        value += u64::try_from(u128::from(part) * u128::from(scale) / 10u128.pow(fraction.len() as u32)).ok()?;
    }
    i64::try_from(value).ok()
}

/// Something to draw an integer from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Draw {
    /// One of `low..=high`, each as likely.
    Range(i64, i64),
    /// One of these, each as likely.
    Pick(Vec<Self>),
}

impl Draw {
    /// Reads a number, a range or a list: `5`, `3..5`, `3..=5`, `3..` (up to four times as much), `[1, 4, 16]`.
    #[must_use]
    pub fn parse(unit: Unit, text: &str) -> Option<Self> {
        if let Some(list) = text.trim().strip_prefix('[') {
            let choices: Option<Vec<Self>> =
                list.strip_suffix(']')?.split(',').map(|choice| Self::parse(unit, choice.trim())).collect();
            return choices.map(Self::Pick);
        }
        let Some((low, high)) = text.split_once("..") else {
            let value = unit.number(text)?;
            return Some(Self::Range(value, value));
        };
        let low = unit.number(low)?;
        let high = match high.trim() {
            "" => low.checked_mul(4)?,
            closed if closed.starts_with('=') => unit.number(&closed[1..])?,
            // Half-open. For what is measured rather than counted, one nanosecond or millionth makes no difference, and
            // `0..0` is a range somebody may write.
            open => match unit.number(open)? {
                high if matches!(unit, Unit::Count | Unit::Signed) => high.checked_sub(1)?,
                high => high,
            },
        };
        (low <= high).then_some(Self::Range(low, high))
    }

    /// Draws.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> i64 {
        match self {
            Self::Range(low, high) => between(rng, *low, *high),
            Self::Pick(choices) => {
                let choice = between(rng, 0, choices.len() as i64 - 1) as usize;
                choices[choice].draw(rng)
            }
        }
    }

    /// Draws something that cannot be negative.
    #[must_use]
    pub fn draw_unsigned(&self, rng: &mut Rng) -> u64 {
        u64::try_from(self.draw(rng)).unwrap_or(0)
    }

    /// The smallest it can give.
    #[must_use]
    pub fn low(&self) -> i64 {
        match self {
            Self::Range(low, _) => *low,
            Self::Pick(choices) => choices.iter().map(Self::low).min().unwrap_or(0),
        }
    }

    /// The largest it can give.
    #[must_use]
    pub fn high(&self) -> i64 {
        match self {
            Self::Range(_, high) => *high,
            Self::Pick(choices) => choices.iter().map(Self::high).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_unit() {
        let cases = [
            (Unit::Count, "3..=5", Draw::Range(3, 5)),
            (Unit::Count, "3..5", Draw::Range(3, 4)),
            (Unit::Signed, "-200..=200", Draw::Range(-200, 200)),
            (Unit::Duration, "300ms..", Draw::Range(300_000_000, 1_200_000_000)),
            (Unit::Duration, "1.5s", Draw::Range(1_500_000_000, 1_500_000_000)),
            (Unit::SignedDuration, "-3s", Draw::Range(-3_000_000_000, -3_000_000_000)),
            (Unit::Probability, "0..0.2", Draw::Range(0, 200_000)),
            (Unit::Probability, "1", Draw::Range(1_000_000, 1_000_000)),
        ];
        for (unit, text, expected) in cases {
            assert_eq!(Draw::parse(unit, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_its_unit_is_refused() {
        let cases = [
            (Unit::Count, "-1"),
            (Unit::Count, "5..=3"),
            (Unit::Duration, "5"),
            (Unit::Duration, "5 parsecs"),
            (Unit::Duration, "-5s"),
            (Unit::Probability, "1.5"),
            (Unit::Probability, "5%"),
            (Unit::Count, ""),
            (Unit::Duration, "99999999999999999999s"),
        ];
        for (unit, text) in cases {
            assert_eq!(Draw::parse(unit, text), None, "{text}");
        }
    }

    #[test]
    fn shown_as_written() {
        assert_eq!(Unit::Duration.show(1_500_000_000), "1500ms");
        assert_eq!(Unit::SignedDuration.show(-3_000_000_000), "-3s");
        assert_eq!(Unit::Probability.show(50_000), "0.05");
        assert_eq!(Unit::Probability.show(1_000_000), "1");
    }
}
