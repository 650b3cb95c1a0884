//! What changes a directory, and when it may.

use super::{
    Directory, MAX_MOVES, MAX_NODES, MAX_RECOVERY_RATE, MAX_REPLACE_AFTER, MAX_SAFETY, MAX_SHARE, MAX_ZONE, Node,
    NodeState, Placement,
};
use crate::planted;
use crate::types::{NodeId, PartitionId, SqlError, SqlState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A change, and the directory that it was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// Version of the directory that it follows from; `None`: it speaks of whatever there is.
    pub expected: Option<u64>,
    /// What.
    pub change: Change,
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The first one: the nodes that the cluster was formed of, each with a replica of every group.
    Form {
        /// Nodes with their addresses.
        nodes: Vec<(NodeId, String)>,
        /// Data partitions.
        partitions: u32,
    },
    /// A node is to belong to the cluster.
    Register {
        /// Its number; `None`: the next one.
        node: Option<NodeId>,
        /// Where it listens for other nodes.
        address: String,
        /// See [`Node::zone`].
        zone: String,
        /// See [`Node::weight`].
        weight: u32,
        /// See [`Node::priority`].
        priority: u32,
        /// See [`Node::token`].
        token: u128,
    },
    /// Something about a node.
    Alter {
        /// Which.
        node: NodeId,
        /// What.
        to: Alteration,
    },
    /// Its replicas are to go elsewhere.
    Drain {
        /// Which.
        node: NodeId,
        /// Even if too few nodes are left for all voters.
        force: bool,
    },
    /// It takes replicas (again).
    Activate {
        /// Which.
        node: NodeId,
    },
    /// Said by the reconciler: no group has a replica there any more.
    Drained {
        /// Which.
        node: NodeId,
    },
    /// It does not belong to the cluster any more.
    Remove {
        /// Which.
        node: NodeId,
        /// Even if groups have replicas there.
        force: bool,
    },
    /// How many lost nodes are to be survived.
    Safety {
        /// So many.
        k: u32,
        /// Even if there are too few nodes.
        force: bool,
    },
    /// Said by the reconciler: it has been silent for too long, and others are to take its place.
    Silent {
        /// Which.
        node: NodeId,
    },
    /// How many groups may be on the move at a time.
    Moves(u32),
    /// After how many seconds of silence a node is replaced. 0: never.
    ReplaceAfter(u32),
    /// Whether anything is moved.
    Pause(bool),
    /// Said by the reconciler: where replicas are wanted.
    Place(Vec<(PartitionId, Placement)>),
    /// How fast states are sent to replicas that lack theirs, in KiB a second and node. 0: as fast as they come.
    RecoveryRate(u32),
}

/// What is altered about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alteration {
    /// See [`Node::address`].
    Address(String),
    /// See [`Node::zone`].
    Zone(String),
    /// See [`Node::weight`].
    Weight(u32),
    /// See [`Node::priority`].
    Priority(u32),
}

/// What a change has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The node that it was about.
    pub node: Option<NodeId>,
    /// What whoever has said it should know.
    pub notice: Option<String>,
}

impl Change {
    /// As a command is called when it has succeeded.
    #[must_use]
    pub const fn tag(&self) -> &'static str {
        match self {
            Self::Form { .. } => "FORM CLUSTER",
            Self::Register { .. } => "ADD NODE",
            Self::Alter { .. } => "ALTER NODE",
            Self::Drain { .. } | Self::Drained { .. } | Self::Silent { .. } => "DRAIN NODE",
            Self::Activate { .. } => "ACTIVATE NODE",
            Self::Remove { .. } => "REMOVE NODE",
            Self::Safety { .. } | Self::Moves(_) | Self::ReplaceAfter(_) | Self::RecoveryRate(_) => "ALTER CLUSTER",
            Self::Pause(true) => "PAUSE REBALANCING",
            Self::Pause(false) => "RESUME REBALANCING",
            Self::Place(_) => "PLACE REPLICAS",
        }
    }

    /// Is it the cluster's own to say, and nobody else's?
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Form { .. } | Self::Drained { .. } | Self::Silent { .. } | Self::Place(_))
    }
}

