//! Statements of an open block: executed on a fork at each partition that they touch, put together here.
//!
//! A partition's fork is made when it is first touched, so forks are of different moments. When another partition has been
//! touched, the earlier ones are asked whether they would show the same by now: 40001 comes then, and not only at COMMIT, if
//! a client's program was shown what never was at one time (rules A8). The same is asked before an error is told that ends a
//! block over several partitions: an error that rests on what has changed is none.
//!
//! # Invariants
//! - What came of a statement at a partition is in that partition's list before anything else is asked for the block.
//! - Forks whose state is not known (an answer never came) are not gone on with: they are made again, from the lists.
//! - What is executed again goes to the leader portion by portion. (All in one request, as it once was, was a turn so long under
//!   load that the leader was replaced over it, and the fork lost again: a COPY of some megabytes in a block did not survive
//!   one change of leaders.)
//!
//! # Caveats
//! - Writes for which rows are gathered from several partitions are refused with 0A000.
//! - When a statement's partitions are touched for the first time by it, all of them execute it twice.

use super::block::Block;
use super::calls::Role;
use super::execution::{BatchJob, Item, Route, statement};
use super::extended::shifted;
use super::order::Collecting;
use super::settle::Rounds;
use super::{Connection, Job, Origin};
use crate::partition::global::{GlobalBody, Vote};
use crate::partition::message::{Action, Outcome, Piece, RequestBody, StatementResult, Step};
use crate::partition::{dice, seen, seen_error, shown_with};
use crate::session::shared::Turn;
use crate::sql;
use crate::types::{CatalogVersion, PartitionId, SqlError, SqlState};
use crate::{planted, sometimes};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A statement of a block under way.
pub(super) struct StepJob {
    pub(super) item: Item,
    origin: Origin,
    /// Who executes it, ascending.
    at: Vec<PartitionId>,
    /// Those that are touched for the first time.
    pub(super) new: Vec<PartitionId>,
    /// Answers that have not come.
    pub(super) waiting: usize,
    parts: BTreeMap<PartitionId, Result<StatementResult, SqlError>>,
    /// Its constraints concern other partitions: how far that is settled.
    pub(super) rounds: Option<Rounds>,
    phase: Phase,
}

enum Phase {
    Executing,
    /// This is its result, if what was shown before still holds.
    Validating(StatementResult),
    /// This is its error, if what was shown before still holds.
    Confirming(SqlError),
}

impl Connection {
    /// Executes a statement of the open block.
    pub(super) fn execute_step(&mut self, turn: &mut Turn<'_>, mut job: BatchJob, route: Route) {
        let mut settles = false;
        let (at, gathers) = match route {
            Route::Nowhere => return self.execute_here(turn, &job.items, job.origin),
            Route::One(partition) => (vec![partition], false),
            Route::Several(mut sites) if sites.len() == 1 => {
                let site = sites.remove(0);
                settles = !site.concerned.is_empty();
                (site.at, site.gathers)
            }
            Route::Several(_) => return self.broken(turn),
        };
        if gathers {
            let message =
                "a statement that reads some partitions and writes others is not supported in a transaction block";
            return self
                .fail(turn, SqlError::unsupported(message).hint("Send it on its own, outside of BEGIN … COMMIT."));
        }
        let version = turn.shared.catalog.version;
        if matches!(&self.block, Block::Open(open) if open.wants_cut(turn.shared.config.partitions)) {
            return self.order_cut(turn, job, version);
        }
        let (Block::Open(open), Some(item)) = (&mut self.block, job.items.pop()) else { return self.broken(turn) };
        if open.cut.is_some() {
            if open.catalog_version != version {
                return self.fail(turn, snapshot_too_old("A definition has changed since the transaction began."));
            }
        } else if open.is_untouched() {
            open.catalog_version = version;
        } else if open.catalog_version != version {
            return self.fail(turn, outdated());
        }
        let new = at.iter().copied().filter(|partition| open.touch(*partition)).collect();
        open.unsure = true;
        let (waiting, origin) = (at.len(), job.origin);
        let phase = Phase::Executing;
        let rounds = settles.then(Rounds::default);
        let job = StepJob { item, origin, at: at.clone(), new, waiting, parts: BTreeMap::new(), rounds, phase };
        let bodies: Vec<_> = at.iter().map(|partition| self.step_body(turn, &job, *partition)).collect();
        self.job = Some(Job::Step(Box::new(job)));
        for (partition, body) in at.into_iter().zip(bodies) {
            match body {
                Some(body) => self.start_call(turn, Role::Step, partition, body),
                None => return self.broken(turn),
            }
        }
    }

