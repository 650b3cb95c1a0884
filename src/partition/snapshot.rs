//! **Snapshot**: the whole replicated state of a partition at an executed index, frozen, and as bytes.
//!
//! Taking one costs a pointer for each tree; execution goes on beside it. It is written in *chunks*, one at a time, each
//! made when it is wanted: into a checkpoint file, or to a replica that is too far behind. [`Builder`] makes a state of
//! chunks again. Disk and wire carry the same chunks.
//!
//! ```text
//! chunk   = postcard of Chunk::V1(parts)
//! first   = a Head: catalog, numbers, gateways, violations
//! others  = Rows: space, tree, the tree's counter, and rows: u32 length, key, u32 length, value, … (little-endian)
//! ```
//!
//! # Invariants
//! - A chunk is a function of the state, of the [`Position`] where it begins and of the size asked for; nothing else. So
//!   replicas of one state have the same chunks, and a transfer broken off at one goes on at another.
//! - A chunk ends at the first row that fills the size asked for: it is longer by that row at most.
//! - Chunks are taken in order and trees and keys rise: a chunk lost, doubled or misplaced is noticed, if not by that, by
//!   the digest.
//! - [`Builder::finish`] yields a state only if its digest is the one that the snapshot was labelled with. It covers rows,
//!   indexes, counters, the deduplication table, catalog, gateways, violations and numbers: all that execution depends on.
//! - Malformed chunks are an error, never a panic: they may come from a disk or from a peer of another version.
//!
//! # Caveats
//! - The digest is no protection against a peer that lies; peers are trusted.
//! - What has been written since the snapshot exists twice in memory for as long as it is held.

use crate::catalog::Catalog;
use crate::partition::StateMachine;
use crate::storage;
use crate::types::{Incarnation, LogIndex, NodeId, PartitionId, SqlError, Timestamp, TreeId, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::sync::Arc;

/// Size asked for of a chunk in production.
pub const CHUNK_BYTES: usize = 256 << 10;

/// What a tree counts for besides its rows, so that a chunk holds not too many empty ones.
const TREE_BYTES: usize = 16;

/// Frozen state.
#[derive(Clone)]
pub struct Snapshot {
    head: Head,
    rows: storage::Snapshot,
    dedup: storage::Snapshot,
    digest: u128,
}

/// Everything that does not stand in trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) partition: PartitionId,
    pub(super) executed: LogIndex,
    pub(super) next_gateway: u64,
    pub(super) last_timestamp: Timestamp,
    pub(super) gateways: Vec<(NodeId, WorkerId, Incarnation, u64)>,
    pub(super) violations: Vec<(TreeId, SqlError)>,
    pub(super) catalog: Arc<Catalog>,
}

/// Where a chunk begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// At the beginning.
    #[default]
    Start,
    /// In a tree, after this key.
    After {
        /// Whose trees.
        space: Space,
        /// Which tree.
        tree: TreeId,
        /// Which key.
        key: Bytes,
    },
    /// At the beginning of a tree.
    At {
        /// Whose trees.
        space: Space,
        /// Which tree.
        tree: TreeId,
    },
}

/// Whose trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Space {
    /// Tables and indexes.
    Rows,
    /// The deduplication table.
    Dedup,
}

#[derive(Serialize, Deserialize)]
enum Chunk {
    V1(Vec<Part>),
}

#[derive(Serialize, Deserialize)]
enum Part {
    Head(Head),
    Rows { space: Space, tree: TreeId, last_id: u64, rows: Bytes },
}

