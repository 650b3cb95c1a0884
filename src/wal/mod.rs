//! **WAL**: the durable log of one worker, shared by its partitions, as a machine over disk events.

mod machine;

pub use machine::{Config, Damage, Record, RecoveredGroup, Wal, WalEvent};
