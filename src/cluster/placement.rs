//! Where replicas are wanted: a function of the directory of nodes.
//!
//! Each group gets as many voters as the directory says, as far as there are nodes, on as many zones as there are, and each node
//! its share of all replicas by weight. Of several voters the one with the greatest priority is to lead, and among equals leaders
//! are shared out likewise.
//!
//! # Invariants
//! - What is in place stays as far as it can: a plan made again from its own result changes nothing, and nodes that neither come
//!   nor go exchange nothing with each other unless that makes shares more even.
//! - Only active nodes are chosen. With fewer of them than voters are wanted a group gets an odd number.
//! - Replicas are moved for balance only where that brings nothing nearer together than it was.
//! - The same directory gives the same plan, whoever makes it.

use crate::directory::{Directory, Placement};
use crate::types::{NodeId, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

/// A node that can be chosen.
struct Candidate<'a> {
    zone: &'a str,
    weight: u64,
    priority: u32,
    /// Replicas that it has in the plan, and how many of them lead.
    replicas: u64,
    leads: u64,
}

struct Plan<'a> {
    nodes: BTreeMap<NodeId, Candidate<'a>>,
    groups: BTreeMap<PartitionId, (BTreeSet<NodeId>, Option<NodeId>)>,
    size: usize,
}

/// The placements that are to be changed, and to what. Empty: all is as it should be.
#[must_use]
pub fn plan(directory: &Directory) -> Vec<(PartitionId, Placement)> {
    let nodes: BTreeMap<NodeId, Candidate<'_>> = directory
        .active()
        .map(|(id, node)| {
            let weight = u64::from(node.weight.max(1));
            (id, Candidate { zone: &node.zone, weight, priority: node.priority, replicas: 0, leads: 0 })
        })
        .collect();
    if nodes.is_empty() {
        return Vec::new();
    }
    let wanted = directory.voters.max(1) as usize;
    // An even number of voters survives no more than the odd one below it.
    let size = if nodes.len() >= wanted { wanted } else { nodes.len() - usize::from(nodes.len().is_multiple_of(2)) };
    let mut plan = Plan { nodes, groups: BTreeMap::new(), size };
    plan.keep(directory);
    plan.fill();
    plan.spread();
    plan.balance();
    plan.lead();
    plan.changes(directory)
}

impl<'a> Plan<'a> {
    /// Begins with what is in place.
    fn keep(&mut self, directory: &Directory) {
        for (partition, placement) in &directory.placements {
            let kept: BTreeSet<NodeId> =
                placement.voters.iter().copied().filter(|node| self.nodes.contains_key(node)).collect();
            for node in &kept {
                self.count(*node, 1);
            }
            let leader = placement.leader.filter(|leader| kept.contains(leader));
            self.groups.insert(*partition, (kept, leader));
        }
    }

    fn count(&mut self, node: NodeId, change: i64) {
        if let Some(candidate) = self.nodes.get_mut(&node) {
            candidate.replicas = candidate.replicas.saturating_add_signed(change);
        }
    }

    /// Gives each group as many voters as it should have.
    fn fill(&mut self) {
        let partitions: Vec<PartitionId> = self.groups.keys().copied().collect();
        for partition in partitions {
            while self.members(partition).len() > self.size {
                let Some(node) = self.most_dispensable(partition) else { break };
                self.remove(partition, node);
            }
            while self.members(partition).len() < self.size {
                let Some(node) = self.best_addition(partition, None) else { break };
                self.add(partition, node);
            }
        }
    }

    fn members(&self, partition: PartitionId) -> &BTreeSet<NodeId> {
        &self.groups[&partition].0
    }

    fn add(&mut self, partition: PartitionId, node: NodeId) {
        if self.groups.get_mut(&partition).is_some_and(|(members, _)| members.insert(node)) {
            self.count(node, 1);
        }
    }

    fn remove(&mut self, partition: PartitionId, node: NodeId) {
        let Some((members, leader)) = self.groups.get_mut(&partition) else { return };
        if members.remove(&node) {
            *leader = leader.filter(|leader| *leader != node);
            self.count(node, -1);
        }
    }

