//! `numeric`: exact decimals of arbitrary precision, with PostgreSQL's display scale, NaN and infinities.
//!
//! A finite value is `mantissa × 10^-scale`; the scale is also how many digits are printed after the point. Mantissas
//! of up to 127 bits, nearly all there are, are held in place; longer ones behind an `Arc`.
//!
//! # Invariants
//! - One value and scale has one representation: `Big` only when the mantissa does not fit `i128`.
//! - `scale ≤ 16383` and at most 131072 digits before the point, PostgreSQL's limits: no input makes memory unbounded.
//! - `==`, `Ord` and `Hash` are by value: `1.0 == 1.00`; NaN equals itself and is the greatest.
//!
//! # Caveats
//! The result scale of a division, root or logarithm is PostgreSQL's, which counts in groups of four digits; see
//! [`Numeric::div`]. Functions that cannot be exact are computed with guard digits and rounded; no binary float decides
//! a digit, so that every machine agrees.
//!
//! Sources: PostgreSQL 15 manual, 8.1.2 and 9.3; behaviour compared with a running server.

mod arithmetic;
mod codec;
mod functions;
mod text;

#[cfg(test)]
mod tests;

use super::error::{SqlError, SqlState};
use num_bigint::{BigInt, Sign};
use num_traits::{Signed, ToPrimitive, Zero};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Most digits after the point.
pub const MAX_SCALE: u16 = 16_383;
/// Most digits before the point.
pub const MAX_INTEGER_DIGITS: i64 = 131_072;

/// A decimal number, NaN or ±infinity.
#[derive(Clone)]
pub struct Numeric(Repr);

#[derive(Clone)]
enum Repr {
    /// Mantissa split in halves, so that the alignment of `i128` does not grow every value.
    Small {
        high: i64,
        low: u64,
        scale: u16,
    },
    Big(Arc<BigInt>, u16),
    Infinity,
    NegInfinity,
    NaN,
}

/// A number taken apart.
enum Parts<'a> {
    Small(i128, u16),
    Big(&'a BigInt, u16),
    Infinity,
    NegInfinity,
    NaN,
}

const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

fn small_pow10(exponent: u32) -> Option<i128> {
    POWERS.get(exponent as usize).copied()
}

fn pow10(exponent: u32) -> BigInt {
    small_pow10(exponent).map_or_else(|| BigInt::from(10).pow(exponent), BigInt::from)
}

fn overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

/// Decimal digits of a magnitude; 1 for zero.
fn count_digits(value: &BigInt) -> i64 {
    if let Some(small) = value.to_i128() {
        return count_digits_small(small);
    }
    // log10(2) as a fraction, rounded down: the guess is the right one or one too low.
    let bits = value.bits();
    let guess = u32::try_from(bits.saturating_sub(1).saturating_mul(30_103) / 100_000).unwrap_or(u32::MAX);
    let mut digits = guess.saturating_sub(u32::try_from(bits / 1_000_000).unwrap_or(0).saturating_add(1)).max(1);
    let mut power = pow10(digits);
    while value.magnitude() >= power.magnitude() {
        digits += 1;
        power *= 10;
    }
    i64::from(digits)
}

fn count_digits_small(value: i128) -> i64 {
    value.unsigned_abs().checked_ilog10().map_or(1, |log| i64::from(log) + 1)
}

impl Numeric {
    /// Not a number.
    pub const NAN: Self = Self(Repr::NaN);
    /// Above every number but NaN.
    pub const INFINITY: Self = Self(Repr::Infinity);
    /// Below every number.
    pub const NEG_INFINITY: Self = Self(Repr::NegInfinity);
    /// 0 without digits after the point.
    pub const ZERO: Self = Self(Repr::Small { high: 0, low: 0, scale: 0 });
    /// 1 without digits after the point.
    pub const ONE: Self = Self(Repr::Small { high: 0, low: 1, scale: 0 });

    #[allow(clippy::cast_possible_truncation, reason = "the halves of an i128")]
    const fn small(mantissa: i128, scale: u16) -> Self {
        Self(Repr::Small { high: (mantissa >> 64) as i64, low: mantissa as u64, scale })
    }

    /// Normalises; does not check limits.
    fn big(mantissa: BigInt, scale: u16) -> Self {
        match mantissa.to_i128() {
            Some(small) => Self::small(small, scale),
            None => Self(Repr::Big(Arc::new(mantissa), scale)),
        }
    }

