//! A client's side of the PostgreSQL protocol: requests to bytes, bytes to answers.

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::data::DataRow;
use pgwire::messages::extendedquery::{Bind, Execute, Parse, Sync};
use pgwire::messages::response::{ErrorResponse, TransactionStatus};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::{Authentication, Startup};
use pgwire::messages::{DecodeContext, Message, PgWireBackendMessage, ProtocolVersion};

/// What is sent for one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Simple query: one or more statements, one implicit transaction.
    Simple(String),
    /// Extended query: one statement with parameters.
    Extended {
        /// Name to prepare it under once for each connection; `None`: unnamed, parsed each time.
        name: Option<&'static str>,
        /// With `$1`, `$2`, ….
        text: String,
        /// All of type int8.
        parameters: Vec<i64>,
        /// Parameters and results in binary?
        binary: bool,
    },
}

/// The answer to one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Statements' results, in order.
    pub results: Vec<ResultSet>,
    /// The error it ended in.
    pub error: Option<WireError>,
    /// A statement was prepared.
    pub parsed: bool,
    /// A transaction block has failed and waits for its ROLLBACK.
    pub failed_block: bool,
    rows: Vec<Vec<Option<Bytes>>>,
}

impl Answer {
    /// One that came by another way than [`Wire`].
    #[must_use]
    pub fn of(results: Vec<ResultSet>) -> Self {
        Self { results, ..Self::default() }
    }
}

/// One statement's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultSet {
    /// Command tag: `UPDATE 1`.
    pub tag: String,
    /// Rows.
    pub rows: Vec<Vec<Option<Bytes>>>,
}

impl ResultSet {
    /// The number at the end of the tag.
    #[must_use]
    pub fn affected(&self) -> Option<u64> {
        self.tag.rsplit(' ').next()?.parse().ok()
    }
}

/// An error as the server tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// SQLSTATE.
    pub state: String,
    /// Message.
    pub message: String,
}

/// What has come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing whole.
    More,
    /// The server is ready for the next exchange; this is the answer to the last one (empty after start-up).
    Ready(Answer),
}

/// The stream of one connection.
pub struct Wire {
    input: BytesMut,
    context: DecodeContext,
    answer: Answer,
}

impl Default for Wire {
    fn default() -> Self {
        Self { input: BytesMut::new(), context: established(), answer: Answer::default() }
    }
}

fn established() -> DecodeContext {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    context
}

impl Wire {
    /// Takes bytes; yields at most one answer (the client has one exchange in flight).
    ///
    /// # Errors
    /// When the bytes are not the protocol's.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress, String> {
        self.input.extend_from_slice(bytes);
        loop {
            let decoded = PgWireBackendMessage::decode(&mut self.input, &self.context);
            let Some(message) = decoded.map_err(|error| error.to_string())? else { return Ok(Progress::More) };
            match message {
                PgWireBackendMessage::ReadyForQuery(ready) => {
                    self.answer.failed_block = ready.status == TransactionStatus::Error;
                    return Ok(Progress::Ready(std::mem::take(&mut self.answer)));
                }
                PgWireBackendMessage::DataRow(row) => self.answer.rows.push(fields(row)?),
                PgWireBackendMessage::CommandComplete(complete) => {
                    let rows = std::mem::take(&mut self.answer.rows);
                    self.answer.results.push(ResultSet { tag: complete.tag, rows });
                }
                PgWireBackendMessage::ParseComplete(_) => self.answer.parsed = true,
                PgWireBackendMessage::ErrorResponse(error) => self.answer.error = Some(told(error)),
                PgWireBackendMessage::Authentication(Authentication::Ok) => {}
                PgWireBackendMessage::Authentication(_) => return Err("the server asks for a password".to_owned()),
                _ => {}
            }
        }
    }

    /// Has anything been said that nobody has asked for? It is a good-bye.
    pub fn is_taken_leave_of(&mut self) -> bool {
        matches!(self.receive(&[]), Ok(Progress::More)) && self.last_error().is_some()
    }

    /// The error received so far, when the connection ends before the answer does.
    #[must_use]
    pub fn last_error(&self) -> Option<&WireError> {
        self.answer.error.as_ref()
    }
}

fn told(error: ErrorResponse) -> WireError {
    let field = |code: u8| {
        error.fields.iter().find(|(found, _)| *found == code).map(|(_, text)| text.clone()).unwrap_or_default()
    };
    WireError { state: field(b'C'), message: field(b'M') }
}

fn fields(row: DataRow) -> Result<Vec<Option<Bytes>>, String> {
    let mut data = row.data.freeze();
    let mut fields = Vec::new();
    for _ in 0..row.field_count {
        let length = data.try_get_i32().map_err(|_| "a row is cut short")?;
        fields.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) if length <= data.len() => Some(data.split_to(length)),
            Ok(_) => return Err("a row is cut short".to_owned()),
        });
    }
    Ok(fields)
}

/// The first bytes of a connection.
#[must_use]
pub fn startup(user: &str) -> Bytes {
    let mut message = Startup::default();
    message.parameters.insert("user".to_owned(), user.to_owned());
    message.parameters.insert("database".to_owned(), "orrery".to_owned());
    let mut out = BytesMut::new();
    encode(&message, &mut out);
    out.freeze()
}

/// The bytes of an exchange. `prepared` tells whether its named statement is known on this connection.
#[must_use]
pub fn request(exchange: &Exchange, prepared: bool) -> Bytes {
    let mut out = BytesMut::new();
    match exchange {
        Exchange::Simple(text) => encode(&Query::new(text.clone()), &mut out),
        Exchange::Extended { name, text, parameters, binary } => {
            let name = name.map(str::to_owned);
            if !prepared || name.is_none() {
                const INT8: u32 = 20;
                encode(&Parse::new(name.clone(), text.clone(), vec![INT8; parameters.len()]), &mut out);
            }
            let format = vec![i16::from(*binary)];
            let encoded = parameters.iter().map(|value| Some(parameter(*value, *binary))).collect();
            encode(&Bind::new(None, name, format.clone(), encoded, format), &mut out);
            encode(&Execute::new(None, 0), &mut out);
            encode(&Sync::new(), &mut out);
        }
    }
    out.freeze()
}

fn parameter(value: i64, binary: bool) -> Bytes {
    if binary { Bytes::copy_from_slice(&value.to_be_bytes()) } else { Bytes::from(value.to_string()) }
}

fn encode(message: &impl Message, out: &mut BytesMut) {
    message.encode(out).expect("a client's requests are shorter than the protocol's limits");
}

/// An integer field, text or binary (int2, int4, int8).
#[must_use]
pub fn integer(field: &Bytes, binary: bool) -> Option<i64> {
    if !binary {
        return std::str::from_utf8(field).ok()?.parse().ok();
    }
    match field.len() {
        2 => Some(i64::from(i16::from_be_bytes(field[..].try_into().ok()?))),
        4 => Some(i64::from(i32::from_be_bytes(field[..].try_into().ok()?))),
        8 => Some(i64::from_be_bytes(field[..].try_into().ok()?)),
        _ => None,
    }
}

/// Rows as text.
#[must_use]
pub fn texts(rows: &[Vec<Option<Bytes>>]) -> Vec<Vec<Option<String>>> {
    let text = |field: &Option<Bytes>| field.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    rows.iter().map(|row| row.iter().map(text).collect()).collect()
}
