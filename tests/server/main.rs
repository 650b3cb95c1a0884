//! The edge of a node: real sockets, real files, the real binary.
//!
//! What decides is tested in the simulator; here is what the simulator replaces.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the edge live in the real world")]

mod cli;
mod client;
mod directory;
mod disk_failure;
mod files;
mod full;
mod health;
mod keeping;
mod load;
mod members;
mod node;
mod offline;
mod partitions;
mod peers;
mod pipeline;
mod sequences;
mod shell;
mod sql;
