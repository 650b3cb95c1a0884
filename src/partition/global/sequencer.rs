//! The order of global commands: replicated state of the cluster partition, executed at commit. It never waits.

use super::GLOBAL_WINDOW;
use crate::types::{GlobalNumber, PartitionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The order, as far as it has been given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::partition) struct Sequencer {
    /// The next number.
    next: GlobalNumber,
    groups: BTreeMap<PartitionId, Group>,
    /// The definition under way: there is one at a time.
    pub(in crate::partition) definition: Option<GlobalNumber>,
}

/// What is known of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    /// The last command that involves it.
    last: GlobalNumber,
    /// It has everything up to here in its committed log.
    received: GlobalNumber,
    /// It has the decisions on everything up to here in its committed log.
    settled: GlobalNumber,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self { next: GlobalNumber(1), groups: BTreeMap::new(), definition: None }
    }
}

impl Sequencer {
    /// May another one be ordered?
    pub(in crate::partition) fn has_room(&self) -> bool {
        self.next.0 - self.forget_below().0 < GLOBAL_WINDOW
    }

    /// Orders a command: its number, and each participant with the previous command that involved it.
    pub(in crate::partition) fn order(
        &mut self,
        participants: &[PartitionId],
    ) -> (GlobalNumber, Vec<(PartitionId, GlobalNumber)>) {
        let number = self.next;
        self.next = number.next();
        let with_previous = |partition: &PartitionId| {
            let group = self.groups.entry(*partition).or_default();
            (*partition, std::mem::replace(&mut group.last, number))
        };
        (number, participants.iter().map(with_previous).collect())
    }

    /// A group has reported how far it has come. Numbers only rise.
    pub(in crate::partition) fn report(
        &mut self,
        partition: PartitionId,
        received: GlobalNumber,
        settled: GlobalNumber,
    ) {
        if let Some(group) = self.groups.get_mut(&partition) {
            // What was never ordered for it cannot have been received.
            group.received = group.received.max(received.min(group.last));
            group.settled = group.settled.max(settled.min(group.last));
        }
    }

    /// How far a group has come: received, settled.
    pub(in crate::partition) fn reported(&self, partition: PartitionId) -> (GlobalNumber, GlobalNumber) {
        self.groups.get(&partition).map_or_else(Default::default, |group| (group.received, group.settled))
    }

    /// The last command that involves a group.
    pub(in crate::partition) fn last(&self, partition: PartitionId) -> GlobalNumber {
        self.groups.get(&partition).map_or_else(Default::default, |group| group.last)
    }

    /// Everything below is settled everywhere.
    pub(in crate::partition) fn forget_below(&self) -> GlobalNumber {
        let open = self.groups.values().filter(|group| group.settled < group.last);
        open.map(|group| group.settled.next()).min().unwrap_or(self.next)
    }

    /// The groups that anything was ever ordered for.
    pub(in crate::partition) fn groups(&self) -> impl Iterator<Item = PartitionId> + '_ {
        self.groups.keys().copied()
    }
}
