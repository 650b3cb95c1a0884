//! All sessions of one worker.
//!
//! The gateway owns the connections, gives each what comes for it, and does what concerns all of them: it registers
//! itself at the cluster partition for the number that makes its sessions unique over the life of the cluster, keeps the
//! newest catalog and the guesses who leads, and finds the connection that a cancel request means.

use super::call::{Call, End, Step, Surroundings};
use super::connection::{Cancel, Connection};
use super::shared::{Shared, Turn};
use crate::catalog::Catalog;
use crate::cluster::facts::{Ask, Facts, SessionFacts};
use crate::directory::Directory;
use crate::env::ClientEvent;
use crate::partition::message::{Outcome, Reply, Request, RequestBody};
use crate::sometimes;
use crate::types::random::RngCore;
use crate::types::{
    ConnectionId, Duration, Incarnation, Instant, NodeId, PartitionId, RequestId, Rng, Sequence, SessionId, Timestamp,
    WorkerId,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Length of a cancel key; clients before protocol 3.2 get its first four bytes.
const KEY_BYTES: usize = 32;

/// What a gateway is told when it is built: the part of the worker's configuration that concerns sessions.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// This node.
    pub node: NodeId,
    /// This worker of it.
    pub worker: WorkerId,
    /// All nodes of the cluster, this one among them.
    pub nodes: Vec<NodeId>,
    /// Data partitions: they are numbered 1..=partitions.
    pub partitions: u32,
    /// One attempt is given this long before the next node is tried.
    pub attempt_timeout: Duration,
    /// A statement ends after this long, unless the session has set `statement_timeout`.
    pub statement_timeout: Duration,
    /// Most client connections (53300 beyond).
    pub max_connections: usize,
    /// A statement that takes as long is told as [`GatewayOutput::SlowStatement`].
    pub slow_statement: Duration,
    /// A definition waits so long for replicas that come no nearer to having prepared it.
    pub preparation_patience: Duration,
    /// Is who has stopped answering left alone for a while?
    pub breaker: bool,
    /// Is what a partition cannot take refused at once?
    pub admission: bool,
    /// What `system.settings` shows of the node: name, value, description.
    pub node_settings: Vec<(&'static str, String, &'static str)>,
}

/// What the gateway wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayOutput {
    /// Bytes for a client.
    Client(ConnectionId, Bytes),
    /// Close the connection after what has been sent. The gateway has forgotten it.
    Close(ConnectionId),
    /// A request to the replica of `partition` on `node`; the reply comes back to this worker.
    Request {
        /// The node to ask; may be the own one.
        node: NodeId,
        /// Which of its replicas.
        partition: PartitionId,
        /// What.
        request: Request,
    },
    /// A question to all workers of this node; may be the own one.
    Ask(NodeId, Ask),
    /// A statement has taken long: what an operator may want to know of it.
    SlowStatement(String),
}

/// What the gateway has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayStats {
    /// Connections opened.
    pub opened: u64,
    /// Connections closed for bytes that are not the protocol (08P01).
    pub protocol_violations: u64,
    /// Connections refused because there are too many (53300).
    pub refused: u64,
    /// Statements that ended with 40003.
    pub unknown_outcomes: u64,
    /// Attempts sent to partitions.
    pub attempts: u64,
    /// Statements refused before anything was sent, since their partition had too much to do (53400).
    pub shed: u64,
    /// Replies to requests that had ended or to nobody's.
    pub late_replies: u64,
}

/// All sessions of one worker, as one machine.
pub struct Gateway {
    shared: Shared,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Connections by the counter of their session.
    sessions: BTreeMap<u64, ConnectionId>,
    /// Connections by the process id that clients are told.
    processes: BTreeMap<i32, ConnectionId>,
    /// When connections want to be called, and the same the other way round.
    timers: BTreeSet<(Instant, ConnectionId)>,
    timer_of: BTreeMap<ConnectionId, Instant>,
    next_counter: u64,
    next_process: i32,
    /// The registration, until it is answered.
    registration: Option<Call>,
    attempts: u32,
}

