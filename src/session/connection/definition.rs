//! DDL: a command over all partitions, the cluster partition among them.
//!
//! 0. If it has to look at all rows of a table, replicas do that first, beside their other work (`prepare`).
//! 1. The statement is checked here, against the catalog known here, and ordered under that version.
//! 2. Every partition executes it on its own rows, at its place: rows move, indexes are built, and a UNIQUE that does not hold in
//!    one of them is that one's vote against it, everywhere. Only when all have decided is the client told: a definition that has
//!    been acknowledged is in force everywhere.
//! 3. This gateway must know the catalog before it goes on: its own replica tells it, or it asks.

use super::calls::{Role, around};
use super::draw::SetJob;
use super::execution::result_lost;
use super::extended::shifted;
use super::order::{Collecting, outcome_lost};
use super::prepare::Preparing;
use super::{Connection, Job, Origin, Task};
use crate::catalog::Catalog;
use crate::partition::global::{GlobalBody, Vote};
use crate::partition::message::{Outcome, RequestBody};
use crate::session::call::Call;
use crate::session::shared::Turn;
use crate::session::writer::Severity;
use crate::sql::{self, Parsed};
use crate::types::{CatalogVersion, PartitionId, SqlError, SqlState};
use crate::{planted, sometimes};
use std::collections::VecDeque;
use std::sync::Arc;

/// DDL under way.
pub(super) struct DefineJob {
    pub(super) statement: Parsed,
    origin: Origin,
    /// What takes long of it is being done beforehand.
    pub(super) preparing: Option<Preparing>,
    /// Version under which it was checked.
    checked: CatalogVersion,
    /// The statement's tag and notices, once it is in force.
    defined: Option<(String, Vec<SqlError>)>,
    /// What is done then, if the client has not asked for the definition itself.
    then: Option<SetJob>,
}

impl Connection {
    /// Begins a DDL statement.
    pub(super) fn define(&mut self, turn: &mut Turn<'_>, statement: Parsed, origin: Origin) {
        let long = match self.check_definition(turn, &turn.shared.catalog, &statement) {
            Ok(definition) => sql::has_groundwork(&turn.shared.catalog, &definition),
            Err(error) => {
                let error = shifted(error, statement.offset);
                let task = self.task_of(statement, origin);
                return self.confirm(turn, task, error);
            }
        };
        self.note_statement(turn, &statement.text);
        let checked = turn.shared.catalog.version;
        // Planted 265: the definition does all its work at its place.
        let preparing = (long && !planted!(265)).then(|| Preparing::new(turn.now));
        let job = Box::new(DefineJob { statement, origin, checked, preparing, defined: None, then: None });
        if job.is_preparing() {
            return self.prepare_on(turn, job);
        }
        self.order_definition(turn, job);
    }

    /// A definition that the session makes to set a sequence.
    pub(super) fn define_then(&mut self, turn: &mut Turn<'_>, statement: Parsed, then: SetJob) {
        if let Err(error) = self.check_definition(turn, &turn.shared.catalog, &statement) {
            return self.fail(turn, error);
        }
        let (origin, checked) = (Origin::Simple(VecDeque::new()), turn.shared.catalog.version);
        let job = DefineJob { statement, origin, checked, preparing: None, defined: None, then: Some(then) };
        self.order_definition(turn, Box::new(job));
    }

    pub(super) fn order_definition(&mut self, turn: &mut Turn<'_>, job: Box<DefineJob>) {
        let body = self.definition_body(turn, &job);
        self.job = Some(Job::Define(job));
        self.start_call(turn, Role::Work, PartitionId::CLUSTER, body);
    }

    /// What a definition makes of a catalog.
    pub(super) fn check_definition(
        &self,
        turn: &Turn<'_>,
        catalog: &Catalog,
        statement: &Parsed,
    ) -> Result<sql::Definition, SqlError> {
        if statement.is_internal() {
            // Whoever said it too early would put an index in use that does not hold.
            return Err(SqlError::unsupported("ALTER INDEX … SET ACTIVE is said by the cluster itself"));
        }
        sql::define(catalog, statement, &self.surroundings(turn))
    }