    /// From a mantissa and a scale that may be beyond the limits.
    fn checked(mantissa: BigInt, scale: u32) -> Result<Self, SqlError> {
        let scale = u16::try_from(scale).ok().filter(|scale| *scale <= MAX_SCALE).ok_or_else(overflow)?;
        if mantissa.bits() > 400_000 && count_digits(&mantissa) - i64::from(scale) > MAX_INTEGER_DIGITS {
            return Err(overflow());
        }
        Ok(Self::big(mantissa, scale))
    }

    /// `mantissa × 10^-scale`.
    #[must_use]
    pub fn from_parts(mantissa: i128, scale: u16) -> Self {
        Self::small(mantissa, scale.min(MAX_SCALE))
    }

    fn parts(&self) -> Parts<'_> {
        match &self.0 {
            Repr::Small { high, low, scale } => Parts::Small((i128::from(*high) << 64) | i128::from(*low), *scale),
            Repr::Big(mantissa, scale) => Parts::Big(mantissa, *scale),
            Repr::Infinity => Parts::Infinity,
            Repr::NegInfinity => Parts::NegInfinity,
            Repr::NaN => Parts::NaN,
        }
    }

    /// Mantissa and scale of a finite number.
    fn finite(&self) -> Option<(BigInt, u16)> {
        match self.parts() {
            Parts::Small(mantissa, scale) => Some((BigInt::from(mantissa), scale)),
            Parts::Big(mantissa, scale) => Some((mantissa.clone(), scale)),
            _ => None,
        }
    }

    /// Is it NaN?
    #[must_use]
    pub const fn is_nan(&self) -> bool {
        matches!(self.0, Repr::NaN)
    }

    /// Is it neither NaN nor infinite?
    #[must_use]
    pub const fn is_finite(&self) -> bool {
        matches!(self.0, Repr::Small { .. } | Repr::Big(..))
    }

    /// Digits printed after the point; 0 for NaN and infinities.
    #[must_use]
    pub const fn scale(&self) -> u16 {
        match self.0 {
            Repr::Small { scale, .. } | Repr::Big(_, scale) => scale,
            _ => 0,
        }
    }

    /// -1, 0 or 1; 0 for NaN.
    #[must_use]
    pub fn signum(&self) -> i32 {
        match self.parts() {
            Parts::Small(mantissa, _) => i32::try_from(mantissa.signum()).unwrap_or(0),
            Parts::Big(mantissa, _) => match mantissa.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
            Parts::Infinity => 1,
            Parts::NegInfinity => -1,
            Parts::NaN => 0,
        }
    }

    /// Is it 0?
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(self.parts(), Parts::Small(0, _))
    }

    /// Rounded half away from zero to a whole number of `i128`, if it fits.
    fn to_i128(&self) -> Option<i128> {
        let rounded = self.round(0).ok()?;
        match rounded.parts() {
            Parts::Small(mantissa, _) => Some(mantissa),
            _ => None,
        }
    }

    fn to_integer<T: TryFrom<i128>>(&self, name: &str) -> Result<T, SqlError> {
        match self.parts() {
            Parts::NaN => Err(SqlError::unsupported(format!("cannot convert NaN to {name}"))),
            Parts::Infinity | Parts::NegInfinity => {
                Err(SqlError::unsupported(format!("cannot convert infinity to {name}")))
            }
            _ => self
                .to_i128()
                .and_then(|whole| T::try_from(whole).ok())
                .ok_or_else(|| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))),
        }
    }

    /// Rounded to `smallint`, 22003 beyond it.
    pub fn to_i16(&self) -> Result<i16, SqlError> {
        self.to_integer("smallint")
    }

    /// Rounded to `integer`, 22003 beyond it.
    pub fn to_i32(&self) -> Result<i32, SqlError> {
        self.to_integer("integer")
    }

    /// Rounded to `bigint`, 22003 beyond it.
    pub fn to_i64(&self) -> Result<i64, SqlError> {
        self.to_integer("bigint")
    }

    /// The nearest `double precision`; 22003 when it is beyond (`is out of range for type double precision`).
    pub fn to_f64(&self) -> Result<f64, SqlError> {
        match self.parts() {
            Parts::NaN => Ok(f64::NAN),
            Parts::Infinity => Ok(f64::INFINITY),
            Parts::NegInfinity => Ok(f64::NEG_INFINITY),
            _ => {
                let text = self.to_string();
                // Correctly rounded by the standard library, from decimal text, on every machine alike.
                let value: f64 = text.parse().unwrap_or(f64::NAN);
                if value.is_infinite() || (value == 0.0 && !self.is_zero()) {
                    return Err(SqlError::new(
                        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                        format!("\"{text}\" is out of range for type double precision"),
                    ));
                }
                Ok(value)
            }
        }
    }

    /// As PostgreSQL casts: 15 significant digits.
    #[must_use]
    pub fn from_f64(value: f64) -> Self {
        if value.is_nan() {
            return Self::NAN;
        }
        if value.is_infinite() {
            return if value > 0.0 { Self::INFINITY } else { Self::NEG_INFINITY };
        }
        let text = format!("{value:.14e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = mantissa.trim_end_matches('0').trim_end_matches('.');
        Self::parse(&format!("{digits}e{exponent}")).unwrap_or(Self::NAN)
    }

    /// Rounds to a declared `numeric(precision, scale)`; 22003 when it does not fit.
    pub fn fit(&self, precision: u16, scale: i16) -> Result<Self, SqlError> {
        let fail = |what: String| {
            SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
                .detail(format!("A field with precision {precision}, scale {scale} {what}."))
        };
        if !self.is_finite() {
            return match self.0 {
                Repr::NaN => Ok(self.clone()),
                _ => Err(fail("cannot hold an infinite value".to_owned())),
            };
        }
        let rounded = self.round(i32::from(scale))?;
        let digits = i64::from(precision) - i64::from(scale);
        let used = rounded.integer_digits();
        if !rounded.is_zero() && used > digits {
            let limit = if digits == 0 { "1".to_owned() } else { format!("10^{digits}") };
            return Err(fail(format!("must round to an absolute value less than {limit}")));
        }
        Ok(rounded)
    }

    /// Position of the first digit: 3 for 123.4, 0 for 0.5, -1 for 0.05.
    fn integer_digits(&self) -> i64 {
        match self.parts() {
            Parts::Small(mantissa, scale) => count_digits_small(mantissa) - i64::from(scale),
            Parts::Big(mantissa, scale) => count_digits(mantissa) - i64::from(scale),
            _ => 0,
        }
    }
}

