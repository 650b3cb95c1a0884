//! A client of real nodes: an ordinary driver, the simulated clients' SQL, and their judgement of what an error means.

use super::Settings;
use super::recorder::Recorder;
use crate::history::{OperationId, Outcome};
use crate::operation::Operation;
use crate::stream::{RngCore, between, chance, stream};
use crate::workload::driver::{is_unavailable, refused};
use crate::workload::wire::{Answer, Exchange, ResultSet, WireError};
use crate::workload::{Kind, LastSeen, Place, Style};
use bytes::Bytes;
use orrery::types::Rng;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};

/// No answer after this: the outcome is unknown, and the connection is dropped.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Operations after which the client drops the connection without waiting, as one that crashes does.
const ABANDON_PPM: u32 = 10_000;
/// Unique numbers of a client: it has a million.
const UNIQUE_STRIDE: u64 = 1_000_000;
/// What a client remembers of what it has done.
const MEMORY: usize = 64;

/// A client.
pub(super) struct Writer {
    number: u32,
    kind: &'static dyn Kind,
    place: Place,
    style: Style,
    /// Does it read everything in the end?
    reads: bool,
    rng: Rng,
    period: Duration,
    addresses: Rc<[String]>,
    next_address: usize,
    link: Option<Link>,
    recorder: Rc<Recorder>,
    seen: LastSeen,
    earlier: Vec<Operation>,
    unique: u64,
    counter: u32,
}

/// A connection, which ends at once when it is dropped, whatever is in flight.
struct Link {
    client: Client,
    task: JoinHandle<()>,
    statements: BTreeMap<&'static str, Statement>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Writer {
    pub(super) fn new(
        number: u32,
        kind: &'static dyn Kind,
        place: Place,
        reads: bool,
        settings: &Settings,
        addresses: &Rc<[String]>,
        recorder: &Rc<Recorder>,
    ) -> Self {
        Self {
            number,
            kind,
            place,
            style: Style::of(number),
            reads,
            rng: stream(settings.seed, "chaos-client", u64::from(number)),
            period: settings.period,
            addresses: Rc::clone(addresses),
            next_address: number as usize,
            link: None,
            recorder: Rc::clone(recorder),
            seen: LastSeen::default(),
            earlier: Vec::new(),
            unique: (u64::from(number) + 1) * UNIQUE_STRIDE,
            counter: 0,
        }
    }

    /// Position of its workload.
    pub(super) const fn workload(&self) -> u32 {
        self.place.workload
    }

    /// Makes the workload's tables and first rows. Repeats each step until it has worked.
    pub(super) async fn make_tables(&mut self) {
        for statement in self.kind.setup(self.place) {
            loop {
                match self.ask(Exchange::Simple(statement.clone()), TIMEOUT).await {
                    Some(Ok(_)) => break,
                    // It had worked before: its answer was lost.
                    Some(Err(Trouble::Told(error))) if error.state == "23505" => break,
                    _ => self.rest(50, 300).await,
                }
            }
        }
    }

    /// Works until the chaos is over.
    pub(super) async fn work(mut self) -> Self {
        let mut due = tokio::time::Instant::now();
        while !self.recorder.is_over() {
            let period = self.period.as_micros() as i64;
            due += Duration::from_micros(between(&mut self.rng, period / 2, period + period / 2) as u64);
            // What an outage has held up is not made up for.
            due = due.max(tokio::time::Instant::now());
            tokio::time::sleep_until(due).await;
            self.unique += 1;
            let operation = self.kind.draw(&mut self.rng, self.place, self.unique, &self.earlier);
            if self.earlier.len() == MEMORY {
                self.earlier.remove(0);
            }
            self.earlier.push(operation);
            let timeout = match chance(&mut self.rng, ABANDON_PPM) {
                true => Duration::from_micros(self.rng.next_u64() % 3000),
                false => TIMEOUT,
            };
            self.perform(operation, timeout).await;
        }
        self
    }

    /// Does what is to be done after the chaos, each until it works: the writes, or the reads of everything.
    pub(super) async fn close(mut self, reads: bool) -> Self {
        self.unique += 1;
        let operations = self.kind.closing(&mut self.rng, self.place, self.unique, reads && self.reads);
        for mut operation in operations {
            let is_write = operation.renewed() != operation;
            while is_write != reads && !self.perform(operation, TIMEOUT).await {
                operation = operation.renewed();
                self.rest(100, 400).await;
            }
        }
        self
    }

    /// Does one operation and notes it; whether it was acknowledged.
    async fn perform(&mut self, planned: Operation, timeout: Duration) -> bool {
        if !self.connect().await {
            return false;
        }
        let operation = self.seen.fill_in(planned);
        let exchange = self.kind.exchange(self.place, operation, self.style);
        let binary = matches!(exchange, Exchange::Extended { binary: true, .. });
        let id = OperationId::new(self.number, self.counter);
        self.counter += 1;
        let invoked = self.recorder.invoke(id, operation);
        let outcome = match self.converse(operation, exchange, timeout).await {
            Some(Ok(answer)) => Outcome::Done(self.kind.interpret(operation, &answer, binary)),
            Some(Err(Trouble::Told(error))) => refused(&error),
            Some(Err(Trouble::Lost(why))) => Outcome::Unknown(why),
            None => Outcome::Unknown("no answer in time".to_owned()),
        };
        self.seen.learn(operation, &outcome);
        let done = matches!(outcome, Outcome::Done(_));
        self.recorder.finish(self.place.workload, id, operation, invoked, outcome);
        done
    }

