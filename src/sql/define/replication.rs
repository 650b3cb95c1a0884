//! REPLICATION and REPLICATION_MODE: of a table, and of all that say nothing themselves.
//!
//! ```sql
//! CREATE TABLE … (…) WITH (replication = 1, replication_mode = 'semi-sync');
//! ALTER TABLE t SET (replication = 1);                     -- DEFAULT: as the cluster says
//! ALTER CLUSTER SET replication_mode = 'semi-sync';
//! ```
//! How many replicas there are only the cluster partition knows. It is a participant of every definition, and refuses for all what
//! cannot be kept.

use super::Change;
use crate::catalog::{Replication, ReplicationMode};
use crate::sql::parse::ClusterDefault;
use crate::types::{SqlError, SqlState};
use sqlparser::ast;

/// What ALTER TABLE … SET and WITH say of replication: each as far as it is named, `Some(None)` as the cluster says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) backups: Option<Option<u32>>,
    pub(super) mode: Option<Option<ReplicationMode>>,
}

impl Told {
    /// Takes a parameter; `false`: it is another one.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, SqlError> {
        let default = value.eq_ignore_ascii_case("default");
        match name {
            "replication" => {
                let backups =
                    || value.parse().map_err(|_| invalid_value(name, value, "A number of backups is expected."));
                self.backups = Some(if default { None } else { Some(backups()?) });
            }
            "replication_mode" => {
                let hint = "Modes are async, semi-sync and sync.";
                let mode = || ReplicationMode::of(value).ok_or_else(|| invalid_value(name, value, hint));
                self.mode = Some(if default { None } else { Some(mode()?) });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What was there, with what is said.
    pub(super) fn over(self, before: Replication) -> Replication {
        Replication { backups: self.backups.unwrap_or(before.backups), mode: self.mode.unwrap_or(before.mode) }
    }
}

fn invalid_value(name: &str, value: &str, hint: &str) -> SqlError {
    let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).hint(hint)
}

/// The options of ALTER TABLE … SET (…).
pub(super) fn of_options(options: &[ast::SqlOption]) -> Result<Told, SqlError> {
    let mut told = Told::default();
    for option in options {
        let (name, value) = super::placement::option(option);
        if !told.take(&name, &value)? {
            return Err(match name.as_str() {
                "replicated" | "split_at" => {
                    SqlError::unsupported(format!("\"{name}\" of a table that exists cannot be set"))
                        .hint("PARTITION TABLE … ON COLUMN … places its rows anew.")
                }
                _ => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized parameter \"{name}\"")),
            });
        }
    }
    Ok(told)
}

impl Change<'_> {
    /// Can this be promised? What is said of one table, or by the cluster.
    pub(super) fn check_replication(&self, wanted: Replication) -> Result<(), SqlError> {
        if let Some(mode @ ReplicationMode::Async) = wanted.mode {
            return Err(SqlError::unsupported(format!("replication_mode \"{mode}\" is not supported yet")).hint(
                "Modes are semi-sync, acknowledged when a quorum of the replicas has it on disk, and sync, when all have \
                 that are in sync.",
            ));
        }
        let (Some(backups), Some(replicas)) = (wanted.backups, self.replicas) else { return Ok(()) };
        let most = replicas.saturating_sub(1);
        if backups > most {
            let message = format!(
                "replication of {backups} needs {} replicas, and partitions have {replicas}",
                u64::from(backups) + 1
            );
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .hint("ALTER CLUSTER SET k_safety = k gives each partition 2 k + 1 replicas."));
        }
        Ok(())
    }

    /// ALTER CLUSTER SET replication, replication_mode.
    pub(super) fn cluster_default(&mut self, said: &ClusterDefault) -> Result<&'static str, SqlError> {
        let mut told = Told::default();
        told.take(&said.name, &said.value)?;
        let wanted = told.over(self.catalog.replication);
        self.check_replication(wanted)?;
        self.catalog.replication = wanted;
        Ok("ALTER CLUSTER")
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;
    use crate::sql::{Settings, Surroundings, define, parse};
    use crate::types::Timestamp;

    fn told(replicas: Option<u32>) -> String {
        let settings = Settings::default();
        let surroundings = Surroundings { settings: &settings, partitions: 4, now: Timestamp(0), replicas };
        let mut catalog = Catalog::default();
        let mut told = String::new();
        for text in [
            "CREATE TABLE a (id int PRIMARY KEY) WITH (REPLICATION = 1, REPLICATION_MODE = 'semi-sync')",
            "CREATE TABLE b (id int PRIMARY KEY) WITH REPLICATION = 1",
            "CREATE TABLE c (id int) WITH REPLICATION = 1, REPLICATION_MODE = semi_sync",
            "CREATE TABLE d (id int PRIMARY KEY) PARTITION BY HASH (id) WITH REPLICATION = 0",
            "CREATE TABLE e (id int PRIMARY KEY) WITH REPLICATED",
            "CREATE TABLE f (id int PRIMARY KEY)",
            "CREATE TABLE g (id int) WITH REPLICATION = 2",
            "CREATE TABLE x (id int) WITH (REPLICATION = 3)",
            "CREATE TABLE x (id int) WITH (REPLICATION = 2, REPLICATION_MODE = 'async')",
            "CREATE TABLE h (id int) WITH (REPLICATION_MODE = 'sync')",
            "CREATE TABLE x (id int) WITH (REPLICATION_MODE = 'eventual')",
            "CREATE TABLE x (id int) WITH (REPLICATION = many)",
            "CREATE TABLE x (id int) WITH REPLICATION",
            "CREATE TABLE x (id int) WITH REPLICATION =",
            "ALTER TABLE f SET (replication = 1)",
            "ALTER TABLE a SET (replication_mode = DEFAULT, replication = DEFAULT)",
            "ALTER TABLE a SET (replication = 7)",
            "ALTER TABLE a SET (replicated = true)",
            "ALTER TABLE a SET (colour = 7)",
            "ALTER CLUSTER SET replication = 1",
            "ALTER CLUSTER SET replication_mode TO 'semi-sync'",
            "ALTER CLUSTER SET replication_mode = 'sync'",
            "ALTER CLUSTER SET replication = DEFAULT",
            "ALTER CLUSTER SET replication = 1 2",
        ] {
            let defined = parse(text).and_then(|statements| define(&catalog, &statements[0], &surroundings));
            let line = match defined {
                Ok(definition) => {
                    catalog = definition.catalog;
                    definition.tag
                }
                Err(error) => {
                    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(" | {hint}"));
                    format!("{} {}{hint}", error.state.as_str(), error.message)
                }
            };
            told += &format!("{text}\n  {line}\n");
        }
        let shown = |table: &crate::catalog::Table| format!("{}: {:?}\n", table.name, catalog.replication_of(table));
        told + &catalog.tables.values().map(|table| shown(table)).collect::<String>()
    }

    #[test]
    fn the_cluster_partition_refuses_what_cannot_be_kept() {
        insta::assert_snapshot!(told(Some(3)));
    }

    #[test]
    fn who_does_not_know_how_many_replicas_there_are_leaves_it_to_the_cluster_partition() {
        let refused = |told: &str| told.lines().filter(|line| line.contains("and partitions have 3")).count();
        assert_eq!((refused(&told(Some(3))), refused(&told(None))), (2, 0));
    }
}
