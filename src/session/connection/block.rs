//! Transaction blocks: BEGIN, what follows, COMMIT or ROLLBACK; savepoints.
//!
//! The statements of a block are executed on forks at the leaders of the partitions that they touch (`step`), and the session
//! keeps the lists that COMMIT sends to be executed again ([`crate::partition`], its `transaction`): to the one partition, or,
//! when several were touched, as one command over all of them. Until then nothing is in any log: a block that ends otherwise
//! has changed nothing, whatever ended it. Settings made in a block end with it unless it commits.
//!
//! # Invariants
//! - A partition's list holds each statement that was executed on its fork, in order, with a digest of what came of it: those
//!   that failed and those that were rolled back, too (rules A8). It never becomes shorter.
//! - A block that is READ ONLY before its first query reads at one *cut*: a place in the order of commands, at which all data
//!   partitions freeze what they have ([`crate::partition::global`]). Nothing is compared, and it never ends with 40001. What is frozen
//!   outlives a change of leaders, but not for ever: 72000 says that it is gone.
//! - All lists have the savepoints of the block, by level: a partition that is touched later begins with those that are open.
//! - After an error nothing is executed until the block ends, or goes back to a savepoint (25P02); COMMIT says ROLLBACK.
//! - A COMMIT has one outcome: committed, 40001 and nothing changed, or 40003, and then nobody knows. What has only read in
//!   several partitions is validated like what has written, unless all of it is known to be of one moment (`step`).
//!
//! - Definitions of a block are told to nobody before COMMIT (`drafts`).
//!
//! # Caveats
//! - A block may stay open for ever; leaders bound what it holds there.

use super::execution::{Item, Route, route};
use super::implicit::After;
use super::open::{Open, Savepoint, size, too_large};
use super::step::outdated;
use super::utility::Answer;
use super::{Connection, Job, Mode, Origin};
use crate::partition::MAX_TRANSACTION_BYTES;
use crate::partition::message::{Action, Outcome, Request, RequestBody};
use crate::session::connection::calls::Role;
use crate::session::gateway::GatewayOutput;
use crate::session::settings::Settings;
use crate::session::shared::Turn;
use crate::session::writer::Formats;
use crate::sql::{Discard, Kind, Modes, Transaction};
use crate::types::random::RngCore;
use crate::types::{CatalogVersion, GlobalNumber, PartitionId, RequestId, SqlError, SqlState, Timestamp};
use crate::{planted, sometimes};
use std::collections::BTreeMap;
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
    Failed(Box<Failed>),
}

/// A block that has failed.
pub(super) struct Failed {
    settings: Settings,
    /// It may go back to a savepoint.
    open: Option<Box<Open>>,
}

/// A COMMIT under way.
pub(super) struct CommitJob {
    pub(super) open: Box<Open>,
    pub(super) chain: bool,
    pub(super) after: After,
    /// Its definitions are in force; what is missing is that this gateway knows them.
    pub(super) defined: bool,
}

