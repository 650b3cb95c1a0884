//! Interactive transactions (design §6, rules A8).
//!
//! Between BEGIN and COMMIT a transaction's statements are executed on **forks**: private copy-on-write pictures of the
//! rows at the leaders of the partitions that it touches, each taken under a read barrier when its first statement comes. Nothing
//! is locked and nothing is logged. For each partition the session keeps a list of what was done there, each statement with a
//! digest of what came of it: values, their order under ORDER BY, the number in the command tag; of a fragment, this
//! partition's part of that. COMMIT sends the lists, in one command, and every replica executes its partition's again at its
//! place in the log: if everything shows what it showed then, the transaction is committed as of that place; if one thing does
//! not, nothing is changed and the client is told 40001.
//!
//! So the transaction fails only when something that its client *saw* has changed. `SET b = b + 1` shows "UPDATE 1" both
//! times: a hundred sessions may do it to one row, and all commit. Applying the fork's writes instead would lose updates.
//!
//! # Invariants
//! - Executing again depends on the command alone: `now()` is the transaction's beginning and its dice are seeded by it,
//!   statement by statement as they are numbered in the whole transaction, on the fork as in the log.
//! - Lists only grow. What was rolled back to a savepoint was seen, and so was an error: both stay, and are executed again.
//! - A fork is no replicated state: it is in no digest and no snapshot, and it is lost with the leadership. Then the session
//!   sends everything so far, portion by portion, each a short turn of the leader; a new fork, under a number of its own, is made
//!   by executing it again: only a difference surfaces (40001).
//! - Actions reach a fork once and in order: each request says how many came before it, and what they showed (a late copy of a
//!   first step can make a fork of another moment in the place of one that was lost: the simulator found one); the last one's
//!   outcome is kept for its retry.
//! - **Cheap validation.** Whether a fork would show the same by now is known without executing anything if nothing that was read on it
//!   has been written since it was made ([`Store::is_unchanged_for`]): executing again depends on what it reads, and on nothing else
//!   that could have changed (the catalog's version is compared first). Since *it was made*, and not since it was last asked about:
//!   what its next statements read is of its beginning. Otherwise everything is executed again on a new fork, which takes its
//!   place. Only leaders know forks, so only they are asked so; a COMMIT is executed again on every replica, whatever was said.
//! - What a transaction is told of one partition is of one moment, that of its last fork, which shows what earlier ones showed; so
//!   a read-only one that has touched one partition is serializable as it stands and needs no validation.
//!
//! # Caveats
//! - Forks are bounded by number ([`MAX_FORKS`]), not by time or bytes: beyond it the one that was idle longest is dropped.
//! - Of a statement over several partitions each one's part is compared. Where whole rows are gathered (joins on other columns than
//!   the partition key's, writes that read other partitions' rows) these are all rows that the statement read: a change beside what
//!   was shown is 40001, too.

use crate::catalog::Catalog;
use crate::partition::command::dice;
use crate::partition::message::{Action, Commitment, Outcome, Piece, Settings, Settle, StatementResult, Step};
use crate::partition::slice::Slice;
use crate::sql::{self, PlanCache};
use crate::storage::{Mark, Store};
use crate::types::{PartitionId, SessionId, SqlError, SqlState, Timestamp, Value};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Most open transactions of a partition.
const MAX_FORKS: usize = 1024;
/// Most bytes of a transaction's list, COPY data in it.
pub const MAX_TRANSACTION_BYTES: usize = 32 << 20;

/// Digest of what a client saw of a statement. Rows that come in no order asked for may come in another one.
#[must_use]
pub fn seen(result: &StatementResult, ordered: bool) -> u128 {
    let mut buffer = Vec::new();
    let mut rows = 0_u128;
    for (number, row) in result.rows.iter().enumerate() {
        buffer.clear();
        if ordered {
            buffer.extend_from_slice(&(number as u64).to_le_bytes());
        }
        let mut bytes = postcard::to_extend(row, std::mem::take(&mut buffer)).unwrap_or_default();
        rows = rows.wrapping_add(xxh3_128(&bytes));
        std::mem::swap(&mut buffer, &mut bytes);
    }
    let mut whole = [0; 25];
    whole[..16].copy_from_slice(&rows.to_le_bytes());
    whole[16..24].copy_from_slice(&result.affected.to_le_bytes());
    whole[24] = u8::from(result.suspended);
    xxh3_128(&whole)
}

