//! Messages to the client, written one after the other into one buffer.

use super::values::Scratch;
use crate::types::datetime::TimeZone;
use crate::types::{DataType, SqlError, Value};
use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::data::{FieldDescription, ParameterDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, ErrorResponse, NoticeResponse};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};

/// Result format of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As text.
    Text,
    /// PostgreSQL's binary representation.
    Binary,
}

impl Format {
    /// From the protocol's code.
    pub(super) const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }
}

/// Formats of all columns, as Bind gives them: none (all text), one for all, or one for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Formats(Vec<i16>);

impl Formats {
    /// From the protocol's codes.
    pub(super) const fn new(codes: Vec<i16>) -> Self {
        Self(codes)
    }

    /// The first code that there is not.
    pub(super) fn unknown_code(&self) -> Option<i16> {
        self.0.iter().copied().find(|code| Format::from_code(*code).is_none())
    }

    /// How many codes were given.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Format of column `index`.
    pub(super) fn get(&self, index: usize) -> Format {
        let code = if self.0.len() == 1 { self.0[0] } else { self.0.get(index).copied().unwrap_or(0) };
        Format::from_code(code).unwrap_or(Format::Text)
    }
}

/// What is on its way to one client.
#[derive(Debug, Default)]
pub(super) struct Writer {
    buffer: BytesMut,
    scratch: Scratch,
}

/// Severity of an error or notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// Something to think about.
    Warning,
    /// Something to know.
    Notice,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

impl Writer {
    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Takes all that waits.
    pub(super) fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// Takes back what was written since there were so many bytes.
    pub(super) fn truncate(&mut self, bytes: usize) {
        self.buffer.truncate(bytes);
    }

    /// The one byte that declines TLS or GSSAPI encryption.
    pub(super) fn decline_encryption(&mut self) {
        self.buffer.put_u8(b'N');
    }

    pub(super) fn negotiate(&mut self, minor: u16, unknown_options: Vec<String>) {
        let version = (3 << 16) | i32::from(minor);
        self.put(&NegotiateProtocolVersion::new(version, unknown_options));
    }

    pub(super) fn authentication_ok(&mut self) {
        self.put(&Authentication::Ok);
    }

    pub(super) fn parameter_status(&mut self, name: &str, value: &str) {
        self.put(&ParameterStatus::new(name.to_owned(), value.to_owned()));
    }

    pub(super) fn key_data(&mut self, process: i32, secret: &Bytes) {
        self.put(&BackendKeyData::new(process, SecretKey::Bytes(secret.clone())));
    }

    /// With the status of the transaction block: `I`, `T` or `E`.
    pub(super) fn ready_for_query(&mut self, status: u8) {
        self.buffer.put_slice(&[b'Z', 0, 0, 0, 5, status]);
    }

    /// CopyInResponse: text, that many columns.
    pub(super) fn copy_in(&mut self, columns: usize) {
        let columns = u16::try_from(columns).unwrap_or(u16::MAX);
        self.buffer.put_u8(b'G');
        self.buffer.put_u32(7 + 2 * u32::from(columns));
        self.buffer.put_u8(0);
        self.buffer.put_u16(columns);
        self.buffer.put_bytes(0, 2 * usize::from(columns));
    }

    pub(super) fn parse_complete(&mut self) {
        self.bare(b'1');
    }

    pub(super) fn bind_complete(&mut self) {
        self.bare(b'2');
    }

    pub(super) fn close_complete(&mut self) {
        self.bare(b'3');
    }

    pub(super) fn no_data(&mut self) {
        self.bare(b'n');
    }

    pub(super) fn portal_suspended(&mut self) {
        self.bare(b's');
    }

    pub(super) fn empty_query(&mut self) {
        self.bare(b'I');
    }

    pub(super) fn command_complete(&mut self, tag: &str) {
        self.put(&CommandComplete::new(tag.to_owned()));
    }

    pub(super) fn parameter_description(&mut self, types: &[DataType]) {
        self.put(&ParameterDescription::new(types.iter().map(|data_type| data_type.oid()).collect()));
    }

    /// Columns by name and type.
    pub(super) fn row_description<'a>(
        &mut self,
        columns: impl Iterator<Item = (&'a str, DataType)>,
        formats: &Formats,
    ) {
        let fields = columns
            .enumerate()
            .map(|(index, (name, data_type))| {
                let format = i16::from(formats.get(index) == Format::Binary);
                let (length, modifier) = (data_type.length(), data_type.modifier());
                FieldDescription::new(name.to_owned(), 0, 0, data_type.oid(), length, modifier, format)
            })
            .collect();
        self.put(&RowDescription::new(fields));
    }

    /// One row, written in place: a query's cost is in its rows, and one copy is enough.
    pub(super) fn data_row(&mut self, row: &[Value], formats: &Formats, zone: &TimeZone) {
        let start = self.buffer.len();
        self.buffer.put_slice(&[b'D', 0, 0, 0, 0]);
        self.buffer.put_u16(u16::try_from(row.len()).unwrap_or(u16::MAX));
        for (index, value) in row.iter().enumerate() {
            let at = self.buffer.len();
            self.buffer.put_i32(-1);
            if value.is_null() {
                continue;
            }
            self.scratch.encode(value, formats.get(index), zone, &mut self.buffer);
            let length = u32::try_from(self.buffer.len() - at - 4).unwrap_or(u32::MAX);
            self.buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        let length = u32::try_from(self.buffer.len() - start - 1).unwrap_or(u32::MAX);
        self.buffer[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    }

    /// An ErrorResponse.
    pub(super) fn error(&mut self, severity: Severity, error: &SqlError) {
        self.put(&ErrorResponse::new(fields(severity, error)));
    }

    /// A NoticeResponse.
    pub(super) fn notice(&mut self, severity: Severity, notice: &SqlError) {
        self.put(&NoticeResponse::new(fields(severity, notice)));
    }

    /// A message without a body.
    fn bare(&mut self, kind: u8) {
        self.buffer.put_slice(&[kind, 0, 0, 0, 4]);
    }

    /// pgwire refuses messages that are longer than clients take; half a message must not stay behind then.
    fn put<M: Message>(&mut self, message: &M) {
        let start = self.buffer.len();
        if message.encode(&mut self.buffer).is_err() {
            self.buffer.truncate(start);
        }
    }
}

/// Fields of an error or a notice, in PostgreSQL's order.
fn fields(severity: Severity, error: &SqlError) -> Vec<(u8, String)> {
    // A zero byte would end the field early and shift the rest.
    let clean = |text: &str| text.replace('\0', "");
    let mut fields = vec![
        (b'S', severity.as_str().to_owned()),
        (b'V', severity.as_str().to_owned()),
        (b'C', error.state.as_str().to_owned()),
        (b'M', clean(&error.message)),
    ];
    let optional = [
        (b'D', error.detail.as_deref()),
        (b'H', error.hint.as_deref()),
        (b'W', error.context.as_deref()),
        (b't', error.table.as_deref()),
        (b'c', error.column.as_deref()),
        (b'n', error.constraint.as_deref()),
    ];
    for (code, text) in optional {
        if let Some(text) = text {
            fields.push((code, clean(text)));
        }
    }
    if let Some(position) = error.position {
        fields.push((b'P', position.to_string()));
    }
    fields
}
