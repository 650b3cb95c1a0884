//! What a table asks of the copies of its rows before a write is acknowledged (rules A2).
//!
//! It decides when a reply is released, and nothing else: what is in the log, what a vote or an acknowledgement between replicas
//! means is the same whatever a table asks.

use super::{Catalog, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// When a write is acknowledged, from the weakest promise to the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReplicationMode {
    /// Its leader has executed it; copies follow.
    Async,
    /// A quorum has it on disk.
    #[default]
    SemiSync,
    /// All replicas that are in sync have it on disk.
    Sync,
}

impl ReplicationMode {
    /// As it is written and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::SemiSync => "semi-sync",
            Self::Sync => "sync",
        }
    }

    /// The mode of this name, or of one that operators use for it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "async" | "asynchronous" => Self::Async,
            "semi-sync" | "semisync" | "semi-synchronous" => Self::SemiSync,
            "sync" | "synchronous" => Self::Sync,
            _ => return None,
        })
    }
}

impl fmt::Display for ReplicationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// REPLICATION and REPLICATION_MODE, as far as they have been said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// So many backups hold a write before it is acknowledged, besides the leader.
    pub backups: Option<u32>,
    /// When it is.
    pub mode: Option<ReplicationMode>,
}

impl Replication {
    /// What is not said here is as it is said there.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { backups: self.backups.or(other.backups), mode: self.mode.or(other.mode) }
    }
}

impl Catalog {
    /// What holds for a table: what it says itself, else what the cluster says.
    #[must_use]
    pub fn replication_of(&self, table: &Table) -> Replication {
        table.replication.or(self.replication)
    }

    /// The most backups that anything asks for, and who does: a table, or (`None`) the cluster.
    #[must_use]
    pub fn most_backups(&self) -> Option<(u32, Option<&Table>)> {
        let tables = self.tables.values().filter_map(|table| Some((table.replication.backups?, Some(&**table))));
        let cluster = self.replication.backups.map(|backups| (backups, None));
        cluster.into_iter().chain(tables).max_by_key(|(backups, _)| *backups)
    }
}
