//! **Raft**.

use super::{Config, Consensus, NotLeader, Ready, Recovered, Role, Status, Unreadable};
use crate::types::{Era, Instant, LogIndex, NodeId};
use bytes::Bytes;

/// A member of a group, as a machine.
pub struct Raft {
    _config: Config,
}

impl Raft {
    /// A member at the beginning of a life.
    ///
    /// # Errors
    /// [`Unreadable`] if what recovery found makes no sense.
    pub fn new(config: Config, _recovered: Recovered) -> Result<Self, Unreadable> {
        Ok(Self { _config: config })
    }
}

impl Consensus for Raft {
    fn step(&mut self, _now: Instant, _from: NodeId, _message: &[u8]) {}

    fn propose(&mut self, _now: Instant, _payload: Bytes) -> Result<(), NotLeader> {
        Err(NotLeader { leader: None })
    }

    fn read_barrier(&mut self, _now: Instant, _token: u64) -> Result<(), NotLeader> {
        Err(NotLeader { leader: None })
    }

    fn next_timeout(&self) -> Instant {
        Instant(u64::MAX)
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn ready(&mut self) -> Option<Ready> {
        None
    }

    fn persisted(&mut self, _now: Instant, _number: u64) {}

    fn status(&self) -> Status {
        Status { role: Role::Follower, era: Era(0), leader: None, last: LogIndex(0), committed: LogIndex(0) }
    }

    fn inspect(&self, _index: LogIndex) -> Option<(Era, u64)> {
        None
    }
}
