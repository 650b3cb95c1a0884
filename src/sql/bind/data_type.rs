//! Type names to types.

use crate::sql::parse::character_position;
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::ast::{self, CharacterLength, ExactNumberInfo, Spanned, TimezoneInfo};

/// Most characters of `varchar(n)` and `char(n)`.
const MAX_LENGTH: u64 = 10_485_760;

/// The type that a name stands for.
pub(in crate::sql) fn data_type(name: &ast::DataType) -> Result<DataType, SqlError> {
    use ast::DataType as Ast;
    Ok(match name {
        Ast::Bool | Ast::Boolean => DataType::Bool,
        Ast::SmallInt(None) | Ast::Int2(None) => DataType::Int2,
        Ast::Int(None) | Ast::Integer(None) | Ast::Int4(None) => DataType::Int4,
        Ast::BigInt(None) | Ast::Int8(None) => DataType::Int8,
        Ast::DoublePrecision | Ast::Float8 | Ast::Double(ExactNumberInfo::None) => DataType::Float8,
        Ast::Float(ExactNumberInfo::None) => DataType::Float8,
        Ast::Float(ExactNumberInfo::Precision(25..=53)) => DataType::Float8,
        Ast::Float(ExactNumberInfo::Precision(1..=24)) | Ast::Real | Ast::Float4 => {
            return Err(SqlError::unsupported("type real is not supported").hint("Use double precision."));
        }
        Ast::Numeric(info) | Ast::Decimal(info) | Ast::Dec(info) => DataType::Numeric(precision(info)?),
        Ast::Text => DataType::Text,
        Ast::Varchar(length) | Ast::CharacterVarying(length) | Ast::CharVarying(length) => {
            DataType::Varchar(characters("varchar", length.as_ref())?)
        }
        Ast::Char(length) | Ast::Character(length) => DataType::Char(characters("char", length.as_ref())?.unwrap_or(1)),
        Ast::Bytea => DataType::Bytea,
        Ast::Date => DataType::Date,
        Ast::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Timestamp,
        Ast::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => DataType::TimestampTz,
        Ast::Uuid => DataType::Uuid,
        Ast::Custom(name, modifiers) => return custom(name, modifiers),
        other => {
            return Err(SqlError::unsupported(format!("type {} is not supported", other.to_string().to_lowercase())));
        }
    })
}

fn custom(name: &ast::ObjectName, modifiers: &[String]) -> Result<DataType, SqlError> {
    let name = super::name_parts(name)?.pop().unwrap_or_default();
    if ["serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"].contains(&name.as_str()) {
        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
            .hint("It is a way to define a column of CREATE TABLE: an integer with a sequence."));
    }
    match (name.as_str(), modifiers) {
        ("bpchar", []) => Ok(DataType::Char(0)),
        (
            "time" | "timetz" | "interval" | "json" | "jsonb" | "inet" | "cidr" | "money" | "xml" | "oid" | "regclass"
            | "name",
            _,
        ) => Err(SqlError::unsupported(format!("type {name} is not supported"))),
        _ => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))),
    }
}

fn precision(info: &ExactNumberInfo) -> Result<Option<(u16, i16)>, SqlError> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let error = |message: String| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    match (u16::try_from(precision), i16::try_from(scale)) {
        (Ok(p @ 1..=1000), Ok(s @ -1000..=1000)) => Ok(Some((p, s))),
        (Ok(1..=1000), _) => error(format!("NUMERIC scale {scale} must be between -1000 and 1000")),
        _ => error(format!("NUMERIC precision {precision} must be between 1 and 1000")),
    }
}

fn characters(name: &str, length: Option<&CharacterLength>) -> Result<Option<u32>, SqlError> {
    let error = |message: String| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            error(format!("length for type {name} must be at least 1"))
        }
        Some(CharacterLength::IntegerLength { length, .. }) if *length <= MAX_LENGTH => {
            Ok(Some(u32::try_from(*length).unwrap_or(u32::MAX)))
        }
        _ => error(format!("length for type {name} cannot exceed {MAX_LENGTH}")),
    }
}

/// As [`data_type`], of a definition whose text is given: an unknown type has its place in it.
pub(in crate::sql) fn data_type_in(name: &ast::DataType, text: &str) -> Result<DataType, SqlError> {
    data_type(name).map_err(|error| match name {
        ast::DataType::Custom(custom, _) if error.position.is_none() => {
            error.at(character_position(text, custom.span().start))
        }
        _ => error,
    })
}
