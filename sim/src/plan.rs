//! **Plan**: everything a run will do, drawn before it begins.
//!
//! A scenario and a seed expand into a plan; a plan runs to a trace. Every knob is drawn here, every fault and every
//! client operation stands at its absolute time; what is left to draw during the run is keyed by event, from labelled
//! streams of [`Plan::seed`]. A failure is kept as its plan, so it replays after the code that drew it has changed.
//!
//! Integers only: nanoseconds and parts per million. Times are *simulated* time since the start of the run, never a
//! node's own clock. The text form is TOML ([`Plan::to_text`], [`Plan::from_text`]); [`Plan::version`] names its format.
//!
//! Caveat: what a fault's selector means (who leads partition 3?) is decided when it strikes, not here. Removing one
//! fault can thus change whom a later one hits; its seed keeps the choice as stable as it can be.

use crate::operation::PlannedOperation;
use orrery::consensus::detection::Detection;
use orrery::node::WorkerConfig;
use orrery::types::{NodeId, WorkerId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The format of plan files that this build writes and reads.
pub const PLAN_VERSION: u32 = 1;

/// A second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// One run, completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Format: [`PLAN_VERSION`].
    pub version: u32,
    /// Name of the scenario that it was drawn from.
    pub scenario: String,
    /// File of that scenario, as given; empty for a plan made in a test.
    pub scenario_file: String,
    /// Build that drew it.
    pub build: String,
    /// The seed: of what was drawn here, and of the run's keyed streams.
    #[serde(with = "hex")]
    pub seed: u64,
    /// The planted bug that the run has; 0: none.
    pub planted: u32,
    /// Length of the chaos. After it the core is healed.
    pub chaos_ns: u64,
    /// How long after the healing everything must have converged and been answered.
    pub liveness_ns: u64,
    /// Stability floor of this run: a fault whose scenario names no `hold` lasts at least so long, so that not every run
    /// flaps at one frequency. Already part of [`PlannedFault::hold_ns`]; kept for the reader.
    #[serde(default)]
    pub stability_ns: u64,
    /// What faults may do.
    pub budget: Budget,
    /// Nodes and partitions.
    pub cluster: Cluster,
    /// Knobs of the product.
    pub knobs: Knobs,
    /// The network between nodes, and to clients.
    pub network: Network,
    /// Disks.
    pub disk: Disk,
    /// What executing takes.
    #[serde(default)]
    pub cpu: Cpu,
    /// Rare behaviour on demand.
    pub buggify: Buggify,
    /// What the run must have reached.
    pub expect: Expect,
    /// Checkers over the history, by name; the cluster's invariants are always on.
    pub checks: Vec<String>,
    /// Clocks of nodes 1, 2, …, in order.
    pub clocks: Vec<Clock>,
    /// Workloads, by position.
    pub workloads: Vec<Workload>,
    /// Faults in order of time.
    pub faults: Vec<PlannedFault>,
    /// Clients; their position is their number.
    pub clients: Vec<PlannedClient>,
}

/// What faults may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// A fault that would leave any group without a quorum of intact logs is skipped and counted.
    Recoverable,
    /// Anything; then only safety is judged.
    Unbounded,
}

/// Shape of the cluster. Nodes are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Nodes.
    pub nodes: u32,
    /// Data partitions.
    pub partitions: u32,
    /// Workers of each node.
    pub workers: u16,
    /// The last so many nodes are none of those that the cluster is formed of: they wait to be registered.
    #[serde(default)]
    pub spares: u32,
}

impl Cluster {
    /// The nodes that the cluster is formed of.
    #[must_use]
    pub fn founders(&self) -> Vec<NodeId> {
        (1..=self.nodes.saturating_sub(self.spares).max(1)).map(NodeId).collect()
    }

    /// All nodes, in order.
    #[must_use]
    pub fn node_ids(&self) -> Vec<NodeId> {
        (1..=self.nodes).map(NodeId).collect()
    }
}

