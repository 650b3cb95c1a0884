//! Reads over several partitions ([`crate::partition::global`], its invariants; rules A10), as the machine comes to them: it
//! freezes its rows for them and goes on. Nothing of the state changes but what is remembered of the command itself.
//!
//! # Invariants
//! - A read is *open* from its place to that of its `Decision`: replicated state, so that every leader knows what it may not speak of.
//! - Open reads are bounded by number and by size, and the bounds are judged by position alone: beyond them a read stands like a
//!   write. (It could not wait: what ends the open ones stands behind it in the log.)
//! - The outcome of a read is in no deduplication table (rules A9): its rows are where they were frozen, and if they are lost it
//!   is begun anew.

use super::{Executed, Globals, Standing, StateMachine};
use crate::partition::command::dice;
use crate::partition::global::{Global, GlobalBody, GlobalOutcome, Placed, Remembered, Showing, Vote};
use crate::partition::message::{Settings, StatementResult};
use crate::sql;
use crate::types::{GlobalNumber, LogIndex, SqlError};
use crate::{planted, sometimes};
use std::sync::Arc;

/// Most reads that are open.
const MAX_OPEN: usize = 64;
/// Most bytes of a read that may be open: it is a part of the state's digest as long as it is.
const MAX_OPEN_BYTES: usize = 16 << 10;

impl Globals {
    /// May a read be open that is so long?
    pub(super) fn opens(&self, global: &Global, bytes: usize) -> bool {
        let room = self.open.len() < MAX_OPEN && bytes <= MAX_OPEN_BYTES;
        sometimes!("global.read_stands", global.body.only_reads() && !room);
        global.body.only_reads() && room
    }
}

impl StateMachine {
    /// The open reads, in order.
    pub(in crate::partition) const fn open(&self) -> &std::collections::BTreeMap<GlobalNumber, Arc<Global>> {
        &self.globals.open
    }

    /// This participant's vote on a command that it has passed.
    pub(in crate::partition) fn vote_on(&self, number: GlobalNumber) -> Option<Vote> {
        self.memory.outcome(number).map(|outcome| outcome.vote)
    }

    /// Opens a read at this index, and passes on.
    pub(super) fn open_read(&mut self, index: LogIndex, global: Arc<Global>) -> Executed {
        sometimes!("global.read_opened");
        sometimes!("global.read_opened_behind_another", !self.globals.open.is_empty());
        let version = self.catalog.version;
        let vote = if global.body.catalog_version() == version { Vote::Yes } else { Vote::Replan { version } };
        self.executed = index;
        self.globals.open.insert(global.number, Arc::clone(&global));
        let showing = self.passed(global, vote, None);
        Executed { read: Some(Box::new(showing)), ..Executed::default() }
    }

    /// A read that stood is everywhere.
    pub(super) fn settle_read(&mut self, standing: Standing, committed: bool) -> Executed {
        let Standing { global, index, vote, .. } = standing;
        self.store.commit();
        self.executed = index;
        let showing = self.passed(global, vote.unwrap_or(Vote::Unfinished), Some(committed));
        Executed { read: Some(Box::new(showing)), ..Executed::default() }
    }

    /// Remembers a read, and freezes what it is to be shown.
    fn passed(&mut self, global: Arc<Global>, vote: Vote, committed: Option<bool>) -> Showing {
        let Global { number, timestamp, forget_below, .. } = *global;
        self.last_timestamp = self.last_timestamp.max(timestamp);
        self.globals.last = number;
        self.globals.undeclared.insert(number);
        let committed = committed.unwrap_or(vote.is_yes());
        let remembered =
            Remembered { vote: vote.clone(), committed, sent: Vec::new(), values: Vec::new(), defined: None };
        self.memory.remember(number, &remembered);
        self.forget(forget_below);
        let rows = self.store.snapshot().into_store();
        Showing { global, vote, rows, catalog: Arc::clone(&self.catalog) }
    }

    /// What a read is shown: this partition's part of it.
    pub(in crate::partition) fn show(&mut self, showing: &Showing) -> GlobalOutcome {
        let refused = |vote| GlobalOutcome { vote, committed: false, results: Vec::new(), defined: None };
        if !showing.vote.is_yes() {
            return refused(showing.vote.clone());
        }
        let shown = |results| GlobalOutcome { vote: Vote::Yes, committed: true, results, defined: None };
        let GlobalBody::Read { statements, settings, partitions, .. } = &*showing.global.body else {
            return shown(Vec::new());
        };
        let share = sql::Share { own: self.partition, partitions: *partitions };
        let mut results = Vec::with_capacity(statements.len());
        for (number, placed) in statements.iter().enumerate() {
            match self.show_one(showing, number, placed, settings, share) {
                Ok(result) => results.push(result),
                Err(error) => {
                    let statement = u32::try_from(number).unwrap_or(u32::MAX);
                    return refused(Vote::Error { statement, error: Box::new(error) });
                }
            }
        }
        shown(results)
    }

    fn show_one(
        &mut self,
        showing: &Showing,
        number: usize,
        placed: &Placed,
        settings: &Settings,
        share: sql::Share,
    ) -> Result<StatementResult, SqlError> {
        if placed.at.binary_search(&self.partition).is_err() {
            return Ok(StatementResult::default());
        }
        let (statement, global) = (&placed.statement, &showing.global);
        let plan = self.plans.prepare(&showing.catalog, &statement.text, settings, &statement.parameter_types)?;
        // Planted 132: it is shown what is there when it is asked for.
        let late = if planted!(132) { Some(self.store.snapshot().into_store()) } else { None };
        let rows = late.as_ref().unwrap_or(&showing.rows);
        let several = placed.at.len() > 1;
        // Rows that each draws for itself must not draw alike.
        let own = if several && plan.draws_by_row() { u64::from(share.own.0).rotate_left(32) } else { 0 };
        let mut context = sql::Context::of(
            &self.catalog,
            settings,
            global.timestamp,
            dice(global.seed ^ own, number),
            statement.max_rows,
        );
        if !several {
            return plan.query(rows, &statement.parameters, &mut context);
        }
        context.share = Some(share);
        plan.query_fragment(rows, &statement.parameters, &mut context)
    }
}
