//! The simple query protocol: a text of statements.
//!
//! A text is one transaction (`implicit`). If it is nothing but queries and writes they travel as one batch.

use super::execution::Item;
use super::implicit::After;
use super::{Connection, Mode, Origin, Task};
use crate::planted;
use crate::session::shared::Turn;
use crate::session::writer::Formats;
use crate::sql::{self, Kind, Parsed};
use std::collections::VecDeque;

impl Connection {
    /// A Query message.
    pub(super) fn simple_query(&mut self, turn: &mut Turn<'_>, text: &str) {
        self.mode = Mode::Simple;
        // A simple query takes the place of the unnamed statement.
        self.statements.remove("");
        match sql::parse(text) {
            Ok(statements) => {
                let statements = statements.into();
                match self.allowed_under_token(&statements) {
                    Ok(()) => self.task = Some(Task::Simple(statements)),
                    Err(error) => self.fail(turn, error),
                }
            }
            Err(error) => self.fail(turn, error),
        }
    }

    /// Begins, or begins again, what is in front.
    pub(super) fn perform_simple(&mut self, turn: &mut Turn<'_>, mut statements: VecDeque<Parsed>) {
        self.join_text(turn, &statements);
        let Some(first) = statements.front() else { return self.end_together(turn) };
        self.defer_in_block(turn);
        if let Err(error) = self.allowed(&first.kind).and_then(|()| self.covered_by_token(&first.kind)) {
            return self.fail(turn, error);
        }
        match first.kind {
            Kind::Query | Kind::Write => self.perform_batch(turn, statements),
            Kind::Explain => self.perform_explain(turn, statements),
            Kind::Define | Kind::Administer(_) if self.in_implicit() => {
                self.end_implicit(turn, After::Perform(Task::Simple(statements)))
            }
            // Planted 228: what a block defines holds at once.
            Kind::Define if self.in_block() && !planted!(228) => {
                let statement = first.clone();
                statements.pop_front();
                self.define_in_block(turn, statement, Origin::Simple(statements));
            }
            Kind::Define => {
                let statement = first.clone();
                statements.pop_front();
                self.define(turn, statement, Origin::Simple(statements));
            }
            Kind::Administer(_) => {
                let Some(Parsed { kind: Kind::Administer(change), text, .. }) = statements.pop_front() else { return };
                self.administer(turn, &change, &text, Origin::Simple(statements));
            }
            Kind::Transaction(_) => {
                if let Some(Parsed { kind: Kind::Transaction(transaction), .. }) = statements.pop_front() {
                    self.transact(turn, &transaction, Origin::Simple(statements));
                }
            }
            Kind::Constraints(_) => {
                if let Some(statement) = statements.pop_front()
                    && let Kind::Constraints(told) = &statement.kind
                {
                    self.set_constraints(turn, &statement, told, Origin::Simple(statements));
                }
            }
            Kind::Recover(node) => {
                statements.pop_front();
                self.recover(turn, node, Origin::Simple(statements));
            }
            Kind::Copy(_) => self.begin_copy(turn, Task::Simple(statements)),
            Kind::Maintain(ref maintain) => match self.maintain(turn, maintain) {
                Ok(answer) => {
                    self.write_answer(&answer, true, &Formats::default());
                    statements.pop_front();
                    self.go_on_simple(turn, statements);
                }
                Err(error) => self.confirm(turn, Task::Simple(statements), error),
            },
            _ => {
                let Some(statement) = statements.pop_front() else { return };
                match self.utility(&statement.kind) {
                    Ok(answer) => {
                        self.write_answer(&answer, true, &Formats::default());
                        self.go_on_simple(turn, statements);
                    }
                    Err(error) => self.fail(turn, error),
                }
            }
        }
    }

    fn perform_batch(&mut self, turn: &mut Turn<'_>, statements: VecDeque<Parsed>) {
        let batched =
            statements.iter().take_while(|statement| matches!(statement.kind, Kind::Query | Kind::Write)).count();
        // In a block each is shown, and remembered, on its own.
        let batched = if self.in_block() { 1 } else { batched };
        let mut items = Vec::with_capacity(batched);
        for statement in statements.iter().take(batched) {
            match self.plan(turn, statement, &[]) {
                // No partition can answer what reads system tables: one after the other, then. And what waits for the end of
                // all of them waits in a block.
                Ok(plan) if batched > 1 && (plan.system_tables().next().is_some() || plan.can_defer()) => {
                    return self.perform_in_block(turn, statements);
                }
                Ok(plan) => {
                    let sets = !plan.sets().is_empty();
                    items.push(Item::new(statement, plan, Vec::new(), Vec::new()));
                    if sets {
                        // What comes behind `setval` sees what was set.
                        break;
                    }
                }
                Err(error) => return self.confirm(turn, Task::Simple(statements), error),
            }
        }
        let mut rest = statements;
        rest.drain(..items.len());
        self.execute_batch(turn, items, Origin::Simple(rest));
    }

    /// Statements that cannot be one command.
    pub(super) fn perform_in_block(&mut self, turn: &mut Turn<'_>, statements: VecDeque<Parsed>) {
        self.open_implicit(turn);
        self.can_redo_text(&statements);
        self.task = Some(Task::Simple(statements));
    }

    /// EXPLAIN shows what never reaches a partition, so the catalog is read first (rules B4).
    fn perform_explain(&mut self, turn: &mut Turn<'_>, mut statements: VecDeque<Parsed>) {
        if !self.confirmed {
            return self.refresh(turn, Task::Simple(statements));
        }
        let Some(statement) = statements.pop_front() else { return };
        match self.plan(turn, &statement, &[]) {
            Ok(plan) => {
                let item = Item::new(&statement, plan, Vec::new(), Vec::new());
                self.execute_here(turn, &[item], Origin::Simple(statements));
            }
            Err(error) => self.fail(turn, error),
        }
    }

    /// What was in front has been answered: the next one, with patience of its own.
    pub(super) fn go_on_simple(&mut self, turn: &mut Turn<'_>, rest: VecDeque<Parsed>) {
        if rest.is_empty() {
            return self.end_together(turn);
        }
        self.begin(turn);
        self.task = Some(Task::Simple(rest));
    }
}
