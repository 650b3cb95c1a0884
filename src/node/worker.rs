//! The worker: takes events, drives its machines, carries out what they return.
//!
//! Nothing decides here. An event is handed to the machine that it is for ([`Worker::take`]); when all that are there have
//! been taken the turn is over, and [`Worker::drive`] goes round until no machine has anything left to say: gateway requests
//! are routed, replicas pumped, records given to the WAL, messages sent. Events of one turn share messages, a batch of the
//! log and writes to sockets; what follows is the same for any division of events into turns, as the simulator tries.
//! **Persist → send → apply** is kept by tickets: each hand-over with something to persist gets one, and what promises its
//! durability waits under it until the WAL reports it.
//!
//! Execution comes last: what was to be said before it is on its way ([`Network::flush`](crate::env::Network::flush)), so
//! that all replicas execute a long command at about the same time. While they do, nobody hears heartbeats; the environment
//! says so afterwards ([`Event::Paused`]), and time in which nobody listened is not silence.
//!
//! A clean stop ([`Event::Shutdown`]) takes no more work, hands leadership over, and ends when that is done.

mod keeping;
mod membership;
mod observe;
mod throttle;

pub(crate) use observe::waits;
pub use observe::{Health, PartitionHealth};

use super::WorkerConfig;
use super::durable::{Durable, DurableEvent, Found};
use super::events::Events;
use super::wire::{Body, Frame, FrameV1};
use crate::catalog::Catalog;
use crate::consensus::{self, Outbound, Ready, Status};
use crate::directory::{self, Directory};
use crate::env::{ClientEvent, Control, Endpoint, Env, Event, Port, StopReason};
use crate::partition::global::{Exchange, HEARD_WITHIN};
use crate::partition::message::{Reply, Request};
use crate::partition::{InSyncFacts, Origin, Replica, ReplicaConfig};
use crate::session::{Gateway, GatewayConfig, GatewayOutput};
use crate::sometimes;
use crate::types::random::SeedableRng;
use crate::types::{Duration, Era, Incarnation, Instant, LogIndex, NodeId, PartitionId, Rng, Timestamp, WorkerId};
use crate::wal;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A clean stop waits this long for running statements, and for others to lead what is led here.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Of it, this long for clients that have a transaction block open; then there is a good-bye still.
const SESSIONS_GRACE: Duration = Duration::from_secs(4);

/// An exchange is passed on so often: hints may lead in a circle while an election is on.
const MAX_HOPS: u8 = 2;

/// The unit of execution: owns partition replicas and client sessions, shares nothing.
pub struct Worker {
    config: WorkerConfig,
    phase: Phase,
    incarnation: Incarnation,
    /// Log and checkpoints.
    durable: Option<Durable>,
    replicas: BTreeMap<PartitionId, Replica>,
    gateway: Option<Gateway>,
    /// Latest life heard of each peer worker.
    peers: BTreeMap<(NodeId, WorkerId), Incarnation>,
    /// Hand-overs that wait for the disk, by ticket.
    tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    /// Highest ticket of each partition that is not yet durable.
    last_ticket: BTreeMap<PartitionId, u64>,
    /// The partition whose checkpoint is being made: one at a time.
    saving: Option<PartitionId>,
    /// Leaders as the replicas of this node have last found them: facts, where the router has guesses.
    leaders: BTreeMap<PartitionId, NodeId>,
    membership: membership::Membership,
    /// What was sent of states lately.
    throttle: throttle::Throttle,
    /// The version of the directory from which replicas were last told who is to lead, and how many there were.
    preferences: (u64, usize),
    /// Messages to this worker itself.
    local: VecDeque<Body>,
    /// When the operator asked for a stop.
    stopping: Option<Instant>,
    stats: WorkerStats,
    events: Events,
    observed: observe::Observed,
}

/// What the worker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// Frames that could not be read.
    pub malformed_frames: u64,
    /// Frames of earlier lives of their senders.
    pub stale_frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Reading the log; clients wait.
    Recovering,
    /// At work.
    Running,
}

