//! One client connection as a machine.
//!
//! Bytes come in, cut anywhere; messages are taken from them strictly in order, one at a time. A message either is
//! dealt with at once or becomes a [`Task`] that needs partitions: then a [`Job`] is under way, its calls are out, and
//! everything behind it waits in the buffer. When the job has ended the next message is taken.
//!
//! - `startup`: from the first byte to the first ReadyForQuery.
//! - `simple`, `extended`: the two query protocols, as far as they differ.
//! - `execution`: queries and writes: plan, route, call, render.
//! - `order`: commands over several partitions: order, collect, put together.
//! - `definition`: DDL, in several requests.
//! - `prepare`: what takes long of DDL, before it is ordered.
//! - `drafts`: DDL in transaction blocks.
//! - `draw`: values of sequences, before statements that draw them are sent.
//! - `copy`: COPY … FROM STDIN.
//! - `recover`: RECOVER NODE.
//! - `observe`: queries of system tables: facts of all nodes instead of a partition.
//! - `block`, `step`, `settle`: transaction blocks, their statements, and what follows from those.
//! - `deferral`: constraints that are checked at COMMIT.
//! - `redo`: those that met another one are executed again.
//! - `implicit`: transactions without BEGIN: texts of several statements, and what comes before a Sync.
//! - `leaving`: how a session ends when its node is asked to stop.
//! - `token`: what is executed under an idempotency token, and what is told of it when it is asked for again.
//! - `utility`: what the session itself answers.
//! - `calls`: requests out, replies and time-outs in, cancellation, and what is said at the end of waiting.
//!
//! # Invariants
//! - While a job is under way no message is taken; without one no call is out.
//! - A planning error is reported only after the catalog was read at the cluster partition, after the statement came
//!   (rules B4).
//! - Sequence numbers of logged requests only rise; one whose outcome is unknown is never used again.

mod administer;
mod block;
mod calls;
mod copy;
mod deferral;
mod definition;
mod drafts;
mod draw;
mod execution;
mod extended;
mod implicit;
mod leaving;
mod observe;
mod open;
mod order;
mod prepare;
mod recover;
mod redo;
mod settle;
mod simple;
mod startup;
mod step;
mod token;
mod utility;

use super::call::Call;
use super::codec::{self, Malformed};
use super::gateway::GatewayOutput;
use super::settings::Settings;
use super::shared::Turn;
use super::writer::{Severity, Writer};
use crate::env::ClientEvent;
use crate::partition::message::Reply;
use crate::sql::{Drew, Parsed};
use crate::types::datetime::TimeZone;
use crate::types::{
    CatalogVersion, ConnectionId, Duration, Instant, NodeId, Sequence, SessionId, SqlError, SqlState, Timestamp,
};
use crate::{planted, sometimes};
use administer::AdministerJob;
use block::{Block, CommitJob};
use bytes::{Bytes, BytesMut};
use calls::Role;
use copy::CopyIn;
use definition::DefineJob;
use draw::{DrawJob, SetJob};
use execution::BatchJob;
use extended::{Portal, Statement};
use observe::{Latest, ObserveJob};
use order::Collecting;
use pgwire::messages::extendedquery::Parse;
use recover::RecoverJob;
use redo::Redo;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use step::StepJob;

/// Output is handed over in pieces of about this size.
const OUTPUT_PIECE: usize = 32 << 10;
/// Most bytes that may wait behind a statement under way: one message of the longest kind, and some.
const MAX_INPUT: usize = codec::MAX_MESSAGE + (1 << 20);
/// A connection that has not introduced itself by then is closed.
const OPENING_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the startup packet; until when.
    Opening(Instant),
    /// Accepted; the gateway has no number yet. Until when.
    Waiting(Instant),
    /// Sessions proper.
    Open,
    /// Over; the gateway drops it.
    Closed,
}

/// Which protocol the current message belongs to: what follows an error depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// An error ends the text; ReadyForQuery follows.
    Simple,
    /// An error skips all messages up to Sync.
    Extended,
}

