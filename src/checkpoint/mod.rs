//! **Checkpoints**: the state of a partition in a file, as a machine over disk events.
//!
//! As the log, it does no input or output: it emits [`DiskOp`](crate::env::DiskOp)s and is told their ends. What a state is, it
//! does not know: it keeps a [`Header`] and a row of opaque chunks, and gives them back whole or says that it cannot.
//!
//! # Files
//! - `checkpoint-<partition, 8 digits>-<index, 16 digits>`: complete, durable, never written again.
//! - the same with `.new`: being written. It becomes real by a rename; a leftover is removed.
//!
//! A file is an array of frames, each filled up with zeros to a multiple of 4096 bytes. Numbers are little-endian:
//!
//! ```text
//!  0  magic "OCP1" (the digit is the format version)    4  u32 crc32c of the header's other bytes
//!  8  u64 log id     16  u32 node     20  u16 worker    22  u16 kind: 1 beginning, 2 chunk, 3 end
//! 24  u32 partition  28  u32 number of the frame        32  u64 floor: index     40  u64 floor: era
//! 48  u32 length of the payload       52  u32 crc32c of the payload              56  0
//! 64  payload
//! ```
//!
//! The beginning's payload is the state's digest (u128), a chunk's is the chunk, the end's is what proves that none is missing: u32
//! chunks, u32 0, u64 bytes, and the u128 xxh3 of all chunks' bytes in order. So a frame carries its own place and the
//! identity of its log: rotten, torn, misdirected, stale, foreign and missing ones are noticed.
//!
//! # Writing
//! create `.new` → frames, synced at least once a mebibyte, so that the log's syncs, which stand behind, never wait long → end
//! → sync → rename → sync of the directory = [`CheckpointEvent::Published`] → others of the partition are removed. One
//! chunk is on its way at a time: the next is made when the last is written, and normal work goes on in between.
//!
//! # Loading
//! At the beginning of a life, when the log has recovered: of each partition the newest, chunk by chunk; if it is damaged, the
//! one before, if there is still one (its chunks help when the log has kept what follows it).
//!
//! # Invariants
//! - A name without `.new` stands for a file that was whole and synced before it got the name.
//! - An older checkpoint is removed only when a newer one is durable, name included; the log's floor is raised only then too
//!   (by whoever hears `Published`).
//! - [`CheckpointEvent::Complete`] comes only if every frame was proven, in order, and the end agrees with all of them.
//! - Nothing on disk makes this panic, or allocate more than the file is long.
//! - The first failed operation is the last: [`CheckpointEvent::Failed`].
//!
//! # Caveats
//! - One bad byte costs the whole checkpoint: the state comes from another replica then. There is nothing to resynchronise for.
//! - A damaged file stays where it is until the partition's next checkpoint is published.
//! - A read error, as opposed to rot, ends the life.
//! - A replica may be dropped while its checkpoint is being published, and opened again before that is done: the news is nobody's then.
//!   It was the new one's, whose log was taken for one that begins where that checkpoint ends.
//! - Zeros that fill up a frame are checked too, for the sake of noticing rot, though nothing depends on them.
//!
//! Sources: Pillai et al., "All File Systems Are Not Created Equal" (OSDI '14), for the order of sync and rename; Alagappan et al.,
//! "Protocol-Aware Recovery for Consensus-Based Storage" (FAST '18), for what becomes of a damaged snapshot.

mod format;
mod load;
mod machine;
#[cfg(test)]
mod tests;

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
    /// The checkpoint is durable under its name; every other one of the partition goes.
    Published {
        /// Of which partition.
        partition: PartitionId,
        /// What it is of.
        header: Header,
    },
    /// The disk failed: the worker ends its life. Last event.
    Failed(String),
}
