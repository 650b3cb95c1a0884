//! SQL values.

use super::numeric::Numeric;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// One SQL value. Which [`super::DataType`] it has beyond its variant is known from the plan or the column, not from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// `date`: days since 2000-01-01
    Date(i32),
    /// `timestamp`: microseconds since 2000-01-01 00:00:00
    Timestamp(i64),
    /// `timestamptz`: microseconds since 2000-01-01 00:00:00 UTC
    TimestampTz(i64),
    /// `uuid`
    Uuid([u8; 16]),
}

impl Value {
    /// Is it NULL?
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}