impl CommitJob {
    pub(super) const fn new(open: Box<Open>, chain: bool, after: After) -> Self {
        Self { open, chain, after, defined: false }
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
            (Block::Idle, Kind::Define) if self.settings.reads_only() => Err(read_only("a definition")),
            (Block::Idle, Kind::Administer(_)) if self.settings.reads_only() => Err(read_only("a change of nodes")),
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
            (Block::Open(open), Kind::Define | Kind::Administer(_)) if open.implicit => Ok(()),
            (Block::Open(_), Kind::Administer(change)) => within(change.tag()),
            (Block::Open(open), Kind::Maintain(maintain))
                if open.implicit && maintain.vacuum && self.mode == Mode::Extended =>
            {
                Err(SqlError::new(ACTIVE_TRANSACTION, "VACUUM cannot be executed within a pipeline"))
            }
            (Block::Open(open), Kind::Define) if open.modes.read_only == Some(true) => Err(read_only("a definition")),
            (Block::Open(_), Kind::Maintain(maintain)) if maintain.vacuum => within("VACUUM"),
            (Block::Open(open), Kind::Recover(_)) if !open.implicit => within("RECOVER NODE"),
            (Block::Open(_), Kind::Discard(Discard::All)) => within("DISCARD ALL"),
            (Block::Open(_), _) => Ok(()),
        }
    }

    /// The statement has failed: so has the block.
    pub(super) fn fail_block(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Open(open) if open.implicit || open.committing => {
                self.forget_forks(turn, &open);
                self.restore_settings(open.settings);
            }
            Block::Open(open) => {
                let (settings, stays) = (open.settings.clone(), open.has_savepoints());
                let (unsure, open_cut) = (open.unsure, open.cut);
                self.block = Block::Open(open);
                // What is frozen at a cut is the same however often it is asked.
                let renews = open_cut.is_none() || !stays;
                if (unsure || !stays) && renews {
                    self.renew_forks(turn);
                }
                let Block::Open(open) = std::mem::replace(&mut self.block, Block::Idle) else { return };
                self.block = Block::Failed(Box::new(Failed { settings, open: stays.then_some(open) }));
            }
            other => self.block = other,
        }
    }

    /// The connection ends.
    pub(super) fn leave_block(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Open(open) => self.forget_forks(turn, &open),
            Block::Failed(failed) => self.forget_failed(turn, &failed),
            Block::Idle => {}
        }
    }

    fn forget_failed(&mut self, turn: &mut Turn<'_>, failed: &Failed) {
        if let Some(open) = &failed.open {
            self.forget_forks(turn, open);
        }
    }

    /// The forks of the open block are given up: whoever goes on makes others.
    pub(super) fn renew_forks(&mut self, turn: &mut Turn<'_>) {
        let Block::Open(mut open) = std::mem::replace(&mut self.block, Block::Idle) else { return };
        self.forget_forks(turn, &open);
        if open.cut.take().is_some() {
            open.catalog = None;
        }
        self.transactions += 1;
        open.number = self.transactions;
        open.unsure = false;
        // What was never executed anywhere is as if it had not been touched.
        open.lists.retain(|_, list| list.done > 0);
        let number = open.number;
        open.lists.values_mut().for_each(|list| list.lose(number));
        self.block = Block::Open(open);
    }

    /// The session itself has made a definition, under this catalog: if it is the block's, the block goes on under the next one. What
    /// it has executed is executed again there.
    pub(super) fn block_follows(&mut self, turn: &mut Turn<'_>, checked: CatalogVersion) {
        let Block::Open(open) = &mut self.block else { return };
        // Definitions that it had, it has gone back from.
        open.catalog = None;
        if open.is_untouched() || open.catalog_version != checked {
            return;
        }
        sometimes!("session.block_follows_definition");
        open.catalog_version = CatalogVersion(checked.0 + 1);
        open.of_one_moment = false;
        self.renew_forks(turn);
    }

    /// Tells the leaders that forks are of no more use. Nothing hangs on its arriving.
    fn forget_forks(&mut self, turn: &mut Turn<'_>, open: &Open) {
        if let Some(cut) = open.cut {
            for partition in (1..=turn.shared.config.partitions).map(PartitionId) {
                self.tell(turn, partition, RequestBody::LetGo { cut });
            }
            return;
        }
        for (partition, list) in &open.lists {
            self.tell(turn, *partition, RequestBody::Abandon { transaction: list.number });
        }
    }

    /// Says something that is not answered.
    fn tell(&mut self, turn: &mut Turn<'_>, partition: PartitionId, body: RequestBody) {
        self.attempts = self.attempts.wrapping_add(1);
        let request = Request {
            id: RequestId { session: self.session, sequence: self.next_sequence },
            acked_below: self.next_sequence,
            attempt: self.attempts,
            body,
        };
        let node = turn.shared.router.leader(partition);
        turn.shared.outputs.push(GatewayOutput::Request { node, partition, request });
    }

    /// The open block reads here, under the catalog under which the cut was ordered.
    pub(super) fn cut_is(&mut self, cut: GlobalNumber, catalog_version: CatalogVersion) {
        if let Block::Open(open) = &mut self.block {
            let same = open.catalog.as_ref().is_some_and(|catalog| catalog.version == catalog_version);
            debug_assert!(same, "a cut is of the catalog under which it was ordered");
            open.cut = Some(cut);
            open.catalog_version = catalog_version;
        }
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
            Transaction::Savepoint(name) => self.savepoint(name),
            Transaction::RollbackTo(name) => self.roll_back_to(name),
            Transaction::Release(name) => self.release(name),
        };
        match answer {
            Ok(answer) => self.answered(turn, &answer, origin),
            Err(error) => self.fail(turn, error),
        }
    }

    /// Writes an answer and goes on.
    pub(super) fn answered(&mut self, turn: &mut Turn<'_>, answer: &Answer, origin: Origin) {
        self.write_answer(answer, matches!(origin, Origin::Simple(_)), &Formats::default());
        self.go_on(turn, origin);
    }

    fn begin_block(&mut self, turn: &mut Turn<'_>, modes: &Modes, tag: &'static str) -> Result<Answer, SqlError> {
        if let Block::Open(open) = &mut self.block {
            if std::mem::take(&mut open.implicit) {
                self.redo = None;
                sometimes!("session.begin_takes_what_was_before");
                let read_only = modes.read_only.or(open.modes.read_only);
                open.modes = Modes { read_only, ..modes.clone() };
                return Ok(Answer::tag(tag));
            }
            return Ok(Answer::notice(tag, ACTIVE_TRANSACTION, "there is already a transaction in progress"));
        }
        self.open_block(turn, modes, false);
        Ok(Answer::tag(tag))
    }

    /// Opens a block where none is open.
    pub(super) fn open_block(&mut self, turn: &mut Turn<'_>, modes: &Modes, implicit: bool) {
        self.transactions += 1;
        self.block = Block::Open(Box::new(Open {
            number: self.transactions,
            began: turn.wall,
            seed: turn.shared.rng.next_u64(),
            modes: Modes { read_only: modes.read_only.or(self.settings.reads_only().then_some(true)), ..modes.clone() },
            implicit,
            asked_token: false,
            queried: false,
            catalog_version: turn.shared.catalog.version,
            statements: 0,
            lists: BTreeMap::new(),
            savepoints: Vec::new(),
            unsure: false,
            bytes: 0,
            wrote: false,
            defers: false,
            committing: false,
            of_one_moment: true,
            cut: None,
            catalog: None,
            drafts: Vec::new(),
            settings: self.settings.clone(),
            locals: Vec::new(),
        }));
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

    fn savepoint(&mut self, name: &str) -> Result<Answer, SqlError> {
        if self.in_implicit() {
            return Err(no_block("SAVEPOINT"));
        }
        let settings = self.settings.clone();
        let Block::Open(open) = &mut self.block else { return Err(no_block("SAVEPOINT")) };
        if open.bytes > MAX_TRANSACTION_BYTES {
            return Err(too_large());
        }
        open.everywhere(&Action::Savepoint);
        open.savepoints.push(Savepoint {
            name: name.to_owned(),
            settings,
            locals: open.locals.len(),
            drafts: open.drafts.len(),
        });
        Ok(Answer::tag("SAVEPOINT"))
    }

    fn roll_back_to(&mut self, name: &str) -> Result<Answer, SqlError> {
        if self.in_implicit() {
            return Err(no_block("ROLLBACK TO SAVEPOINT"));
        }
        let open = match &mut self.block {
            Block::Idle => return Err(no_block("ROLLBACK TO SAVEPOINT")),
            Block::Open(open) => Some(open),
            Block::Failed(failed) => failed.open.as_mut(),
        };
        let Some((open, level)) = open.and_then(|open| open.level(name).map(|level| (open, level))) else {
            return Err(no_savepoint(name));
        };
        open.savepoints.truncate(level + 1);
        open.everywhere(&Action::RollbackTo { level: u32::try_from(level).unwrap_or(u32::MAX) });
        let Savepoint { settings, locals, drafts, .. } = &open.savepoints[level];
        let settings = settings.clone();
        open.locals.truncate(*locals);
        open.drafts.truncate(*drafts);
        sometimes!("session.rolled_back_to_savepoint");
        self.block = match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Failed(failed) => failed.open.map_or(Block::Idle, Block::Open),
            other => other,
        };
        let answer = Answer::tag("ROLLBACK").reporting_all(self.settings.restore(settings));
        self.look_up_zone();
        Ok(answer)
    }

    fn release(&mut self, name: &str) -> Result<Answer, SqlError> {
        if self.in_implicit() {
            return Err(no_block("RELEASE SAVEPOINT"));
        }
        let Block::Open(open) = &mut self.block else { return Err(no_block("RELEASE SAVEPOINT")) };
        let Some(level) = open.level(name) else { return Err(no_savepoint(name)) };
        open.savepoints.truncate(level);
        open.everywhere(&Action::Release { level: u32::try_from(level).unwrap_or(u32::MAX) });
        Ok(Answer::tag("RELEASE"))
    }

    fn commit_block(&mut self, turn: &mut Turn<'_>, chain: bool, origin: Origin) {
        if chain && self.in_implicit() {
            return self.fail(turn, no_block("COMMIT AND CHAIN"));
        }
        let answer = match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Idle if chain => return self.fail(turn, no_block("COMMIT AND CHAIN")),
            Block::Idle => Answer::warning("COMMIT", "there is no transaction in progress"),
            Block::Failed(failed) => {
                self.forget_failed(turn, &failed);
                let answer = Answer::tag("ROLLBACK").reporting_all(self.settings.restore(failed.settings));
                self.look_up_zone();
                self.chained(turn, answer, chain, &Modes::default())
            }
            Block::Open(open) => return self.end_block(turn, CommitJob::new(open, chain, After::Answer(origin))),
        };
        self.answered(turn, &answer, origin);
    }

    /// Commits what was an open block.
    pub(super) fn end_block(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        if job.open.defers && !job.open.committing && !job.open.lists.is_empty() {
            return self.check_deferred(turn, job);
        }
        if !job.open.drafts.is_empty() {
            return self.order_drafts(turn, job);
        }
        // Several partitions are of one moment only when that has been shown; of one all is, and of one cut.
        // Planted 147: what has only read is not validated.
        let open = &job.open;
        let known = !open.wrote && open.of_one_moment;
        sometimes!("session.reads_of_one_moment", known && open.lists.len() > 1 && open.cut.is_none());
        let several = open.lists.len() > 1 && !known && !planted!(147);
        if open.cut.is_none() && (several || (open.wrote && !open.lists.is_empty())) {
            return self.send_commit(turn, job);
        }
        self.forget_forks(turn, &job.open);
        self.committed(turn, job);
    }

    pub(super) fn committed(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        self.redo = None;
        let CommitJob { open, chain, after, .. } = job;
        self.settings.defer(None);
        let mut answer = if open.implicit {
            Answer::warning("COMMIT", "there is no transaction in progress")
        } else {
            Answer::tag("COMMIT")
        };
        for (name, value) in open.locals.iter().rev() {
            // The value was accepted before.
            answer.reports.extend(self.settings.set(name, value).ok().flatten());
        }
        self.look_up_zone();
        let origin = match after {
            After::Answer(origin) => origin,
            After::Perform(task) => {
                self.report(&answer.reports);
                self.begin(turn);
                self.task = Some(task);
                return;
            }
            After::Ready => {
                self.report(&answer.reports);
                return self.ready_for_query();
            }
        };
        let answer = self.chained(turn, answer, chain, &open.modes);
        self.answered(turn, &answer, origin);
    }

    fn report(&mut self, reports: &[(&'static str, String)]) {
        for (name, value) in reports {
            self.writer.parameter_status(name, value);
        }
    }

    pub(super) fn restore_settings(&mut self, before: Settings) {
        let reports = self.settings.restore(before);
        self.report(&reports);
        self.look_up_zone();
    }

    fn chained(&mut self, turn: &mut Turn<'_>, answer: Answer, chain: bool, modes: &Modes) -> Answer {
        if chain {
            // With nothing open, beginning cannot fail.
            let _ = self.begin_block(turn, modes, "BEGIN");
        }
        answer
    }

    fn roll_back_block(&mut self, turn: &mut Turn<'_>, chain: bool, origin: Origin) {
        if chain && self.in_implicit() {
            return self.fail(turn, no_block("ROLLBACK AND CHAIN"));
        }
        self.redo = None;
        let mut answer = Answer::tag("ROLLBACK");
        let (settings, modes) = match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Idle if chain => return self.fail(turn, no_block("ROLLBACK AND CHAIN")),
            Block::Idle => {
                let answer = Answer::warning("ROLLBACK", "there is no transaction in progress");
                return self.answered(turn, &answer, origin);
            }
            Block::Failed(failed) => {
                self.forget_failed(turn, &failed);
                (failed.settings, Modes::default())
            }
            Block::Open(open) => {
                self.forget_forks(turn, &open);
                if open.implicit {
                    answer = Answer::warning("ROLLBACK", "there is no transaction in progress");
                }
                (open.settings, open.modes)
            }
        };
        let answer = answer.reporting_all(self.settings.restore(settings));
        self.look_up_zone();
        let answer = self.chained(turn, answer, chain, &modes);
        self.answered(turn, &answer, origin);
    }

    fn send_commit(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        let changes = job.open.wrote;
        let token = self.token_of_block(turn).filter(|_| changes);
        let (partition, body) = match job.open.lists.first_key_value() {
            Some((partition, list)) if job.open.lists.len() == 1 && token.is_none() => {
                (*partition, RequestBody::Commit(Arc::new(job.open.commitment(list, true))))
            }
            _ => (PartitionId::CLUSTER, job.open.order(false, token)),
        };
        sometimes!("session.block_over_several_partitions", partition == PartitionId::CLUSTER);
        self.job = Some(Job::Commit(job));
        self.start_changing(turn, Role::Work, partition, body, changes);
    }

    /// COMMIT has been answered.
    pub(super) fn commit_done(&mut self, turn: &mut Turn<'_>, job: CommitJob, outcome: Outcome) {
        match outcome {
            Outcome::Committed => {
                if job.open.wrote {
                    self.token_is_spent();
                }
                self.committed(turn, job);
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
        self.restore_settings(job.open.settings);
        self.fail(turn, error);
    }

    /// The catalog is not the one any more under which the block was planned.
    pub(super) fn commit_outdated(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        sometimes!("session.commit_outdated");
        self.commit_failed(turn, job, outdated());
    }

    /// SET LOCAL is about to be said: what is to be restored.
    pub(super) fn remember_local(&mut self, name: &str) {
        let before = self.settings.show(name).map(|(_, value)| value);
        if let (Block::Open(open), Ok(before)) = (&mut self.block, before) {
            open.locals.push((name.to_owned(), before));
        }
    }

    /// What only reads neither writes nor draws from sequences, nor sets them.
    pub(super) fn refuse_changes(&self, items: &[Item]) -> Result<(), SqlError> {
        let reads_only = match &self.block {
            Block::Open(open) => open.modes.read_only == Some(true),
            Block::Idle | Block::Failed(_) => self.settings.reads_only(),
        };
        for item in items.iter().filter(|_| reads_only) {
            if !item.plan.is_read_only() {
                return Err(read_only(item.plan.command()));
            }
            if let Some(called) = item.plan.locks() {
                return Err(read_only(called));
            }
            if !item.plan.sets().is_empty() {
                return Err(read_only("setval()"));
            }
            if item.plan.draws().takes() {
                return Err(read_only("nextval()"));
            }
        }
        Ok(())
    }

    /// Where statements are executed, in a block or not.
    pub(super) fn route_in_block(&mut self, turn: &Turn<'_>, items: &[Item]) -> Result<Route, SqlError> {
        self.refuse_changes(items)?;
        let Block::Open(open) = &mut self.block else { return route(turn, items) };
        open.queried = true;
        let route = route(turn, items)?;
        if matches!(route, Route::Nowhere) {
            return Ok(route);
        }
        let more: usize = items.iter().map(size).sum();
        if open.bytes + more > MAX_TRANSACTION_BYTES {
            return Err(too_large());
        }
        Ok(route)
    }

    /// Rows that partitions have given each other for a statement take theirs: each keeps those of all others.
    pub(super) fn note_gathered(&mut self, bytes: usize, partitions: usize) -> Result<(), SqlError> {
        let Block::Open(open) = &mut self.block else { return Ok(()) };
        open.bytes += bytes * partitions.saturating_sub(1);
        if open.bytes > MAX_TRANSACTION_BYTES { Err(too_large()) } else { Ok(()) }
    }

    /// A statement of the block takes its room.
    pub(super) fn note_size(&mut self, item: &Item) {
        if let Block::Open(open) = &mut self.block {
            open.bytes += size(item);
        }
    }
}

fn read_only(what: &str) -> SqlError {
    SqlError::new(READ_ONLY_TRANSACTION, format!("cannot execute {what} in a read-only transaction"))
}

fn no_savepoint(name: &str) -> SqlError {
    SqlError::new(INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist"))
}

fn no_block(what: &str) -> SqlError {
    let message = format!("{what} can only be used in transaction blocks");
    SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
}
