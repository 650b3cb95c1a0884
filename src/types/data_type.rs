//! SQL types with their modifiers, and what PostgreSQL knows of each: name, OID, length, category.

use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// `char(n)`: blank-padded. 0 stands for PostgreSQL's `bpchar` without a length, which signatures use.
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

/// PostgreSQL's grouping of types, by which overloaded names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// `boolean`
    Boolean,
    /// Numbers; `double precision` is preferred.
    Numeric,
    /// Strings; `text` is preferred.
    String,
    /// Dates and times; `timestamp with time zone` is preferred.
    DateTime,
    /// Everything else; nothing is preferred.
    User,
}

impl DataType {
    /// One of each kind, without modifiers, in the order of the variants.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Int2,
        Self::Int4,
        Self::Int8,
        Self::Float8,
        Self::Numeric(None),
        Self::Text,
        Self::Varchar(None),
        Self::Char(0),
        Self::Bytea,
        Self::Date,
        Self::Timestamp,
        Self::TimestampTz,
        Self::Uuid,
    ];

    /// The type without its modifiers.
    #[must_use]
    pub const fn base(self) -> Self {
        match self {
            Self::Numeric(_) => Self::Numeric(None),
            Self::Varchar(_) => Self::Varchar(None),
            Self::Char(_) => Self::Char(0),
            other => other,
        }
    }

    /// Name without modifiers, as PostgreSQL's messages have it: `character varying`.
    #[must_use]
    pub const fn base_name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float8 => "double precision",
            Self::Numeric(_) => "numeric",
            Self::Text => "text",
            Self::Varchar(_) => "character varying",
            Self::Char(_) => "character",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Timestamp => "timestamp without time zone",
            Self::TimestampTz => "timestamp with time zone",
            Self::Uuid => "uuid",
        }
    }

    /// Name in `pg_type`: `varchar`, `int4`.
    #[must_use]
    pub const fn internal_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Float8 => "float8",
            Self::Numeric(_) => "numeric",
            Self::Text => "text",
            Self::Varchar(_) => "varchar",
            Self::Char(_) => "bpchar",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Uuid => "uuid",
        }
    }

    /// PostgreSQL's OID.
    #[must_use]
    pub const fn oid(self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Bytea => 17,
            Self::Int8 => 20,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Text => 25,
            Self::Float8 => 701,
            Self::Char(_) => 1042,
            Self::Varchar(_) => 1043,
            Self::Date => 1082,
            Self::Timestamp => 1114,
            Self::TimestampTz => 1184,
            Self::Numeric(_) => 1700,
            Self::Uuid => 2950,
        }
    }

    /// The type, without modifiers, of an OID; `None` for 0, 705 (unknown) and what Orrery does not have.
    #[must_use]
    pub fn from_oid(oid: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.oid() == oid)
    }

    /// `typlen`: bytes of a value of fixed length, -1 for the others.
    #[must_use]
    pub const fn length(self) -> i16 {
        match self {
            Self::Bool => 1,
            Self::Int2 => 2,
            Self::Int4 | Self::Date => 4,
            Self::Int8 | Self::Float8 | Self::Timestamp | Self::TimestampTz => 8,
            Self::Uuid => 16,
            Self::Numeric(_) | Self::Text | Self::Varchar(_) | Self::Char(_) | Self::Bytea => -1,
        }
    }

    /// `atttypmod`: the modifiers as PostgreSQL packs them, -1 without.
    #[must_use]
    pub fn modifier(self) -> i32 {
        match self {
            Self::Varchar(Some(n)) => i32::try_from(n).map_or(-1, |n| n.saturating_add(4)),
            Self::Char(n) if n > 0 => i32::try_from(n).map_or(-1, |n| n.saturating_add(4)),
            Self::Numeric(Some((precision, scale))) => {
                ((i32::from(precision) << 16) | (i32::from(scale) & 0x7ff)).saturating_add(4)
            }
            _ => -1,
        }
    }

    /// Category for the resolution of overloaded names.
    #[must_use]
    pub const fn category(self) -> Category {
        match self {
            Self::Bool => Category::Boolean,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Float8 | Self::Numeric(_) => Category::Numeric,
            Self::Text | Self::Varchar(_) | Self::Char(_) => Category::String,
            Self::Date | Self::Timestamp | Self::TimestampTz => Category::DateTime,
            Self::Bytea | Self::Uuid => Category::User,
        }
    }

    /// Is it the type that its category prefers?
    #[must_use]
    pub const fn is_preferred(self) -> bool {
        matches!(self, Self::Bool | Self::Float8 | Self::Text | Self::TimestampTz)
    }

    /// Is it `text`, `varchar` or `char(n)`?
    #[must_use]
    pub const fn is_string(self) -> bool {
        matches!(self.category(), Category::String)
    }
}

/// As PostgreSQL's `format_type` has it, with modifiers: `character varying(3)`, `numeric(10,2)`.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base_name())?;
        match self {
            Self::Varchar(Some(n)) => write!(f, "({n})"),
            Self::Char(n) if *n > 0 => write!(f, "({n})"),
            Self::Numeric(Some((precision, scale))) => write!(f, "({precision},{scale})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_modifiers_are_those_of_postgresql() {
        assert_eq!(DataType::Varchar(Some(3)).to_string(), "character varying(3)");
        assert_eq!(DataType::Numeric(Some((10, 2))).to_string(), "numeric(10,2)");
        assert_eq!(DataType::Numeric(Some((10, 2))).modifier(), 655_366);
        assert_eq!(DataType::Numeric(Some((3, -2))).modifier(), 198_654 + 4);
        assert_eq!(DataType::Char(4).modifier(), 8);
        for data_type in DataType::ALL {
            assert_eq!(DataType::from_oid(data_type.oid()), Some(data_type));
            assert_eq!(data_type.base(), data_type);
        }
    }
}
