//! **Membership change** at the leader: joint consensus (thesis §4.3, paper §6).
//!
//! A change of voters is an entry with the joint membership, in force here at once and at each member that appends it. When that
//! is chosen, by both majorities, whoever leads appends the one in which it ends; when that is chosen, by its own majority, the
//! change is complete. A change of learners is one entry: no majority changes.
//!
//! # Invariants
//! - One change at a time: none begins before the last one is chosen and complete, nor before an entry of the leader's own era is
//!   chosen (the bug of 2015 in the published one-at-a-time algorithm; with it, what a leader takes for settled is).
//! - A change names the configuration that it starts from, so that nobody undoes what it has not seen.
//! - Who gains a voice was a learner, remembers what it promises, and lacks little.
//! - No change ends in voters of whom a majority is missing: a group that has lost two of five, and serves, stays five.
//! - A leader that is no voter of the complete membership counts itself for nothing, and leads until that membership is chosen.
//!   Then it hands over ([`super::transfer`]) and is none any more.
//! - Who is out of the group is still sent the log, for a while, until it has been told that the membership without it is chosen:
//!   so it knows, and does not campaign. Who misses that asks, and is refused by who hears a leader.
//!
//! # Caveats
//! - Who left and does not know it may be elected as long as its log allows it: it completes the change, and leaves.
//! - While joint, a group needs both majorities: a change that replaces a dead majority of voters cannot come about.

use super::core::Core;
use super::leader::Leader;
use super::message::encode_entry;
use super::progress::Progress;
use crate::consensus::{Change, FollowerStatus, Membership, Payload, Refused};
use crate::types::{LogIndex, NodeId};
use crate::{planted, sometimes};

/// Entries that a learner may lack and be made a voter: more than what is on its way under load.
const CAUGHT_UP: u64 = 512;
/// Who has left is told for so many election time-outs.
const FAREWELL: u32 = 8;

impl Progress {
    /// Has it been heard of lately, and does it lack little of what is chosen?
    fn is_near(&self, core: &Core) -> bool {
        let lately = core.now.since(self.heard) < core.settings.election_timeout;
        lately && self.matched.0 + CAUGHT_UP >= core.log.committed().0
    }
}

/// For planted bugs: one voter at a time and no joint membership, as the systems do it of which they come.
fn by_one_voter(now: &Membership, next: &Membership) -> Membership {
    let mut voters = now.voters.clone();
    if let Some(gained) = next.voters.iter().find(|node| !voters.contains(node)) {
        voters.push(*gained);
        voters.sort_unstable();
    } else if let Some(at) = voters.iter().position(|node| !next.voters.contains(node)) {
        voters.remove(at);
    }
    let mut step = Membership { outgoing: Vec::new(), ..next.clone() };
    step.learners.extend(next.voters.iter().filter(|node| !voters.contains(node)));
    step.learners.sort_unstable();
    step.witnesses.retain(|node| voters.contains(node));
    Membership { voters, ..step }
}

impl Leader {
    /// Begins a change.
    pub(super) fn change(&mut self, core: &mut Core, change: &Change) -> Result<(), Refused> {
        // hydro#3192, and the algorithm as published until 2015: what an earlier leader has begun may still be chosen.
        let unproved = core.log.committed() < self.first && !planted!(53);
        // redpanda#17675: the next one begins on top of what may still be lost.
        let open = !core.configurations.is_settled() && !planted!(54);
        if self.transfer.is_some() || self.leaves || unproved || open {
            return Err(Refused::UnderWay);
        }
        let now = core.membership();
        if change.expected != now.id {
            sometimes!("raft.change_of_another_configuration");
            return Err(Refused::Stale { id: now.id });
        }
        let mut next = now.next(change).map_err(Refused::Invalid)?;
        let gains = |node: &&NodeId| !now.is_voter(**node);
        if let Some(node) = next.voters.iter().filter(gains).find(|node| !self.may_gain_a_voice(core, **node)) {
            return Err(Refused::Behind { node: *node });
        }
        if next.voters != now.voters
            && let Err(node) = self.can_go_on(core, &next.voters)
        {
            sometimes!("raft.change_to_an_absent_majority");
            return Err(Refused::Behind { node });
        }
        if planted!(53) || planted!(54) {
            next = by_one_voter(now, &next);
        }
        sometimes!("raft.change_begun", next.voters != now.voters);
        self.adopt(core, &next);
        Ok(())
    }

