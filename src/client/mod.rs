//! **Client**: a small PostgreSQL client for the command line. Blocking, simple queries only, text as the server sends it.
//!
//! `orrery sql` and `orrery status` show what a server says word for word: types of columns (to align them), notices in
//! their place, every field of an error. `retry` asks again where that can do no harm. That is all it can do; applications use a driver.
//!
//! # Invariants
//! - Bytes of a server never make it panic: a message that is malformed, or longer than [`message::MAX_MESSAGE`], ends
//!   the connection with [`Failure::Lost`].
//! - Nothing waits for ever before the connection is established; a query waits for its server.

mod message;
mod retry;

pub use message::{Column, Report};
pub use retry::{Retry, execute};

use bytes::{Buf, BytesMut};
use message::{Malformed, Message};
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Protocol 3.0.
const PROTOCOL: i32 = 196_608;
const READ_SIZE: usize = 16 << 10;
/// Data of a COPY in one message.
const COPY_PIECE: usize = 32 << 10;

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Database.
    pub database: String,
    /// `application_name`.
    pub application: &'static str,
}

impl Target {
    /// A node by where it listens, as whoever needs no other name.
    #[must_use]
    pub fn at(host: String, port: u16, application: &'static str) -> Self {
        Self { host, port, user: "orrery".to_owned(), database: "orrery".to_owned(), application }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// No connection: what, in one line.
    Connect(String),
    /// The connection broke.
    Lost(String),
    /// The server has refused.
    Server(Box<Report>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(what) => f.write_str(what),
            Self::Lost(what) => write!(f, "the connection is lost: {what}"),
            Self::Server(report) => write!(f, "{} ({})", report.message, report.code),
        }
    }
}

/// What a server says to a query, in order.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Columns of the rows that follow.
    Columns(Vec<Column>),
    /// A row; `None` is NULL.
    Row(Vec<Option<String>>),
    /// A statement has ended.
    Complete(String),
    /// There was no statement.
    Empty,
    /// A notice or a warning.
    Notice(Box<Report>),
    /// An error; what follows in the same text is not executed.
    Error(Box<Report>),
}

/// Columns and rows of one query.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: BytesMut,
    /// `I`: no transaction is open, `T`: one is, `E`: one that has failed.
    transaction: u8,
    parameters: Vec<(String, String)>,
}