    /// The first statement of a block that only reads: all partitions freeze what they have, at one place of the order.
    fn order_cut(&mut self, turn: &mut Turn<'_>, job: BatchJob, catalog_version: CatalogVersion) {
        sometimes!("session.cut_ordered");
        let participants = (1..=turn.shared.config.partitions).map(PartitionId).collect();
        let body = Arc::new(GlobalBody::Cut { catalog_version });
        self.job = Some(Job::Cut(job));
        let order = RequestBody::Order { participants, body };
        self.start_changing(turn, Role::Work, PartitionId::CLUSTER, order, false);
    }

    pub(super) fn step_body(&self, turn: &Turn<'_>, job: &StepJob, partition: PartitionId) -> Option<RequestBody> {
        let Block::Open(open) = &self.block else { return None };
        let list = open.lists.get(&partition)?;
        if let Some(cut) = open.cut {
            return Some(RequestBody::Look {
                cut,
                step: Step {
                    transaction: open.number,
                    done: 0,
                    shown: 0,
                    began: open.began,
                    seed: open.seed,
                    catalog_version: open.catalog_version,
                    settings: Arc::clone(self.settings.travelling()),
                    actions: vec![Action::Statement(piece(turn, job, open.statements))],
                    before: None,
                },
            });
        }
        if list.lost {
            return Some(RequestBody::Step(open.step_again(list)));
        }
        let mut actions = list.pending.clone();
        actions.push(match &job.rounds {
            Some(rounds) if rounds.begun > 0 => {
                job.settle_action(open.statements.saturating_sub(1), turn.shared.config.partitions)?
            }
            _ => Action::Statement(piece(turn, job, open.statements)),
        });
        Some(RequestBody::Step(Step {
            transaction: list.number,
            done: list.done,
            shown: list.shown,
            began: open.began,
            seed: open.seed,
            catalog_version: open.catalog_version,
            settings: Arc::clone(self.settings.travelling()),
            actions,
            before: None,
        }))
    }

    /// A partition has executed the statement, or not.
    pub(super) fn step_answered(&mut self, turn: &mut Turn<'_>, partition: PartitionId, outcome: Outcome) {
        let Some(Job::Step(mut job)) = self.job.take() else { return self.broken(turn) };
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        let Some(list) = open.lists.get_mut(&partition) else { return self.broken(turn) };
        match outcome {
            Outcome::Committed if list.lost => {
                list.went_again();
                return self.step_on(turn, job, partition);
            }
            Outcome::Results(mut results) if results.len() == job.expected() && !list.lost => {
                if let Some(rounds) = &mut job.rounds
                    && let Some(words) = results.pop()
                {
                    rounds.heard(partition, Ok(words));
                }
                if let Some(result) = results.pop() {
                    job.parts.insert(partition, Ok(result));
                }
            }
            Outcome::Error { error, .. } => match job.rounds.as_mut().filter(|rounds| rounds.begun > 0) {
                Some(rounds) => rounds.heard(partition, Err(error)),
                None => drop(job.parts.insert(partition, Err(error))),
            },
            Outcome::ForkLost if open.cut.is_some() => {
                sometimes!("session.cut_lost");
                self.dismiss();
                return self.fail(turn, snapshot_too_old("What was kept for the transaction has been let go."));
            }
            Outcome::ForkLost => {
                sometimes!("session.fork_lost");
                self.transactions += 1;
                list.lose(self.transactions);
                return self.step_on(turn, job, partition);
            }
            _ => return self.broken(turn),
        }
        job.waiting = job.waiting.saturating_sub(1);
        if job.waiting > 0 {
            self.job = Some(Job::Step(job));
            return;
        }
        if job.rounds.as_ref().is_some_and(|rounds| rounds.begun > 0) {
            return self.round_done(turn, job);
        }
        self.step_done(turn, job);
    }

    /// A partition's fork has been lost or is being made again: asks for what comes next, in the end for the statement.
    fn step_on(&mut self, turn: &mut Turn<'_>, job: Box<StepJob>, partition: PartitionId) {
        let body = self.step_body(turn, &job, partition);
        self.job = Some(Job::Step(job));
        match body {
            Some(body) => self.start_call(turn, Role::Step, partition, body),
            None => self.broken(turn),
        }
    }

