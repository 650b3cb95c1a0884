//! `recovery-paced`: what a node sends of states to replicas that lack theirs keeps to the rate that the cluster's settings say.
//!
//! What a throttle promises to the work beside which replicas recover and move: a worker sends no chunk before the time has passed that the
//! one before it takes at its share of the rate, however many ask. Looked at is every chunk that leaves, where somebody sets a rate.

use crate::plan::Plan;
use orrery::node::wire::{Body, Frame, FrameV1};
use orrery::partition::transfer::SnapshotMessage;
use orrery::types::WorkerId;
use std::collections::BTreeMap;

/// Clocks may run so much faster, in thousandths.
const CLOCK: u64 = 20;

/// What was sent last.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Nobody sets a rate here.
    idle: bool,
    workers: u64,
    /// By node and worker: when its last chunk left, and how long that was.
    last: BTreeMap<(usize, WorkerId), (u64, u64)>,
}

impl Pace {
    /// Nothing has been sent.
    pub(crate) fn new(plan: &Plan) -> Self {
        let idle = plan.workloads.iter().all(|workload| workload.kind != "recoveries");
        Self { idle, workers: u64::from(plan.cluster.workers), last: BTreeMap::new() }
    }

    /// A node begins a life: it remembers nothing.
    pub(crate) fn begins(&mut self, at: usize) {
        self.last.retain(|(node, _), _| *node != at);
    }

    /// A node, whose workers know of these rates, sends something. Says what is wrong about it, if anything is.
    pub(crate) fn sent(
        &mut self,
        from: usize,
        now: u64,
        payload: &[u8],
        rates: impl Iterator<Item = u32>,
    ) -> Result<(), String> {
        if self.idle {
            return Ok(());
        }
        let Some(Frame::V1(FrameV1 { node, worker, body: Body::Snapshot { partition, message }, .. })) =
            Frame::decode(payload)
        else {
            return Ok(());
        };
        let SnapshotMessage::Chunk { bytes, .. } = message else { return Ok(()) };
        let rate = rates.into_iter().nth(usize::from(worker.0)).unwrap_or_default();
        let before = self.last.insert((from, worker), (now, bytes.len() as u64));
        let Some((at, length)) = before.filter(|_| rate > 0) else { return Ok(()) };
        let share = (u64::from(rate) * 1024 / self.workers).max(1);
        // A wait is five seconds at most; then somebody asks again.
        let least = length * 1_000_000_000 / share / 1000 * (1000 - CLOCK);
        if now - at >= least {
            return Ok(());
        }
        let (lasted, least) = ((now - at) / 1_000_000, least / 1_000_000);
        Err(format!(
            "{node} {worker} sends a chunk of {partition} {lasted} ms after one of {length} bytes, and {least} ms are due at {rate} KiB/s"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery::checkpoint::Header;
    use orrery::consensus::Floor;
    use orrery::partition::snapshot::Position;
    use orrery::types::{Era, Incarnation, LogIndex, NodeId, PartitionId};

    #[test]
    fn a_chunk_that_is_sent_too_early_is_found() {
        let header = Header { floor: Floor { index: LogIndex(1), era: Era(1) }, digest: 1 };
        let chunk = |worker| {
            let bytes = vec![0; 1024].into();
            let message = SnapshotMessage::Chunk { header, from: Position::default(), next: None, bytes, rows: 1 };
            let body = Body::Snapshot { partition: PartitionId(1), message };
            let (node, worker) = (NodeId(1), WorkerId(worker));
            Frame::V1(FrameV1 { node, worker, incarnation: Incarnation(1), body }).encode()
        };
        let mut pace = Pace { idle: false, workers: 2, last: BTreeMap::new() };
        let mut sent = |ms: u64, worker, rate| pace.sent(0, ms * 1_000_000, &chunk(worker), [rate; 2].into_iter());
        assert!(sent(0, 0, 1).is_ok());
        assert!(sent(10, 1, 1).is_ok(), "another worker, with a share of its own");
        assert!(sent(2000, 0, 1).is_ok());
        assert!(sent(3900, 0, 1).is_err(), "half a KiB a second each");
        assert!(sent(3901, 0, 0).is_ok(), "as fast as they come");
        assert!(sent(3902, 0, 1).is_err());
    }
}
