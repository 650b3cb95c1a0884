//! Requests out, replies and time-outs in, and what is said at the end of waiting.
//!
//! # The end of waiting
//! - Certainly not executed (a read; a statement that was never sent; one that only `Replan` has answered): 57014 when
//!   the session asked for the limit or the cancellation, else 57P03. It may be repeated.
//! - May have been executed, or be executed yet: 40003. The number is never used again and a late answer is nobody's.
//! - A cancel request ends a read at once. A write that was sent cannot be taken back: its answer is given one more
//!   attempt's time, and then it is 40003.

use super::order::Place;
use super::step::outdated;
use super::{Connection, Job, Task};
use crate::catalog::Catalog;
use crate::partition::message::{Outcome, Reply, Request, RequestBody};
use crate::session::call::{Call, End, Obstacle, Surroundings, is_logged};
use crate::session::gateway::GatewayOutput;
use crate::session::shared::Turn;
use crate::sometimes;
use crate::types::{CatalogVersion, NodeId, PartitionId, RequestId, Sequence, SqlError, SqlState};
use std::sync::Arc;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The statement itself.
    Work,
    /// The catalog, at the cluster partition.
    Catalog,
    /// Values of a sequence.
    Draw,
    /// Whether an idempotency token has been used.
    Token,
    /// A statement of a block, at one of the partitions that it touches.
    Step,
    /// Whether a partition would still show a block what it has shown it.
    Validate,
    /// What an ordered command has come to, at one of its participants.
    Collect,
}

/// What a call may touch.
pub(super) fn around<'a>(turn: &'a mut Turn<'_>, attempts: &'a mut u32) -> Surroundings<'a> {
    Surroundings {
        now: turn.now,
        attempt_timeout: turn.shared.config.attempt_timeout,
        router: &mut turn.shared.router,
        rng: &mut turn.shared.rng,
        attempts,
    }
}

impl Connection {
    /// Sends a request, under a number of its own if it is logged.
    pub(super) fn start_call(&mut self, turn: &mut Turn<'_>, role: Role, partition: PartitionId, body: RequestBody) {
        let changes = is_logged(&body);
        self.start_changing(turn, role, partition, body, changes);
    }

    /// The same, where the request's kind does not tell whether it changes anything.
    pub(super) fn start_changing(
        &mut self,
        turn: &mut Turn<'_>,
        role: Role,
        partition: PartitionId,
        body: RequestBody,
        changes: bool,
    ) {
        let sequence = self.next_sequence;
        if is_logged(&body) {
            self.next_sequence = sequence.next();
        }
        let id = RequestId { session: self.session, sequence };
        self.launch(turn, role, id, partition, body, changes);
    }

    /// Sends a request under this identity.
    pub(super) fn launch(
        &mut self,
        turn: &mut Turn<'_>,
        role: Role,
        id: RequestId,
        partition: PartitionId,
        body: RequestBody,
        changes: bool,
    ) {
        // What is still out, paused or not, has not been answered.
        let out = self.calls.iter().filter(|(_, call)| call.is_logged()).map(|(_, call)| call.id().sequence);
        let acked_below = out.min().unwrap_or(id.sequence);
        let deadline = Some(self.deadline);
        // What has begun (a block, an order, whatever is needed for it) shall end.
        let new = role == Role::Work && matches!(body, RequestBody::Execute(_) | RequestBody::Query(_));
        let (call, step) =
            Call::start(id, acked_below, partition, body, deadline, new, &mut around(turn, &mut self.attempts));
        self.calls.push((role, call.changing(changes)));
        self.follow(turn, self.calls.len() - 1, step);
    }

    /// Reads the catalog, then begins the task again.
    pub(super) fn refresh(&mut self, turn: &mut Turn<'_>, task: Task) {
        self.job = Some(Job::Confirm(task));
        self.read_catalog(turn);
    }

    /// Asks the cluster partition for its catalog.
    pub(super) fn read_catalog(&mut self, turn: &mut Turn<'_>) {
        let body = RequestBody::ReadCatalog { have: turn.shared.catalog.version };
        self.start_call(turn, Role::Catalog, PartitionId::CLUSTER, body);
    }

    pub(super) fn send(&mut self, turn: &mut Turn<'_>, index: usize, node: NodeId, request: Request) {
        turn.shared.stats.attempts += 1;
        let partition = self.calls[index].1.partition();
        turn.shared.outputs.push(GatewayOutput::Request { node, partition, request });
    }

