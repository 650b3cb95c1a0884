//! **Storage**: a partition's rows and indexes, as ordered trees of bytes in memory.
//!
//! A [`Store`] holds the trees of one partition; it knows neither tables nor types. Statements write into it directly and
//! an undo journal takes a failed one back; a transaction's fork, a checkpoint, or a long read takes a [`Snapshot`].
//!
//! The tree is a B+tree whose nodes stand behind `Arc`: a node that only this store holds is changed in place, one that a
//! snapshot holds too is copied on the way down. So a snapshot costs one pointer a tree, and afterwards the first write to
//! each leaf costs a copy of that leaf. Leaves are smaller (32 rows) than inner nodes (64 children) because they are
//! what is copied. Keys and values up to 22 bytes stand in the node; longer ones are shared, so that copying a leaf
//! copies no row. Keys and values of a leaf are two arrays: a search touches keys only.
//!
//! # Invariants
//! - Keys of a leaf rise; all keys below a child lie between its separators; all leaves are equally deep.
//! - A snapshot never changes, whatever is done to the store or to other snapshots.
//! - `rollback(mark)` restores content, counters, the set of trees and digest exactly as at `mark()`.
//! - The digest is a function of the content alone: not of the order of changes, nor of the shape of the trees.
//! - Iteration is in key order, and nothing else of the layout can be observed.
//! - What is made of rows beside a store (`aside`) is part of its content when it is taken in, and not before.
//! - What a watching store has been asked can be compared with what a recording one has been told since (`watch`). Neither is
//!   part of the content.
//!
//! # Caveats
//! - The journal grows until [`Store::commit`]: whoever executes calls it once a command is done.
//! - Dropping the last holder of a large tree takes time in proportion to its rows.
//! - The digest guards against divergence and decay, not against an adversary who chooses rows: a sum of hashes is not
//!   collision-resistant.
//! - Nodes are joined when a quarter full, so a tree that has shrunk may hold up to four times its need.
//!
//! Sources: Rodeh, "B-trees, Shadowing, and Clones" (2008), for copy-on-write trees; Bellare and Micciancio (1997) for
//! incremental hashing by addition, and its limits.

mod aside;
mod bytestring;
mod node;
mod scan;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

pub use aside::{Aside, Written};
pub use scan::Scan;
pub use store::{Mark, Snapshot, Store};
