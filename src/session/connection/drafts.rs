//! Definitions in transaction blocks.
//!
//! A definition of a block is a *draft*: what it makes of the catalog is found out at once, on the catalog that the block's definitions
//! are based on and the drafts before it, and the client is told. Nobody else is, and nothing happens. COMMIT orders all drafts as one
//! command over all partitions, with the lists of what the block has done with rows: each partition executes its list again, and
//! then one definition after the other. All of it holds, or nothing was.
//!
//! So rows are written under the catalog as it was before the block, and definitions are made of what they are then. What makes a
//! difference is refused before anything is done: a statement about a table that a draft has made or changed, or
//! with whose constraints it hangs together.
//!
//! # Invariants
//! - What a client was told of a draft holds if the COMMIT does: the command is refused under another catalog than that on which the
//!   drafts are based.
//! - Going back to a savepoint takes back the drafts behind it.
//!
//! # Caveats
//! - A block of drafts whose first statement over rows came too late planned it again under its own, outdated catalog, and again, without
//!   end; the simulator found it (`ddl_under_load`, seed 0x2a). Under another catalog than theirs drafts end with 40001.
//! - Rows stand in the way of a draft (UNIQUE, CHECK, NOT NULL, a foreign key) only at COMMIT, which fails then.
//! - What a draft has to do with all rows of a table is not prepared: partitions do it in their turn.

use super::block::{Block, CommitJob};
use super::calls::Role;
use super::order::Collecting;
use super::step::outdated;
use super::token::defines_under_token;
use super::{Connection, Job, Origin};
use crate::catalog::{Catalog, Table};
use crate::partition::MAX_TRANSACTION_BYTES;
use crate::partition::global::{Ddl, GlobalBody};
use crate::partition::message::RequestBody;
use crate::session::shared::Turn;
use crate::session::writer::Severity;
use crate::sometimes;
use crate::sql::{self, Kind, Parsed, Prepared};
use crate::types::{DataType, PartitionId, SqlError, SqlState};
use std::sync::Arc;

/// A definition that COMMIT will order.
pub(super) struct Draft {
    definition: Ddl,
    /// What this one and those before it come to.
    catalog: Arc<Catalog>,
}

impl Connection {
    /// The catalog under which statements are planned.
    pub(super) fn planning_catalog(&self, turn: &Turn<'_>) -> Arc<Catalog> {
        match &self.block {
            Block::Open(open) => Arc::clone(open.catalog.as_ref().unwrap_or(&turn.shared.catalog)),
            Block::Idle | Block::Failed(_) => Arc::clone(&turn.shared.catalog),
        }
    }

    /// The catalog in force, with the definitions of the open block.
    pub(super) fn drafted_catalog(&self, turn: &Turn<'_>) -> Arc<Catalog> {
        let draft = if let Block::Open(open) = &self.block { open.drafts.last() } else { None };
        Arc::clone(draft.map_or(&turn.shared.catalog, |draft| &draft.catalog))
    }

    /// Has the open block definitions?
    pub(super) fn has_drafts(&self) -> bool {
        matches!(&self.block, Block::Open(open) if !open.drafts.is_empty())
    }

    /// Can what the open block has defined still come to pass?
    ///
    /// # Errors
    /// 40001 if somebody else has defined something since.
    pub(super) fn drafts_stand(&self, turn: &Turn<'_>) -> Result<(), SqlError> {
        let Block::Open(open) = &self.block else { return Ok(()) };
        let stands = open.drafts.is_empty() || turn.shared.catalog.version <= open.catalog_version;
        if stands { Ok(()) } else { Err(outdated()) }
    }

    /// A definition in the open block.
    pub(super) fn define_in_block(&mut self, turn: &mut Turn<'_>, statement: Parsed, origin: Origin) {
        let Block::Open(open) = &mut self.block else { return self.broken(turn) };
        open.queried = true;
        let fresh = open.is_untouched() && open.drafts.is_empty();
        match self.draft(turn, &statement) {
            Ok((tag, notices)) => {
                self.note_statement(turn, &statement.text);
                if self.settings.wants_notices() {
                    for notice in &notices {
                        self.writer.notice(Severity::Notice, notice);
                        self.flush = true;
                    }
                }
                self.writer.command_complete(&tag);
                self.go_on(turn, origin);
            }
            Err(error) => {
                let error = super::extended::shifted(error, statement.offset);
                if !fresh {
                    return self.fail(turn, error);
                }
                let task = self.task_of(statement, origin);
                self.confirm(turn, task, error);
            }
        }
    }

