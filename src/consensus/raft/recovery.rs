//! Members without a memory: how a group is formed, how one whose disk is lost becomes a member again, under its old
//! name and without a change of membership, and how a node that a change takes in becomes a member at all.
//!
//! After Liskov and Cowling, *Viewstamped Replication Revisited* (2012), §4.3, mended after Michael, Ports, Sharma and
//! Szekeres, *Recovering Shared Objects Without Stable Storage* (DISC '17): the published protocol trusts that what the earlier
//! life said is no longer on its way. Here a late vote may be, so that lives are told apart.
//!
//! # Memories
//! What a member has promised it knows by its **memory**, the content of its disk. Each has an identity: a generation and a
//! nonce. A restart keeps it, a lost disk begins another. Every message says whose memory speaks; every member remembers,
//! durably, the latest generation that it has met of each other, and believes no earlier one.
//!
//! # The protocol
//! A member that finds no hard state is **blank**. It asks all others ([`Body::Ask`]), at once and again each heartbeat, and
//! says nothing else. Asking names a new memory; who answers has noted it durably before. Who knows of an earlier one of that
//! generation answers [`Body::Forgotten`], and it asks again with a higher.
//!
//! - **Forming**: when *all* others have answered this memory that they are blank too, or *pristine* (members of era 0 with an
//!   empty log: formed a moment before), it is a member of era 0. So a group is formed once, when all of it is there, and
//!   a crash or a loss in the middle leaves it blank or pristine, which is the same to the others.
//! - **Recovering**: when one of them is neither, there is something to be known. It writes down that it is recovering, and
//!   follows the leader without a voice: what it acknowledges is marked and counts for nothing, it neither votes nor
//!   campaigns. It is a member again when
//!   1. a quorum of *other* members that are not recovering themselves has answered this memory,
//!   2. one of them led the highest era of these answers, and it is in that era,
//!   3. its log agrees with that leader's up to the last index of that answer (or an installed state covers that), and is
//!      durable up to there.
//!
//!   It writes that down together with a vote for that leader: in that era its vote is given away.
//!
//! # Newcomers
//! A node that belongs to no group yet is blank too, and knows nobody to ask. When a leader speaks to it, it asks that leader, and then
//! whomever the answers name. The rest is as above: that it has never promised anything is nothing that it can know, for it may have
//! belonged to the group, and its files may have been removed when it left.
//!
//! Who belongs to the group, one without memory takes from the leader's answer, and a quorum is one of that membership: of both
//! halves, while voters change. The answers may be older than a change. That is harmless, since memberships that follow
//! each other have quorums that meet, a change is chosen before the next begins, and a change that was begun after the leader had
//! answered is chosen without the help of the lost memory: who campaigns under it was not voted for by that one.
//!
//! # Why it is safe
//! Let member c have lost memory g, and recover as g' by the answers R, the highest era in them e, led by L. All answers were
//! given after g was lost. A quorum without c and R have a member in common, for R is a quorum without c.
//!
//! - *What g has voted.* Let g have voted for X in era k. If X was elected before R answered, one of its voters answers with k or
//!   more (its own memory, or by induction a later one), so that k ≤ e; g' has given its vote of e away and does not go back. If k > e,
//!   no voter of X in R had voted when it answered; it had noted g' before it voted, and a vote carries what its voter has
//!   noted ([`Body::VoteReply`]): X finds that g is void and does not count it. That holds through further lost memories, since R
//!   is taken only as far as no answer names a later memory of another that answered, and those who recover inherit
//!   what the answers have noted.
//! - *What g has acknowledged.* Let an entry be chosen in era k with an acknowledgement of g. The leader of k was elected before,
//!   so e ≥ k by the above. If e > k, L has it by leader completeness. If e = k, L had appended it before g acknowledged it,
//!   hence before it answered g', and condition 3 covers it. Until then c has no voice, and a quorum without c shares a member
//!   with those who acknowledged besides c. An acknowledgement of g that comes late is true of the past; L, once it knows g', does not take
//!   it, and begins its book of c anew.
//! - *Whom g asked for votes.* A vote names the memory that it answers: one that g was given is not counted by g'.
//! - *What g led.* If g led e or a later era, nobody answers that he leads it: c waits for a later leader.
//! - *A crash in the middle* finds the mark "recovering" and the same memory: nothing was promised in between, and asking goes on.
//!
//! # Caveats
//! - What is known of those who have left the group is kept: a name for every replacement, in a hard state of which all groups of a worker
//!   have 64 KiB. Forgetting the names and keeping the greatest generation for everybody was tried, and undone: a founder that had lost
//!   its disk could take a generation above it and be believed, and every later join gave all voters new names.
//! - When more than a minority has lost its memory at once, no quorum of others is left to answer: the group stops, and says
//!   for whom it waits. When *all* are empty they cannot be told from a new group, and form one.
//! - A member that knows it has lost something ([`crate::consensus::Recovered::amnesia`]) never forms: it recovers or waits. So does
//!   a group of two of which one is lost.
//! - Who founded the group alone, and has lost its disk since others joined, finds nobody to ask when it is started as it was then: it
//!   forms a group of its own, with a first memory once more. The others know another first one, and believe nothing that it says; it
//!   follows them without ever having a voice. It is to be removed, and to join under a new number. (When generations alone were
//!   compared, it was believed, and its vote cost an acknowledged entry.)
//! - A member that has formed and lost everything before all others have met it may, with a second one lost in the same moment,
//!   hold up the forming: nothing is lost then, and emptying all directories begins anew.

