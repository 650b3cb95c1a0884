//! Transaction blocks: BEGIN, what follows, COMMIT or ROLLBACK.
//!
//! The statements of a block are executed on a fork at their partition's leader, and the session keeps the list that
//! COMMIT sends to be executed again ([`crate::partition`], its `transaction`). Until then nothing is in any log: a block
//! that ends otherwise has changed nothing, whatever ended it. Settings made in a block end with it unless it commits.
//!
//! # Invariants
//! - The list holds each statement that was executed on the fork, in order, with a digest of what was handed to the client.
//! - After an error nothing is executed until the block ends (25P02), and COMMIT says ROLLBACK.
//! - A COMMIT has one outcome: committed, 40001 and nothing changed, or 40003, and then nobody knows.
//!
//! # Caveats
//! - One partition; no definitions; no savepoints: each is refused with 0A000, which fails the block.
//! - What was executed before BEGIN in the same query text stays, where PostgreSQL makes it a part of the block.

use super::execution::{BatchJob, Item, Route, route, statement};
use super::utility::Answer;
use super::{Connection, Job, Origin};
use crate::partition::message::{Commitment, Outcome, Part, Request, RequestBody, Step};
use crate::partition::{MAX_TRANSACTION_BYTES, seen};
use crate::session::connection::calls::Role;
use crate::session::gateway::GatewayOutput;
use crate::session::settings::Settings;
use crate::session::shared::Turn;
use crate::session::writer::Formats;
use crate::sometimes;
use crate::sql::{Discard, Kind, Modes, StatementResult, Transaction};
use crate::types::random::RngCore;
use crate::types::{CatalogVersion, PartitionId, RequestId, SqlError, SqlState, Timestamp, Value};
use std::sync::Arc;

/// `3B001`
const INVALID_SAVEPOINT: SqlState = SqlState(*b"3B001");
/// `25001`
const ACTIVE_TRANSACTION: SqlState = SqlState(*b"25001");
/// `25006`
const READ_ONLY_TRANSACTION: SqlState = SqlState(*b"25006");

/// Is a transaction block open?
pub(super) enum Block {
    /// No.
    Idle,
    /// Yes.
    Open(Box<Open>),
    /// It has failed and waits for its end. The settings before it.
    Failed(Box<Settings>),
}

/// An open transaction.
pub(super) struct Open {
    /// Its number in the session.
    number: u64,
    began: Timestamp,
    seed: u64,
    modes: Modes,
    /// Something was asked: it is too late for SET TRANSACTION.
    queried: bool,
    /// Where its fork is.
    partition: Option<PartitionId>,
    catalog_version: CatalogVersion,
    /// Statements executed on the fork, and the list of them.
    done: u32,
    parts: Vec<Part>,
    bytes: usize,
    wrote: bool,
    /// Settings before it, and the values before each SET LOCAL.
    settings: Settings,
    locals: Vec<(String, String)>,
}

/// A COMMIT under way.
pub(super) struct CommitJob {
    open: Box<Open>,
    chain: bool,
    origin: Origin,
}

impl Open {
    fn commitment(&self, parts: Vec<Part>) -> Commitment {
        Commitment {
            transaction: self.number,
            catalog_version: self.catalog_version,
            began: self.began,
            seed: self.seed,
            parts,
        }
    }
}

impl Connection {
    /// Is a block open that has not failed?
    pub(super) const fn in_block(&self) -> bool {
        matches!(self.block, Block::Open(_))
    }

    /// The status byte of ReadyForQuery.
    pub(super) const fn status(&self) -> u8 {
        match self.block {
            Block::Idle => b'I',
            Block::Open(_) => b'T',
            Block::Failed(_) => b'E',
        }
    }

    /// `now()`.
    pub(super) const fn clock(&self, turn: &Turn<'_>) -> Timestamp {
        match &self.block {
            Block::Open(open) => open.began,
            Block::Idle | Block::Failed(_) => turn.wall,
        }
    }

    /// Why a statement cannot be executed where the block stands.
    pub(super) fn allowed(&self, kind: &Kind) -> Result<(), SqlError> {
        let within = |what: &str| {
            Err(SqlError::new(ACTIVE_TRANSACTION, format!("{what} cannot run inside a transaction block")))
        };
        match (&self.block, kind) {
            (Block::Idle, _) | (_, Kind::Empty) => Ok(()),
            (
                Block::Failed(_),
                Kind::Transaction(
                    Transaction::Commit { .. } | Transaction::Rollback { .. } | Transaction::RollbackTo(_),
                ),
            ) => Ok(()),
            (Block::Failed(_), _) => {
                let message = "current transaction is aborted, commands ignored until end of transaction block";
                Err(SqlError::new(SqlState::IN_FAILED_SQL_TRANSACTION, message))
            }
            (Block::Open(_), Kind::Define) => {
                Err(SqlError::unsupported("definitions inside a transaction block are not supported yet")
                    .hint("Each definition is a transaction of its own: say it before BEGIN or after COMMIT."))
            }
            (Block::Open(_), Kind::Maintain(maintain)) if maintain.vacuum => within("VACUUM"),
            (Block::Open(_), Kind::Discard(Discard::All)) => within("DISCARD ALL"),
            (Block::Open(_), _) => Ok(()),
        }
    }