/// What a fork has shown, in one number, when this comes to it.
#[must_use]
pub const fn shown_with(shown: u128, digest: u128) -> u128 {
    shown.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).wrapping_add(digest).wrapping_add(1)
}

/// Digest of an error that a client saw.
#[must_use]
pub fn seen_error(error: &SqlError) -> u128 {
    let mut bytes = error.state.as_str().as_bytes().to_vec();
    bytes.extend_from_slice(error.message.as_bytes());
    xxh3_128(&bytes)
}

/// The private rows of an open transaction.
pub(super) struct Fork {
    partition: PartitionId,
    /// Its own.
    pub(super) name: u64,
    store: Store,
    /// The state that it began as, by the changes that had been recorded.
    pub(super) since: u64,
    /// Its savepoints, by level: the rows, and the checks that waited.
    marks: Vec<(Mark, usize)>,
    /// Checks of constraints that wait for COMMIT.
    waiting: sql::Waiting,
    /// The catalog that goes with them.
    catalog: Arc<Catalog>,
    /// Actions executed.
    done: u32,
    /// What their statements have shown.
    shown: u128,
    /// How far what follows from the last statement is settled.
    settlement: sql::Settlement,
    /// The last request: how many actions came before it, and what came of it.
    last: Option<(u32, Outcome)>,
    touched: u64,
}

impl Fork {
    pub(super) fn new(partition: PartitionId, store: Store, catalog: Arc<Catalog>) -> Self {
        Self {
            partition,
            name: 0,
            store,
            since: 0,
            marks: Vec::new(),
            waiting: sql::Waiting::default(),
            catalog,
            done: 0,
            shown: 0,
            settlement: sql::Settlement::default(),
            last: None,
            touched: 0,
        }
    }

    /// The same, of a state after so many recorded changes: it can be asked whether what it has read is unchanged.
    pub(super) fn watching(mut self, name: u64, since: u64) -> Self {
        (self.name, self.since) = (name, since);
        self.store.watch();
        self
    }

    /// Another one takes its place: one that has executed the same, of a later state.
    pub(super) fn replace(&mut self, by: Self) {
        let (last, touched) = (self.last.take(), self.touched);
        *self = Self { last, touched, ..by };
    }

    /// Has it executed exactly this?
    fn is_of(&self, list: &Commitment) -> bool {
        let actions: usize = list.parts.iter().map(|part| part.actions.len()).sum();
        self.done as usize == actions && self.shown == shown_by(0, list)
    }

    /// Has nothing that was read on it been written in `store` since it was made?
    pub(super) fn is_unchanged(&self, store: &Store) -> bool {
        store.is_unchanged_for(&self.store, self.since)
    }

    /// Executes a list on this fork, which is new. Afterwards it is the transaction's, if that comes to [`Outcome::Committed`].
    pub(super) fn again(&mut self, plans: &mut PlanCache, list: &Commitment) -> Outcome {
        let outcome = self.executor(plans, list.began, list.seed).all_of(list);
        let actions: usize = list.parts.iter().map(|part| part.actions.len()).sum();
        self.done = u32::try_from(actions).unwrap_or(u32::MAX);
        self.shown = shown_by(0, list);
        self.no_way_back();
        outcome
    }

    /// What executes on this fork, as of the transaction's beginning.
    fn executor<'a>(&'a mut self, plans: &'a mut PlanCache, began: Timestamp, seed: u64) -> Again<'a> {
        Again {
            store: &mut self.store,
            marks: &mut self.marks,
            waiting: &mut self.waiting,
            settlement: &mut self.settlement,
            partition: self.partition,
            catalog: &self.catalog,
            plans,
            began,
            seed,
        }
    }

    /// Executes actions. A statement that fails leaves the fork as it was before it.
    pub(super) fn step(&mut self, plans: &mut PlanCache, step: &Step) -> Outcome {
        let outcome = self.execute(plans, step);
        self.last = Some((step.done, outcome.clone()));
        let again: usize = step.before.iter().flat_map(|before| &before.parts).map(|part| part.actions.len()).sum();
        self.done = step.done.saturating_add(u32::try_from(step.actions.len() + again).unwrap_or(u32::MAX));
        outcome
    }

    /// What cannot be gone back to any more is forgotten.
    fn no_way_back(&mut self) {
        if self.marks.is_empty() {
            self.store.commit();
            self.waiting.commit();
        }
    }

