//! DDL: one statement, several requests.
//!
//! 1. The statement is checked here, against the catalog known here, and sent to the cluster partition with that
//!    version. When it is executed there, it is committed.
//! 2. Every data partition is brought to the new catalog. Only then is the client told: a definition that has been
//!    acknowledged is in force everywhere.
//! 3. A UNIQUE index over rows that were there, or a primary key, is *building* until every partition has found it to hold: a second
//!    definition puts it in use, or drops it, and then the client gets the 23505 of the first partition that objected.
//!
//! A session that ends in the middle leaves a committed definition that partitions take when they are next asked under
//! it, and perhaps an index that is building for ever: `DROP INDEX` removes it.

use super::calls::{Role, around};
use super::extended::shifted;
use super::{Connection, Job, Origin, Task};
use crate::catalog::Catalog;
use crate::partition::message::{Outcome, RequestBody};
use crate::session::call::Call;
use crate::session::shared::Turn;
use crate::session::writer::Severity;
use crate::sometimes;
use crate::sql::{self, Parsed};
use crate::types::{CatalogVersion, PartitionId, SqlError, SqlState, TreeId};
use std::sync::Arc;

/// DDL under way.
pub(super) struct DefineJob {
    statement: Parsed,
    origin: Origin,
    /// What is being defined now: the statement, or the end of an index's building.
    text: Arc<str>,
    /// Version under which that was checked.
    checked: CatalogVersion,
    /// Trees that existed before the statement; those of building indexes beyond them are its own.
    next_tree: u32,
    /// The statement's tag and notices, once it is committed.
    defined: Option<(String, Vec<SqlError>)>,
    /// Partitions that have not confirmed yet.
    waiting: usize,
    /// Indexes of the statement that are still to be put in use or dropped.
    building: Vec<TreeId>,
    /// Why they are to be dropped.
    violation: Option<SqlError>,
}

impl Connection {
    /// Begins a DDL statement.
    pub(super) fn define(&mut self, turn: &mut Turn<'_>, statement: Parsed, origin: Origin) {
        if let Err(error) = self.check_definition(turn, &statement) {
            let error = shifted(error, statement.offset);
            let task = match origin {
                Origin::Simple(mut rest) => {
                    rest.push_front(statement);
                    Task::Simple(rest)
                }
                Origin::Portal(name, max_rows) => {
                    self.rewind_portal(&name);
                    Task::Execute(name, max_rows)
                }
            };
            return self.confirm(turn, task, error);
        }
        let job = DefineJob {
            text: Arc::clone(&statement.text),
            statement,
            origin,
            checked: turn.shared.catalog.version,
            next_tree: turn.shared.catalog.next_tree,
            defined: None,
            waiting: 0,
            building: Vec::new(),
            violation: None,
        };
        self.send_definition(turn, Box::new(job));
    }

    fn check_definition(&self, turn: &Turn<'_>, statement: &Parsed) -> Result<(), SqlError> {
        if statement.is_internal() {
            // Whoever said it too early would put an index in use that does not hold.
            return Err(SqlError::unsupported("ALTER INDEX … SET ACTIVE is said by the cluster itself"));
        }
        sql::define(&turn.shared.catalog, statement, &self.settings.travelling().search_path).map(drop)
    }

    fn definition_body(&self, job: &DefineJob) -> RequestBody {
        RequestBody::Define {
            text: Arc::clone(&job.text),
            search_path: self.settings.travelling().search_path.clone(),
            catalog_version: job.checked,
        }
    }

    fn send_definition(&mut self, turn: &mut Turn<'_>, job: Box<DefineJob>) {
        self.note_statement(turn, &job.statement.text);
        let body = self.definition_body(&job);
        self.job = Some(Job::Define(job));
        self.start_call(turn, Role::Work, PartitionId::CLUSTER, body);
    }

