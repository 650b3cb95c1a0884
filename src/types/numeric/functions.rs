//! Roots, exponentials and logarithms: computed on integers with guard digits, rounded to PostgreSQL's result scale.
//!
//! A fixed-point number here is an integer that counts units of `10^-p`. The scales of results follow from the size of
//! the result, which is estimated in decimals too: no binary float decides anything.

use super::arithmetic::{MAX_RESULT_SCALE, divide_rounded};
use super::{MAX_INTEGER_DIGITS, Numeric, count_digits, overflow, pow10};
use crate::types::error::{SqlError, SqlState};
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};

/// Significant digits that a result has at least.
const SIGNIFICANT: i64 = 16;
/// Digits computed beyond those kept.
const GUARD: i64 = 14;
/// Exponents of `exp` from here on overflow or vanish.
const MAX_EXPONENT: i64 = 6000;
/// Scale of a result that vanishes.
const VANISHING_SCALE: u16 = 2000;

fn clamp_scale(scale: i64, least: u16) -> u16 {
    u16::try_from(scale.max(i64::from(least)).clamp(0, MAX_RESULT_SCALE)).unwrap_or(0)
}

fn power_of_ten(exponent: i64) -> BigInt {
    pow10(u32::try_from(exponent.max(0)).unwrap_or(0))
}

/// `value` moved from scale `from` to scale `to`.
fn shift(value: &BigInt, from: i64, to: i64) -> BigInt {
    if to >= from { value * power_of_ten(to - from) } else { divide_rounded(value, &power_of_ten(from - to)) }
}

/// `2·artanh(z)` of a fixed-point z below 1/2.
fn twice_artanh(z: &BigInt, one: &BigInt) -> BigInt {
    let square = z * z / one;
    let mut power = z.clone();
    let mut sum = z.clone();
    let mut divisor = 1_u32;
    while !power.is_zero() {
        power = &power * &square / one;
        divisor += 2;
        sum += &power / divisor;
    }
    sum * 2
}

/// ln 10 = 3·ln 2 + ln 1.25, both by their series.
fn ln_ten(one: &BigInt) -> BigInt {
    twice_artanh(&(one / 3), one) * 3 + twice_artanh(&(one / 9), one)
}

/// Natural logarithm of a positive `mantissa·10^-scale` with `places` digits after the point.
fn ln_fixed(mantissa: &BigInt, scale: i64, places: i64) -> BigInt {
    let work = places + GUARD;
    // x = m·10^exponent with m in 1..10, or x itself when it is next to 1.
    let exponent = count_digits(mantissa) - 1 - scale;
    let one = power_of_ten(work);
    let mut m = shift(mantissa, scale + exponent, work);
    // Roots bring m near 1, where the series runs fast; the longer the result, the more of them pay.
    let mut roots = 0_u32;
    let wanted = 5 + (work / 16).isqrt();
    while i64::from(roots) < wanted && (&m - &one).abs() > &one / 1_000_000 {
        m = (m * &one).sqrt();
        roots += 1;
    }
    let z = (&m - &one) * &one / (&m + &one);
    // Each root halved the logarithm, and what is lost by it is doubled back.
    let mut result = twice_artanh(&z, &one) << roots;
    if exponent != 0 {
        result += ln_ten(&one) * exponent;
    }
    shift(&result, work, places)
}

/// `e^x` of a fixed-point x ≥ 0 with `places` digits; the result has the same unit.
fn exp_fixed(x: &BigInt, places: i64) -> BigInt {
    let one = power_of_ten(places);
    // Halved until it is small, then squared back.
    let mut halvings = 0_u32;
    let mut small = x.clone();
    while small > &one >> 8 {
        small >>= 1;
        halvings += 1;
    }
    let mut term = one.clone();
    let mut sum = one.clone();
    let mut n = 1_u32;
    loop {
        term = &term * &small / &one / n;
        if term.is_zero() {
            break;
        }
        sum += &term;
        n += 1;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &one;
    }
    sum
}

fn invalid_logarithm(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message)
}

fn invalid_power(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message)
}

impl Numeric {
    fn check_logarithm(&self) -> Result<(), SqlError> {
        match self.signum() {
            _ if self.is_nan() => Ok(()),
            0 => Err(invalid_logarithm("cannot take logarithm of zero")),
            -1 => Err(invalid_logarithm("cannot take logarithm of a negative number")),
            _ => Ok(()),
        }
    }

    fn is_whole(&self) -> bool {
        self.is_finite() && self.trunc(0).is_ok_and(|whole| whole == *self)
    }

    /// Logarithm of a positive finite number, rounded to a scale that may exceed the limits of results.
    fn ln_places(&self, places: i64) -> BigInt {
        self.finite().map_or(BigInt::ZERO, |(mantissa, scale)| ln_fixed(&mantissa, i64::from(scale), places))
    }

