//! Rows as bytes: self-describing, compact, readable one column at a time.
//!
//! ```text
//! row    := version (01) count (u16 LE) column*
//! column := tag length payload       tag in the high nibble, length of the payload in the low one;
//!                                    low nibble F: the length follows as u32 LE
//! ```
//! Integers, dates and timestamps are little-endian two's complement without redundant bytes. The tags describe the
//! value, not the column, so that a row outlives a change of its table. Of columns added since it has nothing: what they
//! read as is the catalog's to say (`catalog::Table::read_row`).

use super::error::{SqlError, SqlState};
use super::numeric::Numeric;
use super::value::Value;
use bytes::Bytes;

const VERSION: u8 = 1;
const HEADER: usize = 3;
const LONG: u8 = 0x0f;

const TAG_NULL: u8 = 0;
const TAG_FALSE: u8 = 1;
const TAG_TRUE: u8 = 2;
const TAG_INT2: u8 = 3;
const TAG_INT4: u8 = 4;
const TAG_INT8: u8 = 5;
const TAG_FLOAT8: u8 = 6;
const TAG_NUMERIC: u8 = 7;
const TAG_TEXT: u8 = 8;
const TAG_BYTEA: u8 = 9;
const TAG_DATE: u8 = 10;
const TAG_TIMESTAMP: u8 = 11;
const TAG_TIMESTAMPTZ: u8 = 12;
const TAG_UUID: u8 = 13;

fn corrupted(what: &str) -> SqlError {
    SqlError::new(SqlState::DATA_CORRUPTED, format!("malformed row: {what}"))
}

/// A row's bytes.
///
/// # Panics
/// With more than 65535 columns or a value above 4 GiB, which admission keeps far below.
#[must_use]
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + values.len() * 9);
    encode_into(&mut out, values);
    out
}

/// Appends a row's bytes. See [`encode`].
pub fn encode_into(out: &mut Vec<u8>, values: &[Value]) {
    let count = u16::try_from(values.len()).expect("a table has at most 1600 columns");
    out.push(VERSION);
    out.extend_from_slice(&count.to_le_bytes());
    for value in values {
        encode_value(out, value);
    }
}

fn put(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    if payload.len() < usize::from(LONG) {
        out.push((tag << 4) | payload.len() as u8);
    } else {
        let length = u32::try_from(payload.len()).expect("a value is below the size limit of messages");
        out.push((tag << 4) | LONG);
        out.extend_from_slice(&length.to_le_bytes());
    }
    out.extend_from_slice(payload);
}

fn put_integer(out: &mut Vec<u8>, tag: u8, value: i64) {
    let used = 64 - if value < 0 { value.leading_ones() } else { value.leading_zeros() };
    // One more for the sign; zero needs no byte.
    let length = if value == 0 { 0 } else { used as usize / 8 + 1 };
    put(out, tag, &value.to_le_bytes()[..length]);
}

fn encode_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(TAG_NULL << 4),
        Value::Bool(value) => out.push(if *value { TAG_TRUE } else { TAG_FALSE } << 4),
        Value::Int2(value) => put_integer(out, TAG_INT2, i64::from(*value)),
        Value::Int4(value) => put_integer(out, TAG_INT4, i64::from(*value)),
        Value::Int8(value) => put_integer(out, TAG_INT8, *value),
        Value::Float8(value) => put(out, TAG_FLOAT8, &value.to_bits().to_le_bytes()),
        Value::Numeric(value) => {
            let mut payload = Vec::with_capacity(20);
            value.write_compact(&mut payload);
            put(out, TAG_NUMERIC, &payload);
        }
        Value::Text(text) => put(out, TAG_TEXT, text.as_bytes()),
        Value::Bytea(bytes) => put(out, TAG_BYTEA, bytes),
        Value::Date(value) => put_integer(out, TAG_DATE, i64::from(*value)),
        Value::Timestamp(value) => put_integer(out, TAG_TIMESTAMP, *value),
        Value::TimestampTz(value) => put_integer(out, TAG_TIMESTAMPTZ, *value),
        Value::Uuid(bytes) => put(out, TAG_UUID, bytes),
    }
}

/// Number of columns, and the bytes of the first.
fn open(bytes: &[u8]) -> Result<(usize, &[u8]), SqlError> {
    match bytes {
        [VERSION, low, high, rest @ ..] => Ok((usize::from(u16::from_le_bytes([*low, *high])), rest)),
        [version, ..] if *version != VERSION => Err(corrupted("unknown version")),
        _ => Err(corrupted("short header")),
    }
}