    /// The statement has failed: so has the block.
    pub(super) fn fail_block(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Open(open) => {
                self.forget_fork(turn, &open);
                self.block = Block::Failed(Box::new(open.settings));
            }
            other => self.block = other,
        }
    }

    /// The connection ends.
    pub(super) fn leave_block(&mut self, turn: &mut Turn<'_>) {
        if let Block::Open(open) = std::mem::replace(&mut self.block, Block::Idle) {
            self.forget_fork(turn, &open);
        }
    }

    /// Tells the leader that a fork is of no more use. Nothing hangs on its arriving.
    fn forget_fork(&mut self, turn: &mut Turn<'_>, open: &Open) {
        let Some(partition) = open.partition else { return };
        self.attempts = self.attempts.wrapping_add(1);
        let request = Request {
            id: RequestId { session: self.session, sequence: self.next_sequence },
            acked_below: self.next_sequence,
            attempt: self.attempts,
            body: RequestBody::Abandon { transaction: open.number },
        };
        let node = turn.shared.router.leader(partition);
        turn.shared.outputs.push(GatewayOutput::Request { node, partition, request });
    }

    /// BEGIN and its kin. The statement has been taken from where it was.
    pub(super) fn transact(&mut self, turn: &mut Turn<'_>, transaction: &Transaction, origin: Origin) {
        let answer = match transaction {
            Transaction::Begin(modes) => self.begin_block(turn, modes, "BEGIN"),
            Transaction::Start(modes) => self.begin_block(turn, modes, "START TRANSACTION"),
            Transaction::Commit { chain } => return self.commit_block(turn, *chain, origin),
            Transaction::Rollback { chain } => return self.roll_back_block(turn, *chain, origin),
            Transaction::SetModes(modes) => self.set_modes(modes),
            Transaction::SetSessionModes(modes) => self.session_modes(modes),
            Transaction::Savepoint(_) => Err(self.no_savepoint("SAVEPOINT", None)),
            Transaction::RollbackTo(name) => Err(self.no_savepoint("ROLLBACK TO SAVEPOINT", Some(name))),
            Transaction::Release(name) => Err(self.no_savepoint("RELEASE SAVEPOINT", Some(name))),
        };
        match answer {
            Ok(answer) => self.answered(turn, &answer, origin),
            Err(error) => self.fail(turn, error),
        }
    }

    /// Writes an answer and goes on.
    fn answered(&mut self, turn: &mut Turn<'_>, answer: &Answer, origin: Origin) {
        self.write_answer(answer, matches!(origin, Origin::Simple(_)), &Formats::default());
        self.go_on(turn, origin);
    }

    fn begin_block(&mut self, turn: &mut Turn<'_>, modes: &Modes, tag: &'static str) -> Result<Answer, SqlError> {
        if self.in_block() {
            return Ok(Answer::notice(tag, ACTIVE_TRANSACTION, "there is already a transaction in progress"));
        }
        self.transactions += 1;
        self.block = Block::Open(Box::new(Open {
            number: self.transactions,
            began: turn.wall,
            seed: turn.shared.rng.next_u64(),
            modes: modes.clone(),
            queried: false,
            partition: None,
            catalog_version: turn.shared.catalog.version,
            done: 0,
            parts: Vec::new(),
            bytes: 0,
            wrote: false,
            settings: self.settings.clone(),
            locals: Vec::new(),
        }));
        Ok(Answer::tag(tag))
    }

    fn set_modes(&mut self, modes: &Modes) -> Result<Answer, SqlError> {
        let Block::Open(open) = &mut self.block else {
            return Ok(Answer::warning("SET", "SET TRANSACTION can only be used in transaction blocks"));
        };
        let late =
            |what: &str| Err(SqlError::new(ACTIVE_TRANSACTION, format!("{what} must be called before any query")));
        if open.queried && modes.isolation.is_some() {
            return late("SET TRANSACTION ISOLATION LEVEL");
        }
        if let Some(read_only) = modes.read_only {
            if open.queried && !read_only && open.modes.read_only == Some(true) {
                let message = "transaction read-write mode must be set before any query";
                return Err(SqlError::new(ACTIVE_TRANSACTION, message));
            }
            open.modes.read_only = Some(read_only);
        }
        if modes.deferrable.is_some() && open.queried {
            return late("SET TRANSACTION [NOT] DEFERRABLE");
        }
        Ok(Answer::tag("SET"))
    }

    fn no_savepoint(&self, what: &str, name: Option<&str>) -> SqlError {
        match (&self.block, name) {
            (Block::Idle, _) => {
                let message = format!("{what} can only be used in transaction blocks");
                SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
            }
            (_, Some(name)) => SqlError::new(INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")),
            _ => SqlError::unsupported("SAVEPOINT is not supported yet")
                .hint("An error ends the whole transaction: make smaller ones, or use INSERT … ON CONFLICT."),
        }
    }

    fn commit_block(&mut self, turn: &mut Turn<'_>, chain: bool, origin: Origin) {
        let answer = match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Idle if chain => return self.fail(turn, no_block("COMMIT AND CHAIN")),
            Block::Idle => Answer::warning("COMMIT", "there is no transaction in progress"),
            Block::Failed(settings) => {
                let answer = Answer::tag("ROLLBACK").reporting_all(self.settings.restore(*settings));
                self.look_up_zone();
                self.chained(turn, answer, chain, &Modes::default())
            }
            Block::Open(open) => match (open.wrote, open.partition) {
                (true, Some(partition)) => {
                    return self.send_commit(turn, partition, CommitJob { open, chain, origin });
                }
                // All that it saw is of one moment.
                _ => {
                    self.forget_fork(turn, &open);
                    self.committed(turn, &open, chain)
                }
            },
        };
        self.answered(turn, &answer, origin);
    }

    fn committed(&mut self, turn: &mut Turn<'_>, open: &Open, chain: bool) -> Answer {
        let mut answer = Answer::tag("COMMIT");
        for (name, value) in open.locals.iter().rev() {
            // The value was accepted before.
            answer.reports.extend(self.settings.set(name, value).ok().flatten());
        }
        self.look_up_zone();
        self.chained(turn, answer, chain, &open.modes)
    }

    fn chained(&mut self, turn: &mut Turn<'_>, answer: Answer, chain: bool, modes: &Modes) -> Answer {
        if chain {
            // With nothing open, beginning cannot fail.
            let _ = self.begin_block(turn, modes, "BEGIN");
        }
        answer
    }

    fn roll_back_block(&mut self, turn: &mut Turn<'_>, chain: bool, origin: Origin) {
        let (settings, modes) = match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Idle if chain => return self.fail(turn, no_block("ROLLBACK AND CHAIN")),
            Block::Idle => {
                let answer = Answer::warning("ROLLBACK", "there is no transaction in progress");
                return self.answered(turn, &answer, origin);
            }
            Block::Failed(settings) => (*settings, Modes::default()),
            Block::Open(open) => {
                self.forget_fork(turn, &open);
                (open.settings, open.modes)
            }
        };
        let answer = Answer::tag("ROLLBACK").reporting_all(self.settings.restore(settings));
        self.look_up_zone();
        let answer = self.chained(turn, answer, chain, &modes);
        self.answered(turn, &answer, origin);
    }

    fn send_commit(&mut self, turn: &mut Turn<'_>, partition: PartitionId, mut job: CommitJob) {
        let parts = std::mem::take(&mut job.open.parts);
        let commitment = job.open.commitment(parts);
        self.job = Some(Job::Commit(job));
        self.start_call(turn, Role::Work, partition, RequestBody::Commit(Arc::new(commitment)));
    }

    /// COMMIT has been answered.
    pub(super) fn commit_done(&mut self, turn: &mut Turn<'_>, job: CommitJob, outcome: Outcome) {
        match outcome {
            Outcome::Committed => {
                let answer = self.committed(turn, &job.open, job.chain);
                self.answered(turn, &answer, job.origin);
            }
            Outcome::Error { error, .. } => self.commit_failed(turn, job, error),
            _ => {
                let message = "a partition's answer fits no COMMIT";
                self.commit_failed(turn, job, SqlError::new(SqlState::INTERNAL_ERROR, message));
            }
        }
    }

    /// Nothing was changed; the transaction is over.
    pub(super) fn commit_failed(&mut self, turn: &mut Turn<'_>, job: CommitJob, error: SqlError) {
        for (name, value) in self.settings.restore(job.open.settings) {
            self.writer.parameter_status(name, &value);
        }
        self.look_up_zone();
        self.fail(turn, error);
    }

    /// The catalog is not the one any more under which the block was planned.
    pub(super) fn commit_outdated(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        sometimes!("session.commit_outdated");
        let error =
            SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
                .detail("A definition has changed since the transaction began.")
                .hint("Nothing was changed. The transaction might succeed if retried.");
        self.commit_failed(turn, job, error);
    }

    /// SET LOCAL is about to be said: what is to be restored.
    pub(super) fn remember_local(&mut self, name: &str) {
        let before = self.settings.show(name).map(|(_, value)| value);
        if let (Block::Open(open), Ok(before)) = (&mut self.block, before) {
            open.locals.push((name.to_owned(), before));
        }
    }

    /// Where statements are executed, in a block or not.
    pub(super) fn route_in_block(&mut self, turn: &Turn<'_>, items: &[Item]) -> Result<Route, SqlError> {
        let Block::Open(open) = &mut self.block else { return route(turn, items) };
        open.queried = true;
        let writes = items.iter().find(|item| !item.plan.is_read_only());
        if let (Some(true), Some(item)) = (open.modes.read_only, writes) {
            let message = format!("cannot execute {} in a read-only transaction", item.plan.command());
            return Err(SqlError::new(READ_ONLY_TRANSACTION, message));
        }
        let partition = match route(turn, items)? {
            Route::Nowhere => return Ok(Route::Nowhere),
            Route::One(partition) if open.done == 0 || open.partition == Some(partition) => partition,
            Route::One(_) | Route::Several(_) => {
                let message = "a transaction block that touches several partitions is not supported yet";
                return Err(SqlError::unsupported(message)
                    .hint("Rows of one transaction must have partition keys of one partition."));
            }
        };
        let more: usize = items.iter().map(size).sum();
        if open.bytes + more > MAX_TRANSACTION_BYTES {
            sometimes!("session.transaction_too_large");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "transaction is too large")
                .detail(format!("A transaction holds at most {} MiB.", MAX_TRANSACTION_BYTES >> 20))
                .hint("Make several transactions of it."));
        }
        open.partition = Some(partition);
        if open.done == 0 {
            open.catalog_version = turn.shared.catalog.version;
        }
        Ok(Route::One(partition))
    }

    /// The request for statements of an open block; `None`: none is open.
    pub(super) fn step_body(&self, turn: &Turn<'_>, items: &[Item]) -> Option<RequestBody> {
        let Block::Open(open) = &self.block else { return None };
        let Open { number, done, began, seed, .. } = **open;
        let batch = self.batch(turn, items);
        Some(RequestBody::Step(Step { transaction: number, done, began, seed, batch, before: None }))
    }

    /// The block's fork has been lost under a statement: everything so far goes along with it, to make another one.
    pub(super) fn rebuild(&mut self, turn: &mut Turn<'_>, job: BatchJob) {
        sometimes!("session.fork_lost");
        let before = match &self.block {
            Block::Open(open) => open.commitment(open.parts.clone()),
            Block::Idle | Block::Failed(_) => return self.fail(turn, nothing_open()),
        };
        let (Some(RequestBody::Step(mut step)), Block::Open(open)) = (self.step_body(turn, job.items()), &self.block)
        else {
            return self.fail(turn, nothing_open());
        };
        step.before = Some(Arc::new(before));
        let Some(partition) = open.partition else { return self.fail(turn, nothing_open()) };
        self.job = Some(Job::Batch(job));
        self.start_call(turn, Role::Work, partition, RequestBody::Step(step));
    }

    /// Statements of the block were executed on its fork, and this is what the client will see of them.
    pub(super) fn record(&mut self, items: &[Item], results: &[StatementResult]) {
        let Block::Open(open) = &mut self.block else { return };
        let settings = self.settings.travelling();
        if open.parts.last().is_none_or(|part| part.settings != *settings) {
            open.parts.push(Part { settings: Arc::clone(settings), statements: Vec::new() });
        }
        let Some(part) = open.parts.last_mut() else { return };
        for (item, result) in items.iter().zip(results) {
            part.statements.push((statement(item), seen(result, item.plan.orders_rows())));
            open.done += 1;
            open.bytes += size(item);
            open.wrote |= !item.plan.is_read_only();
        }
    }
}

/// Room that a statement takes in the list, about.
fn size(item: &Item) -> usize {
    let parameters = item.parameters.iter().map(|value| match value {
        Value::Bytea(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        _ => 16,
    });
    64 + item.parsed.text.len() + parameters.sum::<usize>()
}

fn nothing_open() -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, "a partition speaks of a transaction that is not open")
}

fn no_block(what: &str) -> SqlError {
    let message = format!("{what} can only be used in transaction blocks");
    SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
}
