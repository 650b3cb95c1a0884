//! Who leads which partition, as far as this gateway has heard.

use super::admission::{Admission, Ticket};
use super::breaker::Breaker;
use crate::directory::Directory;
use crate::types::{Instant, NodeId, PartitionId, Rng};
use crate::{planted, sometimes};
use std::collections::BTreeMap;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To this node.
    Ask(NodeId),
    /// To nobody before then: whoever could be asked has stopped answering.
    Wait(Instant),
}

/// Leader guesses, one for each partition. A guess is a place to ask first, never a fact: whoever is asked and does not
/// lead says so.
///
/// Before anything is known, partitions are spread over the nodes in turn, by the same rule on every node.
#[derive(Clone, Debug)]
pub struct Router {
    /// All nodes, sorted.
    nodes: Vec<NodeId>,
    /// Where partitions are wanted to be led.
    wanted: BTreeMap<PartitionId, NodeId>,
    /// What has been learned.
    leaders: BTreeMap<PartitionId, NodeId>,
    /// Of those that were not always willing.
    breakers: BTreeMap<NodeId, Breaker>,
    /// When anything at all last came from a node.
    heard: BTreeMap<NodeId, Instant>,
    /// The node that this one is on: it is never held for silent.
    own: Option<NodeId>,
    admissions: BTreeMap<PartitionId, Admission>,
    breaks: bool,
    admits: bool,
}

impl Router {
    /// A router that knows nobody. `nodes` are all nodes of the cluster.
    #[must_use]
    pub fn new(mut nodes: Vec<NodeId>) -> Self {
        nodes.sort_unstable();
        nodes.dedup();
        assert!(!nodes.is_empty(), "a cluster has at least one node");
        Self {
            nodes,
            wanted: BTreeMap::new(),
            leaders: BTreeMap::new(),
            breakers: BTreeMap::new(),
            heard: BTreeMap::new(),
            own: None,
            admissions: BTreeMap::new(),
            breaks: true,
            admits: true,
        }
    }

    /// With or without breakers, and with or without admission: both are there unless somebody wants to see what they are for.
    #[must_use]
    pub fn with(self, breaks: bool, admits: bool) -> Self {
        Self { breaks, admits, ..self }
    }

    /// On this node.
    #[must_use]
    pub fn on(self, node: NodeId) -> Self {
        Self { own: Some(node), ..self }
    }

    /// Whom to send a request for this partition to now.
    pub fn route(&mut self, partition: PartitionId, now: Instant) -> Route {
        let first = self.leader(partition);
        let mut node = first;
        let mut earliest = Instant(u64::MAX);
        loop {
            let Some(breaker) = self.breakers.get_mut(&node).filter(|_| self.breaks) else { return Route::Ask(node) };
            if breaker.lets_through(now) {
                sometimes!("cluster.breaker_lets_one_through", breaker.until().is_some());
                return Route::Ask(node);
            }
            sometimes!("cluster.breaker_holds_back");
            earliest = breaker.until().map_or(earliest, |until| earliest.min(until));
            node = self.after(node);
            if node == first {
                return Route::Wait(earliest);
            }
        }
    }

    /// A node has answered, whatever it said.
    pub fn answered(&mut self, node: NodeId) {
        if let Some(breaker) = self.breakers.get_mut(&node) {
            breaker.answered();
        }
    }

    /// Something has come from a node, whatever it is and whoever it is for: it is there.
    pub fn heard(&mut self, node: NodeId, now: Instant) {
        self.heard.insert(node, now);
        self.answered(node);
    }

    /// A node has not answered a request in time that was sent at `asked`. Whoever has been heard of since then is slow, or has
    /// reason not to answer that one (its partition may stand at an undecided command), and is asked as before.
    pub fn silent(&mut self, node: NodeId, asked: Instant, now: Instant, rng: &mut Rng) {
        if self.own == Some(node) || self.heard.get(&node).is_some_and(|heard| *heard > asked) {
            sometimes!("cluster.slow_is_not_silent");
            return;
        }
        if planted!(202) {
            // Class: retries without a breaker, as in many a metastable failure.
            return;
        }
        let opened = self.breakers.entry(node).or_default().silent(now, rng);
        sometimes!("cluster.breaker_opens", opened);
    }

    /// Nobody listens at that node any more, its machine says.
    pub fn gone(&mut self, node: NodeId, now: Instant, rng: &mut Rng) {
        if self.nodes.binary_search(&node).is_ok() {
            self.breakers.entry(node).or_default().gone(now, rng);
        }
    }

    /// Nodes that nobody asks now.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.breakers.values().filter(|breaker| breaker.until().is_some()).count()
    }

    /// May another request be sent to this partition? `new`: it may be refused; what has begun is only counted.
    pub fn admit(&mut self, partition: PartitionId, new: bool, now: Instant) -> Option<Ticket> {
        let admission = self.admissions.entry(partition).or_default();
        // Class: retries of what was refused, by everybody at once.
        if new && self.admits && !planted!(203) { admission.admit(now) } else { Some(admission.count()) }
    }

    /// A partition has answered a request, or has said of what was sent at `asked` that it has too much to do.
    pub fn took(&mut self, partition: PartitionId, refused: bool, asked: Instant, now: Instant) {
        let admission = self.admissions.entry(partition).or_default();
        if refused { admission.refused(asked, now) } else { admission.answered() }
    }

    /// Where to send a request for this partition.
    #[must_use]
    pub fn leader(&self, partition: PartitionId) -> NodeId {
        let guess = || self.nodes[partition.0 as usize % self.nodes.len()];
        self.leaders.get(&partition).or_else(|| self.wanted.get(&partition)).copied().unwrap_or_else(guess)
    }

    /// Who belongs to the cluster, and where replicas are wanted.
    pub fn know(&mut self, directory: &Directory) {
        let nodes: Vec<NodeId> = directory.members().map(|(node, _)| node).collect();
        if nodes.is_empty() {
            return;
        }
        self.leaders.retain(|_, leader| nodes.contains(leader));
        let first = |placement: &crate::directory::Placement| placement.leader.or(placement.voters.first().copied());
        let wanted = directory.placements.iter().filter(|(_, placement)| placement.voters.len() < nodes.len());
        self.wanted = wanted.filter_map(|(partition, placement)| Some((*partition, first(placement)?))).collect();
        self.nodes = nodes;
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
    use crate::types::random::SeedableRng;

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
    fn who_is_heard_of_is_asked_however_slow_it_is() {
        let (mut router, mut rng) = (router().on(NodeId(3)), Rng::seed_from_u64(1));
        let (slow, partition) = (NodeId(7), PartitionId(1));
        router.learn(partition, slow);
        for _ in 0..10 {
            router.heard(slow, Instant(6));
            router.silent(slow, Instant(5), Instant(9), &mut rng);
            router.silent(NodeId(3), Instant(5), Instant(9), &mut rng);
        }
        assert_eq!((router.route(partition, Instant(9)), router.broken()), (Route::Ask(slow), 0));
        (0..3).for_each(|_| router.silent(slow, Instant(6), Instant(9), &mut rng));
        assert_eq!((router.route(partition, Instant(9)), router.broken()), (Route::Ask(NodeId(3)), 1));
        router.heard(slow, Instant(10));
        assert_eq!((router.route(partition, Instant(10)), router.broken()), (Route::Ask(slow), 0), "it is back");
    }

    #[test]
    fn strangers_are_not_learned() {
        let mut router = router();
        router.learn(PartitionId(0), NodeId(99));
        assert_eq!(router.leader(PartitionId(0)), NodeId(3));
    }
}
