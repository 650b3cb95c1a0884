//! What is acknowledged in sync mode is on disk at every replica that is in sync: of the newest set that anybody has executed, at every
//! moment, for everything that was ever released. A member whose disk was replaced or damaged is forgiven what was on it.
//!
//! Since whoever has a place of the log on disk has all before it, the highest place that was released stands for all of them.

use super::{Broken, name};
use orrery::partition::InSyncFacts;
use orrery::partition::in_sync::InSync;
use orrery::types::NodeId;
use std::collections::BTreeMap;

/// What is known of one group.
#[derive(Debug, Default)]
pub(super) struct InSyncs {
    /// The newest set.
    set: InSync,
    /// The highest place for which a reply was released, and by whom.
    released: (u64, usize),
    /// What each node's log has on disk.
    durable: BTreeMap<usize, u64>,
    /// What was on disks that are gone.
    lost: BTreeMap<usize, u64>,
}

impl InSyncs {
    /// Looks at a replica after an event.
    pub(super) fn check(&mut self, at: usize, destroyed: bool, facts: &InSyncFacts) -> Result<(), Broken> {
        let before = self.durable.insert(at, facts.durable.0).unwrap_or_default();
        if destroyed && before > facts.durable.0 {
            let lost = self.lost.entry(at).or_default();
            *lost = before.max(*lost);
        }
        let released = facts.released.0 > self.released.0;
        let changed = facts.set.version > self.set.version;
        if released {
            self.released = (facts.released.0, at);
        }
        if changed {
            self.set.clone_from(&facts.set);
        }
        if !released && !changed {
            return Ok(());
        }
        let (index, by) = self.released;
        let lacks = |node: &&NodeId| (node.0 as usize).checked_sub(1).is_none_or(|node| !self.had(node, index));
        let Some(lacking) = self.set.members.iter().find(lacks) else { return Ok(()) };
        let message = format!(
            "{} has acknowledged @{index} to a client that asked for all that are in sync; {lacking} is (version {}), and its disk has \
             the log to @{}",
            name(by),
            self.set.version,
            self.durable.get(&(lacking.0 as usize - 1)).copied().unwrap_or_default()
        );
        Err(Broken("in-sync", "who is in sync lacks what was acknowledged".to_owned(), message))
    }

    /// A node has new disks.
    pub(super) fn wiped(&mut self, at: usize) {
        let before = self.durable.remove(&at).unwrap_or_default();
        let lost = self.lost.entry(at).or_default();
        *lost = before.max(*lost);
    }

    /// Has it, or had it before its disk was lost, the log up to here?
    fn had(&self, at: usize, index: u64) -> bool {
        self.has(at, index) || self.lost.get(&at).is_some_and(|lost| *lost >= index)
    }

    /// Has it the log up to here?
    pub(super) fn has(&self, at: usize, index: u64) -> bool {
        self.durable.get(&at).copied().unwrap_or_default() >= index
    }

    /// May all others be lost with their disks?
    pub(super) fn may_survive(&self, node: NodeId) -> bool {
        self.set.version == 0
            || (self.set.members.contains(&node) && !self.lost.contains_key(&(node.0 as usize).saturating_sub(1)))
    }
}