    fn zone(&self, node: NodeId) -> &'a str {
        self.nodes[&node].zone
    }

    /// In how many zones these are. Nodes of no zone are each in one of their own.
    fn zones(&self, members: impl Iterator<Item = NodeId>) -> usize {
        let mut named = BTreeSet::new();
        let mut alone = 0;
        for node in members {
            match self.zone(node) {
                "" => alone += 1,
                zone => drop(named.insert(zone)),
            }
        }
        named.len() + alone
    }

    /// Whom a group can do without: somebody whose zone it has twice, then who has the most for its weight.
    fn most_dispensable(&self, partition: PartitionId) -> Option<NodeId> {
        let members = self.members(partition);
        let without = |node: NodeId| self.zones(members.iter().copied().filter(|other| *other != node));
        members.iter().copied().max_by(|a, b| {
            let zones = without(*a).cmp(&without(*b));
            zones.then_with(|| self.load(*a, 0).cmp_with(self.load(*b, 0))).then(a.cmp(b))
        })
    }

    /// Who would serve a group best: somebody of a zone that it has not, then who has the least for its weight.
    fn best_addition(&self, partition: PartitionId, instead_of: Option<NodeId>) -> Option<NodeId> {
        let members = self.members(partition);
        let rest = || members.iter().copied().filter(|member| Some(*member) != instead_of);
        let with = |node: NodeId| self.zones(rest().chain(std::iter::once(node)));
        let free = self.nodes.keys().copied().filter(|node| !members.contains(node));
        free.min_by(|a, b| {
            let zones = with(*b).cmp(&with(*a));
            zones.then_with(|| self.load(*a, 1).cmp_with(self.load(*b, 1))).then(a.cmp(b))
        })
    }

    /// Replicas for the weight, with so many more.
    fn load(&self, node: NodeId, more: u64) -> Share {
        let candidate = &self.nodes[&node];
        Share { count: candidate.replicas + more, weight: candidate.weight }
    }

    /// Brings groups to as many zones as they can be on.
    fn spread(&mut self) {
        let partitions: Vec<PartitionId> = self.groups.keys().copied().collect();
        for partition in partitions {
            for _ in 0..self.size {
                let members = self.members(partition);
                let before = self.zones(members.iter().copied());
                let Some(node) = self.most_dispensable(partition) else { break };
                let Some(other) = self.best_addition(partition, Some(node)) else { break };
                let after = members.iter().copied().filter(|member| *member != node).chain(std::iter::once(other));
                if self.zones(after) <= before {
                    break;
                }
                self.remove(partition, node);
                self.add(partition, other);
            }
        }
    }

    /// Moves replicas to where there are too few, one by one, while that makes shares more even.
    fn balance(&mut self) {
        while let Some((partition, from, to)) = self.next_move() {
            self.remove(partition, from);
            self.add(partition, to);
        }
    }

    fn next_move(&self) -> Option<(PartitionId, NodeId, NodeId)> {
        let mut ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        ids.sort_by(|a, b| self.load(*b, 0).cmp_with(self.load(*a, 0)).then(a.cmp(b)));
        for from in &ids {
            for to in ids.iter().rev() {
                if self.load(*to, 1).cmp_with(self.load(*from, 0)).is_ge() {
                    break;
                }
                // What leads stays where it is, if another group can be moved as well.
                let movable = || self.groups.iter().filter(|(_, (members, _))| self.may_move(members, *from, *to));
                let leads =
                    |(_, (_, leader)): &(&PartitionId, &(BTreeSet<NodeId>, Option<NodeId>))| *leader == Some(*from);
                let found = movable().find(|group| !leads(group)).or_else(|| movable().next());
                if let Some((partition, _)) = found {
                    return Some((*partition, *from, *to));
                }
            }
        }
        None
    }

    fn may_move(&self, members: &BTreeSet<NodeId>, from: NodeId, to: NodeId) -> bool {
        if !members.contains(&from) || members.contains(&to) {
            return false;
        }
        let after = members.iter().copied().filter(|member| *member != from).chain(std::iter::once(to));
        self.zones(after) >= self.zones(members.iter().copied())
    }

    /// Says who is to lead: who is to already, where that may stay.
    fn lead(&mut self) {
        let partitions: Vec<PartitionId> = self.groups.keys().copied().collect();
        let mut vacant = Vec::new();
        for partition in &partitions {
            let kept = self.groups.get_mut(partition).and_then(|(_, leader)| leader.take());
            match kept.filter(|leader| self.eligible(*partition).contains(leader)) {
                Some(leader) => self.appoint(*partition, leader),
                None => vacant.push(*partition),
            }
        }
        for partition in vacant {
            let least = |a: &NodeId, b: &NodeId| self.leads(*a, 1).cmp_with(self.leads(*b, 1)).then(a.cmp(b));
            if let Some(leader) = self.eligible(partition).into_iter().min_by(least) {
                self.appoint(partition, leader);
            }
        }
        while let Some((partition, to)) = partitions.iter().find_map(|partition| self.better_leader(*partition)) {
            self.appoint(partition, to);
        }
    }

    fn eligible(&self, partition: PartitionId) -> Vec<NodeId> {
        let members = self.members(partition);
        let greatest = members.iter().map(|node| self.nodes[node].priority).max();
        members.iter().copied().filter(|node| Some(self.nodes[node].priority) == greatest).collect()
    }

    fn leads(&self, node: NodeId, more: u64) -> Share {
        let candidate = &self.nodes[&node];
        Share { count: candidate.leads + more, weight: candidate.weight }
    }

    fn better_leader(&self, partition: PartitionId) -> Option<(PartitionId, NodeId)> {
        let leader = self.groups[&partition].1?;
        let better = |node: &NodeId| *node != leader && self.leads(*node, 1).cmp_with(self.leads(leader, 0)).is_lt();
        let to = self.eligible(partition).into_iter().find(better)?;
        Some((partition, to))
    }

    fn appoint(&mut self, partition: PartitionId, leader: NodeId) {
        let Some((_, appointed)) = self.groups.get_mut(&partition) else { return };
        let before = appointed.replace(leader);
        if let Some(before) = before.and_then(|before| self.nodes.get_mut(&before)) {
            before.leads -= 1;
        }
        if let Some(leader) = self.nodes.get_mut(&leader) {
            leader.leads += 1;
        }
    }

    fn changes(self, directory: &Directory) -> Vec<(PartitionId, Placement)> {
        let placement = |(partition, (members, leader)): (PartitionId, (BTreeSet<NodeId>, Option<NodeId>))| {
            (partition, Placement { voters: members.into_iter().collect(), leader, ..Placement::default() })
        };
        let differs = |(partition, placement): &(PartitionId, Placement)| {
            !placement.voters.is_empty() && directory.placement(*partition) != Some(placement)
        };
        self.groups.into_iter().map(placement).filter(differs).collect()
    }
}

/// A count beside a weight.
#[derive(Clone, Copy)]
struct Share {
    count: u64,
    weight: u64,
}

impl Share {
    fn cmp_with(self, other: Self) -> std::cmp::Ordering {
        (self.count * other.weight).cmp(&(other.count * self.weight))
    }
}

#[cfg(test)]
mod tests;
