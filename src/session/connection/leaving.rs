//! How sessions end when their node is asked to stop: not in the middle of anything.
//!
//! A session that is in the middle of nothing is told 57P01 at once. Any other is served as before until it comes to a ReadyForQuery
//! outside a transaction block with nothing more received: a statement under way, a text of several, what was executed and still waits for
//! its Sync, an open block. What it has handed over of its leadership meanwhile makes no difference to it: a node without any is a
//! gateway all the same. Patience with a client's open block has an end, after which the client is told 57P01 where it is
//! expected to speak.
//!
//! # Invariants
//! - 57P01 is said only where ReadyForQuery was the last thing said. So it says that nothing that the client sends behind that, even if it is
//!   on its way already, is executed, and that an open block has changed nothing: whatever was cut off may be repeated.
//! - Nobody new is let in: 57P03, and the client goes to another node.
//!
//! # Caveats
//! - A client that sends at the moment at which it is told good-bye finds 57P01 for an answer. The protocol has no way to say it and wait.
//! - What is neither finished nor waits for its client when the node's own patience is over (`node::worker`) ends with the connection, and
//!   without a word: nobody knows what came of it.

use super::block::Block;
use super::{Connection, Phase};
use crate::session::shared::Turn;
use crate::types::{SqlError, SqlState};
use crate::{planted, sometimes};

impl Connection {
    /// Does the node stop, and is this the moment at which nothing is cut off by it?
    pub(super) fn is_to_leave(&mut self, turn: &Turn<'_>) -> bool {
        let Some(until) = turn.shared.stopping else { return false };
        match self.phase {
            Phase::Open => {}
            Phase::Waiting(_) => return true,
            // It may be about to cancel what is waited for.
            Phase::Opening(_) | Phase::Closed => return false,
        }
        // Planted 250: whoever does not wait for a partition is in the middle of nothing.
        if planted!(250) && self.task.is_none() {
            return true;
        }
        let waits_for_client = self.answered && self.task.is_none() && self.copy.is_none();
        if !waits_for_client || !self.input.is_empty() {
            sometimes!("session.stop_waits_for_client", !self.answered);
            // Half a message has come: its end, or the end of all, is what happens next.
            self.leaves_at = None;
            return false;
        }
        if matches!(self.block, Block::Idle) {
            return true;
        }
        sometimes!("session.stop_waits_for_block");
        self.leaves_at = Some(until);
        until <= turn.now
    }

    /// The last word.
    pub(super) fn say_good_bye(&mut self, turn: &mut Turn<'_>) {
        let error = if self.greeted {
            SqlError::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
                .detail("This node stops. Nothing that was sent behind the last ReadyForQuery has been or will be executed.")
                .hint("Connect to another node.")
        } else {
            newcomer_refused()
        };
        self.fatal(turn, &error);
    }
}

/// What is said to whoever wants to begin a session here.
pub(super) fn newcomer_refused() -> SqlError {
    sometimes!("session.stop_refuses_newcomer");
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the database system is shutting down").hint("Connect to another node.")
}
