//! A small world for Raft alone: members with disks that sync when told, and a network that delivers when told.
//!
//! `cluster` is that world, `script` reads the golden files of `tests/golden/raft` (input, `---`, what happened), and
//! `random` makes thousands of steps of it and judges each.

mod cluster;
mod random;
mod recovery;
mod script;
