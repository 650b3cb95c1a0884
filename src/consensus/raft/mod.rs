//! **Raft**: one member of one group, as a pure machine.
//!
//! Diego Ongaro, *Consensus: Bridging Theory and Practice* (2014), and the shorter paper with John Ousterhout, *In
//! Search of an Understandable Consensus Algorithm* (2014). Sections below are the paper's unless marked "thesis". What
//! Raft calls *term* is an `Era` here, as the seam calls it for every protocol.
//!
//! # How it works
//! Time is cut into eras; each has at most one leader, elected by a quorum of votes (§5.2). The leader appends to its
//! own log and sends what is new to the followers, who append it where it continues their log and cut off what
//! conflicts (§5.3). What a quorum holds on disk is *chosen*, and stays so: a voter refuses a candidate whose log lacks
//! anything that its own may have chosen (§5.4.1), and a new leader counts only entries of its own era (§5.4.2).
//!
//! - `core` is what all roles share; `follower`, `candidate`, `leader` are the roles, each owning what
//!   only it knows. A role never changes itself: it answers with a `Transition`, carried out here.
//! - `raft_log` is the log with its marks, `progress` what the leader knows of one follower, `read_index` the reads.
//! - `configuration` knows which membership is in force, `change` is how a leader brings another about.
//! - `recovery` is for who is no member yet, `transfer` for who leads and is to go.
//! - `message` is what is sent and what is written. `invariants` is asserted after every call.
//!
//! # Around the paper
//! - **Pre-vote** (thesis §9.6): a member first asks whether it would be elected. Nobody's era moves for that, so a
//!   member that was cut off does not come back with an era that unseats a working leader.
//! - **Check-quorum** (thesis §6.2): a leader that no quorum has answered for an election time-out steps down.
//! - **Stickiness** (thesis §4.2.3): who does not suspect its leader refuses to elect another,
//!   and does not take over the candidate's era. A leader itself does so until check-quorum unseats it.
//! - **Patience**: a detector says when a silent leader is suspected ([`detection`](super::detection)); who stands for election
//!   first has an order in each group, see `patience`. Stickiness ends with the own suspicion.
//! - **Leadership transfer** (thesis §3.10), see [`transfer`].
//! - **Membership change** by joint consensus (thesis §4.3), see [`change`] and [`configuration`]. Voters vote for whom they do not
//!   know, and followers follow a leader that they do not know (thesis §4.2.2): the entry that names it may be on its way.
//! - **Pauses**: whoever has not listened for a while (a long command, a stopped process) first takes what has waited, and
//!   its patience is longer by the pause ([`Consensus::paused`]). Otherwise all members of a group would call each other
//!   silent after each long command. No safety rests on patience: a vote needs era and log, a read needs a round.
//! - **Pipelining**: the leader does not wait for an answer before it sends the next append, once it knows where the
//!   logs meet; a follower's refusal carries the era where the logs part, so that one answer skips a whole era (§5.3).
//! - **Forming and recovering** (Viewstamped Replication Revisited §4.3, mended), see [`recovery`]: a member whose disk is
//!   empty promises nothing before it knows what it may have promised; messages name the memory that speaks, and a vote carries
//!   what the voter knows of lost ones. The argument why that is safe stands there.
//! - **Early send** (thesis §10.2.1): appends leave before the leader's own disk has them. The leader counts itself
//!   only up to what [`Consensus::persisted`] has reported.
//! - **Read-index** (thesis §6.4), see `read_index`; and **leases** that spare its rounds, if asked for, see [`lease`].
//! - **Compaction** (thesis §5): what a checkpoint covers may be forgotten. A follower that needs it is told where the
//!   log begins (`Behind`); the state itself is not Raft's to carry: the follower's driver pulls it ([`Ready::fetch`]), in
//!   its own pace and from whom it likes, for what was executed is the same everywhere (figure 13 of the paper pushes it
//!   through the leader).
//! - All that was proposed between two calls of [`Consensus::ready`] leaves in one append per follower, which is
//!   encoded once for all followers at the same place.
//!
//! # Invariants
//! - *Election safety*: a vote leaves only when it is durable, and once an era; at most one leader an era.
//! - *Leader append-only*: a leader never cuts its own log.
//! - *Log matching*: equal era at equal index means equal logs up to there.
//! - *Leader completeness*: what is chosen is in the log of every later leader.
//! - `committed` never falls, and never passes what is known to match a leader of this era.
//! - An acknowledgement leaves only when what it names is durable here. It counts only from a member that has a voice.
//! - A membership is in force from the moment at which it is appended, and goes when it is cut off; what needs a majority needs
//!   one of the membership in force at who counts, and while that is joint one of each half.
//! - A follower's match falls only when its disk has lost something: known damage, or another memory.
//! - A read is answered only after a quorum has confirmed the leader after the read's arrival, or while a quorum's promises to
//!   elect nobody run, and an entry of the leader's era is chosen.
//! - A member with a hole in its log (rules A12 ii) votes by the position it had before the damage, follows, and
//!   acknowledges what is really there again; it does not campaign. Nor does one that lacks the state which its log
//!   continues; it executes nothing until it has one.
//! - What is compacted was chosen, executed and durable here. A snapshot never takes back what was executed.
//! - No message, however malformed, and no time, however late, makes it panic. Only a broken invariant does.
//!
//! # Caveats
//! - Nodes that once formed a group, were replaced, and come back with empty disks and the old list of nodes cannot be told from
//!   a group to be formed: they form one. Whoever builds members must not give that list to a node that has left.
//! - An acknowledgement of a member that lacks its state counts: what it names is durable there. If the others are then lost
//!   for good, nobody can be elected.
//! - A member cannot be elected while a quorum hears a leader that it does not: with partial connectivity the group
//!   may keep a leader that some clients cannot reach. They reach it through other nodes.
//! - If the only member connected to all others has a stale log, nobody is elected until the network heals
//!   (Omni-Paxos calls it the constrained election).
//! - If more than a minority has lost its memory at once, the group stops and says for whom it waits.
//! - If a quorum is damaged at the same entry, the group stops rather than choose.

