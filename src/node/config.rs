//! What a worker is told when it is built. The same for production and simulation; the simulator draws the knobs.

use crate::cluster::facts::About;
use crate::consensus::detection::Detection;
use crate::partition::snapshot::CHUNK_BYTES;
use crate::types::{NodeId, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Configuration of one worker. Constant during its life.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// This node.
    pub node: NodeId,
    /// This worker of it.
    pub worker: WorkerId,
    /// Workers of this node.
    pub workers: u16,
    /// All nodes of the cluster as this one was told at its start, sorted, this one among them. The directory of nodes knows better.
    pub nodes: Vec<NodeId>,
    /// Is it one of those that the cluster is formed of? Then `nodes` are all of them, each with a replica of everything in the beginning.
    /// Otherwise it has the replicas that the directory of nodes wants on it.
    pub founder: bool,
    /// Where nodes listen for others, as far as this one was told: what the directory of a new cluster begins with.
    pub addresses: BTreeMap<NodeId, String>,
    /// Data partitions: they are numbered 1..=partitions; partition 0 is the cluster partition.
    pub partitions: u32,
    /// Leader's heartbeat interval.
    pub heartbeat: Duration,
    /// Shortest patience with a silent leader.
    pub election_timeout: Duration,
    /// Length of leaders' leases: see [`crate::consensus::Config::lease`].
    pub lease: Duration,
    /// How a failed leader is found out.
    pub detection: Detection,
    /// Most entries in one append message.
    pub max_batch_entries: usize,
    /// Most payload bytes in one append message.
    pub max_batch_bytes: usize,
    /// Most append messages in flight to one follower.
    pub max_inflight: usize,
    /// Size of a WAL segment in bytes; a multiple of 4096.
    pub wal_segment_bytes: u64,
    /// A checkpoint of a partition is made after so many log entries.
    pub checkpoint_every: u64,
    /// So many entries before a checkpoint stay in memory, so that a follower that is a little behind needs no snapshot.
    pub log_keep_entries: u64,
    /// A worker's log beyond this many bytes (or beyond the size of its last checkpoints, if they are larger) is shortened:
    /// by a checkpoint of the partition that holds its oldest segment.
    pub wal_bytes_before_checkpoint: u64,
    /// Size of a chunk of a checkpoint or snapshot in bytes; at most 1 MiB.
    pub snapshot_chunk_bytes: usize,
    /// So much of a partition's log is executed in one turn, in statements (eight rows written count like one); then messages
    /// are heard.
    pub statements_in_a_turn: u64,
    /// Replicas compare their digests at every log index that is a multiple of this.
    pub digest_every: u64,
    /// Most requests of one partition that may wait for their commit; beyond it the answer is "overloaded".
    pub max_pending: usize,
    /// A session gives one attempt this long before it tries the next node.
    pub attempt_timeout: Duration,
    /// A statement ends after this long: with 57014/57P03 if it certainly was not executed, with 40003 if it may have been.
    pub statement_timeout: Duration,
    /// Most client connections of this worker (53300 beyond).
    pub max_connections: usize,
    /// Are peers that have stopped answering left alone for a while?
    pub breaker: bool,
    /// Is what a partition cannot take refused at once (53400)?
    pub admission: bool,
    /// Is what is sent of states throttled, if the cluster's settings say so?
    pub throttle: bool,
    /// Does leadership stay where it is until who is to have it has been well for a while?
    pub hysteresis: bool,
    /// A statement that takes as long is noted in `system.events`.
    pub slow_statement: Duration,
    /// What was executed under an idempotency token is remembered for at least so long.
    pub token_lifetime: Duration,
    /// A replica that has been silent, or has lacked something, for longer does not count as in sync ([`crate::partition::in_sync`]).
    pub in_sync_timeout: Duration,
    /// A definition waits so long for replicas that come no nearer to having prepared it.
    pub preparation_patience: Duration,
    /// What the operator has told the node of itself.
    pub about: Arc<About>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            node: NodeId(1),
            worker: WorkerId(0),
            workers: 1,
            nodes: vec![NodeId(1)],
            founder: true,
            addresses: BTreeMap::new(),
            partitions: 1,
            heartbeat: Duration::from_millis(50),
            election_timeout: Duration::from_millis(250),
            lease: Duration::ZERO,
            detection: Detection::default(),
            max_batch_entries: 256,
            max_batch_bytes: 1 << 20,
            max_inflight: 16,
            wal_segment_bytes: 64 << 20,
            checkpoint_every: 500_000,
            log_keep_entries: 10_000,
            wal_bytes_before_checkpoint: 256 << 20,
            snapshot_chunk_bytes: CHUNK_BYTES,
            statements_in_a_turn: 128,
            digest_every: 256,
            max_pending: 10_000,
            attempt_timeout: Duration::from_millis(750),
            statement_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            breaker: true,
            admission: true,
            throttle: true,
            hysteresis: true,
            slow_statement: Duration::from_secs(1),
            token_lifetime: Duration::from_secs(3600),
            in_sync_timeout: Duration::from_secs(5),
            preparation_patience: Duration::from_secs(10),
            about: Arc::default(),
        }
    }
}