    fn execute(&mut self, plans: &mut PlanCache, step: &Step) -> Outcome {
        if step.catalog_version != self.catalog.version {
            sometimes!("partition.fork_outlived_by_definition");
            let detail = "A definition has changed since the transaction began.";
            return Outcome::Error { statement: 0, error: could_not_serialize(detail) };
        }
        if let Some(before) = &step.before {
            let outcome = self.executor(plans, step.began, step.seed).all_of(before);
            self.shown = shown_by(self.shown, before);
            self.no_way_back();
            return outcome;
        }
        let mut results = Vec::with_capacity(1);
        for action in &step.actions {
            match self.executor(plans, step.began, step.seed).act(action, &step.settings) {
                Ok(Some((shown, digest))) => {
                    self.shown = shown_with(self.shown, digest);
                    results.extend(shown);
                }
                Ok(None) => {}
                Err(error) => {
                    self.shown = shown_with(self.shown, seen_error(&error));
                    return Outcome::Error { statement: 0, error };
                }
            }
        }
        self.no_way_back();
        Outcome::Shown { results, fork: self.name }
    }
}

/// What a list has shown, in one number, behind what was shown before.
fn shown_by(before: u128, list: &Commitment) -> u128 {
    let actions = list.parts.iter().flat_map(|part| &part.actions);
    let statements = actions.filter(|(action, _)| action.shows());
    statements.fold(before, |shown, (_, digest)| shown_with(shown, *digest))
}

/// What came of an action, and the digest of all of it.
type Shown = (Vec<StatementResult>, u128);

/// What a partition says to others, in the form of a result.
fn said(bytes: Bytes) -> StatementResult {
    StatementResult { rows: vec![vec![Value::Bytea(bytes)]], affected: 0, suspended: false }
}

/// Executes what a transaction does, for the first time or again.
struct Again<'a> {
    store: &'a mut Store,
    marks: &'a mut Vec<(Mark, usize)>,
    waiting: &'a mut sql::Waiting,
    settlement: &'a mut sql::Settlement,
    partition: PartitionId,
    catalog: &'a Catalog,
    plans: &'a mut PlanCache,
    began: Timestamp,
    seed: u64,
}

