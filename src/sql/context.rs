//! What the evaluation of an expression may depend on besides its arguments: the fixed clock, the seeded dice, facts of
//! the session. Everything in it was fixed before execution, so that every replica evaluates alike.

use super::integrity::{Changes, Deferred};
use super::locking::Locking;
use super::placement::Share;
use super::sequence::Drawing;
use super::settings::Settings;
use crate::catalog::{Catalog, shown_schema};
use crate::types::datetime::{TimeContext, TimeZone};
use crate::types::{PartitionId, Rng, SqlError, SqlState, Timestamp};

/// Surroundings of one statement's execution.
#[derive(Clone, Debug)]
pub struct Context {
    /// `now()` and the session's time zone.
    pub time: TimeContext,
    /// `random()`, `gen_random_uuid()`.
    pub rng: Rng,
    /// Answers of `current_user` and the like.
    pub session: SessionFacts,
    /// Most rows to return; 0: all.
    pub max_rows: u32,
    /// What part of the rows the executor has, in a statement over several partitions; `None`: all that matter.
    pub share: Option<Share>,
    /// Who executes: the owner of the keys of the rows that it writes.
    pub at: PartitionId,
    /// What follows from the statement's changes is settled together with other partitions ([`super::Prepared::settle`]),
    /// not at its end.
    pub together: bool,
    /// Changes of rows from which something follows.
    pub changes: Changes,
    /// Checks that the changes make necessary, and that wait.
    pub deferred: Deferred,
    /// Checks that have waited and are due.
    pub due: Deferred,
    /// What it knows of soft locks.
    pub locking: Locking,
    /// Values of sequences that were drawn for it.
    pub(super) drawn: Drawing,
}

/// Facts of the session that expressions can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// `current_database()`
    pub database: String,
    /// `current_user`, `session_user`
    pub user: String,
    /// First of the search path: `current_schema()`; `None` when it is empty.
    pub schema: Option<String>,
    /// `pg_backend_pid()`
    pub backend: i32,
}

impl Default for SessionFacts {
    fn default() -> Self {
        Self { database: "orrery".to_owned(), user: "orrery".to_owned(), schema: Some("public".to_owned()), backend: 0 }
    }
}

impl Context {
    /// With the clock at `now`, these dice, the named time zone (UTC if there is none such), at most `max_rows` rows
    /// (0: all); default facts of the session.
    #[must_use]
    pub fn new(now: Timestamp, rng: Rng, time_zone: &str, max_rows: u32) -> Self {
        let zone = TimeZone::find(time_zone).unwrap_or_else(TimeZone::utc);
        Self {
            time: TimeContext { now, zone },
            rng,
            session: SessionFacts::default(),
            max_rows,
            share: None,
            at: PartitionId(1),
            together: false,
            changes: Changes::default(),
            deferred: Deferred::default(),
            due: Deferred::default(),
            locking: Locking::Off,
            drawn: Drawing::default(),
        }
    }

    /// For whoever executes what is a transaction of its own: no check has been put off.
    ///
    /// # Errors
    /// XX000: there is no COMMIT that would make up for it. The session has sent what belongs in a block.
    pub fn nothing_waits(&self) -> Result<(), SqlError> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        Err(SqlError::new(SqlState::INTERNAL_ERROR, "a constraint's check was deferred outside of a transaction block"))
    }

    /// The same with the facts of a session with these settings. Its process is nobody's business but its gateway's.
    #[must_use]
    pub fn of(catalog: &Catalog, settings: &Settings, now: Timestamp, rng: Rng, max_rows: u32) -> Self {
        let database = &settings.database;
        let is_there =
            |schema: &&String| shown_schema(database, schema) == "public" || catalog.schemas.contains(schema);
        let schema = settings.search_path.iter().find(is_there);
        let session = SessionFacts {
            database: database.clone(),
            user: settings.user.clone(),
            schema: schema.map(|stored| shown_schema(database, stored).to_owned()),
            backend: 0,
        };
        Self { session, ..Self::new(now, rng, &settings.time_zone, max_rows) }
    }
}
