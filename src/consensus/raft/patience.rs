//! **Patience**: when who loses it stands for election, so that one does, and soon.
//!
//! Random time-outs (§5.2) make two candidates rare by making everybody wait for long. Here the members of a group have
//! an order instead, another one in each group, so that leaders are spread over the nodes: who comes first asks at once when its
//! leader is suspected, the next a heartbeat later, and so on. Dice decide only within a part of that step; and the more
//! attempts have failed, the more they decide, so that no order that suits the moment badly is kept up.
//!
//! - Who is **preferred** (the greatest priority in the directory of nodes, [`super::super::Consensus::prefer`]) comes first: priority lengthens
//!   the others' patience and refuses nobody a vote (rules A7). Members may know of different ones, or of none.
//! - A **question** (pre-vote) binds nobody and is answered within a round trip: it is asked again soon, then at longer intervals.
//! - A **campaign** that was refused by somebody has met another one: it is not waited for any longer, as it would be if it
//!   might only be slow.
//! - What the peer's own machine says, that **nobody listens there any more**, needs no patience at all ([`Raft::peer_gone`]).
//!   Who has been told so about its leader no longer clings to it when another asks. One whose leader lives after all finds
//!   that a quorum does, and hears it again.
//!
//! All of it decides when to ask, and nothing else: an election is won by votes.

use super::core::Core;
use super::{Raft, RoleState};
use crate::types::random::below;
use crate::types::{Duration, Instant, NodeId};
use crate::{planted, sometimes};

/// Attempts after which dice decide as much as they ever do, and a question is as patient as a campaign.
const ATTEMPTS: u32 = 4;

impl Core {
    /// Its place among those who may follow `leader`: 0 asks first.
    fn rank(&self, leader: Option<NodeId>) -> u32 {
        let membership = self.membership();
        let voters: Vec<NodeId> =
            membership.members().into_iter().filter(|member| membership.is_voter(*member)).collect();
        let others: Vec<NodeId> = voters.iter().copied().filter(|voter| Some(*voter) != leader).collect();
        let count = others.len().max(1) as u64;
        // With the leader gone the rest is in another order again: else one node inherits all that another led.
        let first =
            if leader.is_some() { self.settings.group / voters.len().max(1) as u64 } else { self.settings.group };
        let place = |node| others.iter().position(|other| *other == node).unwrap_or(0) as u64;
        let turn = |node| u32::try_from((place(node) + count - first % count) % count).unwrap_or(0);
        let own = turn(self.settings.node);
        match self.preferred.filter(|preferred| others.contains(preferred)) {
            Some(preferred) if preferred == self.settings.node => 0,
            // Who came before it comes one later, and nobody else does.
            Some(preferred) => own + u32::from(own < turn(preferred)),
            None => own,
        }
    }

    /// How long after the common moment this member moves.
    fn stagger(&mut self, leader: Option<NodeId>) -> Duration {
        let step = self.settings.heartbeat;
        let spread = step / 2 + step * ((1 << self.attempts.min(ATTEMPTS)) - 1);
        step * self.rank(leader) + self.dice_below(spread)
    }

    fn dice_below(&mut self, spread: Duration) -> Duration {
        let spread = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(below(self.rng(), spread))
    }

    /// The moment at which patience with this leader ends.
    pub(super) fn patience_ends(&mut self, leader: NodeId) -> Instant {
        self.detector.suspected_at().max(self.now) + self.stagger(Some(leader))
    }

    /// Without a leader: when to stand for election if nobody else has won until then.
    pub(super) fn election_deadline(&mut self) -> Instant {
        self.now + self.settings.election_timeout + self.stagger(None)
    }

    /// Not before it may help anybody to be elected.
    pub(super) fn when_promise_ends(&mut self, leader: Option<NodeId>) -> Instant {
        self.promised.max(self.now) + self.stagger(leader)
    }

    /// How long a question waits for its answers.
    pub(super) fn question_deadline(&mut self) -> Instant {
        let step = self.settings.heartbeat * (1 << self.attempts.min(ATTEMPTS));
        self.now + step.min(self.settings.election_timeout) + self.stagger(None)
    }

    /// A campaign has been refused by somebody: when to begin anew.
    pub(super) fn after_refusal(&mut self, deadline: Instant) -> Instant {
        let step = self.settings.heartbeat * (1 << self.attempts.min(ATTEMPTS));
        deadline.min(self.now + step + self.stagger(None))
    }

    /// A deadline after a pause: later by its length, and never later than a fresh one can be.
    pub(super) fn after_pause(&self, deadline: Instant, length: Duration) -> Instant {
        let latest = self.now + self.settings.election_timeout * 2;
        deadline.max((deadline + length).min(latest))
    }
}

impl Raft {
    /// The machine of `peer` says that nobody listens there any more.
    pub(super) fn leader_gone(&mut self, peer: NodeId) {
        let RoleState::Follower(follower) = &mut self.role else { return };
        if follower.leader != Some(peer) || !self.core.is_member() {
            return;
        }
        sometimes!("raft.leader_gone");
        follower.gone = true;
        let at = self.core.now + self.core.stagger(Some(peer));
        follower.deadline = Some(follower.deadline.map_or(at, |deadline| deadline.min(at)));
        if planted!(200) {
            // Folklore of "fast failover": who comes first is the leader, and asks nobody.
            follower.deadline = Some(self.core.now);
        }
    }
}
