//! **Checkers**: who judges a run. [`history`] knows only what clients saw; `cluster` looks on the workers at every step.

pub mod cluster; // invariants of consensus and replication
pub(crate) mod hand_overs; // who is to lead is not given it again and again
pub mod history; // judges over what clients saw
pub(crate) mod pace; // what is sent of states is sent in time
pub(crate) mod silence; // who is silent is left alone
