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
//! - **One moment.** When the forks of a statement have been made, every other fork is asked whether anything that was read on it has been
//!   written since it was made. If not at all of them, everything shown so far was so at the moment of the last fork: a block that
//!   only reads needs no COMMIT then. A statement on an older fork reads something more, of an earlier moment, and this is
//!   not known any more; nor is it where a fork has been made again (its name is another one) or a list executed again: what
//!   held before and holds again need not have held in between.
//! - What is executed again goes to the leader portion by portion. (All in one request, as it once was, was a turn so long under
//!   load that the leader was replaced over it, and the fork lost again: a COPY of some megabytes in a block did not survive
//!   one change of leaders.)
//!
//! # Caveats
//! - A write that reads other partitions' rows takes two rounds: each says what it has of them, then each is told what the
//!   others have, and writes what is its own. The rows are kept in the lists: they count towards the transaction's size.

use super::block::Block;
use super::calls::Role;
use super::execution::{BatchJob, Item, Route, statement};
use super::extended::shifted;
use super::implicit::After;
use super::order::{Collecting, outcome_lost};
use super::settle::Rounds;
use super::token::{block_spent, spend};
use super::{Connection, Job, Origin};
use crate::partition::global::{GlobalBody, Vote};
use crate::partition::message::{Action, Outcome, Piece, RequestBody, StatementResult, Step};
use crate::partition::{dice, seen, seen_error, shown_with};
use crate::session::shared::Turn;
use crate::sql;
use crate::types::{CatalogVersion, PartitionId, SqlError, SqlState, Value};
use crate::{planted, sometimes};
use bytes::Bytes;
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
    /// What each has of the rows that it reads, once they have said so.
    gathered: BTreeMap<PartitionId, Bytes>,
    /// Those that were asked have all said that nothing they had read was written.
    unchanged: bool,
    /// Its constraints concern other partitions: how far that is settled.
    pub(super) rounds: Option<Rounds>,
    phase: Phase,
    /// It is what COMMIT has checked: whether AND CHAIN, and what follows.
    then: Option<(bool, After)>,
}

enum Phase {
    /// Each says what it has of the rows that the others need.
    Contributing,
    Executing,
    /// This is its result, if what was shown before still holds.
    Validating(StatementResult),
    /// This is its error, if what was shown before still holds.
    Confirming(SqlError),
}

impl Connection {
    /// Executes a statement of the open block.
    pub(super) fn execute_step(&mut self, turn: &mut Turn<'_>, job: BatchJob, route: Route) {
        let Some(mut job) = self.ask_for_token(turn, job) else { return };
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
        if matches!(&self.block, Block::Open(open) if open.wants_cut()) {
            return self.order_cut(turn, job);
        }
        let version = self.planning_catalog(turn).version;
        let (Block::Open(open), Some(item)) = (&mut self.block, job.items.pop()) else { return self.broken(turn) };
        if open.is_untouched() {
            open.catalog_version = version;
        } else if open.catalog_version != version {
            return self.fail(turn, outdated());
        }
        let mut new: Vec<_> = at.iter().copied().filter(|partition| open.touch(*partition)).collect();
        new.extend(item.touched.iter().copied().filter(|partition| at.contains(partition)));
        let phase = if gathers { Phase::Contributing } else { Phase::Executing };
        let rounds = settles.then(Rounds::default);
        let (parts, gathered) = (BTreeMap::new(), BTreeMap::new());
        let unchanged = true;
        let job = StepJob {
            item,
            origin: job.origin,
            at,
            new,
            waiting: 0,
            parts,
            gathered,
            unchanged,
            rounds,
            phase,
            then: None,
        };
        self.start_step(turn, Box::new(job));
    }

