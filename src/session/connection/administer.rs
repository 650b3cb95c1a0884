//! Changes of the directory of nodes: one command of the cluster partition.
//!
//! Whether a change may be made is decided there, where it is executed; the session says what is wanted, once, under its own
//! identity, and tells what has come of it. As with a definition it is a transaction of its own.

use super::calls::Role;
use super::{Connection, Job, Origin};
use crate::directory::{Amendment, Change};
use crate::partition::message::{Outcome, RequestBody};
use crate::session::shared::Turn;
use crate::session::writer::Severity;
use crate::sometimes;
use crate::types::{PartitionId, SqlError, SqlState};
use std::sync::Arc;

/// A change under way.
pub(super) struct AdministerJob {
    tag: &'static str,
    origin: Origin,
}

impl Connection {
    /// Begins a change of the directory of nodes.
    pub(super) fn administer(&mut self, turn: &mut Turn<'_>, change: &Change, text: &Arc<str>, origin: Origin) {
        self.note_statement(turn, text);
        self.job = Some(Job::Administer(Box::new(AdministerJob { tag: change.tag(), origin })));
        let amendment = Amendment { expected: None, change: change.clone() };
        self.start_call(turn, Role::Work, PartitionId::CLUSTER, RequestBody::Amend(Arc::new(amendment)));
    }

    /// The cluster partition has executed it.
    pub(super) fn administered(&mut self, turn: &mut Turn<'_>, job: AdministerJob, outcome: Outcome) {
        match outcome {
            Outcome::Amended { notice, .. } => {
                sometimes!("session.directory_amended");
                if let Some(notice) = notice.filter(|_| self.settings.wants_notices()) {
                    let state = SqlState::SUCCESSFUL_COMPLETION;
                    self.writer.notice(Severity::Notice, &SqlError::new(state, notice));
                    self.flush = true;
                }
                self.writer.command_complete(job.tag);
                self.go_on(turn, job.origin);
            }
            Outcome::Error { error, .. } => self.fail(turn, error),
            _ => {
                self.fail(turn, SqlError::new(SqlState::INTERNAL_ERROR, "a partition's answer fits no change of nodes"))
            }
        }
    }
}
