//! Order-preserving keys: bytes that compare as the values do, column after column.
//!
//! ```text
//! column  := 00 value          (ascending; NULL is 01 alone, so that it comes last)
//!          | FF !value         (descending: every byte complemented; NULL is FE alone, so that it comes first)
//! boolean := 00 | 01
//! integer := big-endian, sign bit flipped              (smallint 2, integer 4, bigint 8 bytes)
//! double  := IEEE bits, flipped to order; one NaN, one zero
//! numeric := see `Numeric::write_key`
//! string  := bytes with 00 as 00 FF, ended by 00 00    (char(n) without its trailing blanks)
//! bytea   := as string
//! date, timestamps := as integer;  uuid := 16 bytes
//! ```
//!
//! # Invariants
//! - Equal values give equal bytes, different ones different bytes: a key serves as hash or group key too.
//! - No encoding of a column is a prefix of another of the same type, so columns can be put one behind the other.
//!
//! # Caveats
//! What compares equal cannot be told apart: a key decodes to a numeric without trailing zeros, to `0` for `-0`, to a
//! `char(n)` without its blanks.

use super::data_type::DataType;
use super::error::{SqlError, SqlState};
use super::numeric::Numeric;
use super::value::{Value, canonical_bits, trim_blanks};
use bytes::Bytes;

const VALUE: u8 = 0x00;
const NULL: u8 = 0x01;

fn corrupted() -> SqlError {
    SqlError::new(SqlState::DATA_CORRUPTED, "malformed key")
}

/// Appends one column. The value is of `data_type` or NULL.
pub fn encode(out: &mut Vec<u8>, value: &Value, data_type: DataType, descending: bool) {
    let start = out.len();
    if value.is_null() {
        out.push(NULL);
    } else {
        out.push(VALUE);
        encode_value(out, value, data_type);
    }
    if descending {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

/// A key of several columns, given as (value, type, descending).
#[must_use]
pub fn encode_all<'a>(columns: impl IntoIterator<Item = (&'a Value, DataType, bool)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (value, data_type, descending) in columns {
        encode(&mut out, value, data_type, descending);
    }
    out
}

fn encode_value(out: &mut Vec<u8>, value: &Value, data_type: DataType) {
    match value {
        Value::Null => {}
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int2(value) => out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 15)).to_be_bytes()),
        Value::Int4(value) | Value::Date(value) => {
            out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 31)).to_be_bytes());
        }
        Value::Int8(value) | Value::Timestamp(value) | Value::TimestampTz(value) => {
            out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        }
        Value::Float8(value) => {
            let bits = canonical_bits(*value);
            let ordered = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        Value::Numeric(value) => value.write_key(out),
        Value::Text(text) => {
            let text = if matches!(data_type, DataType::Char(_)) { trim_blanks(text) } else { text };
            encode_bytes(out, text.as_bytes());
        }
        Value::Bytea(bytes) => encode_bytes(out, bytes),
        Value::Uuid(bytes) => out.extend_from_slice(bytes),
    }
}

fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Reads bytes, each complemented when the column descends.
struct Reader<'a, 'b> {
    input: &'b mut &'a [u8],
    flip: bool,
}

impl Reader<'_, '_> {
    fn byte(&mut self) -> Result<u8, SqlError> {
        let (first, rest) = self.input.split_first().ok_or_else(corrupted)?;
        *self.input = rest;
        Ok(if self.flip { !*first } else { *first })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        let (first, rest) = self.input.split_first_chunk::<N>().ok_or_else(corrupted)?;
        *self.input = rest;
        Ok(if self.flip { first.map(|byte| !byte) } else { *first })
    }

    fn bytes(&mut self) -> Result<Vec<u8>, SqlError> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    0 => return Ok(bytes),
                    0xff => bytes.push(0),
                    _ => return Err(corrupted()),
                },
                byte => bytes.push(byte),
            }
        }
    }

    fn int8(&mut self) -> Result<i64, SqlError> {
        Ok((u64::from_be_bytes(self.array()?) ^ (1 << 63)).cast_signed())
    }

    fn int4(&mut self) -> Result<i32, SqlError> {
        Ok((u32::from_be_bytes(self.array()?) ^ (1 << 31)).cast_signed())
    }
}