    /// Asks all partitions that execute the statement.
    pub(super) fn start_step(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>) {
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        open.unsure = true;
        job.waiting = job.at.len();
        let at = job.at.clone();
        let bodies: Vec<_> = at.iter().map(|partition| self.step_body(turn, &job, *partition)).collect();
        self.job = Some(Job::Step(job));
        for (partition, body) in at.into_iter().zip(bodies) {
            match body {
                Some(body) => self.start_call(turn, Role::Step, partition, body),
                None => return self.broken(turn),
            }
        }
    }

    /// The first statement of a block that only reads: all partitions freeze what they have, at one place of the order.
    fn order_cut(&mut self, turn: &mut Turn<'_>, job: BatchJob) {
        sometimes!("session.cut_ordered");
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        open.catalog = Some(Arc::clone(&turn.shared.catalog));
        let catalog_version = turn.shared.catalog.version;
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
                    actions: vec![action(turn, job, open.statements, partition)],
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
            _ => action(turn, job, open.statements, partition),
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
            Outcome::Shown { mut results, fork } if results.len() == job.expected() && !list.lost => {
                if !list.is_on(fork) {
                    sometimes!("session.another_fork");
                    open.of_one_moment = false;
                }
                let contributes = job.contributes();
                if let Some(rounds) = job.rounds.as_mut().filter(|_| !contributes)
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
                open.of_one_moment = false;
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
        if job.contributes() && job.parts.values().all(Result::is_ok) {
            return self.step_gathered(turn, job);
        }
        if matches!(&self.block, Block::Open(open) if open.cut.is_none()) {
            self.note_size(&job.item);
        }
        let conflict = |error: &&SqlError| error.state == SqlState::SERIALIZATION_FAILURE;
        let Some(job) = self.step_draws_more(turn, job) else { return };
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
        let (settings, dice) = (self.settings.travelling(), dice(open.seed, number as usize));
        let mut context = sql::Context::of(&self.planning_catalog(turn), settings, open.began, dice, 0);
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

    /// All partitions have said what they have of the rows that the statement reads.
    fn step_gathered(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>) {
        for (partition, part) in std::mem::take(&mut job.parts) {
            if let Ok(result) = part
                && let Some(Value::Bytea(bytes)) = result.rows.into_iter().flatten().next()
            {
                job.gathered.insert(partition, bytes);
            }
        }
        let bytes = job.gathered.values().map(Bytes::len).sum();
        if let Err(error) = self.note_gathered(bytes, job.at.len()) {
            return self.fail(turn, error);
        }
        sometimes!("session.gathered_in_block");
        job.phase = Phase::Executing;
        self.start_step(turn, job);
    }

    /// If the statement failed for want of values of sequences it is executed again with more: another statement of the block.
    fn step_draws_more(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>) -> Option<Box<StepJob>> {
        let wanted = |part: &Result<StatementResult, SqlError>| part.as_ref().err().and_then(sql::wanted);
        if !job.parts.values().all(|part| part.is_ok() || wanted(part).is_some()) {
            return Some(job);
        }
        let wanted: Vec<_> = job.parts.values().filter_map(wanted).flatten().collect();
        if wanted.is_empty() {
            return Some(job);
        }
        let wrote = |part: &Result<StatementResult, SqlError>| part.as_ref().is_ok_and(|part| part.affected > 0);
        if !job.item.plan.is_read_only() && job.parts.values().any(wrote) {
            // It is written on one fork and not on another.
            let error = SqlError::unsupported("a statement that draws from sequences for rows of several partitions")
                .hint("Send it on its own, outside of BEGIN … COMMIT.");
            self.fail(turn, error);
            return None;
        }
        if let Err(error) = job.item.needs.add(&wanted) {
            self.fail(turn, error);
            return None;
        }
        sometimes!("session.step_drew_too_little");
        let StepJob { mut item, origin, new, .. } = *job;
        // What has been touched for the first time is validated with the statement that comes to an end.
        item.touched = new;
        self.execute_again(turn, BatchJob { items: vec![item], origin });
        None
    }

    /// What came of the statement goes into the lists.
    fn record_step(&mut self, turn: &Turn<'_>, job: &StepJob) {
        let Block::Open(open) = &mut self.block else { return };
        let ordered = job.at.len() == 1 && job.item.plan.orders_rows();
        // What is seen at one cut need not be compared with anything.
        for (partition, part) in job.parts.iter().filter(|_| open.cut.is_none()) {
            let words = job.rounds.as_ref().and_then(|rounds| rounds.words_of(*partition));
            let digest = match (part, words) {
                (Ok(result), Some(words)) => shown_with(seen(result, ordered), seen(words, true)),
                (Ok(result), None) => seen(result, ordered),
                (Err(error), _) => seen_error(error),
            };
            if let Some(list) = open.lists.get_mut(partition) {
                list.record(self.settings.travelling(), action(turn, job, open.statements, *partition), digest);
            }
        }
        open.unsure = false;
        if job.contributes() && job.parts.values().all(Result::is_ok) {
            return; // The second half of the statement has the same number.
        }
        open.statements += 1;
        open.wrote |= !job.item.plan.is_read_only();
        open.defers |= job.item.plan.defers();
    }

    /// The statement has a result; is it of one moment with what was shown before?
    fn step_shown(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>, result: StatementResult) {
        if let Some((chain, after)) = job.then.take() {
            // All of it is validated at COMMIT's place in the order.
            return self.checked(turn, chain, after);
        }
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        // Planted 147: what has only read is not validated.
        let known = open.cut.is_some() || (planted!(147) && !open.wrote);
        if job.new.is_empty() || open.lists.len() < 2 || known {
            // Planted 214: what more is read on a fork is of the moment of the last one all the same.
            open.of_one_moment &= open.lists.len() < 2 || planted!(214);
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
    pub(super) fn step_validated(&mut self, turn: &mut Turn<'_>, partition: PartitionId, outcome: Outcome) {
        let Some(Job::Step(mut job)) = self.job.take() else { return self.broken(turn) };
        match outcome {
            Outcome::Holds { fork, unchanged } => {
                let Block::Open(open) = &mut self.block else { return self.broken(turn) };
                let same = open.lists.get_mut(&partition).is_some_and(|list| list.is_on(fork));
                job.unchanged &= unchanged && same;
            }
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
        let StepJob { item, origin, phase, unchanged, .. } = *job;
        if let Block::Open(open) = &mut self.block {
            open.of_one_moment = unchanged;
            sometimes!("session.validated_cheaply", unchanged);
        }
        match phase {
            Phase::Validating(result) => self.render(turn, &[item], origin, vec![result]),
            Phase::Contributing | Phase::Executing | Phase::Confirming(_) => self.broken(turn),
        }
    }

    /// The statement has failed. If that ends a block over several partitions, everything that it rests on is validated at
    /// one place before the client hears of it.
    pub(super) fn step_failed(&mut self, turn: &mut Turn<'_>, mut job: Box<StepJob>, error: SqlError) {
        let error = shifted(error, job.item.parsed.offset);
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        open.of_one_moment = false;
        let conflict = error.state == SqlState::SERIALIZATION_FAILURE;
        let goes_back = open.has_savepoints() && !open.committing;
        if conflict || open.lists.len() < 2 || goes_back || open.cut.is_some() {
            return self.fail(turn, error);
        }
        sometimes!("session.error_validated");
        let order = open.order(true, None);
        job.phase = Phase::Confirming(error);
        self.job = Some(Job::Step(job));
        self.start_changing(turn, Role::Work, PartitionId::CLUSTER, order, false);
    }

    /// It was, at all partitions.
    pub(super) fn error_validated(&mut self, turn: &mut Turn<'_>, job: StepJob, collecting: &Collecting) {
        let Phase::Confirming(error) = job.phase else { return self.broken(turn) };
        if collecting.is_untold() {
            return self.fail(turn, not_validated());
        }
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
        // What it has defined rests on that catalog, too.
        if open.statements > 0 || !open.drafts.is_empty() {
            return self.fail(turn, outdated());
        }
        // Nothing was shown yet: the block begins anew.
        open.catalog = None;
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
        let defines = matches!(*collecting.body, GlobalBody::Define { .. });
        debug_assert!(defines || matches!(*collecting.body, GlobalBody::Commit { .. }), "a COMMIT was ordered");
        if collecting.is_untold() {
            // There is no result that would be too large: whoever has not kept it has lost more than that.
            let error = if job.open.wrote || defines { outcome_lost() } else { not_validated() };
            return self.commit_failed(turn, job, error);
        }
        if !collecting.is_refused() {
            if defines {
                return self.drafts_committed(turn, job, collecting);
            }
            return self.commit_done(turn, job, Outcome::Committed);
        }
        match collecting.refusal() {
            Some(Vote::Mismatch { error } | Vote::Error { error, .. }) => {
                // A place in a definition is none in COMMIT.
                let error = SqlError { position: None, ..SqlError::clone(error) };
                self.commit_failed(turn, job, error);
            }
            Some(Vote::Replan { .. }) => self.commit_outdated(turn, job),
            Some(Vote::Spent(spent)) => {
                let mut job = job;
                spend(&mut self.settings, Some(&mut job.open.settings));
                self.commit_failed(turn, job, block_spent(spent));
            }
            _ => {
                let message = "a COMMIT was refused, and nobody says why";
                self.commit_failed(turn, job, SqlError::new(SqlState::INTERNAL_ERROR, message));
            }
        }
    }
}

/// As one partition is asked it.
fn action(turn: &Turn<'_>, job: &StepJob, number: u32, partition: PartitionId) -> Action {
    let all = turn.shared.config.partitions;
    let partitions = if job.at.len() > 1 { all } else { 0 };
    let settles = if job.rounds.is_some() && !job.contributes() { all } else { 0 };
    let piece = Piece { statement: statement(&job.item), number, partitions, settles };
    if job.contributes() {
        return Action::Contribute(piece);
    }
    if job.gathered.is_empty() {
        return Action::Statement(piece);
    }
    let others = job.gathered.iter().filter(|(other, _)| **other != partition);
    Action::Gathered { piece, others: Arc::new(others.map(|(other, bytes)| (*other, bytes.clone())).collect()) }
}

impl StepJob {
    /// Checks of constraints that have waited, at all partitions that the block has touched.
    pub(super) fn check(
        item: Item,
        origin: Origin,
        at: Vec<PartitionId>,
        rounds: Option<Rounds>,
        then: Option<(bool, After)>,
    ) -> Self {
        let (parts, gathered, phase) = (BTreeMap::new(), BTreeMap::new(), Phase::Executing);
        Self { item, origin, at, new: Vec::new(), waiting: 0, parts, gathered, unchanged: true, rounds, phase, then }
    }

    /// Results of an answer: the statement's, and what its partition has to say to others.
    fn expected(&self) -> usize {
        if self.rounds.as_ref().is_some_and(|rounds| rounds.begun == 0) && !self.contributes() { 2 } else { 1 }
    }

    /// Do its partitions say what they have of the rows that it reads?
    const fn contributes(&self) -> bool {
        matches!(self.phase, Phase::Contributing)
    }
}

/// `72000`: what a transaction reads is not there any more.
fn snapshot_too_old(detail: &str) -> SqlError {
    SqlError::new(SqlState(*b"72000"), "snapshot too old")
        .detail(detail)
        .hint("Begin another transaction. One that only reads is kept for ten minutes, and the oldest of very many goes first.")
}

/// 40001: nothing was written, and nobody has kept whether what was read still held.
fn not_validated() -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .detail("No partition has kept whether what the transaction has read still held.")
        .hint("Nothing was changed. The transaction might succeed if retried.")
}

/// 40001: the catalog is another one.
pub(super) fn outdated() -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .detail("A definition has changed since the transaction began.")
        .hint("Nothing was changed. The transaction might succeed if retried.")
}
