//! PostgreSQL's binary forms: send and receive of every type.

use super::data_type::DataType;
use super::datetime;
use super::error::{SqlError, SqlState};
use super::numeric::Numeric;
use super::value::Value;
use bytes::Bytes;

/// Appends a value's binary form; nothing for NULL, whose length -1 the protocol carries.
pub fn send(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int2(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Int4(value) | Value::Date(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Int8(value) | Value::Timestamp(value) | Value::TimestampTz(value) => {
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Float8(value) => out.extend_from_slice(&value.to_bits().to_be_bytes()),
        Value::Numeric(value) => value.send(out),
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytea(bytes) => out.extend_from_slice(bytes),
        Value::Uuid(bytes) => out.extend_from_slice(bytes),
    }
}

/// Exactly `N` bytes; PostgreSQL complains of fewer and of more in different words.
fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], SqlError> {
    bytes.try_into().map_err(|_| {
        if bytes.len() < N {
            SqlError::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message")
        } else {
            SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, "incorrect binary data format")
        }
    })
}

fn timestamp(bytes: &[u8]) -> Result<i64, SqlError> {
    let micros = i64::from_be_bytes(exactly(bytes)?);
    if datetime::is_valid_timestamp(micros) {
        Ok(micros)
    } else {
        Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))
    }
}

fn text(bytes: &[u8]) -> Result<Value, SqlError> {
    let invalid = |at: usize| {
        let shown: Vec<String> = bytes[at..].iter().take(4).map(|byte| format!("0x{byte:02x}")).collect();
        SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.valid_up_to()))?;
    match bytes.iter().position(|byte| *byte == 0) {
        Some(_) => Err(SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        )),
        None => Ok(Value::text(text)),
    }
}

/// Reads a value's binary form, all of `bytes`. Modifiers are not applied (`sql::cast::apply_modifier` does).
pub fn receive(bytes: &[u8], data_type: DataType) -> Result<Value, SqlError> {
    Ok(match data_type {
        DataType::Bool => Value::Bool(exactly::<1>(bytes)?[0] != 0),
        DataType::Int2 => Value::Int2(i16::from_be_bytes(exactly(bytes)?)),
        DataType::Int4 => Value::Int4(i32::from_be_bytes(exactly(bytes)?)),
        DataType::Int8 => Value::Int8(i64::from_be_bytes(exactly(bytes)?)),
        DataType::Float8 => Value::Float8(f64::from_bits(u64::from_be_bytes(exactly(bytes)?))),
        DataType::Numeric(_) => Value::Numeric(Numeric::receive(bytes)?),
        DataType::Text | DataType::Varchar(_) | DataType::Char(_) => text(bytes)?,
        DataType::Bytea => Value::Bytea(Bytes::copy_from_slice(bytes)),
        DataType::Date => {
            let days = i32::from_be_bytes(exactly(bytes)?);
            if !datetime::is_valid_date(days) {
                return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range"));
            }
            Value::Date(days)
        }
        DataType::Timestamp => Value::Timestamp(timestamp(bytes)?),
        DataType::TimestampTz => Value::TimestampTz(timestamp(bytes)?),
        DataType::Uuid => Value::Uuid(exactly(bytes)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::value::tests_support::any_value_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn binary_comes_back(
            (data_type, value) in proptest::sample::select(DataType::ALL.to_vec())
                .prop_flat_map(|data_type| (Just(data_type), any_value_of(data_type))),
        ) {
            let mut bytes = Vec::new();
            send(&value, &mut bytes);
            match (&value, receive(&bytes, data_type)) {
                (Value::Null, _) => {}
                (_, Ok(back)) => {
                    prop_assert_eq!(&back, &value);
                    if let (Value::Numeric(a), Value::Numeric(b)) = (&back, &value) {
                        prop_assert_eq!(a.to_string(), b.to_string());
                    }
                }
                // Arbitrary days, instants and texts may be beyond what PostgreSQL's types hold.
                (Value::Date(_) | Value::Timestamp(_) | Value::TimestampTz(_) | Value::Text(_), Err(_)) => {}
                (value, Err(error)) => prop_assert!(false, "{value:?}: {error}"),
            }
        }

        #[test]
        fn malformed_bytes_are_errors_not_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..40), at in 0..DataType::ALL.len(),
        ) {
            let _ = receive(&bytes, DataType::ALL[at]);
        }
    }
}
