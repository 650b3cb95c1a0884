//! Values of sequences, before statements that draw them are sent.
//!
//! A statement's plan says what it draws (`sql::Draws`); what is known to be drawn is taken from the gateway's blocks and goes
//! with the statement. If a block is too small another one is reserved first, at the sequence's partition, in a request of its
//! own. If it turns out that rows draw more than was known the partition says so, having changed nothing, and the statement
//! is begun again, as another request, with as many more.
//!
//! # Invariants
//! - What was drawn for one request is never sent with another one, whatever has come of the first.
//! - Statements that have waited for values are planned again if the catalog has changed meanwhile: what is sent names the catalog
//!   of its plan.
//! - `currval` is of what this session has drawn, used or not.
//!
//! # Caveats
//! - `setval` is a definition, at once and for good, in a block too: what the block has executed is executed again under the new
//!   catalog, and if it shows something else by then, the block ends with 40001.
//! - In a block a statement that has drawn too little stays in the lists as one that failed, and is executed again with them.

use super::calls::Role;
use super::execution::{BatchJob, Item};
use super::extended::shifted;
use super::{Connection, Job, Origin};
use crate::catalog::Table;
use crate::partition::global::Vote;
use crate::partition::message::{Outcome, RequestBody, StatementResult};
use crate::session::shared::Turn;
use crate::sometimes;
use crate::sql::{self, Kind, Needs, Set};
use crate::storage::Store;
use crate::types::{CatalogVersion, SqlError, SqlState, TableId, Value};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Statements that wait for values of a sequence.
pub(super) struct DrawJob {
    job: BatchJob,
    sequence: Arc<Table>,
    /// Catalog under which the statements are planned.
    planned: CatalogVersion,
}

/// Results that are shown when sequences have been set.
pub(super) struct SetJob {
    items: Vec<Item>,
    origin: Origin,
    results: Vec<StatementResult>,
    /// Those that are not in force yet.
    sets: VecDeque<Set>,
}

impl Connection {
    /// Gives statements what they draw; or says of which sequence there is too little, and how much is missing.
    pub(super) fn draw(&mut self, turn: &mut Turn<'_>, items: &mut [Item]) -> Option<(Arc<Table>, u64)> {
        for item in items.iter_mut().filter(|item| !item.plan.draws().is_empty()) {
            item.parameters.truncate(item.plan.parameters().len());
            if item.needs.iter().next().is_none()
                && let (Kind::Copy(_), Some(Value::Bytea(data))) = (&item.parsed.kind, item.parameters.first())
            {
                let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
                item.needs = Needs::for_rows(item.plan.draws(), lines as u64);
            }
        }
        let mut wanted: BTreeMap<TableId, (&Arc<Table>, u64)> = BTreeMap::new();
        for item in items.iter() {
            item.plan.draws().count(&item.needs, &mut wanted);
        }
        for (sequence, count) in wanted.values() {
            let missing = count.saturating_sub(turn.shared.sequences.left(sequence));
            if missing > 0 {
                return Some((Arc::clone(sequence), missing));
            }
        }
        for item in items.iter_mut().filter(|item| !item.plan.draws().is_empty()) {
            let take = |sequence: &Table, count| turn.shared.sequences.take(sequence, count);
            let drawn = item.plan.draws().draw(&item.needs, &mut self.drew, take);
            item.parameters.push(drawn.to_parameter());
        }
        None
    }

    /// Reserves values; then the statements are begun again.
    pub(super) fn reserve(&mut self, turn: &mut Turn<'_>, job: BatchJob, sequence: &Arc<Table>, missing: u64) {
        let partition = sql::sequence_home(sequence, turn.shared.config.partitions);
        let body = RequestBody::Reserve {
            catalog_version: turn.shared.catalog.version,
            sequence: sequence.id,
            count: turn.shared.sequences.block(sequence, missing),
        };
        self.job = Some(Job::Draw(Box::new(DrawJob {
            job,
            sequence: Arc::clone(sequence),
            planned: turn.shared.catalog.version,
        })));
        // Values that are lost are no change that anybody could see.
        self.start_changing(turn, Role::Draw, partition, body, false);
    }

    /// The sequence's partition has answered.
    pub(super) fn reserved(&mut self, turn: &mut Turn<'_>, outcome: Outcome) {
        let Some(Job::Draw(draw)) = self.job.take() else { return self.broken(turn) };
        match outcome {
            Outcome::Reserved(values) => {
                turn.shared.sequences.add(&draw.sequence, values);
                let same = turn.shared.catalog.version == draw.planned;
                if !same || turn.shared.sequences.left(&draw.sequence) == 0 {
                    // A definition has come in between, which may have set the sequence, or moved rows.
                    sometimes!("session.definition_while_drawing");
                    return self.execute_again(turn, draw.job);
                }
                self.dispatch(turn, draw.job);
            }
            Outcome::Error { error, .. } => self.fail(turn, error),
            _ => self.broken(turn),
        }
    }

