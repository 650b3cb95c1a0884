//! SQL types with their modifiers.

use serde::{Deserialize, Serialize};

/// A column's or expression's type. Modifiers are part of it: `varchar(3)` and `varchar` differ on assignment only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `double precision`
    Float8,
    /// `numeric`, or `numeric(precision, scale)`
    Numeric(Option<(u16, i16)>),
    /// `text`
    Text,
    /// `varchar`, or `varchar(n)` with n in characters
    Varchar(Option<u32>),
    /// `char(n)`: blank-padded
    Char(u32),
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `uuid`
    Uuid,
}
