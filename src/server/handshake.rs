//! Incoming peer connections: who is it, and is this node meant?

use crate::env::tokio::Members;
use crate::env::tokio::frame::{self, HELLO_HEADER, Hello, Malformed, Welcome};
use crate::types::{NodeId, WorkerId};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that has not said hello by then is closed.
const PATIENCE: Duration = Duration::from_secs(3);

/// What this node expects of a hello.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) members: Arc<Members>,
}

/// Why a connection goes no further.
pub(super) enum Refusal {
    /// It ended, or said nothing.
    Silent,
    /// It is not ours.
    Malformed(Malformed),
    /// It is ours but wrong: told to the peer as well.
    Wrong(String),
}

impl Expected {
    /// What speaks against this hello.
    fn objection(&self, hello: &Hello) -> Option<String> {
        if hello.cluster != self.cluster {
            return Some(format!("this is cluster `{}`, not `{}`", self.cluster, hello.cluster));
        }
        if hello.to != self.node {
            return Some(format!("this is node {}, not node {}", self.node.0, hello.to.0));
        }
        if hello.from == self.node {
            return Some(format!("node {} is this node: two nodes have the same id", hello.from.0));
        }
        if self.members.was_removed(hello.from) {
            return Some(format!("node {} was removed from this cluster", hello.from.0));
        }
        None
    }
}

/// Takes the hello and answers it.
pub(super) async fn shake(stream: &mut TcpStream, expected: &Expected) -> Result<Hello, Refusal> {
    #[allow(clippy::disallowed_methods, reason = "an edge: nobody may keep a connection open by saying nothing")]
    let hello = tokio::time::timeout(PATIENCE, read_hello(stream)).await;
    let hello = hello.map_err(|_| Refusal::Silent)??;
    let objection = expected.objection(&hello);
    let welcome = objection.clone().map_or(Welcome::Accepted, Welcome::Refused);
    // A few bytes into an empty socket: this does not wait.
    stream.write_all(&frame::encode_welcome(&welcome)).await.map_err(|_| Refusal::Silent)?;
    match objection {
        None => Ok(hello),
        Some(objection) => Err(Refusal::Wrong(objection)),
    }
}

async fn read_hello(stream: &mut TcpStream) -> Result<Hello, Refusal> {
    let mut header = [0; HELLO_HEADER];
    stream.read_exact(&mut header).await.map_err(|_| Refusal::Silent)?;
    let length = frame::hello_length(&header).map_err(Refusal::Malformed)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| Refusal::Silent)?;
    frame::decode_hello(&header, &body).map_err(Refusal::Malformed)
}

/// The worker that takes a connection: partitions are dealt out alike on every node, so the worker of the same number
/// is the one for which most of its messages are.
pub(super) fn receiver(worker: WorkerId, workers: u16) -> usize {
    usize::from(worker.0 % workers.max(1))
}
