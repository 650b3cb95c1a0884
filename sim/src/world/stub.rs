//! A machine and a client small enough to prove things about the world with. Tests only.

use super::{Machine, Options, simulate_with};
use crate::client::{Client, ClientAction, ClientInput};
use crate::plan::{self, Budget, FaultKind, PLAN_VERSION, Plan, PlannedFault, SECOND};
use crate::run::Run;
use bytes::Bytes;
use orrery::consensus::{Floor, Role, Standing, Status};
use orrery::env::{ClientEvent, Control, DiskError, DiskOp, Endpoint, Env, Event, Port, StopReason};
use orrery::node::WorkerConfig;
use orrery::sometimes;
use orrery::types::{Duration, Era, LogIndex, NodeId, PartitionId};

/// Every 10 ms it writes to its disk, syncs, and sends its peers a message; it echoes what clients send.
struct Ticker {
    config: WorkerConfig,
    ticks: u64,
    named: bool,
    connections: usize,
}

const FILE: &str = "ticks";
const TICK: Duration = Duration::from_millis(10);

pub(crate) fn ticker(config: WorkerConfig) -> Box<dyn Machine> {
    Box::new(Ticker { config, ticks: 0, named: false, connections: 0 })
}

impl Ticker {
    fn tick(&mut self, env: &mut dyn Env) {
        env.wake_at(env.now() + TICK);
        self.ticks += 1;
        let data = Bytes::from(vec![self.ticks as u8; 4096]);
        env.submit(DiskOp::Write { file: FILE.to_owned(), offset: self.ticks % 16 * 4096, data });
        sometimes!("stub.written");
        env.buggify("stub.before_send");
        for &node in &self.config.nodes {
            let to = Endpoint { node, port: Port::Worker(self.config.worker) };
            env.send(to, Bytes::copy_from_slice(&self.ticks.to_le_bytes()));
        }
        env.submit(DiskOp::Sync { file: FILE.to_owned() });
    }
}

impl Machine for Ticker {
    fn handle(&mut self, env: &mut dyn Env, event: Event) -> Control {
        match event {
            Event::Start => {
                env.submit(DiskOp::Create { file: FILE.to_owned(), length: 65_536 });
                env.submit(DiskOp::SyncDirectory);
                env.submit(DiskOp::Read { file: FILE.to_owned(), offset: 0, length: 65_536 });
                self.tick(env);
            }
            Event::Wake => self.tick(env),
            Event::Client { event: ClientEvent::Opened { .. }, .. } => self.connections += 1,
            Event::Client { event: ClientEvent::Closed, .. } => self.connections -= 1,
            Event::Client { connection, event: ClientEvent::Bytes(bytes) } => {
                assert!(bytes.as_ref() != b"bomb", "a bomb was sent");
                self.connections += usize::from(bytes.as_ref() == b"leak");
                env.client_send(connection, bytes);
            }
            Event::Disk { result: Err(error), .. } if error != DiskError::Exists || self.named => {
                return Control::Stop(StopReason::Disk(error.to_string()));
            }
            Event::Disk { .. } => self.named = true,
            Event::Shutdown => return Control::Stop(StopReason::Shutdown),
            _ => {}
        }
        Control::Continue
    }

    fn consensus_status(&self, _: PartitionId) -> Option<Status> {
        let first = self.config.node == NodeId(1);
        let role = if first { Role::Leader } else { Role::Follower };
        let (last, committed) = (LogIndex(0), LogIndex(0));
        let (floor, leader) = (Floor::default(), Some(NodeId(1)));
        Some(Status {
            role,
            era: Era(1),
            leader,
            last,
            committed,
            floor,
            lacks_state: false,
            standing: Standing::Member,
            successor: None,
            configuration: 1,
            joint: false,
            settled: true,
            voter: true,
        })
    }

    fn log_entry(&self, _: PartitionId, _: LogIndex) -> Option<(Era, u64)> {
        None
    }

    fn membership(&self, _: PartitionId) -> Option<orrery::consensus::Membership> {
        None
    }

