//! Which nodes belong to the cluster, as the workers of this node know it: who may connect is asked here.

use crate::types::NodeId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The other nodes of the cluster. What it begins with is what the node was told at its start; workers learn better.
#[derive(Debug, Default)]
pub struct Members(Mutex<BTreeMap<NodeId, String>>);

impl Members {
    /// As it was told at the start.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self(Mutex::new(nodes.into_iter().map(|node| (node, String::new())).collect()))
    }

    /// Does this node belong to it?
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&node)
    }

    /// Where they listen, as far as workers have learned it.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<NodeId, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter(|(_, address)| !address.is_empty())
            .map(|(node, address)| (*node, address.clone()))
            .collect()
    }

    /// These are the others now.
    pub(super) fn set(&self, nodes: &[(NodeId, String)]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = nodes.iter().cloned().collect();
    }
}