use super::Raft;
use super::RoleState;
use super::Transition;
use super::core::{Core, Promise};
use super::message::{Body, Memories, Memory, Phase};
use crate::consensus::{MAX_MEMBERS, Membership};
use crate::types::{Era, Instant, LogIndex, NodeId};
use crate::{planted, sometimes};
use std::collections::{BTreeMap, BTreeSet};

/// Asks go out each heartbeat so often; then each election time-out.
const EAGER_ASKS: u32 = 40;
/// No generation gets there by counting.
const MAX_GENERATION: u64 = 1 << 62;

/// What a member without memory has learned.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Leaders that have spoken to a member that does not know them: whom to ask when nobody else is known.
    teachers: BTreeSet<NodeId>,
    /// Latest answer of each.
    answers: BTreeMap<NodeId, Answered>,
    asks: u32,
    /// When to ask again. `None`: at once.
    ask_at: Option<Instant>,
    /// Era of the first leader that it followed.
    first_era: Option<Era>,
}

/// An answer.
#[derive(Debug)]
struct Answered {
    era: Era,
    memory: Memory,
    phase: Phase,
    last: LogIndex,
    leads: bool,
    memories: Memories,
    membership: Membership,
}

impl Answered {
    /// Of a group in which nothing has happened.
    fn is_new(&self) -> bool {
        match self.phase {
            Phase::Blank => true,
            Phase::Recovering => false,
            Phase::Member => self.era == Era(0) && self.last == LogIndex(0),
        }
    }
}

impl Recovery {
    pub(super) fn next_timeout(&self) -> Instant {
        self.ask_at.unwrap_or_default()
    }

    /// Whom it waits for.
    pub(super) fn awaited(&self, core: &Core) -> Vec<NodeId> {
        let enough = |phase: Phase| phase == Phase::Member || (phase == core.hard.phase && phase == Phase::Blank);
        let voters = core.peers().filter(|peer| core.membership().is_voter(*peer));
        voters.filter(|peer| self.answers.get(peer).is_none_or(|answer| !enough(answer.phase))).collect()
    }

    /// Whom it asks: whoever may belong to the group.
    fn asked(&self, core: &Core) -> BTreeSet<NodeId> {
        let named = self.answers.values().flat_map(|answer| answer.membership.members());
        let all = core.peers().chain(self.teachers.iter().copied()).chain(named);
        all.filter(|node| *node != core.settings.node).collect()
    }

    /// The index that the log must reach, if enough have answered for this leader of our era.
    fn target(&self, core: &Core, leader: NodeId) -> Option<LogIndex> {
        let valid = |(node, answer): &(&NodeId, &Answered)| {
            let known = core.hard.memories.get(node).copied().unwrap_or_default();
            answer.phase == Phase::Member && answer.era <= core.era() && answer.memory.generation >= known.generation
        };
        let leads = |answer: &&Answered| answer.leads && answer.era == core.era();
        let valid: BTreeMap<&NodeId, &Answered> = self.answers.iter().filter(valid).collect();
        let answer = valid.get(&leader).copied().filter(leads)?;
        // A follower that is taken in before it holds what its leader held: what its earlier memory acknowledged is missing.
        let target = if planted!(88) { LogIndex(0) } else { answer.last };
        // A majority as that leader sees it: of both halves, while voters change.
        answer.membership.reached(|node| valid.contains_key(&node)).then_some(target)
    }
}

