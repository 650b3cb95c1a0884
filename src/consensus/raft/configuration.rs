//! Which membership is in force here (thesis §4.1, §4.3): the latest in the log, chosen or not. What is cut off the log takes its
//! membership with it.
//!
//! One is *settled*: the latest that is known to be chosen, the one that a snapshot brought, or the group's first. It is kept in the
//! hard state too, because the entry that said so may be compacted, and the checkpoint that covers it lost. Those above it are
//! *open*.

use crate::consensus::{Membership, Payload};
use crate::planted;
use crate::types::{LogIndex, NodeId};
use serde::{Deserialize, Serialize};

/// A membership and where it stands in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Configured {
    /// Index 0: the group was formed so.
    pub(super) index: LogIndex,
    pub(super) membership: Membership,
}

/// The memberships of a log.
#[derive(Debug)]
pub(super) struct Configurations {
    settled: Configured,
    /// In the order of the log, all behind `settled`.
    open: Vec<Configured>,
    /// What was handed out last.
    told: Membership,
}

impl Configurations {
    /// `told` from the beginning: what a life begins with is no change.
    pub(super) fn new(settled: Configured) -> Self {
        Self { told: settled.membership.clone(), settled, open: Vec::new() }
    }

    /// In force.
    pub(super) fn latest(&self) -> &Membership {
        &self.open.last().unwrap_or(&self.settled).membership
    }

    /// Where the one in force stands.
    pub(super) fn index(&self) -> LogIndex {
        self.open.last().unwrap_or(&self.settled).index
    }

    /// Whose votes make a leader.
    pub(super) fn electing(&self) -> &Membership {
        // Planted 55: who follows takes a membership for valid when it is chosen; who leads, when it is appended.
        if planted!(55) { &self.settled.membership } else { self.latest() }
    }

    pub(super) fn settled(&self) -> &Configured {
        &self.settled
    }

    pub(super) fn open(&self) -> &[Configured] {
        &self.open
    }

    /// Is nothing under way?
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty() && !self.settled.membership.is_joint()
    }

    /// May this member try to be elected? Also who is leaving, as long as that is not known to be chosen: its log may be the one
    /// that the new voters need (thesis §4.2.2).
    pub(super) fn may_campaign(&self, node: NodeId) -> bool {
        self.settled.membership.is_voter(node) || self.open.iter().any(|open| open.membership.is_voter(node))
    }

    /// An entry has been put behind the log, or is found there.
    pub(super) fn appended(&mut self, index: LogIndex, payload: &Payload) {
        if let Payload::Configuration(bytes) = payload
            && index > self.settled.index
            && let Some(membership) = Membership::decode(bytes)
        {
            self.open.push(Configured { index, membership });
        }
    }

    /// Everything from `index` on is gone.
    pub(super) fn truncated(&mut self, index: LogIndex) {
        self.open.retain(|open| open.index < index);
    }

    /// Everything up to `index` is chosen. Tells whether another membership is settled now.
    pub(super) fn committed(&mut self, index: LogIndex) -> bool {
        let chosen = self.open.iter().take_while(|open| open.index <= index).count();
        if let Some(last) = self.open.drain(..chosen).next_back() {
            self.settled = last;
        }
        chosen > 0
    }

    /// The group has this membership up to this index: another member's state says so. Nothing above it is known yet.
    pub(super) fn replace(&mut self, settled: Configured) {
        self.open.clear();
        if settled.index >= self.settled.index {
            self.settled = settled;
        }
    }

    /// Is there a change to be told?
    pub(super) fn has_changed(&self) -> bool {
        self.told != *self.latest()
    }

    /// What is in force now, if that is news.
    pub(super) fn take_changed(&mut self) -> Option<Membership> {
        self.has_changed().then(|| {
            self.told = self.latest().clone();
            self.told.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64) -> Payload {
        Payload::Configuration(Membership { id, ..Membership::initial([NodeId(1)]) }.encode())
    }

    #[test]
    fn what_is_cut_off_was_never_in_force() {
        let first = Configured { index: LogIndex(0), membership: Membership::initial([NodeId(1)]) };
        let mut all = Configurations::new(first);
        all.appended(LogIndex(3), &entry(2));
        all.appended(LogIndex(4), &Payload::Empty);
        all.appended(LogIndex(5), &entry(3));
        assert_eq!((all.latest().id, all.index()), (3, LogIndex(5)));
        assert_eq!(all.take_changed().map(|membership| membership.id), Some(3));
        assert!(all.committed(LogIndex(4)) && !all.is_settled());
        assert_eq!(all.settled().membership.id, 2);
        all.truncated(LogIndex(5));
        assert_eq!((all.latest().id, all.is_settled()), (2, true));
        assert_eq!(all.take_changed().map(|membership| membership.id), Some(2));
        assert_eq!(all.take_changed(), None);
        all.appended(LogIndex(2), &entry(9));
        assert_eq!(all.latest().id, 2, "what is at or before the settled one is in it");
    }
}