/// What becomes possible when a ticket is durable.
#[derive(Default)]
struct Ticket {
    persisted: Vec<(PartitionId, u64)>,
    messages: Vec<(PartitionId, Outbound)>,
}

impl Worker {
    /// A worker at the beginning of a life; [`Event::Start`] sets it going.
    #[must_use]
    pub fn new(config: WorkerConfig) -> Self {
        Self {
            config,
            phase: Phase::Recovering,
            incarnation: Incarnation(0),
            durable: None,
            saving: None,
            replicas: BTreeMap::new(),
            gateway: None,
            peers: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 1,
            last_ticket: BTreeMap::new(),
            leaders: BTreeMap::new(),
            membership: membership::Membership::default(),
            throttle: throttle::Throttle::default(),
            preferences: (0, 0),
            local: VecDeque::new(),
            stopping: None,
            stats: WorkerStats::default(),
            events: Events::default(),
            observed: observe::Observed::default(),
        }
    }

    /// Takes one event and does what follows from it. Now and then (in the simulator) that is left to the next event, as an
    /// environment does that takes several at a time.
    pub fn handle(&mut self, env: &mut dyn Env, event: Event) -> Control {
        self.take(env, event);
        if env.buggify("node.turn_goes_on") {
            sometimes!("node.turn_of_several_events");
            env.wake_at(env.now());
            return Control::Continue;
        }
        self.turn_over(env)
    }

    /// Takes one event. What follows from it is done when the turn is over: several events that are there at the same time
    /// share their messages, their batch of the log and their answers.
    pub fn take(&mut self, env: &mut dyn Env, event: Event) {
        let (now, wall) = (env.now(), env.wall());
        match event {
            Event::Start => self.start(env),
            Event::Message { payload, .. } => self.message(env, &payload),
            Event::Client { connection, event } => self.client(env, connection, event),
            Event::Wake => {
                self.timeouts(now, wall);
                self.membership_timeout(env, now);
            }
            Event::Paused { length } => self.paused(now, wall, length),
            Event::PeerGone { node } => self.peer_gone(now, wall, node),
            Event::Disk { result, .. } => {
                if let Some(durable) = &mut self.durable {
                    durable.completed(result);
                }
            }
            Event::Shutdown => self.shut_down(now),
        }
    }

    /// Does what follows from the events taken since the last call.
    pub fn turn_over(&mut self, env: &mut dyn Env) -> Control {
        let (now, wall) = (env.now(), env.wall());
        self.replicas.values_mut().for_each(Replica::begin_turn);
        self.tell_preferences();
        if self.stopping.is_some() {
            self.hand_over(now, wall);
        }
        self.drive(env, now, wall)
    }

