//! **Checkers**: who judges a run. [`history`] knows only what clients saw; `cluster` looks on the workers at every step.

pub mod cluster; // invariants of consensus and replication
pub mod history; // judges over what clients saw
pub(crate) mod silence; // who is silent is left alone