    /// All partitions have answered.
    fn step_done(&mut self, turn: &mut Turn<'_>, job: Box<StepJob>) {
        self.record_step(turn, &job);
        if matches!(&self.block, Block::Open(open) if open.cut.is_none()) {
            self.note_size(&job.item);
        }
        let conflict = |error: &&SqlError| error.state == SqlState::SERIALIZATION_FAILURE;
        let errors = || job.parts.values().filter_map(|part| part.as_ref().err());
        if let Some(error) = errors().find(conflict).or_else(|| errors().next()).cloned() {
            return self.step_failed(turn, job, error);
        }
        self.settle_on(turn, job);
    }

    /// The statement has been executed, and what follows from it is settled.
    pub(super) fn step_settled(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>) {
        let Block::Open(open) = &self.block else { return self.broken(turn) };
        let number = open.statements.saturating_sub(1);
        let time_zone = &self.settings.travelling().time_zone;
        let mut context = sql::Context::new(open.began, dice(open.seed, number as usize), time_zone, 0);
        let mut parts: Vec<_> = std::mem::take(&mut job.parts).into_values().filter_map(Result::ok).collect();
        let result = if parts.len() == 1 {
            Ok(parts.remove(0))
        } else {
            job.item.plan().merge(parts, &job.item.parameters, &mut context)
        };
        match result {
            Ok(result) => self.step_shown(turn, job, result),
            Err(error) => self.step_failed(turn, job, error),
        }
    }

    /// What came of the statement goes into the lists.
    fn record_step(&mut self, turn: &Turn<'_>, job: &StepJob) {
        let Block::Open(open) = &mut self.block else { return };
        let piece = piece(turn, job, open.statements);
        let ordered = piece.partitions == 0 && job.item.plan.orders_rows();
        // What is seen at one cut need not be compared with anything.
        for (partition, part) in job.parts.iter().filter(|_| open.cut.is_none()) {
            let words = job.rounds.as_ref().and_then(|rounds| rounds.words_of(*partition));
            let digest = match (part, words) {
                (Ok(result), Some(words)) => shown_with(seen(result, ordered), seen(words, true)),
                (Ok(result), None) => seen(result, ordered),
                (Err(error), _) => seen_error(error),
            };
            if let Some(list) = open.lists.get_mut(partition) {
                list.record(self.settings.travelling(), Action::Statement(piece.clone()), digest);
            }
        }
        open.statements += 1;
        open.wrote |= !job.item.plan.is_read_only();
        open.unsure = false;
    }

    /// The statement has a result; is it of one moment with what was shown before?
    fn step_shown(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>, result: StatementResult) {
        let Block::Open(open) = &self.block else { return self.broken(turn) };
        // Planted 147: what has only read is not validated.
        let known = open.cut.is_some() || (planted!(147) && !open.wrote);
        if job.new.is_empty() || open.lists.len() < 2 || known {
            return self.render(turn, std::slice::from_ref(&job.item), job.origin, vec![result]);
        }
        // Of one new partition the moment is known: its fork is the last that was made.
        let known = if let [one] = job.new.as_slice() { Some(one) } else { None };
        let lists: Vec<_> = open
            .lists
            .iter()
            .filter(|(partition, _)| Some(*partition) != known)
            .map(|(partition, list)| (*partition, RequestBody::Validate(Arc::new(open.commitment(list, false)))))
            .collect();
        sometimes!("session.block_touches_another_partition");
        job.waiting = lists.len();
        job.phase = Phase::Validating(result);
        self.job = Some(Job::Step(job));
        for (partition, body) in lists {
            self.start_call(turn, Role::Validate, partition, body);
        }
    }

    /// A partition has said whether what it showed still holds.
    pub(super) fn step_validated(&mut self, turn: &mut Turn<'_>, outcome: Outcome) {
        let Some(Job::Step(mut job)) = self.job.take() else { return self.broken(turn) };
        match outcome {
            Outcome::Committed => {}
            Outcome::Error { error, .. } => {
                sometimes!("session.torn_cut_found");
                self.dismiss();
                return self.fail(turn, error);
            }
            _ => return self.broken(turn),
        }
        job.waiting = job.waiting.saturating_sub(1);
        if job.waiting > 0 {
            self.job = Some(Job::Step(job));
            return;
        }
        let StepJob { item, origin, phase, .. } = *job;
        match phase {
            Phase::Validating(result) => self.render(turn, &[item], origin, vec![result]),
            Phase::Executing | Phase::Confirming(_) => self.broken(turn),
        }
    }