mod candidate;
mod change;
mod configuration;
mod core;
mod follower;
mod invariants;
mod leader;
mod lease;
mod message;
pub(super) mod offline;
mod patience;
mod progress;
mod raft_log;
mod read_index;
mod recovery;
mod transfer;

#[cfg(test)]
mod tests;

use self::candidate::{Candidate, next_era};
use self::core::{Core, Promise};
use self::follower::{Follower, is_up_to_date};
use self::leader::Leader;
pub(super) use self::message::describe;
use self::message::{Body, Message, Phase, encode_entry};
use self::recovery::Recovery;
use super::{
    Change, Config, Consensus, Floor, FollowerStatus, Membership, NotLeader, Payload, Ready, Recovered, Refused, Role,
    Standing, Status, Unreadable,
};
use crate::types::{Duration, Era, Instant, LogIndex, NodeId};
use crate::{planted, sometimes};
use bytes::Bytes;

/// No era gets there by counting; a message that says so is garbage, and adopting it would leave no room above.
const MAX_ERA: Era = Era(1 << 62);

/// A member of a group.
#[derive(Debug)]
pub struct Raft {
    core: Core,
    role: RoleState,
    /// There while it has no memory and is no member.
    recovery: Option<Recovery>,
}

#[derive(Debug)]
enum RoleState {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
}

/// What a role wants to become.
#[derive(Debug, PartialEq, Eq)]
enum Transition {
    /// What it is.
    Stay,
    /// A follower in the same era.
    Follow(Option<NodeId>),
    /// A candidate that only asks.
    PreCampaign,
    /// A candidate of the next era.
    Campaign,
    /// Likewise, because its leader asks it to.
    TakeOver,
    /// The leader of this era.
    Lead,
}

impl Raft {
    /// A member at the beginning of a life.
    ///
    /// # Errors
    /// [`Unreadable`] if what recovery found makes no sense.
    pub fn new(config: Config, recovered: Recovered) -> Result<Self, Unreadable> {
        let core = Core::new(config, recovered)?;
        let recovery = (!core.is_member()).then(Recovery::default);
        let raft = Self { core, role: RoleState::Follower(Follower::at_start()), recovery };
        invariants::check(&raft);
        Ok(raft)
    }

    /// Carries a transition out, and those that follow from it at once: a single voter need not ask.
    fn become_role(&mut self, mut transition: Transition) {
        loop {
            let next = match transition {
                Transition::Stay => return,
                Transition::Follow(leader) => RoleState::Follower(Follower::new(&mut self.core, leader)),
                Transition::PreCampaign => RoleState::Candidate(Candidate::ask(&mut self.core)),
                Transition::Campaign => RoleState::Candidate(Candidate::campaign(&mut self.core, false)),
                Transition::TakeOver => RoleState::Candidate(Candidate::campaign(&mut self.core, true)),
                Transition::Lead => RoleState::Leader(Leader::begin(&mut self.core)),
            };
            let before = self.role();
            if let RoleState::Leader(leader) = std::mem::replace(&mut self.role, next) {
                leader.end(&mut self.core);
            }
            if self.role() != before {
                self.core.role_changed = Some(self.role());
            }
            transition = match &self.role {
                RoleState::Candidate(candidate) => candidate.outcome(&self.core),
                _ => Transition::Stay,
            };
        }
    }

