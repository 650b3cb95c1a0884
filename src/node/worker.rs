//! The worker.

use super::WorkerConfig;
use crate::consensus::Status;
use crate::env::{Control, Env, Event};
use crate::types::{Era, LogIndex, PartitionId};

/// The unit of execution: owns partition replicas and client sessions, shares nothing.
pub struct Worker {
    config: WorkerConfig,
}

impl Worker {
    /// A worker at the beginning of a life; [`Event::Start`] sets it going.
    #[must_use]
    pub fn new(config: WorkerConfig) -> Self {
        Self { config }
    }

    /// Takes one event. The only entry.
    pub fn handle(&mut self, env: &mut dyn Env, event: Event) -> Control {
        let _ = (env, event, &self.config);
        Control::Continue
    }

    /// Partitions with a replica here, once recovered.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionId> {
        Vec::new()
    }

    /// For the simulator's checkers: where the replica stands in its group's consensus.
    #[must_use]
    pub fn consensus_status(&self, _partition: PartitionId) -> Option<Status> {
        None
    }

    /// For the simulator's checkers: era and payload digest of a log entry that this replica holds.
    #[must_use]
    pub fn log_entry(&self, _partition: PartitionId, _index: LogIndex) -> Option<(Era, u64)> {
        None
    }

    /// For the simulator's checkers: last executed index and the digest of the state there.
    #[must_use]
    pub fn state_digest(&self, _partition: PartitionId) -> Option<(LogIndex, u128)> {
        None
    }
}