    /// Will a majority of these voters be there when the others' voices do not count any more? If not: who is missing.
    fn can_go_on(&self, core: &Core, voters: &[NodeId]) -> Result<(), NodeId> {
        let is_there = |node: &&NodeId| {
            **node == core.settings.node
                || self.followers.get(node).is_some_and(|follower| !follower.recovering && follower.is_near(core))
        };
        let mut missing = voters.iter().filter(|node| !is_there(node));
        let first = missing.next();
        let there = voters.len() - missing.count() - usize::from(first.is_some());
        first.filter(|_| there * 2 <= voters.len()).map_or(Ok(()), |node| Err(*node))
    }

    /// Has a learner caught up?
    fn may_gain_a_voice(&self, core: &Core, node: NodeId) -> bool {
        // EastGuard#150: a learner counts from the moment at which somebody asks for it.
        planted!(57)
            || self.followers.get(&node).is_some_and(|follower| {
                core.membership().learners.contains(&node)
                    && !follower.recovering
                    && follower.is_near(core)
                    // It holds what made it a learner, and with it what came before.
                    && follower.matched >= core.configurations.index()
            })
    }

    /// Appends a membership, which is in force from here on.
    fn adopt(&mut self, core: &mut Core, membership: &Membership) {
        core.push(encode_entry(core.era(), &Payload::Configuration(membership.encode())));
        let farewell = core.now + core.settings.election_timeout * FAREWELL;
        for (peer, follower) in &mut self.followers {
            let stays = membership.contains(*peer);
            follower.leaving = if stays { None } else { follower.leaving.or(Some(farewell)) };
        }
        for peer in core.peers() {
            self.followers.entry(peer).or_insert_with(|| Progress::new(core.now, core.log.last()));
        }
    }

    /// More is chosen: does a change go on?
    pub(super) fn settle_change(&mut self, core: &mut Core) {
        if core.log.committed() < self.first || !core.configurations.open().is_empty() {
            return;
        }
        if core.membership().is_joint() {
            sometimes!("raft.joint_membership_chosen");
            // Who has been told to campaign has everything, until something is appended. It completes the change itself.
            if self.transfer.is_some_and(|transfer| transfer.told) {
                sometimes!("raft.change_left_to_successor");
                return;
            }
            let completed = core.membership().completed();
            self.adopt(core, &completed);
        } else if !core.membership().is_voter(core.settings.node) && !self.leaves {
            sometimes!("raft.leader_leaves");
            self.transfer = None;
            self.leaves = true;
            self.transfer(core, None);
        }
    }

    /// Who has left is not told anything any more when it knows, or when it does not listen.
    pub(super) fn forget_who_left(&mut self, core: &Core) {
        let settled = core.configurations.settled();
        let knows = |follower: &Progress| {
            !settled.membership.is_joint() && follower.told >= settled.index && follower.matched >= settled.index
        };
        let complete = core.configurations.is_settled();
        self.followers.retain(|_, follower| {
            follower.leaving.is_none_or(|until| core.now < until && !(complete && knows(follower)))
        });
    }

    /// The followers as the leader sees them.
    pub(super) fn follower_statuses(&self, core: &Core) -> Vec<FollowerStatus> {
        let status = |(node, follower): (&NodeId, &Progress)| FollowerStatus {
            node: *node,
            matched: if follower.recovering { LogIndex(0) } else { follower.matched },
            learner: !core.membership().is_voter(*node),
            recovering: follower.recovering,
            reachable: core.now.since(follower.heard) < core.settings.election_timeout,
        };
        let belongs = |(node, _): &(&NodeId, &Progress)| core.membership().contains(**node);
        self.followers.iter().filter(belongs).map(status).collect()
    }
}
