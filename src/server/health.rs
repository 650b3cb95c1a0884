//! What a node's workers make known to the edge: their health, and their events for the log.
//!
//! A worker's thread leaves its health here now and then, and at once when something noteworthy has happened; whoever
//! asks over HTTP reads what lies here. Nobody waits for anybody but the short time of a copy.

use crate::env::tokio::Stats;
use crate::node::{Health, Worker, waits};
use crate::types::{Duration, Instant, NodeId, WorkerId};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Health without news is left here so often.
const INTERVAL: Duration = Duration::from_millis(200);

/// The health of all workers of a node.
#[derive(Debug)]
pub(super) struct Board {
    node: NodeId,
    stats: Arc<Stats>,
    workers: Vec<Mutex<Health>>,
}

impl Board {
    pub(super) fn new(node: NodeId, workers: u16, stats: Arc<Stats>) -> Self {
        Self { node, stats, workers: (0..workers).map(|_| Mutex::default()).collect() }
    }

    fn workers(&self) -> Vec<Health> {
        // What lies here is whole even if its writer has panicked since.
        self.workers.iter().map(|health| health.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Can this node serve? The reason why not.
    pub(super) fn ready(&self) -> Result<(), String> {
        let (mut leaderless, mut waiting) = (Vec::new(), None);
        for (number, health) in self.workers().iter().enumerate() {
            if !health.running {
                return Err(format!("worker {number} reads its log"));
            }
            if health.stopping {
                return Err("stopping".to_owned());
            }
            let reasons = health.partitions.iter().filter_map(|one| waits(one.status.standing, &one.awaited));
            // The most telling one: whom it waits for.
            waiting = reasons.chain(waiting).max_by_key(|reason| (reason.contains("waiting for"), reason.len()));
            let without = health.partitions.iter().filter(|partition| partition.status.leader.is_none());
            leaderless.extend(without.map(|partition| partition.partition.0));
        }
        if let Some(reason) = waiting {
            return Err(reason);
        }
        leaderless.sort_unstable();
        match leaderless.as_slice() {
            [] => Ok(()),
            some => Err(format!("no leader is known of partitions {some:?}")),
        }
    }

    /// Counters and gauges in Prometheus's text format.
    pub(super) fn metrics(&self) -> String {
        let mut out = String::new();
        let node = self.node.0;
        let mut family = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            let _ = writeln!(out, "# HELP orrery_{name} {help}\n# TYPE orrery_{name} {kind}");
            for (labels, value) in values {
                let comma = if labels.is_empty() { "" } else { "," };
                let _ = writeln!(out, "orrery_{name}{{node=\"{node}\"{comma}{labels}}} {value}");
            }
        };
        let plain = |value: u64| [(String::new(), value)];
        family(
            "ready",
            "gauge",
            "1 when every partition of this node has a leader.",
            &plain(self.ready().is_ok().into()),
        );
        let workers = self.workers();
        let sum = |of: &dyn Fn(&Health) -> u64| workers.iter().map(of).sum::<u64>();
        family("sessions", "gauge", "Client sessions.", &plain(sum(&|health| health.sessions)));
        type Counter = (&'static str, &'static str, fn(&Health) -> u64);
        let counters: [Counter; 4] = [
            ("attempts", "Attempts of statements sent to partitions.", |health| health.gateway.attempts),
            ("unknown_outcomes", "Statements that ended with 40003.", |health| health.gateway.unknown_outcomes),
            ("sessions_refused", "Sessions refused: too many.", |health| health.gateway.refused),
            ("protocol_violations", "Sessions closed: not the protocol.", |health| health.gateway.protocol_violations),
        ];
        for (name, help, of) in counters {
            family(&format!("{name}_total"), "counter", help, &plain(sum(&of)));
        }
        let partitions = || workers.iter().flat_map(|health| &health.partitions);
        let each = |of: &dyn Fn(&crate::node::PartitionHealth) -> u64| -> Vec<(String, u64)> {
            partitions().map(|one| (format!("partition=\"{}\"", one.partition.0), of(one))).collect()
        };
        let leads = each(&|one| u64::from(one.status.role == crate::consensus::Role::Leader));
        family("partition_leads", "gauge", "1 when this node's replica leads.", &leads);
        let known = each(&|one| u64::from(one.status.leader.is_some()));
        family("partition_has_leader", "gauge", "1 when this node's replica knows a leader.", &known);
        family("partition_era", "gauge", "Era (Raft: term) of the replica.", &each(&|one| one.status.era.0));
        family("log_last", "gauge", "Last position of the replica's log.", &each(&|one| one.status.last.0));
        family("log_committed", "gauge", "Position known to be committed.", &each(&|one| one.status.committed.0));
        family("log_executed", "gauge", "Position that the replica has executed.", &each(&|one| one.executed));
        for (name, value) in self.stats.list() {
            family(&format!("{name}_total"), "counter", "Counted by the edge since the start.", &plain(value));
        }
        out
    }
}

/// A worker's side of the board.
pub(super) struct Watch {
    board: Arc<Board>,
    worker: WorkerId,
    /// Number of the last event that the log has.
    logged: u64,
    next: Instant,
}

impl Watch {
    pub(super) fn new(board: Arc<Board>, worker: WorkerId) -> Self {
        Self { board, worker, logged: 0, next: Instant(0) }
    }

    /// The worker has handled an event: tells what is new.
    pub(super) fn look(&mut self, machine: &Worker, now: Instant) {
        let news = machine.last_event() > self.logged;
        if news {
            self.log(machine);
        }
        if news || now >= self.next {
            self.next = now + INTERVAL;
            if let Some(place) = self.board.workers.get(usize::from(self.worker.0)) {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = machine.health();
            }
        }
    }

    fn log(&mut self, machine: &Worker) {
        let (node, worker) = (self.board.node, self.worker);
        for event in machine.events(self.logged) {
            let partition = event.partition.map(|partition| partition.0);
            let kind = event.kind.as_str();
            if event.warning {
                tracing::warn!(%node, %worker, kind, partition, "{}", event.text);
            } else {
                tracing::info!(%node, %worker, kind, partition, "{}", event.text);
            }
        }
        self.logged = machine.last_event();
    }
}
