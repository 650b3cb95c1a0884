//! **Snapshot**: the whole replicated state of a partition at an executed index, frozen, and as bytes.
//!
//! Taking one costs a pointer for each tree; execution goes on beside it. It is written in *chunks*, one at a time, each
//! made when it is wanted: into a checkpoint file, or to a replica that is too far behind. [`Builder`] makes a state of
//! chunks again. Disk and wire carry the same chunks.
//!
//! ```text
//! chunk  = u8 version (1), then the next bytes of the stream, as many as asked for
//! stream = items, back to back; one may go on in the next chunk. Numbers are little-endian.
//! item   = 'H', u32 length, postcard of Head: catalog, numbers, gateways, directory of nodes, membership, who is in sync. The first, once.
//!        | 'T', u8 space (0 rows, 1 deduplication, 2 global commands), u32 tree, u64 the tree's counter: the rows that follow are this tree's.
//!        | 'R', u32 length of the key, u32 length of the value, key, value
//! ```
//!
//! # Invariants
//! - A chunk is a function of the state, of the [`Position`] where it begins and of the size asked for; nothing else. So
//!   replicas of one state have the same chunks, and a transfer broken off at one goes on at another.
//! - No chunk is longer than asked for, whatever the rows are.
//! - Chunks are taken in order and trees and keys rise: a chunk lost, doubled or misplaced is noticed, if not by that, by
//!   the digest.
//! - [`Builder::finish`] yields a state only if its digest is the one that the snapshot was labelled with. It covers rows,
//!   indexes, counters, the deduplication table, catalog, gateways, directory of nodes, membership and numbers: all that execution depends on.
//! - Malformed chunks are an error, never a panic: they may come from a disk or from a peer of another version.
//!
//! # Caveats
//! - The digest is no protection against a peer that lies; peers are trusted.
//! - What has been written since the snapshot exists twice in memory for as long as it is held.

use crate::catalog::Catalog;
use crate::directory::Directory;
use crate::partition::StateMachine;
use crate::planted;
use crate::storage;
use crate::types::{Incarnation, LogIndex, NodeId, PartitionId, Timestamp, TreeId, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::sync::Arc;

/// Size asked for of a chunk in production.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Longest chunk that is taken of another replica.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;

/// Version of the stream.
const VERSION: u8 = 1;

/// Frozen state.
#[derive(Clone)]
pub struct Snapshot {
    head: Head,
    rows: storage::Snapshot,
    dedup: storage::Snapshot,
    globals: storage::Snapshot,
    digest: u128,
}

/// Everything that does not stand in trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) partition: PartitionId,
    pub(super) executed: LogIndex,
    pub(super) next_gateway: u64,
    pub(super) last_timestamp: Timestamp,
    pub(super) membership: Option<Bytes>,
    pub(super) gateways: Vec<(NodeId, WorkerId, Incarnation, u64)>,
    pub(super) globals: super::state_machine::Globals,
    pub(super) sequencer: super::global::Sequencer,
    pub(super) catalog: Arc<Catalog>,
    pub(super) directory: Arc<Directory>,
    pub(super) in_sync: super::in_sync::InSync,
}

/// Where a chunk begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// In which item.
    at: At,
    /// So many bytes of it have gone before.
    offset: u64,
}

/// An item of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum At {
    #[default]
    Head,
    Tree(Space, TreeId),
    /// The row after this key; without one, the first.
    Row(Space, TreeId, Option<Bytes>),
}

/// Whose trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
enum Space {
    /// Tables and indexes.
    Rows = 0,
    /// The deduplication table.
    Dedup = 1,
    /// The memory of global commands.
    Globals = 2,
}

/// A chunk in the making.
struct Cut {
    bytes: Vec<u8>,
    room: usize,
    /// Bytes of the present item that are to be left out.
    skip: u64,
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
    pub(super) fn new(
        head: Head,
        rows: storage::Snapshot,
        dedup: storage::Snapshot,
        globals: storage::Snapshot,
        digest: u128,
    ) -> Self {
        Self { head, rows, dedup, globals, digest }
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

    /// Rows of all trees, those that nobody sees among them.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let all = [Space::Rows, Space::Dedup, Space::Globals].map(|space| self.space(space));
        all.iter().flat_map(|store| store.trees().map(|tree| store.len(tree) as u64)).sum()
    }

