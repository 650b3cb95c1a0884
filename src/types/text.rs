//! PostgreSQL's text forms: input and output of every type.

use super::data_type::DataType;
use super::datetime::{self, TimeContext, TimeZone};
use super::error::{SqlError, SqlState};
use super::numeric::Numeric;
use super::value::Value;
use bytes::Bytes;
use std::fmt::Write;

/// A type's input function: the value that `text` denotes. Modifiers are not applied (`sql::cast::apply_modifier` does).
pub fn parse(text: &str, data_type: DataType, time: &TimeContext) -> Result<Value, SqlError> {
    if text.contains('\0') {
        return Err(SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(match data_type {
        DataType::Bool => Value::Bool(parse_bool(text)?),
        DataType::Int2 => Value::Int2(parse_integer(text, data_type)?),
        DataType::Int4 => Value::Int4(parse_integer(text, data_type)?),
        DataType::Int8 => Value::Int8(parse_integer(text, data_type)?),
        DataType::Float8 => Value::Float8(parse_float8(text)?),
        DataType::Numeric(_) => Value::Numeric(Numeric::parse(text)?),
        DataType::Text | DataType::Varchar(_) | DataType::Char(_) => Value::text(text),
        DataType::Bytea => Value::Bytea(Bytes::from(parse_bytea(text)?)),
        DataType::Date => Value::Date(datetime::parse_date(text, time)?),
        DataType::Timestamp => Value::Timestamp(datetime::parse_timestamp(text, time)?),
        DataType::TimestampTz => Value::TimestampTz(datetime::parse_timestamptz(text, time)?),
        DataType::Uuid => Value::Uuid(parse_uuid(text)?),
    })
}

/// A type's output function; NULL prints as nothing. Timestamps with time zone are shown in `zone`.
#[must_use]
pub fn print(value: &Value, zone: &TimeZone) -> String {
    let mut out = String::new();
    write_value(&mut out, value, zone);
    out
}

/// Appends what [`print()`] gives.
pub fn write_value(out: &mut String, value: &Value, zone: &TimeZone) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Bool(value) => out.write_str(if *value { "t" } else { "f" }),
        Value::Int2(value) => write!(out, "{value}"),
        Value::Int4(value) => write!(out, "{value}"),
        Value::Int8(value) => write!(out, "{value}"),
        Value::Float8(value) => write_float8(out, *value),
        Value::Numeric(value) => write!(out, "{value}"),
        Value::Text(text) => out.write_str(text),
        Value::Bytea(bytes) => out.write_str("\\x").and_then(|()| write_hex(out, bytes)),
        Value::Date(days) => {
            datetime::write_date(out, *days);
            Ok(())
        }
        Value::Timestamp(micros) => {
            datetime::write_timestamp(out, *micros);
            Ok(())
        }
        Value::TimestampTz(micros) => {
            datetime::write_timestamptz(out, *micros, zone);
            Ok(())
        }
        Value::Uuid(bytes) => write_uuid(out, bytes),
    };
}

/// `22P02`: the text is not of the type.
pub(super) fn syntax_error(data_type: DataType, text: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {}: \"{text}\"", data_type.base_name()),
    )
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn parse_bool(text: &str) -> Result<bool, SqlError> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(syntax_error(DataType::Bool, text))
    }
}

fn parse_integer<T: TryFrom<i128>>(text: &str, data_type: DataType) -> Result<T, SqlError> {
    let body = text.trim_matches(is_space);
    let digits = body.strip_prefix(['-', '+']).unwrap_or(body);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(syntax_error(data_type, text));
    }
    body.parse::<i128>().ok().and_then(|whole| T::try_from(whole).ok()).ok_or_else(|| {
        SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {}", data_type.base_name()),
        )
    })
}

