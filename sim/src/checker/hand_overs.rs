//! `leads-rest`: the lead of a group is given to who is to have it now and then, and not again and again.
//!
//! What hysteresis (`cluster::reconciler`) promises whoever writes: each hand-over interrupts a group, and a node that is preferred and
//! has a bad link looks well a moment after it has lost what it was given. Looked at are the steps that say so, where somebody says who
//! is to lead.

use crate::plan::Plan;
use orrery::cluster::reconciler::Step;
use orrery::node::wire::{Body, Frame, FrameV1};
use orrery::types::{NodeId, PartitionId};
use std::collections::BTreeMap;

/// A group rests for so many election time-outs at least: half of what is promised, since whoever says the steps may change.
const REST: u64 = 20;
/// A frame with such a step is no longer: others need not be read.
const MOST_BYTES: usize = 40;

/// Who was given what, when.
#[derive(Debug)]
pub(crate) struct HandOvers {
    /// Nobody says here who is to lead.
    idle: bool,
    rest_ns: u64,
    last: BTreeMap<PartitionId, (u64, NodeId)>,
}

impl HandOvers {
    /// Nobody has been given anything.
    pub(crate) fn new(plan: &Plan) -> Self {
        let idle = plan.workloads.iter().all(|workload| workload.kind != "priorities");
        Self { idle, rest_ns: plan.knobs.election_timeout_ns * REST, last: BTreeMap::new() }
    }

    /// A node sends something. Says what is wrong about it, if anything is.
    pub(crate) fn sent(&mut self, now: u64, payload: &[u8]) -> Result<(), String> {
        if self.idle || payload.len() > MOST_BYTES {
            return Ok(());
        }
        let Some(Frame::V1(FrameV1 { body: Body::Step { partition, step: Step::HandOver { to, .. } }, .. })) =
            Frame::decode(payload)
        else {
            return Ok(());
        };
        let Some((before, whom)) = self.last.insert(partition, (now, to)) else { return Ok(()) };
        let rested = now - before;
        if rested >= self.rest_ns {
            return Ok(());
        }
        let (rested, rest) = (rested / 1_000_000, self.rest_ns / 1_000_000);
        Err(format!("{partition} was handed to {whom} and {rested} ms later to {to}, in less than {rest} ms"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery::types::{Incarnation, WorkerId};

    #[test]
    fn a_group_that_is_handed_on_at_once_is_found() {
        let step = |to: u32, partition: u32| {
            let step = Step::HandOver { expected: 300, to: NodeId(to) };
            let body = Body::Step { partition: PartitionId(partition), step };
            let (node, worker) = (NodeId(1 << 20), WorkerId(63));
            let frame = Frame::V1(FrameV1 { node, worker, incarnation: Incarnation(1 << 20), body }).encode();
            assert!(frame.len() <= MOST_BYTES, "{} bytes", frame.len());
            frame
        };
        let mut judge = HandOvers { idle: false, rest_ns: 1000, last: BTreeMap::new() };
        assert!(judge.sent(0, &step(1, 1)).is_ok());
        assert!(judge.sent(10, &step(2, 2)).is_ok(), "another group");
        assert!(judge.sent(1000, &step(2, 1)).is_ok());
        assert!(judge.sent(1999, &step(1, 1)).is_err());
    }
}