    pub(super) fn surroundings(&self, turn: &Turn<'_>) -> sql::Surroundings<'_> {
        let (settings, partitions) = (self.settings.travelling(), turn.shared.config.partitions);
        sql::Surroundings { settings, partitions, now: turn.wall, replicas: None }
    }

    fn definition_body(&self, turn: &Turn<'_>, job: &DefineJob) -> RequestBody {
        let data = (1..=turn.shared.config.partitions).map(PartitionId);
        RequestBody::Order {
            participants: std::iter::once(PartitionId::CLUSTER).chain(data).collect(),
            body: Arc::new(GlobalBody::definition(
                Arc::clone(&job.statement.text),
                Arc::clone(self.settings.travelling()),
                job.checked,
            )),
        }
    }

    /// The catalog has moved on since the definition was checked, and is known here again.
    pub(super) fn redefine(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>, mut call: Call) {
        let definition = match self.check_definition(turn, &turn.shared.catalog, &job.statement) {
            Ok(definition) => definition,
            Err(error) => return self.fail(turn, shifted(error, job.statement.offset)),
        };
        job.checked = turn.shared.catalog.version;
        // What was prepared may be of no use any more: another definition may have written all rows anew.
        if !call.is_in_doubt()
            && job.then.is_none()
            && sql::has_groundwork(&turn.shared.catalog, &definition)
            && !planted!(265)
        {
            sometimes!("session.prepared_again");
            job.preparing = Some(Preparing::new(turn.now));
            return self.prepare_on(turn, job);
        }
        let body = self.definition_body(turn, &job);
        self.job = Some(Job::Define(job));
        let step = call.resume(body, &mut around(turn, &mut self.attempts));
        self.calls.push((Role::Work, call));
        self.follow(turn, self.calls.len() - 1, step);
    }

    /// The cluster partition has answered, and not with a place in the order.
    pub(super) fn define_done(&mut self, turn: &mut Turn<'_>, job: &DefineJob, outcome: Outcome) {
        match outcome {
            Outcome::Error { error, .. } => self.fail(turn, shifted(error, job.statement.offset)),
            _ => self.fail(turn, SqlError::new(SqlState::INTERNAL_ERROR, "a partition's answer fits no definition")),
        }
    }

    /// All partitions have decided.
    pub(super) fn define_decided(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>, collecting: &Collecting) {
        if collecting.is_refused() {
            return self.define_refused(turn, *job, collecting);
        }
        if collecting.is_untold() {
            return self.fail(turn, outcome_lost());
        }
        let Some(defined) = collecting.parts.values().find_map(|part| part.defined.clone()) else {
            return self.fail(turn, result_lost());
        };
        let checked = job.checked;
        job.defined = Some(defined);
        self.job = Some(Job::Define(job));
        if turn.shared.catalog.version > checked {
            return self.finish_definition(turn);
        }
        self.read_catalog(turn);
    }

    /// Another definition came in between, and nothing was changed: begins again under the catalog in force.
    fn define_again(&mut self, turn: &mut Turn<'_>, job: DefineJob, version: CatalogVersion) {
        sometimes!("session.definition_begun_again");
        self.wanted = self.wanted.max(version);
        if let Some(then) = job.then {
            // What the session defines on its own is no statement of the client: it goes on where it was.
            return self.refresh(turn, Task::Set(Box::new(then)));
        }
        let task = self.task_of(job.statement, job.origin);
        self.refresh(turn, task);
    }

    pub(super) fn task_of(&mut self, statement: Parsed, origin: Origin) -> Task {
        match origin {
            Origin::Simple(mut rest) => {
                rest.push_front(statement);
                Task::Simple(rest)
            }
            Origin::Portal(name, max_rows) => {
                self.rewind_portal(&name);
                Task::Execute(name, max_rows)
            }
        }
    }

    fn define_refused(&mut self, turn: &mut Turn<'_>, job: DefineJob, collecting: &Collecting) {
        let error = match collecting.refusal() {
            Some(Vote::Error { error, .. }) => {
                sometimes!("session.definition_refused_by_rows");
                shifted((**error).clone(), job.statement.offset)
            }
            Some(Vote::Mismatch { error }) => (**error).clone(),
            Some(Vote::Replan { version }) => return self.define_again(turn, job, *version),
            _ => {
                let message = "a definition was refused, and nobody says why";
                SqlError::new(SqlState::INTERNAL_ERROR, message).hint("Nothing was changed.")
            }
        };
        self.fail(turn, error);
    }

    /// In force everywhere.
    pub(super) fn finish_definition(&mut self, turn: &mut Turn<'_>) {
        let job = match self.job.take() {
            Some(Job::Define(job)) => job,
            Some(Job::Commit(job)) => return self.committed(turn, job),
            _ => return self.broken(turn),
        };
        if let Some(then) = job.then {
            return self.set_done(turn, then, job.checked);
        }
        let (tag, notices) = job.defined.unwrap_or_default();
        if self.settings.wants_notices() {
            for notice in &notices {
                self.writer.notice(Severity::Notice, notice);
                self.flush = true;
            }
        }
        self.writer.command_complete(&tag);
        self.go_on(turn, job.origin);
    }

    /// Is the current statement a definition that is in force?
    pub(super) fn is_defined(&self) -> bool {
        match &self.job {
            Some(Job::Define(job)) => job.defined.is_some(),
            Some(Job::Commit(job)) => job.defined,
            _ => false,
        }
    }
}