impl Client {
    /// Connects and introduces itself; each step within `patience`.
    ///
    /// # Errors
    /// When there is nobody, when the server refuses, or is no PostgreSQL server.
    pub fn connect(target: &Target, patience: Duration) -> Result<Self, Failure> {
        let stream = open(target, patience)?;
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(patience));
        let mut client = Self { stream, input: BytesMut::new(), transaction: b'I', parameters: Vec::new() };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for (name, value) in
            [("user", &*target.user), ("database", &target.database), ("application_name", target.application)]
        {
            message::put_text(&mut body, name);
            message::put_text(&mut body, value);
        }
        body.push(0);
        client.send(&message::untagged(&body))?;
        loop {
            match client.next()? {
                Message::Authentication(0) | Message::KeyData | Message::Answer(Answer::Notice(_)) => {}
                Message::Authentication(_) => {
                    return Err(Failure::Connect("the server asks for a password: that is not supported".to_owned()));
                }
                Message::Parameter(name, value) => client.parameters.push((name, value)),
                Message::Answer(Answer::Error(report)) => return Err(Failure::Server(report)),
                Message::Ready(state) => {
                    client.transaction = state;
                    let _ = client.stream.set_read_timeout(None);
                    return Ok(client);
                }
                _ => return Err(Failure::Lost("the server does not speak PostgreSQL's protocol".to_owned())),
            }
        }
    }

    /// What the server has told of itself, `server_version` for one.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// State of the transaction: `I` none, `T` open, `E` failed.
    #[must_use]
    pub const fn transaction(&self) -> u8 {
        self.transaction
    }

    /// Sends a text of statements and hands over what comes, until the server is ready for the next. COPY … FROM STDIN
    /// takes its lines from `data` until that has no more.
    ///
    /// # Errors
    /// When the connection breaks. Errors of statements are answers.
    pub fn query(
        &mut self,
        text: &str,
        data: &mut dyn FnMut() -> Option<String>,
        mut on: impl FnMut(Answer),
    ) -> Result<(), Failure> {
        if text.contains('\0') {
            on(Answer::Error(Box::new(Report::local("22021", "a statement cannot contain the character 0"))));
            return Ok(());
        }
        let mut body = Vec::with_capacity(text.len() + 1);
        message::put_text(&mut body, text);
        self.send(&message::tagged(b'Q', &body))?;
        loop {
            match self.next()? {
                Message::Ready(state) => {
                    self.transaction = state;
                    return Ok(());
                }
                Message::CopyIn => self.copy(data)?,
                Message::Answer(answer) => on(answer),
                Message::Parameter(name, value) => {
                    self.parameters.retain(|(known, _)| *known != name);
                    self.parameters.push((name, value));
                }
                Message::Authentication(_) | Message::KeyData | Message::Other => {}
            }
        }
    }

    /// The rows of one query, all of them.
    ///
    /// # Errors
    /// When the connection breaks, takes longer than `patience` between two messages, or the statement fails.
    pub fn rows(&mut self, text: &str, patience: Duration) -> Result<Rows, Failure> {
        let mut found = Rows::default();
        let mut failed = None;
        let _ = self.stream.set_read_timeout(Some(patience));
        self.query(text, &mut || None, |answer| match answer {
            Answer::Columns(columns) => found.columns = columns,
            Answer::Row(row) => found.rows.push(row),
            Answer::Error(report) => failed = Some(report),
            _ => {}
        })?;
        let _ = self.stream.set_read_timeout(None);
        failed.map_or(Ok(found), |report| Err(Failure::Server(report)))
    }

    fn copy(&mut self, data: &mut dyn FnMut() -> Option<String>) -> Result<(), Failure> {
        let mut piece = Vec::new();
        while let Some(line) = data() {
            piece.extend_from_slice(line.as_bytes());
            piece.push(b'\n');
            if piece.len() >= COPY_PIECE {
                self.send(&message::tagged(b'd', &piece))?;
                piece.clear();
            }
        }
        if !piece.is_empty() {
            self.send(&message::tagged(b'd', &piece))?;
        }
        self.send(&message::tagged(b'c', &[]))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).map_err(|error| lost(&error))
    }

    fn next(&mut self) -> Result<Message, Failure> {
        loop {
            match message::take(&mut self.input) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(Malformed(what)) => return Err(Failure::Lost(format!("malformed message: {what}"))),
            }
            let mut buffer = [0; READ_SIZE];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Failure::Lost("the server has closed it".to_owned())),
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Terminate. Nobody minds if it does not arrive.
        let _ = self.stream.write_all(&message::tagged(b'X', &[]));
        self.input.advance(self.input.len());
    }
}

fn lost(error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    Failure::Lost(match error.kind() {
        TimedOut | WouldBlock => "the server has not answered in time".to_owned(),
        _ => error.to_string(),
    })
}

fn open(target: &Target, patience: Duration) -> Result<TcpStream, Failure> {
    let shown = format!("{}:{}", target.host, target.port);
    let unknown = |_| Failure::Connect(format!("the host of {shown} is not known here: check its name"));
    let addresses: Vec<SocketAddr> = (&*target.host, target.port).to_socket_addrs().map_err(unknown)?.collect();
    let mut last = format!("the host of {shown} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                last = format!("nobody listens on {shown}: is the node running, and this its --pg address?");
            }
            Err(error) => last = format!("cannot connect to {shown}: {error}"),
        }
    }
    Err(Failure::Connect(last))
}
