//! What a worker tells of itself: answers to questions of sessions anywhere in the cluster, events, health.

use super::{Worker, WorkerConfig};
use crate::cluster::facts::{Ask, EventFacts, Facts, Recover, ReplicaFacts, WorkerFacts};
use crate::consensus::{Fetch, Role, Standing, Status};
use crate::env::{Endpoint, Env, Port};
use crate::node::durable::Found;
use crate::node::wire::Body;
use crate::partition::in_sync::InSync;
use crate::session::Gateway;
use crate::types::{Duration, Era, Incarnation, Instant, NodeId, PartitionId, Timestamp, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a worker remembers to tell of itself.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) started_at: Timestamp,
    /// Whom this replica last believed to lead.
    leaders: BTreeMap<PartitionId, (Option<NodeId>, Era)>,
    /// How far each replica was a member when it was last looked at.
    standing: BTreeMap<PartitionId, Standing>,
    /// Who was in sync in each partition that is led here, when it was last looked at.
    in_sync: BTreeMap<PartitionId, InSync>,
    /// Why the log was set aside.
    pub(super) lost: Option<String>,
    /// Answers and relayed questions that are still to be sent.
    outbox: Vec<(Endpoint, Body)>,
}

/// A worker's health at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Has it read its log?
    pub running: bool,
    /// Has it been asked to stop?
    pub stopping: bool,
    /// Partitions that it has a replica of.
    pub partitions: Vec<PartitionHealth>,
    /// Client sessions.
    pub sessions: u64,
    /// What its sessions have counted.
    pub gateway: crate::session::GatewayStats,
}

/// A replica's health at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHealth {
    /// Which.
    pub partition: PartitionId,
    /// Where its consensus member stands.
    pub status: Status,
    /// Last executed position.
    pub executed: u64,
    /// Nodes that it waits for before it can be a member of its group.
    pub awaited: Vec<NodeId>,
}

impl Observed {
    /// A replica is here no more.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.leaders.remove(&partition);
        self.standing.remove(&partition);
        self.in_sync.remove(&partition);
    }
}

/// Numbers of nodes, for people.
pub(super) fn list(nodes: &[NodeId]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(", ")
}

impl Worker {
    /// Events later than this number, in order, as far as they are remembered.
    pub fn events(&self, after: u64) -> impl Iterator<Item = &EventFacts> {
        self.events.after(after)
    }

    /// Number of the latest event.
    #[must_use]
    pub const fn last_event(&self) -> u64 {
        self.events.last()
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        let partition = |(partition, replica): (&PartitionId, &crate::partition::Replica)| PartitionHealth {
            partition: *partition,
            status: replica.status(),
            executed: replica.state_digest().0.0,
            awaited: replica.awaited(),
        };
        Health {
            running: self.incarnation != Incarnation(0),
            stopping: self.stopping.is_some(),
            partitions: self.replicas.iter().map(partition).collect(),
            sessions: self.gateway.as_ref().map_or(0, |gateway| gateway.session_count() as u64),
            gateway: self.gateway.as_ref().map(Gateway::stats).unwrap_or_default(),
        }
    }

    /// A session asks a node.
    pub(super) fn send_ask(&mut self, env: &mut dyn Env, node: NodeId, ask: Ask) {
        self.send(env, Endpoint { node, port: Port::Worker(WorkerId(0)) }, Body::Ask(ask));
    }

    /// A session somewhere asks this node.
    pub(super) fn asked(&mut self, now: Instant, wall: Timestamp, ask: &Ask) {
        if self.was_removed(ask.node) {
            return;
        }
        if self.config.worker == WorkerId(0) && !ask.relayed {
            for worker in 1..self.config.workers {
                let to = Endpoint { node: self.config.node, port: Port::Worker(WorkerId(worker)) };
                self.observed.outbox.push((to, Body::Ask(Ask { relayed: true, ..ask.clone() })));
            }
        }
        self.recover(now, wall, &ask.recover);
        let mut worker = self.facts(now, wall, ask);
        if let Some(prepare) = &ask.prepare {
            for of in &mut worker.replicas {
                let replica = self.replicas.get_mut(&of.partition);
                of.to_prepare = replica.map_or(0, |replica| replica.lay_for(now, wall, prepare));
            }
        }
        let facts = Facts { incarnation: ask.incarnation, session: ask.session, number: ask.number, worker };
        let to = Endpoint { node: ask.node, port: Port::Worker(ask.worker) };
        self.observed.outbox.push((to, Body::Facts(facts)));
    }