    /// The sequence's partition is under a newer catalog.
    pub(super) fn draw_outdated(&mut self, turn: &mut Turn<'_>, version: CatalogVersion) {
        let Some(Job::Draw(draw)) = self.job.take() else { return self.broken(turn) };
        self.wanted = self.wanted.max(version);
        if turn.shared.catalog.version >= self.wanted {
            return self.execute_again(turn, draw.job);
        }
        self.job = Some(Job::Again(draw.job));
        self.read_catalog(turn);
    }

    /// Runs statements that touch no table, or over rows that were gathered for them.
    pub(super) fn execute_nowhere(&mut self, turn: &mut Turn<'_>, job: BatchJob, gathered: Option<&Store>) {
        match self.evaluate(turn, &job.items, gathered) {
            Ok(results) => self.render(turn, &job.items, job.origin, results),
            Err((at, error)) => {
                let statement = u32::try_from(at).unwrap_or(u32::MAX);
                if let Some((job, error)) = self.draw_more(turn, job, statement, error) {
                    self.fail(turn, shifted(error, job.items.get(at).map_or(0, |item| item.parsed.offset)));
                }
            }
        }
    }

    /// A statement has failed, and nothing was changed. If it was for want of values it is begun again with more; otherwise
    /// job and error are the caller's.
    pub(super) fn draw_more(
        &mut self,
        turn: &mut Turn<'_>,
        mut job: BatchJob,
        statement: u32,
        error: SqlError,
    ) -> Option<(BatchJob, SqlError)> {
        let Some(wanted) = sql::wanted(&error) else { return Some((job, error)) };
        let Some(item) = usize::try_from(statement).ok().and_then(|at| job.items.get_mut(at)) else {
            return Some((job, error));
        };
        if let Err(error) = item.needs.add(&wanted) {
            return Some((job, error));
        }
        sometimes!("session.drew_too_little");
        self.execute_again(turn, job);
        None
    }

    /// The same where several partitions have spoken: if what they want is all that was wrong.
    pub(super) fn draw_for_all(
        &mut self,
        turn: &mut Turn<'_>,
        mut job: BatchJob,
        refusal: Option<&Vote>,
        votes: &[(u32, SqlError)],
    ) -> Option<BatchJob> {
        let Some(Vote::Error { statement: first, error }) = refusal else { return Some(job) };
        if sql::wanted(error).is_none() {
            return Some(job);
        }
        for (_, error) in votes.iter().filter(|(statement, _)| statement == first) {
            let item = usize::try_from(*first).ok().and_then(|at| job.items.get_mut(at));
            if let (Some(wanted), Some(item)) = (sql::wanted(error), item)
                && let Err(error) = item.needs.add(&wanted)
            {
                self.fail(turn, error);
                return None;
            }
        }
        sometimes!("session.several_drew_too_little");
        self.execute_again(turn, job);
        None
    }

    /// Statements have come to `setval`: each is a definition of its own, and takes effect at once, as in PostgreSQL.
    pub(super) fn set_sequences(
        &mut self,
        turn: &mut Turn<'_>,
        items: Vec<Item>,
        origin: Origin,
        mut results: Vec<StatementResult>,
    ) {
        let mut sets = VecDeque::new();
        for (item, result) in items.iter().zip(&mut results) {
            for row in &mut result.rows {
                for column in item.plan.sets() {
                    let Some(value) = row.get_mut(*column) else { continue };
                    let set = Set::of(value);
                    *value = set.map_or(Value::Null, |set| Value::Int8(set.value));
                    sets.extend(set);
                }
            }
        }
        self.set_next(turn, SetJob { items, origin, results, sets });
    }

    /// A sequence is set, everywhere, by a definition that was made under this catalog.
    pub(super) fn set_done(&mut self, turn: &mut Turn<'_>, job: SetJob, checked: CatalogVersion) {
        self.block_follows(turn, checked);
        self.next_was_set(turn, job);
    }

    /// The next sequence is set.
    fn next_was_set(&mut self, turn: &mut Turn<'_>, mut job: SetJob) {
        if let Some(set) = job.sets.pop_front() {
            self.drew.set(&set);
        }
        self.set_next(turn, job);
    }

    /// Sets the next sequence, or shows the results.
    pub(super) fn set_next(&mut self, turn: &mut Turn<'_>, job: SetJob) {
        let Some(set) = job.sets.front() else {
            let SetJob { items, origin, results, .. } = job;
            return self.render_results(turn, &items, origin, results);
        };
        let text = set.definition(&self.drafted_catalog(turn));
        let parsed = text.and_then(|text| sql::parse(&text).ok()).and_then(|mut parsed| parsed.pop());
        let Some(parsed) = parsed else {
            return self.fail(turn, SqlError::new(SqlState::UNDEFINED_TABLE, "the sequence does not exist"));
        };
        sometimes!("session.sequence_set");
        if !self.has_drafts() {
            return self.define_then(turn, parsed, job);
        }
        // It is of the block's definitions, and holds when they do.
        match self.draft(turn, &parsed) {
            Ok(_) => self.next_was_set(turn, job),
            Err(error) => self.fail(turn, error),
        }
    }
}