/// Tag and payload of the next column.
fn next<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8]), SqlError> {
    let (head, mut rest) = input.split_first().ok_or_else(|| corrupted("short column"))?;
    let mut length = usize::from(head & LONG);
    if length == usize::from(LONG) {
        let (long, after) = rest.split_first_chunk::<4>().ok_or_else(|| corrupted("short length"))?;
        length = u32::from_le_bytes(*long) as usize;
        rest = after;
    }
    let (payload, after) = rest.split_at_checked(length).ok_or_else(|| corrupted("short value"))?;
    *input = after;
    Ok((head >> 4, payload))
}

fn integer<T: TryFrom<i64>>(payload: &[u8]) -> Result<T, SqlError> {
    if payload.len() > 8 {
        return Err(corrupted("long integer"));
    }
    let negative = payload.last().is_some_and(|byte| *byte >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole[..payload.len()].copy_from_slice(payload);
    T::try_from(i64::from_le_bytes(whole)).map_err(|_| corrupted("integer out of range"))
}

fn fixed<const N: usize>(payload: &[u8]) -> Result<[u8; N], SqlError> {
    payload.try_into().map_err(|_| corrupted("wrong length"))
}

fn decode_value(tag: u8, payload: &[u8]) -> Result<Value, SqlError> {
    Ok(match tag {
        TAG_NULL => Value::Null,
        TAG_FALSE => Value::Bool(false),
        TAG_TRUE => Value::Bool(true),
        TAG_INT2 => Value::Int2(integer(payload)?),
        TAG_INT4 => Value::Int4(integer(payload)?),
        TAG_INT8 => Value::Int8(integer(payload)?),
        TAG_FLOAT8 => Value::Float8(f64::from_bits(u64::from_le_bytes(fixed(payload)?))),
        TAG_NUMERIC => Value::Numeric(Numeric::read_compact(payload)?),
        TAG_TEXT => Value::text(std::str::from_utf8(payload).map_err(|_| corrupted("text is not UTF-8"))?),
        TAG_BYTEA => Value::Bytea(Bytes::copy_from_slice(payload)),
        TAG_DATE => Value::Date(integer(payload)?),
        TAG_TIMESTAMP => Value::Timestamp(integer(payload)?),
        TAG_TIMESTAMPTZ => Value::TimestampTz(integer(payload)?),
        TAG_UUID => Value::Uuid(fixed(payload)?),
        _ => return Err(corrupted("unknown tag")),
    })
}

/// All columns.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, SqlError> {
    let (count, mut input) = open(bytes)?;
    // A column takes a byte at least: a count beyond that is damage, not a reason to allocate.
    if count > input.len() {
        return Err(corrupted("more columns than bytes"));
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let (tag, payload) = next(&mut input)?;
        values.push(decode_value(tag, payload)?);
    }
    if input.is_empty() { Ok(values) } else { Err(corrupted("bytes left over")) }
}

/// The columns marked in `wanted`, in a row of `wanted.len()` values; the others are NULL, and so are those the row is
/// too old to have. And how many columns it has. One pass, and nothing is built of what is not wanted.
pub fn decode_columns(bytes: &[u8], wanted: &[bool]) -> Result<(Vec<Value>, usize), SqlError> {
    let (count, mut input) = open(bytes)?;
    let mut values = vec![Value::Null; wanted.len()];
    let last = wanted.iter().rposition(|wanted| *wanted).map_or(0, |at| at + 1);
    for (value, wanted) in values.iter_mut().zip(wanted).take(last.min(count)) {
        let (tag, payload) = next(&mut input)?;
        if *wanted {
            *value = decode_value(tag, payload)?;
        }
    }
    Ok((values, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::value::tests_support::any_value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back(values in proptest::collection::vec(any_value(), 0..8)) {
            let bytes = encode(&values);
            prop_assert_eq!(&decode(&bytes).unwrap(), &values);
            let wide = decode_columns(&bytes, &vec![true; values.len() + 1]).unwrap();
            prop_assert_eq!(wide.1, values.len());
            prop_assert_eq!(&wide.0[..values.len()], values.as_slice());
            prop_assert_eq!(&wide.0[values.len()], &Value::Null);
            for (column, value) in values.iter().enumerate() {
                let one: Vec<bool> = (0..=column).map(|place| place == column).collect();
                prop_assert_eq!(&decode_columns(&bytes, &one).unwrap().0[column], value);
            }
        }

        #[test]
        fn malformed_rows_are_errors_not_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
            let mut row = vec![VERSION, 3, 0];
            row.extend_from_slice(&bytes);
            let _ = decode(&row);
            let _ = decode_columns(&row, &[false, false, true]);
            let _ = decode_columns(&row, &[false, true, true, true]);
        }
    }

    #[test]
    fn bytes_of_version_one() {
        let row =
            [Value::Null, Value::Bool(true), Value::Int4(-1), Value::Int8(128), Value::text("ab"), Value::Int2(0)];
        assert_eq!(encode(&row), [1, 6, 0, 0x00, 0x20, 0x41, 0xff, 0x52, 0x80, 0x00, 0x82, b'a', b'b', 0x30]);
    }
}