/// A message, or the rest of one, that may need to be begun again after the catalog has been read.
enum Task {
    /// Statements of a simple query that are still to be run.
    Simple(VecDeque<Parsed>),
    /// Parse.
    Parse(Parse),
    /// Describe: the kind (`S` or `P`) and the name.
    Describe(u8, String),
    /// The session is to begin, once it is known whether its database exists.
    Enter,
    /// Execute: the portal and the most rows to return; 0: all.
    Execute(String, usize),
    /// Sequences are set.
    Set(Box<SetJob>),
}

/// What is under way at partitions.
enum Job {
    /// The catalog is read because planning failed; then the task is begun again.
    Confirm(Task),
    /// A query or a write.
    Batch(BatchJob),
    /// The same, once the catalog has been read: planned under another one it was refused.
    Again(BatchJob),
    /// Values of a sequence are reserved for it; then it is begun again.
    Draw(Box<DrawJob>),
    /// DDL.
    Define(Box<DefineJob>),
    /// A change of the directory of nodes.
    Administer(Box<AdministerJob>),
    /// Queries of system tables.
    Observe(Box<ObserveJob>),
    /// A node is asked to fetch what it lacks.
    Recover(Box<RecoverJob>),
    /// A statement of a block.
    Step(Box<StepJob>),
    /// The cut of a block that only reads is taken; then its first statement is begun again.
    Cut(BatchJob),
    /// The first statement of a block under an idempotency token, while it is asked whether that has been used.
    Token(BatchJob),
    /// COMMIT of a block that has written, or has touched several partitions.
    Commit(CommitJob),
}

/// Who wants the results of a job.
enum Origin {
    /// A simple query, with the statements that follow.
    Simple(VecDeque<Parsed>),
    /// A portal, with the most rows to return; 0: all.
    Portal(String, usize),
}

/// One connection.
pub(super) struct Connection {
    id: ConnectionId,
    phase: Phase,
    input: BytesMut,
    writer: Writer,
    /// What has been written should go out now.
    flush: bool,
    settings: Settings,
    /// `TimeZone`, looked up.
    zone: TimeZone,
    session: SessionId,
    next_sequence: Sequence,
    /// Number of the last attempt; never repeated within the session.
    attempts: u32,
    process: i32,
    secret: Bytes,
    statements: BTreeMap<String, Arc<Statement>>,
    portals: BTreeMap<String, Portal>,
    mode: Mode,
    /// An error has occurred in the extended protocol: everything up to Sync is passed over.
    skipping: bool,
    task: Option<Task>,
    /// The task waits for what the client sends next.
    held: bool,
    job: Option<Job>,
    calls: Vec<(Role, Call)>,
    /// The command over several partitions whose outcome is being collected.
    collecting: Option<Box<Collecting>>,
    /// A COPY whose data are coming.
    copy: Option<Box<CopyIn>>,
    block: Block,
    /// How the implicit transaction that is open is executed again, if it can be, and how often it has been.
    redo: Option<Redo>,
    redone: u32,
    /// Something was committed under an idempotency token since the last ReadyForQuery.
    spent: bool,
    /// Number of the last transaction block.
    transactions: u64,
    /// The catalog has been read since the current statement came.
    confirmed: bool,
    /// A catalog of this version is in force somewhere, as the current statement has been told.
    wanted: CatalogVersion,
    /// End of the current statement's patience.
    deadline: Instant,
    /// ReadyForQuery was the last thing said.
    answered: bool,
    /// The client has been told that its session has begun.
    greeted: bool,
    /// Since when the client has been expected to say what comes next: since the last ReadyForQuery.
    idle_since: Option<Instant>,
    /// The node stops, and the client has a transaction block open: it is waited for until then.
    leaves_at: Option<Instant>,
    /// The client has asked to cancel the current statement.
    cancelled: bool,
    /// What it has drawn from sequences.
    drew: Drew,
    /// Number of the last survey.
    surveys: u64,
    /// The latest statement, for whoever asks.
    latest: Latest,
}