    fn role(&self) -> Role {
        match self.role {
            RoleState::Follower(_) => Role::Follower,
            RoleState::Candidate(_) => Role::Candidate,
            RoleState::Leader(_) => Role::Leader,
        }
    }

    fn leader(&self) -> Option<NodeId> {
        match &self.role {
            RoleState::Follower(follower) => follower.leader,
            RoleState::Candidate(_) => None,
            RoleState::Leader(_) => Some(self.core.settings.node),
        }
    }

    /// Has this member a leader that nobody may unseat now?
    fn sticks_to_leader(&self) -> bool {
        match &self.role {
            RoleState::Follower(follower) => follower.sticks_to_leader(&self.core),
            RoleState::Candidate(_) => false,
            RoleState::Leader(_) => true,
        }
    }

    /// Answers "would you vote for me?". Changes nothing: a grant binds nobody.
    fn pre_vote(&mut self, from: NodeId, next: Era, last: LogIndex, last_era: Era) {
        if planted!(11) && next > next_era(&self.core) {
            // canonical/raft#279: a question from an era ahead of ours is left unanswered.
            return;
        }
        let sticks = self.sticks_to_leader();
        sometimes!("raft.pre_vote_refused_for_leader", sticks);
        let abstains = self.core.abstains();
        sometimes!("raft.pre_vote_refused_by_promise", abstains && !sticks);
        let granted = !sticks && !abstains && next > self.core.era() && is_up_to_date(&self.core, last, last_era);
        self.core.send(from, Promise::Era, Body::PreVoteReply { next, granted });
    }

    /// Compares eras (§5.1) and tells whether the message is still to be taken by the role, now in the same era.
    fn settle_era(&mut self, from: NodeId, era: Era, body: &Body) -> bool {
        let own = self.core.era();
        if era > own {
            if matches!(body, Body::Vote { .. }) && (self.sticks_to_leader() || self.core.abstains()) {
                sometimes!("raft.vote_refused_for_leader");
                return false;
            }
            sometimes!("raft.leader_deposed", self.role() == Role::Leader);
            self.core.enter_era(era);
            if planted!(18) && self.role() == Role::Leader {
                // camunda#5360: what the role still does on leaving is done in the era that has ended it.
                self.core.push(encode_entry(era, &Payload::Empty));
            }
            self.become_role(Transition::Follow(None));
        } else if era < own {
            match body {
                Body::Append { .. } | Body::Heartbeat { .. } | Body::Chosen { .. } | Body::Behind { .. } => {
                    sometimes!("raft.outdated_leader_told");
                    self.core.send(from, Promise::Era, Body::Outdated);
                }
                Body::Vote { .. } | Body::VoteNow { .. } => {
                    self.core.send(from, Promise::Era, self.core.vote_reply(false))
                }
                // raft-rs#221: a vote given in an earlier era is counted in this one.
                Body::VoteReply { .. } if planted!(6) => return true,
                _ => {}
            }
            return false;
        }
        true
    }

    /// Takes a well-formed message of a voter.
    fn receive(&mut self, from: NodeId, message: Message) {
        let Message { era, memory, recovering, body } = message;
        match body {
            Body::Ask => return self.asked(from, memory),
            Body::Forgotten { generation } => return self.forgotten(generation),
            Body::Answer { .. } => return self.answered(from, era, memory, body),
            _ if !self.may_take(&body) => {
                return if is_leaders(&body) {
                    self.taught(from)
                };
            }
            _ if !self.hear_memory(from, memory) => return,
            _ => {}
        }
        match body {
            Body::PreVote { next, last, last_era } => return self.pre_vote(from, next, last, last_era),
            // Sent by somebody behind us: still an answer to our question.
            Body::PreVoteReply { granted: true, .. } if era <= self.core.era() => {}
            Body::PreVoteReply { granted: false, .. } if planted!(11) && era > self.core.era() => {}
            _ if self.settle_era(from, era, &body) => {}
            _ => return,
        }
        if let RoleState::Candidate(candidate) = &mut self.role {
            let transition = candidate.step(&mut self.core, from, memory, &body);
            self.become_role(transition);
        }
        if let (RoleState::Follower(follower), Body::TimeoutNow) = (&self.role, &body) {
            let transition = follower.called(&self.core, from);
            return self.become_role(transition);
        }
        match &mut self.role {
            RoleState::Follower(follower) => follower.step(&mut self.core, from, body),
            RoleState::Leader(leader) => leader.step(&mut self.core, from, recovering, body),
            RoleState::Candidate(_) => {}
        }
        self.advance_recovery();
    }

