//! What workers send each other, framed and versioned.
//!
//! Every frame says who sends it and in which life. A worker remembers the latest life it has heard of each peer and
//! drops what earlier ones sent: the message was written by a process that has since forgotten what it promised.

use crate::catalog::Catalog;
use crate::cluster::facts::{Ask, Facts};
use crate::cluster::reconciler::{Report, Step};
use crate::directory::Directory;
use crate::partition::global::Exchange;
use crate::partition::message::{Reply, Request};
use crate::partition::transfer::SnapshotMessage;
use crate::types::{Incarnation, LogIndex, NodeId, PartitionId, WorkerId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A message between workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// First format.
    V1(FrameV1),
}

/// First format of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameV1 {
    /// Sending node.
    pub node: NodeId,
    /// Sending worker.
    pub worker: WorkerId,
    /// Its life.
    pub incarnation: Incarnation,
    /// What it says.
    pub body: Body,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// Of a group's consensus protocol, in its own bytes.
    Consensus {
        /// Group.
        partition: PartitionId,
        /// The protocol's message.
        message: Bytes,
    },
    /// A session asks a partition.
    Request {
        /// Which.
        partition: PartitionId,
        /// What.
        request: Request,
    },
    /// A partition answers a session of the receiving worker.
    Reply(Reply),
    /// The leader's digest of a partition's state at an index.
    Digest {
        /// Partition.
        partition: PartitionId,
        /// Executed index.
        index: LogIndex,
        /// Digest there.
        digest: u128,
    },
    /// To workers of the own node: the local cluster-partition replica has executed a newer catalog.
    Catalog(Arc<Catalog>),
    /// To workers of the own node: the local replica of a partition has found a leader.
    Leader {
        /// Partition.
        partition: PartitionId,
        /// Who leads it.
        leader: NodeId,
    },
    /// A session asks what this node sees.
    Ask(Ask),
    /// A worker answers a session of the receiving worker.
    Facts(Facts),
    /// A partition's leader tells another partition about a global command.
    Exchange {
        /// Which is told.
        partition: PartitionId,
        /// What.
        exchange: Exchange,
        /// How often it was passed on by members that do not lead.
        hops: u8,
    },
    /// Replicas of a partition about a snapshot.
    Snapshot {
        /// Partition.
        partition: PartitionId,
        /// What.
        message: SnapshotMessage,
    },
    /// The directory of nodes: to workers of the own node, or from who leads the cluster partition to a node that does not know it.
    Directory(Arc<Directory>),
    /// To who leads the cluster partition: what a worker has.
    Report {
        /// This.
        report: Report,
        /// How often it was passed on by members that do not lead.
        hops: u8,
    },
    /// From who leads the cluster partition: what is to be done about a partition.
    Step {
        /// Which.
        partition: PartitionId,
        /// What.
        step: Step,
    },
}

impl Frame {
    /// As sent.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_stdvec(self).expect("a frame is plain data, always encodable").into()
    }

    /// As received; `None` when the bytes are no frame of a known version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
