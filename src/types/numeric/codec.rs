//! Bytes: PostgreSQL's binary format, order-preserving keys, and the compact form that rows and messages use.

use super::{MAX_SCALE, Numeric, Parts, Repr};
use crate::types::error::{SqlError, SqlState};
use num_bigint::BigInt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_NEG_INFINITY: u16 = 0xF000;

/// Classes of keys, in order.
const KEY_NEG_INFINITY: u8 = 1;
const KEY_NEGATIVE: u8 = 2;
const KEY_ZERO: u8 = 3;
const KEY_POSITIVE: u8 = 4;
const KEY_INFINITY: u8 = 5;
const KEY_NAN: u8 = 6;
/// Added to the position of the first digit, so that it is positive in three bytes.
const KEY_EXPONENT_BIAS: i64 = 1 << 22;

fn invalid_binary(what: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, format!("invalid {what} in external \"numeric\" value"))
}

fn corrupted() -> SqlError {
    SqlError::new(SqlState::DATA_CORRUPTED, "malformed numeric")
}

impl Numeric {
    /// PostgreSQL's binary format: number of groups, weight, sign, scale, groups of four digits.
    pub fn send(&self, out: &mut Vec<u8>) {
        let put = |out: &mut Vec<u8>, value: u16| out.extend_from_slice(&value.to_be_bytes());
        let Some((negative, digits)) = self.digits() else {
            let sign = match self.parts() {
                Parts::Infinity => SIGN_INFINITY,
                Parts::NegInfinity => SIGN_NEG_INFINITY,
                _ => SIGN_NAN,
            };
            for field in [0, 0, sign, 0] {
                put(out, field);
            }
            return;
        };
        let scale = usize::from(self.scale());
        // Zeros on both sides, so that groups of four meet at the point.
        let digits = format!("{digits:0>scale$}");
        let mut padded = "0".repeat((4 - (digits.len() - scale) % 4) % 4);
        padded.push_str(&digits);
        padded.push_str(&"0".repeat((4 - scale % 4) % 4));
        let groups: Vec<u16> = padded
            .as_bytes()
            .chunks(4)
            .map(|group| group.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
            .collect();
        let whole_groups = groups.len() - scale.div_ceil(4);
        let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
        let last = groups.iter().rposition(|group| *group != 0).map_or(first, |at| at + 1);
        let weight = if first == last { 0 } else { whole_groups as i64 - 1 - first as i64 };
        put(out, u16::try_from(last - first).unwrap_or(u16::MAX));
        out.extend_from_slice(&i16::try_from(weight).unwrap_or(i16::MAX).to_be_bytes());
        put(out, if negative { SIGN_NEGATIVE } else { SIGN_POSITIVE });
        put(out, self.scale());
        for group in &groups[first..last] {
            put(out, *group);
        }
    }

    /// Reads [`Self::send`]'s format; digits beyond the scale are cut off, as PostgreSQL does.
    pub fn receive(bytes: &[u8]) -> Result<Self, SqlError> {
        let short = || SqlError::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message");
        let mut fields = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let mut next = || fields.next().ok_or_else(short);
        let (count, weight, sign, scale) = (next()?, next()?, next()?, next()?);
        let weight = i64::from(weight.cast_signed());
        if scale > MAX_SCALE {
            return Err(invalid_binary("scale"));
        }
        match sign {
            SIGN_POSITIVE | SIGN_NEGATIVE => {}
            SIGN_NAN => return Ok(Self::NAN),
            SIGN_INFINITY => return Ok(Self::INFINITY),
            SIGN_NEG_INFINITY => return Ok(Self::NEG_INFINITY),
            _ => return Err(invalid_binary("sign")),
        }
        let mut digits = String::with_capacity(usize::from(count).min(bytes.len()) * 4);
        for _ in 0..count {
            let group = next()?;
            if group >= 10_000 {
                return Err(invalid_binary("digit"));
            }
            digits.push_str(&format!("{group:04}"));
        }
        if bytes.len() != 8 + 2 * usize::from(count) {
            return Err(SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format"));
        }
        // The first group counts 10000^weight: digits after the point = all digits - 4·(weight + 1).
        let mut after_point = i64::from(count) * 4 - 4 * (weight + 1);
        let excess = usize::try_from((after_point - i64::from(scale)).max(0)).unwrap_or(usize::MAX);
        digits.truncate(digits.len().saturating_sub(excess));
        after_point = after_point.min(i64::from(scale));
        let missing = usize::try_from((i64::from(scale) - after_point.max(0)).max(0)).unwrap_or(0);
        if after_point >= 0 {
            digits.push_str(&"0".repeat(missing));
            after_point = i64::from(scale);
            return Self::from_digits(sign == SIGN_NEGATIVE, &digits, after_point);
        }
        Self::from_digits(sign == SIGN_NEGATIVE, &digits, after_point)?.trunc(i32::from(scale))
    }

    /// Appends bytes that compare as the numbers do; equal numbers of different scale give equal bytes, and no key is a
    /// prefix of another.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        let Some((negative, digits)) = self.digits() else {
            out.push(match self.parts() {
                Parts::Infinity => KEY_INFINITY,
                Parts::NegInfinity => KEY_NEG_INFINITY,
                _ => KEY_NAN,
            });
            return;
        };
        let significant = digits.trim_end_matches('0').as_bytes();
        if significant.is_empty() {
            out.push(KEY_ZERO);
            return;
        }
        out.push(if negative { KEY_NEGATIVE } else { KEY_POSITIVE });
        let start = out.len();
        let position = digits.len() as i64 - i64::from(self.scale()) + KEY_EXPONENT_BIAS;
        out.extend_from_slice(&u32::try_from(position).unwrap_or(0).to_be_bytes()[1..]);
        // Pairs of digits as 1..=100, ended by 0: a longer fraction is the greater one.
        for pair in significant.chunks(2) {
            let tens = (pair[0] - b'0') * 10;
            let ones = pair.get(1).map_or(0, |digit| digit - b'0');
            out.push(tens + ones + 1);
        }
        out.push(0);
        if negative {
            for byte in &mut out[start..] {
                *byte = !*byte;
            }
        }
    }