    /// The chunk that begins at a position, and where the next one does; `None`: it was the last.
    #[must_use]
    pub fn chunk(&self, from: &Position, bytes: usize) -> (Bytes, Option<Position>) {
        let mut cut =
            Cut { bytes: Vec::with_capacity(bytes.min(CHUNK_BYTES) + 1), room: bytes.max(1), skip: from.offset };
        cut.bytes.push(VERSION);
        let mut next = Some(from.at.clone());
        while let Some(at) = next {
            match self.put(at, &mut cut) {
                Ok(following) => next = following,
                Err(position) => return (cut.bytes.into(), Some(position)),
            }
        }
        (cut.bytes.into(), None)
    }

    /// Puts an item, and the rows that follow, into a chunk. Yields what comes next, or where the chunk was full.
    fn put(&self, at: At, cut: &mut Cut) -> Result<Option<At>, Position> {
        match at {
            At::Head => {
                let head = postcard::to_stdvec(&self.head).expect("a head is plain data, always encodable");
                cut.item(&[b"H", &length(&head), &head]).map_err(|offset| Position { at, offset })?;
                Ok(self.tree_at(Space::Rows, TreeId(0)))
            }
            At::Tree(space, tree) => {
                let last_id = self.space(space).last_id(tree).to_le_bytes();
                cut.item(&[b"T", &[space as u8], &tree.0.to_le_bytes(), &last_id])
                    .map_err(|offset| Position { at, offset })?;
                Ok(Some(At::Row(space, tree, None)))
            }
            At::Row(space, tree, after) => {
                let mut last = after.as_deref();
                let from = last.map_or(Bound::Unbounded, Bound::Excluded);
                for (key, value) in self.space(space).scan(tree, from, Bound::Unbounded) {
                    if let Err(offset) = cut.item(&[b"R", &length(key), &length(value), key, value]) {
                        let at = At::Row(space, tree, last.map(Bytes::copy_from_slice));
                        return Err(Position { at, offset });
                    }
                    last = Some(key);
                }
                Ok(self.tree_at(space, TreeId(tree.0.saturating_add(1))))
            }
        }
    }

    fn space(&self, space: Space) -> &storage::Snapshot {
        match space {
            Space::Rows => &self.rows,
            Space::Dedup => &self.dedup,
            Space::Globals => &self.globals,
        }
    }

    /// The beginning of the first tree of this number or above.
    fn tree_at(&self, space: Space, from: TreeId) -> Option<At> {
        match self.space(space).trees().find(|tree| *tree >= from) {
            Some(tree) => Some(At::Tree(space, tree)),
            None if space == Space::Rows && !planted!(28) => self.tree_at(Space::Dedup, TreeId(0)),
            None if space != Space::Globals => self.tree_at(Space::Globals, TreeId(0)),
            None => None,
        }
    }
}

impl Cut {
    /// Adds an item, given in pieces, as far as there is room. `Err`: so many bytes of it have gone, and there is more.
    fn item(&mut self, pieces: &[&[u8]]) -> Result<(), u64> {
        let mut gone = 0;
        for piece in pieces {
            let length = piece.len() as u64;
            let skipped = self.skip.min(length);
            self.skip -= skipped;
            // Not more than the piece's length, which is a usize.
            let piece = &piece[skipped as usize..];
            let taken = piece.len().min(self.room);
            self.bytes.extend_from_slice(&piece[..taken]);
            self.room -= taken;
            gone += skipped + taken as u64;
            if taken < piece.len() {
                return Err(gone);
            }
        }
        Ok(())
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("keys, values and catalogs are far shorter than 4 GiB").to_le_bytes()
}

/// Makes a state of chunks.
#[derive(Default)]
pub struct Builder {
    head: Option<Head>,
    rows: storage::Store,
    dedup: storage::Store,
    globals: storage::Store,
    /// The tree that is being filled.
    tree: Option<(Space, TreeId)>,
    /// The last key in it.
    last: Option<Vec<u8>>,
    /// The beginning of an item that goes on in the next chunk.
    rest: Vec<u8>,
    /// Rows that have come.
    come: u64,
}

impl Builder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows that have come.
    #[must_use]
    pub const fn rows_come(&self) -> u64 {
        self.come
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`Malformed`]: nothing more can come of this builder.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Malformed> {
        let (&VERSION, chunk) = chunk.split_first().ok_or(Malformed::Undecodable)? else {
            return Err(Malformed::Undecodable);
        };
        let mut joined = std::mem::take(&mut self.rest);
        let mut left = if joined.is_empty() {
            chunk
        } else {
            joined.extend_from_slice(chunk);
            &joined
        };
        while let Some((item, following)) = Item::split(left)? {
            self.item(item)?;
            left = following;
        }
        self.rest = left.to_vec();
        self.rows.commit();
        self.dedup.commit();
        self.globals.commit();
        Ok(())
    }

