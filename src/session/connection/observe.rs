//! Statements that read system tables: gathered facts instead of a partition.
//!
//! The session itself answers: it reads the catalog at the cluster partition if definitions are asked for (rules B4),
//! asks all workers if facts of nodes are, and runs the plan over what has come in time. Nothing of it is replicated, no
//! partition needs a leader for it, and nothing is written. In a transaction block it is the same: what was seen is no
//! part of the transaction, and COMMIT does not compare it. What such a statement draws from sequences it has drawn before it
//! asks, like any other; if it turns out to be too little, it asks again.

use super::block::Block;
use super::execution::BatchJob;
use super::{Connection, Job};
use crate::cluster::facts::{Facts, MAX_STATEMENT, Recover, SessionFacts, Wanted, cut};
use crate::partition::message::Prepare;
use crate::session::gateway::GatewayOutput;
use crate::session::shared::Turn;
use crate::session::survey::{Asker, Survey};
use crate::session::system::{Needs, Sources, rows};
use crate::sql;
use crate::storage::Store;
use crate::types::{Instant, NodeId, SqlError, SqlState, Timestamp};
use std::sync::Arc;

/// Statements that wait for facts.
pub(super) struct ObserveJob {
    job: BatchJob,
    needs: Needs,
    survey: Option<Survey>,
}

/// What nodes are to do before they answer a question.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) recover: Vec<Recover>,
    pub(super) prepare: Option<Arc<Prepare>>,
}

/// What a session tells of its latest statement.
#[derive(Default)]
pub(super) struct Latest {
    connected_at: Timestamp,
    statement: Option<(Timestamp, Arc<str>)>,
    began: Instant,
    /// Under way, and its duration not yet looked at.
    timed: bool,
}

impl Latest {
    pub(super) fn new(connected_at: Timestamp) -> Self {
        Self { connected_at, ..Self::default() }
    }
}

impl Connection {
    /// Runs planned statements that read system tables.
    pub(super) fn observe(&mut self, turn: &mut Turn<'_>, job: BatchJob) {
        let needs = Needs::of(job.items.iter().flat_map(|item| item.plan().system_tables()));
        self.job = Some(Job::Observe(Box::new(ObserveJob { job, needs, survey: None })));
        if needs.catalog && !self.confirmed {
            return self.read_catalog(turn);
        }
        self.survey(turn);
    }

    /// The catalog is known: asks all nodes, if their facts are needed.
    pub(super) fn survey(&mut self, turn: &mut Turn<'_>) {
        let Some(Job::Observe(job)) = &self.job else { return };
        if let Some(wanted) = job.needs.survey {
            let survey = self.ask_nodes(turn, wanted, turn.shared.nodes.clone(), Orders::default());
            if let Some(Job::Observe(job)) = &mut self.job {
                job.survey = Some(survey);
            }
        }
        self.look_at_survey(turn);
    }

    /// A question to these nodes, which is on its way.
    pub(super) fn ask_nodes(
        &mut self,
        turn: &mut Turn<'_>,
        wanted: Wanted,
        nodes: Vec<NodeId>,
        orders: Orders,
    ) -> Survey {
        let config = &turn.shared.config;
        let asker = Asker {
            node: config.node,
            worker: config.worker,
            incarnation: turn.shared.incarnation,
            session: self.session.counter,
        };
        self.surveys += 1;
        let survey = Survey::new(asker, self.surveys, wanted, nodes, turn.now, config.attempt_timeout);
        let survey = survey.recovering(orders.recover).preparing(orders.prepare);
        turn.shared.outputs.extend(survey.asks().map(|(node, ask)| GatewayOutput::Ask(node, ask)));
        survey
    }

    /// The survey under way.
    fn survey_of_job(&mut self) -> Option<&mut Survey> {
        match &mut self.job {
            Some(Job::Observe(job)) => job.survey.as_mut(),
            Some(Job::Recover(job)) => Some(&mut job.survey),
            Some(Job::Define(job)) => job.survey(),
            _ => None,
        }
    }

    /// A worker has answered.
    pub(in crate::session) fn facts(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        if let Some(survey) = self.survey_of_job() {
            survey.take(facts);
        }
        self.look_at_survey(turn);
        self.resume(turn);
    }

