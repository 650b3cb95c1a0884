//! SQL values: comparison, equality and hashing.

use super::data_type::DataType;
use super::numeric::Numeric;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// One SQL value. Which [`super::DataType`] it has beyond its variant is known from the plan or the column, not from it.
///
/// `Ord`, `Eq` and `Hash` agree and are total, PostgreSQL's order of one type: NaN equals itself and is the greatest
/// float, `-0 = 0`, `1.0 = 1.00` as numeric, text by bytes (collation C), and NULL after everything (the place that
/// ascending order gives it). Across variants the order is that of the variants and means nothing;
/// [`Value::compare`] knows that integers compare with each other. `char(n)` is not known from the value: see
/// [`Value::compare_as`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Value {
    /// SQL NULL of any type.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    Int2(i16),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `double precision`
    Float8(f64),
    /// `numeric`
    Numeric(Numeric),
    /// `text`, `varchar`, `char(n)` (blanks included)
    Text(SmolStr),
    /// `bytea`
    Bytea(Bytes),
    /// `date`: days since 2000-01-01; the extremes of `i32` are `-infinity` and `infinity`
    Date(i32),
    /// `timestamp`: microseconds since 2000-01-01 00:00:00; the extremes of `i64` are `-infinity` and `infinity`
    Timestamp(i64),
    /// `timestamptz`: microseconds since 2000-01-01 00:00:00 UTC; extremes as for `timestamp`
    TimestampTz(i64),
    /// `uuid`
    Uuid([u8; 16]),
}