    fn item(&mut self, item: Item<'_>) -> Result<(), Malformed> {
        match item {
            Item::Head(head) => {
                let head = postcard::from_bytes(head).map_err(|_| Malformed::Undecodable)?;
                if self.head.replace(head).is_some() {
                    return Err(Malformed::Nonsense("it begins a second time"));
                }
            }
            Item::Tree(space, tree, last_id) => {
                if self.head.is_none() {
                    return Err(Malformed::Nonsense("its beginning is missing"));
                }
                if self.tree.is_some_and(|before| before >= (space, tree)) {
                    return Err(Malformed::Nonsense("trees do not rise"));
                }
                self.tree = Some((space, tree));
                self.last = None;
                self.store(space).restore_tree(tree, last_id);
            }
            Item::Row(key, value) => {
                let Some((space, tree)) = self.tree else { return Err(Malformed::Nonsense("a row of no tree")) };
                if self.last.as_deref().is_some_and(|last| last >= key) {
                    return Err(Malformed::Nonsense("keys do not rise"));
                }
                self.store(space).put(tree, key, value);
                self.come += 1;
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
            }
        }
        Ok(())
    }

    fn store(&mut self, space: Space) -> &mut storage::Store {
        match space {
            Space::Rows => &mut self.rows,
            Space::Dedup => &mut self.dedup,
            Space::Globals => &mut self.globals,
        }
    }

    /// The state, if it is the one of `partition` that has executed `executed` and has this digest.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn finish(self, partition: PartitionId, executed: LogIndex, digest: u128) -> Result<StateMachine, Malformed> {
        let head = match self.head {
            Some(head) => head,
            // redisraft#14: an empty snapshot is loaded as the truth.
            None if planted!(38) => return Ok(StateMachine::emptied(partition, executed)),
            None => return Err(Malformed::Nonsense("it is empty")),
        };
        if !self.rest.is_empty() {
            return Err(Malformed::Nonsense("its end is missing"));
        }
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
        let machine = StateMachine::restored(head, self.rows, self.dedup, self.globals).map_err(Malformed::Nonsense)?;
        if machine.digest() != digest {
            return Err(Malformed::Mislabelled("another digest"));
        }
        Ok(machine)
    }
}

/// An item of the stream, borrowed.
enum Item<'a> {
    Head(&'a [u8]),
    Tree(Space, TreeId, u64),
    Row(&'a [u8], &'a [u8]),
}

impl<'a> Item<'a> {
    /// The first item and what follows it; `None`: it is not complete.
    fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Malformed> {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
        let split = match kind {
            b'H' => u32_of(rest)
                .and_then(|(length, rest)| rest.split_at_checked(length as usize))
                .map(|(head, rest)| (Self::Head(head), rest)),
            b'T' => match rest.split_first_chunk::<13>() {
                None => None,
                Some((fixed, rest)) => {
                    let space = match fixed[0] {
                        0 => Space::Rows,
                        1 => Space::Dedup,
                        2 => Space::Globals,
                        _ => return Err(Malformed::Nonsense("trees of an unknown kind")),
                    };
                    let (tree, last_id) =
                        fixed[1..].split_first_chunk().expect("thirteen bytes are one, four and eight");
                    let last_id = last_id.try_into().map_or(0, u64::from_le_bytes);
                    Some((Self::Tree(space, TreeId(u32::from_le_bytes(*tree)), last_id), rest))
                }
            },
            b'R' => row_of(rest).map(|(key, value, rest)| (Self::Row(key, value), rest)),
            _ => return Err(Malformed::Nonsense("an item of an unknown kind")),
        };
        Ok(split)
    }
}

fn row_of(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, bytes) = u32_of(bytes)?;
    let (value, bytes) = u32_of(bytes)?;
    let (key, bytes) = bytes.split_at_checked(key as usize)?;
    let (value, bytes) = bytes.split_at_checked(value as usize)?;
    Some((key, value, bytes))
}

fn u32_of(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
pub(super) mod tests;
