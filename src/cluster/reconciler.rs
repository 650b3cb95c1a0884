//! **Reconciler**: makes groups what the directory wants them to be, step by step (rules B6).
//!
//! It works where the cluster partition is led. Workers report what they have ([`Report`]); of a group the truth is what its
//! leader says of the group's own configuration. Where that differs from the directory's placement the reconciler says the next
//! step to the group's leader:
//!
//! 1. nodes that are to get a voice become *learners*: they receive the state and the log;
//! 2. when all of them have caught up, one joint change gives them a voice and takes that of others away. Its leader refuses that
//!    for whoever has not caught up after all;
//! 3. a node that has a replica of a group to which it does not belong any more is told to drop it;
//! 4. a group that is as it is wanted and is not led by whom it is to be led by hands leadership over: when that one has been ready for
//!    a while in which nobody else was elected, and never twice within that time. Else a node with a bad link, which loses what it is
//!    given and looks well a moment later, would be given it again and again.
//!
//! # Invariants
//! - It keeps nothing that matters: whoever comes to lead begins with reports. So any step may be lost, repeated, late, or
//!   said by two reconcilers at once: each names the configuration that it follows from, and the group takes it under no other.
//! - No voice is taken away before those that are to come have one: a change goes from one full set of voters to another.
//! - At most as many groups are on the move as the directory allows. Who has begun goes on; then who has lost most, then by number.
//! - While it is paused nothing is begun, and what is half done is left as it is; a joint change completes itself.
//!
//! # Caveats
//! - A replica may know a later configuration than its group has: one that was begun, reached it, and was lost with its leader. That
//!   configuration's number alone would keep it for ever; an entry of a later era that is chosen tells that it is void.
//! - A report is moments old. What it is used for is either protected by the configuration's number or asked again at the
//!   group's leader.
//! - A node that never catches up (it is down) holds its group's move, and one of the places of those that may be on the move. The
//!   operator sees it in `system.moves` and drains it, or has it back; or the cluster replaces it by itself ([`Reconciler::silent`]).

use crate::consensus::Membership;
use crate::directory::{Directory, NodeState, Placement};
use crate::types::{Duration, Era, Instant, NodeId, PartitionId, WorkerId};
use crate::{planted, sometimes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A step is said again after so many intervals between reports, if nothing has come of it.
const AGAIN_AFTER: u32 = 4;
/// Leadership goes to who is to have it when it has held all that was committed for so many intervals, under one leader.
const STEADY_FOR: u32 = 20;
/// What has been reported is believed for so many intervals.
const BELIEVED_FOR: u32 = 6;

/// What a worker has, said from time to time to whoever leads the cluster partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose.
    pub node: NodeId,
    /// Which worker of it.
    pub worker: WorkerId,
    /// Version of the newest directory that it knows.
    pub directory: u64,
    /// Its replicas.
    pub replicas: Vec<Held>,
}

/// A replica that a worker has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Of which partition.
    pub partition: PartitionId,
    /// The configuration that it knows.
    pub configuration: u64,
    /// Era of the last entry of its log.
    pub last_era: Era,
    /// What it knows as the leader of the group; `None`: it does not lead.
    pub group: Option<Group>,
}

/// A group as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// In which era it leads.
    pub era: Era,
    /// Who belongs to it.
    pub membership: Membership,
    /// Nothing is under way, and an entry of the leader's era is chosen.
    pub settled: bool,
    /// Other members that can be reached and hold what was committed a moment ago.
    pub caught_up: Vec<NodeId>,
    /// Entries that each other member lacks.
    pub lag: Vec<(NodeId, u64)>,
}