/// Order of `double precision`: NaN is the greatest and equals itself, `-0 = 0`.
#[must_use]
pub fn compare_float8(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Text of a `char(n)` as it compares: without trailing blanks.
#[must_use]
pub fn trim_blanks(text: &str) -> &str {
    text.trim_end_matches(' ')
}

impl Value {
    /// A text value.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(SmolStr::new(text))
    }

    /// Is it NULL?
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Any integer, as the widest.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int2(value) => Some(*value as i64),
            Self::Int4(value) => Some(*value as i64),
            Self::Int8(value) => Some(*value),
            _ => None,
        }
    }

    /// The text of a string value.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean's value.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int2(_) => 1,
            Self::Int4(_) => 2,
            Self::Int8(_) => 3,
            Self::Float8(_) => 4,
            Self::Numeric(_) => 5,
            Self::Text(_) => 6,
            Self::Bytea(_) => 7,
            Self::Date(_) => 8,
            Self::Timestamp(_) => 9,
            Self::TimestampTz(_) => 10,
            Self::Uuid(_) => 11,
            Self::Null => u8::MAX,
        }
    }

    /// Order of two values of one type, or of any two integers. NULL comes last and equals NULL.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Float8(a), Self::Float8(b)) => compare_float8(*a, *b),
            (Self::Numeric(a), Self::Numeric(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Bytea(a), Self::Bytea(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) | (Self::TimestampTz(a), Self::TimestampTz(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => match (self.as_i64(), other.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }

    /// Order of two values of `data_type`: as [`Self::compare`], but `char(n)` without its trailing blanks.
    #[must_use]
    pub fn compare_as(&self, other: &Self, data_type: DataType) -> Ordering {
        match (self, other, data_type) {
            (Self::Text(a), Self::Text(b), DataType::Char(_)) => {
                trim_blanks(a).as_bytes().cmp(trim_blanks(b).as_bytes())
            }
            _ => self.compare(other),
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        // Integers of different width are different variants here, so that `Eq` agrees with `Hash`.
        if self.rank() == other.rank() { self.compare(other) } else { self.rank().cmp(&other.rank()) }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.rank());
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Int2(value) => value.hash(state),
            Self::Int4(value) | Self::Date(value) => value.hash(state),
            Self::Int8(value) | Self::Timestamp(value) | Self::TimestampTz(value) => value.hash(state),
            Self::Float8(value) => canonical_bits(*value).hash(state),
            Self::Numeric(value) => value.hash(state),
            Self::Text(value) => value.hash(state),
            Self::Bytea(value) => value.hash(state),
            Self::Uuid(value) => value.hash(state),
        }
    }
}

/// Bits of a float, the same for equal values: one NaN, one zero.
#[must_use]
pub fn canonical_bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_postgresql() {
        assert_eq!(Value::Float8(f64::NAN).compare(&Value::Float8(f64::INFINITY)), Ordering::Greater);
        assert_eq!(Value::Float8(f64::NAN), Value::Float8(-f64::NAN));
        assert_eq!(Value::Float8(-0.0), Value::Float8(0.0));
        assert_eq!(Value::Int2(3).compare(&Value::Int8(3)), Ordering::Equal);
        assert_eq!(Value::Null.compare(&Value::Int8(i64::MAX)), Ordering::Greater);
        assert_eq!(Value::text("a ").compare_as(&Value::text("a"), DataType::Char(2)), Ordering::Equal);
        assert_eq!(Value::text("a ").compare(&Value::text("a")), Ordering::Greater);
    }
}

/// Arbitrary values for the property tests of this and other modules.
#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;
    use proptest::prelude::*;

    fn any_numeric() -> BoxedStrategy<Numeric> {
        prop_oneof![
            (any::<i64>(), 0_u16..25).prop_map(|(mantissa, scale)| Numeric::from_parts(i128::from(mantissa), scale)),
            (any::<i128>(), 0_u16..40).prop_map(|(mantissa, scale)| Numeric::from_parts(mantissa, scale)),
            (-20_i64..20, 0_u16..4).prop_map(|(mantissa, scale)| Numeric::from_parts(i128::from(mantissa), scale)),
            ("-?[1-9][0-9]{0,80}(\\.[0-9]{1,60})?").prop_map(|text| Numeric::parse(&text).unwrap()),
            Just(Numeric::NAN),
            Just(Numeric::INFINITY),
            Just(Numeric::NEG_INFINITY),
        ]
        .boxed()
    }

    /// A value of a type, or NULL.
    pub(crate) fn any_value_of(data_type: DataType) -> BoxedStrategy<Value> {
        let value = match data_type {
            DataType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            DataType::Int2 => any::<i16>().prop_map(Value::Int2).boxed(),
            DataType::Int4 => prop_oneof![any::<i32>(), -3..3].prop_map(Value::Int4).boxed(),
            DataType::Int8 => prop_oneof![any::<i64>(), -300_i64..300].prop_map(Value::Int8).boxed(),
            DataType::Float8 => prop_oneof![
                any::<f64>(),
                any::<u64>().prop_map(f64::from_bits),
                proptest::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, 1.0, -1.0])
            ]
            .prop_map(Value::Float8)
            .boxed(),
            DataType::Numeric(_) => any_numeric().prop_map(Value::Numeric).boxed(),
            DataType::Text | DataType::Varchar(_) => {
                prop_oneof!["[a\u{0} b]{0,4}", any::<String>()].prop_map(Value::text).boxed()
            }
            DataType::Char(_) => "[a b\n]{0,5}".prop_map(Value::text).boxed(),
            DataType::Bytea => proptest::collection::vec(prop_oneof![Just(0), Just(255), any::<u8>()], 0..6)
                .prop_map(|bytes| Value::Bytea(Bytes::from(bytes)))
                .boxed(),
            DataType::Date => any::<i32>().prop_map(Value::Date).boxed(),
            DataType::Timestamp => any::<i64>().prop_map(Value::Timestamp).boxed(),
            DataType::TimestampTz => any::<i64>().prop_map(Value::TimestampTz).boxed(),
            DataType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        };
        prop_oneof![9 => value, 1 => Just(Value::Null)].boxed()
    }

    /// A value of any type.
    pub(crate) fn any_value() -> BoxedStrategy<Value> {
        proptest::sample::select(DataType::ALL.to_vec()).prop_flat_map(any_value_of).boxed()
    }
}
