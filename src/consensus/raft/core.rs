//! What every role shares: identity, hard state, log, time, and the values waiting to be handed out.

use super::configuration::{Configurations, Configured};
use super::message::{Body, HardState, Memory, Message, Phase};
use super::raft_log::{Entry, RaftLog};
use crate::consensus::detection::Detector;
use crate::consensus::{Config, Fetch, Floor, Membership, Outbound, ReadState, Ready, Recovered, Role, Unreadable};
use crate::types::random::{RngCore, below};
use crate::types::{Era, Instant, LogIndex, NodeId, Rng};
use crate::{planted, sometimes};
use std::collections::VecDeque;
use std::time::Duration;

/// Most chosen entries in one hand-over; the rest comes with the next, which the driver asks for at once.
const MAX_COMMITTED: usize = 4096;

/// What must be durable before a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// Nothing.
    Nothing,
    /// The era that the message names.
    Era,
    /// Everything up to and including this hand-over: era, vote and log.
    Everything,
}

/// Configuration, without the dice.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) node: NodeId,
    /// Of which group: its members have an order of their own.
    pub(super) group: u64,
    pub(super) heartbeat: Duration,
    pub(super) election_timeout: Duration,
    /// Promises are asked for and given for so long at most; 0: leases are off.
    pub(super) lease: Duration,
    pub(super) max_batch_entries: usize,
    pub(super) max_batch_bytes: usize,
    pub(super) max_inflight: usize,
}

/// Shared state.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    rng: Rng,
    /// Watches the leader.
    pub(super) detector: Box<dyn Detector>,
    /// Attempts to be elected since a leader was heard.
    pub(super) attempts: u32,
    pub(super) configurations: Configurations,
    /// Who is to lead, if it can.
    pub(super) preferred: Option<NodeId>,
    /// The latest time told.
    pub(super) now: Instant,
    /// The first time told in this life.
    pub(super) began: Option<Instant>,
    /// Until then it helps nobody to be elected: see [`super::lease`].
    pub(super) promised: Instant,
    pub(super) hard: HardState,
    pub(super) log: RaftLog,
    /// Hard state as last handed out.
    hard_handed: HardState,
    /// Hard state as last reported durable.
    hard_durable: HardState,
    /// Hard states handed out and not reported durable, by number.
    hard_in_flight: VecDeque<(u64, HardState)>,
    /// Number of the last hand-over.
    number: u64,
    /// In this era the log is known to agree with the leader's up to here.
    agreed: (Era, LogIndex),
    messages_now: Vec<Outbound>,
    messages_after_persist: Vec<Outbound>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) reads_dropped: Vec<u64>,
    pub(super) role_changed: Option<Role>,
    pub(super) fetch: Option<Fetch>,
}

impl Core {
    pub(super) fn new(config: Config, recovered: Recovered) -> Result<Self, Unreadable> {
        let Config {
            node,
            voters,
            group,
            detection,
            heartbeat,
            election_timeout,
            lease,
            max_batch_entries,
            max_batch_bytes,
            max_inflight,
            mut rng,
        } = config;
        let stored = match &recovered.hard_state {
            Some(bytes) => HardState::decode(bytes).ok_or(Unreadable::HardState)?,
            // Nothing is known of what was promised: what else may have been found counts for nothing.
            None => HardState {
                phase: if recovered.amnesia { Phase::Recovering } else { Phase::Blank },
                memory: Memory { generation: 1, nonce: rng.next_u32() },
                lease,
                ..HardState::default()
            },
        };
        let forgotten = recovered.hard_state.is_none();
        let recovered = if forgotten { Recovered::default() } else { recovered };
        let state = recovered.state.zip(recovered.membership.clone());
        let log = RaftLog::recover(recovered, &stored)?;
        let mut hard = HardState { hole: log.hole(), lease: stored.lease.max(lease), ..stored.clone() };
        let first = Configured { index: LogIndex(0), membership: Membership::initial(voters) };
        if hard.phase == Phase::Member && !first.membership.is_unknown() {
            hard.configuration.get_or_insert(first.clone());
        }
        let configurations = recover_configurations(hard.configuration.clone().unwrap_or(first), state, &log);
        if log.last_era() > hard.era {
            // A snapshot was published, and the life ended before the era that it had brought was written.
            sometimes!("raft.era_known_from_snapshot");
            (hard.era, hard.vote) = (log.last_era(), None);
        }
        if planted!(2) {
            // PySyncObj#202: term and vote are not restored, the log is.
            hard = HardState { hole: hard.hole, era: Era(0), vote: None, ..hard };
        }
        Ok(Self {
            settings: Settings {
                node,
                group,
                heartbeat,
                election_timeout,
                lease,
                max_batch_entries,
                max_batch_bytes,
                max_inflight: max_inflight.max(1),
            },
            rng,
            detector: detection.build(heartbeat, election_timeout),
            attempts: 0,
            configurations,
            preferred: None,
            now: Instant::default(),
            began: None,
            promised: Instant::default(),
            hard,
            log,
            hard_handed: stored.clone(),
            hard_durable: stored,
            hard_in_flight: VecDeque::new(),
            number: 0,
            agreed: (Era(0), LogIndex(0)),
            messages_now: Vec::new(),
            messages_after_persist: Vec::new(),
            read_states: Vec::new(),
            reads_dropped: Vec::new(),
            role_changed: None,
            fetch: None,
        })
    }