fn parse_float8(text: &str) -> Result<f64, SqlError> {
    let body = text.trim_matches(is_space);
    let unsigned = body.strip_prefix(['-', '+']).unwrap_or(body);
    match unsigned.to_ascii_lowercase().as_str() {
        "nan" => return Ok(f64::NAN),
        "inf" | "infinity" => return Ok(if body.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    // What the standard library takes beyond digits, point and exponent was taken care of above.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(syntax_error(DataType::Float8, text));
    }
    let value: f64 = body.parse().map_err(|_| syntax_error(DataType::Float8, text))?;
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or("");
    if value.is_infinite() || (value == 0.0 && mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))) {
        return Err(SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("\"{body}\" is out of range for type double precision"),
        ));
    }
    Ok(value)
}

/// Shortest digits that read back the same; exponential from 1e+15 and below 1e-4, as PostgreSQL has it.
fn write_float8(out: &mut String, value: f64) -> std::fmt::Result {
    if value.is_nan() {
        return out.write_str("NaN");
    }
    if value.is_infinite() {
        return out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    write!(out, "{value}")
}

fn write_hex(out: &mut String, bytes: &[u8]) -> std::fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    Ok(())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn parse_bytea(text: &str) -> Result<Vec<u8>, SqlError> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escaped(text),
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, SqlError> {
    let invalid = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut rest = text.chars();
    let digit = |c: char| {
        u8::try_from(c).ok().and_then(hex_digit).ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{c}\"")))
    };
    while let Some(first) = rest.next() {
        if matches!(first, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(first)?;
        let low = rest.next().ok_or_else(|| invalid("invalid hexadecimal data: odd number of digits".to_owned()))?;
        out.push((high << 4) | digit(low)?);
    }
    Ok(out)
}

fn parse_escaped(text: &str) -> Result<Vec<u8>, SqlError> {
    let invalid = || SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return Ok(out),
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest
            }
            [b'\\', ..] => return Err(invalid()),
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// 32 digits, with a hyphen allowed after every four, in braces or not.
fn parse_uuid(text: &str) -> Result<[u8; 16], SqlError> {
    let fail = || syntax_error(DataType::Uuid, text);
    let body = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}').ok_or_else(fail)?,
        None => text,
    };
    let mut rest = body.as_bytes();
    let mut out = [0; 16];
    for (at, byte) in out.iter_mut().enumerate() {
        let [high, low, after @ ..] = rest else { return Err(fail()) };
        *byte = (hex_digit(*high).ok_or_else(fail)? << 4) | hex_digit(*low).ok_or_else(fail)?;
        rest = after;
        if at % 2 == 1 && at < 15 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
    }
    if rest.is_empty() { Ok(out) } else { Err(fail()) }
}

fn write_uuid(out: &mut String, bytes: &[u8; 16]) -> std::fmt::Result {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        write_hex(out, &[*byte])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::value::tests_support::any_value_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_comes_back(
            (data_type, value) in proptest::sample::select(DataType::ALL.to_vec())
                .prop_flat_map(|data_type| (Just(data_type), any_value_of(data_type))),
        ) {
            let time = TimeContext::default();
            match parse(&print(&value, &time.zone), data_type, &time) {
                Ok(back) if !value.is_null() => prop_assert_eq!(back, value),
                // Days and instants beyond the range, and NUL in text, cannot be said.
                _ => {}
            }
        }

        #[test]
        fn any_text_is_an_answer(text in "[-+.0-9a-fxein\\\\{} ]{0,20}", at in 0..DataType::ALL.len()) {
            let _ = parse(&text, DataType::ALL[at], &TimeContext::default());
        }
    }

    #[test]
    fn floats_print_as_in_postgresql() {
        for (value, expected) in [
            (1e20, "1e+20"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (-0.0, "-0"),
            (f64::NEG_INFINITY, "-Infinity"),
            (4.9e-324, "5e-324"),
        ] {
            assert_eq!(print(&Value::Float8(value), &TimeZone::utc()), expected);
        }
    }
}