impl Again<'_> {
    /// What comes of an action, and the digest of it; `None`: it is no statement.
    fn act(&mut self, action: &Action, settings: &Settings) -> Result<Option<Shown>, SqlError> {
        match action {
            Action::Statement(piece) | Action::Contribute(piece) | Action::Gathered { piece, .. } => {
                let mark = self.store.mark();
                let result = self.statement(action, piece, settings);
                if result.is_err() {
                    self.store.rollback(mark);
                }
                return result.map(Some);
            }
            Action::Settle(settle) => {
                let mark = self.store.mark();
                let words = self.settle(settle, settings);
                if words.is_err() {
                    self.store.rollback(mark);
                }
                let words = words?;
                let digest = seen(&words, true);
                return Ok(Some((vec![words], digest)));
            }
            Action::Savepoint => self.marks.push((self.store.mark(), self.waiting.mark())),
            Action::RollbackTo { level } => {
                let level = *level as usize;
                if let Some((mark, waited)) = self.marks.get(level) {
                    self.store.rollback(*mark);
                    self.waiting.rollback(*waited);
                    if planted!(221) {
                        // What had waited before the savepoint is forgotten with what was done since.
                        *self.waiting = sql::Waiting::default();
                    }
                }
                self.marks.truncate(level + 1);
            }
            Action::Release { level } => self.marks.truncate(*level as usize),
        }
        Ok(None)
    }

    /// Takes what all have said in a round; what comes of it is what this partition says next.
    fn settle(&mut self, settle: &Settle, settings: &Settings) -> Result<StatementResult, SqlError> {
        let statement = &settle.statement;
        let plan = self.plans.prepare(self.catalog, &statement.text, settings, &statement.parameter_types)?;
        let own = u64::from(self.partition.0).rotate_left(32) ^ u64::from(settle.round).rotate_left(48);
        let dice = dice(self.seed ^ own, settle.number as usize);
        let mut context = sql::Context::of(self.catalog, settings, self.began, dice, 0);
        context.at = self.partition;
        let here = sql::Share { own: self.partition, partitions: settle.partitions };
        let next = plan.settle(self.settlement, self.store, &mut context, here, &settle.said)?;
        self.waiting.append(context.deferred);
        Ok(next.map_or_else(StatementResult::default, said))
    }

    fn statement(&mut self, action: &Action, piece: &Piece, settings: &Settings) -> Result<Shown, SqlError> {
        let statement = &piece.statement;
        let plan = self.plans.prepare(self.catalog, &statement.text, settings, &statement.parameter_types)?;
        let fragment = piece.partitions > 0;
        // Rows that each partition draws for itself must not draw alike; what all draw alike must.
        let own = if fragment && plan.draws_by_row() { u64::from(self.partition.0).rotate_left(32) } else { 0 };
        let dice = dice(self.seed ^ own, piece.number as usize);
        let mut context = sql::Context::of(self.catalog, settings, self.began, dice, statement.max_rows);
        context.at = self.partition;
        context.together = piece.settles > 0;
        if let Some(due) = plan.due() {
            context.due = self.waiting.due(due);
        }
        let (result, digest) = if fragment {
            context.share = Some(sql::Share { own: self.partition, partitions: piece.partitions });
            let result = match action {
                Action::Contribute(_) => said(plan.contribution(self.store, &statement.parameters, &mut context)?),
                Action::Gathered { others, .. } => {
                    // Its own was looked at just before, and its digest is in the list.
                    let own = plan.contribution(self.store, &statement.parameters, &mut context.clone())?;
                    let mut contributions: Vec<_> = others.iter().cloned().chain([(self.partition, own)]).collect();
                    contributions.sort_unstable_by_key(|(partition, _)| *partition);
                    plan.execute_gathered(self.store, &contributions, &statement.parameters, &mut context)?
                }
                _ => plan.run_fragment(self.store, &statement.parameters, &mut context)?,
            };
            // What order there is in the end is made where the parts come together.
            let digest = seen(&result, false);
            (result, digest)
        } else {
            let result = plan.execute(self.store, &statement.parameters, &mut context)?;
            let digest = seen(&result, plan.orders_rows());
            (result, digest)
        };
        if piece.settles == 0 {
            self.waiting.append(context.deferred);
            return Ok((vec![result], digest));
        }
        let here = sql::Share { own: self.partition, partitions: piece.settles };
        *self.settlement = sql::Settlement::default();
        let words = said(plan.begin_settling(self.store, &mut context, here)?);
        self.waiting.append(context.deferred);
        let digest = shown_with(digest, seen(&words, true));
        Ok((vec![result, words], digest))
    }

    /// All of a list.
    fn all_of(&mut self, list: &Commitment) -> Outcome {
        let outcome = self.list(list, &mut Place::default(), &mut Slice::whole());
        outcome.expect("a whole slice has no end before the list's")
    }

    /// A list from a place on, as far as the slice goes: [`Outcome::Committed`], or an error, if it does not show what
    /// it showed; `None`: there is more.
    fn list(&mut self, list: &Commitment, at: &mut Place, slice: &mut Slice) -> Option<Outcome> {
        while let Some(part) = list.parts.get(at.part) {
            while let Some((action, digest)) = part.actions.get(at.action) {
                if slice.is_spent() {
                    return None;
                }
                at.action += 1;
                let before = self.store.pending();
                let same = match self.act(action, &part.settings) {
                    Ok(None) => true,
                    // Planted 63: what was seen is not compared, and what was computed from it is written over what is there.
                    // 149, 152: nor is what was seen under a savepoint, or by reading.
                    Ok(Some((_, again))) => {
                        let reads = |statement: &str| planted!(152) && statement.starts_with("SELECT");
                        let unseen = matches!(action, Action::Statement(piece) if reads(&piece.statement.text));
                        again == *digest || planted!(63) || (planted!(149) && !self.marks.is_empty()) || unseen
                    }
                    // Planted 123: what forks had to say to each other is taken as it was.
                    Err(_) if planted!(123) && matches!(action, Action::Settle(_)) => true,
                    Err(error) => seen_error(&error) == *digest,
                };
                slice.spend(self.store.pending().saturating_sub(before));
                if !same {
                    sometimes!("partition.transaction_conflict");
                    let number = match action {
                        Action::Settle(settle) => settle.number,
                        other => other.piece().map_or(0, |piece| piece.number),
                    };
                    let detail = format!("Statement {} of the transaction would now show something else.", number + 1);
                    return Some(Outcome::Error { statement: number, error: could_not_serialize(detail) });
                }
            }
            *at = Place { part: at.part + 1, action: 0 };
        }
        Some(Outcome::Committed)
    }
}

/// A place in a list.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    part: usize,
    /// In it.
    action: usize,
}