    pub(super) fn era(&self) -> Era {
        self.hard.era
    }

    /// The membership in force.
    pub(super) fn membership(&self) -> &Membership {
        self.configurations.latest()
    }

    /// All other members, with a voice or without.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let node = self.settings.node;
        self.membership().members().into_iter().filter(move |member| *member != node)
    }

    /// Those of them whose votes are asked for.
    pub(super) fn electors(&self) -> Vec<NodeId> {
        let electing = self.configurations.electing();
        // Planted 5: learners are asked and counted like anybody.
        let asked = |node: &NodeId| *node != self.settings.node && (electing.is_voter(*node) || planted!(5));
        electing.members().into_iter().filter(asked).collect()
    }

    /// Is nobody else's voice needed for anything?
    pub(super) fn is_alone(&self) -> bool {
        self.membership().reached(|node| node == self.settings.node)
    }

    /// Puts an entry behind the log. A membership is in force from here on.
    pub(super) fn push(&mut self, entry: Entry) {
        self.configurations.appended(self.log.last().next(), &entry.payload);
        self.log.push(entry);
    }

    /// Cuts the log off from `index` on, and what memberships stood there.
    pub(super) fn truncate(&mut self, index: LogIndex) {
        self.log.truncate(index);
        sometimes!("raft.membership_rolled_back", self.configurations.index() >= index);
        self.configurations.truncated(index);
    }

    /// Moves `committed` up. Never down.
    pub(super) fn commit(&mut self, index: LogIndex) -> bool {
        let moved = self.log.commit(index);
        if moved && self.configurations.committed(self.log.committed()) {
            self.hard.configuration = Some(self.configurations.settled().clone());
        }
        moved
    }

    /// The state up to `floor`, which names this membership, has come from elsewhere.
    pub(super) fn install(&mut self, floor: Floor, membership: Option<Membership>) {
        self.log.install(floor);
        self.hard.hole = self.log.hole();
        let settled = match membership {
            Some(membership) => Configured { index: floor.index, membership },
            None => self.configurations.settled().clone(),
        };
        self.configurations.replace(settled);
        read_configurations(&mut self.configurations, &self.log);
        let settled = self.configurations.settled();
        self.hard.configuration = (!settled.membership.is_unknown()).then(|| settled.clone());
    }

    /// The group was formed so: known from the log's beginning, or from who leads it.
    pub(super) fn formed(&mut self, membership: Option<Membership>) {
        if let Some(membership) = membership
            && self.configurations.settled().index == LogIndex(0)
        {
            self.configurations.replace(Configured { index: LogIndex(0), membership });
            read_configurations(&mut self.configurations, &self.log);
        }
        let settled = self.configurations.settled();
        self.hard.configuration = (!settled.membership.is_unknown()).then(|| settled.clone());
    }

    /// Enters an era, with no vote given in it.
    pub(super) fn enter_era(&mut self, era: Era) {
        assert!(era > self.hard.era, "eras only rise, and {era} does not rise above {}", self.hard.era);
        self.hard.era = era;
        self.hard.vote = None;
    }

    /// Asks for a snapshot.
    pub(super) fn want_snapshot(&mut self, from: NodeId, at_least: LogIndex) {
        sometimes!("raft.snapshot_wanted");
        self.fetch = Some(Fetch { from, at_least: at_least.max(self.log.floor().index) });
    }

    /// Asks anybody for a snapshot: a state that was executed is right, whoever leads.
    pub(super) fn want_snapshot_of_anybody(&mut self) {
        let peers: Vec<NodeId> = self.peers().collect();
        let pick = below(&mut self.rng, peers.len().max(1) as u64);
        if let Some(peer) = usize::try_from(pick).ok().and_then(|pick| peers.get(pick)) {
            self.want_snapshot(*peer, self.log.floor().index);
        }
    }

    /// Queues a message in the sender's era.
    pub(super) fn send(&mut self, to: NodeId, promise: Promise, body: Body) {
        let message = self.message(body).encode();
        self.send_encoded(to, promise, message);
    }

    /// A message of this member as it is.
    pub(super) fn message(&self, body: Body) -> Message {
        Message { era: self.era(), memory: self.hard.memory, recovering: !self.is_member(), body }
    }

    /// Does this member remember what it has promised?
    pub(super) fn is_member(&self) -> bool {
        self.hard.phase == Phase::Member
    }

    /// A blank member's hard state is not to be written down.
    pub(super) fn stay_unwritten(&mut self) {
        self.hard_handed = self.hard.clone();
        self.hard_durable = self.hard.clone();
    }

    /// The log agrees with this era's leader up to here.
    pub(super) fn agree(&mut self, index: LogIndex) {
        let before = if self.agreed.0 == self.era() { self.agreed.1 } else { LogIndex(0) };
        self.agreed = (self.era(), before.max(index));
    }

    /// Up to where the log agrees with this era's leader, as far as is known.
    pub(super) fn agreed(&self) -> LogIndex {
        if self.agreed.0 == self.era() { self.agreed.1 } else { LogIndex(0) }
    }

    /// An answer to a candidate: with what this voter has noted, of the candidate too.
    pub(super) fn vote_reply(&self, granted: bool) -> Body {
        Body::VoteReply { granted, memories: self.hard.memories.clone() }
    }

    /// Likewise, as far as a crash now would leave it.
    pub(super) fn durable_phase(&self) -> Phase {
        self.hard_durable.phase
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(super) fn dice(&mut self) -> u32 {
        self.rng.next_u32()
    }

    pub(super) fn send_encoded(&mut self, to: NodeId, promise: Promise, message: bytes::Bytes) {
        let at_once = match promise {
            Promise::Nothing => true,
            Promise::Era => self.is_hard_state_durable(),
            Promise::Everything => false,
        };
        let queue = if at_once { &mut self.messages_now } else { &mut self.messages_after_persist };
        queue.push(Outbound { to, message });
    }

    /// Would a crash now forget nothing of era and vote?
    pub(super) fn is_hard_state_durable(&self) -> bool {
        self.hard == self.hard_durable
    }

    /// Is there anything to hand out?
    pub(super) fn is_idle(&self) -> bool {
        self.messages_now.is_empty()
            && self.messages_after_persist.is_empty()
            && self.read_states.is_empty()
            && self.reads_dropped.is_empty()
            && self.role_changed.is_none()
            && self.fetch.is_none()
            && !self.log.has_unhanded()
            && !self.log.has_unapplied()
            && !self.configurations.has_changed()
            && self.hard == self.hard_handed
    }

    /// Hands everything out.
    pub(super) fn take_ready(&mut self) -> Ready {
        self.number += 1;
        let number = self.number;
        let hard_state = (self.hard != self.hard_handed).then(|| {
            self.hard_handed = self.hard.clone();
            self.hard_in_flight.push_back((number, self.hard.clone()));
            self.hard.encode()
        });
        let reset = self.log.take_reset();
        let records = self.log.take_unhanded(number);
        let must_sync = !records.is_empty() || hard_state.is_some() || reset.is_some();
        let first = must_sync || !self.messages_now.is_empty() || !self.messages_after_persist.is_empty();
        // With the next hand-over, which the driver asks for at once; and with them the role: what is executed still is
        // this role's.
        let waits = first && self.log.has_unapplied();
        sometimes!("raft.execution_waits_for_messages", waits);
        Ready {
            number,
            must_sync,
            reset,
            records,
            hard_state,
            messages_now: std::mem::take(&mut self.messages_now),
            messages_after_persist: std::mem::take(&mut self.messages_after_persist),
            committed: if waits { Vec::new() } else { self.log.take_unapplied(MAX_COMMITTED) },
            read_states: std::mem::take(&mut self.read_states),
            reads_dropped: std::mem::take(&mut self.reads_dropped),
            fetch: self.fetch.take(),
            role: if waits { None } else { self.role_changed.take() },
            membership: self.configurations.take_changed(),
        }
    }

    /// Hand-overs up to `number` are durable.
    pub(super) fn persisted(&mut self, number: u64) {
        while let Some((_, hard)) = self.hard_in_flight.pop_front_if(|(given, _)| *given <= number) {
            self.hard_durable = hard;
        }
        self.log.persisted(number);
        self.hard.hole = self.log.hole();
    }
}

/// What the log, the hard state and the loaded state say of who belongs to the group.
fn recover_configurations(settled: Configured, state: Option<(Floor, bytes::Bytes)>, log: &RaftLog) -> Configurations {
    // A state that the log does not acknowledge says nothing.
    let loaded = state.filter(|(floor, _)| !log.lacks_state() && floor.index <= log.applied());
    let loaded = loaded
        .and_then(|(floor, bytes)| Some(Configured { index: floor.index, membership: Membership::decode(&bytes)? }));
    let settled = match loaded {
        Some(loaded) if loaded.index >= settled.index => loaded,
        _ => settled,
    };
    let mut configurations = Configurations::new(settled);
    read_configurations(&mut configurations, log);
    configurations.take_changed();
    configurations
}

/// Reads what stands in the log above the settled one.
fn read_configurations(configurations: &mut Configurations, log: &RaftLog) {
    for index in (log.floor().index.0 + 1..=log.last().0).map(LogIndex) {
        if let Some(entry) = log.entry(index) {
            configurations.appended(index, &entry.payload);
        }
    }
    configurations.committed(log.committed());
}
