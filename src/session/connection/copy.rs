//! COPY … FROM STDIN.
//!
//! The data are cut into pieces of whole lines, each a statement of its own with the COPY's text: what a piece means is
//! the replicas' business. All pieces are executed as one command when the client has said that there is no more:
//! a COPY happens or does not, as in PostgreSQL. In a transaction block they go to the block's fork as they come.
//!
//! # Caveats
//! - So the data are held here until then, and are limited to [`MAX_COPY`] (54000 beyond): copy larger files in parts.

use super::execution::Item;
use super::{Connection, Mode, Origin, Task};
use crate::session::shared::Turn;
use crate::sometimes;
use crate::sql::{Kind, Parsed, Prepared, Splitter};
use crate::types::{DataType, SqlError, SqlState, Value};
use pgwire::messages::PgWireFrontendMessage as Message;
use std::sync::Arc;

/// Least bytes of a piece that is not the last. Its execution takes some ten milliseconds.
const PIECE: usize = 128 << 10;
/// Most bytes of one COPY: what a command in the log may hold.
pub(super) const MAX_COPY: usize = 32 << 20;

/// A COPY whose data are coming.
pub(super) struct CopyIn {
    parsed: Parsed,
    plan: Arc<Prepared>,
    origin: Origin,
    splitter: Splitter,
    /// Pieces so far.
    items: Vec<Item>,
    bytes: usize,
    /// In a block: rows that are on the fork already.
    rows: u64,
    /// All data have come.
    ended: bool,
}

impl Connection {
    /// Begins a COPY, or says why not.
    pub(super) fn begin_copy(&mut self, turn: &mut Turn<'_>, task: Task) {
        let (parsed, origin) = match &task {
            Task::Simple(statements) => {
                let mut rest = statements.clone();
                let Some(first) = rest.pop_front() else { return };
                (first, Origin::Simple(rest))
            }
            Task::Execute(name, max_rows) => {
                let Some(portal) = self.portals.get(name) else { return };
                (portal.statement.parsed.clone(), Origin::Portal(name.clone(), *max_rows))
            }
            Task::Enter | Task::Parse(_) | Task::Describe(..) | Task::Set(_) => return,
        };
        let Kind::Copy(copy) = &parsed.kind else { return };
        let splitter = Splitter::new(copy.format.clone());
        let plan = match self.plan(turn, &parsed, &[]) {
            Ok(plan) => plan,
            Err(error) => return self.confirm(turn, task, error),
        };
        // Better said before the client has sent everything.
        if let Err(error) = self.route_in_block(turn, &[Item::new(&parsed, Arc::clone(&plan), Vec::new(), Vec::new())])
        {
            return self.fail(turn, error);
        }
        self.redo = None;
        self.writer.copy_in(plan.copy_width());
        self.flush = true;
        self.copy = Some(Box::new(CopyIn {
            parsed,
            plan,
            origin,
            splitter,
            items: Vec::new(),
            bytes: 0,
            rows: 0,
            ended: false,
        }));
    }

    /// A message while COPY data are expected.
    pub(super) fn copy_message(&mut self, turn: &mut Turn<'_>, message: Message) {
        match message {
            Message::CopyData(data) => self.copy_data(turn, &data.data),
            Message::CopyDone(_) => self.copy_ends(turn),
            Message::CopyFail(fail) => {
                let message = format!("COPY from stdin failed: {}", fail.message);
                self.fail(turn, SqlError::new(SqlState::QUERY_CANCELED, message));
            }
            // In the extended protocol they may have been sent ahead.
            Message::Flush(_) | Message::Sync(_) => {}
            Message::Terminate(_) => self.leave_silently(turn),
            _ => {
                let error = SqlError::new(SqlState::PROTOCOL_VIOLATION, "unexpected message during COPY from stdin");
                self.violation(turn, &error);
            }
        }
    }

    fn copy_data(&mut self, turn: &mut Turn<'_>, data: &[u8]) {
        let Some(copy) = &mut self.copy else { return };
        copy.splitter.push(data);
        if copy.bytes + copy.splitter.len() > MAX_COPY {
            sometimes!("session.copy_too_large");
            let error = SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too much data for one COPY")
                .detail(format!("A COPY is one transaction, of at most {} MiB of data.", MAX_COPY >> 20))
                .hint("Copy the data in several parts.");
            return self.fail(turn, error);
        }
        if self.in_block() {
            return self.copy_goes_on(turn, 0);
        }
        if let Some(copy) = &mut self.copy {
            copy.take_piece(PIECE);
        }
    }

    /// In a block: pieces go to the fork as they come, one at a time.
    pub(super) fn copy_goes_on(&mut self, turn: &mut Turn<'_>, rows: u64) {
        let Some(copy) = &mut self.copy else { return };
        copy.rows += rows;
        copy.take_piece(PIECE);
        if copy.ended && copy.items.is_empty() {
            copy.take_rest();
        }
        if let Some(item) = copy.items.pop() {
            self.begin(turn);
            // Where the rows are counted and what follows is known here, not in the job.
            return self.execute_batch(turn, vec![item], Origin::Simple(std::collections::VecDeque::new()));
        }
        if copy.ended
            && let Some(copy) = self.copy.take()
        {
            self.copy_done(turn, copy.origin, copy.rows);
        }
    }

    /// All data have come.
    fn copy_ends(&mut self, turn: &mut Turn<'_>) {
        if self.in_block() {
            if let Some(copy) = &mut self.copy {
                copy.ended = true;
            }
            return self.copy_goes_on(turn, 0);
        }
        let Some(mut copy) = self.copy.take() else { return };
        copy.take_rest();
        if copy.items.is_empty() {
            return self.copy_done(turn, copy.origin, 0);
        }
        self.execute_batch(turn, copy.items, copy.origin);
    }

    /// Everything was copied.
    pub(super) fn copy_done(&mut self, turn: &mut Turn<'_>, origin: Origin, rows: u64) {
        self.writer.command_complete(&format!("COPY {rows}"));
        if let Origin::Portal(name, _) = &origin {
            self.finish_portal(name);
        }
        debug_assert!(self.mode == Mode::Extended || matches!(origin, Origin::Simple(_)), "the mode is the origin's");
        self.go_on(turn, origin);
    }
}

impl CopyIn {
    fn take_piece(&mut self, least: usize) {
        if let Some(piece) = self.splitter.take(least) {
            self.add(piece.bytes, piece.first_line);
        }
    }

    fn take_rest(&mut self) {
        if let Some(piece) = self.splitter.finish() {
            self.add(piece.bytes, piece.first_line);
        }
    }

    fn add(&mut self, bytes: bytes::Bytes, first_line: u64) {
        self.bytes += bytes.len();
        let first = Value::Int8(i64::try_from(first_line).unwrap_or(i64::MAX));
        let types = vec![Some(DataType::Bytea), Some(DataType::Int8)];
        let parameters = vec![Value::Bytea(bytes), first];
        self.items.push(Item::new(&self.parsed, Arc::clone(&self.plan), types, parameters));
    }
}
