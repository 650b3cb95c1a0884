//! The machine: loading at the beginning of a life, then writing.

use super::{CheckpointEvent, Config, Header};
use crate::env::{DiskOp, DiskResult};
use crate::types::PartitionId;
use bytes::Bytes;
use std::collections::VecDeque;

/// The checkpoints of one worker's partitions.
///
/// Usage as of [`crate::wal::Wal`]: [`Checkpoints::start`] once, when the log has recovered; after every call, submit
/// [`Checkpoints::take_ops`] in order and take [`Checkpoints::poll`] until `None`; hand each completion to
/// [`Checkpoints::completed`] in the order of submission. Writing is allowed once [`CheckpointEvent::Loaded`] is out.
pub struct Checkpoints {
    _config: Config,
    ops: Vec<DiskOp>,
    events: VecDeque<CheckpointEvent>,
}

impl Checkpoints {
    /// At the beginning of a life.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { _config: config, ops: Vec::new(), events: VecDeque::new() }
    }

    /// Begins loading.
    pub fn start(&mut self) {
        self.events.push_back(CheckpointEvent::Loaded);
    }

    /// Operations to be submitted, in this order. Call after every other call.
    #[must_use]
    pub fn take_ops(&mut self) -> Vec<DiskOp> {
        std::mem::take(&mut self.ops)
    }

    /// What there is to tell. Call after every other call until it returns `None`.
    #[must_use]
    pub fn poll(&mut self) -> Option<CheckpointEvent> {
        self.events.pop_front()
    }

    /// The oldest operation that has not been reported yet has ended so.
    pub fn completed(&mut self, _result: DiskResult) {}

    /// Begins a checkpoint; one of this partition that has not been finished is abandoned. [`CheckpointEvent::Wants`] follows.
    pub fn begin(&mut self, _partition: PartitionId, _header: Header) {}

    /// The next chunk, once after each [`CheckpointEvent::Wants`].
    pub fn append(&mut self, _partition: PartitionId, _chunk: Bytes) {}

    /// There are no more chunks: after a [`CheckpointEvent::Wants`]. [`CheckpointEvent::Published`] follows.
    pub fn finish(&mut self, _partition: PartitionId) {}

    /// What has been written since [`Checkpoints::begin`] is not wanted any more. Nothing if there is nothing.
    pub fn abandon(&mut self, _partition: PartitionId) {}

    /// Is a checkpoint of this partition being written?
    #[must_use]
    pub fn is_writing(&self, _partition: PartitionId) -> bool {
        false
    }

    /// Nothing is being loaded or written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        true
    }
}
