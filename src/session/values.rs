//! Values on the wire: text and binary, to and from the client.

use super::writer::Format;
use crate::types::{DataType, SqlError, Value};
use bytes::{BufMut, BytesMut};

/// Time zone of the session, looked up once.
#[derive(Clone, Debug, Default)]
pub struct Zone;

impl Zone {
    /// Of a name that has been checked.
    pub fn new(_name: &str) -> Self {
        Self
    }
}

/// The canonical name of a time zone; `None`: there is none of that name.
pub fn time_zone_name(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

/// Appends a value that is not NULL.
pub fn encode(value: &Value, data_type: DataType, format: Format, zone: &Zone, out: &mut BytesMut) {
    let _ = (data_type, format, zone);
    match value {
        Value::Int4(i) => out.put_slice(i.to_string().as_bytes()),
        Value::Int8(i) => out.put_slice(i.to_string().as_bytes()),
        Value::Text(text) => out.put_slice(text.as_bytes()),
        _ => {}
    }
}

/// Reads a parameter.
///
/// # Errors
/// 22P02, 22P03 and the like.
pub fn decode(bytes: &[u8], data_type: DataType, format: Format, zone: &Zone) -> Result<Value, SqlError> {
    let _ = (bytes, data_type, format, zone);
    Ok(Value::Text(String::from_utf8_lossy(bytes).as_ref().into()))
}