    /// Who recovers listens to a leader and to nobody else; who is blank does not know whom to believe.
    fn may_take(&self, body: &Body) -> bool {
        match self.core.hard.phase {
            Phase::Member => true,
            Phase::Recovering => is_leaders(body),
            Phase::Blank => false,
        }
    }
}

/// Is this what only a leader says?
fn is_leaders(body: &Body) -> bool {
    matches!(body, Body::Append { .. } | Body::Heartbeat { .. } | Body::Chosen { .. } | Body::Behind { .. })
}

impl Consensus for Raft {
    fn step(&mut self, now: Instant, from: NodeId, message: &[u8]) {
        self.core.tell(now);
        if from == self.core.settings.node {
            return;
        }
        sometimes!("raft.message_of_a_stranger", !self.core.membership().contains(from));
        match Message::decode(message) {
            Some(message) if message.era < MAX_ERA => self.receive(from, message),
            _ => sometimes!("raft.malformed_message"),
        }
        invariants::check(self);
    }

    fn propose(&mut self, now: Instant, payload: Bytes) -> Result<(), NotLeader> {
        self.core.tell(now);
        let RoleState::Leader(leader) = &mut self.role else { return Err(NotLeader { leader: self.leader() }) };
        if let Some(transfer) = leader.transfer {
            sometimes!("raft.proposal_refused_in_transfer");
            return Err(NotLeader { leader: Some(transfer.to) });
        }
        if leader.leaves {
            return Err(NotLeader { leader: None });
        }
        leader.propose(&mut self.core, payload);
        invariants::check(self);
        Ok(())
    }

    fn transfer(&mut self, now: Instant, to: Option<NodeId>) -> Option<NodeId> {
        self.core.tell(now);
        let RoleState::Leader(leader) = &mut self.role else { return None };
        let to = leader.transfer(&mut self.core, to);
        invariants::check(self);
        to
    }

    fn change(&mut self, now: Instant, change: Change) -> Result<(), Refused> {
        self.core.tell(now);
        let RoleState::Leader(leader) = &mut self.role else {
            return Err(Refused::NotLeader { leader: self.leader() });
        };
        let result = leader.change(&mut self.core, &change);
        invariants::check(self);
        result
    }

    fn membership(&self) -> &Membership {
        self.core.membership()
    }

    fn followers(&self) -> Vec<FollowerStatus> {
        match &self.role {
            RoleState::Leader(leader) => leader.follower_statuses(&self.core),
            _ => Vec::new(),
        }
    }

    fn prefer(&mut self, leader: Option<NodeId>) {
        self.core.preferred = leader;
    }

    fn read_barrier(&mut self, now: Instant, token: u64) -> Result<(), NotLeader> {
        self.core.tell(now);
        let RoleState::Leader(leader) = &mut self.role else { return Err(NotLeader { leader: self.leader() }) };
        leader.read_barrier(&mut self.core, token);
        Ok(())
    }

    fn next_timeout(&self) -> Instant {
        let role = match &self.role {
            RoleState::Follower(follower) => follower.deadline.unwrap_or_default(),
            RoleState::Candidate(candidate) => candidate.deadline,
            RoleState::Leader(leader) => leader.next_timeout(&self.core),
        };
        self.recovery.as_ref().map_or(role, |recovery| role.min(recovery.next_timeout()))
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core.tell(now);
        self.recovery_timeout();
        let transition = match &mut self.role {
            RoleState::Follower(follower) => follower.handle_timeout(&mut self.core),
            RoleState::Candidate(candidate) => candidate.handle_timeout(&mut self.core),
            RoleState::Leader(leader) => leader.handle_timeout(&mut self.core),
        };
        self.become_role(transition);
        invariants::check(self);
    }