/// How far a list has been executed again.
#[derive(Default)]
pub(super) struct Progress {
    at: Place,
    /// Savepoints, by level.
    marks: Vec<(Mark, usize)>,
    waiting: sql::Waiting,
    settlement: sql::Settlement,
}

impl Progress {
    /// A list has been executed for its COMMIT: no check may wait then.
    pub(super) fn nothing_waits(&self, outcome: Outcome) -> Outcome {
        if outcome != Outcome::Committed || self.waiting.is_empty() || planted!(220) || planted!(221) {
            return outcome;
        }
        // Its session has not asked for them.
        let error = SqlError::new(SqlState::INTERNAL_ERROR, "deferred constraints were not checked before COMMIT");
        Outcome::Error { statement: 0, error }
    }
}

/// Executes a transaction again, as far as the slice goes: [`Outcome::Committed`], or an error after which the caller rolls the
/// store back; `None`: there is more.
pub(super) fn execute_again(
    store: &mut Store,
    partition: PartitionId,
    catalog: &Catalog,
    plans: &mut PlanCache,
    list: &Commitment,
    progress: &mut Progress,
    slice: &mut Slice,
) -> Option<Outcome> {
    let Commitment { began, seed, .. } = *list;
    let Progress { at, marks, waiting, settlement } = progress;
    let mut again = Again { store, marks, waiting, settlement, partition, catalog, plans, began, seed };
    let outcome = again.list(list, at, slice)?;
    sometimes!("partition.transaction_committed", outcome == Outcome::Committed);
    Some(outcome)
}

/// 40001.
fn could_not_serialize(detail: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .detail(detail)
        .hint("Nothing was changed. The transaction might succeed if retried.")
}

/// A session and the number of its transaction.
type Key = (SessionId, u64);

/// The forks of a leader.
#[derive(Default)]
pub(super) struct Forks {
    forks: BTreeMap<Key, Fork>,
    /// The same by when they were last used.
    order: BTreeMap<u64, Key>,
    clock: u64,
}

/// What is known of a request's transaction.
pub(super) enum Found<'a> {
    /// Nothing.
    Nothing,
    /// Its statements come next.
    Next(&'a mut Fork),
    /// They were executed; this came of them.
    Again(Outcome),
    /// Later ones were.
    Stale,
}

impl Forks {
    /// The fork for a step. Looking uses it.
    pub(super) fn look_up(&mut self, session: SessionId, step: &Step) -> Found<'_> {
        let key = (session, step.transaction);
        let other = |fork: &Fork| {
            step.done > fork.done || (step.done == fork.done && step.done > 0 && step.shown != fork.shown)
        };
        if self.forks.get(&key).is_some_and(other) {
            // Made by a late copy of an earlier step, after this one's fork was lost.
            sometimes!("partition.another_fork");
            self.forget(session, step.transaction);
        }
        let Some(fork) = self.forks.get_mut(&key) else { return Found::Nothing };
        self.order.remove(&fork.touched);
        self.clock += 1;
        fork.touched = self.clock;
        self.order.insert(self.clock, key);
        if let Some((done, outcome)) = &fork.last
            && *done == step.done
        {
            return Found::Again(outcome.clone());
        }
        if fork.done == step.done { Found::Next(fork) } else { Found::Stale }
    }

    /// The fork that has executed exactly this list.
    pub(super) fn of(&mut self, session: SessionId, list: &Commitment) -> Option<&mut Fork> {
        self.forks.get_mut(&(session, list.transaction)).filter(|fork| fork.is_of(list))
    }

    /// Keeps a new fork; beyond the limit another one goes.
    pub(super) fn keep(&mut self, session: SessionId, transaction: u64, mut fork: Fork) {
        if self.forks.len() >= MAX_FORKS
            && let Some((_, idle)) = self.order.pop_first()
        {
            sometimes!("partition.too_many_forks");
            self.forks.remove(&idle);
        }
        self.clock += 1;
        fork.touched = self.clock;
        self.order.insert(self.clock, (session, transaction));
        self.forks.insert((session, transaction), fork);
    }

    /// Drops a fork.
    pub(super) fn forget(&mut self, session: SessionId, transaction: u64) {
        if let Some(fork) = self.forks.remove(&(session, transaction)) {
            self.order.remove(&fork.touched);
        }
    }

    /// Is no transaction open?
    pub(super) fn is_empty(&self) -> bool {
        self.forks.is_empty()
    }
}
