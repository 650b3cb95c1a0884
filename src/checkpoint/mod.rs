//! **Checkpoints**: the state of a partition in a file, as a machine over disk events.

mod machine;

pub use machine::Checkpoints;

use crate::types::{NodeId, PartitionId, WorkerId};
pub use crate::wal::Floor;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What the machine is told when it is built: the identity that its files carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose checkpoints.
    pub node: NodeId,
    /// Which worker's.
    pub worker: WorkerId,
    /// The log that they belong to ([`crate::wal::Wal::log_id`]): a file left by a log that is gone is not taken.
    pub log_id: u64,
}

/// What a checkpoint is of. The same on every replica that executed up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The position in the log up to which the state has executed.
    pub floor: Floor,
    /// Digest of that state: whoever builds it from the chunks compares.
    pub digest: u128,
}

/// What the machine tells its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointEvent {
    /// At the beginning of a life: a checkpoint is there; its chunks follow.
    Found {
        /// Of which partition.
        partition: PartitionId,
        /// What it is of.
        header: Header,
    },
    /// The next chunk of what was found. Proven by its own checksum; that none is missing, only `Complete` says.
    Chunk {
        /// Of which partition.
        partition: PartitionId,
        /// As it was appended.
        bytes: Bytes,
    },
    /// Every chunk has been handed out and the file is whole.
    Complete {
        /// Of which partition.
        partition: PartitionId,
    },
    /// A checkpoint cannot be read: what was handed out of it, if anything, is void. An older one may be found next.
    Damaged {
        /// Of which partition.
        partition: PartitionId,
        /// What is wrong with it.
        reason: String,
    },
    /// Everything that was there at the beginning of this life has been handed out. Once, also if there was nothing.
    Loaded,
    /// The next chunk may be appended, or the checkpoint finished.
    Wants {
        /// Of which partition.
        partition: PartitionId,
    },
    /// The checkpoint is durable under its name; every older one of the partition goes.
    Published {
        /// Of which partition.
        partition: PartitionId,
        /// What it is of.
        header: Header,
    },
    /// The disk failed: the worker ends its life. Last event.
    Failed(String),
}