/// What somebody is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// To a group's leader: a change of its membership.
    Change {
        /// The configuration that it follows from.
        expected: u64,
        /// Who is to have a voice.
        voters: Vec<NodeId>,
        /// Who is to receive the log without one.
        learners: Vec<NodeId>,
        /// Which voters keep no rows.
        witnesses: Vec<NodeId>,
    },
    /// To a group's leader: another one is to lead.
    HandOver {
        /// The configuration that it follows from.
        expected: u64,
        /// Who.
        to: NodeId,
    },
    /// To a node: its replica belongs to no group any more.
    Drop {
        /// The group's configuration, to which the node does not belong. A replica that knows a later one is not meant.
        configuration: u64,
        /// Nor one that has an entry of this era or a later one, in which that configuration is chosen.
        era: Era,
    },
}

/// A step, and to whom it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// To which node.
    pub node: NodeId,
    /// About which partition.
    pub partition: PartitionId,
    /// What.
    pub step: Step,
}

/// A group that is not as it is wanted, for people who watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which.
    pub partition: PartitionId,
    /// What is waited for, in words.
    pub state: MoveState,
    /// Nodes that are to come.
    pub coming: Vec<NodeId>,
    /// Nodes that are to go.
    pub going: Vec<NodeId>,
    /// Entries that those who come still lack, at most.
    pub lag: Option<u64>,
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveState {
    /// Others come first, or rebalancing is paused.
    Waiting,
    /// Nobody has told yet how the group is.
    Unknown,
    /// New replicas receive the state and the log.
    CatchingUp,
    /// Voices are being changed.
    Changing,
}

impl MoveState {
    /// As people are shown it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
            Self::CatchingUp => "catching up",
            Self::Changing => "changing",
        }
    }
}

/// Of each replica the configuration that it knows, and the era of its last entry.
type Holding = BTreeMap<PartitionId, (u64, Era)>;

/// See the module.
#[derive(Debug)]
pub struct Reconciler {
    interval: Duration,
    /// Leadership goes nowhere before it has been steady for so long.
    steady: Duration,
    /// Since when reports come here.
    since: Option<Instant>,
    groups: BTreeMap<PartitionId, Seen>,
    /// Who has a replica of what, as last reported.
    held: BTreeMap<(NodeId, WorkerId), (Instant, Holding)>,
    /// The directory that each node knows.
    informed: BTreeMap<(NodeId, WorkerId), u64>,
    /// What was said last about a partition to a node, and when.
    said: BTreeMap<(PartitionId, NodeId), (Step, Instant)>,
    /// Who is to lead and could, under which leader's era, and since when.
    ready: BTreeMap<PartitionId, (NodeId, Era, Instant)>,
    /// When each group was last told to hand over.
    handed: BTreeMap<PartitionId, Instant>,
}

/// A group, as it was reported.
#[derive(Debug)]
struct Seen {
    at: Instant,
    leader: NodeId,
    group: Group,
}