    /// Decimal weight of the logarithm's first digit, as PostgreSQL estimates it.
    fn ln_weight(&self) -> i64 {
        let near = |text: &str| Self::parse(text).unwrap_or(Self::ONE);
        if *self >= near("0.9") && *self <= near("1.1") {
            let Ok(distance) = self.sub(&Self::ONE) else { return 0 };
            let (weight, first) = distance.leading_group();
            return if first == 0 { 0 } else { weight * 4 + i64::from(first.ilog10()) };
        }
        let digits = count_digits(&self.ln_places(8)) - 8;
        if digits >= 1 { digits - 1 } else { digits }
    }

    /// Square root; 2201F below 0.
    pub fn sqrt(&self) -> Result<Self, SqlError> {
        if self.is_nan() || (!self.is_finite() && self.signum() > 0) {
            return Ok(self.clone());
        }
        if self.signum() < 0 {
            return Err(invalid_power("cannot take square root of a negative number"));
        }
        let (weight, _) = self.leading_group();
        let scale = clamp_scale(SIGNIFICANT - ((weight + 1) * 2 - 1), self.scale());
        let Some((mantissa, own)) = self.finite() else { return Ok(Self::NAN) };
        // One digit more, to round by. The own scale is below 16384, so twice the other may be less than it.
        let target = (i64::from(scale) + 1).max(i64::from(own) / 2 + 1);
        let root = (mantissa * power_of_ten(2 * target - i64::from(own))).sqrt();
        Self::checked(shift(&root, target, i64::from(scale)), u32::from(scale))
    }

    /// `e^(x·10^-places)`, whose decimal logarithm is about `size`, rounded to a scale.
    fn exp_of(x: &BigInt, places: i64, scale: u16) -> Result<Self, SqlError> {
        let magnitude = exp_fixed(&x.abs(), places);
        if x.is_negative() {
            let inverse = divide_rounded(&power_of_ten(places + i64::from(scale)), &magnitude);
            return Self::checked(inverse, u32::from(scale));
        }
        Self::checked(shift(&magnitude, places, i64::from(scale)), u32::from(scale))
    }

    /// About how many decimal digits `e^self` has before the point (after it, when negative).
    fn exp_size(&self) -> Result<i64, SqlError> {
        let size = self.round(18)?.mul(&Self::parse("0.434294481903252")?)?.trunc(0)?;
        size.to_i64().map_err(|_| overflow())
    }

    /// e to this power.
    pub fn exp(&self) -> Result<Self, SqlError> {
        if !self.is_finite() {
            return Ok(if self.is_nan() || self.signum() > 0 { self.clone() } else { Self::ZERO });
        }
        if self.abs() >= Self::from(MAX_EXPONENT) {
            return if self.signum() > 0 { Err(overflow()) } else { Ok(Self::small(0, VANISHING_SCALE)) };
        }
        let size = self.exp_size()?;
        let scale = clamp_scale(SIGNIFICANT - size, self.scale());
        let places = i64::from(scale) + size.max(0) + GUARD + 8;
        let Some((mantissa, own)) = self.finite() else { return Ok(Self::NAN) };
        Self::exp_of(&shift(&mantissa, i64::from(own), places), places, scale)
    }

    /// Natural logarithm; 2201E at 0 and below.
    pub fn ln(&self) -> Result<Self, SqlError> {
        self.check_logarithm()?;
        if !self.is_finite() {
            return Ok(self.clone());
        }
        let scale = clamp_scale(SIGNIFICANT - self.ln_weight(), self.scale());
        Self::checked(self.ln_places(i64::from(scale)), u32::from(scale))
    }

    /// Logarithm to a base.
    pub fn log(&self, base: &Self) -> Result<Self, SqlError> {
        if self.is_nan() || base.is_nan() {
            return Ok(Self::NAN);
        }
        if self.signum() < 0 || base.signum() < 0 {
            return Err(invalid_logarithm("cannot take logarithm of a negative number"));
        }
        self.check_logarithm()?;
        base.check_logarithm()?;
        match (self.is_finite(), base.is_finite()) {
            (false, false) => return Ok(Self::NAN),
            (false, true) => return Ok(Self::INFINITY),
            (true, false) => return Ok(Self::ZERO),
            (true, true) => {}
        }
        let (weight, base_weight) = (self.ln_weight(), base.ln_weight());
        let scale = clamp_scale(SIGNIFICANT - (weight - base_weight), self.scale().max(base.scale()));
        let places = i64::from(scale) + (weight - base_weight).max(0) - base_weight.min(0) + GUARD;
        let divisor = base.ln_places(places);
        if divisor.is_zero() {
            return Err(super::arithmetic::division_by_zero());
        }
        let quotient = divide_rounded(&(self.ln_places(places) * power_of_ten(i64::from(scale))), &divisor);
        Self::checked(quotient, u32::from(scale))
    }

