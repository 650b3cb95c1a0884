//! Orrery: a deterministic, simulation-first, distributed, in-memory SQL database.
//!
//! The modules in layer order; each imports only from those above it in this list (a test holds this).

pub mod types; // vocabulary: identifiers, values, errors, encodings
pub mod env; // the seam to the world: five traits, and their production side
pub mod storage; // a partition's rows: copy-on-write trees, undo, digest
pub mod catalog; // definitions as a value
pub mod directory; // nodes, and where replicas are wanted, as a value
pub mod wal; // the durable log as a machine over disk events
pub mod checkpoint; // a partition's state in a file, as a machine over disk events
pub mod consensus; // one log per group: the trait and Raft
pub mod sql; // parse, bind, plan, execute
pub mod partition; // the replicated unit: commands, state machine, deduplication
pub mod cluster; // routing
pub mod session; // a client connection as a machine
pub mod node; // workers: machines put together and driven
pub mod client; // a small client: for the command line, and for a node that asks to be taken in
pub mod server; // the client-facing edge
pub mod cli; // the command line