    /// An operator does not want to wait until replicas here have what they lack.
    fn recover(&mut self, now: Instant, wall: Timestamp, orders: &[Recover]) {
        for Recover { partition, from, at_least } in orders {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if replica.recover(now, Fetch { from: *from, at_least: *at_least }) {
                let text =
                    format!("partition {}: a snapshot is fetched from node {}, as asked for", partition.0, from.0);
                self.events.info(wall, "recover", Some(*partition), text);
            }
        }
    }

    /// Sends what [`Worker::asked`] has left.
    pub(super) fn send_facts(&mut self, env: &mut dyn Env) {
        for (to, body) in std::mem::take(&mut self.observed.outbox) {
            self.send(env, to, body);
        }
    }

    fn facts(&self, now: Instant, clock: Timestamp, ask: &Ask) -> WorkerFacts {
        let replica = |(partition, replica): (&PartitionId, &crate::partition::Replica)| {
            let status = replica.status();
            let (executed, digest) = replica.state_digest();
            ReplicaFacts {
                partition: *partition,
                role: status.role,
                leader: status.leader,
                era: status.era,
                last: status.last,
                committed: status.committed,
                executed,
                digest,
                pending: u32::try_from(replica.pending()).unwrap_or(u32::MAX),
                suspicion: replica.suspicion(now),
                recovery: replica.recovery(),
                in_sync: Some(replica.in_sync().set).filter(|set| set.version > 0).map(|set| set.members),
                mode: replica.mode(),
                followers: replica.lags(now),
                to_prepare: 0,
            }
        };
        let gateway = self.gateway.as_ref();
        let sessions = gateway.filter(|_| ask.wanted.sessions).map(|gateway| gateway.sessions().collect());
        WorkerFacts {
            node: self.config.node,
            worker: self.config.worker,
            workers: self.config.workers,
            incarnation: self.incarnation,
            started_at: self.observed.started_at,
            clock,
            about: self.config.about.clone(),
            session_count: gateway.map_or(0, |gateway| u32::try_from(gateway.session_count()).unwrap_or(u32::MAX)),
            replicas: self.replicas.iter().map(replica).collect(),
            sessions: sessions.unwrap_or_default(),
            directory: (ask.wanted.directory && self.membership.directory.is_formed())
                .then(|| Arc::clone(&self.membership.directory)),
            moves: if ask.wanted.directory { self.moves(now) } else { Vec::new() },
            events: if ask.wanted.events { self.events.after(0).cloned().collect() } else { Vec::new() },
        }
    }

    /// Log and checkpoints have been read.
    pub(super) fn note_start(&mut self, wall: Timestamp, found: &BTreeMap<PartitionId, Found>) {
        self.observed.started_at = wall;
        let (worker, life) = (self.config.worker.0, self.incarnation.life());
        let records: usize = found.values().map(|found| found.recovered.records.len()).sum();
        let states = found.values().filter(|found| found.recovered.state.is_some()).count();
        let text =
            format!("worker {worker} begins its life {life} with {states} checkpoints and {records} log records");
        self.events.info(wall, "start", None, text);
        for (partition, found) in found {
            if found.recovered.damaged.is_some() {
                let text = "its log is damaged here: it does not lead until a leader has refilled it".to_owned();
                self.events.warning(wall, "damage", Some(*partition), text);
            }
            if let Some(reason) = &found.refused {
                let text = format!("a checkpoint cannot be used: {reason}");
                self.events.warning(wall, "checkpoint_refused", Some(*partition), text);
            }
        }
    }

