//! Members, disks, network, and the judgement of every step.

use super::super::Raft;
use super::super::message::HardState;
use crate::consensus::Standing;
use crate::consensus::{
    Change, Committed, Config, Consensus, Damage, Fetch, Floor, Membership, Payload, Ready, Record, Recovered, Refused,
    Role,
};
use crate::types::random::SeedableRng;
use crate::types::{Duration, Era, Instant, LogIndex, NodeId, Rng};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message on its way.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) bytes: Bytes,
}

#[derive(Default)]
pub(super) struct Member {
    /// `None` while crashed.
    pub(super) raft: Option<Raft>,
    /// What is on disk, in the order written.
    pub(super) records: Vec<Record>,
    pub(super) hard_state: Option<Bytes>,
    /// The state on disk: executed up to here.
    pub(super) checkpoint: Option<Floor>,
    /// Its checkpoint has rotted, and it has no other yet.
    pub(super) lost: bool,
    /// What the log on disk begins after.
    released: Option<Floor>,
    /// A snapshot that it has asked for.
    pub(super) wanted: Option<Fetch>,
    /// Hand-overs that are not durable.
    pub(super) waiting: VecDeque<Ready>,
    /// Disk syncs only when told.
    pub(super) held: bool,
    pub(super) executed: LogIndex,
    /// Its log says that it is not the first.
    pub(super) amnesia: bool,
    /// Its disk was lost or has always been empty, and it is no member yet.
    pub(super) wiped: bool,
    /// It was none of those who formed the group.
    newcomer: bool,
    /// As last seen.
    pub(super) membership: Membership,
    lives: u64,
    /// Life, era and length of the log when it was last compared with the others'.
    judged: (u64, Era, LogIndex),
}

/// What happened, for the scripts.
pub(super) enum Event {
    Sent(Flight),
    Role(NodeId, Role, Era),
    Chosen(NodeId, Committed),
    Read(NodeId, u64, LogIndex),
    ReadDropped(NodeId, u64),
    Wanted(NodeId, Fetch),
    Reset(NodeId, Floor),
    Installed(NodeId, Floor, bool),
    Membership(NodeId, Membership),
}

pub(super) struct Cluster {
    pub(super) now: Instant,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) network: Vec<Flight>,
    /// Promises of members that are started from now on.
    pub(super) lease: Duration,
    /// Links that lose everything.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    pub(super) events: Vec<Event>,
    seed: u64,
    max_batch_entries: usize,
    /// Everything that any member ever called chosen.
    pub(super) chosen: BTreeMap<LogIndex, Payload>,
    /// The eras of those, as far as whoever executed them first knew.
    chosen_eras: BTreeMap<LogIndex, Era>,
    leaders: BTreeMap<Era, NodeId>,
    /// For each (index, era) ever seen in a log: digest and era before it.
    seen: BTreeMap<(LogIndex, Era), (u64, Option<Era>)>,
    /// Reads under way: where the group stood when each arrived.
    reads: BTreeMap<u64, LogIndex>,
    pub(super) reads_answered: u64,
    /// What has gone wrong; the first stands.
    pub(super) violation: Option<String>,
}

pub(super) const HEARTBEAT: Duration = Duration::from_millis(50);
pub(super) const ELECTION: Duration = Duration::from_millis(250);

impl Member {
    /// The log on disk need not hold what is at or below the floor; what was written again there still voids what it voided.
    fn release(&mut self, floor: Floor) {
        self.released = self.released.max(Some(floor));
        let mut kept: Vec<Record> = Vec::new();
        for record in std::mem::take(&mut self.records) {
            if record.index > floor.index || kept.iter().any(|earlier| earlier.index >= record.index) {
                kept.push(record);
            }
        }
        self.records = kept;
    }
}

impl Cluster {
    /// A group that has been formed.
    pub(super) fn new(count: u32, seed: u64, max_batch_entries: usize) -> Self {
        Self::with(count, seed, max_batch_entries, Some(HardState::default().encode()))
    }

    /// A group of members whose disks are empty.
    pub(super) fn blank(count: u32, seed: u64, max_batch_entries: usize) -> Self {
        Self::with(count, seed, max_batch_entries, None)
    }

