//! The active side: replicates, decides what is chosen, proves that it leads, and steps down when nobody answers.

use super::Transition;
use super::core::{Core, Promise};
use super::lease::Answer;
use super::message::{Body, WireEntry, encode_entry};
use super::progress::Progress;
use super::read_index::ReadIndex;
use super::transfer::Transfer;
use crate::consensus::{Payload, ReadState};
use crate::types::{Duration, Instant, LogIndex, NodeId};
use crate::{planted, sometimes};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A leader.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) followers: BTreeMap<NodeId, Progress>,
    reads: ReadIndex,
    /// Its first entry. Nothing of earlier eras is chosen by counting, and nothing is read, before this is chosen.
    pub(super) first: LogIndex,
    /// When the next heartbeat is due.
    heartbeat_at: Instant,
    /// While it hands over.
    pub(super) transfer: Option<Transfer>,
    /// It has called somebody to lead in its place: for the rest of its era every read needs a round.
    pub(super) lease_given_up: bool,
    /// The group goes on without it: it only hands over.
    pub(super) leaves: bool,
}

impl Leader {
    /// Takes office: a no-op of the new era first (§5.4.2, §8).
    pub(super) fn begin(core: &mut Core) -> Self {
        sometimes!("raft.became_leader");
        let first = core.log.last().next();
        let followers = core.peers().map(|peer| (peer, Progress::new(core.now, first))).collect();
        core.push(encode_entry(core.era(), &Payload::Empty));
        Self {
            followers,
            reads: ReadIndex::default(),
            first,
            heartbeat_at: core.now + core.settings.heartbeat,
            transfer: None,
            lease_given_up: false,
            leaves: false,
        }
    }

    pub(super) fn propose(&mut self, core: &mut Core, payload: Bytes) {
        core.push(encode_entry(core.era(), &Payload::Command(payload)));
    }

    pub(super) fn read_barrier(&mut self, core: &mut Core, token: u64) {
        if planted!(8) {
            // jraft#25: served from local state, on the faith of having been elected once.
            core.read_states.push(ReadState { token, index: core.log.committed() });
            return;
        }
        if core.now < self.lease_ends(core) {
            sometimes!("raft.read_by_lease");
            core.read_states.push(ReadState { token, index: core.log.committed() });
            return;
        }
        // redisraft#18: without the bound by `first`, what earlier leaders acknowledged may be missing.
        let bound = if planted!(45) { LogIndex(0) } else { self.first };
        self.reads.add(token, core.log.committed().max(bound));
    }

    /// Until when nobody else can have been elected: a quorum has promised it.
    fn lease_ends(&self, core: &Core) -> Instant {
        if core.settings.lease.is_zero() || self.lease_given_up || core.log.committed() < self.first {
            return Instant(0);
        }
        let until = |follower: &Progress| if follower.recovering { Instant(0) } else { follower.promised.until() };
        let promised = self.values(core, Instant(u64::MAX), Instant(0), until);
        core.membership().value(promised).unwrap_or_default()
    }

    /// Leaves office.
    pub(super) fn end(self, core: &mut Core) {
        core.reads_dropped.extend(self.reads.abandon());
    }

    /// Takes a message of the own era.
    pub(super) fn step(&mut self, core: &mut Core, from: NodeId, recovering: bool, body: Body) {
        let Some(follower) = self.followers.get_mut(&from) else { return };
        follower.recovering = recovering;
        match body {
            Body::AppendMatched { matched } => {
                follower.heard = core.now;
                follower.matched(matched.min(core.log.last()));
                self.choose(core);
                self.advance_transfer(core);
            }
            Body::AppendRejected { previous, hint, hint_era } => {
                follower.heard = core.now;
                let (possible, _) = core.log.last_possible_match(hint, hint_era);
                follower.rejected(previous.min(follower.next), possible);
            }
            Body::HeartbeatReply { round, last, sent, clock, promise } => {
                follower.heard = core.now;
                let (sent, promise) = (sent.min(core.now), promise.min(core.settings.lease));
                follower.promised.answered(Answer { sent, received: core.now, theirs: clock, promise });
                if last < follower.matched {
                    follower.rejected(follower.next.previous(), last);
                }
                if !recovering {
                    follower.round = follower.round.max(round.min(self.reads.round()));
                }
                follower.retry_overdue(core.now, core.settings.heartbeat * 2);
                self.prove_reads(core);
            }
            Body::Vote { .. } | Body::VoteNow { .. } => core.send(from, Promise::Era, core.vote_reply(false)),
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Chosen { .. } | Body::Behind { .. } => {
                // Two leaders of one era: election safety is broken elsewhere; the checkers say so.
                sometimes!("raft.second_leader_ignored");
            }
            _ => sometimes!("raft.stray_message"),
        }
    }

