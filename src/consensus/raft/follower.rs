//! The passive side: follows a leader's log, and votes.

use super::Transition;
use super::core::{Core, Promise};
use super::message::{Body, Hole, WireEntry, decode_entry};
use super::raft_log::Entry;
use crate::consensus::Floor;
use crate::consensus::detection::SUSPECTED;
use crate::types::{Duration, Era, Instant, LogIndex, NodeId};
use crate::{planted, sometimes};

/// A follower.
#[derive(Debug)]
pub(super) struct Follower {
    /// Whom it follows.
    pub(super) leader: Option<NodeId>,
    /// The leader's own machine says that nobody listens there any more.
    pub(super) gone: bool,
    /// When it loses patience. `None` until time is known.
    pub(super) deadline: Option<Instant>,
}

impl Follower {
    pub(super) fn new(core: &mut Core, leader: Option<NodeId>) -> Self {
        core.detector.begin(core.now);
        Self { leader, gone: false, deadline: Some(core.election_deadline()) }
    }

    /// At the beginning of a life, when no time is known: the first call tells it.
    pub(super) fn at_start() -> Self {
        Self { leader: None, gone: false, deadline: None }
    }

    /// Has a leader been heard so lately that nobody else may be elected? Together with the leader's own stepping down
    /// this keeps a member with a bad link from unseating a leader that serves everybody else.
    pub(super) fn sticks_to_leader(&self, core: &Core) -> bool {
        self.leader.is_some() && !self.gone && core.now < core.detector.suspected_at()
    }

    /// How suspicious its leader's silence is, in thousandths; `None` without one.
    pub(super) fn suspicion(&self, core: &Core, now: Instant) -> Option<u32> {
        let level = core.detector.level(core.now.max(now));
        self.leader.map(|_| if self.gone { level.max(SUSPECTED) } else { level })
    }

    /// A message of this era's leader.
    fn hear(&mut self, core: &mut Core, from: NodeId, regular: bool) -> bool {
        if self.leader.is_some_and(|leader| leader != from) {
            // Two leaders of one era: election safety is broken elsewhere; obeying both would spread it.
            sometimes!("raft.second_leader_ignored");
            return false;
        }
        if self.leader.replace(from).is_none() {
            core.detector.begin(core.now);
        }
        sometimes!("raft.leader_that_had_gone_is_heard", self.gone);
        (self.gone, core.attempts) = (false, 0);
        core.detector.alive(core.now, regular);
        self.deadline = Some(core.patience_ends(from));
        true
    }

    /// Takes a message of the own era.
    pub(super) fn step(&mut self, core: &mut Core, from: NodeId, body: Body) {
        match body {
            Body::Append { previous, previous_era, entries, committed } if self.hear(core, from, false) => {
                append(core, from, previous, previous_era, entries, committed);
            }
            Body::Heartbeat { committed, round, sent, lease } if self.hear(core, from, true) => {
                core.commit(committed);
                core.detector.got_on(core.now, core.log.committed(), core.log.last());
                let promise = core.promise(lease);
                let reply = Body::HeartbeatReply { round, last: core.log.last(), sent, clock: core.now, promise };
                core.send(from, Promise::Era, reply);
                if core.log.lacks_state() {
                    core.want_snapshot(from, LogIndex(0));
                }
            }
            Body::Chosen { committed } if self.hear(core, from, false) => {
                core.commit(committed);
            }
            Body::Behind { floor } if self.hear(core, from, false) => behind(core, from, floor),
            Body::Vote { last, last_era } => self.vote(core, from, last, last_era, core.abstains()),
            // Whoever has called the candidate reads by no lease any more.
            Body::VoteNow { last, last_era } => self.vote(core, from, last, last_era, false),
            _ => sometimes!("raft.stray_message"),
        }
    }

    /// §5.2, §5.4.1: one vote an era, for a log that lacks nothing of ours.
    fn vote(&mut self, core: &mut Core, from: NodeId, last: LogIndex, last_era: Era, abstains: bool) {
        let granted = !abstains
            && self.leader.is_none()
            && core.hard.vote.is_none_or(|vote| vote == from)
            && is_up_to_date(core, last, last_era);
        if granted {
            sometimes!("raft.vote_granted");
            core.hard.vote = Some(from);
            self.deadline = Some(core.election_deadline());
        }
        // tikv#1610: the vote is told before it is written down.
        let promise = if planted!(1) { Promise::Nothing } else { Promise::Everything };
        let reply = core.vote_reply(granted);
        core.send(from, promise, reply);
    }

    /// Its leader asks it to lead. Not one with a hole or without its state: it could not serve.
    pub(super) fn called(&self, core: &Core, from: NodeId) -> Transition {
        let voice = core.configurations.may_campaign(core.settings.node);
        let able = voice && core.is_member() && core.log.hole().is_none() && !core.log.lacks_state();
        if self.leader == Some(from) && able {
            sometimes!("raft.called_to_lead");
            Transition::TakeOver
        } else {
            sometimes!("raft.call_to_lead_ignored");
            Transition::Stay
        }
    }

    /// Nobody has listened here for so long: the leader may have spoken.
    pub(super) fn paused(&mut self, core: &mut Core, length: Duration) {
        self.deadline = self.deadline.map(|deadline| core.after_pause(deadline, length));
        core.detector.paused(core.now, length);
    }

