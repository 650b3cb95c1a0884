use orrery::consensus::{Membership, Status};
use orrery::directory::Directory;
use orrery::env::{Control, Env, Event};
use orrery::node::{Worker, WorkerConfig};
use orrery::partition::InSyncFacts;
use orrery::types::{Era, LogIndex, PartitionId};

/// What the world runs: [`Worker`], seen through its public face. The tests of the world put a smaller one in its place,
/// so that a fault can be proved to change something without a database in the way.
pub trait Machine {
    /// See [`Worker::handle`].
    fn handle(&mut self, env: &mut dyn Env, event: Event) -> Control;
    /// See [`Worker::take`].
    fn take(&mut self, env: &mut dyn Env, event: Event) {
        let _goes_on = self.handle(env, event);
    }
    /// See [`Worker::consensus_status`].
    fn consensus_status(&self, partition: PartitionId) -> Option<Status>;
    /// See [`Worker::log_entry`].
    fn log_entry(&self, partition: PartitionId, index: LogIndex) -> Option<(Era, u64)>;
    /// See [`Worker::group_membership`].
    fn membership(&self, partition: PartitionId) -> Option<Membership>;
    /// See [`Worker::state_digest`].
    fn state_digest(&self, partition: PartitionId) -> Option<(LogIndex, u128)>;
    /// See [`Worker::directory`].
    fn directory(&self) -> Option<&Directory> {
        None
    }
    /// See [`Worker::in_sync`].
    fn in_sync(&self, _: PartitionId) -> Option<InSyncFacts> {
        None
    }
    /// See [`Worker::connections`].
    fn connections(&self) -> usize;
    /// See [`Worker::lost_log`].
    fn lost_log(&self) -> Option<&str>;
    /// See [`Worker::statements`].
    fn statements(&self) -> u64 {
        0
    }
}

impl Machine for Worker {
    fn handle(&mut self, env: &mut dyn Env, event: Event) -> Control {
        Self::handle(self, env, event)
    }

    fn take(&mut self, env: &mut dyn Env, event: Event) {
        Self::take(self, env, event);
    }

    fn consensus_status(&self, partition: PartitionId) -> Option<Status> {
        Self::consensus_status(self, partition)
    }

    fn log_entry(&self, partition: PartitionId, index: LogIndex) -> Option<(Era, u64)> {
        Self::log_entry(self, partition, index)
    }

    fn membership(&self, partition: PartitionId) -> Option<Membership> {
        Self::group_membership(self, partition)
    }

    fn state_digest(&self, partition: PartitionId) -> Option<(LogIndex, u128)> {
        Self::state_digest(self, partition)
    }

    fn directory(&self) -> Option<&Directory> {
        Some(Self::directory(self))
    }

    fn in_sync(&self, partition: PartitionId) -> Option<InSyncFacts> {
        Self::in_sync(self, partition)
    }

    fn connections(&self) -> usize {
        Self::connections(self)
    }

    fn lost_log(&self) -> Option<&str> {
        Self::lost_log(self)
    }

    fn statements(&self) -> u64 {
        Self::statements(self)
    }
}

/// Builds the machine of one worker's life.
pub type Build = fn(WorkerConfig) -> Box<dyn Machine>;

/// The real one.
#[must_use]
pub fn product(config: WorkerConfig) -> Box<dyn Machine> {
    Box::new(Worker::new(config))
}