/// Knobs of the product: what [`WorkerConfig`] takes besides the node's place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// See [`WorkerConfig::heartbeat`].
    pub heartbeat_ns: u64,
    /// See [`WorkerConfig::election_timeout`].
    pub election_timeout_ns: u64,
    /// See [`WorkerConfig::lease`].
    #[serde(default)]
    pub lease_ns: u64,
    /// See [`WorkerConfig::detection`]: its place among [`Detection::ALL`].
    #[serde(default)]
    pub detection: u32,
    /// See [`WorkerConfig::max_batch_entries`].
    pub max_batch_entries: u64,
    /// See [`WorkerConfig::max_batch_bytes`].
    pub max_batch_bytes: u64,
    /// See [`WorkerConfig::max_inflight`].
    pub max_inflight: u64,
    /// See [`WorkerConfig::wal_segment_bytes`].
    pub wal_segment_bytes: u64,
    /// See [`WorkerConfig::checkpoint_every`].
    #[serde(default = "never")]
    pub checkpoint_every: u64,
    /// See [`WorkerConfig::log_keep_entries`].
    #[serde(default)]
    pub log_keep_entries: u64,
    /// See [`WorkerConfig::wal_bytes_before_checkpoint`].
    #[serde(default = "never")]
    pub wal_bytes_before_checkpoint: u64,
    /// See [`WorkerConfig::snapshot_chunk_bytes`].
    #[serde(default)]
    pub snapshot_chunk_bytes: u64,
    /// See [`WorkerConfig::statements_in_a_turn`].
    #[serde(default = "never")]
    pub statements_in_a_turn: u64,
    /// See [`WorkerConfig::digest_every`].
    pub digest_every: u64,
    /// See [`WorkerConfig::max_pending`].
    pub max_pending: u64,
    /// See [`WorkerConfig::attempt_timeout`].
    pub attempt_timeout_ns: u64,
    /// See [`WorkerConfig::breaker`]: 0 or 1.
    #[serde(default = "on")]
    pub breaker: u32,
    /// See [`WorkerConfig::admission`]: 0 or 1.
    #[serde(default = "on")]
    pub admission: u32,
    /// See [`WorkerConfig::throttle`]: 0 or 1.
    #[serde(default = "on")]
    pub throttle: u32,
    /// See [`WorkerConfig::hysteresis`]: 0 or 1.
    #[serde(default = "on")]
    pub hysteresis: u32,
    /// See [`WorkerConfig::statement_timeout`].
    pub statement_timeout_ns: u64,
    /// See [`WorkerConfig::max_connections`].
    pub max_connections: u64,
    /// See [`WorkerConfig::in_sync_timeout`].
    #[serde(default)]
    pub in_sync_timeout_ns: u64,
    /// See [`WorkerConfig::preparation_patience`].
    #[serde(default)]
    pub preparation_patience_ns: u64,
}

/// What a plan of before there was a choice means by saying nothing of it.
const fn on() -> u32 {
    1
}

/// What a plan means by saying nothing of a thing that came later.
const fn never() -> u64 {
    1 << 60
}

/// The network. A message takes `latency_min` plus an exponential part around `latency_mean − latency_min`, each drawn
/// by itself, so that messages overtake one another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Shortest one-way delay between nodes.
    pub latency_min_ns: u64,
    /// Mean one-way delay between nodes.
    pub latency_mean_ns: u64,
    /// Messages lost.
    pub loss_ppm: u32,
    /// Messages that arrive twice (the copy with a delay of its own).
    pub duplicate_ppm: u32,
    /// Messages held back by up to `reorder_ns` more.
    pub reorder_ppm: u32,
    /// Longest extra delay of those.
    pub reorder_ns: u64,
    /// Mean one-way delay between clients and nodes.
    pub client_latency_mean_ns: u64,
}

/// Disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Shortest time of an operation.
    pub latency_min_ns: u64,
    /// Mean time of a write or read.
    pub latency_mean_ns: u64,
    /// Mean time of a sync.
    pub sync_mean_ns: u64,
    /// Operations that take `slow_ns` instead: one stuck request.
    pub slow_ppm: u32,
    /// See `slow_ppm`.
    pub slow_ns: u64,
    /// At a lossy crash, unsynced writes of which a part survives (others vanish whole or survive whole).
    pub torn_ppm: u32,
}

