//! What definitions that are to come will make of the rows ([`crate::sql::Groundwork`]): begun when somebody asks, gone on with
//! between entries, taken over where the definition stands in the log.

use super::StateMachine;
use super::participant::define;
use crate::partition::message::Prepare;
use crate::partition::slice::{ROWS, Slice};
use crate::planted;
use crate::sql;
use crate::types::{Instant, PartitionId, Timestamp};
use std::sync::Arc;

impl StateMachine {
    /// This definition is to be ordered soon. Returns how many rows are still to be looked at for it.
    pub(in crate::partition) fn lay_for(&mut self, now: Instant, wall: Timestamp, order: &Prepare) -> u64 {
        if self.partition == PartitionId::CLUSTER {
            return 0;
        }
        let Prepare { text, settings, partitions } = order;
        let surroundings = sql::Surroundings { settings, partitions: *partitions, now: wall, replicas: None };
        let mut before = Arc::clone(&self.catalog);
        let mut text = text.to_string();
        let mut left = 0;
        // Why it cannot be, whoever wants it is told when it is ordered.
        while let Ok(definition) = define(&before, &text, &surroundings) {
            left += self.groundwork.want(&mut self.store, now, (&self.catalog, &before), &definition, *partitions);
            before = Arc::new(definition.catalog);
            let Some(next) = sql::next_to_finish(&before) else { break };
            text = next;
        }
        left
    }

    /// Is there any that could be gone on with?
    #[must_use]
    pub(in crate::partition) fn has_groundwork(&self) -> bool {
        self.rows_are_decided() && self.groundwork.has_work(&self.store)
    }

    /// Goes on with it as far as the slice goes.
    pub(in crate::partition) fn lay_groundwork(&mut self, slice: &mut Slice) {
        if self.rows_are_decided() {
            let rows = self.groundwork.lay(&mut self.store, slice.left().saturating_mul(ROWS));
            slice.spend(rows);
        }
    }

    /// Drops what nobody has asked for.
    pub(in crate::partition) fn forget_groundwork(&mut self, now: Instant) {
        self.groundwork.expire(&mut self.store, now);
    }

    fn rows_are_decided(&self) -> bool {
        // Planted 264: rows of a command that may yet be undone are as good as others.
        !self.stands() || planted!(264)
    }
}