    /// Reads a key and removes it from `input`. `flip` undoes a complement of all bytes (descending columns).
    pub fn read_key(input: &mut &[u8], flip: bool) -> Result<Self, SqlError> {
        let mut next = |invert: bool| -> Result<u8, SqlError> {
            let (first, rest) = input.split_first().ok_or_else(corrupted)?;
            *input = rest;
            Ok(if invert == flip { *first } else { !*first })
        };
        let class = next(false)?;
        let negative = match class {
            KEY_NEG_INFINITY => return Ok(Self::NEG_INFINITY),
            KEY_INFINITY => return Ok(Self::INFINITY),
            KEY_NAN => return Ok(Self::NAN),
            KEY_ZERO => return Ok(Self::ZERO),
            KEY_NEGATIVE => true,
            KEY_POSITIVE => false,
            _ => return Err(corrupted()),
        };
        let mut position = 0_i64;
        for _ in 0..3 {
            position = (position << 8) | i64::from(next(negative)?);
        }
        position -= KEY_EXPONENT_BIAS;
        let mut digits = String::new();
        loop {
            match next(negative)? {
                0 => break,
                pair @ 1..=100 => digits.push_str(&format!("{:02}", pair - 1)),
                _ => return Err(corrupted()),
            }
        }
        if digits.ends_with('0') {
            digits.pop();
        }
        Self::from_digits(negative, &digits, digits.len() as i64 - position).map_err(|_| corrupted())
    }

    /// Appends the compact form: a byte of class, the scale, the mantissa as little-endian two's complement.
    pub fn write_compact(&self, out: &mut Vec<u8>) {
        match self.parts() {
            Parts::NaN => out.push(KEY_NAN),
            Parts::Infinity => out.push(KEY_INFINITY),
            Parts::NegInfinity => out.push(KEY_NEG_INFINITY),
            Parts::Small(mantissa, scale) => {
                out.push(KEY_ZERO);
                out.extend_from_slice(&scale.to_le_bytes());
                let bytes = mantissa.to_le_bytes();
                // Redundant copies of the sign are left out.
                let mut length = bytes.len();
                let fill = if mantissa < 0 { 0xff } else { 0 };
                while length > 0
                    && bytes[length - 1] == fill
                    && (length == 1 && fill == 0 || length > 1 && (bytes[length - 2] >= 0x80) == (fill == 0xff))
                {
                    length -= 1;
                }
                out.extend_from_slice(&bytes[..length]);
            }
            Parts::Big(mantissa, scale) => {
                out.push(KEY_POSITIVE);
                out.extend_from_slice(&scale.to_le_bytes());
                out.extend_from_slice(&mantissa.to_signed_bytes_le());
            }
        }
    }

    /// Reads all of `bytes` as the compact form.
    pub fn read_compact(bytes: &[u8]) -> Result<Self, SqlError> {
        match bytes {
            [KEY_NAN] => Ok(Self::NAN),
            [KEY_INFINITY] => Ok(Self::INFINITY),
            [KEY_NEG_INFINITY] => Ok(Self::NEG_INFINITY),
            [KEY_ZERO, low, high, mantissa @ ..] if mantissa.len() <= 16 => {
                let scale = u16::from_le_bytes([*low, *high]);
                let negative = mantissa.last().is_some_and(|byte| *byte >= 0x80);
                let mut whole = [if negative { 0xff } else { 0 }; 16];
                whole[..mantissa.len()].copy_from_slice(mantissa);
                if scale > MAX_SCALE {
                    return Err(corrupted());
                }
                Ok(Self::small(i128::from_le_bytes(whole), scale))
            }
            [KEY_POSITIVE, low, high, mantissa @ ..] => {
                let scale = u32::from(u16::from_le_bytes([*low, *high]));
                Self::checked(BigInt::from_signed_bytes_le(mantissa), scale).map_err(|_| corrupted())
            }
            _ => Err(corrupted()),
        }
    }
}

impl Serialize for Numeric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        self.write_compact(&mut bytes);
        serde::Serialize::serialize(&bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for Numeric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <Vec<u8> as Deserialize>::deserialize(deserializer)?;
        Self::read_compact(&bytes).map_err(serde::de::Error::custom)
    }
}

const _: () = assert!(size_of::<Repr>() <= 32, "a numeric is not to be larger than the other values");