    /// An answer to one of this session's requests, or to one that is over.
    pub(super) fn take_reply(&mut self, turn: &mut Turn<'_>, from: NodeId, reply: Reply) {
        let Some(index) = self.calls.iter().position(|(_, call)| call.is_answered_by(&reply)) else {
            sometimes!("session.late_reply");
            turn.shared.stats.late_replies += 1;
            return;
        };
        let step = self.calls[index].1.reply(from, reply, &mut around(turn, &mut self.attempts));
        self.follow(turn, index, step);
    }

    /// Time has come for some calls.
    pub(super) fn take_timeouts(&mut self, turn: &mut Turn<'_>) {
        self.look_at_survey(turn);
        let mut index = 0;
        while index < self.calls.len() {
            let due = self.calls[index].1.next_timeout().is_some_and(|timeout| timeout <= turn.now);
            if due {
                let calls = self.calls.len();
                let step = self.calls[index].1.timeout(&mut around(turn, &mut self.attempts));
                self.follow(turn, index, step);
                if self.calls.len() != calls {
                    return; // Something has ended: what is left is looked at again.
                }
            }
            index += 1;
        }
    }

    /// A replica beside the gateway has found the leader of a partition, which the router knows by now.
    pub(in crate::session) fn leader_found(&mut self, turn: &mut Turn<'_>, partition: PartitionId, leader: NodeId) {
        for index in 0..self.calls.len() {
            if self.calls[index].1.partition() == partition {
                let step = self.calls[index].1.leader_found(leader, &mut around(turn, &mut self.attempts));
                self.follow(turn, index, step);
            }
        }
    }

    /// Nobody listens at that node any more.
    pub(in crate::session) fn peer_gone(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        for index in 0..self.calls.len() {
            let step = self.calls[index].1.peer_gone(node, &mut around(turn, &mut self.attempts));
            self.follow(turn, index, step);
        }
    }

    /// A call has ended or waits to be resumed.
    pub(super) fn ended(&mut self, turn: &mut Turn<'_>, index: usize, end: End) {
        let role = self.calls[index].0;
        match (end, role) {
            (End::TimedOut, _) => self.give_up(turn),
            (End::Shed, _) => self.shed(turn, index),
            (End::Done(Outcome::Catalog(catalog)), Role::Catalog) => {
                self.catalog_came(turn, index, catalog);
            }
            (End::Done(Outcome::Ordered { number, timestamp, seed }), Role::Work) => {
                let call = self.remove_call(index);
                self.dismiss();
                self.ordered(turn, &call, Place { number, timestamp, seed });
            }
            (End::Done(outcome), Role::Step) => {
                let call = self.remove_call(index);
                self.step_answered(turn, call.partition(), outcome);
            }
            (End::Done(outcome), Role::Validate) => {
                let call = self.remove_call(index);
                self.step_validated(turn, call.partition(), outcome);
            }
            (End::Done(outcome), Role::Draw) => {
                self.remove_call(index);
                self.reserved(turn, outcome);
            }
            (End::Done(outcome), Role::Token) => {
                self.remove_call(index);
                self.token_answered(turn, outcome);
            }
            (End::PlanIsOld(version), Role::Draw) => {
                self.remove_call(index);
                self.draw_outdated(turn, version);
            }
            (End::PlanIsOld(version), Role::Step | Role::Validate) => self.step_outdated(turn, version),
            (End::Done(outcome), Role::Collect) => {
                let call = self.remove_call(index);
                self.collected(turn, call.partition(), outcome);
            }
            (End::Done(outcome), Role::Work) => {
                self.remove_call(index);
                // An earlier attempt may answer while a catalog read is still out for a later one.
                sometimes!("session.done_with_helpers_out", !self.calls.is_empty());
                self.dismiss();
                self.work_done(turn, outcome);
            }
            (End::PlanIsOld(version), Role::Work) => self.plan_is_old(turn, index, version),
            (End::Stale, _) => {
                sometimes!("session.stale");
                let call = self.remove_call(index);
                if call.is_in_doubt() {
                    self.give_up_on(turn, &call);
                } else {
                    self.broken(turn);
                }
            }
            (End::Done(_) | End::PlanIsOld(_), _) => self.broken(turn),
        }
    }

    fn remove_call(&mut self, index: usize) -> Call {
        let (_, call) = self.calls.remove(index);
        self.retire(&call);
        call
    }

    /// The number of a call that is over is never used again.
    fn retire(&mut self, call: &Call) {
        if call.is_logged() {
            self.next_sequence = self.next_sequence.max(Sequence(call.id().sequence.0 + 1));
        }
    }

