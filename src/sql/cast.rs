//! Casts: which exist, when they are applied by themselves, and what they do.

use super::context::Context;
use crate::types::numeric::Numeric;
use crate::types::text;
use crate::types::value::trim_blanks;
use crate::types::{DataType, SqlError, SqlState, Value, datetime};
use smol_str::SmolStr;

/// How strongly a cast was asked for; each allows what those before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    /// Nobody asked: an operand or argument of another type.
    Implicit,
    /// The value is stored in a column.
    Assignment,
    /// `CAST(x AS t)`, `x::t`.
    Explicit,
}

/// The weakest context in which a cast between types is applied; `None`: there is none.
#[must_use]
pub fn cast_strength(from: DataType, to: DataType) -> Option<CastContext> {
    use CastContext::{Assignment, Explicit, Implicit};
    use DataType::{Bool, Date, Float8, Int2, Int4, Int8, Numeric, Timestamp, TimestampTz};
    if from.base() == to.base() {
        return Some(Implicit);
    }
    if to.is_string() {
        return Some(if from.is_string() { Implicit } else { Assignment });
    }
    if from.is_string() {
        return Some(Explicit);
    }
    match (from, to) {
        (Int2, Int4 | Int8 | Numeric(_) | Float8)
        | (Int4, Int8 | Numeric(_) | Float8)
        | (Int8, Numeric(_) | Float8)
        | (Numeric(_), Float8)
        | (Date, Timestamp | TimestampTz)
        | (Timestamp, TimestampTz) => Some(Implicit),
        (Int4 | Int8 | Numeric(_) | Float8, Int2)
        | (Int8 | Numeric(_) | Float8, Int4)
        | (Numeric(_) | Float8, Int8)
        | (Float8, Numeric(_))
        | (Timestamp, Date)
        | (TimestampTz, Date | Timestamp) => Some(Assignment),
        (Int4, Bool) | (Bool, Int4) => Some(Explicit),
        _ => None,
    }
}

/// May it be cast in this context?
#[must_use]
pub fn can_cast(from: DataType, to: DataType, context: CastContext) -> bool {
    cast_strength(from, to).is_some_and(|strength| strength <= context)
}

/// Does casting change nothing of any value? (Then the planner may drop it, and use an index below it.)
#[must_use]
pub fn is_relabel(from: DataType, to: DataType) -> bool {
    from == to
        || match to {
            DataType::Text | DataType::Varchar(None) => matches!(from, DataType::Text | DataType::Varchar(_)),
            DataType::Numeric(None) => matches!(from, DataType::Numeric(_)),
            DataType::Char(0) => from.is_string(),
            _ => false,
        }
}

/// `42846` for a cast that does not exist.
#[must_use]
pub fn cannot_cast(from: DataType, to: DataType) -> SqlError {
    SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {} to {}", from.base_name(), to.base_name()))
}

/// Casts a value of type `from`. NULL stays NULL. The context decides what a too long string does; whether the cast may
/// be used there at all is [`can_cast`]'s to say.
pub fn cast(
    context: &Context,
    value: Value,
    from: DataType,
    to: DataType,
    strength: CastContext,
) -> Result<Value, SqlError> {
    if value.is_null() || is_relabel(from, to) {
        return Ok(value);
    }
    let converted = convert(context, value, from, to)?;
    apply_modifier(converted, to, strength)
}

/// The value of an untyped literal or text parameter as `to`; `'abcd'::varchar(3)` is explicit.
pub fn cast_literal(context: &Context, literal: &str, to: DataType, strength: CastContext) -> Result<Value, SqlError> {
    apply_modifier(text::parse(literal, to.base(), &context.time)?, to, strength)
}

/// Makes a value of the base type fit the modifiers of `to`: rounds `numeric(p,s)`, pads `char(n)`, and cuts
/// strings off when asked explicitly, else refuses (22001) unless only blanks go.
pub fn apply_modifier(value: Value, to: DataType, strength: CastContext) -> Result<Value, SqlError> {
    match (value, to) {
        (Value::Numeric(number), DataType::Numeric(Some((precision, scale)))) => {
            Ok(Value::Numeric(number.fit(precision, scale)?))
        }
        (Value::Text(text), DataType::Varchar(Some(length))) => {
            Ok(Value::Text(limit(text, length as usize, to, strength)?))
        }
        (Value::Text(text), DataType::Char(length)) if length > 0 => {
            let length = length as usize;
            let text = limit(text, length, to, strength)?;
            let missing = length.saturating_sub(text.chars().count());
            if missing == 0 {
                return Ok(Value::Text(text));
            }
            Ok(Value::text(format!("{text}{:missing$}", "")))
        }
        (value, _) => Ok(value),
    }
}

fn limit(text: SmolStr, length: usize, to: DataType, strength: CastContext) -> Result<SmolStr, SqlError> {
    let Some((at, _)) = text.char_indices().nth(length) else { return Ok(text) };
    if strength != CastContext::Explicit && !text[at..].bytes().all(|byte| byte == b' ') {
        let message = format!("value too long for type {to}");
        return Err(SqlError::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message));
    }
    Ok(SmolStr::new(&text[..at]))
}

fn out_of_range(to: DataType) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", to.base_name()))
}