    /// When the survey under way wants to be looked at.
    pub(super) fn survey_timeout(&self) -> Option<Instant> {
        match &self.job {
            Some(Job::Observe(job)) => job.survey.as_ref().map(Survey::next_timeout),
            Some(Job::Recover(job)) => Some(job.survey.next_timeout()),
            Some(Job::Define(job)) => self.preparation_timeout(job),
            _ => None,
        }
    }

    /// An answer or time has come: asks again, or ends.
    pub(super) fn look_at_survey(&mut self, turn: &mut Turn<'_>) {
        let preparing = matches!(&self.job, Some(Job::Define(job)) if job.is_preparing());
        if preparing && self.is_out_of_time(turn.now) {
            // Whatever the nodes answer yet.
        } else if let Some(survey) = self.survey_of_job() {
            if !survey.is_over(turn.now) {
                if survey.asks_again(turn.now) {
                    turn.shared.outputs.extend(survey.asks().map(|(node, ask)| GatewayOutput::Ask(node, ask)));
                }
                return;
            }
        } else if matches!(&self.job, Some(Job::Observe(job)) if job.needs.survey.is_some() || !self.calls.is_empty()) {
            return;
        }
        match self.job.take() {
            Some(Job::Observe(job)) => self.observed(turn, *job),
            Some(Job::Recover(job)) => self.recover_on(turn, job),
            Some(Job::Define(job)) if job.is_preparing() => self.prepare_on(turn, job),
            other => self.job = other,
        }
    }

    fn observed(&mut self, turn: &mut Turn<'_>, job: ObserveJob) {
        let ObserveJob { job, survey, .. } = job;
        let all = self.settings.show_all();
        let catalog = self.drafted_catalog(turn);
        let sources = Sources {
            catalog: &catalog,
            survey: survey.as_ref(),
            partitions: turn.shared.config.partitions,
            session_settings: all.map(|(name, value, about)| (name.to_owned(), value, about.to_owned())).collect(),
            node_settings: &turn.shared.config.node_settings,
        };
        let mut store = Store::new();
        for table in job.items.iter().flat_map(|item| item.plan().system_tables()) {
            if !store.has_tree(table.tree) {
                sql::fill(&mut store, table, rows(table, &sources));
            }
        }
        self.execute_nowhere(turn, job, Some(&store));
    }

    /// The client wants no answer any more. Returns whether facts were being gathered.
    pub(super) fn cancel_survey(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.survey_of_job().is_none() && !matches!(&self.job, Some(Job::Define(job)) if job.is_preparing()) {
            return false;
        }
        self.job = None;
        self.fail(turn, SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"));
        true
    }

    /// A statement is begun, or begun again.
    pub(super) fn note_statement(&mut self, turn: &Turn<'_>, text: &Arc<str>) {
        if !self.latest.timed {
            self.latest.timed = true;
            self.latest.began = turn.now;
            self.latest.statement = Some((turn.wall, Arc::clone(text)));
        }
    }

    /// Nothing is under way: was what has ended slow?
    pub(super) fn look_at_duration(&mut self, turn: &mut Turn<'_>) {
        if self.job.is_some() || !std::mem::take(&mut self.latest.timed) {
            return;
        }
        let duration = turn.now.since(self.latest.began);
        if duration >= turn.shared.config.slow_statement
            && let Some((_, statement)) = &self.latest.statement
        {
            let user = &self.settings.travelling().user;
            let text = format!("{} ms, user {user}: {}", duration.as_millis(), cut(statement, MAX_STATEMENT));
            turn.shared.outputs.push(GatewayOutput::SlowStatement(text));
        }
    }

    /// What this session looks like from outside.
    pub(in crate::session) fn session_facts(&self) -> SessionFacts {
        let travelling = self.settings.travelling();
        let statement = self.latest.statement.as_ref();
        let state = match self.block {
            _ if self.job.is_some() => "active",
            Block::Idle => "idle",
            Block::Open(_) => "idle in transaction",
            Block::Failed(_) => "idle in transaction (aborted)",
        };
        SessionFacts {
            process: self.process,
            user: travelling.user.clone(),
            database: travelling.database.clone(),
            application: self.settings.show("application_name").map(|(_, value)| value).unwrap_or_default(),
            state: state.into(),
            connected_at: self.latest.connected_at,
            statement: statement.map(|(began, text)| (*began, cut(text, MAX_STATEMENT).to_owned())),
        }
    }
}
