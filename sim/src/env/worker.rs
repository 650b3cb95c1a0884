//! The five traits for one worker during one event. Calls are collected as values; the world carries them out afterwards.

use super::buggify::Points;
use super::dice::Stream;
use bytes::Bytes;
use orrery::env::{Buggify, Clock, Disk, DiskOp, Endpoint, Entropy, Network, OpId};
use orrery::types::{ConnectionId, Instant, Timestamp};
use std::collections::BTreeMap;

/// What a worker wants done.
#[derive(Debug)]
pub enum Wish {
    /// Send a message.
    Send(Endpoint, Bytes),
    /// Send bytes to a client.
    ClientSend(ConnectionId, Bytes),
    /// Close a client's connection.
    ClientClose(ConnectionId),
    /// Carry out a disk operation.
    Disk(OpId, DiskOp),
    /// Wake at a reading of the node's clock.
    WakeAt(Instant),
}

/// What outlasts an event and ends with the worker's life.
#[derive(Debug)]
pub struct Life {
    /// Stream of this worker's seeds.
    pub entropy: Stream,
    /// Buggify points.
    pub points: Points,
    /// How often a seed was asked for under a label.
    pub labels: BTreeMap<&'static str, u64>,
    /// Disk operations submitted.
    pub operations: u64,
}

/// The environment of one worker during one event.
pub struct WorkerEnv<'a> {
    /// The node's monotonic clock.
    pub now: Instant,
    /// The node's wall clock.
    pub wall: Timestamp,
    /// What the worker wants done.
    pub wishes: &'a mut Vec<Wish>,
    /// This life.
    pub life: &'a mut Life,
    /// Names of buggify points passed, with the number of wishes before each; recorded when somebody waits for one.
    pub passed: Option<&'a mut Vec<(&'static str, usize)>>,
}

impl Network for WorkerEnv<'_> {
    fn send(&mut self, to: Endpoint, payload: Bytes) {
        self.wishes.push(Wish::Send(to, payload));
    }

    fn client_send(&mut self, connection: ConnectionId, bytes: Bytes) {
        self.wishes.push(Wish::ClientSend(connection, bytes));
    }

    fn client_close(&mut self, connection: ConnectionId) {
        self.wishes.push(Wish::ClientClose(connection));
    }
}

impl Clock for WorkerEnv<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn wall(&self) -> Timestamp {
        self.wall
    }

    fn wake_at(&mut self, instant: Instant) {
        self.wishes.push(Wish::WakeAt(instant));
    }
}

impl Disk for WorkerEnv<'_> {
    fn submit(&mut self, op: DiskOp) -> OpId {
        self.life.operations += 1;
        let id = OpId(self.life.operations);
        self.wishes.push(Wish::Disk(id, op));
        id
    }
}

impl Entropy for WorkerEnv<'_> {
    fn seed(&mut self, label: &'static str) -> [u8; 32] {
        let count = self.life.labels.entry(label).or_insert(0);
        *count += 1;
        let mut dice = Stream::new(self.life.entropy.0, label).dice(*count);
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&dice.draw().to_le_bytes());
        }
        seed
    }
}

impl Buggify for WorkerEnv<'_> {
    fn buggify(&mut self, point: &'static str) -> bool {
        if let Some(passed) = &mut self.passed {
            passed.push((point, self.wishes.len()));
        }
        self.life.points.fire(point)
    }
}
