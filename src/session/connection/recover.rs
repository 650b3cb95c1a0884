//! `RECOVER NODE n`: has a node's replicas fetch what they lack, now.
//!
//! Replicas recover by themselves: from the leader's log, or by a snapshot where that begins too late for them. Whoever does not
//! want to wait says this. The session asks all nodes where their replicas stand, and then the node to pull a snapshot of each
//! partition in which its replica is far behind, or has lost its state. A replica that has executed as much by itself in the
//! meantime drops it. Nothing is replicated, and saying it twice does no harm.

use super::observe::Orders;
use super::utility::Answer;
use super::{Connection, Job, Origin};
use crate::cluster::facts::{Recover, ReplicaFacts, Wanted};
use crate::consensus::{Role, Standing};
use crate::session::shared::Turn;
use crate::session::survey::Survey;
use crate::session::system::{answering, is_behind, recovery_of};
use crate::session::writer::Severity;
use crate::sometimes;
use crate::types::{NodeId, PartitionId, SqlError, SqlState};

/// `RECOVER NODE` under way.
pub(super) struct RecoverJob {
    node: NodeId,
    origin: Origin,
    pub(super) survey: Survey,
    /// What the node has been asked to fetch; none: what it lacks is being found out.
    asked: Vec<Recover>,
    notices: Vec<String>,
}

impl Connection {
    /// Begins it.
    pub(super) fn recover(&mut self, turn: &mut Turn<'_>, node: NodeId, origin: Origin) {
        if !turn.shared.nodes.contains(&node) {
            let known: Vec<_> = turn.shared.nodes.iter().map(|node| node.0.to_string()).collect();
            let message = format!("node {} is no node of this cluster", node.0);
            let error = SqlError::new(SqlState::UNDEFINED_OBJECT, message);
            return self.fail(turn, error.hint(format!("Its nodes are {}: see system.nodes.", known.join(", "))));
        }
        let survey = self.ask_nodes(turn, Wanted::default(), turn.shared.nodes.clone(), Orders::default());
        let job = RecoverJob { node, origin, survey, asked: Vec::new(), notices: Vec::new() };
        self.job = Some(Job::Recover(Box::new(job)));
        self.look_at_survey(turn);
    }

    /// All nodes have answered, or time is over.
    pub(super) fn recover_on(&mut self, turn: &mut Turn<'_>, mut job: Box<RecoverJob>) {
        let answered = job.survey.nodes().any(|(node, workers)| node == job.node && !workers.is_empty());
        if !answered {
            let error = SqlError::new(SqlState::CANNOT_CONNECT_NOW, format!("node {} does not answer", job.node.0))
                .hint("Start it: what it lacks it fetches by itself.");
            return self.fail(turn, error);
        }
        if !job.asked.is_empty() {
            return self.recovered(turn, *job);
        }
        job.look();
        if job.asked.is_empty() {
            return self.recovered(turn, *job);
        }
        sometimes!("session.recovery_asked_for");
        let orders = Orders { recover: job.asked.clone(), prepare: None };
        job.survey = self.ask_nodes(turn, Wanted::default(), vec![job.node], orders);
        self.job = Some(Job::Recover(job));
        self.look_at_survey(turn);
    }

    fn recovered(&mut self, turn: &mut Turn<'_>, mut job: RecoverJob) {
        let fetches: Vec<_> =
            job.survey.replicas_of(job.node).filter(|replica| replica.recovery.fetch.is_some()).collect();
        for Recover { partition, from, at_least } in &job.asked {
            let told = match fetches.iter().any(|replica| replica.partition == *partition) {
                true => format!("a snapshot at {} or later is being fetched from node {}", at_least.0, from.0),
                false => "it has caught up by itself".to_owned(),
            };
            job.notices.push(format!("partition {}: {told}", partition.0));
        }
        if job.notices.is_empty() {
            job.notices.push(format!("node {} lacks nothing", job.node.0));
        }
        let mut answer = Answer::tag("RECOVER NODE");
        if self.settings.wants_notices() {
            let notice = |text: &String| (Severity::Notice, SqlError::new(SqlState(*b"00000"), text.clone()));
            answer.notices = job.notices.iter().map(notice).collect();
        }
        self.answered(turn, &answer, job.origin);
    }
}

impl RecoverJob {
    /// What does the node lack, and who has it?
    fn look(&mut self) {
        let answering = answering(&self.survey);
        for (partition, replicas) in &answering {
            let Some((_, own)) = replicas.iter().find(|(node, _)| *node == self.node) else { continue };
            if let Some((state, _)) = recovery_of(own, replicas)
                && (own.recovery.fetch.is_some()
                    || (own.recovery.standing != Standing::Member && !is_behind(own, replicas)))
            {
                self.notices.push(format!("partition {}: {state}", partition.0));
                continue;
            }
            if own.role == Role::Leader || !is_behind(own, replicas) {
                continue;
            }
            // The leader has been there; without one whoever has come furthest.
            let others = replicas.iter().filter(|(node, _)| *node != self.node);
            let best = others.max_by_key(|(_, replica)| (replica.role == Role::Leader, replica.executed));
            let Some((from, source)) = best.filter(|(_, source)| source.executed > own.executed) else {
                self.notices.push(nobody_has_more(*partition));
                continue;
            };
            self.asked.push(Recover { partition: *partition, from: *from, at_least: source.executed });
        }
    }
}

fn nobody_has_more(partition: PartitionId) -> String {
    format!("partition {}: no other replica that answers has come further", partition.0)
}

impl Survey {
    fn replicas_of(&self, node: NodeId) -> impl Iterator<Item = &ReplicaFacts> {
        let workers = self.nodes().filter(move |(of, _)| *of == node).flat_map(|(_, workers)| workers);
        workers.flat_map(|worker| &worker.replicas)
    }
}
