//! `left-alone`: who has not been heard of for long is not asked by everybody all the time.
//!
//! What a breaker (`cluster::breaker`) promises to the network and to whoever comes back: while nothing at all comes from a peer,
//! the sessions of one worker together send it a request now and then, not one each as often as they lose patience. Looked at
//! are requests of sessions only: consensus has to go on trying.

use orrery::node::wire::{Body, Frame, FrameV1};
use orrery::partition::message::RequestBody;
use orrery::types::WorkerId;
use std::collections::{BTreeMap, VecDeque};

/// Nothing has come for so long: it is silent.
const SILENT_NS: u64 = 3_000_000_000;
/// Attempts that lose patience, one after the other, before a breaker must have opened; and one more.
const ATTEMPTS: u64 = 4;
/// Requests of a worker are counted over this time.
const SPAN_NS: u64 = 1_000_000_000;
/// So many are not too many: a breaker that has just opened lets one through every 50 ms, then ever more rarely.
const MOST: usize = 10;

/// What has come from whom, and what was asked since.
#[derive(Debug)]
pub(crate) struct Silences {
    /// How long a request is waited for before it is sent again.
    attempt_ns: u64,
    /// When a node last received anything from a peer, or began its life.
    heard: BTreeMap<(usize, usize), u64>,
    /// Requests of a node's worker to a peer that is silent: when the first was sent, and the latest ones.
    asked: BTreeMap<(usize, WorkerId, usize), (u64, VecDeque<u64>)>,
}

impl Silences {
    /// Nobody has spoken yet.
    pub(crate) const fn new(attempt_ns: u64) -> Self {
        Self { attempt_ns, heard: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// A node begins a life: it remembers nothing.
    pub(crate) fn begins(&mut self, at: usize, now: u64) {
        self.heard.iter_mut().filter(|((by, _), _)| *by == at).for_each(|(_, heard)| *heard = now);
        self.asked.retain(|(by, ..), _| *by != at);
    }

    /// Something has come from a peer.
    pub(crate) fn heard(&mut self, at: usize, from: usize, now: u64) {
        self.heard.insert((at, from), now);
        if !self.asked.is_empty() {
            self.asked.retain(|(by, _, of), _| (*by, *of) != (at, from));
        }
    }

    /// A node sends something to another. Says what is wrong about it, if anything is.
    pub(crate) fn sent(&mut self, from: usize, to: usize, now: u64, payload: &[u8]) -> Result<(), String> {
        let heard = *self.heard.entry((from, to)).or_insert(now);
        if from == to || now - heard < SILENT_NS {
            return Ok(());
        }
        let Some(Frame::V1(FrameV1 { node, worker, body: Body::Request { request, .. }, .. })) = Frame::decode(payload)
        else {
            return Ok(());
        };
        if matches!(request.body, RequestBody::Abandon { .. } | RequestBody::LetGo { .. }) {
            return Ok(());
        }
        let (first, asked) = self.asked.entry((from, worker, to)).or_insert_with(|| (now, VecDeque::new()));
        asked.push_back(now);
        while asked.front().is_some_and(|at| now - at > SPAN_NS) {
            asked.pop_front();
        }
        if asked.len() <= MOST || now - *first < ATTEMPTS * self.attempt_ns + SPAN_NS {
            return Ok(());
        }
        let (count, silent, peer) = (asked.len(), (now - heard) / 1_000_000, to + 1);
        Err(format!("{node} {worker} asks n{peer} {count} times a second; nothing has come from there for {silent} ms"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery::partition::message::Request;
    use orrery::types::{Incarnation, NodeId, PartitionId, RequestId, Sequence, SessionId};

    const MS: u64 = 1_000_000;

    fn asks(body: RequestBody) -> Vec<u8> {
        let id = RequestId { session: SessionId { gateway: 1, counter: 1 }, sequence: Sequence(1) };
        let request = Request { id, acked_below: Sequence(1), attempt: 1, body };
        let body = Body::Request { partition: PartitionId(1), request };
        Frame::V1(FrameV1 { node: NodeId(1), worker: WorkerId(0), incarnation: Incarnation(1), body }).encode().to_vec()
    }

    /// Sends something every so many ms for ten seconds, and tells when that was too much.
    fn too_many(every_ms: u64, payload: &[u8], heard_ms: u64) -> Option<u64> {
        let mut silences = Silences::new(500 * MS);
        silences.begins(0, 0);
        (0..10_000).find(|ms| {
            if *ms == heard_ms {
                silences.heard(0, 1, ms * MS);
            }
            ms % every_ms == 0 && silences.sent(0, 1, ms * MS, payload).is_err()
        })
    }

    #[test]
    fn many_requests_to_who_is_silent_are_too_many() {
        let request = asks(RequestBody::Collect { number: orrery::types::GlobalNumber(1) });
        assert_eq!(
            too_many(20, &request, 0),
            Some(6000),
            "three seconds of silence, and three in which a breaker opens"
        );
        assert_eq!(too_many(20, &request, 4000), None, "there is nothing wrong with asking who answers");
        assert_eq!(too_many(200, &request, 0), None, "now and then is right");
        let goodbye = asks(RequestBody::Abandon { transaction: 1 });
        assert_eq!(too_many(20, &goodbye, 0), None, "nobody waits for an answer to that");
    }
}
