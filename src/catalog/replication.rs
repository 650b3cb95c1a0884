//! What a table asks of the copies of its rows before a write is acknowledged (rules A2).
//!
//! It decides when a reply is released, and nothing else: what is in the log, what a vote or an acknowledgement between replicas
//! means is the same whatever a table asks.

use super::{Catalog, Table};
use crate::types::TreeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// What a write waits for before it is acknowledged, besides its commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asked {
    /// [`ReplicationMode::Sync`]: every replica that is in sync has it on disk.
    pub mode: ReplicationMode,
    /// So many backups have it on disk.
    pub backups: u32,
}

impl Asked {
    /// Nothing: what is committed is acknowledged.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        !self.is_sync() && self.backups == 0
    }

    /// All that are in sync.
    #[must_use]
    pub const fn is_sync(self) -> bool {
        matches!(self.mode, ReplicationMode::Sync)
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { mode: self.mode.max(other.mode), backups: self.backups.max(other.backups) }
    }
}

/// Which trees ask for more than a commit: a function of the catalog, looked up for each write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    trees: BTreeMap<TreeId, Asked>,
    most: Asked,
}

impl Asking {
    /// What a catalog's tables ask for.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let mut asking = Self::default();
        for table in catalog.tables.values() {
            let Replication { backups, mode } = catalog.replication_of(table);
            let mode = mode.unwrap_or_default().max(ReplicationMode::SemiSync);
            let asked = Asked { mode, backups: backups.unwrap_or(0) };
            if !asked.is_nothing() {
                asking.most = asking.most.and(asked);
                asking.trees.extend(table.trees().map(|tree| (tree, asked)));
            }
        }
        asking
    }

    /// Does no table ask for anything?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    /// What the strictest table asks for.
    #[must_use]
    pub const fn most(&self) -> Asked {
        self.most
    }

    /// What is asked for by who has written to these trees.
    #[must_use]
    pub fn by(&self, trees: impl Iterator<Item = TreeId>) -> Asked {
        if self.is_empty() {
            return Asked::default();
        }
        trees.filter_map(|tree| self.trees.get(&tree)).fold(Asked::default(), |all, asked| all.and(*asked))
    }
}

impl Catalog {
    /// What holds for a table: what it says itself, else what the cluster says. A sequence that goes with a column is as safe as the table:
    /// rows that outlive their sequence's state would meet their own keys again.
    #[must_use]
    pub fn replication_of(&self, table: &Table) -> Replication {
        let owner = table.sequence.as_ref().and_then(|_| self.owner_of(table.id));
        owner.map_or(table.replication, |(owner, _)| table.replication.or(owner.replication)).or(self.replication)
    }

    /// The most backups that anything asks for, and who does: a table, or (`None`) the cluster.
    #[must_use]
    pub fn most_backups(&self) -> Option<(u32, Option<&Table>)> {
        let tables = self.tables.values().filter_map(|table| Some((table.replication.backups?, Some(&**table))));
        let cluster = self.replication.backups.map(|backups| (backups, None));
        cluster.into_iter().chain(tables).max_by_key(|(backups, _)| *backups)
    }
}