/// What executing takes. Nothing else of a worker's computing takes time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Time of a statement on the first node; 0: none.
    pub statement_ns: u64,
    /// Each further node is slower than the first by so much more.
    pub uneven_percent: u64,
}

/// A node's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Wall clock ahead of true time by this.
    pub skew_ns: i64,
    /// Monotonic and wall clock run faster by this.
    pub drift_ppm: i32,
}

/// Two levels, as in FoundationDB: a point is enabled for the whole run or not, and an enabled one fires sometimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buggify {
    /// Points enabled.
    pub site_ppm: u32,
    /// Askings of an enabled point that are answered yes.
    pub fire_ppm: u32,
}

/// What a run must have reached; otherwise it proved nothing (exit code 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Operations acknowledged, at least.
    pub acknowledged: u64,
    /// Changes of a partition's leader after its first, at least.
    pub leader_changes: u64,
    /// Restarts of nodes, at least.
    pub restarts: u64,
    /// Changes of a partition's leader after its first, at most.
    #[serde(default = "never")]
    pub most_leader_changes: u64,
    /// Probes that must have been hit in the run (or, by `fuzz`, in the ensemble).
    pub sometimes: Vec<String>,
    /// Kinds of faults that must have changed something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            acknowledged: 0,
            leader_changes: 0,
            restarts: 0,
            most_leader_changes: never(),
            sometimes: Vec::new(),
            effective: Vec::new(),
        }
    }
}

/// A workload: the part that its clients share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its kind, by name: `workload::WORKLOADS`.
    pub kind: String,
    /// Rows: registers, accounts.
    pub keys: u32,
}

/// A client and all it will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedClient {
    /// Position in [`Plan::workloads`].
    pub workload: u32,
    /// Stream of its choices (which node to connect to next).
    #[serde(with = "hex")]
    pub seed: u64,
    /// It waits so long for an answer; then it closes the connection, and the outcome is unknown.
    pub timeout_ns: u64,
    /// What it does during the chaos, each at its time or as soon after as the one before has ended.
    pub operations: Vec<PlannedOperation>,
    /// What it does after the healing; times count from there.
    pub closing: Vec<PlannedOperation>,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// Number, stable when others are removed.
    pub id: u32,
    /// When it strikes, or from when it waits for `at` or `when`.
    pub at_ns: u64,
    /// How long it lasts: a split, a pause, a slow disk. A crash instead has [`PlannedFault::restart_ns`].
    pub hold_ns: u64,
    /// After a crash: the node starts again after this. Nothing restarts before the healing if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_ns: Option<u64>,
    /// Stream of its choices.
    #[serde(with = "hex")]
    pub seed: u64,
    /// What, and to whom.
    pub kind: FaultKind,
    /// It strikes when its target passes this named point (`Buggify::buggify` or a probe), once, not at `at_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// It strikes when some other node passes a named point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// A named point, passed by one of the selected nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Name of a probe or buggify point.
    pub point: String,
    /// Whose.
    pub on: Selector,
}