impl Gateway {
    /// A gateway at the beginning of a life. `rng` draws retry jitter and cancel keys.
    #[must_use]
    pub fn new(config: GatewayConfig, rng: Rng) -> Self {
        Self {
            shared: Shared::new(config, rng),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            processes: BTreeMap::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            next_counter: 1,
            next_process: 1,
            registration: None,
            attempts: 0,
        }
    }

    /// The worker's incarnation is durable: the gateway registers itself at the cluster partition.
    pub fn start(&mut self, now: Instant, wall: Timestamp, incarnation: Incarnation) {
        self.shared.incarnation = incarnation;
        let (node, worker) = (self.shared.config.node, self.shared.config.worker);
        // There is no number yet; this identity is as unique as the incarnation is.
        let session = SessionId { gateway: 0, counter: u64::from(node.0) << 16 | u64::from(worker.0) };
        let id = RequestId { session, sequence: Sequence(incarnation.0) };
        let body = RequestBody::RegisterGateway { node, worker, incarnation };
        let (call, step) =
            Call::start(id, id.sequence, PartitionId::CLUSTER, body, None, false, &mut self.around_registration(now));
        self.registration = Some(call);
        self.follow_registration(now, wall, step);
    }

    /// Something happened on a client connection.
    pub fn client_event(&mut self, now: Instant, wall: Timestamp, connection: ConnectionId, event: ClientEvent) {
        if matches!(event, ClientEvent::Opened { .. }) {
            return self.open(now, wall, connection);
        }
        let mut turn = Turn { now, wall, shared: &mut self.shared };
        let Some(found) = self.connections.get_mut(&connection) else { return };
        let cancel = found.event(&mut turn, event);
        self.settle(connection);
        if let Some(cancel) = cancel {
            self.cancel(now, wall, &cancel);
        }
    }

    /// A partition's replica on node `from` has answered.
    pub fn reply(&mut self, now: Instant, wall: Timestamp, from: NodeId, reply: Reply) {
        if reply.id.session.gateway == 0 {
            return self.registration_reply(now, wall, from, reply);
        }
        let owner = (Some(reply.id.session.gateway) == self.shared.number)
            .then(|| self.sessions.get(&reply.id.session.counter).copied())
            .flatten();
        let found = owner.and_then(|owner| self.connections.get_mut(&owner).map(|connection| (owner, connection)));
        let Some((owner, connection)) = found else {
            sometimes!("session.reply_for_nobody");
            self.shared.stats.late_replies += 1;
            return;
        };
        let mut turn = Turn { now, wall, shared: &mut self.shared };
        connection.reply(&mut turn, from, reply);
        self.settle(owner);
    }

    /// A worker has answered a question of [`GatewayOutput::Ask`].
    pub fn facts(&mut self, now: Instant, wall: Timestamp, facts: Facts) {
        let asker = self.sessions.get(&facts.session).copied().filter(|_| facts.incarnation == self.shared.incarnation);
        let Some(asker) = asker else { return };
        let mut turn = Turn { now, wall, shared: &mut self.shared };
        if let Some(connection) = self.connections.get_mut(&asker) {
            connection.facts(&mut turn, facts);
        }
        self.settle(asker);
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn session_count(&self) -> usize {
        self.shared.sessions
    }

    /// The sessions, for whoever asks.
    pub fn sessions(&self) -> impl Iterator<Item = SessionFacts> {
        self.connections.values().filter(|connection| connection.is_session()).map(Connection::session_facts)
    }

    /// The local replica of the cluster partition has executed up to this catalog.
    pub fn catalog(&mut self, catalog: Arc<Catalog>) {
        self.shared.adopt(catalog);
    }

    /// Who belongs to the cluster, and where replicas are wanted.
    pub fn directory(&mut self, directory: &Directory) {
        self.shared.nodes = directory.members().map(|(node, _)| node).collect();
        self.shared.router.know(directory);
    }

    /// A local replica of `partition` follows another leader than before, or leads.
    pub fn leader(&mut self, now: Instant, wall: Timestamp, partition: PartitionId, leader: NodeId) {
        self.shared.router.learn(partition, leader);
        self.shared.router.answered(leader);
        if partition == PartitionId::CLUSTER {
            self.go_on_registering(now, wall, |call, around| call.leader_found(leader, around));
        }
        self.tell_all(now, wall, |connection, turn| connection.leader_found(turn, partition, leader));
    }

    /// Nobody listens at that node any more, its machine says: what was asked of it will not be answered.
    pub fn peer_gone(&mut self, now: Instant, wall: Timestamp, node: NodeId) {
        self.shared.router.gone(node, now, &mut self.shared.rng);
        self.go_on_registering(now, wall, |call, around| call.peer_gone(node, around));
        self.tell_all(now, wall, |connection, turn| connection.peer_gone(turn, node));
    }

    /// Something has come from that node to this worker, whoever it is for.
    pub fn heard(&mut self, now: Instant, node: NodeId) {
        self.shared.router.heard(node, now);
    }

    /// Peers that nobody here asks now, since they have stopped answering.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.shared.router.broken()
    }

