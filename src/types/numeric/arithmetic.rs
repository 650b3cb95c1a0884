//! Exact arithmetic, rounding, and division with PostgreSQL's result scale.

use super::{MAX_INTEGER_DIGITS, MAX_SCALE, Numeric, Parts, count_digits, is_zero, overflow, pow10, small_pow10};
use crate::types::error::{SqlError, SqlState};
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};

/// Significant digits that a quotient has at least.
const MIN_SIGNIFICANT_DIGITS: i64 = 16;
/// Scale at which a quotient, root or logarithm stops.
pub(super) const MAX_RESULT_SCALE: i64 = 1000;

pub(super) fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// Both mantissas at the larger scale, if they stay small.
pub(super) fn align_small(a: i128, scale_a: u16, b: i128, scale_b: u16) -> Option<(i128, i128, u16)> {
    let scale = scale_a.max(scale_b);
    let a = a.checked_mul(small_pow10(u32::from(scale - scale_a))?)?;
    let b = b.checked_mul(small_pow10(u32::from(scale - scale_b))?)?;
    Some((a, b, scale))
}

/// Both mantissas at the larger scale.
pub(super) fn align(a: (BigInt, u16), b: (BigInt, u16)) -> (BigInt, BigInt, u16) {
    let scale = a.1.max(b.1);
    (a.0 * pow10(u32::from(scale - a.1)), b.0 * pow10(u32::from(scale - b.1)), scale)
}

/// Quotient rounded half away from zero.
pub(super) fn divide_rounded(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let quotient = dividend / divisor;
    let remainder = dividend - &quotient * divisor;
    let twice: BigInt = remainder.abs() * 2;
    if twice >= divisor.abs() {
        if dividend.is_negative() == divisor.is_negative() { quotient + 1 } else { quotient - 1 }
    } else {
        quotient
    }
}

fn divide_rounded_small(dividend: i128, divisor: i128) -> i128 {
    let quotient = dividend / divisor;
    let remainder = dividend % divisor;
    if remainder.unsigned_abs() >= divisor.unsigned_abs() - remainder.unsigned_abs() {
        if (dividend < 0) == (divisor < 0) { quotient + 1 } else { quotient - 1 }
    } else {
        quotient
    }
}

impl Numeric {
    /// Sum. Infinities of opposite sign add to NaN.
    pub fn add(&self, other: &Self) -> Result<Self, SqlError> {
        match (self.parts(), other.parts()) {
            (Parts::NaN, _) | (_, Parts::NaN) => Ok(Self::NAN),
            (Parts::Infinity, Parts::NegInfinity) | (Parts::NegInfinity, Parts::Infinity) => Ok(Self::NAN),
            (Parts::Infinity, _) | (_, Parts::Infinity) => Ok(Self::INFINITY),
            (Parts::NegInfinity, _) | (_, Parts::NegInfinity) => Ok(Self::NEG_INFINITY),
            (Parts::Small(a, scale_a), Parts::Small(b, scale_b)) => {
                if let Some((a, b, scale)) = align_small(a, scale_a, b, scale_b)
                    && let Some(sum) = a.checked_add(b)
                {
                    return Ok(Self::small(sum, scale));
                }
                self.add_big(other)
            }
            _ => self.add_big(other),
        }
    }

    fn add_big(&self, other: &Self) -> Result<Self, SqlError> {
        let (Some(a), Some(b)) = (self.finite(), other.finite()) else { return Ok(Self::NAN) };
        let (a, b, scale) = align(a, b);
        Self::checked(a + b, u32::from(scale))
    }

    /// Difference.
    pub fn sub(&self, other: &Self) -> Result<Self, SqlError> {
        self.add(&other.neg())
    }

    /// The same with the other sign.
    #[must_use]
    pub fn neg(&self) -> Self {
        match self.parts() {
            Parts::NaN => Self::NAN,
            Parts::Infinity => Self::NEG_INFINITY,
            Parts::NegInfinity => Self::INFINITY,
            Parts::Small(mantissa, scale) => match mantissa.checked_neg() {
                Some(negated) => Self::small(negated, scale),
                None => Self::big(-BigInt::from(mantissa), scale),
            },
            Parts::Big(mantissa, scale) => Self::big(-mantissa, scale),
        }
    }

    /// The same without its sign.
    #[must_use]
    pub fn abs(&self) -> Self {
        if self.signum() < 0 { self.neg() } else { self.clone() }
    }