impl Connection {
    pub(super) fn new(
        id: ConnectionId,
        now: Instant,
        wall: Timestamp,
        counter: u64,
        process: i32,
        secret: Bytes,
    ) -> Self {
        Self {
            id,
            phase: Phase::Opening(now + OPENING_TIMEOUT),
            input: BytesMut::new(),
            writer: Writer::default(),
            flush: false,
            settings: Settings::new("", ""),
            zone: TimeZone::utc(),
            session: SessionId { gateway: 0, counter },
            next_sequence: Sequence(1),
            attempts: 0,
            process,
            secret,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            mode: Mode::Simple,
            skipping: false,
            task: None,
            held: false,
            job: None,
            calls: Vec::new(),
            collecting: None,
            copy: None,
            block: Block::Idle,
            redo: None,
            redone: 0,
            spent: false,
            transactions: 0,
            confirmed: false,
            wanted: CatalogVersion(0),
            deadline: now,
            answered: false,
            greeted: false,
            idle_since: None,
            leaves_at: None,
            cancelled: false,
            drew: Drew::default(),
            surveys: 0,
            latest: Latest::new(wall),
        }
    }

    /// Is it over?
    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Past its startup?
    pub(super) fn is_session(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_) | Phase::Open)
    }

    /// Process id under which it can be cancelled.
    pub(super) const fn process(&self) -> i32 {
        self.process
    }

    /// What a cancel request must know besides.
    pub(super) const fn secret(&self) -> &Bytes {
        &self.secret
    }

    /// The session's number among the gateway's.
    pub(super) const fn counter(&self) -> u64 {
        self.session.counter
    }

    /// Something came from the client.
    pub(super) fn event(&mut self, turn: &mut Turn<'_>, event: ClientEvent) -> Option<Cancel> {
        match event {
            ClientEvent::Opened { .. } => None,
            ClientEvent::Bytes(bytes) => {
                self.input.extend_from_slice(&bytes);
                if std::mem::take(&mut self.held) {
                    self.begin(turn);
                }
                let cancel = self.run(turn);
                if self.input.len() > MAX_INPUT && !self.is_closed() {
                    sometimes!("session.input_overflow");
                    let message = "too much was sent while a statement was under way";
                    self.fatal(turn, &SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
                }
                cancel
            }
            ClientEvent::Closed => {
                sometimes!("session.client_gone_under_way", self.job.is_some());
                self.leave(turn);
                None
            }
        }
    }

    /// A partition has answered this session.
    pub(super) fn reply(&mut self, turn: &mut Turn<'_>, from: NodeId, reply: Reply) {
        self.take_reply(turn, from, reply);
        self.run(turn);
    }

    /// Time has come.
    pub(super) fn timeout(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Opening(until) if until <= turn.now => self.leave_silently(turn),
            Phase::Waiting(until) if until <= turn.now => {
                let error = SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the cluster cannot be reached")
                    .detail("This node could not register itself at the cluster partition in time.");
                self.fatal(turn, &error);
            }
            _ if self.idle_until().is_some_and(|until| until <= turn.now) => self.idle_for_too_long(turn),
            _ => self.take_timeouts(turn),
        }
        self.run(turn);
    }

    /// When [`Connection::timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening(until) | Phase::Waiting(until) => Some(until),
            Phase::Open => {
                let calls = self.calls.iter().filter_map(|(_, call)| call.next_timeout());
                calls.chain(self.survey_timeout()).chain(self.idle_until()).chain(self.leaves_at).min()
            }
            Phase::Closed => None,
        }
    }

    /// When patience with a client that says nothing is over.
    fn idle_until(&self) -> Option<Instant> {
        let in_block = !matches!(self.block, Block::Idle);
        Some(self.idle_since? + self.settings.idle_timeout(in_block)?)
    }

    fn idle_for_too_long(&mut self, turn: &mut Turn<'_>) {
        let (state, what) = match self.block {
            Block::Idle => (SqlState::IDLE_SESSION_TIMEOUT, "idle-session"),
            Block::Open(_) | Block::Failed(_) => {
                sometimes!("session.idle_in_transaction");
                (SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, "idle-in-transaction")
            }
        };
        self.fatal(turn, &SqlError::new(state, format!("terminating connection due to {what} timeout")));
    }

    /// The gateway has its number, or stops: see whether that concerns this connection.
    pub(super) fn look_up(&mut self, turn: &mut Turn<'_>) {
        if let (Phase::Waiting(_), Some(number)) = (self.phase, turn.shared.number) {
            self.complete_startup(turn, number);
        }
        if planted!(201) && turn.shared.stopping.is_some() && self.job.is_some() {
            // Class: a stop that closes connections, whatever is under way there.
            return self.say_good_bye(turn);
        }
        self.run(turn);
    }

    /// The settings have changed.
    fn look_up_zone(&mut self) {
        let name = &self.settings.travelling().time_zone;
        if self.zone.name() != name {
            self.zone = TimeZone::parse(name).unwrap_or_else(|_| TimeZone::utc());
        }
    }

    /// Takes messages until one has to wait.
    fn run(&mut self, turn: &mut Turn<'_>) -> Option<Cancel> {
        let mut cancel = None;
        while self.phase != Phase::Closed && self.job.is_none() {
            self.look_at_duration(turn);
            if self.is_to_leave(turn) {
                self.say_good_bye(turn);
            } else if self.held {
                break;
            } else if let Some(task) = self.task.take() {
                self.perform(turn, task);
            } else {
                match self.phase {
                    Phase::Opening(_) => match self.take_opening(turn) {
                        startup::Taken::Nothing => break,
                        startup::Taken::Something => {}
                        startup::Taken::Cancel(request) => cancel = Some(request),
                    },
                    Phase::Open => {
                        if !self.take_message(turn) {
                            break;
                        }
                    }
                    Phase::Waiting(_) | Phase::Closed => break,
                }
            }
            self.hand_over_pieces(turn);
        }
        self.look_at_duration(turn);
        debug_assert!(self.job.is_some() || self.calls.is_empty(), "without a job no call is out");
        self.hand_over(turn);
        cancel
    }

    /// Takes one message, if one is whole.
    fn take_message(&mut self, turn: &mut Turn<'_>) -> bool {
        self.keep_for_redo();
        match codec::next(&mut self.input) {
            Ok(None) => {
                if self.answered {
                    self.idle_since.get_or_insert(turn.now);
                }
                false
            }
            Ok(Some(message)) => {
                self.idle_since = None;
                self.leaves_at = None;
                self.answered = false;
                self.begin(turn);
                self.message(turn, message);
                true
            }
            Err(Malformed::Encoding(kind, error)) => {
                self.begin(turn);
                self.mode = if kind == b'Q' { Mode::Simple } else { Mode::Extended };
                if !self.skipping {
                    self.fail(turn, *error);
                }
                true
            }
            Err(Malformed::Protocol(error)) => {
                self.violation(turn, &error);
                false
            }
        }
    }

    /// A statement begins: its patience starts, and nothing is known of the catalog yet.
    fn begin(&mut self, turn: &Turn<'_>) {
        self.deadline = turn.now + self.settings.statement_timeout().unwrap_or(turn.shared.config.statement_timeout);
        self.confirmed = false;
        self.wanted = CatalogVersion(0);
        self.cancelled = false;
    }

    /// Begins a task, or begins it again.
    fn perform(&mut self, turn: &mut Turn<'_>, task: Task) {
        match task {
            Task::Simple(statements) => self.perform_simple(turn, statements),
            Task::Parse(parse) => self.perform_parse(turn, parse),
            Task::Describe(kind, name) => self.perform_describe(turn, kind, name),
            Task::Enter => self.enter(turn),
            Task::Set(job) => self.set_next(turn, *job),
            Task::Execute(portal, max_rows) => self.perform_execute(turn, portal, max_rows),
        }
    }

    /// Planning has failed: reports the error if the catalog is known to be current, else reads it and begins again.
    fn confirm(&mut self, turn: &mut Turn<'_>, task: Task, error: SqlError) {
        if self.confirmed {
            return self.fail(turn, error);
        }
        sometimes!("session.planning_error_confirmed");
        self.job = Some(Job::Confirm(task));
        self.read_catalog(turn);
    }

    /// The statement has failed.
    fn fail(&mut self, turn: &mut Turn<'_>, error: SqlError) {
        if error.state == SqlState::STATEMENT_COMPLETION_UNKNOWN {
            turn.shared.stats.unknown_outcomes += 1;
        }
        if self.wants_redo(turn, &error) {
            self.fail_block(turn);
            return self.redo();
        }
        self.redo = None;
        if !self.greeted {
            return self.fatal(turn, &error);
        }
        self.writer.error(Severity::Error, &error);
        self.flush = true;
        self.copy = None;
        self.fail_block(turn);
        match self.mode {
            Mode::Simple => self.ready_for_query(),
            Mode::Extended => self.skipping = true,
        }
    }

    /// The job has ended; whoever wanted it goes on.
    fn go_on(&mut self, turn: &mut Turn<'_>, origin: Origin) {
        if let Origin::Simple(rest) = origin {
            self.go_on_simple(turn, rest);
        }
    }

    fn ready_for_query(&mut self) {
        // Portals live as long as their transaction.
        if !self.in_block() {
            self.portals.clear();
        }
        self.writer.ready_for_query(self.status());
        self.answered = true;
        self.redo = None;
        self.redone = 0;
        self.spent = false;
        self.flush = true;
    }

    /// Bytes that are not the protocol.
    fn violation(&mut self, turn: &mut Turn<'_>, error: &SqlError) {
        turn.shared.stats.protocol_violations += 1;
        sometimes!("session.protocol_violation");
        self.fatal(turn, error);
    }

    /// Says why, and closes.
    fn fatal(&mut self, turn: &mut Turn<'_>, error: &SqlError) {
        self.writer.error(Severity::Fatal, error);
        self.leave_silently(turn);
    }

    /// Closes after what has been written.
    fn leave_silently(&mut self, turn: &mut Turn<'_>) {
        self.flush = true;
        self.hand_over(turn);
        if self.phase != Phase::Closed {
            turn.shared.outputs.push(GatewayOutput::Close(self.id));
        }
        self.leave(turn);
    }

    /// The client is gone: whatever is under way is nobody's now. Its outcome stays what it will be.
    fn leave(&mut self, turn: &mut Turn<'_>) {
        if self.is_session() {
            turn.shared.sessions -= 1;
        }
        self.leave_block(turn);
        self.phase = Phase::Closed;
        self.task = None;
        self.job = None;
        self.copy = None;
        self.calls.clear();
        self.collecting = None;
        self.input = BytesMut::new();
    }

    fn hand_over_pieces(&mut self, turn: &mut Turn<'_>) {
        if self.writer.len() >= OUTPUT_PIECE {
            self.redo = None;
            turn.shared.outputs.push(GatewayOutput::Client(self.id, self.writer.take()));
        }
    }

    fn hand_over(&mut self, turn: &mut Turn<'_>) {
        if self.flush && self.writer.len() > 0 && self.phase != Phase::Closed {
            self.redo = None;
            turn.shared.outputs.push(GatewayOutput::Client(self.id, self.writer.take()));
        }
        self.flush = false;
    }
}

/// A client wants the statement of another connection cancelled.
pub(super) struct Cancel {
    pub(super) process: i32,
    pub(super) secret: Bytes,
}