    /// All exchanges of an operation, each as what has been answered makes it. All results, or the first trouble.
    async fn converse(
        &mut self,
        operation: Operation,
        first: Exchange,
        timeout: Duration,
    ) -> Option<Result<Answer, Trouble>> {
        let (mut exchange, mut results) = (first, Vec::new());
        for answered in 1.. {
            let mut answer = match self.ask(exchange, timeout).await? {
                Ok(answer) => answer,
                Err(trouble) => return Some(Err(trouble)),
            };
            let next = self.kind.next(self.place, operation, answered, &answer);
            results.append(&mut answer.results);
            match next {
                Some(next) => exchange = next,
                None => return Some(Ok(Answer::of(results))),
            }
            // A block stands and falls with its connection.
            self.link.as_ref()?;
        }
        None
    }

    /// Sends and waits; `None`: in vain. Leaves a node that does not serve.
    async fn ask(&mut self, exchange: Exchange, timeout: Duration) -> Option<Result<Answer, Trouble>> {
        if !self.connect().await {
            return None;
        }
        let link = self.link.as_mut()?;
        let answer = tokio::time::timeout(timeout, link.exchange(exchange)).await.ok();
        let stays = match &answer {
            Some(Ok(_)) => true,
            Some(Err(Trouble::Told(error))) => !is_unavailable(error) && !self.link.as_ref()?.client.is_closed(),
            Some(Err(Trouble::Lost(_))) | None => false,
        };
        if !stays || matches!(answer, Some(Err(_))) && !self.roll_back().await {
            self.leave();
        }
        answer
    }

    /// A block that has failed waits for its end; the driver does not tell whether there is one. Outside of a block this
    /// does nothing.
    async fn roll_back(&mut self) -> bool {
        let Some(link) = &self.link else { return false };
        let rolled_back = tokio::time::timeout(TIMEOUT, link.client.batch_execute("ROLLBACK")).await;
        matches!(rolled_back, Ok(Ok(())))
    }

    /// Is there a connection? If not, one is tried, to the next node, after a moment.
    async fn connect(&mut self) -> bool {
        if self.link.is_some() {
            return true;
        }
        let address = &self.addresses[self.next_address % self.addresses.len()];
        let config = format!("{address} user=client{} dbname=orrery", self.number);
        match tokio::time::timeout(TIMEOUT, tokio_postgres::connect(&config, NoTls)).await {
            Ok(Ok((client, connection))) => {
                // What ends it is told to whoever asks next.
                let task = tokio::task::spawn_local(async move { drop(connection.await) });
                self.link = Some(Link { client, task, statements: BTreeMap::new() });
                true
            }
            _ => {
                self.leave();
                self.rest(20, 200).await;
                false
            }
        }
    }

    fn leave(&mut self) {
        self.link = None;
        self.next_address += 1;
    }

    async fn rest(&mut self, least_ms: i64, most_ms: i64) {
        let pause = between(&mut self.rng, least_ms, most_ms) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Why there is no answer.
enum Trouble {
    /// The server says so.
    Told(WireError),
    /// The connection is gone, or speaks nonsense.
    Lost(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(told) => {
                Self::Told(WireError { state: told.code().code().to_owned(), message: told.message().to_owned() })
            }
            None => Self::Lost(error.to_string()),
        }
    }
}

impl Link {
    async fn exchange(&mut self, exchange: Exchange) -> Result<Answer, Trouble> {
        match exchange {
            Exchange::Simple(text) => self.simple(&text).await,
            // The driver takes text only in simple queries.
            Exchange::Extended { text, parameters, binary: false, .. } => {
                match Style::Simple.exchange("", &text, &parameters) {
                    Exchange::Simple(text) => self.simple(&text).await,
                    Exchange::Extended { .. } => unreachable!("the simple style makes simple queries"),
                }
            }
            Exchange::Extended { name, text, parameters, .. } => {
                self.prepared(name.unwrap_or_default(), &text, &parameters).await
            }
        }
    }

    async fn simple(&self, text: &str) -> Result<Answer, Trouble> {
        let mut results = Vec::new();
        let mut rows = Vec::new();
        for message in self.client.simple_query(text).await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let field = |column| row.get(column).map(|text: &str| Bytes::copy_from_slice(text.as_bytes()));
                    rows.push((0..row.len()).map(field).collect());
                }
                SimpleQueryMessage::CommandComplete(affected) => {
                    results.push(result(affected, std::mem::take(&mut rows)));
                }
                _ => {}
            }
        }
        Ok(Answer::of(results))
    }

    async fn prepared(&mut self, name: &'static str, text: &str, parameters: &[i64]) -> Result<Answer, Trouble> {
        if !self.statements.contains_key(name) {
            let statement = self.client.prepare_typed(text, &vec![Type::INT8; parameters.len()]).await?;
            self.statements.insert(name, statement);
        }
        let statement = &self.statements[name];
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as _).collect();
        if statement.columns().is_empty() {
            let affected = self.client.execute(statement, &parameters).await?;
            return Ok(Answer::of(vec![result(affected, Vec::new())]));
        }
        let rows = self.client.query(statement, &parameters).await?;
        let fields = |row: &tokio_postgres::Row| {
            (0..row.len()).map(|column| Ok(row.try_get::<_, Option<Raw>>(column)?.map(|raw| raw.0))).collect()
        };
        let rows: Result<Vec<Vec<Option<Bytes>>>, Trouble> = rows.iter().map(fields).collect();
        let rows = rows?;
        Ok(Answer::of(vec![result(rows.len() as u64, rows)]))
    }
}

/// The driver keeps of a command's tag only the number at its end.
fn result(affected: u64, rows: Vec<Vec<Option<Bytes>>>) -> ResultSet {
    ResultSet { tag: format!("DONE {affected}"), rows }
}

/// A field as it came.
struct Raw(Bytes);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Bytes::copy_from_slice(raw)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