impl Reconciler {
    /// Knows nothing yet. Reports come at this interval.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            steady: interval * STEADY_FOR,
            since: None,
            groups: BTreeMap::new(),
            held: BTreeMap::new(),
            informed: BTreeMap::new(),
            said: BTreeMap::new(),
            ready: BTreeMap::new(),
            handed: BTreeMap::new(),
        }
    }

    /// With or without hysteresis: it is there unless somebody wants to see what it is for.
    #[must_use]
    pub fn with(mut self, hysteresis: bool) -> Self {
        // Planted 188: who is to lead is given the lead as soon as it looks well.
        self.steady = if hysteresis && !planted!(188) { self.interval * STEADY_FOR } else { Duration::ZERO };
        self
    }

    /// A worker has told what it has.
    pub fn report(&mut self, now: Instant, report: Report) {
        let Report { node, worker, directory, replicas } = report;
        self.since.get_or_insert(now);
        self.informed.insert((node, worker), directory);
        let held = replicas.iter().map(|held| (held.partition, (held.configuration, held.last_era))).collect();
        self.held.insert((node, worker), (now, held));
        for Held { partition, group, .. } in replicas {
            let Some(group) = group else { continue };
            let newer = |seen: &Seen| {
                let (old, new) = ((seen.group.membership.id, seen.group.era), (group.membership.id, group.era));
                // Who was cut off leads an earlier era and may not know it.
                group.era >= seen.group.era || new.0 > old.0 || now.since(seen.at) > self.patience()
            };
            if self.groups.get(&partition).is_none_or(newer) {
                self.groups.insert(partition, Seen { at: now, leader: node, group });
            }
        }
    }

    /// Nodes that know an older directory than this, as far as has been reported. Who has been silent for long knows nothing: a new
    /// life of it may not know where to report.
    pub fn uninformed<'a>(&'a self, now: Instant, directory: &'a Directory) -> impl Iterator<Item = NodeId> + 'a {
        let heard =
            move |of: &(NodeId, WorkerId)| self.held.get(of).is_some_and(|(at, _)| now.since(*at) <= self.patience());
        let known = move |node: NodeId| {
            let of = self.informed.range((node, WorkerId(0))..=(node, WorkerId(u16::MAX)));
            of.map(|(of, version)| if heard(of) { *version } else { 0 }).min().unwrap_or(0)
        };
        directory.members().map(|(node, _)| node).filter(move |node| known(*node) < directory.version)
    }

    fn patience(&self) -> Duration {
        self.interval * BELIEVED_FOR
    }

    fn seen(&self, now: Instant, partition: PartitionId) -> Option<&Seen> {
        self.groups.get(&partition).filter(|seen| now.since(seen.at) <= self.patience())
    }

    /// What is to be said now.
    pub fn steps(&mut self, now: Instant, directory: &Directory) -> Vec<Order> {
        let mut orders = self.drops(now, directory);
        self.watch_successors(now, directory);
        if !directory.paused {
            let moves = self.next_moves(now, directory);
            let settled = moves.is_empty();
            orders.extend(moves);
            if settled {
                orders.extend(self.hand_overs(now));
            }
        }
        self.said.retain(|(partition, _), _| directory.placements.contains_key(partition));
        let again = self.interval * AGAIN_AFTER;
        orders.retain(|order| {
            let key = (order.partition, order.node);
            let repeated = self.said.get(&key).is_some_and(|(step, at)| *step == order.step && now.since(*at) < again);
            if !repeated {
                self.said.insert(key, (order.step.clone(), now));
            }
            !repeated
        });
        orders
    }

    /// Replicas that are left of groups which have moved on.
    fn drops(&self, now: Instant, directory: &Directory) -> Vec<Order> {
        let mut orders = Vec::new();
        for ((node, _), (at, held)) in &self.held {
            if now.since(*at) > self.patience() {
                continue;
            }
            for (partition, (known, last_era)) in held {
                let wanted = directory.placement(*partition).is_some_and(|placement| placement.includes(*node));
                let Some(seen) = self.seen(now, *partition).filter(|_| !wanted) else { continue };
                let Group { membership, settled, era, .. } = &seen.group;
                // A later configuration that it knows may be one that was never chosen.
                let overtaken = membership.id >= *known || last_era < era;
                // Planted 187: whoever is not wanted drops what it has, though its group still counts on it.
                let left = !membership.contains(*node) || planted!(187);
                if *settled && left && overtaken {
                    sometimes!("cluster.replica_dropped");
                    sometimes!("cluster.replica_of_a_configuration_never_chosen_dropped", membership.id < *known);
                    let step = Step::Drop { configuration: membership.id, era: *era };
                    orders.push(Order { node: *node, partition: *partition, step });
                }
            }
        }
        orders
    }

    /// The next steps of groups on the move.
    fn next_moves(&self, now: Instant, directory: &Directory) -> Vec<Order> {
        let mut begun = 0_u32;
        let mut waiting = Vec::new();
        let mut orders = Vec::new();
        for (partition, placement) in &directory.placements {
            let Some(seen) = self.seen(now, *partition) else { continue };
            if is_as_wanted(&seen.group.membership, placement) {
                continue;
            }
            if is_under_way(&seen.group, placement) {
                begun += 1;
                orders.extend(next_step(*partition, seen, placement));
            } else {
                let alive = seen.group.membership.voters.iter().filter(|node| seen.holds(**node)).count();
                waiting.push((alive, *partition, seen, placement));
            }
        }
        waiting.sort_by_key(|(alive, partition, ..)| (*alive, *partition));
        let room = directory.moves.saturating_sub(begun) as usize;
        sometimes!("cluster.moves_throttled", waiting.len() > room);
        orders.extend(
            waiting
                .into_iter()
                .take(room)
                .filter_map(|(_, partition, seen, placement)| next_step(partition, seen, placement)),
        );
        orders
    }

    /// Groups that are as they are wanted, led by another than is wanted, and could be led by that one: since when?
    fn watch_successors(&mut self, now: Instant, directory: &Directory) {
        let mut ready = BTreeMap::new();
        for (partition, placement) in &directory.placements {
            let Some(seen) = self.seen(now, *partition) else { continue };
            let Some(to) = placement.leader.filter(|to| *to != seen.leader) else { continue };
            let Group { membership, settled, caught_up, era, .. } = &seen.group;
            if *settled && is_as_wanted(membership, placement) && caught_up.contains(&to) {
                let known = self.ready.get(partition).filter(|known| (known.0, known.1) == (to, *era));
                ready.insert(*partition, (to, *era, known.map_or(now, |known| known.2)));
            }
        }
        self.ready = ready;
    }

    /// The next group that is to hand over. One at a time.
    fn hand_overs(&mut self, now: Instant) -> Option<Order> {
        let steady = self.steady;
        let lately = |at: &Instant| now.since(*at) < steady;
        self.handed.retain(|_, at| lately(at));
        let fit = |(partition, (_, _, since)): &(&PartitionId, &(NodeId, Era, Instant))| {
            !lately(since) && !self.handed.contains_key(partition)
        };
        let (partition, (to, ..)) = self.ready.iter().find(fit)?;
        let (partition, to) = (*partition, *to);
        let seen = self.groups.get(&partition)?;
        sometimes!("cluster.lead_goes_where_it_is_wanted");
        let step = Step::HandOver { expected: seen.group.membership.id, to };
        self.handed.insert(partition, now);
        Some(Order { node: seen.leader, partition, step })
    }

    /// A node that has been silent for longer than the directory says, if as many others are heard as a group has voters. Who has just
    /// come to lead has heard nobody yet, and waits as long as for one that has fallen silent.
    #[must_use]
    pub fn silent(&self, now: Instant, directory: &Directory) -> Option<NodeId> {
        let limit = Duration::from_secs(u64::from(directory.replace_after)).max(self.patience());
        let since = self.since.filter(|_| directory.replace_after > 0 && !directory.paused)?;
        let heard = |node: NodeId| {
            let workers = self.held.range((node, WorkerId(0))..=(node, WorkerId(u16::MAX)));
            workers.map(|(_, (at, _))| *at).max().unwrap_or(since)
        };
        let well = directory.active().filter(|(node, _)| now.since(heard(*node)) <= self.patience()).count();
        sometimes!("cluster.too_few_to_replace_anybody", well < directory.voters as usize);
        let mut active = directory.active().map(|(node, _)| node);
        active.find(|node| well >= directory.voters as usize && now.since(heard(*node)) > limit)
    }

    /// Draining nodes on which nothing is wanted and nothing is left, as all groups have told a moment ago.
    #[must_use]
    pub fn drained(&self, now: Instant, directory: &Directory) -> Vec<NodeId> {
        let gone = |node: NodeId| {
            directory.placements.iter().all(|(partition, placement)| {
                let free = |seen: &Seen| seen.group.settled && !seen.group.membership.contains(node);
                !placement.includes(node) && self.seen(now, *partition).is_some_and(free)
            })
        };
        let draining = directory.members().filter(|(_, node)| node.state == NodeState::Draining);
        draining.map(|(node, _)| node).filter(|node| gone(*node)).collect()
    }

    /// Groups that are not as they are wanted.
    #[must_use]
    pub fn moves(&self, now: Instant, directory: &Directory) -> Vec<Move> {
        let of = |(partition, placement): (&PartitionId, &Placement)| {
            let Some(seen) = self.seen(now, *partition) else {
                let state = MoveState::Unknown;
                return Some(Move { partition: *partition, state, coming: Vec::new(), going: Vec::new(), lag: None });
            };
            let Group { membership, lag, .. } = &seen.group;
            if is_as_wanted(membership, placement) {
                return None;
            }
            let without = |some: &[NodeId], others: &dyn Fn(NodeId) -> bool| -> Vec<NodeId> {
                some.iter().copied().filter(|node| !others(*node)).collect()
            };
            let wanted: Vec<NodeId> = placement.nodes().collect::<BTreeSet<_>>().into_iter().collect();
            let coming = without(&wanted, &|node| membership.is_voter(node));
            let going = without(&membership.members(), &|node| placement.includes(node));
            let state = match () {
                () if membership.is_joint() => MoveState::Changing,
                () if directory.paused || !is_under_way(&seen.group, placement) => MoveState::Waiting,
                () if coming.is_empty() => MoveState::Changing,
                () => MoveState::CatchingUp,
            };
            let lag = lag.iter().filter(|(node, _)| coming.contains(node)).map(|(_, lag)| *lag).max();
            Some(Move { partition: *partition, state, coming, going, lag })
        };
        directory.placements.iter().filter_map(of).collect()
    }
}