    fn work_done(&mut self, turn: &mut Turn<'_>, outcome: Outcome) {
        match self.job.take() {
            Some(Job::Batch(job)) => self.batch_done(turn, job, outcome),
            Some(Job::Define(job)) => self.define_done(turn, &job, outcome),
            Some(Job::Administer(job)) => self.administered(turn, *job, outcome),
            Some(Job::Commit(job)) => self.commit_done(turn, job, outcome),
            Some(
                Job::Confirm(_)
                | Job::Again(_)
                | Job::Step(_)
                | Job::Observe(_)
                | Job::Recover(_)
                | Job::Cut(_)
                | Job::Token(_)
                | Job::Draw(_),
            )
            | None => {
                self.broken(turn);
            }
        }
    }

    fn plan_is_old(&mut self, turn: &mut Turn<'_>, index: usize, version: CatalogVersion) {
        self.wanted = self.wanted.max(version);
        if turn.shared.catalog.version < version {
            return self.read_catalog(turn);
        }
        let (_, call) = self.calls.remove(index);
        self.plan_again_with(turn, call);
    }

    /// The cluster partition has answered what its catalog is.
    fn catalog_came(&mut self, turn: &mut Turn<'_>, index: usize, catalog: Option<Arc<Catalog>>) {
        if let Some(catalog) = catalog {
            turn.shared.adopt(catalog);
        }
        if turn.shared.catalog.version < self.wanted {
            // A definition is in force at a participant before the cluster partition's log says so.
            sometimes!("session.catalog_awaited");
            let step = self.calls[index].1.ask_later(&mut around(turn, &mut self.attempts));
            return self.follow(turn, index, step);
        }
        self.remove_call(index);
        self.catalog_read(turn);
    }

    fn catalog_read(&mut self, turn: &mut Turn<'_>) {
        self.confirmed = true;
        if let Some(Job::Again(_)) = self.job {
            if let Some(Job::Again(job)) = self.job.take() {
                self.execute_again(turn, job);
            }
            return;
        }
        if let Some(Job::Confirm(_)) = self.job {
            if let Some(Job::Confirm(task)) = self.job.take() {
                self.task = Some(task);
            }
            return;
        }
        if let Some(Job::Observe(_)) = self.job {
            return self.survey(turn);
        }
        if self.is_defined() {
            return self.finish_definition(turn);
        }
        let Some(index) = self.calls.iter().position(|(role, _)| *role == Role::Work) else {
            return self.broken(turn);
        };
        let (_, call) = self.calls.remove(index);
        self.plan_again_with(turn, call);
    }

    /// The paused call of the job goes on under the catalog known now.
    fn plan_again_with(&mut self, turn: &mut Turn<'_>, call: Call) {
        // Whatever comes of it, the number is taken, and whatever else was asked for the old plan is nobody's.
        self.retire(&call);
        self.dismiss();
        match self.job.take() {
            Some(Job::Batch(job)) => self.replan_batch(turn, job, call),
            Some(Job::Define(job)) => self.redefine(turn, job, call),
            Some(Job::Commit(_)) if call.is_in_doubt() => self.give_up_on(turn, &call),
            Some(Job::Commit(job)) => self.commit_outdated(turn, job),
            Some(Job::Step(_)) => self.fail(turn, outdated()),
            // Nothing has been shown: it is begun anew.
            Some(Job::Cut(job)) => {
                self.retire(&call);
                self.execute_again(turn, job);
            }
            Some(
                Job::Confirm(_)
                | Job::Again(_)
                | Job::Observe(_)
                | Job::Recover(_)
                | Job::Draw(_)
                | Job::Token(_)
                | Job::Administer(_),
            )
            | None => {
                self.broken(turn);
            }
        }
    }

    /// An answer that fits nothing: a bug somewhere. The statement ends; nothing is known of it.
    pub(super) fn broken(&mut self, turn: &mut Turn<'_>) {
        let doubtful = self.calls.iter().any(|(_, call)| call.is_in_doubt());
        self.abandon();
        let state = if doubtful { SqlState::STATEMENT_COMPLETION_UNKNOWN } else { SqlState::INTERNAL_ERROR };
        self.fail(turn, SqlError::new(state, "a partition's answer fits nothing that was asked"));
    }

    /// The job is over, and everything out for it is nobody's now.
    fn abandon(&mut self) {
        self.dismiss();
        // Its block is over whatever comes of its COMMIT, and with it what was said for the block alone.
        if let Some(Job::Commit(job)) = self.job.take() {
            self.restore_settings(job.open.settings);
        }
    }