    /// The catalog has moved on since the definition was checked, and is known here again.
    pub(super) fn redefine(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>, mut call: Call) {
        if job.defined.is_none() {
            if let Err(error) = self.check_definition(turn, &job.statement) {
                return self.fail(turn, shifted(error, job.statement.offset));
            }
            job.next_tree = turn.shared.catalog.next_tree;
        }
        job.checked = turn.shared.catalog.version;
        let body = self.definition_body(&job);
        self.job = Some(Job::Define(job));
        let step = call.resume(Some(body), &mut around(turn, &mut self.attempts));
        self.calls.push((Role::Work, call));
        self.follow(turn, self.calls.len() - 1, step);
    }

    /// The cluster partition has answered.
    pub(super) fn define_done(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>, outcome: Outcome) {
        match outcome {
            Outcome::Defined { catalog, tag, notices } => {
                let changed = catalog.version > job.checked;
                if job.defined.is_none() {
                    job.defined = Some((tag, notices));
                    job.building = building(&catalog, job.next_tree);
                }
                turn.shared.adopt(Arc::clone(&catalog));
                if changed { self.install_everywhere(turn, job, &catalog) } else { self.finish_definition(turn, job) }
            }
            // Somebody else has dropped the index meanwhile: there is nothing left to finish.
            Outcome::Error { .. } if job.defined.is_some() => self.finish_definition(turn, job),
            Outcome::Error { error, .. } => self.fail(turn, shifted(error, job.statement.offset)),
            Outcome::ResultNotKept => {
                let message = "statement completion known, result lost: the definition is committed";
                let error = SqlError::new(SqlState::STATEMENT_COMPLETION_UNKNOWN, message)
                    .hint("Look at the catalog before repeating the statement.");
                self.fail(turn, error);
            }
            _ => self.fail(turn, SqlError::new(SqlState::INTERNAL_ERROR, "a partition's answer fits no definition")),
        }
    }

    fn install_everywhere(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>, catalog: &Arc<Catalog>) {
        let partitions = turn.shared.config.partitions;
        job.waiting = partitions as usize;
        self.job = Some(Job::Define(job));
        for partition in (1..=partitions).map(PartitionId) {
            let body = RequestBody::InstallCatalog(Arc::clone(catalog));
            self.start_call(turn, Role::Install(partition), partition, body);
        }
    }

    /// A partition has come up to the catalog.
    pub(super) fn installed(
        &mut self,
        turn: &mut Turn<'_>,
        _partition: PartitionId,
        violations: Vec<(TreeId, SqlError)>,
    ) {
        let Some(Job::Define(job)) = &mut self.job else { return self.resume_work(turn) };
        let own = violations.into_iter().find(|(tree, _)| job.building.contains(tree));
        if let (Some((_, error)), None) = (own, &job.violation) {
            job.violation = Some(error);
        }
        job.waiting = job.waiting.saturating_sub(1);
        if job.waiting == 0
            && let Some(Job::Define(job)) = self.job.take()
        {
            self.finish_definition(turn, job);
        }
    }

    /// In force everywhere: what is left is to end the building of indexes, one after the other.
    fn finish_definition(&mut self, turn: &mut Turn<'_>, mut job: Box<DefineJob>) {
        while let Some(tree) = job.building.pop() {
            if let Some(text) = sql::finish_building(&turn.shared.catalog, tree, job.violation.is_none()) {
                sometimes!("session.unique_index_violated", job.violation.is_some());
                job.text = Arc::from(text);
                job.checked = turn.shared.catalog.version;
                return self.send_definition(turn, job);
            }
        }
        if let Some(error) = job.violation {
            return self.fail(turn, error);
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

    /// Has a definition of the current statement been committed?
    pub(super) fn is_defined(&self) -> bool {
        matches!(&self.job, Some(Job::Define(job)) if job.defined.is_some())
    }
}

/// Trees of building indexes that are new: numbered from `next_tree`.
fn building(catalog: &Catalog, next_tree: u32) -> Vec<TreeId> {
    let indexes = catalog.tables.values().flat_map(|table| &table.indexes);
    indexes.filter(|index| index.state.is_building() && index.tree.0 >= next_tree).map(|index| index.tree).collect()
}
