//! Messages of PostgreSQL's protocol 3, as far as a client of simple queries meets them.

use super::Answer;
use bytes::{Buf, Bytes, BytesMut};

/// Longest message that is taken: what a row may hold, and some.
pub(super) const MAX_MESSAGE: usize = 256 << 20;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type's OID.
    pub oid: u32,
}

impl Column {
    /// Is it a number, to be aligned to the right?
    #[must_use]
    pub const fn is_number(&self) -> bool {
        // int8, int2, int4, oid, float4, float8, numeric.
        matches!(self.oid, 20 | 21 | 23 | 26 | 700 | 701 | 1700)
    }
}

/// An error or a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// ERROR, FATAL, WARNING, NOTICE, …
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// What.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Character of the query text at which it was found, from 1.
    pub position: Option<usize>,
}

impl Report {
    /// An error that no server has found.
    pub(super) fn local(code: &str, message: &str) -> Self {
        Self { severity: "ERROR".to_owned(), code: code.to_owned(), message: message.to_owned(), ..Self::default() }
    }
}

/// A message of the server.
#[derive(Debug)]
pub(super) enum Message {
    Authentication(i32),
    Parameter(String, String),
    KeyData,
    Ready(u8),
    Answer(Answer),
    /// The data of a COPY is wanted.
    CopyIn,
    Other,
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Takes one message, if one is whole.
pub(super) fn take(input: &mut BytesMut) -> Result<Option<Message>, Malformed> {
    let Some(header) = input.first_chunk::<5>() else { return Ok(None) };
    let [kind, length @ ..] = *header;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| Malformed("its length is negative"))?;
    if !(4..=MAX_MESSAGE).contains(&length) {
        return Err(Malformed("its length"));
    }
    if input.len() < length + 1 {
        return Ok(None);
    }
    let mut body = input.split_to(length + 1).freeze();
    body.advance(5);
    parse(kind, body).map(Some)
}

fn parse(kind: u8, mut body: Bytes) -> Result<Message, Malformed> {
    Ok(match kind {
        b'R' => Message::Authentication(body.try_get_i32().map_err(|_| Malformed("authentication"))?),
        b'S' => Message::Parameter(text(&mut body)?, text(&mut body)?),
        b'K' => Message::KeyData,
        b'Z' => Message::Ready(body.try_get_u8().map_err(|_| Malformed("ready for query"))?),
        b'T' => Message::Answer(Answer::Columns(columns(body)?)),
        b'D' => Message::Answer(Answer::Row(row(body)?)),
        b'C' => Message::Answer(Answer::Complete(text(&mut body)?)),
        b'I' => Message::Answer(Answer::Empty),
        b'E' => Message::Answer(Answer::Error(Box::new(report(body)?))),
        b'N' => Message::Answer(Answer::Notice(Box::new(report(body)?))),
        b'G' => Message::CopyIn,
        _ => Message::Other,
    })
}

fn text(body: &mut Bytes) -> Result<String, Malformed> {
    let end = body.iter().position(|byte| *byte == 0).ok_or(Malformed("a text without its end"))?;
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Ok(text)
}

fn columns(mut body: Bytes) -> Result<Vec<Column>, Malformed> {
    let count = body.try_get_u16().map_err(|_| Malformed("row description"))?;
    (0..count)
        .map(|_| {
            let name = text(&mut body)?;
            if body.len() < 18 {
                return Err(Malformed("row description"));
            }
            body.advance(6);
            let oid = body.get_u32();
            body.advance(8);
            Ok(Column { name, oid })
        })
        .collect()
}

fn row(mut body: Bytes) -> Result<Vec<Option<String>>, Malformed> {
    let cut = |_| Malformed("data row");
    let count = body.try_get_u16().map_err(cut)?;
    (0..count)
        .map(|_| {
            let length = body.try_get_i32().map_err(cut)?;
            let Ok(length) = usize::try_from(length) else { return Ok(None) };
            if body.len() < length {
                return Err(Malformed("data row"));
            }
            Ok(Some(String::from_utf8_lossy(&body.split_to(length)).into_owned()))
        })
        .collect()
}

fn report(mut body: Bytes) -> Result<Report, Malformed> {
    let mut report = Report::default();
    loop {
        let field = body.try_get_u8().map_err(|_| Malformed("error response"))?;
        if field == 0 {
            return Ok(report);
        }
        let value = text(&mut body)?;
        match field {
            b'S' => report.severity = value,
            b'C' => report.code = value,
            b'M' => report.message = value,
            b'D' => report.detail = Some(value),
            b'H' => report.hint = Some(value),
            b'P' => report.position = value.parse().ok(),
            _ => {}
        }
    }
}

/// Appends a text with its end.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// A message with its kind.
pub(super) fn tagged(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(untagged(body));
    out
}

/// The first message of a connection, which has no kind.
pub(super) fn untagged(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap_or(i32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let bytes = tagged(b'D', &[0, 2, 0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff]);
        let mut input = BytesMut::new();
        for (place, byte) in bytes.iter().enumerate() {
            assert!(take(&mut input).unwrap().is_none(), "after {place} bytes");
            input.extend_from_slice(&[*byte]);
        }
        let Ok(Some(Message::Answer(Answer::Row(row)))) = take(&mut input) else { panic!("a row") };
        assert_eq!(row, [Some("x".to_owned()), None]);
    }

    #[test]
    fn lengths_are_not_believed() {
        for length in [i32::MIN, -1, 0, 3, i32::MAX] {
            let mut input = BytesMut::from(&b"D"[..]);
            input.extend_from_slice(&length.to_be_bytes());
            assert!(take(&mut input).is_err(), "{length}");
        }
        assert!(row(Bytes::from_static(&[0, 1, 0, 0, 0, 9, 1])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in prop::sample::select(&b"RSKZTDCIENG?"[..]), body: Vec<u8>) {
            let mut input = BytesMut::from(&tagged(kind, &body)[..]);
            let _ = take(&mut input);
        }
    }
}
