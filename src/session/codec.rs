//! Messages of clients, out of bytes that are cut anywhere and may be anything.
//!
//! The crate `pgwire` decodes; what is here frames, bounds and checks first, because its decoders trust a message's
//! inside: they index past the end of a short body and replace bytes that are not UTF-8. A message whose
//! structure has been checked here decodes without either.

use crate::types::{SqlError, SqlState};
use bytes::{Buf, BytesMut};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{GssEncRequest, SslRequest, Startup};
use pgwire::messages::{DecodeContext, Message, PgWireFrontendMessage, ProtocolVersion};

/// Longest message after startup.
pub(super) const MAX_MESSAGE: usize = 64 << 20;
/// Longest message of a kind that is short by nature.
const MAX_SHORT_MESSAGE: usize = 10_000;
/// Longest startup packet, PostgreSQL's own limit.
pub(super) const MAX_STARTUP: usize = 10_000;

/// What a client may say before it is known.
#[derive(Debug)]
pub(super) enum Opening {
    /// Wants TLS.
    Ssl,
    /// Wants GSSAPI encryption.
    Gss,
    /// Asks to cancel what another connection does: process id and secret.
    Cancel(i32, bytes::Bytes),
    /// Introduces itself.
    Startup(Startup),
}

/// What a client may say after that.
#[derive(Debug)]
pub(super) enum Incoming {
    /// One of the messages that pgwire knows.
    Message(PgWireFrontendMessage),
    /// The fast-path function call, which Orrery does not have.
    FunctionCall,
}

/// What has been received behind an Execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Sync, and nothing to execute before it.
    Sync,
    /// Something to execute, or the end of the connection, before any Sync.
    More,
    /// Neither, but the client waits for an answer.
    Flush,
    /// Nothing that tells.
    Unknown,
}

/// Why bytes are not a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Not the protocol: where the next message begins cannot be known, or is not worth knowing.
    Protocol(Box<SqlError>),
    /// A whole message, of this type, with text that is not UTF-8: an error like any other.
    Encoding(u8, Box<SqlError>),
}

fn violation(message: impl Into<String>) -> Malformed {
    Malformed::Protocol(Box::new(SqlError::new(SqlState::PROTOCOL_VIOLATION, message)))
}

