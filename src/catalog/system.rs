//! Tables of the schema `system`: one literal list.
//!
//! They are tables like others to whoever plans a statement, but no partition has their rows: the session that reads one
//! asks every node what it sees at that moment and runs the plan over the answers (`session::system`). They are no part
//! of a [`Catalog`](super::Catalog), take no number of its tables and trees, and cannot be written.
//!
//! # Invariants
//! - Each has a primary key, and its rows come in that order.
//! - Columns are only ever added, at the end: operators' queries go on working.

use super::{Column, Table};
use crate::types::{DataType, TableId, TreeId};
use std::sync::{Arc, LazyLock};

/// The schema's name.
pub const SCHEMA: &str = "system";

/// Numbers of system tables, far above any that a catalog gives.
const FIRST_NUMBER: u32 = 0xffff_0000;

/// A table of the list.
#[derive(Clone, Copy, Debug)]
pub struct SystemTable {
    /// Name, in the schema `system`.
    pub name: &'static str,
    /// What its rows are.
    pub description: &'static str,
    /// Columns: name, type, description.
    pub columns: &'static [(&'static str, DataType, &'static str)],
    /// The first so many columns are the primary key.
    pub key: usize,
}

use DataType::{Bool, Int4, Int8, Text, TimestampTz};

/// All of them, in order of name.
#[rustfmt::skip]
pub const SYSTEM_TABLES: &[SystemTable] = &[
    SystemTable {
        name: "cluster",
        description: "Settings of the whole cluster; ALTER CLUSTER changes them.",
        key: 1,
        columns: &[
            ("name", Text, "Name."),
            ("value", Text, "Value."),
            ("description", Text, "What it does."),
        ],
    },
    SystemTable {
        name: "columns",
        description: "Columns of the tables that are defined.",
        key: 3,
        columns: &[
            ("schema", Text, "Schema of the table."),
            ("table_name", Text, "The table."),
            ("position", Int4, "Place in the table, from 1."),
            ("name", Text, "Name of the column."),
            ("type", Text, "Its type."),
            ("not_null", Bool, "Is NULL refused?"),
            ("default_value", Text, "DEFAULT as SQL text."),
            ("identity", Text, "GENERATED … AS IDENTITY: `always` or `by default`."),
        ],
    },
    SystemTable {
        name: "constraints",
        description: "Primary keys, UNIQUE, FOREIGN KEY and CHECK constraints.",
        key: 3,
        columns: &[
            ("schema", Text, "Schema of the table."),
            ("table_name", Text, "The table."),
            ("name", Text, "Name of the constraint."),
            ("kind", Text, "`primary key`, `unique`, `foreign key` or `check`."),
            ("definition", Text, "As SQL text."),
        ],
    },
    SystemTable {
        name: "databases",
        description: "Databases: namespaces of schemas.",
        key: 1,
        columns: &[
            ("name", Text, "Name. `orrery` and `postgres` are two names of one database."),
            ("schemas", Int4, "How many schemas it has, `public` among them."),
            ("tables", Int4, "How many tables they have."),
        ],
    },
    SystemTable {
        name: "events",
        description: "The latest noteworthy events of each worker: starts, leaders, slow statements, trouble.",
        key: 3,
        columns: &[
            ("node", Int4, "Node that saw it."),
            ("worker", Int4, "Worker of that node."),
            ("number", Int8, "Number among the worker's events since its start."),
            ("at", TimestampTz, "When, by that node's clock."),
            ("severity", Text, "`info` or `warning`."),
            ("kind", Text, "What kind: `start`, `leader`, `no_leader`, `peer_restart`, `peer_gone`, `catalog`, `slow_statement`, `pause`, `damage`."),
            ("partition", Int4, "The partition that it concerns."),
            ("text", Text, "What happened."),
        ],
    },
    SystemTable {
        name: "indexes",
        description: "Secondary indexes.",
        key: 3,
        columns: &[
            ("schema", Text, "Schema of the table."),
            ("table_name", Text, "The table."),
            ("name", Text, "Name of the index."),
            ("columns", Text, "Indexed columns, as in CREATE INDEX."),
            ("is_unique", Bool, "Is it UNIQUE?"),
            ("state", Text, "`active`, or `building` while it is not yet proved complete."),
        ],
    },
    SystemTable {
        name: "moves",
        description: "Partitions whose replicas are not where they are wanted, as the cluster partition's leader sees them.",
        key: 1,
        columns: &[
            ("partition", Int4, "The partition."),
            ("state", Text, "`waiting`, `catching up`, `changing`, or `unknown`: its leader has not been heard."),
            ("coming", Text, "Nodes that are to get a vote."),
            ("going", Text, "Nodes that are to give their replica up."),
            ("lag", Int8, "Entries that those who come lack, at most."),
        ],
    },
    SystemTable {
        name: "nodes",
        description: "Nodes of the cluster, one that does not answer too.",
        key: 1,
        columns: &[
            ("node", Int4, "Number of the node."),
            ("state", Text, "`up`, or `unreachable`: it has not answered in time."),
            ("sql_address", Text, "Where it listens for PostgreSQL clients."),
            ("http_address", Text, "Where it listens for health and metrics."),
            ("version", Text, "Version of its program."),
            ("incarnation", Int8, "How often it has been started."),
            ("started_at", TimestampTz, "When its present life began, by its clock."),
            ("clock", TimestampTz, "Its clock when it answered."),
            ("workers", Int4, "Its worker threads."),
            ("replicas", Int4, "Partitions of which it has a replica."),
            ("leads", Int4, "Partitions that it leads."),
            ("sessions", Int4, "Client sessions."),
            ("membership", Text, "`joining`: it has not been heard yet; `active`; `draining`: its replicas go elsewhere; `drained`: it has none."),
            ("peer_address", Text, "Where it listens for other nodes, as the cluster knows it."),
            ("zone", Text, "What may fail together with it."),
            ("weight", Int4, "Its share of replicas, beside the others'."),
            ("priority", Int4, "Who is to lead, if several can: the greatest."),
            ("node_id", Int4, "Number of the node, again: as other systems call it."),
            ("is_alive", Bool, "Has it answered, or does a node that has answered hear it?"),
        ],
    },
    SystemTable {
        name: "partitions",
        description: "Partition groups, as their replicas see them.",
        key: 1,
        columns: &[
            ("partition", Int4, "Number; 0 is the cluster partition (catalog, membership)."),
            ("kind", Text, "`cluster` or `data`."),
            ("leader", Int4, "The node that says it leads; NULL: none of those that answered."),
            ("era", Int8, "Newest era (Raft: term) that a replica knows."),
            ("replicas", Int4, "Replicas that it has."),
            ("answering", Int4, "Replicas that have answered."),
            ("committed", Int8, "Highest log position known to be committed."),
            ("max_lag", Int8, "Entries that the slowest answering replica has still to execute."),
        ],
    },
    SystemTable {
        name: "recoveries",
        description: "Replicas that lack something, and those that have fetched a snapshot since their node was started.",
        key: 2,
        columns: &[
            ("node", Int4, "The node."),
            ("partition", Int4, "The partition."),
            ("state", Text, "`fetching a snapshot`, `waiting for a snapshot`, `catching up`, `getting its vote back`, `forming the cluster`, `waiting to be taught`, `recovered`."),
            ("source", Int4, "The node that sends the snapshot."),
            ("snapshot", Int8, "Log position of the snapshot, or the least that is wanted."),
            ("bytes", Int8, "Bytes of it that have come."),
            ("percent", Int4, "So much of its rows has come."),
            ("executed", Int8, "Position that the replica has executed."),
            ("target", Int8, "Position known to be committed: there it lacks nothing."),
        ],
    },
    SystemTable {
        name: "replicas",
        description: "Replicas of partitions, one of a node that does not answer too.",
        key: 2,
        columns: &[
            ("partition", Int4, "The partition."),
            ("node", Int4, "The node."),
            ("role", Text, "`leader`, `follower` or `candidate`; NULL: the node has not answered."),
            ("leader", Int4, "The node that it believes to lead."),
            ("era", Int8, "Its era (Raft: term)."),
            ("log_last", Int8, "Last position of its log."),
            ("committed", Int8, "Position that it knows to be committed."),
            ("executed", Int8, "Position that it has executed."),
            ("lag", Int8, "Committed entries of the partition that it has still to execute."),
            ("pending", Int4, "Requests that wait for their commit here."),
            ("digest", Text, "Digest of its rows at `executed`: replicas at the same position have the same."),
            ("suspicion", Int4, "How suspicious its leader's silence is, in thousandths: from 1000 on it asks whether it would be elected."),
            ("wanted", Text, "What the cluster wants there: `voter`, `learner`, `witness`; NULL: nothing."),
            ("durable", Int8, "Position up to which its leader knows it to have the log on disk; NULL: no leader has answered."),
            ("lag_bytes", Int8, "Bytes of the leader's log behind `durable`; NULL if some of that is in checkpoints only."),
            ("lag_ms", Int8, "For how many milliseconds it has lacked something of the leader's log; 0: it lacks nothing."),
            ("mode", Text, "The strictest replication mode that a table asks for here; NULL: no leader has answered."),
            ("in_sync", Bool, "Synchronous writes wait for it: it has all that they have written; NULL: no table asks for that."),
        ],
    },
    SystemTable {
        name: "sequences",
        description: "Sequences. What they have come to: `SELECT * FROM` the sequence.",
        key: 2,
        columns: &[
            ("schema", Text, "Schema."),
            ("name", Text, "Name."),
            ("type", Text, "Type of its values."),
            ("start_value", Int8, "Where RESTART begins again."),
            ("increment_by", Int8, "From one value to the next."),
            ("min_value", Int8, "Least value."),
            ("max_value", Int8, "Greatest value."),
            ("cache_size", Int8, "CACHE: least number of values that a gateway reserves at a time."),
            ("cycles", Bool, "Does it begin again at its end?"),
            ("owned_by", Text, "Table and column that it goes with."),
            ("partition", Int4, "Data partition that keeps its state."),
        ],
    },
    SystemTable {
        name: "sessions",
        description: "Client sessions of all nodes that answer.",
        key: 3,
        columns: &[
            ("node", Int4, "Node that the client is connected to."),
            ("worker", Int4, "Worker of that node."),
            ("pid", Int4, "The session's process id, as `pg_backend_pid()`."),
            ("user_name", Text, "User."),
            ("database", Text, "Database."),
            ("application_name", Text, "What the client calls itself."),
            ("state", Text, "`active` while a statement is under way, else `idle`, `idle in transaction`, `idle in transaction (aborted)`."),
            ("connected_at", TimestampTz, "When it connected."),
            ("statement_at", TimestampTz, "When the latest statement began."),
            ("statement", Text, "The latest statement, cut after 1024 bytes."),
        ],
    },
    SystemTable {
        name: "settings",
        description: "Settings of this session, and of the node that answers.",
        key: 2,
        columns: &[
            ("scope", Text, "`session`: SET changes it. `node`: fixed when the node was started."),
            ("name", Text, "Name."),
            ("value", Text, "Value."),
            ("description", Text, "What it does."),
        ],
    },
    SystemTable {
        name: "tables",
        description: "Tables that are defined.",
        key: 2,
        columns: &[
            ("schema", Text, "Schema."),
            ("name", Text, "Name."),
            ("columns", Int4, "How many columns."),
            ("primary_key", Text, "Columns of the primary key; NULL: there is none."),
            ("partition_key", Text, "Columns whose values decide the partition; NULL: none do."),
            ("placement", Text, "By what: `hash`, `range`, `replicated` (all rows are everywhere), `together` (all in one)."),
            ("description", Text, "Of system tables: what their rows are."),
            ("replication", Int4, "Backups that hold a write before it is acknowledged; NULL: those of a quorum."),
            ("replication_mode", Text, "When a write is acknowledged: `semi-sync`, when a quorum has it on disk; `sync`, when all have that are in sync."),
        ],
    },
];