    /// §5.3, §5.4.2: what a quorum holds durably is chosen, if it is of this era; everything before it is so with it.
    pub(super) fn choose(&mut self, core: &mut Core) {
        // d-engine#447: the own tail counts before it is on disk.
        let own = if planted!(21) { core.log.last() } else { core.log.durable() };
        // Of who recovers, what it holds is known and does not count.
        let counting = |follower: &Progress| if follower.recovering { LogIndex(0) } else { follower.matched };
        let matched = self.values(core, own, LogIndex(0), counting);
        let Some(held) = core.membership().value(matched) else { return };
        // Figure 8: an entry of an earlier era that a quorum holds can still be overwritten (logcabin#44 counts it).
        let own_era = core.log.era_at(held) == Some(core.era()) || planted!(12);
        if own_era && core.commit(held) {
            self.prove_reads(core);
            self.settle_change(core);
        }
    }

    /// What a member counts with: this one, a follower, or whoever is not known to follow.
    fn values<T>(&self, core: &Core, own: T, unknown: T, of: impl Fn(&Progress) -> T) -> impl Fn(NodeId) -> T
    where
        T: Copy,
    {
        let node = core.settings.node;
        move |member| {
            if member == node { own } else { self.followers.get(&member).map_or(unknown, &of) }
        }
    }

    /// Answers the reads that a quorum has answered for.
    fn prove_reads(&mut self, core: &mut Core) {
        if !self.reads.is_proving() || (core.log.committed() < self.first && !planted!(45)) {
            return;
        }
        let rounds = self.values(core, self.reads.round(), 0, |follower| follower.round);
        if let Some(round) = core.membership().value(rounds) {
            self.reads.proved(round, &mut core.read_states);
        }
    }

    /// Since when has there been no contact with a quorum?
    fn quorum_heard(&self, core: &Core) -> Instant {
        let heard = self.values(core, core.now, Instant(0), |follower| follower.heard);
        core.membership().value(heard).unwrap_or(core.now)
    }

    /// The next heartbeat; for check-quorum it is looked at then and when contact becomes too old. Alone: never.
    pub(super) fn next_timeout(&self, core: &Core) -> Instant {
        if self.followers.is_empty() && !self.leaves {
            return Instant(u64::MAX);
        }
        // A single follower's silence matters only if it is needed: `quorum_heard` with `now` as its own reading.
        let contact_ends = self.quorum_heard(core) + core.settings.election_timeout;
        let next = if planted!(8) { self.heartbeat_at } else { self.heartbeat_at.min(contact_ends) };
        if self.leaves && self.transfer.is_none() {
            return core.now;
        }
        self.transfer.map_or(next, |transfer| next.min(transfer.deadline))
    }

    /// Nobody has listened here for so long: the followers may have answered, and have not been asked. The next heartbeat
    /// stays due. A leader that others have replaced meanwhile answers no read: each needs a round.
    pub(super) fn paused(&mut self, core: &Core, length: Duration) {
        for follower in self.followers.values_mut() {
            follower.paused(core.now, length);
        }
    }

