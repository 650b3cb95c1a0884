//! What takes long of a definition is done before it is ordered ([`sql::Groundwork`](crate::sql::Groundwork)).
//!
//! The session tells all nodes what is to come, and asks again until their replicas have looked at all rows that are
//! concerned. Nothing is replicated, and saying it twice does no harm: who was restarted meanwhile begins anew when it is asked
//! next, and when nobody asks any more, since the client or this gateway is gone, replicas forget it. Nodes that do not
//! answer are waited for no longer than one attempt takes. Then the definition is ordered, whatever the nodes have come to: what is not finished takes
//! its time then.
//!
//! While it is being prepared nothing has happened: a client that cancels it, or runs out of patience, is told so.

use super::definition::DefineJob;
use super::observe::Orders;
use super::{Connection, Job};
use crate::cluster::facts::Wanted;
use crate::partition::message::Prepare;
use crate::session::shared::Turn;
use crate::session::survey::Survey;
use crate::sometimes;
use crate::types::{Duration, Instant, NodeId, PartitionId, SqlError, SqlState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nodes are asked again after this long at the latest.
const ASK_AT_MOST: Duration = Duration::from_millis(500);
/// And not before this.
const ASK_AT_LEAST: Duration = Duration::from_millis(10);

/// However near it comes, it is given up after so many times the patience.
const AT_MOST: u32 = 60;

/// A definition that is being prepared.
pub(super) struct Preparing {
    began: Instant,
    /// The question under way; none: the next one is asked when its time comes.
    survey: Option<Survey>,
    again: Instant,
    /// Rows that were still to be looked at, by replica, and when one of them last came nearer.
    left: BTreeMap<(NodeId, PartitionId), u64>,
    since: Instant,
}

impl Preparing {
    pub(super) const fn new(now: Instant) -> Self {
        Self { began: now, survey: None, again: now, left: BTreeMap::new(), since: now }
    }

    /// The answers are there. Is it enough?
    fn look_at(&mut self, now: Instant, survey: &Survey, patience: Duration) -> bool {
        let mut left: u64 = 0;
        for (node, workers) in survey.nodes() {
            for replica in workers.iter().flat_map(|worker| &worker.replicas) {
                let before = self.left.insert((node, replica.partition), replica.to_prepare);
                if before.is_none_or(|before| replica.to_prepare < before) {
                    self.since = now;
                }
                left = left.saturating_add(replica.to_prepare);
            }
        }
        let pause = now.since(self.began) / 10;
        self.again = now + pause.clamp(ASK_AT_LEAST, ASK_AT_MOST);
        sometimes!("session.preparation_takes_long", left > 0);
        // One that begins again and again, since too much is written, comes nearer each time.
        let enough = now.since(self.since) >= patience || now.since(self.began) >= patience * AT_MOST;
        sometimes!("session.preparation_given_up", left > 0 && enough);
        left == 0 || enough
    }
}

impl DefineJob {
    pub(super) const fn is_preparing(&self) -> bool {
        self.preparing.is_some()
    }

    /// The question under way.
    pub(super) fn survey(&mut self) -> Option<&mut Survey> {
        self.preparing.as_mut()?.survey.as_mut()
    }
}

impl Connection {
    /// When a definition that is being prepared wants to be looked at.
    pub(super) fn preparation_timeout(&self, job: &DefineJob) -> Option<Instant> {
        let preparing = job.preparing.as_ref()?;
        let next = preparing.survey.as_ref().map_or(preparing.again, Survey::next_timeout);
        Some(if self.settings.statement_timeout().is_some() { next.min(self.deadline) } else { next })
    }

    /// Has the session said how long its statement may take, and is that over?
    pub(super) fn is_out_of_time(&self, now: Instant) -> bool {
        self.settings.statement_timeout().is_some() && self.deadline <= now
    }

    /// An answer or time has come.
    pub(super) fn prepare_on(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>) {
        if job.is_preparing() && self.is_out_of_time(turn.now) {
            let error = SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout");
            return self.fail(turn, error.detail("Its rows were still being looked at: nothing was changed."));
        }
        let Some(preparing) = &mut job.preparing else { return self.order_definition(turn, job) };
        if let Some(survey) = preparing.survey.take()
            && preparing.look_at(turn.now, &survey, turn.shared.config.preparation_patience)
        {
            job.preparing = None;
            if self.settings.statement_timeout().is_none() {
                // That took as long as it took; now it is a definition like others.
                self.deadline = turn.now + turn.shared.config.statement_timeout;
            }
            return self.order_definition(turn, job);
        }
        if turn.shared.stopping.is_some() {
            // Not 57P01, which says that nothing behind the last ReadyForQuery was executed: what stands before the definition in
            // its text has been committed. The connection ends behind the text.
            let error =
                SqlError::new(SqlState::QUERY_CANCELED, "canceling statement because the node is being stopped");
            return self.fail(turn, error.detail("Its rows were still being looked at: nothing was changed."));
        }
        if preparing.again <= turn.now {
            let prepare = Prepare {
                text: Arc::clone(&job.statement.text),
                settings: Arc::clone(self.settings.travelling()),
                partitions: turn.shared.config.partitions,
            };
            let orders = Orders { recover: Vec::new(), prepare: Some(Arc::new(prepare)) };
            let survey = self.ask_nodes(turn, Wanted::default(), turn.shared.nodes.clone(), orders);
            if let Some(preparing) = &mut job.preparing {
                preparing.survey = Some(survey);
            }
        }
        self.job = Some(Job::Define(job));
    }
}