impl Raft {
    /// Asks, if it is time.
    pub(super) fn recovery_timeout(&mut self) {
        let Some(recovery) = &mut self.recovery else { return };
        let core = &mut self.core;
        if recovery.ask_at.is_some_and(|at| core.now < at) {
            return;
        }
        let interval =
            if recovery.asks < EAGER_ASKS { core.settings.heartbeat } else { core.settings.election_timeout };
        recovery.asks = recovery.asks.saturating_add(1);
        recovery.ask_at = Some(core.now + interval);
        for peer in recovery.asked(core) {
            core.send(peer, Promise::Everything, Body::Ask);
        }
        self.advance_recovery();
        self.leave_leader_behind();
    }

    /// Enough have answered, and none of them led the highest era: who leads an earlier one must learn that it is over.
    fn leave_leader_behind(&mut self) {
        let Some(recovery) = self.recovery.as_ref().filter(|_| self.core.hard.phase == Phase::Recovering) else {
            return;
        };
        let members = recovery.answers.values().filter(|answer| answer.phase == Phase::Member);
        let is_member = |node| recovery.answers.get(&node).is_some_and(|answer| answer.phase == Phase::Member);
        // As the one who knows of the highest era sees the group.
        let last = members.clone().max_by_key(|answer| answer.era);
        let answered = last.is_some_and(|answer| answer.membership.reached(is_member));
        let has_target = self.leader().is_some_and(|leader| recovery.target(&self.core, leader).is_some());
        let highest = members.map(|answer| answer.era).max().unwrap_or_default();
        if answered && !has_target && recovery.asks > 2 && highest > self.core.era() {
            self.core.enter_era(highest);
            self.become_role(Transition::Follow(None));
        }
    }

    /// A leader speaks to who knows nothing: it is one to ask.
    pub(super) fn taught(&mut self, leader: NodeId) {
        let Some(recovery) = &mut self.recovery else { return };
        if recovery.teachers.len() < MAX_MEMBERS && recovery.teachers.insert(leader) {
            sometimes!("raft.taken_in", self.core.membership().is_unknown());
            recovery.ask_at = Some(self.core.now);
        }
    }

    /// Somebody without memory asks.
    pub(super) fn asked(&mut self, from: NodeId, asker: Memory) {
        if self.core.hard.phase != Phase::Blank {
            let known = self.core.hard.memories.get(&from).copied().unwrap_or_default();
            if asker != known && asker.generation <= known.generation {
                sometimes!("raft.recovery_generation_taken");
                return self.core.send(from, Promise::Era, Body::Forgotten { generation: known.generation });
            }
            self.believe(from, asker);
        }
        let leads = matches!(self.role, RoleState::Leader(_));
        sometimes!("raft.recovery_leader_asked", leads);
        let hard = &self.core.hard;
        let (phase, last, memories) = (hard.phase, self.core.log.last(), hard.memories.clone());
        let membership = self.core.membership().clone();
        // What is noted of the asker must be durable, and with it the phase and the era that the answer tells.
        let answer = Body::Answer { asker, phase, last, leads, memories, membership };
        self.core.send(from, Promise::Everything, answer);
    }

    /// Takes what a memory says of itself: `false` if it is void.
    pub(super) fn hear_memory(&mut self, from: NodeId, memory: Memory) -> bool {
        let known = self.core.hard.memories.get(&from).copied().unwrap_or_default();
        // Of one generation there is one: who founded the group alone and has lost its disk founds another one, and speaks as its first
        // life did.
        if memory != known && memory.generation <= known.generation {
            sometimes!("raft.message_of_a_lost_memory");
            self.core.send(from, Promise::Era, Body::Forgotten { generation: known.generation });
            return false;
        }
        if memory.generation < MAX_GENERATION {
            self.believe(from, memory);
        }
        true
    }

    /// From now on this memory is the other's.
    fn believe(&mut self, from: NodeId, memory: Memory) {
        if self.core.hard.memories.get(&from).copied().unwrap_or_default() == memory {
            return;
        }
        self.core.hard.memories.insert(from, memory);
        if let RoleState::Leader(leader) = &mut self.role {
            sometimes!("raft.follower_lost_its_memory");
            leader.begin_anew(&self.core, from);
        }
    }