    /// Puts a definition behind the drafts of the open block. Returns its tag and notices.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(super) fn draft(&mut self, turn: &Turn<'_>, statement: &Parsed) -> Result<(String, Vec<SqlError>), SqlError> {
        if let Some(what) = sql::stands_alone(statement)? {
            let message = format!("{what} cannot run inside a transaction block");
            return Err(SqlError::new(SqlState(*b"25001"), message));
        }
        let Block::Open(open) = &self.block else { return Err(outdated()) };
        let known = turn.shared.catalog.version;
        if open.catalog.is_none() && !open.is_untouched() && open.catalog_version != known {
            return Err(outdated());
        }
        let before = match (open.drafts.last(), &open.catalog) {
            (Some(draft), _) => Arc::clone(&draft.catalog),
            (None, Some(base)) => Arc::clone(base),
            (None, None) => Arc::clone(&turn.shared.catalog),
        };
        let sql::Definition { mut catalog, tag, notices, .. } = self.check_definition(turn, &before, statement)?;
        while let Some(text) = sql::next_to_finish(&catalog) {
            for statement in sql::parse(&text)? {
                catalog = sql::define(&catalog, &statement, &self.surroundings(turn))?.catalog;
            }
        }
        let settings = Arc::clone(self.settings.travelling());
        let Block::Open(open) = &mut self.block else { return Err(outdated()) };
        if open.bytes + statement.text.len() > MAX_TRANSACTION_BYTES {
            return Err(super::open::too_large());
        }
        open.bytes += statement.text.len();
        if open.catalog.is_none() {
            open.catalog_version = before.version;
            open.catalog = Some(before);
        }
        sometimes!("session.definition_drafted");
        let definition = Ddl { text: Arc::clone(&statement.text), settings };
        open.drafts.push(Draft { definition, catalog: Arc::new(catalog) });
        Ok((tag, notices))
    }

    /// The plan of a statement behind drafts, if it is not that which it had before them.
    ///
    /// # Errors
    /// What the statement has wrong under the drafts; 0A000 if it is about what they have changed.
    pub(super) fn plan_behind_drafts(
        &self,
        parsed: &Parsed,
        types: &[Option<DataType>],
    ) -> Result<Option<Arc<Prepared>>, SqlError> {
        let Block::Open(open) = &self.block else { return Ok(None) };
        let (Some(draft), Some(base)) = (open.drafts.last(), &open.catalog) else { return Ok(None) };
        // What waits was done under the old catalog, and is checked there.
        if matches!(parsed.kind, Kind::Constraints(_)) {
            return Ok(None);
        }
        let settings = self.settings.travelling();
        let plan = sql::prepare(&draft.catalog, parsed, settings, types)?;
        let now = plan.relations();
        if now.is_empty() || matches!(parsed.kind, Kind::Explain) {
            return Ok(Some(Arc::new(plan)));
        }
        if let Some(changed) = now.iter().find(|table| !base.table_by_id(table.id).is_some_and(|old| old == **table)) {
            return Err(changed_before(changed));
        }
        let before = sql::prepare(base, parsed, settings, types).map_err(|_| changed_before(now[0]))?;
        if before.relations().iter().map(|table| table.id).ne(now.iter().map(|table| table.id)) {
            return Err(changed_before(now[0]));
        }
        Ok(None)
    }

    /// COMMIT of a block that has drafts.
    pub(super) fn order_drafts(&mut self, turn: &mut Turn<'_>, job: CommitJob) {
        if self.settings.idempotency_token().is_some() {
            // It was set behind the first definition: what the block has written would not be noted under it.
            return self.commit_failed(turn, job, defines_under_token());
        }
        let open = &job.open;
        let data = (1..=turn.shared.config.partitions).map(PartitionId);
        let lists = open.lists.iter().map(|(partition, list)| (*partition, open.commitment(list, true))).collect();
        let body = RequestBody::Order {
            participants: std::iter::once(PartitionId::CLUSTER).chain(data).collect(),
            body: Arc::new(GlobalBody::Define {
                definitions: open.drafts.iter().map(|draft| draft.definition.clone()).collect(),
                lists,
                catalog_version: open.catalog_version,
            }),
        };
        sometimes!("session.drafts_ordered");
        sometimes!("session.drafts_ordered_with_rows", !open.lists.is_empty());
        self.job = Some(Job::Commit(job));
        self.start_changing(turn, Role::Work, PartitionId::CLUSTER, body, true);
    }

    /// They are in force everywhere. This gateway must know them before it goes on.
    pub(super) fn drafts_committed(&mut self, turn: &mut Turn<'_>, mut job: CommitJob, collecting: &Collecting) {
        if turn.shared.catalog.version > collecting.body.catalog_version() {
            return self.committed(turn, job);
        }
        job.defined = true;
        self.job = Some(Job::Commit(job));
        self.read_catalog(turn);
    }
}

fn changed_before(table: &Table) -> SqlError {
    sometimes!("session.statement_about_draft");
    SqlError::unsupported(format!("\"{}\" was defined anew in this transaction block", table.name))
        .detail("Rows of a block are read and written under the definitions from before it.")
        .hint("COMMIT the definitions first, and go on in another transaction.")
}