/// Why a snapshot cannot be taken for one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Bytes that are no chunk of a known version.
    #[error("a chunk does not decode")]
    Undecodable,
    /// A chunk that cannot follow what came before, or holds what cannot be.
    #[error("a chunk makes no sense: {0}")]
    Nonsense(&'static str),
    /// Complete, but not the state that it is labelled with.
    #[error("it is labelled with {0} and is another state")]
    Mislabelled(&'static str),
}

impl Snapshot {
    pub(super) fn new(head: Head, rows: storage::Snapshot, dedup: storage::Snapshot, digest: u128) -> Self {
        Self { head, rows, dedup, digest }
    }

    /// The index that it has executed.
    #[must_use]
    pub const fn executed(&self) -> LogIndex {
        self.head.executed
    }

    /// Digest of the state.
    #[must_use]
    pub const fn digest(&self) -> u128 {
        self.digest
    }

    /// The chunk that begins at a position, and where the next one does; `None`: it was the last.
    #[must_use]
    pub fn chunk(&self, from: &Position, bytes: usize) -> (Bytes, Option<Position>) {
        let mut parts = Vec::new();
        let mut left = bytes.max(1);
        let mut next = match from {
            Position::Start => {
                parts.push(Part::Head(self.head.clone()));
                self.tree_at(Space::Rows, TreeId(0))
            }
            Position::At { space, tree } => self.tree_at(*space, *tree),
            // The tree is there if the position came from this state; if it did not, the digest will tell.
            after @ Position::After { .. } => Some(after.clone()),
        };
        while let Some(position) = next.take() {
            if left == 0 {
                next = Some(position);
                break;
            }
            let (space, tree, after) = match &position {
                Position::Start => break,
                Position::At { space, tree } => (*space, *tree, Bound::Unbounded),
                Position::After { space, tree, key } => (*space, *tree, Bound::Excluded(&**key)),
            };
            let (rows, last) = pack(self.space(space), tree, after, &mut left);
            parts.push(Part::Rows { space, tree, last_id: self.space(space).last_id(tree), rows });
            left = left.saturating_sub(TREE_BYTES);
            next = match last {
                Some(key) => Some(Position::After { space, tree, key }),
                None => self.tree_at(space, TreeId(tree.0.saturating_add(1))),
            };
        }
        let bytes = postcard::to_stdvec(&Chunk::V1(parts)).expect("a chunk is plain data, always encodable");
        (bytes.into(), next)
    }

    fn space(&self, space: Space) -> &storage::Snapshot {
        match space {
            Space::Rows => &self.rows,
            Space::Dedup => &self.dedup,
        }
    }

    /// The beginning of the first tree of this number or above.
    fn tree_at(&self, space: Space, from: TreeId) -> Option<Position> {
        let found = self.space(space).trees().find(|tree| *tree >= from);
        match (found, space) {
            (Some(tree), _) => Some(Position::At { space, tree }),
            (None, Space::Rows) if !crate::planted!(28) => self.tree_at(Space::Dedup, TreeId(0)),
            (None, _) => None,
        }
    }
}

/// Rows of a tree until `left` is used up; the last key if it was before the tree's end.
fn pack(store: &storage::Store, tree: TreeId, after: Bound<&[u8]>, left: &mut usize) -> (Bytes, Option<Bytes>) {
    let mut packed = Vec::with_capacity((*left).min(CHUNK_BYTES));
    let mut scan = store.scan(tree, after, Bound::Unbounded);
    let mut end = None;
    while *left > 0 {
        let Some((key, value)) = scan.next() else { return (packed.into(), None) };
        for bytes in [key, value] {
            let length = u32::try_from(bytes.len()).expect("a key or value is far shorter than 4 GiB");
            packed.extend_from_slice(&length.to_le_bytes());
            packed.extend_from_slice(bytes);
        }
        *left = left.saturating_sub(8 + key.len() + value.len());
        end = Some(key);
    }
    (packed.into(), end.map(Bytes::copy_from_slice))
}

/// Makes a state of chunks.
#[derive(Default)]
pub struct Builder {
    head: Option<Head>,
    rows: storage::Store,
    dedup: storage::Store,
    /// The tree that is being filled, and the last key in it, if any.
    last: Option<(Space, TreeId, Option<Vec<u8>>)>,
}

impl Builder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`Malformed`]: nothing more can come of this builder.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Malformed> {
        let Chunk::V1(parts) = postcard::from_bytes(chunk).map_err(|_| Malformed::Undecodable)?;
        for part in parts {
            match part {
                Part::Head(head) if self.head.is_none() => self.head = Some(head),
                Part::Head(_) => return Err(Malformed::Nonsense("it begins a second time")),
                Part::Rows { .. } if self.head.is_none() => {
                    return Err(Malformed::Nonsense("its beginning is missing"));
                }
                Part::Rows { space, tree, last_id, rows } => self.rows(space, tree, last_id, &rows)?,
            }
        }
        Ok(())
    }

    fn rows(&mut self, space: Space, tree: TreeId, last_id: u64, mut rows: &[u8]) -> Result<(), Malformed> {
        let store = match space {
            Space::Rows => &mut self.rows,
            Space::Dedup => &mut self.dedup,
        };
        let mut last = match self.last.take() {
            Some((before, which, key)) if (before, which) == (space, tree) => key,
            Some((before, which, _)) if (before, which) > (space, tree) => {
                return Err(Malformed::Nonsense("trees do not rise"));
            }
            _ => {
                store.restore_tree(tree, last_id);
                None
            }
        };
        let cut = Malformed::Nonsense("a row is cut off");
        while !rows.is_empty() {
            let key = take(&mut rows).ok_or(cut.clone())?;
            let value = take(&mut rows).ok_or(cut.clone())?;
            if last.as_deref().is_some_and(|last| last >= key) {
                return Err(Malformed::Nonsense("keys do not rise"));
            }
            store.put(tree, key, value);
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
        }
        store.commit();
        self.last = Some((space, tree, last));
        Ok(())
    }

    /// The state, if it is the one of `partition` that has executed `executed` and has this digest.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn finish(self, partition: PartitionId, executed: LogIndex, digest: u128) -> Result<StateMachine, Malformed> {
        let Some(head) = self.head else { return Err(Malformed::Nonsense("it is empty")) };
        if head.partition != partition {
            return Err(Malformed::Mislabelled("another partition"));
        }
        if head.executed != executed {
            return Err(Malformed::Mislabelled("another index"));
        }
        let lacks = |table: &Arc<crate::catalog::Table>| table.trees().any(|tree| !self.rows.has_tree(tree));
        // The cluster partition holds definitions and no rows.
        if partition != PartitionId::CLUSTER && head.catalog.tables.values().any(lacks) {
            return Err(Malformed::Nonsense("a table's rows are missing"));
        }
        let machine = StateMachine::restored(head, self.rows, self.dedup).map_err(Malformed::Nonsense)?;
        if machine.digest() != digest {
            return Err(Malformed::Mislabelled("another digest"));
        }
        Ok(machine)
    }
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (taken, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests;
