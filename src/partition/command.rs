//! What the replicated log of a partition holds.

use crate::catalog::Catalog;
use crate::partition::message::{Commitment, Settings, Statement};
use crate::types::random::SeedableRng;
use crate::types::{CatalogVersion, Incarnation, NodeId, RequestId, Rng, Sequence, Timestamp, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A log entry's payload, versioned: an old log is readable by a new binary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// First format.
    V1(CommandV1),
}

/// First format of a command.
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
    /// DDL (cluster partition).
    Define {
        /// One statement's text.
        text: Arc<str>,
        /// Where names are resolved.
        search_path: Vec<String>,
        /// Version under which it was checked.
        catalog_version: CatalogVersion,
    },
    /// COMMIT of a transaction.
    Commit(Arc<Commitment>),
    /// A data partition's copy of the catalog.
    InstallCatalog(Arc<Catalog>),
    /// A gateway's new life (cluster partition).
    RegisterGateway {
        /// Whose.
        node: NodeId,
        /// Which worker's.
        worker: WorkerId,
        /// Which life.
        incarnation: Incarnation,
    },
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