    /// The statement has failed. If that ends a block over several partitions, everything that it rests on is validated at
    /// one place before the client hears of it.
    pub(super) fn step_failed(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>, error: SqlError) {
        let error = shifted(error, job.item.parsed.offset);
        let Block::Open(open) = &self.block else { return self.broken(turn) };
        let conflict = error.state == SqlState::SERIALIZATION_FAILURE;
        if conflict || open.lists.len() < 2 || open.has_savepoints() || open.cut.is_some() {
            return self.fail(turn, error);
        }
        sometimes!("session.error_validated");
        let order = open.order(true);
        job.phase = Phase::Confirming(error);
        self.job = Some(Job::Step(job));
        self.start_changing(turn, Role::Work, PartitionId::CLUSTER, order, false);
    }

    /// It was, at all partitions.
    pub(super) fn error_validated(&mut self, turn: &mut Turn<'_>, job: StepJob, collecting: &Collecting) {
        let Phase::Confirming(error) = job.phase else { return self.broken(turn) };
        if !collecting.is_refused() {
            return self.fail(turn, error);
        }
        match collecting.refusal() {
            Some(Vote::Mismatch { error }) => self.fail(turn, SqlError::clone(error)),
            Some(Vote::Replan { .. }) => self.fail(turn, outdated()),
            _ => self.fail(turn, error),
        }
    }

    /// A partition is under another catalog than the block.
    pub(super) fn step_outdated(&mut self, turn: &mut Turn<'_>, version: CatalogVersion) {
        self.dismiss();
        let Some(Job::Step(job)) = self.job.take() else { return self.broken(turn) };
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        if open.statements > 0 {
            return self.fail(turn, outdated());
        }
        // Nothing was shown yet: the block begins anew.
        self.renew_forks(turn);
        let StepJob { item, origin, .. } = *job;
        self.wanted = self.wanted.max(version);
        let job = BatchJob { items: vec![item], origin };
        if turn.shared.catalog.version >= self.wanted {
            return self.execute_again(turn, job);
        }
        self.job = Some(Job::Again(job));
        self.read_catalog(turn);
    }

    /// COMMIT of a block over several partitions is decided.
    pub(super) fn commit_decided(
        &mut self,
        turn: &mut Turn<'_>,
        job: super::block::CommitJob,
        collecting: &Collecting,
    ) {
        debug_assert!(matches!(*collecting.body, GlobalBody::Commit { .. }), "a COMMIT was ordered");
        if !collecting.is_refused() {
            return self.commit_done(turn, job, Outcome::Committed);
        }
        match collecting.refusal() {
            Some(Vote::Mismatch { error } | Vote::Error { error, .. }) => {
                self.commit_failed(turn, job, SqlError::clone(error));
            }
            Some(Vote::Replan { .. }) => self.commit_outdated(turn, job),
            _ => {
                let message = "a COMMIT was refused, and nobody says why";
                self.commit_failed(turn, job, SqlError::new(SqlState::INTERNAL_ERROR, message));
            }
        }
    }
}

/// As one partition is asked it.
fn piece(turn: &Turn<'_>, job: &StepJob, number: u32) -> Piece {
    let partitions = if job.at.len() > 1 { turn.shared.config.partitions } else { 0 };
    let settles = if job.rounds.is_some() { turn.shared.config.partitions } else { 0 };
    Piece { statement: statement(&job.item), number, partitions, settles }
}

impl StepJob {
    /// Results of an answer: the statement's, and what its partition has to say to others.
    fn expected(&self) -> usize {
        if self.rounds.as_ref().is_some_and(|rounds| rounds.begun == 0) { 2 } else { 1 }
    }
}

/// `72000`: what a transaction reads is not there any more.
fn snapshot_too_old(detail: &str) -> SqlError {
    SqlError::new(SqlState(*b"72000"), "snapshot too old")
        .detail(detail)
        .hint("Begin another transaction. One that only reads is kept for ten minutes, and the oldest of very many goes first.")
}

/// 40001: the catalog is another one.
pub(super) fn outdated() -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .detail("A definition has changed since the transaction began.")
        .hint("Nothing was changed. The transaction might succeed if retried.")
}