    /// A peer speaks out of a newer life than before.
    pub(super) fn note_peer(&mut self, wall: Timestamp, node: NodeId, before: Incarnation, now: Incarnation) {
        if before != Incarnation(0) && before.is_before(now) {
            let text = format!("node {} was restarted: it is in its life {}", node.0, now.life());
            self.events.info(wall, "peer_restart", None, text);
        }
    }

    /// The log of earlier lives could not say what it had promised.
    pub(super) fn note_loss(&mut self, wall: Timestamp, lost: Option<String>) {
        if let Some(reason) = &lost {
            let text = format!(
                "the log is damaged ({reason}): its files are kept as lost-*, and what they held comes from the other nodes"
            );
            self.events.warning(wall, "log_lost", None, text);
        }
        self.observed.lost = lost;
    }

    /// A replica has been driven: has it become a member, or does it wait to be one?
    pub(super) fn note_standing(&mut self, wall: Timestamp, partition: PartitionId) {
        let Some(replica) = self.replicas.get(&partition) else { return };
        let standing = replica.status().standing;
        let before = self.observed.standing.insert(partition, standing);
        if self.config.nodes.len() == 1 || before == Some(standing) {
            return;
        }
        let number = partition.0;
        match standing {
            Standing::Forming => {
                let text = waits(standing, &replica.awaited()).unwrap_or_default();
                self.events.info(wall, "forming", Some(partition), format!("partition {number}: {text}"));
            }
            Standing::Recovering => {
                let text = waits(standing, &replica.awaited()).unwrap_or_default();
                self.events.warning(wall, "recovering", Some(partition), format!("partition {number}: {text}"));
            }
            Standing::Outside => {
                let text = waits(standing, &[]).unwrap_or_default();
                self.events.info(wall, "joining", Some(partition), format!("partition {number}: {text}"));
            }
            Standing::Member if before == Some(Standing::Recovering) => {
                let text = format!("partition {number} has recovered: this node has its vote again");
                self.events.info(wall, "recovered", Some(partition), text);
            }
            Standing::Member if before == Some(Standing::Forming) => {
                self.events.info(wall, "formed", Some(partition), format!("the group of partition {number} is formed"));
            }
            Standing::Member => {}
        }
    }

    /// A replica has been driven: does its leader count others as in sync than before?
    pub(super) fn note_in_sync(&mut self, wall: Timestamp, partition: PartitionId) {
        let Some(replica) = self.replicas.get(&partition) else { return };
        let set = replica.in_sync_set();
        let known = self.observed.in_sync.get(&partition);
        if known.map_or(0, |known| known.version) == set.version {
            return;
        }
        let before = self.observed.in_sync.insert(partition, set.clone()).unwrap_or_default();
        if replica.status().role != Role::Leader {
            return;
        }
        let without = |of: &InSync, other: &InSync| -> Vec<NodeId> {
            of.members.iter().filter(|node| !other.members.contains(node)).copied().collect()
        };
        let (left, joined) = (without(&before, set), without(set, &before));
        let mut text = format!("partition {}: nodes {} are in sync", partition.0, list(&set.members));
        for (nodes, what) in [(&left, "left out"), (&joined, "new")] {
            if before.version > 0 && !nodes.is_empty() {
                text += &format!("; {what}: {}", list(nodes));
            }
        }
        match left.is_empty() {
            true => self.events.info(wall, "in_sync", Some(partition), text),
            false => self.events.warning(wall, "in_sync", Some(partition), text),
        }
    }

