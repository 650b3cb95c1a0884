//! What the replicated log of a partition holds.

use crate::directory::Amendment;
use crate::partition::global::{Global, GlobalBody, Values};
use crate::partition::message::{Commitment, Settings, Statement};
use crate::types::random::SeedableRng;
use crate::types::{
    CatalogVersion, GlobalNumber, Incarnation, NodeId, PartitionId, RequestId, Rng, Sequence, TableId, Timestamp,
    WorkerId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A log entry's payload, versioned: an old log is readable by a new binary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// A session's, first format.
    V1(CommandV1),
    /// A command over several partitions, in this participant's log.
    Global(Arc<Global>),
    /// What a global command came to. It is decided already: this saves followers, and whoever reads the log later, from asking.
    Decision {
        /// Which.
        number: GlobalNumber,
        /// What.
        committed: bool,
        /// What the other participants sent while executing it.
        values: Values,
    },
    /// Cluster partition: how far groups have come. Data partitions: what may be forgotten.
    Tick {
        /// Group, received, settled.
        reports: Vec<(PartitionId, GlobalNumber, GlobalNumber)>,
        /// Everything below is settled everywhere.
        forget_below: GlobalNumber,
    },
    /// Transactions that read at these cuts are over: what replicas have frozen for them may be let go. No state is changed.
    LetGo(Vec<GlobalNumber>),
    /// Cluster partition: its leader's own change of the directory of nodes. It carries the version that it follows from, so that a second
    /// one is nothing.
    Amend(Arc<Amendment>),
    /// This age of idempotency tokens is over ([`crate::partition::tokens`]).
    Age(u64),
    /// Who is in sync from here on ([`crate::partition::in_sync`]), if nobody else has said so since `expected`.
    InSync {
        /// The version that it follows from.
        expected: u64,
        /// Ascending.
        members: Vec<NodeId>,
    },
}

/// First format of a session's command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandV1 {
    /// Whose request; executed once.
    pub id: RequestId,
    /// What the session no longer waits for.
    pub acked_below: Sequence,
    /// The leader's wall clock when it proposed: `now()` of the statements, unless an earlier entry was later.
    pub timestamp: Timestamp,
    /// Seed of `random()` and its kin, drawn by the leader when it proposed.
    pub seed: u64,
    /// What to do.
    pub body: CommandBody,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommandBody {
    /// Statements, executed together or not at all.
    Execute {
        /// Catalog version they were planned under.
        catalog_version: CatalogVersion,
        /// In order.
        statements: Vec<Statement>,
        /// Session settings.
        settings: Arc<Settings>,
    },
    /// COMMIT of a transaction.
    Commit(Arc<Commitment>),
    /// A command over several partitions, to be given its place in their order (cluster partition).
    Order {
        /// Who takes part, ascending.
        participants: Vec<PartitionId>,
        /// What.
        body: Arc<GlobalBody>,
    },
    /// A gateway's new life (cluster partition).
    RegisterGateway {
        /// Whose.
        node: NodeId,
        /// Which worker's.
        worker: WorkerId,
        /// Which life.
        incarnation: Incarnation,
    },
    /// Values of a sequence are given to one gateway.
    Reserve {
        /// Catalog version under which they are wanted.
        catalog_version: CatalogVersion,
        /// Which sequence.
        sequence: TableId,
        /// How many at most.
        count: u64,
    },
    /// A change of the directory of nodes (cluster partition).
    Amend(Arc<Amendment>),
}

impl Command {
    /// As it stands in the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // postcard fails on types that cannot be written at all, and these can.
        postcard::to_stdvec(self).expect("a command is plain data, always encodable").into()
    }

    /// From the log.
    ///
    /// # Errors
    /// A sentence, when the bytes are no command of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        postcard::from_bytes(bytes).map_err(|error| format!("unreadable command: {error}"))
    }
}

/// First byte of an encoded [`Command::Global`] and [`Command::Decision`]: the variant's number.
const GLOBAL: u8 = 1;
const DECISION: u8 = 2;

impl Command {
    /// The decision that these bytes hold, if they hold one: which command, what, and what the others sent.
    #[must_use]
    pub fn decision(bytes: &[u8]) -> Option<(GlobalNumber, bool, Values)> {
        if bytes.first() != Some(&DECISION) {
            return None;
        }
        match Self::decode(bytes) {
            Ok(Self::Decision { number, committed, values }) => Some((number, committed, values)),
            _ => None,
        }
    }

    /// The number of the global command that these bytes hold, if they hold one.
    #[must_use]
    pub fn global_number(bytes: &[u8]) -> Option<GlobalNumber> {
        if bytes.first() != Some(&GLOBAL) {
            return None;
        }
        match Self::decode(bytes) {
            Ok(Self::Global(global)) => Some(global.number),
            _ => None,
        }
    }
}

impl CommandV1 {
    /// The dice of statement `number` of this entry.
    #[must_use]
    pub fn dice(&self, number: usize) -> Rng {
        dice(self.seed, number)
    }
}

/// The dice of statement `number` under a seed. Each statement has its own, so that one drawing more moves no other.
#[must_use]
pub fn dice(seed: u64, number: usize) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    Rng::from_seed(bytes)
}