    fn state_digest(&self, _: PartitionId) -> Option<(LogIndex, u128)> {
        Some((LogIndex(0), 0))
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn lost_log(&self) -> Option<&str> {
        None
    }
}

/// Sends bytes every 5 ms to one node after another, and is done when an echo has come after the healing.
pub(crate) struct Pinger {
    nodes: Vec<NodeId>,
    turn: usize,
    healed: bool,
    pub(crate) words: &'static [u8],
}

impl Client for Pinger {
    fn handle(&mut self, now_ns: u64, input: ClientInput) -> Vec<ClientAction> {
        let next = ClientAction::WakeAt(now_ns + 5_000_000);
        match input {
            ClientInput::Start | ClientInput::Closed => {
                self.turn += 1;
                vec![ClientAction::Connect(self.nodes[self.turn % self.nodes.len()]), next]
            }
            ClientInput::Wake => vec![ClientAction::Send(Bytes::from_static(self.words)), next],
            ClientInput::Healed(nodes) => {
                self.nodes = nodes;
                self.healed = true;
                Vec::new()
            }
            ClientInput::Bytes(_) if self.healed => vec![ClientAction::Done],
            ClientInput::Connected | ClientInput::Bytes(_) => Vec::new(),
        }
    }
}

/// A quiet plan for this many nodes.
pub(crate) fn plan(seed: u64, nodes: u32) -> Plan {
    Plan {
        version: PLAN_VERSION,
        scenario: "stub".to_owned(),
        scenario_file: String::new(),
        build: String::new(),
        seed,
        planted: 0,
        chaos_ns: 5 * SECOND,
        liveness_ns: 5 * SECOND,
        stability_ns: 0,
        budget: Budget::Recoverable,
        cluster: plan::Cluster { nodes, partitions: 1, workers: 2, spares: 0 },
        knobs: plan::Knobs {
            heartbeat_ns: 50_000_000,
            election_timeout_ns: 250_000_000,
            lease_ns: 0,
            in_sync_timeout_ns: 1_000_000_000,
            detection: 0,
            max_batch_entries: 16,
            max_batch_bytes: 65_536,
            max_inflight: 4,
            wal_segment_bytes: 262_144,
            checkpoint_every: 1 << 60,
            log_keep_entries: 0,
            wal_bytes_before_checkpoint: 1 << 60,
            snapshot_chunk_bytes: 1000,
            statements_in_a_turn: 128,
            digest_every: 16,
            max_pending: 100,
            attempt_timeout_ns: SECOND,
            statement_timeout_ns: 10 * SECOND,
            breaker: 1,
            admission: 1,
            throttle: 1,
            hysteresis: 1,
            max_connections: 100,
            preparation_patience_ns: 10 * SECOND,
        },
        network: plan::Network {
            latency_min_ns: 100_000,
            latency_mean_ns: 1_000_000,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            reorder_ns: 0,
            client_latency_mean_ns: 200_000,
        },
        disk: plan::Disk {
            latency_min_ns: 10_000,
            latency_mean_ns: 50_000,
            sync_mean_ns: 2_000_000,
            slow_ppm: 0,
            slow_ns: 0,
            torn_ppm: 500_000,
        },
        cpu: plan::Cpu::default(),
        buggify: plan::Buggify { site_ppm: 250_000, fire_ppm: 50_000 },
        expect: plan::Expect::default(),
        checks: Vec::new(),
        clocks: vec![plan::Clock::default(); nodes as usize],
        workloads: Vec::new(),
        faults: Vec::new(),
        clients: Vec::new(),
    }
}

/// A fault at 1 s for 1 s; a crash restarts after 500 ms.
pub(crate) fn fault(id: u32, kind: FaultKind) -> PlannedFault {
    PlannedFault {
        id,
        at_ns: SECOND,
        hold_ns: SECOND,
        restart_ns: Some(SECOND / 2),
        seed: u64::from(id),
        kind,
        at: None,
        when: None,
    }
}

/// Runs a plan with tickers, and one pinger that says `words`.
pub(crate) fn run_with(plan: &Plan, words: &'static [u8]) -> Run {
    let clients = |plan: &Plan| -> Vec<Box<dyn Client>> {
        vec![Box::new(Pinger { nodes: plan.cluster.node_ids(), turn: 0, healed: false, words })]
    };
    simulate_with(plan, &Options { tail: 1_000_000, ..Options::default() }, ticker, clients)
        .expect("the simulator is sound")
}

pub(crate) fn run(plan: &Plan) -> Run {
    run_with(plan, b"hello")
}