/// Takes the next opening packet from the buffer, if it is whole.
///
/// # Errors
/// [`Malformed::Protocol`].
pub(super) fn opening(buffer: &mut BytesMut) -> Result<Option<Opening>, Malformed> {
    if buffer.len() < 4 {
        return Ok(None);
    }
    let length = (&buffer[..4]).get_u32() as usize;
    if !(8..=MAX_STARTUP).contains(&length) {
        return Err(violation("invalid length of startup packet"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let mut packet = buffer.split_to(length);
    if SslRequest::is_ssl_request_packet(&packet) && length == 8 {
        return Ok(Some(Opening::Ssl));
    }
    if GssEncRequest::is_gss_enc_request_packet(&packet) && length == 8 {
        return Ok(Some(Opening::Gss));
    }
    if CancelRequest::is_cancel_request_packet(&packet) {
        return match CancelRequest::decode(&mut packet, &context()) {
            Ok(Some(cancel)) => Ok(Some(Opening::Cancel(cancel.pid, cancel.secret_key.to_bytes()))),
            Ok(None) | Err(_) => Err(violation("invalid length of cancel request packet")),
        };
    }
    let major = (&packet[4..6]).get_u16();
    let minor = (&packet[6..8]).get_u16();
    if major != 3 {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        return Err(Malformed::Protocol(Box::new(SqlError::unsupported(message))));
    }
    check_startup(&packet[8..])?;
    match Startup::decode(&mut packet, &context()) {
        Ok(Some(startup)) => Ok(Some(Opening::Startup(startup))),
        Ok(None) | Err(_) => Err(violation("invalid startup packet layout")),
    }
}

/// Takes the next message from the buffer, if it is whole.
///
/// # Errors
/// [`Malformed`].
pub(super) fn next(buffer: &mut BytesMut) -> Result<Option<Incoming>, Malformed> {
    if buffer.len() < 5 {
        // A byte that begins no message is refused at once: the four that follow may never come.
        return match buffer.first() {
            Some(kind) if limit(*kind).is_none() => Err(violation(format!("invalid frontend message type {kind}"))),
            _ => Ok(None),
        };
    }
    let kind = buffer[0];
    let Some(limit) = limit(kind) else {
        return Err(violation(format!("invalid frontend message type {kind}")));
    };
    let length = (&buffer[1..5]).get_u32() as usize;
    if length < 4 {
        return Err(violation("invalid message length"));
    }
    if length > limit {
        return Err(violation(format!("message of {length} bytes exceeds the limit of {limit}")));
    }
    if buffer.len() < 1 + length {
        return Ok(None);
    }
    let mut message = buffer.split_to(1 + length);
    check(kind, &message[5..])?;
    if kind == b'F' {
        return Ok(Some(Incoming::FunctionCall));
    }
    match PgWireFrontendMessage::decode(&mut message, &context()) {
        Ok(Some(decoded)) => Ok(Some(Incoming::Message(decoded))),
        Ok(None) | Err(_) => Err(violation("invalid message format")),
    }
}

/// The first message of the buffer, if it is whole.
pub(super) fn whole(buffer: &[u8]) -> Option<&[u8]> {
    let mut length = buffer.get(1..5)?;
    let length = length.get_u32() as usize;
    buffer.get(..1 + length)
}

/// What stands in the buffer, in whole messages and the beginnings of others? Nothing is taken.
pub(super) fn ahead(buffer: &[u8]) -> Ahead {
    let mut rest = buffer;
    let mut flushed = false;
    while let Some(kind) = rest.first().copied() {
        match kind {
            b'S' => return Ahead::Sync,
            b'H' => flushed = true,
            b'P' | b'B' | b'D' | b'C' | b'd' | b'c' | b'f' => {}
            _ => return Ahead::More,
        }
        let Some(mut length) = rest.get(1..5) else { break };
        let length = length.get_u32() as usize;
        if length < 4 || limit(kind).is_none_or(|limit| length > limit) {
            return Ahead::More;
        }
        let Some(next) = rest.get(1 + length..) else { break };
        rest = next;
    }
    if flushed { Ahead::Flush } else { Ahead::Unknown }
}

/// Past the opening, and with long cancel keys: what a 4-byte key is decoded to does not depend on the version.
fn context() -> DecodeContext {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    context
}

/// Longest message of a kind; `None`: there is no such kind.
const fn limit(kind: u8) -> Option<usize> {
    match kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' => Some(MAX_MESSAGE),
        b'E' | b'D' | b'C' | b'S' | b'H' | b'X' | b'c' | b'f' | b'p' => Some(MAX_SHORT_MESSAGE),
        _ => None,
    }
}

/// Checks the inside of a message: every length within it, every text ended and UTF-8, nothing left over.
fn check(kind: u8, body: &[u8]) -> Result<(), Malformed> {
    let mut inside = Inside { kind, rest: body };
    match kind {
        b'Q' | b'f' => inside.text()?,
        b'P' => {
            inside.text()?;
            inside.text()?;
            let types = inside.count()?;
            inside.skip(4 * types)?;
        }
        b'B' => {
            inside.text()?;
            inside.text()?;
            let formats = inside.count()?;
            inside.skip(2 * formats)?;
            for _ in 0..inside.count()? {
                inside.value()?;
            }
            let formats = inside.count()?;
            inside.skip(2 * formats)?;
        }
        b'D' | b'C' => {
            inside.skip(1)?;
            inside.text()?;
        }
        b'E' => {
            inside.text()?;
            inside.skip(4)?;
        }
        b'S' | b'H' | b'X' | b'c' => {}
        // Copy data, function calls and passwords: nothing here looks inside.
        _ => return Ok(()),
    }
    if inside.rest.is_empty() { Ok(()) } else { Err(violation("invalid message format")) }
}

/// Checks a startup packet after its version: pairs of texts, then an empty one.
fn check_startup(body: &[u8]) -> Result<(), Malformed> {
    let layout = || violation("invalid startup packet layout: expected terminator as last byte");
    let mut rest = body;
    loop {
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(layout)?;
        if end == 0 {
            return if rest.len() == 1 { Ok(()) } else { Err(layout()) };
        }
        let value = &rest[end + 1..];
        let value_end = value.iter().position(|byte| *byte == 0).ok_or_else(layout)?;
        if std::str::from_utf8(&rest[..end]).is_err() || std::str::from_utf8(&value[..value_end]).is_err() {
            return Err(violation("startup packet is not UTF-8"));
        }
        rest = &value[value_end + 1..];
    }
}

/// What is left of a message's inside.
struct Inside<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl Inside<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.rest = self.rest.get(bytes..).ok_or_else(|| violation("insufficient data left in message"))?;
        Ok(())
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        let Some((mut count, rest)) = self.rest.split_at_checked(2) else {
            return Err(violation("insufficient data left in message"));
        };
        self.rest = rest;
        Ok(usize::from(count.get_u16()))
    }

    fn value(&mut self) -> Result<(), Malformed> {
        let Some((mut length, rest)) = self.rest.split_at_checked(4) else {
            return Err(violation("insufficient data left in message"));
        };
        self.rest = rest;
        match length.get_i32() {
            -1 => Ok(()),
            length => match usize::try_from(length) {
                Ok(length) => self.skip(length),
                Err(_) => Err(violation("invalid message format")),
            },
        }
    }

    fn text(&mut self) -> Result<(), Malformed> {
        let Some(end) = self.rest.iter().position(|byte| *byte == 0) else {
            return Err(violation("invalid string in message"));
        };
        if let Err(error) = std::str::from_utf8(&self.rest[..end]) {
            let byte = self.rest[error.valid_up_to()];
            let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
            let error = SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message);
            return Err(Malformed::Encoding(self.kind, Box::new(error)));
        }
        self.rest = &self.rest[end + 1..];
        Ok(())
    }
}
