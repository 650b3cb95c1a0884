//! Commands over several partitions ([`crate::partition::global`]), as the session sees them.
//!
//! 1. The cluster partition gives the command its place: a logged request with an identity, like any other.
//! 2. Under the same identity each participant is asked what it has come to. All of them answer the same decision, each with
//!    its part of the results, or with its vote.
//! 3. The parts are put together here, by the second half of each statement's plan, under the command's clock and dice.
//!
//! # Invariants
//! - The client is told an error only when every participant has spoken: of all votes the greatest is the answer (rules A8).
//! - A command that was refused has changed nothing and never will. It is begun again only then, as another request (rules A9).
//! - Between the order and the last answer the outcome of what writes is in doubt, unless one participant has said that it
//!   was refused.
//!
//! # Caveats
//! - A query that stands in one text with writes and whose parts cannot be put together (an overflow in the total, say) fails when
//!   the writes are committed: 40003 says so.

use super::calls::Role;
use super::execution::{BatchJob, Item, result_lost};
use super::extended::shifted;
use super::{Connection, Job};
use crate::catalog::Catalog;
use crate::partition::dice;
use crate::partition::global::{GlobalBody, GlobalOutcome, Placed, Vote};
use crate::partition::message::{Outcome, RequestBody, StatementResult};
use crate::session::call::Call;
use crate::session::shared::Turn;
use crate::sometimes;
use crate::sql;
use crate::types::{GlobalNumber, PartitionId, SqlError, SqlState, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A command's place in the order, and what goes with it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) number: GlobalNumber,
    /// `now()`.
    pub(super) timestamp: Timestamp,
    /// Of its dice.
    pub(super) seed: u64,
}

/// A command over several partitions that has its place.
pub(super) struct Collecting {
    place: Place,
    pub(super) body: Arc<GlobalBody>,
    /// May it have changed anything?
    changes: bool,
    /// Participants that have not answered.
    missing: usize,
    pub(super) parts: BTreeMap<PartitionId, GlobalOutcome>,
    /// A participant has not kept its part.
    lost: bool,
}

impl Collecting {
    /// Is it known that it has changed nothing?
    pub(super) fn is_refused(&self) -> bool {
        self.parts.values().any(|part| !part.committed)
    }

    /// Does nobody say what it came to? One who does speaks for all of them: a command has one outcome. Of what has no large result
    /// that says nothing: it would have been kept.
    pub(super) fn is_untold(&self) -> bool {
        self.lost && self.parts.is_empty()
    }

    /// Why it was refused: the greatest vote; of several alike that on the earliest statement, then the lowest partition's.
    pub(super) fn refusal(&self) -> Option<&Vote> {
        let statement = |vote: &Vote| if let Vote::Error { statement, .. } = vote { *statement } else { 0 };
        let votes = self.parts.values().map(|part| &part.vote);
        votes.min_by_key(|vote| (std::cmp::Reverse(vote.rank()), statement(vote)))
    }

    /// All parts of one statement's result as one.
    fn result_of(
        &self,
        number: usize,
        item: &Item,
        placed: &Placed,
        around: (&Catalog, &sql::Settings),
    ) -> Result<StatementResult, SqlError> {
        let part = |partition| self.parts.get(partition).and_then(|part| part.results.get(number)).cloned();
        let mut parts = placed.at.iter().map(|partition| part(partition).unwrap_or_default()).collect::<Vec<_>>();
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let dice = dice(self.place.seed, number);
        let mut context = sql::Context::of(around.0, around.1, self.place.timestamp, dice, placed.statement.max_rows);
        item.plan().merge(parts, &item.parameters, &mut context)
    }
}

impl Connection {
    /// The command has its place: what does it come to?
    pub(super) fn ordered(&mut self, turn: &mut Turn<'_>, call: &Call, place: Place) {
        let RequestBody::Order { participants, body } = call.body() else { return self.broken(turn) };
        self.collecting = Some(Box::new(Collecting {
            place,
            body: Arc::clone(body),
            changes: call.is_in_doubt(),
            missing: participants.len(),
            parts: BTreeMap::new(),
            lost: false,
        }));
        for partition in participants {
            let body = RequestBody::Collect { number: place.number };
            self.launch(turn, Role::Collect, call.id(), *partition, body, call.is_in_doubt());
        }
    }

    /// A participant has answered.
    pub(super) fn collected(&mut self, turn: &mut Turn<'_>, partition: PartitionId, outcome: Outcome) {
        let Some(collecting) = &mut self.collecting else { return self.broken(turn) };
        match outcome {
            Outcome::Global(part) => {
                collecting.parts.insert(partition, *part);
            }
            Outcome::ResultNotKept => collecting.lost = true,
            _ => return self.broken(turn),
        }
        collecting.missing = collecting.missing.saturating_sub(1);
        if collecting.missing > 0 {
            return;
        }
        let (Some(collecting), job) = (self.collecting.take(), self.job.take()) else { return self.broken(turn) };
        match job {
            Some(Job::Batch(job)) => self.batch_decided(turn, job, &collecting),
            Some(Job::Define(job)) => self.define_decided(turn, job, &collecting),
            Some(Job::Step(job)) => self.error_validated(turn, *job, &collecting),
            Some(Job::Commit(job)) => self.commit_decided(turn, job, &collecting),
            Some(Job::Cut(job)) => self.cut_taken(turn, job, &collecting),
            _ => self.broken(turn),
        }
    }