    fn with(count: u32, seed: u64, max_batch_entries: usize, hard_state: Option<Bytes>) -> Self {
        // Who has not been formed is no better than who has forgotten.
        let member = || Member { hard_state: hard_state.clone(), wiped: hard_state.is_none(), ..Member::default() };
        let mut cluster = Self {
            now: Instant(1_000_000_000),
            members: (1..=count).map(|node| (NodeId(node), member())).collect(),
            network: Vec::new(),
            lease: Duration::ZERO,
            cut: BTreeSet::new(),
            events: Vec::new(),
            seed,
            max_batch_entries,
            chosen: BTreeMap::new(),
            chosen_eras: BTreeMap::new(),
            leaders: BTreeMap::new(),
            seen: BTreeMap::new(),
            reads: BTreeMap::new(),
            reads_answered: 0,
            violation: None,
        };
        for node in cluster.nodes() {
            cluster.restart(node, None);
        }
        cluster
    }

    /// From now on with leases of this length.
    pub(super) fn lease(&mut self, lease: Duration) {
        self.lease = lease;
        for node in self.nodes() {
            self.crash(node);
            self.restart(node, None);
        }
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn member(&mut self, node: NodeId) -> &mut Member {
        self.members.get_mut(&node).expect("scripts name existing nodes")
    }

    pub(super) fn raft(&self, node: NodeId) -> Option<&Raft> {
        self.members.get(&node).and_then(|member| member.raft.as_ref())
    }

    fn accuse(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        let member = self.member(node);
        member.raft = None;
        member.waiting.clear();
    }

    /// A node that belongs to no group yet comes up.
    pub(super) fn join(&mut self, node: NodeId) {
        self.members.insert(node, Member { newcomer: true, wiped: true, ..Member::default() });
        self.restart(node, None);
    }

    /// Asks a member for a change.
    pub(super) fn change(&mut self, node: NodeId, change: Change) -> Option<Result<(), Refused>> {
        self.call(node, |raft, now| raft.change(now, change))
    }

    /// What executing the log up to there says of who belongs to the group.
    fn named(&self, index: LogIndex) -> Option<Bytes> {
        self.chosen.range(..=index).rev().find_map(|(_, payload)| match payload {
            Payload::Configuration(bytes) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// The disk of a node that is down is replaced by an empty one; with `amnesia`, the node knows that it is not its first.
    pub(super) fn wipe(&mut self, node: NodeId, amnesia: bool) {
        let member = self.member(node);
        member.records.clear();
        (member.hard_state, member.checkpoint, member.released) = (None, None, None);
        (member.lost, member.amnesia, member.wiped) = (false, amnesia, true);
    }

    /// Who has lost its disk and is no member yet.
    pub(super) fn forgetful(&mut self) -> usize {
        for member in self.members.values_mut() {
            let whole = |raft: &Raft| raft.status().standing == Standing::Member;
            member.wiped &= !member.raft.as_ref().is_some_and(whole);
        }
        self.members.values().filter(|member| member.wiped).count()
    }

    /// Starts a node from its disk; with `damaged`, the records of that range cannot be read.
    pub(super) fn restart(&mut self, node: NodeId, damaged: Option<(u64, u64)>) {
        let formed = |(node, member): (&NodeId, &Member)| (!member.newcomer).then_some(*node);
        let voters =
            if self.members[&node].newcomer { Vec::new() } else { self.members.iter().filter_map(formed).collect() };
        let named = self.members[&node].checkpoint.and_then(|state| self.named(state.index));
        let (seed, max_batch_entries, now, lease) = (self.seed, self.max_batch_entries, self.now, self.lease);
        let member = self.member(node);
        member.lives += 1;
        let mut records = member.records.clone();
        let damaged = damaged.and_then(|(first, last)| {
            let (first, last) = (LogIndex(first), LogIndex(last));
            let last_era = records.iter().rfind(|record| record.index == last)?.era;
            records.retain(|record| record.index < first || record.index > last);
            Some(Damage { first, last, last_era })
        });
        member.records.clone_from(&records);
        let (floor, state) = (member.released, member.checkpoint);
        let amnesia = member.amnesia;
        let recovered = Recovered {
            records,
            hard_state: member.hard_state.clone(),
            damaged,
            floor,
            state,
            membership: named,
            amnesia,
        };
        let config = Config {
            node,
            voters,
            group: 0,
            detection: crate::consensus::detection::Detection::default(),
            heartbeat: HEARTBEAT,
            election_timeout: ELECTION,
            lease,
            max_batch_entries,
            max_batch_bytes: 1 << 20,
            max_inflight: 4,
            rng: Rng::seed_from_u64(seed.wrapping_mul(1000) + u64::from(node.0) * 100 + member.lives),
        };
        let mut raft = Raft::new(config, recovered).expect("a disk of this harness is readable");
        raft.handle_timeout(now);
        member.executed = state.unwrap_or_default().index;
        member.wanted = None;
        member.membership = raft.membership().clone();
        member.raft = Some(raft);
        self.drain(node);
    }

    /// A live member saves the state that it has executed, up to `index`, and its log on disk need not hold that any more.
    /// In memory it keeps the last `keep` entries of what is saved.
    pub(super) fn checkpoint(&mut self, node: NodeId, index: LogIndex, keep: u64) {
        let Some(floor) = self.raft(node).and_then(|raft| raft.position(index)) else { return };
        let member = self.member(node);
        if index > member.executed || Some(floor) <= member.checkpoint {
            return;
        }
        member.checkpoint = Some(floor);
        member.release(floor);
        self.call(node, |raft, _| raft.compact(LogIndex(index.0.saturating_sub(keep))));
    }

    /// A state that another member has executed is made durable here; with `told`, Raft learns of it.
    pub(super) fn snapshot(&mut self, node: NodeId, floor: Floor, told: bool) {
        let member = self.member(node);
        member.checkpoint = member.checkpoint.max(Some(floor));
        member.lost &= Some(floor) < member.released;
        if !told {
            return;
        }
        let executed = member.executed;
        let named = self.named(floor.index);
        let Some(taken) = self.call_quietly(node, |raft, now| raft.installed(now, floor, named.as_ref())) else {
            return;
        };
        if taken {
            self.member(node).executed = floor.index;
            self.member(node).wanted = None;
        } else if floor.index > executed && self.raft(node).is_some_and(|raft| floor >= raft.status().floor) {
            self.accuse(format!("{node}: refuses the state at {floor} and has executed {executed}"));
        }
        self.events.push(Event::Installed(node, floor, taken));
        self.drain(node);
    }

    fn call_quietly<T>(&mut self, node: NodeId, call: impl FnOnce(&mut Raft, Instant) -> T) -> Option<T> {
        let now = self.now;
        self.member(node).raft.as_mut().map(|raft| call(raft, now))
    }

    /// Calls a live member and takes what it wants done.
    pub(super) fn call<T>(&mut self, node: NodeId, call: impl FnOnce(&mut Raft, Instant) -> T) -> Option<T> {
        let result = self.call_quietly(node, call)?;
        self.drain(node);
        Some(result)
    }

    pub(super) fn read(&mut self, node: NodeId, token: u64) -> bool {
        let known = self.members.values().filter_map(|member| member.raft.as_ref()).map(|raft| raft.status().committed);
        let floor = known.chain(self.chosen.keys().next_back().copied()).max().unwrap_or_default();
        self.reads.insert(token, floor);
        let accepted = self.call(node, |raft, now| raft.read_barrier(now, token).is_ok()).unwrap_or(false);
        if !accepted {
            self.reads.remove(&token);
        }
        accepted
    }

    pub(super) fn deliver(&mut self, flight: &Flight) {
        if !self.cut.contains(&(flight.from, flight.to)) {
            self.call(flight.to, |raft, now| raft.step(now, flight.from, &flight.bytes));
        }
    }

    fn send(&mut self, from: NodeId, outbound: Vec<crate::consensus::Outbound>) {
        for crate::consensus::Outbound { to, message } in outbound {
            let flight = Flight { from, to, bytes: message };
            self.network.push(flight.clone());
            self.events.push(Event::Sent(flight));
        }
    }

    fn drain(&mut self, node: NodeId) {
        let mut expected = None;
        while let Some(mut ready) = self.member(node).raft.as_mut().and_then(Consensus::ready) {
            if expected.is_some_and(|expected| ready.number != expected) {
                self.accuse(format!("{node}: hand-over {} out of order", ready.number));
            }
            expected = Some(ready.number + 1);
            if let Some(role) = ready.role {
                let era = self.raft(node).expect("just called").status().era;
                self.events.push(Event::Role(node, role, era));
            }
            let now = std::mem::take(&mut ready.messages_now);
            self.send(node, now);
            for committed in std::mem::take(&mut ready.committed) {
                self.execute(node, committed);
            }
            for read in std::mem::take(&mut ready.read_states) {
                self.reads_answered += 1;
                self.events.push(Event::Read(node, read.token, read.index));
                match self.reads.remove(&read.token) {
                    Some(floor) if read.index >= floor => {}
                    Some(floor) => self.accuse(format!("{node}: read at {} though {floor} was chosen", read.index)),
                    None => self.accuse(format!("{node}: read {} answered twice", read.token)),
                }
            }
            for token in std::mem::take(&mut ready.reads_dropped) {
                self.reads.remove(&token);
                self.events.push(Event::ReadDropped(node, token));
            }
            if let Some(fetch) = ready.fetch.take()
                && self.member(node).wanted.replace(fetch) != Some(fetch)
            {
                self.events.push(Event::Wanted(node, fetch));
            }
            if let Some(membership) = ready.membership.take() {
                self.member(node).membership = membership.clone();
                self.events.push(Event::Membership(node, membership));
            }
            if let Some(floor) = ready.reset {
                self.events.push(Event::Reset(node, floor));
            }
            self.member(node).waiting.push_back(ready);
            if !self.members[&node].held {
                self.persist(node);
                expected = None;
            }
        }
    }

    /// Makes everything that waits durable, and lets go what waited for it.
    pub(super) fn persist(&mut self, node: NodeId) {
        while let Some(ready) = self.member(node).waiting.pop_front() {
            self.write(node, &ready, usize::MAX);
            self.send(node, ready.messages_after_persist);
            let now = self.now;
            if let Some(raft) = self.member(node).raft.as_mut() {
                raft.persisted(now, ready.number);
            }
        }
        self.drain(node);
    }

    /// Writes a hand-over: the hard state and that many of the records.
    pub(super) fn write(&mut self, node: NodeId, ready: &Ready, records: usize) {
        let member = self.member(node);
        if let Some(floor) = ready.reset {
            member.records.clear();
            member.released = Some(floor);
        }
        if let Some(hard_state) = &ready.hard_state {
            member.hard_state = Some(hard_state.clone());
        }
        member.records.extend(ready.records.iter().take(records).cloned());
    }

    fn execute(&mut self, node: NodeId, committed: Committed) {
        let member = self.member(node);
        member.executed = member.executed.next();
        if committed.index != member.executed {
            let executed = member.executed;
            self.accuse(format!("{node}: executes {} where {executed} is due", committed.index));
        }
        let position = self.raft(node).and_then(|raft| raft.position(committed.index));
        if position.is_none_or(|_| self.raft(node).is_some_and(|raft| raft.status().lacks_state)) {
            self.accuse(format!("{node}: executes {} without the state before it", committed.index));
        }
        match self.chosen.get(&committed.index) {
            Some(payload) if *payload == committed.payload => {}
            Some(_) => {
                self.accuse(format!("state machine safety: {node} executes another entry at {}", committed.index))
            }
            None => {
                let record = self.raft(node).and_then(|raft| raft.inspect(committed.index));
                let era = record.map_or(Era(0), |(era, _)| era);
                // Who has lost it since it said that it has it counts too.
                self.forgetful();
                let membership = self.raft(node).map(|raft| raft.membership().clone()).unwrap_or_default();
                if !membership.reached(|member| self.holds(member, committed.index, era)) {
                    self.accuse(format!("{} is called chosen, but no quorum has it on disk", committed.index));
                }
                self.chosen.insert(committed.index, committed.payload.clone());
                self.chosen_eras.insert(committed.index, era);
            }
        }
        self.events.push(Event::Chosen(node, committed));
    }

    /// Has this entry been on this member's disk?
    fn holds(&self, node: NodeId, index: LogIndex, era: Era) -> bool {
        let Some(member) = self.members.get(&node) else { return false };
        if member.wiped || member.checkpoint.is_some_and(|state| state.index >= index) {
            return true;
        }
        // Written there, and nothing at or before it since: a record voids what its and later positions held.
        let last_word = member.records.iter().rfind(|record| record.index <= index);
        last_word.is_some_and(|record| record.index == index && record.era == era)
    }

    /// Judges the whole: election safety, log matching, leader completeness.
    pub(super) fn judge(&mut self) {
        let mut found = None;
        for (node, member) in &mut self.members {
            let Some(raft) = &member.raft else { continue };
            let status = raft.status();
            let mut before = Some(status.floor.era);
            let now = (member.lives, status.era, status.last);
            let read = std::mem::replace(&mut member.judged, now) == now;
            if self.chosen_eras.get(&status.floor.index).is_some_and(|era| *era != status.floor.era) {
                found = Some(format!("log matching: {node} has compacted {}, another history", status.floor));
            }
            for index in (status.floor.index.0 + 1..=status.last.0).map(LogIndex).filter(|_| !read) {
                let Some((era, digest)) = raft.inspect(index) else {
                    found = Some(format!("{node} does not show {index}, and its log begins after {}", status.floor));
                    break;
                };
                if index <= status.committed && self.chosen_eras.get(&index).is_some_and(|chosen| *chosen != era) {
                    found =
                        Some(format!("state machine safety: {node} has another entry at {index}, and calls it chosen"));
                }
                if status.role == Role::Leader
                    && self.leaders.keys().next_back().is_none_or(|newest| *newest <= status.era)
                    && self.chosen_eras.get(&index).is_some_and(|chosen| *chosen != era)
                {
                    found = Some(format!("leader completeness: {node} leads {} and differs at {index}", status.era));
                }
                if *self.seen.entry((index, era)).or_insert((digest, before)) != (digest, before) {
                    found = Some(format!("log matching: {node} differs at {index} of {era}"));
                }
                before = Some(era);
            }
            if status.role == Role::Leader && *self.leaders.entry(status.era).or_insert(*node) != *node {
                found = Some(format!("election safety: {node} is a second leader of {}", status.era));
            }
        }
        for (node, member) in &self.members {
            let Some(status) = member.raft.as_ref().map(Consensus::status) else { continue };
            // An older leader that does not know of the newest may well lack what that one had chosen.
            let newest = self.leaders.keys().next_back() == Some(&status.era);
            if status.role == Role::Leader
                && newest
                && status.last < self.chosen.keys().next_back().copied().unwrap_or_default()
            {
                found = Some(format!("leader completeness: {node} leads {} without what is chosen", status.era));
            }
        }
        for (node, raft) in self.members.iter().filter_map(|(node, member)| Some((node, member.raft.as_ref()?))) {
            let (status, membership) = (raft.status(), raft.membership());
            let chosen = |payload: &Payload| *payload == Payload::Configuration(membership.encode());
            if status.settled && membership.id > Membership::FIRST && !self.chosen.values().any(chosen) {
                found = Some(format!("membership: {node} takes {membership:?} for chosen"));
            }
        }
        if let Some(found) = found {
            self.accuse(found);
        }
    }

    /// Lets time pass, each member's time-outs in their order; nothing is delivered.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, node)) = self.next_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.call(node, |raft, now| raft.handle_timeout(now));
        }
        self.now = end;
    }

    pub(super) fn next_timeout(&self) -> Option<(Instant, NodeId)> {
        let live = |(node, member): (&NodeId, &Member)| Some((member.raft.as_ref()?.next_timeout(), *node));
        // A leader without followers waits for nothing.
        self.members.iter().filter_map(live).filter(|(at, _)| *at < Instant(u64::MAX)).min()
    }
}