    /// Check-quorum (thesis §6.2) and heartbeats.
    pub(super) fn handle_timeout(&mut self, core: &mut Core) -> Transition {
        if core.now.since(self.quorum_heard(core)) >= core.settings.election_timeout && !planted!(8) {
            sometimes!("raft.quorum_lost");
            return Transition::Follow(None);
        }
        self.transfer_timeout(core);
        if self.leaves && self.transfer.is_none() {
            sometimes!("raft.leader_left");
            return Transition::Follow(None);
        }
        if core.now >= self.heartbeat_at && !self.followers.is_empty() {
            self.heartbeat(core);
        }
        Transition::Stay
    }

    fn heartbeat(&mut self, core: &mut Core) {
        self.heartbeat_at = core.now + core.settings.heartbeat;
        self.forget_who_left(core);
        let round = self.reads.round();
        for (peer, follower) in &mut self.followers {
            // Never beyond what this follower is known to hold: behind that its log may be another leader's.
            // (copycat#265: left to the follower, which knows only how long its log is.)
            let bound = if planted!(13) { core.log.last() } else { follower.matched };
            let committed = core.log.committed().min(bound);
            follower.told = follower.told.max(committed);
            let (sent, lease) = (core.now, core.settings.lease);
            core.send(*peer, Promise::Nothing, Body::Heartbeat { committed, round, sent, lease });
        }
    }

    /// A follower has lost its memory: what it has acknowledged is no longer there.
    pub(super) fn begin_anew(&mut self, core: &Core, follower: NodeId) {
        if let Some(follower) = self.followers.get_mut(&follower) {
            // From the last entry: where the logs meet is found out without waiting for a next one.
            let leaving = follower.leaving;
            *follower = Progress { recovering: true, leaving, ..Progress::new(core.now, core.log.last()) };
        }
    }

    /// Called once per hand-over, so that all that was proposed or asked since the last one shares its messages.
    pub(super) fn flush(&mut self, core: &mut Core) {
        if self.reads.begin_round() {
            if !self.followers.is_empty() {
                self.heartbeat(core);
            }
            self.prove_reads(core);
        }
        let mut encoded = None;
        for (peer, follower) in &mut self.followers {
            replicate(core, *peer, follower, &mut encoded);
        }
    }
}

/// An append that was just encoded: another follower at the same place gets the same bytes.
type Encoded = Option<((LogIndex, LogIndex), Bytes)>;

/// Sends a follower what it lacks, as far as its pace permits.
fn replicate(core: &mut Core, peer: NodeId, follower: &mut Progress, encoded: &mut Encoded) {
    let settings = &core.settings;
    let (max_entries, max_bytes, max_inflight) =
        (settings.max_batch_entries, settings.max_batch_bytes, settings.max_inflight);
    while follower.next <= core.log.last() && follower.may_send(max_inflight) {
        let previous = follower.next.previous();
        if previous < core.log.floor().index {
            sometimes!("raft.follower_behind_compaction");
            core.send(peer, Promise::Nothing, Body::Behind { floor: core.log.floor() });
            follower.told_to_catch_up(core.now);
            break;
        }
        let entries = core.log.batch(follower.next, max_entries, max_bytes);
        let last = LogIndex(previous.0 + entries.len() as u64);
        let message = match encoded {
            Some((key, message)) if *key == (previous, last) => message.clone(),
            _ => {
                let append = Body::Append {
                    previous,
                    previous_era: core.log.era_at(previous).unwrap_or_default(),
                    entries: entries
                        .iter()
                        .map(|entry| WireEntry { era: entry.era, bytes: entry.encoded.clone() })
                        .collect(),
                    committed: core.log.committed(),
                };
                let message = core.message(append).encode();
                *encoded = Some(((previous, last), message.clone()));
                message
            }
        };
        // Before the own disk has it: the own vote for it is counted only from `persisted`.
        let bytes = message.len();
        core.send_encoded(peer, Promise::Nothing, message);
        follower.sent(core.now, last, bytes);
        follower.told = follower.told.max(core.log.committed().min(last));
    }
    let usable = core.log.committed().min(follower.matched);
    if usable > follower.told && follower.is_idle() {
        follower.told = usable;
        core.send(peer, Promise::Nothing, Body::Chosen { committed: usable });
    }
}
