//! Implicit transactions: statements that stand together without BEGIN.
//!
//! Statements of one query text are one transaction, and so is all that the extended protocol executes between two Syncs, as in
//! PostgreSQL. Where all of it can be one command it is: adjacent queries and writes of a text, or the only statement before
//! a Sync. Otherwise a block (`block`) is opened without being asked for, and committed at the end of the text or at Sync.
//!
//! Whether an Execute stands alone shows in what has been received behind it. If nothing there tells, it waits for more: nobody
//! can expect an answer who has not sent Sync or Flush.
//!
//! # Invariants
//! - A block that was opened so is never seen by the client: it has ended when ReadyForQuery is said. An error ends it at once.
//! - BEGIN makes it a block like any other, with what was done in it before; COMMIT and ROLLBACK end it, with a warning.
//!
//! # Caveats
//! - A definition ends it and is a transaction of its own (PostgreSQL would make it a part): what stands before it in a text is
//!   committed, and stays when something behind it fails.
//! - A COMMIT that fails does so at the end: statements of a text or before a Sync may have been answered already, as they
//!   may in PostgreSQL when a deferred constraint fails.

use super::block::{Block, CommitJob};
use super::{Connection, Mode, Task};
use crate::session::codec::{self, Ahead};
use crate::session::shared::Turn;
use crate::sometimes;
use crate::sql::{Discard, Kind, Modes, Parsed, Transaction};
use std::collections::VecDeque;

/// What follows a COMMIT.
pub(super) enum After {
    /// Its answer, to whoever said it.
    Answer(super::Origin),
    /// What had to wait for it.
    Perform(Task),
    /// ReadyForQuery.
    Ready,
}

impl Connection {
    /// Is a block open that nobody has begun?
    pub(super) const fn in_implicit(&self) -> bool {
        matches!(&self.block, Block::Open(open) if open.implicit)
    }

    /// Statements of a text are about to be performed: opens a block for them if they cannot be one command.
    pub(super) fn join_text(&mut self, turn: &mut Turn<'_>, statements: &VecDeque<Parsed>) {
        let Some(first) = statements.front() else { return };
        let outside = matches!(first.kind, Kind::Transaction(_) | Kind::Define | Kind::Administer(_) | Kind::Empty);
        if matches!(self.block, Block::Idle) && statements.len() > 1 && !outside && !is_command(statements) {
            self.open_implicit(turn);
            self.can_redo_text(statements);
        }
    }

    /// A portal's statement is about to be performed. `None`: something else comes first, and then the task again.
    pub(super) fn join_pipeline(&mut self, turn: &mut Turn<'_>, kind: &Kind, task: Task) -> Option<Task> {
        if self.in_implicit() && matches!(kind, Kind::Define | Kind::Administer(_)) {
            self.end_implicit(turn, After::Perform(task));
            return None;
        }
        let joins = match kind {
            Kind::Query
            | Kind::Write
            | Kind::Copy(_)
            | Kind::Set { .. }
            | Kind::Reset { .. }
            | Kind::Constraints(_) => true,
            Kind::Discard(what) => *what != Discard::All,
            _ => false,
        };
        if !joins || !matches!(self.block, Block::Idle) {
            return Some(task);
        }
        match codec::ahead(&self.input) {
            Ahead::Sync => {}
            Ahead::More | Ahead::Flush => {
                sometimes!("session.pipeline");
                self.open_implicit(turn);
                if let Task::Execute(portal, max_rows) = &task {
                    self.can_redo_pipeline(portal, *max_rows);
                }
            }
            Ahead::Unknown => {
                sometimes!("session.execute_held");
                self.held = true;
                self.task = Some(task);
                return None;
            }
        }
        Some(task)
    }

    pub(super) fn open_implicit(&mut self, turn: &mut Turn<'_>) {
        self.open_block(turn, &Modes::default(), true);
    }

    /// The text has been executed, or Sync has come.
    pub(super) fn end_together(&mut self, turn: &mut Turn<'_>) {
        // Sync has been taken: an error is followed by ReadyForQuery, as one of a text is.
        self.mode = Mode::Simple;
        if self.in_implicit() {
            self.begin(turn);
            return self.end_implicit(turn, After::Ready);
        }
        self.ready_for_query();
    }

    pub(super) fn end_implicit(&mut self, turn: &mut Turn<'_>, after: After) {
        if let Block::Open(open) = std::mem::replace(&mut self.block, Block::Idle) {
            self.end_block(turn, CommitJob::new(open, false, after));
        }
    }
}

/// Do these statements begin with some that can be one command, and stand together with no others?
fn is_command(statements: &VecDeque<Parsed>) -> bool {
    let batch = |statement: &&Parsed| matches!(statement.kind, Kind::Query | Kind::Write);
    let count = statements.iter().take_while(batch).count();
    let ends = |kind: &Kind| {
        matches!(kind, Kind::Define | Kind::Administer(_) | Kind::Transaction(Transaction::Commit { chain: false }))
    };
    count > 0 && statements.get(count).is_none_or(|next| ends(&next.kind))
}
