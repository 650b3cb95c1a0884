//! **Directory**: which nodes belong to the cluster and where replicas are wanted, as a value with a version.
//!
//! It is replicated state of the cluster partition (rules B6). Everything that changes it is a [`Change`], made by an entry of that
//! partition's log; whether it may be made is decided where it is executed, against the directory as it is there. What somebody has
//! computed from a directory that he has read carries that one's version ([`Amendment::expected`]) and is refused under
//! another: so a plan that has been overtaken does no harm, and a repeated one is nothing.
//!
//! The directory says what is *wanted*. The truth about a group is the group's own configuration; that the one becomes the other
//! is `cluster::reconciler`'s business.
//!
//! # Invariants
//! - A node's id is given once, for ever: the entry of a removed node stays, and nobody comes back under it. Who has lost
//!   its disk after it was removed is another node.
//! - An address belongs to one node that is not removed.
//! - A change that would leave fewer nodes than each group has voters is refused, unless it is forced; the last node that
//!   replicas can be on is never given up.
//! - Placements name nodes that are known and not removed, each once.
//!
//! # Caveats
//! - A group that was formed on an even number of nodes keeps that many voters until `k_safety` is set.
//! - Who is registered and has not come is not drained: taken back afterwards it would take replicas, and groups would wait for it for
//!   ever. It did, where an operator named a number that no node had.
//! - A node that was replaced because it was silent stays drained when it is back, until somebody says ACTIVATE: what has happened to it
//!   is for people to find out, and moving everything back and forth is no help.
//! - Forced changes are not undone by themselves: groups have fewer voters until there are nodes for them.

mod change;
#[cfg(test)]
mod tests;

pub use change::{Alteration, Amendment, Applied, Change, check_zone};

use crate::types::{NodeId, PartitionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most nodes that a cluster has ever had.
pub const MAX_NODES: usize = 1000;
/// Greatest weight and priority.
pub const MAX_SHARE: u32 = 1000;
/// Greatest `k_safety`.
pub const MAX_SAFETY: u32 = 15;
/// Most groups that may be on the move at a time.
pub const MAX_MOVES: u32 = 1000;
/// Longest that a silent node may be waited for, in seconds: thirty days.
pub const MAX_REPLACE_AFTER: u32 = 30 * 24 * 3600;
/// Greatest `recovery_rate`: a terabyte a second.
pub const MAX_RECOVERY_RATE: u32 = 1 << 30;
/// Longest name of a zone, in bytes.
const MAX_ZONE: usize = 64;
/// Groups on the move at a time, unless said otherwise.
const DEFAULT_MOVES: u32 = 2;

/// Nodes, and where replicas are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// One more with every change; 0: the cluster has not been formed.
    pub version: u64,
    /// All nodes that there have ever been.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Where the replicas of each group are wanted.
    pub placements: BTreeMap<PartitionId, Placement>,
    /// How many voters a group has.
    pub voters: u32,
    /// So many groups may be on the move at a time.
    pub moves: u32,
    /// Nothing is moved for now.
    pub paused: bool,
    /// A node that has been silent for so many seconds is drained without being asked for, if others can take its place. 0: never.
    pub replace_after: u32,
    /// So many KiB a second a node sends of states to replicas that lack theirs. 0: as fast as they come.
    pub recovery_rate: u32,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Where it listens for other nodes. Empty: those who are to reach it know.
    pub address: String,
    /// What may fail together with it: replicas of a group are spread over zones.
    pub zone: String,
    /// Its share of replicas, beside the others'.
    pub weight: u32,
    /// Who is to lead, if several can: the greatest.
    pub priority: u32,
    /// Whether replicas are to be there.
    pub state: NodeState,
    /// Drawn by the node that has registered itself, so that it is told the same number again. 0: somebody else has.
    pub token: u128,
}

/// Whether replicas are to be on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeState {
    /// It has a number and has not been heard yet.
    Joining,
    /// It takes replicas.
    Active,
    /// Its replicas are to go elsewhere.
    Draining,
    /// It has none any more.
    Drained,
    /// It does not belong to the cluster, and never will again.
    Removed,
}

impl NodeState {
    /// As people are shown it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Removed => "removed",
        }
    }
}

/// Where a group's replicas are wanted. All lists ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Replicas with a voice and rows.
    pub voters: Vec<NodeId>,
    /// Replicas with rows and without a voice.
    pub learners: Vec<NodeId>,
    /// Voices without rows.
    pub witnesses: Vec<NodeId>,
    /// The voter that is to lead, as long as it can.
    pub leader: Option<NodeId>,
}

impl Placement {
    /// Is anything wanted on this node?
    #[must_use]
    pub fn includes(&self, node: NodeId) -> bool {
        self.role(node).is_some()
    }

    /// What is wanted there.
    #[must_use]
    pub fn role(&self, node: NodeId) -> Option<&'static str> {
        if self.voters.contains(&node) {
            Some("voter")
        } else if self.learners.contains(&node) {
            Some("learner")
        } else if self.witnesses.contains(&node) {
            Some("witness")
        } else {
            None
        }
    }

    /// All nodes that are named.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().chain(&self.learners).chain(&self.witnesses).copied()
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            version: 0,
            nodes: BTreeMap::new(),
            placements: BTreeMap::new(),
            voters: 1,
            moves: DEFAULT_MOVES,
            paused: false,
            replace_after: 0,
            recovery_rate: 0,
        }
    }
}

impl Directory {
    /// Has the cluster been formed?
    #[must_use]
    pub const fn is_formed(&self) -> bool {
        self.version > 0
    }

    /// The loss of so many nodes is survived, when all is as it is wanted.
    #[must_use]
    pub const fn k_safety(&self) -> u32 {
        self.voters.saturating_sub(1) / 2
    }

    /// A node that belongs to the cluster.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(&node).filter(|known| known.state != NodeState::Removed)
    }

    /// The nodes that belong to the cluster, ascending.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Node)> + '_ {
        self.nodes.iter().filter(|(_, node)| node.state != NodeState::Removed).map(|(id, node)| (*id, node))
    }

    /// The nodes that take replicas, ascending.
    pub fn active(&self) -> impl Iterator<Item = (NodeId, &Node)> + '_ {
        self.members().filter(|(_, node)| node.state == NodeState::Active)
    }

    /// Where a group's replicas are wanted.
    #[must_use]
    pub fn placement(&self, partition: PartitionId) -> Option<&Placement> {
        self.placements.get(&partition)
    }

    /// A node has registered a gateway: it is there. Returns whether that is news.
    pub fn heard(&mut self, node: NodeId) -> bool {
        match self.nodes.get_mut(&node) {
            Some(known) if known.state == NodeState::Joining => {
                known.state = NodeState::Active;
                self.version += 1;
                true
            }
            _ => false,
        }
    }
}