    /// Somebody knows a later memory of ours than the one that has spoken.
    pub(super) fn forgotten(&mut self, generation: u64) {
        let nonce = self.core.dice();
        let hard = &mut self.core.hard;
        if generation < hard.memory.generation || generation >= MAX_GENERATION {
            return;
        }
        if hard.phase == Phase::Member && generation == hard.memory.generation {
            return;
        }
        // A member that remembers may call its memory as it likes, as long as the name is new.
        hard.memory.generation = generation + 1;
        sometimes!("raft.memory_renamed", hard.phase == Phase::Member);
        if hard.phase != Phase::Member {
            hard.memory.nonce = nonce;
        }
        if self.core.hard.phase == Phase::Blank {
            self.core.stay_unwritten();
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.answers.clear();
            recovery.ask_at = Some(self.core.now);
        }
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, from: NodeId, era: Era, memory: Memory, body: Body) {
        let Body::Answer { asker, phase, last, leads, memories, membership } = body else { return };
        let own = self.core.hard.memory;
        let Some(recovery) = self.recovery.as_mut().filter(|_| asker == own) else {
            return sometimes!("raft.recovery_late_answer");
        };
        let mut answer = Answered { era, memory, phase, last, leads, memories, membership };
        if let Some(before) = recovery.answers.get(&from)
            && (before.era, before.leads, before.memory) == (era, true, memory)
        {
            // Whatever the leader held at any moment since we ask is enough: who chases its end may never get there.
            answer = Answered { last: before.last.min(last), leads: true, ..answer };
        }
        recovery.answers.insert(from, answer);
        if self.core.hard.phase == Phase::Recovering {
            self.inherit();
        }
        self.advance_recovery();
    }

    /// Looks whether enough is known for the next step.
    pub(super) fn advance_recovery(&mut self) {
        let Some(recovery) = &mut self.recovery else { return };
        if self.core.hard.phase == Phase::Blank {
            let answers = &recovery.answers;
            // redisraft#654: who finds nothing takes itself for a member like any other.
            let (group, own) = (self.core.membership(), self.core.settings.node);
            let is_new = |node: &NodeId| *node == own || answers.get(node).is_some_and(Answered::is_new);
            let all = group.voters.contains(&own) && group.voters.iter().all(is_new) || planted!(59);
            if all && answers.values().all(Answered::is_new) {
                self.core.hard.phase = Phase::Member;
            } else if answers.values().any(|answer| answer.phase == Phase::Member && !answer.is_new()) {
                sometimes!("raft.recovering");
                self.core.hard.phase = Phase::Recovering;
            } else {
                return;
            }
            self.inherit();
        }
        if self.core.hard.phase == Phase::Member {
            sometimes!("raft.formed");
            self.core.formed(None);
            self.recovery = None;
            return;
        }
        self.rejoin();
    }

    /// Notes what those who have answered know of the others' memories.
    fn inherit(&mut self) {
        let Some(recovery) = &self.recovery else { return };
        let own = self.core.settings.node;
        for (node, answer) in &recovery.answers {
            let named = answer.memories.iter().map(|(node, memory)| (*node, *memory));
            for (node, memory) in named.chain([(*node, answer.memory)]).filter(|(node, _)| *node != own) {
                let known = self.core.hard.memories.entry(node).or_default();
                if memory.generation > known.generation {
                    *known = memory;
                }
            }
        }
    }

    /// Becomes a member again, if the log has what it must have.
    fn rejoin(&mut self) {
        let (Some(leader), Some(recovery)) = (self.leader(), &mut self.recovery) else { return };
        let core = &mut self.core;
        let first = *recovery.first_era.get_or_insert(core.era());
        let Some(target) = recovery.target(core, leader) else { return };
        if core.agreed() < target || core.log.durable() < target || core.log.lacks_state() {
            sometimes!("raft.recovering_behind_its_leader");
            return;
        }
        sometimes!("raft.recovered");
        sometimes!("raft.recovered_after_leader_change", core.era() > first);
        sometimes!("raft.recovered_again", core.hard.memory.generation > 2);
        core.hard.phase = Phase::Member;
        core.hard.vote = Some(leader);
        let membership = recovery.answers.get(&leader).map(|answer| answer.membership.clone());
        // What the log says of later ones stands above it.
        core.formed(membership.filter(|membership| membership.id == Membership::FIRST));
        self.recovery = None;
        let matched = core.agreed();
        core.send(leader, Promise::Everything, Body::AppendMatched { matched });
    }
}