    /// A replica has been driven: who leads now, if that is news?
    pub(super) fn note_leader(&mut self, wall: Timestamp, partition: PartitionId) -> Option<NodeId> {
        let status = self.replicas.get(&partition).map(crate::partition::Replica::status)?;
        let (leader, era) = self.observed.leaders.entry(partition).or_default();
        if *leader == status.leader && (*era == status.era || status.leader.is_none()) {
            return None;
        }
        (*leader, *era) = (status.leader, status.era);
        match status.leader {
            Some(node) => {
                let text = format!("node {} leads partition {} in era {}", node.0, partition.0, status.era.0);
                self.events.info(wall, "leader", Some(partition), text);
            }
            None => {
                let text = format!("partition {} has no leader that this node knows", partition.0);
                self.events.warning(wall, "no_leader", Some(partition), text);
            }
        }
        status.leader
    }
}

/// What a replica that is no member yet waits for, in words.
pub(crate) fn waits(standing: Standing, awaited: &[NodeId]) -> Option<String> {
    let (several, list) = (
        if awaited.len() == 1 { "node" } else { "nodes" },
        awaited.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(", "),
    );
    match (standing, awaited.is_empty()) {
        (Standing::Member, _) => None,
        (Standing::Outside, _) => Some("it is no member of its group yet and waits to be taken in".to_owned()),
        (Standing::Forming, true) => Some("the cluster is being formed".to_owned()),
        (Standing::Forming, false) => Some(format!("waiting for {several} {list} to form the cluster")),
        (Standing::Recovering, true) => Some("its data was lost and is being fetched from the other nodes".to_owned()),
        (Standing::Recovering, false) => {
            Some(format!("its data was lost: waiting for {several} {list} to tell what it must know"))
        }
    }
}

/// What `system.settings` shows of a node.
pub(super) fn node_settings(config: &WorkerConfig) -> Vec<(&'static str, String, &'static str)> {
    let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis());
    vec![
        ("attempt_timeout", milliseconds(config.attempt_timeout), "A session tries the next node after this long."),
        ("checkpoint_every", config.checkpoint_every.to_string(), "Log entries after which a checkpoint is made."),
        ("digest_every", config.digest_every.to_string(), "Replicas compare digests at multiples of this position."),
        (
            "election_timeout",
            milliseconds(config.election_timeout),
            "Shortest silence after which a leader is suspected.",
        ),
        (
            "failure_detection",
            config.detection.name().to_owned(),
            "How a failed leader is found out: `phi`, `fixed` or `progress`.",
        ),
        ("heartbeat", milliseconds(config.heartbeat), "Interval of a leader's heartbeats."),
        (
            "in_sync_timeout",
            milliseconds(config.in_sync_timeout),
            "A replica that has lacked something for longer does not count as in sync.",
        ),
        ("lease", milliseconds(config.lease), "Length of leaders' leases; 0ms: every read is proved by a round."),
        ("log_keep_entries", config.log_keep_entries.to_string(), "Log entries kept in memory before a checkpoint."),
        ("max_connections", config.max_connections.to_string(), "Most client sessions of a worker."),
        ("max_pending", config.max_pending.to_string(), "Most requests of a partition that wait for their commit."),
        ("node", config.node.0.to_string(), "Number of the node."),
        ("partitions", config.partitions.to_string(), "Data partitions of the cluster."),
        ("slow_statement", milliseconds(config.slow_statement), "A statement that takes as long is noted as an event."),
        (
            "token_lifetime",
            milliseconds(config.token_lifetime),
            "Idempotency tokens are remembered for at least so long.",
        ),
        (
            "snapshot_chunk_bytes",
            config.snapshot_chunk_bytes.to_string(),
            "Size of a chunk of a checkpoint or of a state sent to another replica.",
        ),
        ("statement_timeout", milliseconds(config.statement_timeout), "A statement ends after this long."),
        (
            "wal_bytes_before_checkpoint",
            config.wal_bytes_before_checkpoint.to_string(),
            "Size of a log beyond which checkpoints shorten it.",
        ),
        ("wal_segment_bytes", config.wal_segment_bytes.to_string(), "Size of a file of the log."),
        ("workers", config.workers.to_string(), "Worker threads of the node."),
    ]
}
