//! Implicit transactions that met another one are executed again here, as long as their client has not been shown anything: 40001
//! is for those who have seen something, and could not bear to see something else.
//!
//! A text is performed again from the statement with which its transaction began; what was executed before a Sync is performed again
//! by reading the same messages again. Answers wait in the writer meanwhile: those of the first time are taken back.
//!
//! # Invariants
//! - Nothing is executed again of which a single byte was handed over, nor what a COPY's data went into.
//! - 40001 says that nothing was changed, so whatever it ended may be executed again.
//! - It ends: after [`TRIES`], or when a statement's time is over, the client is told.

use super::extended::{Portal, Statement};
use super::{Connection, Mode, Task};
use crate::session::codec;
use crate::session::shared::Turn;
use crate::sometimes;
use crate::sql::Parsed;
use crate::types::{SqlError, SqlState};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most times that a transaction is executed again.
const TRIES: u32 = 10;
/// Most bytes of messages that are kept to be read again.
const MAX_BYTES: usize = 1 << 20;

/// How an implicit transaction is executed again.
pub(super) struct Redo {
    /// Bytes in the writer when it began.
    written: usize,
    what: What,
}

enum What {
    /// These statements.
    Text(VecDeque<Parsed>),
    /// Execute of this portal with this many rows, then the messages since.
    Pipeline { portal: String, max_rows: usize, messages: BytesMut, before: Names },
}

/// Names as they were when it began.
struct Names {
    portals: BTreeMap<String, Portal>,
    unnamed: Option<Arc<Statement>>,
}

impl Connection {
    /// An implicit transaction begins with these statements.
    pub(super) fn can_redo_text(&mut self, statements: &VecDeque<Parsed>) {
        self.redo = Some(Redo { written: self.writer.len(), what: What::Text(statements.clone()) });
    }

    /// One begins with an Execute.
    pub(super) fn can_redo_pipeline(&mut self, portal: &str, max_rows: usize) {
        let before = Names { portals: self.portals.clone(), unnamed: self.statements.get("").map(Arc::clone) };
        let messages = BytesMut::new();
        let what = What::Pipeline { portal: portal.to_owned(), max_rows, messages, before };
        self.redo = Some(Redo { written: self.writer.len(), what });
    }

    /// A message is about to be taken from the input.
    pub(super) fn keep_for_redo(&mut self) {
        let Some(Redo { what: What::Pipeline { messages, .. }, .. }) = &mut self.redo else { return };
        let Some(message) = codec::whole(&self.input) else { return };
        // What makes or ends a named statement cannot be read twice.
        let names = matches!(message, [b'P', _, _, _, _, name, ..] | [b'C', _, _, _, _, b'S', name, ..] if *name != 0);
        if names || messages.len() + message.len() > MAX_BYTES {
            self.redo = None;
            return;
        }
        messages.extend_from_slice(message);
    }

    /// A statement or a COMMIT has failed with this: is the implicit transaction to be executed again?
    pub(super) fn wants_redo(&self, turn: &Turn<'_>, error: &SqlError) -> bool {
        let conflict = error.state == SqlState::SERIALIZATION_FAILURE;
        conflict && self.redo.is_some() && self.redone < TRIES && turn.now < self.deadline
    }

    /// It has been given up, and is begun again.
    pub(super) fn redo(&mut self) {
        let Some(redo) = self.redo.take() else { return };
        sometimes!("session.implicit_transaction_executed_again");
        self.redone += 1;
        self.writer.truncate(redo.written);
        self.task = Some(match redo.what {
            What::Text(statements) => Task::Simple(statements),
            What::Pipeline { portal, max_rows, mut messages, before } => {
                messages.extend_from_slice(&self.input);
                self.input = messages;
                self.portals = before.portals;
                match before.unnamed {
                    Some(statement) => self.statements.insert(String::new(), statement),
                    None => self.statements.remove(""),
                };
                self.mode = Mode::Extended;
                Task::Execute(portal, max_rows)
            }
        });
    }
}