/// What a fault does. Every kind corresponds to a physical event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Cuts the selected nodes off from the rest (not from one another, nor from clients).
    Split {
        /// One side.
        side: Selector,
        /// Which messages are lost.
        direction: Direction,
    },
    /// As a split that comes and goes while the fault holds.
    Flap {
        /// One side.
        side: Selector,
        /// Which messages are lost.
        direction: Direction,
        /// Mean time of one state: cut, then whole, then cut.
        period_ns: u64,
    },
    /// Each node reaches only its two neighbours in a ring drawn from the seed.
    Ring,
    /// Two halves with one node that reaches both (drawn from the seed).
    Bridge,
    /// The node's messages, both ways, are lost with this probability.
    Lossy {
        /// Whose.
        target: Selector,
        /// Lost.
        loss_ppm: u32,
    },
    /// The node's messages, both ways, take this much longer.
    SlowLink {
        /// Whose.
        target: Selector,
        /// Longer by.
        extra_ns: u64,
    },
    /// The node's messages, both ways, are queued and released together at the end.
    Clog {
        /// Whose.
        target: Selector,
    },
    /// The node's connections are reset: those of its clients end, and what is under way from and to its peers is lost.
    Reset {
        /// Whose.
        target: Selector,
    },
    /// Bits of the node's messages, both ways, flip on the wire.
    BitFlip {
        /// Whose.
        target: Selector,
        /// Messages hit.
        flip_ppm: u32,
    },
    /// Clients that are connected to the node disappear, with or without their machine, some of them in the middle of a
    /// message.
    ClientCrash {
        /// Whose clients.
        target: Selector,
    },
    /// The process ends.
    Crash {
        /// Whose.
        target: Selector,
        /// `true`: the power fails, unsynced writes are lost or torn. `false`: the process is killed, and the page cache
        /// survives.
        lossy: bool,
    },
    /// The process is asked to end, and ends by itself.
    Stop {
        /// Whose.
        target: Selector,
    },
    /// The process stands still; its clocks go on.
    Pause {
        /// Whose.
        target: Selector,
    },
    /// The wall clock jumps.
    ClockJump {
        /// Whose.
        target: Selector,
        /// By so much, either way.
        by_ns: i64,
    },
    /// The clock runs at another rate while the fault holds.
    ClockDrift {
        /// Whose.
        target: Selector,
        /// Faster by this.
        ppm: i32,
    },
    /// Each disk operation takes this much longer.
    SlowDisk {
        /// Whose.
        target: Selector,
        /// Longer by.
        extra_ns: u64,
    },
    /// The next sync fails, its unsynced pages are dropped, and later syncs succeed falsely.
    FailSync {
        /// Whose.
        target: Selector,
    },
    /// Disk operations fail with an I/O error.
    IoError {
        /// Whose.
        target: Selector,
    },
    /// The next write stores only its first sectors, and fails.
    ShortWrite {
        /// Whose.
        target: Selector,
    },
    /// Writes that need space fail.
    DiskFull {
        /// Whose.
        target: Selector,
    },
    /// Bits of synced data that is not the last written flip, on disk; to be found when next read (so: at a restart).
    Rot {
        /// Whose.
        target: Selector,
    },
    /// The machine is replaced, with empty disks; only its name comes back.
    Wipe {
        /// Whose.
        target: Selector,
    },
    /// All nodes lose their power. All but one of those that are in sync lose their disks too, for good, and the operator goes on with what
    /// that one holds, as a cluster of its own.
    Disaster,
    /// A synced write that is not the last one has gone to another place of its file; to be found when next read.
    Misdirect {
        /// Whose.
        target: Selector,
    },
}

impl FaultKind {
    /// All names, for tables and for the nearest-name search.
    pub const NAMES: &'static [&'static str] = &[
        "split",
        "flap",
        "ring",
        "bridge",
        "lossy",
        "slow_link",
        "clog",
        "reset",
        "bit_flip",
        "client_crash",
        "crash",
        "power_loss",
        "stop",
        "pause",
        "clock_jump",
        "clock_drift",
        "slow_disk",
        "fail_sync",
        "io_error",
        "short_write",
        "disk_full",
        "rot",
        "wipe",
        "misdirect",
        "disaster",
    ];

    /// Its name in scenarios and tables: one of [`FaultKind::NAMES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Split { .. } => "split",
            Self::Flap { .. } => "flap",
            Self::Ring => "ring",
            Self::Bridge => "bridge",
            Self::Lossy { .. } => "lossy",
            Self::SlowLink { .. } => "slow_link",
            Self::Clog { .. } => "clog",
            Self::Reset { .. } => "reset",
            Self::BitFlip { .. } => "bit_flip",
            Self::ClientCrash { .. } => "client_crash",
            Self::Crash { lossy: false, .. } => "crash",
            Self::Crash { lossy: true, .. } => "power_loss",
            Self::Stop { .. } => "stop",
            Self::Pause { .. } => "pause",
            Self::ClockJump { .. } => "clock_jump",
            Self::ClockDrift { .. } => "clock_drift",
            Self::SlowDisk { .. } => "slow_disk",
            Self::FailSync { .. } => "fail_sync",
            Self::IoError { .. } => "io_error",
            Self::ShortWrite { .. } => "short_write",
            Self::DiskFull { .. } => "disk_full",
            Self::Rot { .. } => "rot",
            Self::Wipe { .. } => "wipe",
            Self::Misdirect { .. } => "misdirect",
            Self::Disaster => "disaster",
        }
    }
}

