use orrery::types::{NodeId, WorkerId};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// One thing that happened. Plain data of fixed width: what is here goes into the trace hash, so nothing may be here
/// that differs between processes or builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker was given its first event.
    Start { node: NodeId, worker: WorkerId, life: u64 },
    /// A worker was given a message.
    Message { from: NodeId, to: NodeId, worker: WorkerId, length: u32, digest: u64 },
    /// A message was lost on its way, or found nobody.
    Lost { from: NodeId, to: NodeId, why: &'static str, digest: u64 },
    /// A worker was woken.
    Wake { node: NodeId, worker: WorkerId },
    /// A disk operation ended.
    Disk { node: NodeId, worker: WorkerId, operation: &'static str, failed: bool, digest: u64 },
    /// A client connected to a node.
    Connected { client: u32, node: NodeId, worker: WorkerId, connection: u64 },
    /// A node was given bytes of a client.
    ClientBytes { client: u32, node: NodeId, length: u32, digest: u64 },
    /// A client was given bytes.
    ServerBytes { client: u32, node: NodeId, length: u32, digest: u64 },
    /// A connection ended, on one side.
    Closed { client: u32, node: NodeId, at_client: bool },
    /// A client woke.
    ClientWake { client: u32 },
    /// A client noted something in its history.
    Noted { client: u32, digest: u64 },
    /// A fault struck a node (or the network as a whole: node 0).
    Fault { id: u32, name: &'static str, node: NodeId },
    /// A fault was left out.
    Skipped { id: u32, name: &'static str, why: &'static str },
    /// A fault ended.
    Lifted { id: u32, name: &'static str },
    /// A node's process ended.
    Down { node: NodeId, life: u64, why: &'static str },
    /// A power loss took unsynced writes.
    DiskLost { node: NodeId, lost: u32, torn: u32, names: u32 },
    /// A node starts again.
    Restart { node: NodeId, life: u64 },
    /// A member's role changed.
    Leader { node: NodeId, partition: u32, era: u64 },
    /// The core is healed: its members as bits, node 1 lowest.
    Healed { core: u64 },
    /// A checker objected.
    Violation { digest: u64 },
    /// A worker was told that a peer's machine refuses connections.
    PeerGone { node: NodeId, worker: WorkerId, peer: NodeId },
    /// The run ended.
    End,
}

/// A name as a word of the hash.
fn name(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

impl Event {
    /// Kind and content as words, for the hash.
    pub(super) fn words(&self) -> [u64; 6] {
        let at = |node: NodeId, worker: WorkerId| u64::from(node.0) << 16 | u64::from(worker.0);
        let pair = |a: u32, b: u32| u64::from(a) << 32 | u64::from(b);
        match *self {
            Self::Start { node, worker, life } => [1, at(node, worker), life, 0, 0, 0],
            Self::Message { from, to, worker, length, digest } => {
                [2, u64::from(from.0), at(to, worker), u64::from(length), digest, 0]
            }
            Self::Lost { from, to, why, digest } => [3, pair(from.0, to.0), name(why), digest, 0, 0],
            Self::Wake { node, worker } => [4, at(node, worker), 0, 0, 0, 0],
            Self::Disk { node, worker, operation, failed, digest } => {
                [5, at(node, worker), name(operation), u64::from(failed), digest, 0]
            }
            Self::Connected { client, node, worker, connection } => {
                [6, u64::from(client), at(node, worker), connection, 0, 0]
            }
            Self::ClientBytes { client, node, length, digest } => {
                [7, pair(client, node.0), u64::from(length), digest, 0, 0]
            }
            Self::ServerBytes { client, node, length, digest } => {
                [8, pair(client, node.0), u64::from(length), digest, 0, 0]
            }
            Self::Closed { client, node, at_client } => [9, pair(client, node.0), u64::from(at_client), 0, 0, 0],
            Self::ClientWake { client } => [10, u64::from(client), 0, 0, 0, 0],
            Self::Noted { client, digest } => [11, u64::from(client), digest, 0, 0, 0],
            Self::Fault { id, name: fault, node } => [12, pair(id, node.0), name(fault), 0, 0, 0],
            Self::Skipped { id, name: fault, why } => [13, u64::from(id), name(fault), name(why), 0, 0],
            Self::Lifted { id, name: fault } => [14, u64::from(id), name(fault), 0, 0, 0],
            Self::Down { node, life, why } => [15, u64::from(node.0), life, name(why), 0, 0],
            Self::DiskLost { node, lost, torn, names } => {
                [16, u64::from(node.0), pair(lost, torn), u64::from(names), 0, 0]
            }
            Self::Restart { node, life } => [17, u64::from(node.0), life, 0, 0, 0],
            Self::Leader { node, partition, era } => [18, pair(node.0, partition), era, 0, 0, 0],
            Self::Healed { core } => [19, core, 0, 0, 0, 0],
            Self::Violation { digest } => [20, digest, 0, 0, 0, 0],
            Self::End => [21, 0, 0, 0, 0, 0],
            Self::PeerGone { node, worker, peer } => [22, at(node, worker), u64::from(peer.0), 0, 0, 0],
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Start { node, worker, life } => write!(f, "{node}.{worker} starts, life {life}"),
            Self::Message { from, to, worker, length, digest } => {
                write!(f, "{to}.{worker} ← {from}: {length} bytes {digest:016x}")
            }
            Self::Lost { from, to, why, digest } => write!(f, "{from} → {to} lost ({why}) {digest:016x}"),
            Self::Wake { node, worker } => write!(f, "{node}.{worker} wakes"),
            Self::Disk { node, worker, operation, failed, .. } => {
                write!(f, "{node}.{worker} disk: {operation} {}", if failed { "FAILED" } else { "done" })
            }
            Self::Connected { client, node, worker, connection } => {
                write!(f, "client {client} connects to {node}.{worker} as c{connection}")
            }
            Self::ClientBytes { client, node, length, .. } => write!(f, "{node} ← client {client}: {length} bytes"),
            Self::ServerBytes { client, node, length, .. } => write!(f, "client {client} ← {node}: {length} bytes"),
            Self::Closed { client, node, at_client: true } => write!(f, "client {client} sees {node} close"),
            Self::Closed { client, node, at_client: false } => write!(f, "{node} sees client {client} close"),
            Self::ClientWake { client } => write!(f, "client {client} wakes"),
            Self::Noted { client, .. } => write!(f, "client {client} notes its history"),
            Self::Fault { id, name, node: NodeId(0) } => write!(f, "FAULT {id} {name}"),
            Self::Fault { id, name, node } => write!(f, "FAULT {id} {name} strikes {node}"),
            Self::Skipped { id, name, why } => write!(f, "fault {id} {name} left out: {why}"),
            Self::Lifted { id, name } => write!(f, "fault {id} {name} ends"),
            Self::Down { node, life, why } => write!(f, "{node} DOWN ({why}), end of life {life}"),
            Self::DiskLost { node, lost, torn, names } => {
                write!(f, "{node} power loss: {lost} writes lost, {torn} torn, {names} names lost")
            }
            Self::Restart { node, life } => write!(f, "{node} restarts, life {life}"),
            Self::Leader { node, partition, era } => write!(f, "{node} leads p{partition} in e{era}"),
            Self::Healed { core } => {
                f.write_str("HEALED, core")?;
                (0..64).filter(|bit| core >> bit & 1 == 1).try_for_each(|bit| write!(f, " n{}", bit + 1))
            }
            Self::Violation { .. } => f.write_str("VIOLATION"),
            Self::PeerGone { node, worker, peer } => write!(f, "{node}.{worker} finds that {peer} has gone"),
            Self::End => f.write_str("end"),
        }
    }
}
