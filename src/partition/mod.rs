//! **Partition**: the replicated unit.
pub mod message;