static TABLES: LazyLock<Vec<Arc<Table>>> = LazyLock::new(|| {
    let numbers = FIRST_NUMBER..;
    SYSTEM_TABLES.iter().zip(numbers).map(|(table, number)| Arc::new(table.definition(number))).collect()
});

impl SystemTable {
    fn definition(&self, number: u32) -> Table {
        let column = |(place, (name, data_type, _)): (usize, &(&str, DataType, &str))| Column {
            not_null: place < self.key,
            ..Column::new((*name).to_owned(), *data_type)
        };
        Table {
            columns: self.columns.iter().enumerate().map(column).collect(),
            primary_key: (0..self.key).collect(),
            primary_key_name: Some(format!("{}_pkey", self.name)),
            partition_key: vec![0],
            ..Table::new(TableId(number), TreeId(number), SCHEMA, self.name)
        }
    }
}

/// Definitions of all system tables, in the order of [`SYSTEM_TABLES`].
#[must_use]
pub fn tables() -> &'static [Arc<Table>] {
    &TABLES
}

/// The system table of this name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Arc<Table>> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    /// Is it one of the schema `system`?
    #[must_use]
    pub const fn is_system(&self) -> bool {
        self.id.0 >= FIRST_NUMBER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_each_table_has_its_key_in_front() {
        assert!(SYSTEM_TABLES.is_sorted_by(|a, b| a.name < b.name));
        for table in SYSTEM_TABLES {
            assert!((1..table.columns.len()).contains(&table.key), "{}", table.name);
            assert!(table.columns.iter().all(|(_, _, text)| text.ends_with(['.', '?'])), "{}", table.name);
        }
    }

    #[test]
    fn the_documentation_lists_every_column() {
        let text = include_str!("../../docs/system-tables.md");
        for table in SYSTEM_TABLES {
            let rows =
                table.columns.iter().map(|(name, data_type, what)| format!("| {name} | {data_type} | {what} |\n"));
            let expected = format!(
                "## system.{}\n\n{}\n\n| column | type | what it is |\n|---|---|---|\n{}",
                table.name,
                table.description,
                rows.collect::<String>()
            );
            assert!(text.contains(&expected), "docs/system-tables.md should have:\n{expected}");
        }
    }
}
