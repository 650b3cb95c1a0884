//! **Storage**: a partition's rows and indexes, as ordered trees of bytes in memory.

mod store;

pub use store::{Mark, Scan, Snapshot, Store};