fn convert(context: &Context, value: Value, from: DataType, to: DataType) -> Result<Value, SqlError> {
    if from.base() == to.base() {
        return Ok(value);
    }
    if to.is_string() {
        return Ok(match value {
            // The blanks of a char(n) mean nothing and do not travel.
            Value::Text(text) if matches!(from, DataType::Char(_)) => Value::text(trim_blanks(&text)),
            Value::Text(text) => Value::Text(text),
            Value::Bool(value) => Value::text(if value { "true" } else { "false" }),
            other => Value::text(text::print(&other, &context.time.zone)),
        });
    }
    if let Value::Text(text) = &value {
        return text::parse(text, to.base(), &context.time);
    }
    match to {
        DataType::Bool => Ok(Value::Bool(value.as_i64() != Some(0))),
        DataType::Int2 | DataType::Int4 | DataType::Int8 => to_integer(&value, from, to),
        DataType::Float8 => Ok(Value::Float8(match &value {
            Value::Numeric(number) => number.to_f64()?,
            other => other.as_i64().ok_or_else(|| cannot_cast(from, to))? as f64,
        })),
        DataType::Numeric(_) => Ok(Value::Numeric(match &value {
            Value::Float8(number) => Numeric::from_f64(*number),
            other => Numeric::from(other.as_i64().ok_or_else(|| cannot_cast(from, to))?),
        })),
        DataType::Date | DataType::Timestamp | DataType::TimestampTz => {
            to_time(context, &value, to).unwrap_or_else(|| Err(cannot_cast(from, to)))
        }
        _ => Err(cannot_cast(from, to)),
    }
}

fn to_integer(value: &Value, from: DataType, to: DataType) -> Result<Value, SqlError> {
    let whole = match value {
        Value::Bool(value) => i64::from(*value),
        Value::Numeric(number) => {
            return Ok(match to {
                DataType::Int2 => Value::Int2(number.to_i16()?),
                DataType::Int4 => Value::Int4(number.to_i32()?),
                _ => Value::Int8(number.to_i64()?),
            });
        }
        // Half to even, as the C library's rint does.
        Value::Float8(number) => {
            let rounded = libm::rint(*number);
            if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                return Err(out_of_range(to));
            }
            rounded as i64
        }
        other => other.as_i64().ok_or_else(|| cannot_cast(from, to))?,
    };
    let fail = |_| out_of_range(to);
    Ok(match to {
        DataType::Int2 => Value::Int2(i16::try_from(whole).map_err(fail)?),
        DataType::Int4 => Value::Int4(i32::try_from(whole).map_err(fail)?),
        _ => Value::Int8(whole),
    })
}

fn to_time(context: &Context, value: &Value, to: DataType) -> Option<Result<Value, SqlError>> {
    let zone = &context.time.zone;
    Some(match (value, to) {
        (Value::Date(days), DataType::Timestamp) => datetime::date_to_timestamp(*days).map(Value::Timestamp),
        (Value::Date(days), DataType::TimestampTz) => datetime::date_to_timestamp(*days)
            .and_then(|micros| datetime::local_to_utc(micros, zone))
            .map(Value::TimestampTz),
        (Value::Timestamp(micros), DataType::Date) => Ok(Value::Date(datetime::timestamp_to_date(*micros))),
        (Value::Timestamp(micros), DataType::TimestampTz) => {
            datetime::local_to_utc(*micros, zone).map(Value::TimestampTz)
        }
        (Value::TimestampTz(micros), DataType::Date) => {
            datetime::utc_to_local(*micros, zone).map(|local| Value::Date(datetime::timestamp_to_date(local)))
        }
        (Value::TimestampTz(micros), DataType::Timestamp) => {
            datetime::utc_to_local(*micros, zone).map(Value::Timestamp)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;
    use crate::types::random::{Rng, SeedableRng};

    fn context() -> Context {
        Context::new(Timestamp(0), Rng::from_seed([1; 32]), "UTC", 0)
    }

    fn literal(text: &str, to: DataType, strength: CastContext) -> Result<String, SqlError> {
        let context = context();
        cast_literal(&context, text, to, strength).map(|value| text::print(&value, &context.time.zone))
    }

    #[test]
    fn strings_are_cut_only_when_asked() {
        use CastContext::{Assignment, Explicit};
        assert_eq!(literal("abcd", DataType::Varchar(Some(3)), Explicit).unwrap(), "abc");
        let error = literal("abcd", DataType::Varchar(Some(3)), Assignment).unwrap_err();
        assert_eq!(error.to_string(), "22001: value too long for type character varying(3)");
        assert_eq!(literal("ab  ", DataType::Varchar(Some(3)), Assignment).unwrap(), "ab ");
        assert_eq!(literal("äö", DataType::Char(4), Assignment).unwrap(), "äö  ");
    }

    #[test]
    fn numbers_round_and_overflow_as_in_postgresql() {
        let context = context();
        let to = |value, from, to| cast(&context, value, from, to, CastContext::Explicit);
        assert_eq!(to(Value::Float8(2.5), DataType::Float8, DataType::Int4).unwrap(), Value::Int4(2));
        assert_eq!(
            to(Value::Int4(40_000), DataType::Int4, DataType::Int2).unwrap_err().to_string(),
            "22003: smallint out of range"
        );
        assert_eq!(to(Value::Null, DataType::Int4, DataType::Text).unwrap(), Value::Null);
        assert_eq!(cannot_cast(DataType::Bool, DataType::Date).message, "cannot cast type boolean to date");
    }

    #[test]
    fn strength_of_casts() {
        assert!(can_cast(DataType::Int4, DataType::Numeric(None), CastContext::Implicit));
        assert!(!can_cast(DataType::Int8, DataType::Int4, CastContext::Implicit));
        assert!(can_cast(DataType::Int8, DataType::Int4, CastContext::Assignment));
        assert!(!can_cast(DataType::Text, DataType::Int4, CastContext::Assignment));
        assert!(!can_cast(DataType::Bool, DataType::Numeric(None), CastContext::Explicit));
    }
}
