use super::Event;
use bytes::Bytes;
use orrery::consensus::Role;
use orrery::types::{NodeId, WorkerId};

/// What is kept beside the events when a run is recorded: seen by the world, not given to anybody, not in the hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A member of a group has another role or era.
    Role { node: NodeId, partition: u32, role: Role, era: u64, committed: u64 },
    /// A message was taken by its receiver (now), or lost on its way (now).
    Flight { from: NodeId, to: NodeId, worker: WorkerId, sent_ns: u64, lost: Option<&'static str>, payload: Bytes },
}

/// Everything that happened in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Events, in order.
    pub events: Vec<(u64, Event)>,
    /// Marks, in order.
    pub marks: Vec<(u64, Mark)>,
}
