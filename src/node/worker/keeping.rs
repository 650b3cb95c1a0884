//! What a worker does with what its replicas keep: checkpoint files, the log's floor, snapshots for other nodes.

use super::Worker;
use super::throttle::Throttle;
use crate::env::{Endpoint, Env, Port};
use crate::node::wire::Body;
use crate::partition::snapshot::MAX_CHUNK_BYTES;
use crate::partition::transfer::SnapshotMessage;
use crate::partition::{Keep, KeepingConfig, Replica, Wanted};
use crate::sometimes;
use crate::types::{Instant, NodeId, PartitionId};

impl Worker {
    pub(super) fn keeping_config(&self) -> KeepingConfig {
        KeepingConfig {
            checkpoint_every: self.config.checkpoint_every,
            log_keep_entries: self.config.log_keep_entries,
            chunk_bytes: self.config.snapshot_chunk_bytes.clamp(1, MAX_CHUNK_BYTES - 1),
            patience: self.config.election_timeout * 2,
        }
    }

    /// Carries out what a replica wants kept, outside its turn.
    pub(super) fn keep(&mut self, env: &mut dyn Env, partition: PartitionId) {
        let Some(replica) = self.replicas.get_mut(&partition) else { return };
        let keep = replica.take_keep();
        self.carry_out_keeping(env, partition, keep);
    }

    /// Carries out what a replica wants kept. Returns whether there was nothing.
    pub(super) fn carry_out_keeping(&mut self, env: &mut dyn Env, partition: PartitionId, keep: Keep) -> bool {
        let quiet = keep.files.is_empty() && keep.release.is_none();
        if let Some(durable) = &mut self.durable {
            for order in keep.files {
                durable.order(partition, order);
            }
            if let Some(floor) = keep.release {
                durable.release(partition, floor);
            }
        }
        for (node, message) in keep.snapshots {
            let to = Endpoint { node, port: Port::Partition(partition) };
            // A chunk or a request for one may be lost on any way: the receiver asks again.
            if !env.buggify("node.snapshot_message_lost") {
                self.send(env, to, Body::Snapshot { partition, message });
            }
        }
        if self.saving == Some(partition) && !self.replicas.get(&partition).is_some_and(Replica::is_saving) {
            self.saving = None;
        }
        quiet
    }

    /// A message about snapshots: what is sent of states keeps to the rate that the cluster's settings say.
    pub(super) fn snapshot_message(
        &mut self,
        now: Instant,
        from: NodeId,
        partition: PartitionId,
        message: SnapshotMessage,
    ) {
        let rate = if self.config.throttle { u64::from(self.directory().recovery_rate) * 1024 } else { 0 };
        let share = (rate / u64::from(self.config.workers.max(1))).max(u64::from(rate > 0));
        let Some(replica) = self.replicas.get_mut(&partition) else { return };
        let share = if replica.is_pressed() { 0 } else { share };
        let bytes = Throttle::chunk_bytes(share, self.config.snapshot_chunk_bytes);
        match message {
            SnapshotMessage::Fetch { at_least, resume } => {
                let wait = self.throttle.wait(now, share);
                sometimes!("node.snapshot_throttled", wait.is_some());
                let sent = replica.snapshot_wanted(now, from, Wanted { at_least, resume, wait }, bytes);
                self.throttle.sent(now, sent);
            }
            other => replica.snapshot_message(now, from, other),
        }
    }

    /// Makes a checkpoint of the partition that holds the oldest part of a log that has grown too long. The log may grow as
    /// long as the states themselves: so what is written for checkpoints stays in proportion to what is written for work,
    /// and what a restart has to read is at most twice the state.
    pub(super) fn shorten_log(&mut self, env: &mut dyn Env) {
        let (None, Some(durable)) = (self.saving, &self.durable) else { return };
        let Some(partition) = durable.pinned_beyond(self.config.wal_bytes_before_checkpoint) else { return };
        let states = self.replicas.values().map(Replica::saved_bytes).sum();
        if durable.pinned_beyond(states).is_none() {
            return;
        }
        let Some(replica) = self.replicas.get_mut(&partition).filter(|replica| replica.has_news() > 0) else { return };
        sometimes!("node.checkpoint_for_a_long_log");
        replica.begin_checkpoint();
        self.saving = Some(partition);
        self.keep(env, partition);
    }
}