/// Reads one column and removes it from `input`.
pub fn decode(input: &mut &[u8], data_type: DataType, descending: bool) -> Result<Value, SqlError> {
    let mut reader = Reader { input, flip: descending };
    match reader.byte()? {
        NULL => return Ok(Value::Null),
        VALUE => {}
        _ => return Err(corrupted()),
    }
    Ok(match data_type {
        DataType::Bool => match reader.byte()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(corrupted()),
        },
        DataType::Int2 => Value::Int2((u16::from_be_bytes(reader.array()?) ^ (1 << 15)).cast_signed()),
        DataType::Int4 => Value::Int4(reader.int4()?),
        DataType::Date => Value::Date(reader.int4()?),
        DataType::Int8 => Value::Int8(reader.int8()?),
        DataType::Timestamp => Value::Timestamp(reader.int8()?),
        DataType::TimestampTz => Value::TimestampTz(reader.int8()?),
        DataType::Float8 => {
            let ordered = u64::from_be_bytes(reader.array()?);
            let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
            Value::Float8(f64::from_bits(bits))
        }
        DataType::Numeric(_) => Value::Numeric(Numeric::read_key(reader.input, descending)?),
        DataType::Text | DataType::Varchar(_) | DataType::Char(_) => {
            Value::text(String::from_utf8(reader.bytes()?).map_err(|_| corrupted())?)
        }
        DataType::Bytea => Value::Bytea(Bytes::from(reader.bytes()?)),
        DataType::Uuid => Value::Uuid(reader.array()?),
    })
}

/// The least bytes above everything that starts with `prefix`; `None`: nothing is (`prefix` is empty or all `FF`).
#[must_use]
pub fn prefix_successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::value::tests_support::any_value_of;
    use proptest::prelude::*;

    fn two_of_a_type() -> impl Strategy<Value = (DataType, Value, Value)> {
        proptest::sample::select(DataType::ALL.to_vec())
            .prop_flat_map(|data_type| (Just(data_type), any_value_of(data_type), any_value_of(data_type)))
    }

    proptest! {
        #[test]
        fn keys_order_as_values_do((data_type, a, b) in two_of_a_type()) {
            let key = |value: &Value, descending| {
                let mut out = Vec::new();
                encode(&mut out, value, data_type, descending);
                out
            };
            prop_assert_eq!(key(&a, false).cmp(&key(&b, false)), a.compare_as(&b, data_type));
            prop_assert_eq!(key(&a, true).cmp(&key(&b, true)), b.compare_as(&a, data_type));
            for descending in [false, true] {
                let bytes = key(&a, descending);
                let mut input = &bytes[..];
                prop_assert_eq!(decode(&mut input, data_type, descending).unwrap().compare_as(&a, data_type), std::cmp::Ordering::Equal);
                prop_assert!(input.is_empty());
            }
            // No key starts another, and the successor is above all that continue this one.
            if a.compare_as(&b, data_type).is_ne() {
                prop_assert!(!key(&a, false).starts_with(&key(&b, false)));
            }
            let mut longer = key(&a, false);
            let successor = prefix_successor(&longer).unwrap();
            longer.extend_from_slice(&[0xff; 4]);
            prop_assert!(successor > longer);
        }

        #[test]
        fn malformed_keys_are_errors_not_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..40), at in 0..DataType::ALL.len(), descending: bool,
        ) {
            let _ = decode(&mut &bytes[..], DataType::ALL[at], descending);
        }
    }

    #[test]
    fn successor_of_a_prefix() {
        assert_eq!(prefix_successor(&[1, 0xff]), Some(vec![2]));
        assert_eq!(prefix_successor(&[0xff]), None);
        assert_eq!(prefix_successor(&[]), None);
    }
}