    /// When [`Gateway::handle_timeout`] wants to be called. Ask again after every other call.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let connections = self.timers.first().map(|(instant, _)| *instant);
        let registration = self.registration.as_ref().and_then(Call::next_timeout);
        connections.into_iter().chain(registration).min()
    }

    /// Time has reached [`Gateway::next_timeout`]. Early or late is harmless.
    pub fn handle_timeout(&mut self, now: Instant, wall: Timestamp) {
        self.go_on_registering(now, wall, Call::timeout);
        let due: Vec<_> =
            self.timers.iter().take_while(|(instant, _)| *instant <= now).map(|(_, connection)| *connection).collect();
        for id in due {
            let mut turn = Turn { now, wall, shared: &mut self.shared };
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.timeout(&mut turn);
            }
            self.settle(id);
        }
    }

    /// Takes what is to be done since the last call, in order. Call after every other call.
    #[must_use]
    pub fn drain(&mut self) -> Vec<GatewayOutput> {
        std::mem::take(&mut self.shared.outputs)
    }

    /// A clean stop: sessions that are in the middle of nothing are told 57P01 and closed, the others when they have come to an
    /// end of what they are about, or after `grace`. Nobody new is let in.
    pub fn shutdown(&mut self, now: Instant, grace: Duration) {
        self.shared.stopping = Some(now + grace);
        self.look_up_all(now, Timestamp::default());
    }

    /// Has the last session ended? With [`Gateway::shutdown`] called, the worker may stop then.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.connections.values().any(Connection::is_session)
    }

    /// Who leads a partition, as far as is known here.
    #[must_use]
    pub fn leader_of(&self, partition: PartitionId) -> NodeId {
        self.shared.router.leader(partition)
    }

    /// Connections that it knows: those whose end it has been told of are gone, with all that was theirs.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// What has been counted.
    #[must_use]
    pub const fn stats(&self) -> GatewayStats {
        self.shared.stats
    }

    fn open(&mut self, now: Instant, wall: Timestamp, id: ConnectionId) {
        self.shared.stats.opened += 1;
        let (counter, process) = (self.next_counter, self.next_process);
        self.next_counter += 1;
        // Process ids are positive, as operating systems' are.
        self.next_process = self.next_process.checked_add(1).unwrap_or(1);
        let mut secret = vec![0; KEY_BYTES];
        self.shared.rng.fill_bytes(&mut secret);
        let mut connection = Connection::new(id, now, wall, counter, process, Bytes::from(secret));
        // Room beyond the limit: cancel requests, and those who are told that there are too many.
        let limit = self.shared.config.max_connections;
        if self.connections.len() >= limit + limit / 8 + 8 {
            let mut turn = Turn { now, wall, shared: &mut self.shared };
            return connection.refuse(&mut turn);
        }
        self.connections.insert(id, connection);
        self.sessions.insert(counter, id);
        self.processes.insert(process, id);
        let mut turn = Turn { now, wall, shared: &mut self.shared };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.look_up(&mut turn);
        }
        self.settle(id);
    }

    /// After a connection was touched: sets its timer, or forgets it if it is over.
    fn settle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let next = if connection.is_closed() { None } else { connection.next_timeout() };
        if self.timer_of.get(&id).copied() != next {
            if let Some(before) = self.timer_of.remove(&id) {
                self.timers.remove(&(before, id));
            }
            if let Some(next) = next {
                self.timers.insert((next, id));
                self.timer_of.insert(id, next);
            }
        }
        if connection.is_closed() {
            self.processes.remove(&connection.process());
            self.sessions.remove(&connection.counter());
            self.connections.remove(&id);
        }
    }

    fn cancel(&mut self, now: Instant, wall: Timestamp, cancel: &Cancel) {
        let Some(id) = self.processes.get(&cancel.process).copied() else { return };
        let mut turn = Turn { now, wall, shared: &mut self.shared };
        if let Some(connection) = self.connections.get_mut(&id)
            && *connection.secret() == cancel.secret
        {
            connection.cancel(&mut turn);
        }
        self.settle(id);
    }

    fn look_up_all(&mut self, now: Instant, wall: Timestamp) {
        self.tell_all(now, wall, Connection::look_up);
    }

    /// Gives each connection a turn, for news that may concern any of them.
    fn tell_all(&mut self, now: Instant, wall: Timestamp, news: impl Fn(&mut Connection, &mut Turn<'_>)) {
        let all: Vec<_> = self.connections.keys().copied().collect();
        for id in all {
            let mut turn = Turn { now, wall, shared: &mut self.shared };
            if let Some(connection) = self.connections.get_mut(&id) {
                news(connection, &mut turn);
            }
            self.settle(id);
        }
    }

    /// The same for the call by which this gateway gets its number, while it is under way.
    fn go_on_registering(
        &mut self,
        now: Instant,
        wall: Timestamp,
        news: impl FnOnce(&mut Call, &mut Surroundings<'_>) -> Step,
    ) {
        let Some(mut call) = self.registration.take() else { return };
        let step = news(&mut call, &mut self.around_registration(now));
        self.registration = Some(call);
        self.follow_registration(now, wall, step);
    }

    fn around_registration(&mut self, now: Instant) -> Surroundings<'_> {
        Surroundings {
            now,
            router: &mut self.shared.router,
            rng: &mut self.shared.rng,
            attempts: &mut self.attempts,
            attempt_timeout: self.shared.config.attempt_timeout,
        }
    }

    fn registration_reply(&mut self, now: Instant, wall: Timestamp, from: NodeId, reply: Reply) {
        let Some(mut call) = self.registration.take() else { return };
        if !call.is_answered_by(&reply) {
            self.registration = Some(call);
            return;
        }
        let step = call.reply(from, reply, &mut self.around_registration(now));
        self.registration = Some(call);
        self.follow_registration(now, wall, step);
    }

    fn follow_registration(&mut self, now: Instant, wall: Timestamp, step: Step) {
        match step {
            Step::Wait => {}
            Step::Send(node, request) => {
                self.shared.stats.attempts += 1;
                let partition = PartitionId::CLUSTER;
                self.shared.outputs.push(GatewayOutput::Request { node, partition, request });
            }
            Step::End(End::Done(Outcome::Gateway(number))) => {
                self.registration = None;
                self.shared.number = Some(number);
                self.look_up_all(now, wall);
            }
            // Nothing else answers a registration: ask again.
            Step::End(_) => {
                if let Some(mut call) = self.registration.take() {
                    let step = call.ask_later(&mut self.around_registration(now));
                    self.registration = Some(call);
                    debug_assert_eq!(step, Step::Wait, "asking later is a pause");
                }
            }
        }
    }
}