impl From<i16> for Numeric {
    fn from(value: i16) -> Self {
        Self::small(i128::from(value), 0)
    }
}

impl From<i32> for Numeric {
    fn from(value: i32) -> Self {
        Self::small(i128::from(value), 0)
    }
}

impl From<i64> for Numeric {
    fn from(value: i64) -> Self {
        Self::small(i128::from(value), 0)
    }
}

impl From<i128> for Numeric {
    fn from(value: i128) -> Self {
        Self::small(value, 0)
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |number: &Self| match number.0 {
            Repr::NegInfinity => 0,
            Repr::Small { .. } | Repr::Big(..) => 1,
            Repr::Infinity => 2,
            Repr::NaN => 3,
        };
        if !(self.is_finite() && other.is_finite()) {
            return rank(self).cmp(&rank(other));
        }
        if let (Parts::Small(a, scale_a), Parts::Small(b, scale_b)) = (self.parts(), other.parts()) {
            if scale_a == scale_b {
                return a.cmp(&b);
            }
            if let Some((a, b, _)) = arithmetic::align_small(a, scale_a, b, scale_b) {
                return a.cmp(&b);
            }
        }
        let by_sign = self.signum().cmp(&other.signum());
        if by_sign != Ordering::Equal || self.signum() == 0 {
            return by_sign;
        }
        let by_size = self.integer_digits().cmp(&other.integer_digits());
        if by_size != Ordering::Equal {
            return if self.signum() < 0 { by_size.reverse() } else { by_size };
        }
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) => {
                let (a, b, _) = arithmetic::align(a, b);
                a.cmp(&b)
            }
            _ => Ordering::Equal,
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl Hash for Numeric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut key = Vec::new();
        self.write_key(&mut key);
        state.write(&key);
    }
}

fn is_negative(value: &BigInt) -> bool {
    value.is_negative()
}

fn is_zero(value: &BigInt) -> bool {
    value.is_zero()
}
