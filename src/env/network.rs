use crate::types::{ConnectionId, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where on a node a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Port {
    /// The worker that owns this partition's replica.
    Partition(PartitionId),
    /// A worker itself: its sessions.
    Worker(WorkerId),
}

impl Port {
    /// The worker that serves this port on a node with that many. Partitions are dealt out in turn.
    #[must_use]
    pub fn worker(self, workers: u16) -> WorkerId {
        match self {
            Self::Partition(partition) => WorkerId(u16::try_from(partition.0 % u32::from(workers)).unwrap_or(0)),
            Self::Worker(worker) => worker,
        }
    }
}

/// Destination of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Node; may be the sender's own.
    pub node: NodeId,
    /// Port on it.
    pub port: Port,
}

/// Messages between workers, and bytes to clients.
///
/// Failure semantics: a message arrives once, whole and unchanged, or not at all, or (rarely) more than once; late, and
/// in any order relative to others; possibly after its sender, or the receiver it was meant for, has died and come
/// back. Whoever cares puts an incarnation into the payload. Nothing reports a loss. Messages to the own node travel
/// the same way without the network's faults.
pub trait Network {
    /// Sends a message. Never blocks; when the queue to the destination is full the message is dropped and counted.
    fn send(&mut self, to: Endpoint, payload: Bytes);

    /// These are the other nodes of the cluster now, as far as is known here, and where they listen for this one. An empty address:
    /// as was known before. Those of the second list belonged to it, and never will again. An environment that knows by itself does
    /// nothing.
    fn peers(&mut self, _others: &[(NodeId, String)], _removed: &[NodeId]) {}

    /// What was sent so far should leave before this event ends, because something long follows. A hint: nothing rests on it.
    fn flush(&mut self) {}

    /// Appends bytes to what a client receives: a reliable, ordered stream until it is closed. While a client does not
    /// read, the environment stops reading from it, which bounds what can pile up.
    fn client_send(&mut self, connection: ConnectionId, bytes: Bytes);

    /// Closes a client connection after what has been sent. No further event for it follows.
    fn client_close(&mut self, connection: ConnectionId);
}
