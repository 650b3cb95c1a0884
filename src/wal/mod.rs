//! **WAL**: the durable log of one worker, shared by its partitions, as a machine over disk events.
//!
//! It does no input or output: it emits [`DiskOp`](crate::env::DiskOp)s, is told their ends, and says what has become
//! durable. Nothing it promises rests on more than the contract of [`crate::env::Disk`]: a crash keeps what was synced
//! and any part, at the grain of 512-byte sectors, of what was not; bytes read back may have rotted.
//!
//! # Files
//! - `wal-<16 digits>`: segments, numbered from 1, created ahead with their full length of zeros, and never reused: so an
//!   unwritten sector is a zero sector. All numbers are little-endian.
//! - `hard-state`: identity of the log, incarnation, and the hard state of every group, in two slots.
//! - `*.new`: a file being rewritten. It becomes real by a rename; a leftover is removed.
//!
//! # Blocks
//! A segment is an array of blocks of 4096 bytes:
//!
//! ```text
//!  0  magic "OWL1" (the digit is the format version)
//!  4  u16 payload bytes in use        6  u16 offset in the payload of the first record that begins here, or ffff
//!  8  u64 log id, drawn at creation  16  u64 life: incarnation that wrote it
//! 24  u64 segment                    32  u64 batch
//! 40  u32 block number in segment    44  u32 block number in batch     48  u32 blocks of the batch    52  0
//! 56  8 × u32 crc32c, one for each sector of 512 bytes; the first sector's leaves itself out and covers header and the others
//! 88  payload, 4008 bytes
//! ```
//!
//! A block carries its own address and the identity of its log, so a misdirected, stale or foreign one is not taken.
//! Checksums are by sector because that is how writes tear: in a torn block every sector is either good or still zero; a
//! sector that is neither has rotted. This tells a batch that was never acknowledged from one that may have been.
//!
//! # Batches
//! What waits is written as one batch (group commit): contiguous blocks of one segment, one write, one sync; the next is
//! written when the sync of the last has ended. The payloads of a batch's blocks make one stream, which records cross
//! freely; reading resynchronises after a bad block by the offset at 6.
//!
//! ```text
//!  0  u32 length of the directories   4  u32 entries: own   8  u32 entries: previous batch   12  0
//! 16  u64 generation of the hard state: own                24  u64 previous batch's
//! 32  entries, own then previous: u32 group, u32 records, u64 lowest index, u64 highest position's index, u64 its era
//!  …  records: u32 length, u32 group, u64 index, u64 era, bytes
//! ```
//!
//! # Hard state
//! A slot is 64 KiB, written as far as used: `"OHS2"`, u32 crc32c of that and the rest, u64 log id, u64 generation, u64
//! incarnation, u32 node, u16 worker, u8 amnesia, u8 0, u64 first batch, u32 length, u32 groups, u64 first segment; then by group: u32 group,
//! u32 length of its state (ffffffff: none), u64 index and u64 era of its floor, u64 first batch that counts, its state. (Version
//! 1 had no floors.) Generation `g` is written into slot `g % 2`, synced, and *then* a batch is written whose directory
//! says `g`; only that batch's sync makes the change durable towards the worker. So if no readable directory
//! says more than the best slot, whatever newer slot was torn had not been acknowledged and the older is right; if one does, a
//! vote has been lost and the log is corrupt.
//!
//! # Floors
//! A checkpoint stands for the records up to its [`Floor`]. [`Wal::release`] notes that in the hard state, and with it the first
//! segment of which some group needs a record above its floor; when both are durable, lower segments are removed. What a
//! later record of the same group voids pins nothing; a group that is silent and pins the oldest segment is
//! [`Wal::pinned_by`]: a checkpoint of it helps. [`Wal::reset`] is for an installed snapshot: the hard state says from which
//! batch on the group's records count, so floor, void and the new vote become durable in one instant, and the batch
//! vouches for them as for any vote.
//!
//! # Invariants
//! - A floor is durable only when everything is that was appended before its release: a record that voids what stands above
//!   the floor is never outrun by it.
//! - A segment is removed only when a durable hard state, vouched for by a durable batch, says that the log begins after it. So
//!   a lower one that a crash brings back is known to be dead, and one that is missing was not removed by us.
//! - `Persisted` comes after the sync of everything up to its ticket, hard states included. Tickets are reported in order.
//! - Batch numbers have no gap. A batch with a successor was synced, and the successor repeats its directory.
//! - A file is written only when its name and its length are durable. Segment numbers have no gap, whenever a crash comes.
//! - Every life begins by rewriting the last segment and the hard state into new files and syncing both and the directory (what
//!   was read may have been the page cache of a disk that failed), and by a batch of its own, so that everything it has
//!   recovered has a successor. Until then nothing is said and nothing else written.
//! - The first failed operation is the last: [`WalEvent::Failed`].
//! - Recovery hands out only what a checksum proves, never panics, and skips nothing in silence.
//!
//! # Recovery (rules A12)
//! 1. The last batch, where every bad sector is zero: torn, never acknowledged, cut off.
//! 2. A batch with bad blocks that had a successor, or whose bad sectors are not zero: it may have been acknowledged. Groups of
//!    which a record is missing lose the batch: [`RecoveredGroup::damaged`]. Its directory, or its repetition, names them.
//!    The blocks stay where they are, so that the next life knows it too. The hole is closed when records have been written
//!    again from its first index to the last position known (what Raft's refilling does), or when a floor covers it: of what
//!    lies at or below the floor nothing is missed.
//! 3. The directory is unknown, the hard state or a whole stretch of batches is gone, or headers contradict each other:
//!    [`WalEvent::Corrupt`], and the files stay as they are; or, if the other members can tell what must be known
//!    ([`Config::can_rejoin`]), they are set aside under names that begin with `lost-`, and a new log takes their place that
//!    says so for good ([`WalEvent::Recovered`]'s `amnesia`). At no moment is there neither damage nor amnesia to be seen.
//!
//! # Caveats
//! - A12 (i) asks to treat a torn last batch's directory as possibly acknowledged. Taken literally, a power failure that
//!   hits a quorum in the middle of one write would stop the group for ever; the sector checksums prove in nearly all
//!   cases that the sync had not ended. Only rot that leaves exact zeros in the very last batch passes for a tear.
//! - The hole's rule is Raft's (an append voids what lies above). A protocol that replaces single slots needs its own
//!   in `recovery::GroupLog` and `retention`.
//! - A read error, as opposed to rot, ends the life, even where the other blocks could be read.
//! - An empty directory is a new log: that this node once had another, only the cluster can know (and tells it).
//! - What was set aside is never read again, nor removed: it is the operator's.
//! - A batch of which neither directory can be read is [`WalEvent::Corrupt`] even where every group's floor may cover it: nothing
//!   proves that it does.
//! - All floors and states of a worker share a slot of 64 KiB: some hundreds of groups.
//!
//! Sources: Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST '18), for telling torn from rotten
//! and for what a damaged member may do; Rebello et al., "Can Applications Recover from fsync Failures?" (ATC '20);
//! Pillai et al., "All File Systems Are Not Created Equal" (OSDI '14), for directories and rewriting.