    fn batch_decided(&mut self, turn: &mut Turn<'_>, job: BatchJob, collecting: &Collecting) {
        if collecting.lost && !collecting.changes {
            sometimes!("session.read_again");
            return self.execute_again(turn, job);
        }
        if collecting.is_refused() {
            return self.batch_refused(turn, job, collecting);
        }
        if collecting.lost {
            // A refusal would have been kept.
            return self.fail(turn, result_lost());
        }
        let (GlobalBody::Execute { statements, settings, .. } | GlobalBody::Read { statements, settings, .. }) =
            &*collecting.body
        else {
            return self.broken(turn);
        };
        let mut results = Vec::with_capacity(job.items.len());
        for (number, (item, placed)) in job.items.iter().zip(statements).enumerate() {
            match collecting.result_of(number, item, placed, (&turn.shared.catalog, settings)) {
                Ok(result) => results.push(result),
                Err(error) if collecting.changes => return self.fail(turn, no_result(&error)),
                Err(error) if sql::wanted(&error).is_some() => {
                    let statement = u32::try_from(number).unwrap_or(u32::MAX);
                    if let Some((job, error)) = self.draw_more(turn, job, statement, error) {
                        self.fail(turn, shifted(error, job.items[number].parsed.offset));
                    }
                    return;
                }
                Err(error) => return self.fail(turn, shifted(error, item.parsed.offset)),
            }
        }
        sometimes!("session.put_together");
        if collecting.body.token().is_some() {
            self.token_is_spent();
        }
        self.render(turn, &job.items, job.origin, results);
    }

    /// All partitions have frozen what they have, or not.
    fn cut_taken(&mut self, turn: &mut Turn<'_>, job: BatchJob, collecting: &Collecting) {
        if collecting.is_refused() && !collecting.lost {
            return self.batch_refused(turn, job, collecting);
        }
        if !collecting.lost {
            self.cut_is(collecting.place.number, collecting.body.catalog_version());
        }
        self.execute_again(turn, job);
    }

    fn batch_refused(&mut self, turn: &mut Turn<'_>, job: BatchJob, collecting: &Collecting) {
        let votes = collecting.parts.values().filter_map(|part| match &part.vote {
            Vote::Error { statement, error } => Some((*statement, &**error)),
            _ => None,
        });
        let votes: Vec<_> = votes.map(|(statement, error)| (statement, error.clone())).collect();
        let Some(job) = self.draw_for_all(turn, job, collecting.refusal(), &votes) else { return };
        match collecting.refusal() {
            Some(Vote::Error { statement, error }) => {
                let item = usize::try_from(*statement).ok().and_then(|statement| job.items.get(statement));
                self.fail(turn, shifted(SqlError::clone(error), item.map_or(0, |item| item.parsed.offset)));
            }
            Some(Vote::Mismatch { error }) => self.fail(turn, SqlError::clone(error)),
            Some(Vote::Spent(spent)) => {
                let asked = collecting.body.token().map_or(0, |token| token.asked);
                self.batch_spent(turn, job, asked, spent);
            }
            Some(Vote::Replan { version }) => {
                sometimes!("session.replan_after_order");
                self.wanted = self.wanted.max(*version);
                if turn.shared.catalog.version >= self.wanted {
                    return self.execute_again(turn, job);
                }
                self.job = Some(Job::Again(job));
                self.read_catalog(turn);
            }
            Some(Vote::Duplicate) if collecting.changes => {
                let message = "statement completion unknown: an earlier copy of it was executed";
                let error = SqlError::new(SqlState::STATEMENT_COMPLETION_UNKNOWN, message)
                    .hint("Read the data before repeating the statement.");
                self.fail(turn, error);
            }
            Some(Vote::Unfinished | Vote::Yes | Vote::Duplicate) | None => {
                let message = "a command over several partitions was refused, and nobody says why";
                let error = SqlError::new(SqlState::INTERNAL_ERROR, message).hint("Nothing was changed.");
                self.fail(turn, error);
            }
        }
    }
}

/// Participants have decided it, and none of them has kept what.
pub(super) fn outcome_lost() -> SqlError {
    sometimes!("session.outcome_not_kept");
    let message = "statement completion unknown: it was decided, and no partition has kept how";
    SqlError::new(SqlState::STATEMENT_COMPLETION_UNKNOWN, message).hint("Read the data before repeating the statement.")
}

/// The writes are committed; a query beside them has no result.
fn no_result(error: &SqlError) -> SqlError {
    sometimes!("session.no_result_after_commit");
    let message = "statement completion known, result lost: the writes are committed, and a query with them failed";
    SqlError::new(SqlState::STATEMENT_COMPLETION_UNKNOWN, message)
        .detail(format!("{}: {}", error.state.as_str(), error.message))
        .hint("Do not repeat the writes. Send queries on their own.")
}
