//! **Env**: the virtual world's side of the seam: what a worker's calls do, and what the world does to them.
//!
//! - [`dice`]: keyed randomness, so that one draw moves no other.
//! - [`clock`]: each node's monotonic and wall clock, skewed and drifting.
//! - [`network`]: links between nodes: delay, loss, copies, and the conditions that faults lay on them.
//! - [`disk`]: a directory behind a page cache: what a crash keeps, loses and tears.
//! - [`buggify`]: rare behaviour on demand, in two levels.
//! - [`worker`]: the five traits for one worker during one event; it only collects what the worker wants.
//!
//! # Invariants
//! - Nothing here acts during [`orrery::env::Event`] handling: calls are collected as values and carried out by the
//!   world afterwards, so a crash "at" a named point can drop what came after that point.
//! - Integers only. No draw depends on how many draws something else has made.

pub mod buggify;
pub mod clock;
pub mod dice;
pub mod disk;
pub mod network;
pub mod worker;
