//! Who leads which partition, as far as this gateway has heard.

use crate::types::{NodeId, PartitionId};
use std::collections::BTreeMap;

/// Leader guesses, one for each partition. A guess is a place to ask first, never a fact: whoever is asked and does not
/// lead says so.
///
/// Before anything is known, partitions are spread over the nodes in turn, by the same rule on every node.
#[derive(Clone, Debug)]
pub struct Router {
    /// All nodes, sorted.
    nodes: Vec<NodeId>,
    /// What has been learned.
    leaders: BTreeMap<PartitionId, NodeId>,
}

impl Router {
    /// A router that knows nobody. `nodes` are all nodes of the cluster.
    #[must_use]
    pub fn new(mut nodes: Vec<NodeId>) -> Self {
        nodes.sort_unstable();
        nodes.dedup();
        assert!(!nodes.is_empty(), "a cluster has at least one node");
        Self { nodes, leaders: BTreeMap::new() }
    }

    /// Where to send a request for this partition.
    #[must_use]
    pub fn leader(&self, partition: PartitionId) -> NodeId {
        self.leaders.get(&partition).copied().unwrap_or_else(|| self.nodes[partition.0 as usize % self.nodes.len()])
    }

    /// `leader` has answered as the partition's leader, or was named as such by a replica.
    pub fn learn(&mut self, partition: PartitionId, leader: NodeId) {
        if self.nodes.binary_search(&leader).is_ok() {
            self.leaders.insert(partition, leader);
        }
    }

    /// `node` did not answer as leader: the node after it is asked next, unless somebody else has been learned meanwhile.
    pub fn suspect(&mut self, partition: PartitionId, node: NodeId) {
        if self.leader(partition) == node {
            self.leaders.insert(partition, self.after(node));
        }
    }

    /// The node after `node` in the cluster's order.
    fn after(&self, node: NodeId) -> NodeId {
        let next = self.nodes.partition_point(|other| *other <= node);
        self.nodes[next % self.nodes.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router::new(vec![NodeId(7), NodeId(3), NodeId(5)])
    }

    #[test]
    fn first_guesses_are_spread_over_the_nodes() {
        let router = router();
        let guesses: Vec<_> = (0..4).map(|partition| router.leader(PartitionId(partition)).0).collect();
        assert_eq!(guesses, [3, 5, 7, 3]);
    }

    #[test]
    fn a_suspected_leader_is_followed_by_the_next_node() {
        let mut router = router();
        let partition = PartitionId(1);
        router.learn(partition, NodeId(7));
        router.suspect(partition, NodeId(7));
        assert_eq!(router.leader(partition), NodeId(3), "the order is a ring");
        router.suspect(partition, NodeId(7));
        assert_eq!(router.leader(partition), NodeId(3), "an old suspicion does not move a newer guess");
    }

    #[test]
    fn strangers_are_not_learned() {
        let mut router = router();
        router.learn(PartitionId(0), NodeId(99));
        assert_eq!(router.leader(PartitionId(0)), NodeId(3));
    }
}
