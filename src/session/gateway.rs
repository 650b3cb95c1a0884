//! All sessions of one worker.

use crate::catalog::Catalog;
use crate::env::ClientEvent;
use crate::partition::message::{Reply, Request};
use crate::types::{ConnectionId, Duration, Incarnation, Instant, NodeId, PartitionId, Rng, Timestamp, WorkerId};
use bytes::Bytes;
use std::sync::Arc;

/// What a gateway is told when it is built: the part of the worker's configuration that concerns sessions.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// This node.
    pub node: NodeId,
    /// This worker of it.
    pub worker: WorkerId,
    /// All nodes of the cluster, this one among them.
    pub nodes: Vec<NodeId>,
    /// Data partitions: they are numbered 1..=partitions.
    pub partitions: u32,
    /// One attempt is given this long before the next node is tried.
    pub attempt_timeout: Duration,
    /// A statement ends after this long, unless the session has set `statement_timeout`.
    pub statement_timeout: Duration,
    /// Most client connections (53300 beyond).
    pub max_connections: usize,
}

/// What the gateway wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayOutput {
    /// Bytes for a client.
    Client(ConnectionId, Bytes),
    /// Close the connection after what has been sent. The gateway has forgotten it.
    Close(ConnectionId),
    /// A request to the replica of `partition` on `node`; the reply comes back to this worker.
    Request {
        /// The node to ask; may be the own one.
        node: NodeId,
        /// Which of its replicas.
        partition: PartitionId,
        /// What.
        request: Request,
    },
}

/// What the gateway has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayStats {
    /// Connections opened.
    pub opened: u64,
    /// Connections closed for bytes that are not the protocol (08P01).
    pub protocol_violations: u64,
    /// Connections refused because there are too many (53300).
    pub refused: u64,
    /// Statements that ended with 40003.
    pub unknown_outcomes: u64,
    /// Attempts sent to partitions.
    pub attempts: u64,
    /// Replies to requests that had ended or to nobody's.
    pub late_replies: u64,
}

/// All sessions of one worker, as one machine.
pub struct Gateway {
    config: GatewayConfig,
    rng: Rng,
    stats: GatewayStats,
}

impl Gateway {
    /// A gateway at the beginning of a life. `rng` draws retry jitter and cancel keys.
    #[must_use]
    pub fn new(config: GatewayConfig, rng: Rng) -> Self {
        Self { config, rng, stats: GatewayStats::default() }
    }

    /// The worker's incarnation is durable: the gateway registers itself at the cluster partition.
    pub fn start(&mut self, now: Instant, wall: Timestamp, incarnation: Incarnation) {
        let _ = (now, wall, incarnation, &self.config, &self.rng);
    }

    /// Something happened on a client connection.
    pub fn client_event(&mut self, now: Instant, wall: Timestamp, connection: ConnectionId, event: ClientEvent) {
        let _ = (now, wall, connection, event);
    }

    /// A partition's replica on node `from` has answered.
    pub fn reply(&mut self, now: Instant, wall: Timestamp, from: NodeId, reply: Reply) {
        let _ = (now, wall, from, reply);
    }

    /// The local replica of the cluster partition has executed up to this catalog.
    pub fn catalog(&mut self, catalog: Arc<Catalog>) {
        let _ = catalog;
    }

    /// When [`Gateway::handle_timeout`] wants to be called. Ask again after every other call.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Time has reached [`Gateway::next_timeout`]. Early or late is harmless.
    pub fn handle_timeout(&mut self, now: Instant, wall: Timestamp) {
        let _ = (now, wall);
    }

    /// Takes what is to be done since the last call, in order. Call after every other call.
    #[must_use]
    pub fn drain(&mut self) -> Vec<GatewayOutput> {
        Vec::new()
    }

    /// A clean stop: sessions that wait for nothing are told 57P01 and closed, the others after their statement.
    pub fn shutdown(&mut self, now: Instant) {
        let _ = now;
    }

    /// Has the last session ended? With [`Gateway::shutdown`] called, the worker may stop then.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        true
    }

    /// What has been counted.
    #[must_use]
    pub const fn stats(&self) -> GatewayStats {
        self.stats
    }
}
