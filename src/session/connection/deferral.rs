//! Deferred constraints: SET CONSTRAINTS, and the checks that COMMIT says for the client.
//!
//! A block's forks keep the checks that wait (`crate::sql`, its `integrity`). COMMIT of a block in which any may wait first has them
//! looked at, as a statement of the block like any other: it is in the lists, its rounds may touch further partitions, and all of
//! it is executed again at the commit's place in the order. If it fails the transaction is over.

use super::block::{Block, CommitJob};
use super::execution::Item;
use super::implicit::After;
use super::settle::Rounds;
use super::step::{StepJob, outdated};
use super::utility::Answer;
use super::{Connection, Origin, Task};
use crate::session::shared::Turn;
use crate::sometimes;
use crate::sql::{self, Constraints, Deferral, Parsed};
use std::collections::VecDeque;

/// What COMMIT says before it.
const CHECK_ALL: &str = "SET CONSTRAINTS ALL IMMEDIATE";

impl Connection {
    /// A statement of a block is about to be planned: from now on deferrable constraints are as SET CONSTRAINTS says.
    pub(super) fn defer_in_block(&mut self, turn: &Turn<'_>) {
        if self.in_block() && self.settings.travelling().deferral.is_none() && turn.shared.catalog.has_deferrable() {
            self.settings.defer(Some(Deferral::default()));
        }
    }

    /// SET CONSTRAINTS.
    pub(super) fn set_constraints(
        &mut self,
        turn: &mut Turn<'_>,
        statement: &Parsed,
        told: &Constraints,
        origin: Origin,
    ) {
        if !self.in_block() {
            let message = "SET CONSTRAINTS can only be used in transaction blocks";
            return self.answered(turn, &Answer::warning("SET CONSTRAINTS", message), origin);
        }
        let named = match sql::constraints(&turn.shared.catalog, self.settings.travelling(), told) {
            Ok(named) => named,
            Err(error) => {
                let task = match origin {
                    Origin::Simple(mut rest) => {
                        rest.push_front(statement.clone());
                        Task::Simple(rest)
                    }
                    Origin::Portal(name, max_rows) => {
                        self.rewind_portal(&name);
                        Task::Execute(name, max_rows)
                    }
                };
                return self.confirm(turn, task, error);
            }
        };
        let mut deferral = self.settings.travelling().deferral.clone().unwrap_or_default();
        deferral.set(named, told.deferred);
        self.settings.defer(Some(deferral));
        let waits = matches!(&self.block, Block::Open(open) if open.defers && !open.lists.is_empty());
        if told.deferred || !waits {
            return self.answered(turn, &Answer::tag("SET CONSTRAINTS"), origin);
        }
        self.check_now(turn, statement, origin, None);
    }

    /// COMMIT: looks at what waits first.
    pub(super) fn check_deferred(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        sometimes!("session.deferred_constraints_checked");
        let CommitJob { mut open, chain, after, .. } = job;
        open.committing = true;
        self.block = Block::Open(open);
        match sql::parse(CHECK_ALL).as_deref() {
            Ok([statement]) => {
                self.check_now(turn, statement, Origin::Simple(VecDeque::new()), Some((chain, after)));
            }
            _ => self.broken(turn),
        }
    }

    fn check_now(&mut self, turn: &mut Turn<'_>, statement: &Parsed, origin: Origin, then: Option<(bool, After)>) {
        let plan = match self.plan(turn, statement, &[]) {
            Ok(plan) => plan,
            Err(error) => return self.fail(turn, error),
        };
        let version = self.planning_catalog(turn).version;
        let Block::Open(open) = &self.block else { return self.broken(turn) };
        if open.catalog_version != version {
            return self.fail(turn, outdated());
        }
        let at = open.lists.keys().copied().collect();
        let item = Item::new(statement, plan, Vec::new(), Vec::new());
        let rounds = (turn.shared.config.partitions > 1).then(Rounds::default);
        self.start_step(turn, Box::new(StepJob::check(item, origin, at, rounds, then)));
    }

    /// What waited holds: COMMIT goes on.
    pub(super) fn checked(&mut self, turn: &mut Turn<'_>, chain: bool, after: After) {
        match std::mem::replace(&mut self.block, Block::Idle) {
            Block::Open(open) => self.end_block(turn, CommitJob::new(open, chain, after)),
            other => {
                self.block = other;
                self.broken(turn);
            }
        }
    }
}
