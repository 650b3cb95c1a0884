//! Values on the wire: text and binary, to and from the client.

use super::writer::Format;
use crate::types::datetime::{TimeContext, TimeZone};
use crate::types::{DataType, SqlError, SqlState, Value, binary, text};
use bytes::{BufMut, BytesMut};

/// Room for values on their way out, kept between them.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    binary: Vec<u8>,
}

impl Scratch {
    /// Appends a value that is not NULL.
    pub(super) fn encode(&mut self, value: &Value, format: Format, zone: &TimeZone, out: &mut BytesMut) {
        match (format, value) {
            // The same in both formats, and nothing to convert.
            (_, Value::Text(text)) => out.put_slice(text.as_bytes()),
            (Format::Text, _) => {
                self.text.clear();
                text::write_value(&mut self.text, value, zone);
                out.put_slice(self.text.as_bytes());
            }
            (Format::Binary, _) => {
                self.binary.clear();
                binary::send(value, &mut self.binary);
                out.put_slice(&self.binary);
            }
        }
    }
}

/// Reads parameter `number` (from 1).
///
/// # Errors
/// 22P02, 22P03, 22021 and the like.
pub(super) fn decode(
    bytes: &[u8],
    number: usize,
    data_type: DataType,
    format: Format,
    time: &TimeContext,
) -> Result<Value, SqlError> {
    match format {
        Format::Binary => binary::receive(bytes, data_type),
        Format::Text => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text::parse(text, data_type, time),
            _ => Err(SqlError::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\" in parameter ${number}"),
            )),
        },
    }
}