    /// Partitions with a replica here, once recovered.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.replicas.keys().copied().collect()
    }

    /// Number of this life, once known.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// For the simulator's checkers: where the replica stands in its group's consensus.
    #[must_use]
    pub fn consensus_status(&self, partition: PartitionId) -> Option<Status> {
        self.replicas.get(&partition).map(Replica::status)
    }

    /// For the simulator's checkers: who belongs to the group, as far as the replica knows.
    #[must_use]
    pub fn group_membership(&self, partition: PartitionId) -> Option<consensus::Membership> {
        self.replicas.get(&partition).map(|replica| replica.membership().clone())
    }

    /// For the simulator's checkers: era and payload digest of a log entry that this replica holds.
    #[must_use]
    pub fn log_entry(&self, partition: PartitionId, index: LogIndex) -> Option<(Era, u64)> {
        self.replicas.get(&partition)?.log_entry(index)
    }

    /// For the simulator's checkers: who is in sync, and what was acknowledged for that.
    #[must_use]
    pub fn in_sync(&self, partition: PartitionId) -> Option<InSyncFacts> {
        self.replicas.get(&partition).map(Replica::in_sync)
    }

    /// For the simulator's checkers: why the log of earlier lives was set aside in this one, if it was.
    #[must_use]
    pub fn lost_log(&self) -> Option<&str> {
        self.observed.lost.as_deref()
    }

    /// For the simulator's checkers: the newest directory of nodes that has come here.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.membership.directory
    }

    /// Client connections that its gateway knows. For the simulator: nothing may stay of a client that is gone.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gateway.as_ref().map_or(0, Gateway::connections)
    }

    /// For the simulator's checkers: last executed index and the digest of the state there.
    #[must_use]
    pub fn state_digest(&self, partition: PartitionId) -> Option<(LogIndex, u128)> {
        self.replicas.get(&partition).map(Replica::state_digest)
    }

    /// For the simulator, which gives it a time: how much its replicas have executed in this life, in statements.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.replicas.values().map(Replica::statements).sum()
    }

    /// What has been counted.
    #[must_use]
    pub const fn stats(&self) -> WorkerStats {
        self.stats
    }

    fn start(&mut self, env: &mut dyn Env) {
        let mut wal_dice = Rng::from_seed(env.seed("wal"));
        self.durable = Some(Durable::start(wal::Config {
            node: self.config.node,
            worker: self.config.worker,
            segment_bytes: self.config.wal_segment_bytes,
            seed: crate::types::random::RngCore::next_u64(&mut wal_dice),
            // One of two that has forgotten finds no quorum of others.
            can_rejoin: self.config.nodes.len() > 2,
        }));
        let config = GatewayConfig {
            node: self.config.node,
            worker: self.config.worker,
            nodes: self.config.nodes.clone(),
            partitions: self.config.partitions,
            attempt_timeout: self.config.attempt_timeout,
            statement_timeout: self.config.statement_timeout,
            max_connections: self.config.max_connections,
            slow_statement: self.config.slow_statement,
            preparation_patience: self.config.preparation_patience,
            breaker: self.config.breaker,
            admission: self.config.admission,
            node_settings: observe::node_settings(&self.config),
        };
        self.gateway = Some(Gateway::new(config, Rng::from_seed(env.seed("gateway"))));
    }

    fn recovered(
        &mut self,
        env: &mut dyn Env,
        mut found: BTreeMap<PartitionId, Found>,
        dropped: BTreeSet<PartitionId>,
        amnesia: bool,
    ) -> Result<(), StopReason> {
        let (now, wall, incarnation) = (env.now(), env.wall(), self.incarnation);
        self.phase = Phase::Running;
        self.note_start(wall, &found);
        self.note_dropped(dropped);
        for number in 0..=self.config.partitions {
            let partition = PartitionId(number);
            if Port::Partition(partition).worker(self.config.workers) != self.config.worker {
                continue;
            }
            let voters = if self.config.founder { self.config.nodes.clone() } else { Vec::new() };
            let found = match found.remove(&partition) {
                Some(found) => found,
                // Whoever has formed the cluster had a replica of everything in the beginning.
                None if self.config.founder && !self.has_dropped(partition) => Found::nothing(partition, amnesia),
                None => continue,
            };
            self.open(env, partition, found, voters)?;
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.start(now, wall, incarnation);
        }
        Ok(())
    }

    /// Opens a replica. `voters`: who has formed its group, if nothing that is found says who belongs to it; nobody: it waits to be
    /// taught.
    fn open(
        &mut self,
        env: &mut dyn Env,
        partition: PartitionId,
        found: Found,
        voters: Vec<NodeId>,
    ) -> Result<(), StopReason> {
        let Found { recovered, machine, .. } = found;
        let config = consensus::Config {
            node: self.config.node,
            voters,
            group: u64::from(partition.0),
            detection: self.config.detection,
            heartbeat: self.config.heartbeat,
            election_timeout: self.config.election_timeout,
            lease: self.config.lease,
            max_batch_entries: self.config.max_batch_entries,
            max_batch_bytes: self.config.max_batch_bytes,
            max_inflight: self.config.max_inflight,
            rng: Rng::from_seed(env.seed("consensus")),
        };
        let consensus = consensus::build(consensus::Protocol::Raft, config, recovered)
            .map_err(|reason| StopReason::Unusable(format!("partition {}: {reason}", partition.0)))?;
        let config = ReplicaConfig {
            max_pending: self.config.max_pending,
            piece_bytes: self.config.max_batch_bytes / 2,
            statements_in_a_turn: self.config.statements_in_a_turn,
            digest_every: self.config.digest_every,
            // A leader counts as unheard after `HEARD_WITHIN`: it has to speak several times within it, however patient
            // elections are.
            exchange_every: self.config.election_timeout.min(HEARD_WITHIN / 3),
            token_lifetime: self.config.token_lifetime,
            in_sync_timeout: self.config.in_sync_timeout,
            founders: (partition == PartitionId::CLUSTER && self.config.founder).then(|| self.founders()),
            rng: Rng::from_seed(env.seed("entries")),
            keeping: self.keeping_config(),
        };
        self.replicas.insert(partition, Replica::new(consensus, machine, config));
        Ok(())
    }

    fn message(&mut self, env: &mut dyn Env, payload: &[u8]) {
        let Some(Frame::V1(frame)) = Frame::decode(payload) else {
            self.stats.malformed_frames += 1;
            return;
        };
        if self.phase == Phase::Recovering || self.was_removed(frame.node) {
            return;
        }
        let latest = self.peers.entry((frame.node, frame.worker)).or_default();
        if frame.incarnation.is_before(*latest) {
            sometimes!("node.frame_of_an_earlier_life");
            self.stats.stale_frames += 1;
            return;
        }
        let before = std::mem::replace(latest, frame.incarnation);
        self.note_peer(env.wall(), frame.node, before, frame.incarnation);
        if let Some(gateway) = &mut self.gateway {
            gateway.heard(env.now(), frame.node);
        }
        self.dispatch(env, Origin { node: frame.node, worker: frame.worker }, frame.body);
    }

    fn dispatch(&mut self, env: &mut dyn Env, from: Origin, body: Body) {
        let (now, wall) = (env.now(), env.wall());
        match body {
            Body::Consensus { partition, message } => {
                if let Some(replica) = self.replicas.get_mut(&partition) {
                    replica.step(now, from.node, &message);
                }
            }
            Body::Request { partition, request } => match self.replicas.get_mut(&partition) {
                Some(replica) => replica.request(now, wall, from, request),
                None => self.not_here(env, from, partition, &request),
            },
            Body::Exchange { partition, exchange, hops } => self.exchange(env, now, partition, exchange, hops),
            Body::Snapshot { partition, message } => {
                self.snapshot_message(now, from.node, partition, message);
            }
            Body::Reply(reply) => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.reply(now, wall, from.node, reply);
                }
            }
            Body::Digest { partition, index, digest } => {
                if let Some(replica) = self.replicas.get_mut(&partition) {
                    replica.announced(index, digest);
                }
            }
            Body::Ask(ask) => self.asked(now, wall, &ask),
            Body::Facts(facts) => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.facts(now, wall, facts);
                }
            }
            Body::Catalog(catalog) => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.catalog(catalog);
                }
            }
            Body::Directory(directory) => self.learn_directory(env, from.node, directory),
            Body::Report { report, hops } => self.reported(env, now, report, hops),
            Body::Step { partition, step } => self.step(now, wall, partition, step),
            // Each worker of this node is to know.
            Body::Leader { partition, leader } if from.node != self.config.node => {
                if self.leaders.get(&partition) != Some(&leader) {
                    self.announce_leader(env, partition, leader);
                }
            }
            Body::Leader { partition, leader } => {
                self.leaders.insert(partition, leader);
                if let Some(gateway) = &mut self.gateway {
                    gateway.leader(now, wall, partition, leader);
                }
            }
        }
    }

    fn client(&mut self, env: &mut dyn Env, connection: crate::types::ConnectionId, event: ClientEvent) {
        let (now, wall) = (env.now(), env.wall());
        match &mut self.gateway {
            Some(gateway) => gateway.client_event(now, wall, connection, event),
            None => env.client_close(connection),
        }
    }

    fn timeouts(&mut self, now: Instant, wall: Timestamp) {
        for replica in self.replicas.values_mut() {
            if replica.next_timeout() <= now {
                replica.handle_timeout(now);
            }
        }
        if let Some(gateway) = &mut self.gateway
            && gateway.next_timeout().is_some_and(|timeout| timeout <= now)
        {
            gateway.handle_timeout(now, wall);
        }
    }

    /// Time in which nobody listened is not silence: no timer of consensus runs out for it.
    fn paused(&mut self, now: Instant, wall: Timestamp, length: Duration) {
        if length < self.config.heartbeat {
            return;
        }
        sometimes!("node.paused");
        for replica in self.replicas.values_mut() {
            replica.paused(now, length);
        }
        if length >= self.config.election_timeout {
            let text = format!("this worker did not listen for {} ms", length.as_millis());
            self.events.warning(wall, "pause", None, text);
        }
    }

    /// A hint: whoever follows that node asks soon whether it would be elected.
    fn peer_gone(&mut self, now: Instant, wall: Timestamp, node: NodeId) {
        sometimes!("node.peer_gone");
        for replica in self.replicas.values_mut() {
            replica.peer_gone(now, node);
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.peer_gone(now, wall, node);
        }
        self.events.info(wall, "peer_gone", None, format!("node {} has gone: nobody listens there", node.0));
    }

    fn shut_down(&mut self, now: Instant) {
        if self.stopping.is_none() {
            self.stopping = Some(now);
            if let Some(gateway) = &mut self.gateway {
                gateway.shutdown(now, SESSIONS_GRACE);
            }
        }
    }

    /// Replicas know whom the directory wants to lead.
    fn tell_preferences(&mut self) {
        let directory = &self.membership.directory;
        let known = (directory.version, self.replicas.len());
        if std::mem::replace(&mut self.preferences, known) == known {
            return;
        }
        for (partition, replica) in &mut self.replicas {
            replica.prefer(directory.placement(*partition).and_then(|placement| placement.leader));
        }
    }

    /// A stop is asked for: what this node leads others lead from now on, so that nobody has to lose patience first. What was
    /// elected or given up meanwhile is handed over again.
    fn hand_over(&mut self, now: Instant, wall: Timestamp) {
        for (partition, replica) in &mut self.replicas {
            if let Some(to) = replica.hand_over(now) {
                let text = format!("leadership of partition {} is handed over to node {}", partition.0, to.0);
                self.events.info(wall, "hand_over", Some(*partition), text);
            }
        }
    }

    /// Goes round until no machine has anything left to say, then hands over to the disk and sets the alarm.
    fn drive(&mut self, env: &mut dyn Env, now: Instant, wall: Timestamp) -> Control {
        loop {
            let mut quiet = match self.drive_durable(env, now) {
                Ok(nothing) => nothing,
                Err(stop) => return Control::Stop(stop),
            };
            quiet &= self.drive_gateway(env, wall);
            self.send_facts(env);
            while let Some(body) = self.local.pop_front() {
                quiet = false;
                let from = Origin { node: self.config.node, worker: self.config.worker };
                self.dispatch(env, from, body);
            }
            match self.drive_replicas(env, now, wall) {
                Ok(nothing) => quiet &= nothing,
                Err(stop) => return Control::Stop(stop),
            }
            if quiet {
                if let Some(durable) = &mut self.durable {
                    durable.flush();
                }
                match self.drive_durable(env, now) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(stop) => return Control::Stop(stop),
                }
            }
        }
        if self.is_stopped(now) {
            return Control::Stop(StopReason::Shutdown);
        }
        self.set_alarm(env);
        Control::Continue
    }

    /// Submits what is to be written and takes what log and checkpoints have to tell. Returns whether there was nothing.
    fn drive_durable(&mut self, env: &mut dyn Env, now: Instant) -> Result<bool, StopReason> {
        let mut quiet = true;
        loop {
            let Some(durable) = &mut self.durable else { return Ok(quiet) };
            for op in durable.take_ops() {
                env.submit(op);
            }
            let Some(event) = durable.poll() else { return Ok(quiet) };
            quiet = false;
            match event {
                DurableEvent::Recovered { found, dropped, incarnation, amnesia, lost } => {
                    self.incarnation = incarnation;
                    self.note_loss(env.wall(), lost);
                    self.recovered(env, found, dropped, amnesia)?;
                }
                DurableEvent::Persisted { ticket } => self.persisted(env, now, ticket),
                DurableEvent::Wants { partition } => {
                    if let Some(replica) = self.replicas.get_mut(&partition) {
                        replica.file_wants(now);
                        self.keep(env, partition);
                    }
                }
                DurableEvent::Published { partition, header } => {
                    if let Some(replica) = self.replicas.get_mut(&partition) {
                        replica.published(now, header);
                        self.keep(env, partition);
                    }
                }
                DurableEvent::Ended(reason) => return Err(reason),
            }
        }
    }

    fn persisted(&mut self, env: &mut dyn Env, now: Instant, durable: u64) {
        while let Some(first) = self.tickets.first_entry() {
            if *first.key() > durable {
                break;
            }
            let number = *first.key();
            let ticket = first.remove();
            for (partition, message) in ticket.messages {
                self.send_consensus(env, partition, message);
            }
            for (partition, ready) in ticket.persisted {
                if let Some(replica) = self.replicas.get_mut(&partition) {
                    replica.persisted(now, ready);
                }
                if self.last_ticket.get(&partition) == Some(&number) {
                    self.last_ticket.remove(&partition);
                }
            }
        }
    }

    /// Routes what the sessions ask. Returns whether there was nothing.
    fn drive_gateway(&mut self, env: &mut dyn Env, wall: Timestamp) -> bool {
        let Some(gateway) = &mut self.gateway else { return true };
        let outputs = gateway.drain();
        let quiet = outputs.is_empty();
        for output in outputs {
            match output {
                GatewayOutput::Client(connection, bytes) => env.client_send(connection, bytes),
                GatewayOutput::Close(connection) => env.client_close(connection),
                GatewayOutput::Request { node, partition, request } => {
                    self.send_request(env, node, partition, request);
                }
                GatewayOutput::Ask(node, ask) => self.send_ask(env, node, ask),
                GatewayOutput::SlowStatement(text) => self.events.warning(wall, "slow_statement", None, text),
            }
        }
        quiet
    }

    /// Pumps every replica dry. Returns whether there was nothing.
    fn drive_replicas(&mut self, env: &mut dyn Env, now: Instant, wall: Timestamp) -> Result<bool, StopReason> {
        let mut quiet = true;
        for number in 0..=self.config.partitions {
            let partition = PartitionId(number);
            while let Some(replica) = self.replicas.get_mut(&partition) {
                if replica.has_to_execute() {
                    // It may take long, and the others are to begin with it, too.
                    env.flush();
                }
                let Some(ready) = replica.ready(now, wall) else { break };
                quiet = false;
                self.carry_out(env, now, partition, ready);
            }
            self.note_standing(wall, partition);
            self.note_in_sync(wall, partition);
            if let Some(leader) = self.note_leader(wall, partition) {
                quiet = false;
                self.announce_leader(env, partition, leader);
            }
            let Some(replica) = self.replicas.get_mut(&partition) else { continue };
            replica.check_digests().map_err(StopReason::Diverged)?;
            if self.saving.is_none() && replica.checkpoint_is_due() {
                replica.begin_checkpoint();
                self.saving = Some(partition);
            }
            let output = replica.take_output();
            quiet &= output.replies.is_empty() && output.exchanges.is_empty();
            for (to, exchange) in output.exchanges {
                self.send_exchange(env, to, exchange);
            }
            for (origin, reply) in output.replies {
                self.send_reply(env, origin, reply);
            }
            if let Some(catalog) = output.catalog {
                let text = format!("catalog version {} is in force", catalog.version.0);
                self.events.info(wall, "catalog", Some(partition), text);
                self.announce_catalog(env, &catalog);
            }
            if let Some(directory) = output.directory {
                self.announce_directory(env, &directory);
            }
            for (index, digest) in output.digests {
                self.announce_digest(env, partition, index, digest);
            }
            quiet &= self.carry_out_keeping(env, partition, output.keeping);
        }
        self.shorten_log(env);
        Ok(quiet)
    }

    fn carry_out(&mut self, env: &mut dyn Env, now: Instant, partition: PartitionId, ready: Ready) {
        for message in ready.messages_now {
            self.send_consensus(env, partition, message);
        }
        let Some(durable) = &mut self.durable else { return };
        if !ready.records.is_empty() || ready.hard_state.is_some() || ready.reset.is_some() {
            let number = self.next_ticket;
            self.next_ticket += 1;
            durable.append(number, partition, ready.reset, &ready.records, ready.hard_state);
            self.last_ticket.insert(partition, number);
        }
        // What is promised stands behind everything of this group that is still on its way to the disk.
        if let Some(number) = self.last_ticket.get(&partition) {
            let ticket = self.tickets.entry(*number).or_default();
            ticket.persisted.push((partition, ready.number));
            ticket.messages.extend(ready.messages_after_persist.into_iter().map(|message| (partition, message)));
        } else {
            for message in ready.messages_after_persist {
                self.send_consensus(env, partition, message);
            }
            if let Some(replica) = self.replicas.get_mut(&partition) {
                replica.persisted(now, ready.number);
            }
        }
    }

    fn set_alarm(&self, env: &mut dyn Env) {
        let replicas = self.replicas.values().map(Replica::next_timeout);
        let gateway = self.gateway.as_ref().and_then(Gateway::next_timeout);
        let grace = self.stopping.map(|asked| asked + SHUTDOWN_GRACE);
        let report = self.next_report();
        if let Some(next) = replicas.chain(gateway).chain(grace).chain(report).min() {
            env.wake_at(next);
        }
    }

    fn is_stopped(&self, now: Instant) -> bool {
        let Some(asked) = self.stopping else { return false };
        let idle = self.gateway.as_ref().is_none_or(Gateway::is_idle)
            && self.durable.as_ref().is_none_or(Durable::is_idle)
            && self.replicas.values().all(|replica| replica.status().successor.is_none());
        sometimes!("node.stop_waits_for_nobody_longer", !idle && now.since(asked) >= SHUTDOWN_GRACE);
        idle || now.since(asked) >= SHUTDOWN_GRACE
    }

    fn send_consensus(&mut self, env: &mut dyn Env, partition: PartitionId, outbound: Outbound) {
        let to = Endpoint { node: outbound.to, port: Port::Partition(partition) };
        self.send(env, to, Body::Consensus { partition, message: outbound.message });
    }

    fn send_request(&mut self, env: &mut dyn Env, node: NodeId, partition: PartitionId, request: Request) {
        // A request may be lost on any way, even to the own node: the session asks again under the same identity.
        if !env.buggify("node.request_lost") {
            self.send(env, Endpoint { node, port: Port::Partition(partition) }, Body::Request { partition, request });
        }
    }

    /// To whoever leads the partition, as far as this node's replicas know. The router's guess is the last resort: sessions move it
    /// on where a partition is slow to answer, and it is slow while it waits for exactly this.
    fn send_exchange(&mut self, env: &mut dyn Env, partition: PartitionId, exchange: Exchange) {
        let own = self.replicas.get(&partition).and_then(|replica| replica.status().leader);
        let guess = || self.gateway.as_ref().map(|gateway| gateway.leader_of(partition));
        let Some(node) = own.or_else(|| self.leaders.get(&partition).copied()).or_else(guess) else { return };
        // Whatever is said may be lost on any way: it is asked for again.
        if !env.buggify("node.exchange_lost") {
            let to = Endpoint { node, port: Port::Partition(partition) };
            self.send(env, to, Body::Exchange { partition, exchange, hops: 0 });
        }
    }

    fn exchange(&mut self, env: &mut dyn Env, now: Instant, partition: PartitionId, exchange: Exchange, hops: u8) {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            return self.pass_on(env, partition, exchange, hops);
        };
        let Some(exchange) = replica.exchange(now, exchange) else { return };
        // A member that does not lead: whom does it follow?
        if let Some(leader) = replica.status().leader.filter(|leader| *leader != self.config.node)
            && hops < MAX_HOPS
        {
            sometimes!("node.exchange_passed_on");
            let to = Endpoint { node: leader, port: Port::Partition(partition) };
            self.send(env, to, Body::Exchange { partition, exchange, hops: hops + 1 });
        }
    }

    fn send_reply(&mut self, env: &mut dyn Env, origin: Origin, reply: Reply) {
        if !env.buggify("node.reply_lost") {
            self.send(env, Endpoint { node: origin.node, port: Port::Worker(origin.worker) }, Body::Reply(reply));
        }
    }

    fn announce_catalog(&mut self, env: &mut dyn Env, catalog: &Arc<Catalog>) {
        for worker in 0..self.config.workers {
            let to = Endpoint { node: self.config.node, port: Port::Worker(WorkerId(worker)) };
            self.send(env, to, Body::Catalog(Arc::clone(catalog)));
        }
    }

    /// What a new cluster's directory of nodes begins with.
    fn founders(&self) -> directory::Change {
        let address = |node: &NodeId| self.config.addresses.get(node).cloned().unwrap_or_default();
        directory::Change::Form {
            nodes: self.config.nodes.iter().map(|node| (*node, address(node))).collect(),
            partitions: self.config.partitions,
        }
    }

    fn announce_directory(&mut self, env: &mut dyn Env, directory: &Arc<Directory>) {
        for worker in 0..self.config.workers {
            let to = Endpoint { node: self.config.node, port: Port::Worker(WorkerId(worker)) };
            self.send(env, to, Body::Directory(Arc::clone(directory)));
        }
    }

    /// Sessions of this node need not wait until their attempts at the last leader have timed out.
    fn announce_leader(&mut self, env: &mut dyn Env, partition: PartitionId, leader: NodeId) {
        for worker in 0..self.config.workers {
            let to = Endpoint { node: self.config.node, port: Port::Worker(WorkerId(worker)) };
            self.send(env, to, Body::Leader { partition, leader });
        }
    }

    fn announce_digest(&mut self, env: &mut dyn Env, partition: PartitionId, index: LogIndex, digest: u128) {
        let members = self.replicas.get(&partition).map(|replica| replica.membership().members());
        for node in members.unwrap_or_default() {
            if node != self.config.node {
                let to = Endpoint { node, port: Port::Partition(partition) };
                self.send(env, to, Body::Digest { partition, index, digest });
            }
        }
    }

    /// Sends; what goes to this worker itself skips encoding and the network.
    fn send(&mut self, env: &mut dyn Env, to: Endpoint, body: Body) {
        if to.node == self.config.node && to.port.worker(self.config.workers) == self.config.worker {
            self.local.push_back(body);
            return;
        }
        let frame = FrameV1 { node: self.config.node, worker: self.config.worker, incarnation: self.incarnation, body };
        env.send(to, Frame::V1(frame).encode());
    }
}