/// Which messages a split loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// All between the sides.
    Both,
    /// Those that the selected nodes send: they hear and are not heard.
    Outbound,
    /// Those sent to the selected nodes: they are heard and do not hear.
    Inbound,
}

/// Nodes by what they are at the moment, never by number. May select nobody: the fault is then skipped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// The leader of a partition.
    Leader(Group),
    /// One node that does not lead it.
    Follower(Group),
    /// A minority of a partition's members, as large as it can be, its leader among them or not by the seed.
    Minority(Group),
    /// A smallest majority.
    Majority(Group),
    /// One leader or follower of each group, so that every group has lost one member.
    OneOfEachGroup,
    /// A node to whose gateway clients are connected.
    Gateway,
    /// Any one node.
    Random,
    /// Every node.
    All,
}

/// Which partition a selector speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Drawn from the fault's seed, the cluster partition among them.
    Any,
    /// This one.
    Partition(u32),
}

impl Plan {
    /// Configuration of one worker.
    #[must_use]
    pub fn worker_config(&self, node: NodeId, worker: WorkerId) -> WorkerConfig {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let knobs = &self.knobs;
        WorkerConfig {
            node,
            worker,
            workers: self.cluster.workers,
            nodes: self.cluster.founders(),
            founder: self.cluster.founders().contains(&node),
            partitions: self.cluster.partitions,
            heartbeat: Duration::from_nanos(knobs.heartbeat_ns),
            election_timeout: Duration::from_nanos(knobs.election_timeout_ns),
            lease: Duration::from_nanos(knobs.lease_ns),
            detection: Detection::ALL.get(knobs.detection as usize).map_or(Detection::Phi, |(_, detection)| *detection),
            max_batch_entries: size(knobs.max_batch_entries),
            max_batch_bytes: size(knobs.max_batch_bytes),
            max_inflight: size(knobs.max_inflight),
            wal_segment_bytes: knobs.wal_segment_bytes,
            checkpoint_every: knobs.checkpoint_every,
            log_keep_entries: knobs.log_keep_entries,
            wal_bytes_before_checkpoint: knobs.wal_bytes_before_checkpoint,
            snapshot_chunk_bytes: size(knobs.snapshot_chunk_bytes),
            statements_in_a_turn: knobs.statements_in_a_turn,
            digest_every: knobs.digest_every,
            max_pending: size(knobs.max_pending),
            breaker: knobs.breaker != 0,
            admission: knobs.admission != 0,
            throttle: knobs.throttle != 0,
            hysteresis: knobs.hysteresis != 0,
            attempt_timeout: Duration::from_nanos(knobs.attempt_timeout_ns),
            statement_timeout: Duration::from_nanos(knobs.statement_timeout_ns),
            max_connections: size(knobs.max_connections),
            in_sync_timeout: Duration::from_nanos(knobs.in_sync_timeout_ns),
            preparation_patience: Duration::from_nanos(knobs.preparation_patience_ns),
            ..WorkerConfig::default()
        }
    }

    /// The plan as text.
    ///
    /// # Errors
    /// When a number is larger than TOML has (2⁶³ − 1).
    pub fn to_text(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }

    /// Reads a plan's text.
    ///
    /// # Errors
    /// In words, with the line.
    pub fn from_text(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = toml::from_str(text).map_err(|error| error.to_string())?;
        if head.version != PLAN_VERSION {
            return Err(format!("the plan has format {}, this build reads format {PLAN_VERSION}", head.version));
        }
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

/// Seeds as hexadecimal text: TOML has no unsigned 64-bit number.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:#x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("expected a seed like \"0x2a\""))?;
        u64::from_str_radix(digits, 16).map_err(|error| D::Error::custom(format!("{text}: {error}")))
    }
}
