//! What workers tell each other about themselves, for the tables of the schema `system`.
//!
//! The session that reads such a table sends [`Ask`] to every node and waits a while for [`Facts`]: one answer of each
//! worker. Facts are what a worker sees at one moment, not replicated state: two workers' answers are moments apart, and
//! a node that does not answer has none.

use crate::catalog::ReplicationMode;
use crate::cluster::reconciler::Move;
use crate::consensus::Role;
use crate::directory::Directory;
use crate::partition::message::Prepare;
pub use crate::partition::{FetchFacts, FollowerFacts, RecoveryFacts};
use crate::types::{Era, Incarnation, LogIndex, NodeId, PartitionId, Timestamp, WorkerId};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::sync::Arc;

/// Longest statement text that is told, in bytes.
pub const MAX_STATEMENT: usize = 1024;

/// Which facts are wanted besides those of the worker and its replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its sessions, one by one.
    pub sessions: bool,
    /// Its latest events.
    pub events: bool,
    /// The directory of nodes, as far as it has come there.
    pub directory: bool,
}

/// A question to all workers of a node. It goes to worker 0, which relays it to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who is to be answered.
    pub node: NodeId,
    /// Which worker of it.
    pub worker: WorkerId,
    /// In which life.
    pub incarnation: Incarnation,
    /// For which of its sessions.
    pub session: u64,
    /// Number of the question within the session.
    pub number: u64,
    /// What is wanted.
    pub wanted: Wanted,
    /// Has worker 0 relayed it?
    pub relayed: bool,
    /// What its replicas are to fetch before they answer.
    pub recover: Vec<Recover>,
    /// What its replicas are to begin with before they answer.
    pub prepare: Option<Arc<Prepare>>,
}

/// A replica is to pull a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// Of which partition.
    pub partition: PartitionId,
    /// From whom.
    pub from: NodeId,
    /// At this position or later; a replica that has come as far fetches nothing.
    pub at_least: LogIndex,
}

/// A worker's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As in the question.
    pub incarnation: Incarnation,
    /// As in the question.
    pub session: u64,
    /// As in the question.
    pub number: u64,
    /// The answer.
    pub worker: WorkerFacts,
}

/// What the operator has told a node of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Name of the cluster.
    pub cluster: String,
    /// Version of the program.
    pub version: String,
    /// Where it listens for PostgreSQL clients.
    pub sql_address: String,
    /// Where it listens for health and metrics.
    pub http_address: Option<String>,
}

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFacts {
    /// Its node.
    pub node: NodeId,
    /// The worker.
    pub worker: WorkerId,
    /// How many workers the node has.
    pub workers: u16,
    /// Its life.
    pub incarnation: Incarnation,
    /// When that began, by its clock.
    pub started_at: Timestamp,
    /// Its clock.
    pub clock: Timestamp,
    /// About its node.
    pub about: Arc<About>,
    /// How many client sessions.
    pub session_count: u32,
    /// Its replicas.
    pub replicas: Vec<ReplicaFacts>,
    /// Its sessions, if wanted.
    pub sessions: Vec<SessionFacts>,
    /// The newest directory of nodes that it knows, if wanted.
    pub directory: Option<Arc<Directory>>,
    /// Partitions on the move, if that is wanted and the cluster partition is led here.
    pub moves: Vec<Move>,
    /// Its latest events, if wanted.
    pub events: Vec<EventFacts>,
}

/// A replica at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFacts {
    /// Of which partition.
    pub partition: PartitionId,
    /// Its role.
    pub role: Role,
    /// Whom it believes to lead.
    pub leader: Option<NodeId>,
    /// Its era.
    pub era: Era,
    /// Last position of its log.
    pub last: LogIndex,
    /// Known to be committed.
    pub committed: LogIndex,
    /// Executed.
    pub executed: LogIndex,
    /// Digest of the state there.
    pub digest: u128,
    /// Requests that wait for their commit.
    pub pending: u32,
    /// How suspicious its leader's silence is, in thousandths.
    pub suspicion: Option<u32>,
    /// What it lacks.
    pub recovery: RecoveryFacts,
    /// Who is in sync, as executed; `None`: no table has ever asked for it.
    pub in_sync: Option<Vec<NodeId>>,
    /// The strictest mode that a table asks for here.
    pub mode: ReplicationMode,
    /// How far its followers are behind, if it leads.
    pub followers: Vec<FollowerFacts>,
    /// Rows that it has still to look at for the definition in the question.
    pub to_prepare: u64,
}

/// A client session at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Process id that the client was told.
    pub process: i32,
    /// User.
    pub user: String,
    /// Database.
    pub database: String,
    /// `application_name`.
    pub application: String,
    /// `active`, `idle`, …
    pub state: SmolStr,
    /// When the client connected.
    pub connected_at: Timestamp,
    /// The latest statement, cut after [`MAX_STATEMENT`] bytes, and when it began.
    pub statement: Option<(Timestamp, String)>,
}

/// A noteworthy event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFacts {
    /// Number among the worker's events, from 1.
    pub number: u64,
    /// When, by its clock.
    pub at: Timestamp,
    /// Does somebody have to look at it?
    pub warning: bool,
    /// What kind.
    pub kind: SmolStr,
    /// Which partition it concerns.
    pub partition: Option<PartitionId>,
    /// What happened.
    pub text: String,
}

/// The text, cut to at most `most` bytes between two characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