    /// Product; its scale is the sum of both scales, rounded to the largest there is.
    pub fn mul(&self, other: &Self) -> Result<Self, SqlError> {
        if let (Parts::Small(a, scale_a), Parts::Small(b, scale_b)) = (self.parts(), other.parts())
            && scale_a + scale_b <= MAX_SCALE
            && let Some(product) = a.checked_mul(b)
        {
            return Ok(Self::small(product, scale_a + scale_b));
        }
        match (self.finite(), other.finite()) {
            (Some((a, scale_a)), Some((b, scale_b))) => {
                let product = a * b;
                let scale = u32::from(scale_a) + u32::from(scale_b);
                let excess = scale.saturating_sub(u32::from(MAX_SCALE));
                if excess > 0 {
                    return Self::checked(divide_rounded(&product, &pow10(excess)), u32::from(MAX_SCALE));
                }
                Self::checked(product, scale)
            }
            _ if self.is_nan() || other.is_nan() => Ok(Self::NAN),
            _ => Ok(match self.signum() * other.signum() {
                0 => Self::NAN,
                1 => Self::INFINITY,
                _ => Self::NEG_INFINITY,
            }),
        }
    }

    /// Quotient for operands of which one is not finite.
    fn div_special(&self, other: &Self) -> Result<Self, SqlError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::NAN);
        }
        if self.is_finite() {
            return Ok(Self::ZERO);
        }
        if !other.is_finite() {
            return Ok(Self::NAN);
        }
        match self.signum() * other.signum() {
            0 => Err(division_by_zero()),
            1 => Ok(Self::INFINITY),
            _ => Ok(Self::NEG_INFINITY),
        }
    }

    /// Quotient, rounded to [`Self::quotient_scale`]; 22012 for a divisor of 0.
    pub fn div(&self, other: &Self) -> Result<Self, SqlError> {
        if !(self.is_finite() && other.is_finite()) {
            return self.div_special(other);
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        self.div_to(other, self.quotient_scale(other))
    }

    /// Quotient of finite numbers rounded to a scale; the divisor is not 0.
    pub(super) fn div_to(&self, other: &Self, scale: u16) -> Result<Self, SqlError> {
        // a·10^-sa / (b·10^-sb) = (a·10^(scale - sa + sb) / b)·10^-scale
        let shift = i64::from(scale) - i64::from(self.scale()) + i64::from(other.scale());
        let amount = u32::try_from(shift.unsigned_abs()).map_err(|_| overflow())?;
        if let (Parts::Small(a, _), Parts::Small(b, _)) = (self.parts(), other.parts())
            && let Some(power) = small_pow10(amount)
        {
            let scaled =
                if shift >= 0 { a.checked_mul(power).map(|a| (a, b)) } else { b.checked_mul(power).map(|b| (a, b)) };
            if let Some((a, b)) = scaled
                && b != -1
            {
                return Ok(Self::small(divide_rounded_small(a, b), scale));
            }
        }
        let (Some((a, _)), Some((b, _))) = (self.finite(), other.finite()) else { return Ok(Self::NAN) };
        let quotient = if shift >= 0 {
            divide_rounded(&(a * pow10(amount)), &b)
        } else {
            divide_rounded(&a, &(b * pow10(amount)))
        };
        Self::checked(quotient, u32::from(scale))
    }

    /// Scale of a quotient: enough for 16 significant digits, counted in PostgreSQL's groups of four, at least that of
    /// either operand, at most 1000.
    pub(super) fn quotient_scale(&self, other: &Self) -> u16 {
        let (weight_a, first_a) = self.leading_group();
        let (weight_b, first_b) = other.leading_group();
        let weight = weight_a - weight_b - i64::from(first_a <= first_b);
        let scale = (MIN_SIGNIFICANT_DIGITS - weight * 4).max(i64::from(self.scale())).max(i64::from(other.scale()));
        u16::try_from(scale.clamp(0, MAX_RESULT_SCALE)).unwrap_or(0)
    }

    /// Weight (power of 10000) and value of the first non-zero group of four digits; (0, 0) for zero.
    pub(super) fn leading_group(&self) -> (i64, i64) {
        if self.is_zero() || !self.is_finite() {
            return (0, 0);
        }
        let weight = (self.integer_digits() - 1).div_euclid(4);
        let shift = i64::from(self.scale()) + weight * 4;
        let amount = u32::try_from(shift.unsigned_abs()).unwrap_or(0);
        if let Parts::Small(mantissa, _) = self.parts()
            && let Some(power) = small_pow10(amount)
        {
            let group = if shift >= 0 { Some(mantissa / power) } else { mantissa.checked_mul(power) };
            if let Some(group) = group.and_then(|group| i64::try_from(group.unsigned_abs()).ok()) {
                return (weight, group);
            }
        }
        let Some((mantissa, _)) = self.finite() else { return (0, 0) };
        let group = if shift >= 0 { mantissa / pow10(amount) } else { mantissa * pow10(amount) };
        (weight, group.abs().to_i64().unwrap_or(0))
    }

    /// Remainder with the sign of the dividend; 22012 for a divisor of 0.
    pub fn rem(&self, other: &Self) -> Result<Self, SqlError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::NAN);
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        if !self.is_finite() {
            return Ok(Self::NAN);
        }
        if !other.is_finite() {
            return Ok(self.clone());
        }
        if let (Parts::Small(a, scale_a), Parts::Small(b, scale_b)) = (self.parts(), other.parts())
            && let Some((a, b, scale)) = align_small(a, scale_a, b, scale_b)
        {
            return Ok(Self::small(a.checked_rem(b).unwrap_or(0), scale));
        }
        let (Some(a), Some(b)) = (self.finite(), other.finite()) else { return Ok(Self::NAN) };
        let (a, b, scale) = align(a, b);
        Self::checked(a % b, u32::from(scale))
    }

    /// Integer quotient, truncated: `div(a, b)`.
    pub fn div_trunc(&self, other: &Self) -> Result<Self, SqlError> {
        if !(self.is_finite() && other.is_finite()) {
            return self.div_special(other);
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let (Some(a), Some(b)) = (self.finite(), other.finite()) else { return Ok(Self::NAN) };
        let (a, b, _) = align(a, b);
        Self::checked(a / b, 0)
    }

    /// Rounds half away from zero to `scale` digits after the point (before it, when negative).
    pub fn round(&self, scale: i32) -> Result<Self, SqlError> {
        self.rescale(scale, true)
    }

    /// Cuts off after `scale` digits.
    pub fn trunc(&self, scale: i32) -> Result<Self, SqlError> {
        self.rescale(scale, false)
    }

    fn rescale(&self, target: i32, round: bool) -> Result<Self, SqlError> {
        if !self.is_finite() {
            return Ok(self.clone());
        }
        let limit = i32::try_from(MAX_INTEGER_DIGITS).unwrap_or(i32::MAX);
        let target = target.clamp(-limit, i32::from(MAX_SCALE));
        let drop = i32::from(self.scale()) - target;
        let result_scale = u16::try_from(target.max(0)).unwrap_or(0);
        if let Parts::Small(mantissa, _) = self.parts()
            && let Some(power) = small_pow10(drop.unsigned_abs())
        {
            let rescaled = if drop <= 0 {
                mantissa.checked_mul(power)
            } else {
                let kept = if round { divide_rounded_small(mantissa, power) } else { mantissa / power };
                if target < 0 {
                    small_pow10(target.unsigned_abs()).and_then(|power| kept.checked_mul(power))
                } else {
                    Some(kept)
                }
            };
            if let Some(rescaled) = rescaled {
                return Ok(Self::small(rescaled, result_scale));
            }
        }
        let Some((mantissa, _)) = self.finite() else { return Ok(self.clone()) };
        if drop <= 0 {
            return Self::checked(mantissa * pow10(drop.unsigned_abs()), u32::from(result_scale));
        }
        // More dropped than there is: zero, or one unit up, without building the power.
        if i64::from(drop) > count_digits(&mantissa) {
            return Ok(Self::small(0, result_scale));
        }
        let power = pow10(drop.unsigned_abs());
        let mut kept = if round { divide_rounded(&mantissa, &power) } else { mantissa / power };
        if target < 0 && !is_zero(&kept) {
            kept *= pow10(target.unsigned_abs());
        }
        Self::checked(kept, u32::from(result_scale))
    }

    /// The greatest whole number not above.
    pub fn floor(&self) -> Result<Self, SqlError> {
        let cut = self.trunc(0)?;
        if self.signum() < 0 && cut != *self { cut.sub(&Self::ONE) } else { Ok(cut) }
    }

    /// The least whole number not below.
    pub fn ceil(&self) -> Result<Self, SqlError> {
        let cut = self.trunc(0)?;
        if self.signum() > 0 && cut != *self { cut.add(&Self::ONE) } else { Ok(cut) }
    }
}