    /// Everything out is nobody's now.
    pub(super) fn dismiss(&mut self) {
        self.collecting = None;
        for (_, call) in std::mem::take(&mut self.calls) {
            self.retire(&call);
        }
    }

    /// The client asks to cancel the current statement.
    pub(in crate::session) fn cancel(&mut self, turn: &mut Turn<'_>) {
        if self.job.is_none() {
            return;
        }
        sometimes!("session.cancelled");
        self.cancelled = true;
        if self.cancel_survey(turn) {
            return self.resume(turn);
        }
        let about_work = |role: &Role| matches!(role, Role::Work | Role::Collect);
        if self.calls.iter().any(|(role, call)| about_work(role) && call.is_in_doubt()) {
            sometimes!("session.cancelled_in_doubt");
            let until = turn.now + turn.shared.config.attempt_timeout;
            self.deadline = self.deadline.min(until);
            for (_, call) in &mut self.calls {
                call.hasten(until);
            }
        } else {
            self.give_up(turn);
        }
        // The gateway runs the connection on.
        self.resume(turn);
    }

    /// The partition has said that it has too much to do, and this was not sent.
    fn shed(&mut self, turn: &mut Turn<'_>, index: usize) {
        let call = self.remove_call(index);
        self.abandon();
        turn.shared.stats.shed += 1;
        let message = format!("partition {} has more work than it takes", call.partition().0);
        let error = SqlError::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
            .detail("The statement was not sent to it: what it has taken already is to be answered first.")
            .hint("Nothing was changed. Try again a little later, or from fewer clients at a time.");
        self.fail(turn, error);
    }

    /// The statement's time is over, or it was cancelled.
    fn give_up(&mut self, turn: &mut Turn<'_>) {
        if self.is_defined() {
            // All that is missing is that this gateway knows it.
            self.dismiss();
            return self.finish_definition(turn);
        }
        let work = self.calls.iter().position(|(role, _)| *role == Role::Work);
        let Some(index) = work.or_else(|| (!self.calls.is_empty()).then_some(0)) else { return self.broken(turn) };
        let (role, call) = self.calls.remove(index);
        self.retire(&call);
        let refused = self.collecting.as_ref().is_some_and(|collecting| collecting.is_refused());
        self.abandon();
        match role {
            Role::Work | Role::Collect if !refused => self.give_up_on(turn, &call),
            _ => self.fail_unexecuted(turn, &call),
        }
    }

    /// Nothing more will be heard of this call.
    pub(super) fn give_up_on(&mut self, turn: &mut Turn<'_>, call: &Call) {
        self.retire(call);
        self.abandon();
        if !call.is_doubtful_to_client() {
            return self.fail_unexecuted(turn, call);
        }
        sometimes!("session.unknown_outcome");
        let error = SqlError::new(SqlState::STATEMENT_COMPLETION_UNKNOWN, "statement completion unknown")
            .detail(obstacle(call))
            .hint("The statement may have been executed, or may be executed yet. Read the data before repeating it.");
        self.fail(turn, error);
    }

    fn fail_unexecuted(&mut self, turn: &mut Turn<'_>, call: &Call) {
        let error = if self.cancelled {
            SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
        } else if self.settings.statement_timeout().is_some() {
            SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
                .detail(obstacle(call))
        } else {
            let partition = match call.obstacle() {
                Obstacle::Unreachable(other) => other,
                _ => call.partition(),
            };
            let message = format!("partition {} is not available", partition.0);
            SqlError::new(SqlState::CANNOT_CONNECT_NOW, message)
                .detail(obstacle(call))
                .hint("Nothing was changed. Try again.")
        };
        self.fail(turn, error);
    }

    /// Takes messages again after an event that was not the client's.
    pub(super) fn resume(&mut self, turn: &mut Turn<'_>) {
        let _ = self.run(turn);
    }
}

fn obstacle(call: &Call) -> String {
    let partition = call.partition().0;
    match call.obstacle() {
        Obstacle::Silence => format!("No replica of partition {partition} has answered in time."),
        Obstacle::NoLeader => format!("Partition {partition} has no leader that is known."),
        Obstacle::LeaderLost => format!("Partition {partition} lost its leader while the statement was under way."),
        Obstacle::Behind => format!("Partition {partition} has not come to the catalog in force."),
        Obstacle::Overloaded => format!("Partition {partition} has more work than it takes."),
        Obstacle::Unreachable(other) => format!("Partition {} has no leader that is known.", other.0),
    }
}
