//! The impatient side: asks whether it would be elected (thesis §9.6), then to be elected (§5.2).

use super::Transition;
use super::core::{Core, Promise};
use super::message::{Body, Memories, Memory};
use crate::types::{Duration, Era, Instant, NodeId};
use crate::{planted, sometimes};
use std::collections::BTreeMap;

/// A candidate of one of two phases.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Only asking whether it would be elected: no era has been entered, no vote is bound.
    pub(super) pre: bool,
    /// Its leader has called it.
    called: bool,
    /// Answers so far, its own among them.
    pub(super) votes: BTreeMap<NodeId, bool>,
    /// Which memory of each voter has answered, and the latest that any of them knows of.
    voters: Memories,
    known: Memories,
    /// When it gives this attempt up.
    pub(super) deadline: Instant,
}

impl Candidate {
    /// Asks everybody whether they would vote for us in the next era.
    pub(super) fn ask(core: &mut Core) -> Self {
        let next = next_era(core);
        let own = core.log.election_position();
        for peer in core.electors() {
            let body = Body::PreVote { next, last: own.last, last_era: own.last_era };
            core.send(peer, Promise::Nothing, body);
        }
        let deadline = core.question_deadline();
        Self::begin(core, true, false, deadline)
    }

    /// Enters the next era, votes for itself and asks for the others' votes. `called`: by its leader, to lead in its place.
    pub(super) fn campaign(core: &mut Core, called: bool) -> Self {
        core.enter_era(next_era(core));
        core.hard.vote = Some(core.settings.node);
        let own = core.log.election_position();
        for peer in core.electors() {
            let (last, last_era) = (own.last, own.last_era);
            let body = if called { Body::VoteNow { last, last_era } } else { Body::Vote { last, last_era } };
            // The own vote must be durable before anybody can make it the one that decides.
            core.send(peer, Promise::Everything, body);
        }
        let deadline = core.election_deadline();
        Self::begin(core, false, called, deadline)
    }

    fn begin(core: &mut Core, pre: bool, called: bool, deadline: Instant) -> Self {
        core.attempts = core.attempts.saturating_add(1);
        Self {
            pre,
            called,
            votes: BTreeMap::from([(core.settings.node, true)]),
            voters: Memories::new(),
            known: Memories::new(),
            deadline,
        }
    }

    /// Takes a message of the own era.
    pub(super) fn step(&mut self, core: &mut Core, from: NodeId, memory: Memory, body: &Body) -> Transition {
        match body {
            Body::PreVoteReply { next, granted } if self.pre && *next == next_era(core) => {
                self.count(core, from, *granted)
            }
            Body::VoteReply { granted, memories } if !self.pre => {
                if memories.get(&core.settings.node).copied().unwrap_or_default() != core.hard.memory {
                    // It was given to a candidate that has forgotten having been one: the log was another.
                    sometimes!("raft.vote_for_a_lost_memory");
                    return Transition::Stay;
                }
                self.voters.entry(from).or_insert(memory);
                for (node, memory) in memories {
                    let known = self.known.entry(*node).or_default();
                    *known = (*known).max(*memory);
                }
                self.count(core, from, *granted)
            }
            // Somebody else has been elected in this era, or none was needed.
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Chosen { .. } | Body::Behind { .. } => {
                Transition::Follow(None)
            }
            // While only asking we have not voted in this era.
            Body::Vote { .. } | Body::VoteNow { .. } if self.pre => Transition::Follow(None),
            Body::Vote { .. } | Body::VoteNow { .. } => {
                core.send(from, Promise::Era, core.vote_reply(false));
                Transition::Stay
            }
            _ => {
                sometimes!("raft.stray_message");
                Transition::Stay
            }
        }
    }

    /// Counts an answer; the first one of each voter stands.
    fn count(&mut self, core: &mut Core, from: NodeId, granted: bool) -> Transition {
        if !self.votes.contains_key(&from) && !granted && !self.pre {
            self.deadline = core.after_refusal(self.deadline);
        }
        self.votes.entry(from).or_insert(granted);
        self.outcome(core)
    }

    /// What the answers so far amount to.
    pub(super) fn outcome(&self, core: &Core) -> Transition {
        // Members that have forgotten that they voted here: another voter knows it (see `recovery`).
        let void = |node: NodeId| self.votes.get(&node) == Some(&true) && self.is_void(core, node);
        // The own vote, too, counts when it is durable: a single voter must not lead an era that a crash can make it
        // forget and lead again.
        let own = self.pre || core.is_hard_state_durable();
        let granted = |node: NodeId| {
            let given = self.votes.get(&node) == Some(&true) && !self.is_void(core, node);
            given && (node != core.settings.node || own)
        };
        sometimes!("raft.vote_of_a_lost_memory", self.votes.keys().any(|node| void(*node)));
        let electing = core.configurations.electing();
        let elected = if planted!(5) {
            // akka-raft#49: the votes are counted, and not whose they are.
            electing.members().into_iter().filter(|node| granted(*node)).count() > electing.voters.len() / 2
        } else {
            electing.reached(granted)
        };
        // Planted 160: folklore has it that who is called needs no votes.
        if elected || planted!(160) && self.called {
            if self.pre { Transition::Campaign } else { Transition::Lead }
        } else if electing.refused(|node| self.votes.get(&node) == Some(&false)) {
            sometimes!("raft.campaign_refused");
            Transition::Follow(None)
        } else {
            Transition::Stay
        }
    }

    /// Nobody has listened here for so long: votes may have come.
    pub(super) fn paused(&mut self, core: &Core, length: Duration) {
        self.deadline = core.after_pause(self.deadline, length);
    }

    /// Has this voter lost the memory that voted?
    fn is_void(&self, core: &Core, node: NodeId) -> bool {
        let generation = |memories: &Memories| memories.get(&node).map_or(0, |memory| memory.generation);
        !self.pre
            && node != core.settings.node
            && generation(&self.voters) < generation(&self.known).max(generation(&core.hard.memories))
    }

    /// A silent attempt is made again from the first phase, so that a member cut off does not drive its era up.
    pub(super) fn handle_timeout(&mut self, core: &mut Core) -> Transition {
        if core.now >= self.deadline && core.abstains() {
            // Its leader had called it, and it was not elected.
            self.deadline = core.when_promise_ends(None);
        }
        if core.now < self.deadline { Transition::Stay } else { Transition::PreCampaign }
    }
}

pub(super) fn next_era(core: &Core) -> Era {
    Era(core.era().0 + 1)
}