    /// Powers with an operand that is not finite.
    fn power_special(&self, exponent: &Self) -> Result<Self, SqlError> {
        if exponent.is_zero() || *self == Self::ONE {
            return Ok(Self::ONE);
        }
        if self.is_nan() || exponent.is_nan() {
            return Ok(Self::NAN);
        }
        if self.is_zero() && exponent.signum() < 0 {
            return Err(invalid_power("zero raised to a negative power is undefined"));
        }
        if !exponent.is_finite() {
            let by_size = self.abs().cmp(&Self::ONE);
            return Ok(if by_size.is_eq() {
                Self::ONE
            } else if by_size.is_gt() == (exponent.signum() > 0) {
                Self::INFINITY
            } else {
                Self::ZERO
            });
        }
        if self.signum() < 0 && !exponent.is_whole() {
            return Err(invalid_power("a negative number raised to a non-integer power yields a complex result"));
        }
        if exponent.signum() < 0 {
            return Ok(Self::ZERO);
        }
        let odd = !exponent.rem(&Self::from(2_i64))?.is_zero();
        Ok(if self.signum() < 0 && odd { Self::NEG_INFINITY } else { Self::INFINITY })
    }

    /// This to a power.
    pub fn power(&self, exponent: &Self) -> Result<Self, SqlError> {
        if !(self.is_finite() && exponent.is_finite()) {
            return self.power_special(exponent);
        }
        if self.is_zero() && exponent.signum() < 0 {
            return Err(invalid_power("zero raised to a negative power is undefined"));
        }
        let whole = exponent.is_whole();
        if self.signum() < 0 && !whole {
            return Err(invalid_power("a negative number raised to a non-integer power yields a complex result"));
        }
        if whole && let Ok(n) = exponent.to_i32() {
            return self.power_whole(n);
        }
        if self.is_zero() {
            return Ok(Self::small(0, 16));
        }
        let negative = self.signum() < 0 && !exponent.rem(&Self::from(2_i64))?.is_zero();
        let base = self.abs();
        let weight = base.ln_weight();
        let rough_scale = u32::try_from((20 - weight).max(20)).map_err(|_| overflow())?;
        let rough = Self::checked(base.ln_places(i64::from(rough_scale)), rough_scale)?.mul(exponent)?;
        if rough.abs() > Self::from(MAX_EXPONENT + 20) {
            return if rough.signum() > 0 { Err(overflow()) } else { Ok(Self::small(0, VANISHING_SCALE)) };
        }
        let size = rough.exp_size()?;
        let scale = clamp_scale(SIGNIFICANT - size, self.scale().max(exponent.scale()));
        let places = i64::from(scale) + size.max(0) + GUARD + 8;
        let extra = exponent.integer_digits().max(0);
        let logarithm = base.ln_places(places + extra);
        let Some((factor, own)) = exponent.finite() else { return Ok(Self::NAN) };
        let x = shift(&(logarithm * factor), places + extra + i64::from(own), places);
        let result = Self::exp_of(&x, places, scale)?;
        Ok(if negative { result.neg() } else { result })
    }

    /// A whole power, by squaring, cut to as many digits as can matter.
    fn power_whole(&self, n: i32) -> Result<Self, SqlError> {
        let scale = clamp_scale(SIGNIFICANT, self.scale());
        let one = || Self::ONE.round(i32::from(scale));
        if n == 0 {
            return one();
        }
        if self.is_zero() {
            return Ok(Self::small(0, scale));
        }
        let rough = self.abs().ln_places(24) * n;
        // Decimal digits of the result, from 24 + 15 digits of estimate.
        let size = (rough * 434_294_481_903_252_i64 / power_of_ten(39)).to_i64().unwrap_or(i64::MAX);
        if size > MAX_INTEGER_DIGITS {
            return Err(overflow());
        }
        if size < -i64::from(scale) - 2 {
            return Ok(Self::small(0, scale));
        }
        let keep = i64::from(scale) + size.abs() + GUARD + 10;
        let Some((mut base, own)) = self.finite() else { return Ok(Self::NAN) };
        let mut base_scale = i64::from(own);
        let (mut result, mut result_scale) = (BigInt::from(1), 0_i64);
        let cut = |value: &mut BigInt, scale: &mut i64| {
            let excess = count_digits(value) - keep;
            if excess > 0 {
                *value = divide_rounded(value, &power_of_ten(excess));
                *scale -= excess;
            }
        };
        let mut left = n.unsigned_abs();
        loop {
            if left & 1 == 1 {
                result *= &base;
                result_scale += base_scale;
                cut(&mut result, &mut result_scale);
            }
            left >>= 1;
            if left == 0 {
                break;
            }
            base = &base * &base;
            base_scale *= 2;
            cut(&mut base, &mut base_scale);
        }
        if n < 0 {
            let shifted = i64::from(scale) + result_scale;
            let inverse = if shifted >= 0 {
                divide_rounded(&power_of_ten(shifted), &result)
            } else {
                divide_rounded(&BigInt::from(1), &(result * power_of_ten(-shifted)))
            };
            return Self::checked(inverse, u32::from(scale));
        }
        Self::checked(shift(&result, result_scale, i64::from(scale)), u32::from(scale))
    }
}
