//! Which nodes belong to the cluster, as the workers of this node know it: who may connect is asked here.

use crate::types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The other nodes of the cluster. What it begins with is what the node was told at its start; workers learn better.
///
/// Whoever has not been removed may connect: a node that has come lately is not known here before somebody tells of it, and that
/// may be itself.
#[derive(Debug, Default)]
pub struct Members(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    others: BTreeMap<NodeId, String>,
    removed: BTreeSet<NodeId>,
}

impl Members {
    /// As it was told at the start.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let others = nodes.into_iter().map(|node| (node, String::new())).collect();
        Self(Mutex::new(Known { others, removed: BTreeSet::new() }))
    }

    /// Did this node belong to it, and was removed?
    #[must_use]
    pub fn was_removed(&self, node: NodeId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).removed.contains(&node)
    }

    /// Where they listen, as far as workers have learned it.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<NodeId, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = known.others.iter().filter(|(_, address)| !address.is_empty());
        told.map(|(node, address)| (*node, address.clone())).collect()
    }

    /// These are the others now, and these belong to it no more.
    pub(super) fn set(&self, nodes: &[(NodeId, String)], removed: &[NodeId]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.others = nodes.iter().cloned().collect();
        known.removed = removed.iter().copied().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_removed_may_not_connect_and_who_is_not_known_yet_may() {
        let members = Members::new([NodeId(1), NodeId(2)]);
        assert!(!members.was_removed(NodeId(2)) && !members.was_removed(NodeId(9)) && members.addresses().is_empty());
        members.set(&[(NodeId(1), "h1:1".to_owned()), (NodeId(3), String::new())], &[NodeId(2)]);
        assert!(members.was_removed(NodeId(2)) && !members.was_removed(NodeId(9)));
        assert_eq!(members.addresses(), BTreeMap::from([(NodeId(1), "h1:1".to_owned())]));
    }
}