impl Directory {
    /// Makes a change, or none at all.
    ///
    /// # Errors
    /// Why it may not be made: 40001 if it was made for another directory, 42704 and 42710 for nodes that there are not or are,
    /// 55000 where it would break something, 22023 for values that cannot be.
    pub fn amend(&mut self, amendment: &Amendment) -> Result<Applied, SqlError> {
        if amendment.expected.is_some_and(|expected| expected != self.version) {
            let message = "the directory of nodes has been changed by somebody else";
            return Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, message).hint("Try again."));
        }
        let mut next = self.clone();
        let applied = next.change(&amendment.change)?;
        if next != *self {
            next.version = self.version + 1;
            *self = next;
        }
        Ok(applied)
    }

    fn change(&mut self, change: &Change) -> Result<Applied, SqlError> {
        let formed = matches!(change, Change::Form { .. });
        if formed == self.is_formed() {
            // The latter passes by itself, and who wants to join asks again.
            let (state, message) = if formed {
                (SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the cluster has been formed already")
            } else {
                (SqlState::CANNOT_CONNECT_NOW, "the cluster is being formed")
            };
            return Err(SqlError::new(state, message).hint("Try again."));
        }
        match change {
            Change::Form { nodes, partitions } => self.form(nodes, *partitions),
            Change::Register { node, address, zone, weight, priority, token } => {
                let fresh = Node {
                    address: address.clone(),
                    zone: zone.clone(),
                    weight: *weight,
                    priority: *priority,
                    state: NodeState::Joining,
                    token: *token,
                };
                self.register(*node, fresh)
            }
            Change::Alter { node, to } => self.alter(*node, to),
            Change::Drain { node, force } => self.drain(*node, *force),
            Change::Activate { node } => self.activate(*node),
            Change::Drained { node } => {
                let known = self.known(*node)?;
                if known.state == NodeState::Draining {
                    known.state = NodeState::Drained;
                }
                Ok(about(*node))
            }
            Change::Remove { node, force } => self.remove(*node, *force),
            Change::Safety { k, force } => self.safety(*k, *force),
            Change::Silent { node } => match self.known(*node)?.state {
                NodeState::Active => self.drain(*node, false),
                _ => Ok(about(*node)),
            },
            Change::ReplaceAfter(seconds) => {
                self.replace_after = within("replace_after", *seconds, 0, MAX_REPLACE_AFTER)?;
                Ok(Applied::default())
            }
            Change::Moves(moves) => {
                self.moves = within("max_moves", *moves, 1, MAX_MOVES)?;
                Ok(Applied::default())
            }
            Change::Pause(paused) => {
                self.paused = *paused;
                Ok(Applied::default())
            }
            Change::Place(placements) => self.place(placements),
            Change::RecoveryRate(rate) => {
                self.recovery_rate = within("recovery_rate", *rate, 0, MAX_RECOVERY_RATE)?;
                Ok(Applied::default())
            }
        }
    }

    fn form(&mut self, nodes: &[(NodeId, String)], partitions: u32) -> Result<Applied, SqlError> {
        if nodes.is_empty() || nodes.len() > MAX_NODES {
            return Err(invalid(format!("a cluster has between 1 and {MAX_NODES} nodes")));
        }
        for (id, address) in nodes {
            let node = Node {
                address: address.clone(),
                zone: String::new(),
                weight: 1,
                priority: 0,
                state: NodeState::Active,
                token: 0,
            };
            self.nodes.insert(*id, node);
        }
        let voters: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.voters = u32::try_from(voters.len()).unwrap_or(u32::MAX);
        let everywhere = Placement { voters, ..Placement::default() };
        self.placements = (0..=partitions).map(|number| (PartitionId(number), everywhere.clone())).collect();
        Ok(Applied::default())
    }

    fn register(&mut self, id: Option<NodeId>, fresh: Node) -> Result<Applied, SqlError> {
        check_address(&fresh.address)?;
        check_zone(&fresh.zone)?;
        within("a node's weight", fresh.weight, 1, MAX_SHARE)?;
        within("a node's priority", fresh.priority, 0, MAX_SHARE)?;
        let same_token = |(_, known): &(&NodeId, &Node)| known.token == fresh.token && fresh.token != 0;
        if let Some(node) = self.nodes.iter().find(same_token).map(|(node, _)| *node) {
            // It asks again, perhaps from where it has moved to.
            return self.alter(node, &Alteration::Address(fresh.address));
        }
        let same = self.nodes.iter_mut().find(|(_, known)| {
            known.state != NodeState::Removed && known.address == fresh.address && !fresh.address.is_empty()
        });
        if let Some((node, known)) = same {
            // It was announced, or has not come beyond its registration; and now it is there.
            let awaited = known.state == NodeState::Joining && fresh.token != 0;
            if !awaited || id.is_some_and(|id| id != *node) {
                let message = format!("node {} has the address {} already", node.0, fresh.address);
                return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message)
                    .hint("Every node needs an address of its own; REMOVE NODE frees that of a node that is gone."));
            }
            known.token = fresh.token;
            return Ok(about(*node));
        }
        if self.nodes.len() >= MAX_NODES {
            let message = format!("a cluster has at most {MAX_NODES} nodes, those removed among them");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let next = NodeId(self.nodes.keys().next_back().map_or(1, |last| last.0.saturating_add(1)));
        let id = id.unwrap_or(next);
        match self.nodes.get(&id) {
            Some(known) if known.state == NodeState::Removed => return Err(removed(id)),
            Some(_) => {
                let message = format!("node {} belongs to the cluster already", id.0);
                return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
            }
            None if id.0 == 0 || id.0 > 1 << 24 => {
                return Err(invalid(format!("a node's number is between 1 and {}", 1 << 24)));
            }
            None => {}
        }
        self.nodes.insert(id, fresh);
        Ok(Applied { node: Some(id), notice: Some(format!("this is node {}", id.0)) })
    }

    fn alter(&mut self, node: NodeId, to: &Alteration) -> Result<Applied, SqlError> {
        match to {
            Alteration::Address(address) => {
                check_address(address)?;
                let taken = self.members().find(|(other, known)| *other != node && known.address == *address);
                if let Some((other, _)) = taken {
                    let message = format!("node {} has the address {address}", other.0);
                    return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
                }
                self.known(node)?.address.clone_from(address);
            }
            Alteration::Zone(zone) => {
                check_zone(zone)?;
                self.known(node)?.zone.clone_from(zone);
            }
            Alteration::Weight(weight) => {
                self.known(node)?.weight = within("a node's weight", *weight, 1, MAX_SHARE)?;
            }
            Alteration::Priority(priority) => {
                self.known(node)?.priority = within("a node's priority", *priority, 0, MAX_SHARE)?;
            }
        }
        Ok(about(node))
    }

    fn drain(&mut self, node: NodeId, force: bool) -> Result<Applied, SqlError> {
        match self.known(node)?.state {
            NodeState::Draining | NodeState::Drained => {
                return Ok(Applied { node: Some(node), notice: Some(format!("node {} is being drained", node.0)) });
            }
            NodeState::Joining => {
                // Drained and taken back it would be one that takes replicas, and nobody has ever heard it.
                let message = format!("node {} has not come yet", node.0);
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .hint("It has no replicas: REMOVE NODE takes it out of the directory."));
            }
            NodeState::Active | NodeState::Removed => {}
        }
        let notice = self.without(node, force)?;
        self.known(node)?.state = NodeState::Draining;
        Ok(Applied { node: Some(node), notice })
    }

    fn activate(&mut self, node: NodeId) -> Result<Applied, SqlError> {
        let known = self.known(node)?;
        if matches!(known.state, NodeState::Draining | NodeState::Drained) {
            known.state = NodeState::Active;
        }
        Ok(about(node))
    }

    fn remove(&mut self, node: NodeId, force: bool) -> Result<Applied, SqlError> {
        let mut notice = None;
        let one_voter = self.voters == 1;
        match self.known(node)?.state {
            NodeState::Joining | NodeState::Drained => {}
            // Of a group with one voter nobody but that one has anything. Placements say where groups are to be, not where they
            // are: the node may be that voter until it is drained, and the cluster would not listen to it any more.
            NodeState::Active | NodeState::Draining if force && one_voter => {
                let message = format!("node {} may have the only copy of a partition", node.0);
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .detail("Every partition has one voter, and those that move are where they were until they have moved.")
                    .hint("DRAIN NODE, wait until system.moves is empty and system.nodes shows it as drained, then REMOVE NODE."));
            }
            NodeState::Active | NodeState::Draining if force => notice = self.without(node, true)?,
            NodeState::Active => {
                let message = format!("node {} has replicas", node.0);
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).hint(
                    "DRAIN NODE moves them elsewhere first. If the node is gone for good: REMOVE NODE … FORCE.",
                ));
            }
            NodeState::Draining | NodeState::Removed => {
                let message = format!("node {} is being drained and still has replicas", node.0);
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).hint(
                    "Wait until system.nodes shows it as drained. If the node is gone for good: REMOVE NODE … FORCE.",
                ));
            }
        }
        let only = |(_, placement): &(&PartitionId, &Placement)| placement.voters == [node];
        if let Some((partition, _)) = self.placements.iter().find(only) {
            let message = format!("node {} has the only copy of partition {}", node.0, partition.0);
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .hint("DRAIN NODE moves it elsewhere, as long as the node is there."));
        }
        self.known(node)?.state = NodeState::Removed;
        for placement in self.placements.values_mut() {
            for list in [&mut placement.voters, &mut placement.learners, &mut placement.witnesses] {
                list.retain(|other| *other != node);
            }
            placement.leader = placement.leader.filter(|leader| *leader != node);
        }
        Ok(Applied { node: Some(node), notice })
    }

    /// May the cluster do without this node? With force, unless nothing would be left; what is to be said then.
    fn without(&self, node: NodeId, force: bool) -> Result<Option<String>, SqlError> {
        let left = self.active().filter(|(other, _)| *other != node).count();
        if left == 0 {
            let message = format!("node {} is the last that replicas can be on", node.0);
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).hint("Add another first."));
        }
        // Planted 186: nobody counts who is left.
        if left >= self.voters as usize || planted!(186) {
            return Ok(None);
        }
        let (voters, k) = (self.voters, self.k_safety());
        let message = format!("without node {} there are {left} nodes for {voters} voters of each group", node.0);
        if force {
            return Ok(Some(message));
        }
        Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .detail(format!("Groups would not survive the loss of as many nodes as k_safety says: {k}."))
            .hint("Add another node first, or ALTER CLUSTER SET k_safety to less; FORCE does it all the same."))
    }

    fn safety(&mut self, k: u32, force: bool) -> Result<Applied, SqlError> {
        let voters = 2 * within("k_safety", k, 0, MAX_SAFETY)? + 1;
        let active = self.active().count();
        if active < voters as usize && !force {
            let message = format!("k_safety {k} needs {voters} nodes, and there are {active}");
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .hint("Add nodes first; FORCE sets it, and groups grow as nodes come."));
        }
        self.voters = voters;
        Ok(Applied::default())
    }

    fn place(&mut self, placements: &[(PartitionId, Placement)]) -> Result<Applied, SqlError> {
        for (partition, placement) in placements {
            let named: BTreeSet<NodeId> = placement.nodes().collect();
            let known = named.iter().all(|node| self.member(*node).is_some());
            let leads = placement.leader.is_none_or(|leader| placement.voters.contains(&leader));
            let sorted =
                [&placement.voters, &placement.learners, &placement.witnesses].iter().all(|list| list.is_sorted());
            let once = placement.nodes().count() == named.len();
            if placement.voters.is_empty() || !(known && leads && sorted && once) {
                return Err(invalid(format!("a placement of partition {} that cannot be", partition.0)));
            }
            let Some(wanted) = self.placements.get_mut(partition) else {
                return Err(invalid(format!("there is no partition {}", partition.0)));
            };
            wanted.clone_from(placement);
        }
        Ok(Applied::default())
    }

    fn known(&mut self, node: NodeId) -> Result<&mut Node, SqlError> {
        match self.nodes.get_mut(&node) {
            Some(known) if known.state == NodeState::Removed => Err(removed(node)),
            Some(known) => Ok(known),
            None => {
                let message = format!("node {} does not exist", node.0);
                Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message).hint("SELECT * FROM system.nodes lists them."))
            }
        }
    }
}

fn about(node: NodeId) -> Applied {
    Applied { node: Some(node), notice: None }
}

fn removed(node: NodeId) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("node {} has been removed", node.0))
        .hint("Numbers are not given again: let it join as a new node, with an empty data directory.")
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn within(what: &str, value: u32, least: u32, most: u32) -> Result<u32, SqlError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(format!("{value} is outside the valid range for {what} ({least} .. {most})")))
    }
}

fn check_address(address: &str) -> Result<(), SqlError> {
    let good = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && host.len() <= 255 && port.parse::<u16>().is_ok());
    if good { Ok(()) } else { Err(invalid(format!("\"{address}\" is no address: write it as 'host:port'"))) }
}

/// Can a zone have this name?
///
/// # Errors
/// 22023 (invalid) with what it may be.
pub fn check_zone(zone: &str) -> Result<(), SqlError> {
    let good = zone.len() <= MAX_ZONE && !zone.chars().any(char::is_control);
    if good { Ok(()) } else { Err(invalid(format!("a zone's name has at most {MAX_ZONE} printable bytes"))) }
}
