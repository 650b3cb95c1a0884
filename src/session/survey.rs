//! A survey: one question to every node, and the answers that have come in time.

use crate::cluster::facts::{Ask, Facts, Recover, Wanted, WorkerFacts};
use crate::partition::message::Prepare;
use crate::sometimes;
use crate::types::{Duration, Incarnation, Instant, NodeId, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The question, and what has been answered.
pub(super) struct Survey {
    ask: Ask,
    nodes: Vec<NodeId>,
    answers: BTreeMap<(NodeId, WorkerId), WorkerFacts>,
    /// Messages get lost: half-way those who have not answered are asked again.
    again: Option<Instant>,
    until: Instant,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) node: NodeId,
    pub(super) worker: WorkerId,
    pub(super) incarnation: Incarnation,
    pub(super) session: u64,
}

impl Survey {
    /// A question that waits for `patience`; [`Survey::asks`] has what is to be sent.
    pub(super) fn new(
        asker: Asker,
        number: u64,
        wanted: Wanted,
        nodes: Vec<NodeId>,
        now: Instant,
        patience: Duration,
    ) -> Self {
        let Asker { node, worker, incarnation, session } = asker;
        let ask = Ask {
            node,
            worker,
            incarnation,
            session,
            number,
            wanted,
            relayed: false,
            recover: Vec::new(),
            prepare: None,
        };
        Self { ask, nodes, answers: BTreeMap::new(), again: Some(now + patience / 2), until: now + patience }
    }

    /// The same, with what replicas are to fetch.
    pub(super) fn recovering(mut self, recover: Vec<Recover>) -> Self {
        self.ask.recover = recover;
        self
    }

    /// The same, with what replicas are to begin with.
    pub(super) fn preparing(mut self, prepare: Option<Arc<Prepare>>) -> Self {
        self.ask.prepare = prepare;
        self
    }

    /// The question, with the nodes that have not answered.
    pub(super) fn asks(&self) -> impl Iterator<Item = (NodeId, Ask)> + '_ {
        self.nodes.iter().filter(|node| !self.has_answered(**node)).map(|node| (*node, self.ask.clone()))
    }

    /// Takes an answer, if it is to this question.
    pub(super) fn take(&mut self, facts: Facts) {
        if facts.number == self.ask.number && self.nodes.contains(&facts.worker.node) {
            self.answers.insert((facts.worker.node, facts.worker.worker), facts.worker);
        }
    }

    /// Have all workers of all nodes answered?
    pub(super) fn is_complete(&self) -> bool {
        self.nodes.iter().all(|node| self.has_answered(*node))
    }

    fn has_answered(&self, node: NodeId) -> bool {
        let mut workers = self.of(node).peekable();
        let expected = workers.peek().map_or(1, |first| usize::from(first.workers.max(1)));
        workers.count() >= expected
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = &WorkerFacts> {
        self.answers.range((node, WorkerId(0))..=(node, WorkerId(u16::MAX))).map(|(_, facts)| facts)
    }

    /// When [`Survey::is_over`] or [`Survey::asks_again`] changes.
    pub(super) fn next_timeout(&self) -> Instant {
        self.again.unwrap_or(self.until)
    }

    /// Is it time to ask again? Says so once.
    pub(super) fn asks_again(&mut self, now: Instant) -> bool {
        let due = self.again.is_some_and(|again| again <= now);
        if due {
            sometimes!("session.survey_repeated");
            self.again = None;
        }
        due
    }

    /// Is nothing more waited for?
    pub(super) fn is_over(&self, now: Instant) -> bool {
        sometimes!("session.survey_incomplete", self.until <= now && !self.is_complete());
        self.until <= now || self.is_complete()
    }

    /// All nodes of the cluster with the answers of their workers; none: the node is not reachable.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, Vec<&WorkerFacts>)> {
        self.nodes.iter().map(|node| (*node, self.of(*node).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn survey() -> Survey {
        let asker = Asker { node: NodeId(1), worker: WorkerId(0), incarnation: Incarnation(1), session: 4 };
        let nodes = vec![NodeId(1), NodeId(2)];
        Survey::new(asker, 7, Wanted::default(), nodes, Instant(0), Duration::from_nanos(100))
    }

    fn facts(number: u64, node: u32, worker: u16, workers: u16) -> Facts {
        let worker = WorkerFacts {
            node: NodeId(node),
            worker: WorkerId(worker),
            workers,
            incarnation: Incarnation(1),
            started_at: Timestamp(0),
            clock: Timestamp(0),
            about: Default::default(),
            session_count: 0,
            replicas: Vec::new(),
            sessions: Vec::new(),
            directory: None,
            moves: Vec::new(),
            events: Vec::new(),
        };
        Facts { incarnation: Incarnation(1), session: 4, number, worker }
    }

    #[test]
    fn it_is_complete_when_every_worker_of_every_node_has_answered() {
        let mut survey = survey();
        survey.take(facts(7, 1, 0, 1));
        survey.take(facts(7, 2, 1, 2));
        assert!(!survey.is_complete(), "worker 0 of node 2 is missing");
        survey.take(facts(6, 2, 0, 2));
        survey.take(facts(7, 9, 0, 1));
        assert!(!survey.is_complete(), "answers to other questions and of strangers do not count");
        survey.take(facts(7, 2, 0, 2));
        survey.take(facts(7, 2, 0, 2));
        assert!(survey.is_complete() && survey.is_over(Instant(1)));
    }

    #[test]
    fn who_is_silent_is_asked_again_and_then_given_up() {
        let mut survey = survey();
        survey.take(facts(7, 1, 0, 1));
        assert!(!survey.asks_again(Instant(49)) && survey.asks_again(Instant(50)) && !survey.asks_again(Instant(51)));
        assert_eq!(survey.asks().map(|(node, _)| node).collect::<Vec<_>>(), [NodeId(2)]);
        assert!(!survey.is_over(Instant(99)) && survey.is_over(Instant(100)));
        assert!(survey.nodes().last().unwrap().1.is_empty());
    }
}