impl Seen {
    fn holds(&self, node: NodeId) -> bool {
        node == self.leader || self.group.caught_up.contains(&node)
    }
}

/// Has the group the members that are wanted?
fn is_as_wanted(membership: &Membership, placement: &Placement) -> bool {
    !membership.is_joint()
        && membership.voters == voters(placement)
        && membership.learners == placement.learners
        && membership.witnesses == placement.witnesses
}

/// Witnesses have a voice, too.
fn voters(placement: &Placement) -> Vec<NodeId> {
    placement.voters.iter().chain(&placement.witnesses).copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Has the move begun?
fn is_under_way(group: &Group, placement: &Placement) -> bool {
    let membership = &group.membership;
    !group.settled || membership.is_joint() || membership.learners.iter().any(|node| !placement.learners.contains(node))
}

/// What brings a group nearer to what is wanted.
fn next_step(partition: PartitionId, seen: &Seen, placement: &Placement) -> Option<Order> {
    let membership = &seen.group.membership;
    if !seen.group.settled || membership.is_joint() {
        return None;
    }
    let wanted = voters(placement);
    let coming: Vec<NodeId> = wanted.iter().copied().filter(|node| !membership.voters.contains(node)).collect();
    let known = coming.iter().all(|node| membership.learners.contains(node));
    let ready = coming.iter().all(|node| seen.group.caught_up.contains(node));
    let (voters, learners, witnesses) = if known && ready || planted!(57) {
        sometimes!("cluster.voices_changed", !coming.is_empty());
        (wanted, placement.learners.clone(), placement.witnesses.clone())
    } else {
        // Whoever is neither wanted any more nor a voter goes at once: what it was to catch up with is overtaken.
        let learners: BTreeSet<NodeId> = coming
            .iter()
            .chain(placement.learners.iter().filter(|node| !membership.voters.contains(node)))
            .copied()
            .collect();
        let learners: Vec<NodeId> = learners.into_iter().collect();
        if learners == membership.learners {
            return None;
        }
        sometimes!("cluster.learners_added");
        (membership.voters.clone(), learners, membership.witnesses.clone())
    };
    let step = Step::Change { expected: membership.id, voters, learners, witnesses };
    Some(Order { node: seen.leader, partition, step })
}

#[cfg(test)]
mod tests;