    /// Patience has ended?
    pub(super) fn handle_timeout(&mut self, core: &mut Core) -> Transition {
        match self.deadline {
            Some(deadline) if core.now < deadline => Transition::Stay,
            // Without a memory there is nothing to be impatient with; see `recovery`.
            _ if !core.is_member() => {
                self.leader = None;
                self.deadline = Some(core.election_deadline());
                Transition::Stay
            }
            // The first time told; a single voter waits for nobody.
            None if !core.is_alone() => {
                self.deadline = Some(core.election_deadline());
                Transition::Stay
            }
            _ if core.abstains() => {
                sometimes!("raft.no_campaign_before_promise_ends");
                self.deadline = Some(core.when_promise_ends(self.leader));
                Transition::Stay
            }
            _ if !core.configurations.may_campaign(core.settings.node) => {
                sometimes!("raft.no_voice_no_campaign");
                self.leader = None;
                self.deadline = Some(core.election_deadline());
                Transition::Stay
            }
            _ if core.log.hole().is_some() || core.log.lacks_state() => {
                // Rules A12 ii: a member with a hole, or without its state, could not serve what it would be elected for.
                sometimes!("raft.damaged_does_not_campaign");
                if core.log.lacks_state() {
                    // Nor may there be another that can be elected before this one is whole again.
                    core.want_snapshot_of_anybody();
                }
                self.leader = None;
                self.deadline = Some(core.election_deadline());
                Transition::Stay
            }
            _ if planted!(200) && self.gone => Transition::Lead,
            _ => Transition::PreCampaign,
        }
    }
}

/// §5.4.1: does a log that ends there hold everything that ours does, as far as can be chosen?
pub(super) fn is_up_to_date(core: &Core, last: LogIndex, last_era: Era) -> bool {
    let own = core.log.election_position();
    if planted!(3) {
        // Logs are compared by length alone.
        return last >= own.last;
    }
    Hole { last_era, last } >= own
}

/// §5.3: takes entries that continue our log, after cutting off what conflicts with them.
fn append(
    core: &mut Core,
    from: NodeId,
    previous: LogIndex,
    previous_era: Era,
    entries: Vec<WireEntry>,
    committed: LogIndex,
) {
    let Some(entries) = decode_entries(core, previous_era, entries) else {
        sometimes!("raft.malformed_message");
        return;
    };
    // What the floor covers is chosen, and so it is in every leader's log.
    let floor = core.log.floor().index;
    if previous >= floor && core.log.era_at(previous) != Some(previous_era) {
        sometimes!("raft.append_rejected");
        let (hint, hint_era) = core.log.last_possible_match(previous, previous_era);
        core.send(from, Promise::Era, Body::AppendRejected { previous, hint, hint_era });
        return;
    }
    if planted!(15) && !entries.is_empty() && core.log.last() > previous {
        // Folklore of the first exercise in Raft: everything behind `previous` goes, though it may be the same.
        core.truncate(previous.next());
    }
    let mut matched = previous;
    for entry in entries {
        matched = matched.next();
        if matched <= floor {
            continue;
        }
        match core.log.era_at(matched) {
            // Log matching: same position, same era, same entry. A late or doubled append must not cut off what
            // later ones brought.
            Some(era) if era == entry.era => continue,
            Some(_) => {
                sometimes!("raft.conflict_truncated");
                core.truncate(matched);
                core.hard.hole = core.log.hole();
            }
            None => {}
        }
        core.push(entry);
    }
    let matched = matched.max(floor);
    // Only what is known to match may be called chosen here: our own tail behind it may be another leader's.
    // (copycat#265 takes the whole log.)
    core.commit(committed.min(if planted!(13) { core.log.last() } else { matched }));
    // NATS 2.12.1: acknowledged before it is on disk.
    let promise = if planted!(22) { Promise::Nothing } else { Promise::Everything };
    core.agree(matched);
    core.send(from, promise, Body::AppendMatched { matched });
}

/// The leader's log begins after `floor`, and what it believes us to lack is before that: it may be wrong, or we need a
/// snapshot.
fn behind(core: &mut Core, from: NodeId, floor: Floor) {
    let covered = core.log.floor().index;
    if floor.index <= covered || core.log.era_at(floor.index) == Some(floor.era) {
        sometimes!("raft.not_behind_after_all");
        core.commit(floor.index);
        let matched = floor.index.max(covered);
        core.agree(matched);
        core.send(from, Promise::Everything, Body::AppendMatched { matched });
    } else {
        core.want_snapshot(from, floor.index);
    }
}

/// Views the wire's entries as ours. `None` if they are none: undecodable, or of eras that cannot stand in this order.
fn decode_entries(core: &Core, previous_era: Era, entries: Vec<WireEntry>) -> Option<Vec<Entry>> {
    let mut before = previous_era;
    let rise = |era: Era, before: &mut Era| {
        let rises = era >= *before && era <= core.era();
        *before = era;
        // Members that forget their term or let two leaders be write what a sound member never reads.
        rises || crate::env::buggify::is_any_planted()
    };
    entries
        .into_iter()
        .map(|WireEntry { era, bytes }| decode_entry(era, bytes).filter(|_| rise(era, &mut before)))
        .collect()
}