    fn paused(&mut self, now: Instant, length: Duration) {
        self.core.tell(now);
        match &mut self.role {
            RoleState::Follower(follower) => follower.paused(&mut self.core, length),
            RoleState::Candidate(candidate) => candidate.paused(&self.core, length),
            RoleState::Leader(leader) => leader.paused(&self.core, length),
        }
        invariants::check(self);
    }

    fn peer_gone(&mut self, now: Instant, peer: NodeId) {
        self.core.tell(now);
        self.leader_gone(peer);
        invariants::check(self);
    }

    fn suspicion(&self, now: Instant) -> Option<u32> {
        match &self.role {
            RoleState::Follower(follower) => follower.suspicion(&self.core, now),
            RoleState::Candidate(_) | RoleState::Leader(_) => None,
        }
    }

    fn ready(&mut self) -> Option<Ready> {
        if let RoleState::Leader(leader) = &mut self.role {
            leader.flush(&mut self.core);
        }
        if self.core.is_idle() {
            return None;
        }
        let ready = self.core.take_ready();
        invariants::check(self);
        Some(ready)
    }

    fn persisted(&mut self, now: Instant, number: u64) {
        self.core.tell(now);
        self.core.persisted(number);
        match &mut self.role {
            RoleState::Leader(leader) => leader.choose(&mut self.core),
            RoleState::Candidate(candidate) => {
                let transition = candidate.outcome(&self.core);
                self.become_role(transition);
            }
            RoleState::Follower(_) => self.advance_recovery(),
        }
        invariants::check(self);
    }

    fn compact(&mut self, through: LogIndex) {
        self.core.log.compact(through);
        invariants::check(self);
    }

    fn installed(&mut self, now: Instant, floor: Floor, membership: Option<&Bytes>) -> bool {
        self.core.tell(now);
        let named = membership.map(|bytes| Membership::decode(bytes));
        if !self.core.log.is_news(floor) || named == Some(None) {
            sometimes!("raft.old_snapshot_refused");
            return false;
        }
        if floor.era > self.core.era() {
            self.core.enter_era(floor.era);
            self.become_role(Transition::Follow(None));
        } else if self.role() != Role::Follower && self.core.log.era_at(floor.index) != Some(floor.era) {
            // Something was chosen without us: whatever we are about, others are further.
            sometimes!("raft.leader_learned_from_snapshot", self.role() == Role::Leader);
            self.become_role(Transition::Follow(None));
        }
        self.core.install(floor, named.flatten());
        if let Some(leader) = self.leader().filter(|leader| *leader != self.core.settings.node) {
            self.core.agree(floor.index);
            self.core.send(leader, Promise::Everything, Body::AppendMatched { matched: floor.index });
        }
        invariants::check(self);
        true
    }

    fn status(&self) -> Status {
        Status {
            role: self.role(),
            era: self.core.era(),
            leader: self.leader(),
            last: self.core.log.last(),
            committed: self.core.log.committed(),
            floor: self.core.log.floor(),
            lacks_state: self.core.log.lacks_state(),
            standing: match self.core.durable_phase() {
                Phase::Member => Standing::Member,
                Phase::Recovering => Standing::Recovering,
                Phase::Blank if self.core.membership().is_unknown() => Standing::Outside,
                Phase::Blank => Standing::Forming,
            },
            successor: match &self.role {
                RoleState::Leader(leader) => leader.transfer.map(|transfer| transfer.to),
                _ => None,
            },
            configuration: self.core.membership().id,
            joint: self.core.membership().is_joint(),
            settled: self.core.configurations.is_settled()
                && match &self.role {
                    RoleState::Leader(leader) => self.core.log.committed() >= leader.first,
                    _ => true,
                },
            voter: self.core.membership().is_voter(self.core.settings.node),
        }
    }

    fn awaited(&self) -> Vec<NodeId> {
        self.recovery.as_ref().map(|recovery| recovery.awaited(&self.core)).unwrap_or_default()
    }

    fn position(&self, index: LogIndex) -> Option<Floor> {
        self.core.log.era_at(index).map(|era| Floor { index, era })
    }

    fn durable(&self) -> LogIndex {
        self.core.log.durable()
    }

    fn bytes_behind(&self, index: LogIndex) -> Option<u64> {
        self.core.log.bytes_behind(index)
    }

    fn inspect(&self, index: LogIndex) -> Option<(Era, u64)> {
        let entry = self.core.log.entry(index)?;
        Some((entry.era, xxhash_rust::xxh3::xxh3_64(&entry.encoded)))
    }
}