mod format;
mod hard_state;
pub mod inspect;
mod machine;
mod reader;
mod recovery;
mod retention;
mod segment;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use machine::Wal;

use crate::types::{Era, Incarnation, LogIndex, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What a log is told when it is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose log. A directory written by another is refused.
    pub node: NodeId,
    /// Which worker's.
    pub worker: WorkerId,
    /// Size of a segment in bytes; rounded up to a multiple of 4096. May change between lives.
    pub segment_bytes: u64,
    /// Dice: identity of the log, if it is created now.
    pub seed: u64,
    /// A damaged log may be replaced by an empty one that says so: there are others to ask.
    pub can_rejoin: bool,
}

/// One durable record, opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the group's log.
    pub index: LogIndex,
    /// Era under which it was written.
    pub era: Era,
    /// The protocol's own bytes.
    pub bytes: Bytes,
}

/// Where a group's log begins: everything up to this position is covered by a durable checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Floor {
    /// Last position covered.
    pub index: LogIndex,
    /// Era of the entry there.
    pub era: Era,
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.era)
    }
}

/// What is known of a hole in a group's records (rules A12 ii).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First lost index: from here on, the records handed out have gaps.
    pub first: LogIndex,
    /// Last position that the log is known to have had.
    pub last: LogIndex,
    /// Era of that last position.
    pub last_era: Era,
}

/// What recovery found of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// Records in the order in which they were appended, superseded ones included. They begin above the floor, but one
    /// that was written again at or below it may follow: what it voids is void, for itself it is not needed.
    pub records: Vec<Record>,
    /// Last durable hard state.
    pub hard_state: Option<Bytes>,
    /// Records are lost, of known indices above the floor.
    pub damaged: Option<Damage>,
    /// A durable checkpoint covered everything up to here: records from before may be gone.
    pub floor: Option<Floor>,
}

/// What the log tells its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalEvent {
    /// Recovery is complete and durable: this life's incarnation too. First event of a good life.
    Recovered {
        /// By partition; groups without records and hard state are absent.
        groups: BTreeMap<PartitionId, RecoveredGroup>,
        /// Number of this life, larger than every earlier one.
        incarnation: Incarnation,
        /// This log took the place of a damaged one, now or earlier: groups without hard state have had one.
        amnesia: bool,
        /// The damaged log was set aside in this life: why.
        lost: Option<String>,
    },
    /// Everything appended with this ticket or a lower one is durable.
    Persisted {
        /// Highest durable ticket.
        ticket: u64,
    },
    /// The disk failed in a way that leaves unknown what it holds, or has no space: the worker ends its life. Last event.
    Failed(String),
    /// Whose records are lost, or a hard state, is not known: this node has amnesia and takes no part in any vote
    /// (rules A12 iii), and it may not begin anew. Last event.
    Corrupt(String),
    /// The directory belongs to another node or worker, or to a newer version: what, and what the operator can do. Last event.
    Unusable(String),
}
