//! **Catalog**: what tables, columns, indexes and constraints exist, as a value.
//!
//! The truth is the cluster partition's state; every data partition holds a copy as of a version, and each command names
//! the version that it was planned under. Expressions (defaults, checks) are kept as SQL text and compiled by `sql`, so
//! that the format on disk does not depend on the compiler.
//!
//! # Invariants
//! - Identifiers ([`TableId`], [`TreeId`]) are never reused; `next_table` and `next_tree` only grow.
//! - A version names one content: two catalogs of one cluster with equal versions are equal.
//! - Names are stored folded as PostgreSQL folds them.
//! - A column keeps its position as long as its table lives: rows are arrays. A dropped column keeps it too, under a name
//!   that nobody can give ([`Column::drop_it`]), and no key, index or constraint uses it.

mod database;
mod replication;
mod row;
mod sequence;
pub mod system;

pub use database::{BUILT_IN_DATABASES, shown_schema, stored_schema};
pub use replication::{Asked, Asking, Replication, ReplicationMode};
pub use sequence::{ColumnSequences, Identity, Reset, Sequence};

use crate::types::{CatalogVersion, DataType, TableId, TreeId, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All definitions at one version. Cheap to clone: tables are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Raised by each DDL that changes anything.
    pub version: CatalogVersion,
    /// Tables by (schema, name).
    pub tables: BTreeMap<(String, String), Arc<Table>>,
    /// Schemas that exist besides `public`, `pg_catalog`, `information_schema` and `system`, as they are stored
    /// ([`stored_schema`]).
    pub schemas: Vec<String>,
    /// Next unused table number.
    pub next_table: u32,
    /// Next unused tree number.
    pub next_tree: u32,
    /// Databases that exist besides [`BUILT_IN_DATABASES`].
    pub databases: Vec<String>,
    /// What holds for tables that say nothing themselves.
    pub replication: Replication,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Number, never reused.
    pub id: TableId,
    /// Schema, `public` unless said otherwise.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Columns in order of definition.
    pub columns: Vec<Column>,
    /// Positions of the primary key's columns; empty: rows have a hidden row id.
    pub primary_key: Vec<usize>,
    /// Name of the primary key's constraint (`t_pkey`).
    pub primary_key_name: Option<String>,
    /// The tree that holds the rows.
    pub tree: TreeId,
    /// Secondary indexes, those of UNIQUE constraints among them, in order of creation.
    pub indexes: Vec<Index>,
    /// CHECK constraints, in order of name (PostgreSQL checks them so).
    pub checks: Vec<Check>,
    /// Positions of the columns that decide the partition (default: the primary key's first); empty: all rows are in one
    /// partition, or in each.
    pub partition_key: Vec<usize>,
    /// How they decide it.
    pub placement: Placement,
    /// FOREIGN KEY constraints, in order of definition.
    pub foreign_keys: Vec<ForeignKey>,
    /// It is a sequence, and the one row of this relation its state.
    pub sequence: Option<Box<Sequence>>,
    /// What it asks of the copies of its rows.
    pub replication: Replication,
}

/// A FOREIGN KEY: rows of this table reference rows of another one, or of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Name, unique among the table's constraints.
    pub name: String,
    /// Positions of the referencing columns.
    pub columns: Vec<usize>,
    /// The referenced table.
    pub parent: TableId,
    /// Positions of its columns, one for each referencing one; together its primary key or a UNIQUE of it.
    pub parent_columns: Vec<usize>,
    /// MATCH FULL: all columns are NULL or none. Otherwise (MATCH SIMPLE) a row with any NULL references nothing.
    pub full: bool,
    /// What a DELETE of the referenced row does.
    pub on_delete: ForeignAction,
    /// What an UPDATE of the referenced columns does.
    pub on_update: ForeignAction,
    /// DEFERRABLE.
    pub deferrable: bool,
    /// INITIALLY DEFERRED.
    pub deferred: bool,
    /// All rows are known to keep it; false: NOT VALID, only new ones are.
    pub valid: bool,
}

/// What becomes of referencing rows when the row that they reference goes, or gets another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForeignAction {
    /// The statement fails if any is left in the end.
    #[default]
    NoAction,
    /// The statement fails if there is any.
    Restrict,
    /// They go too, or get the new key.
    Cascade,
    /// Their referencing columns become NULL.
    SetNull,
    /// Their referencing columns become what they are by default.
    SetDefault,
}

/// Which partitions have which of a table's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// By hash of the partition key. A table without one has all its rows in one partition, which follows from its number.
    #[default]
    Hash,
    /// By ranges of the partition key, one column: these values, ascending, are where a range ends and the next begins.
    Range(Vec<Value>),
    /// Every partition has all rows.
    Replicated,
}

/// A column, or the place of one that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type with modifiers.
    pub data_type: DataType,
    /// NOT NULL, also by being in the primary key.
    pub not_null: bool,
    /// DEFAULT as SQL text. Sequences in it are named with their schema, unless it is `public`.
    pub default: Option<String>,
    /// The value in rows that are too short to have the column: they are older than it. It was its default when it was
    /// added, and no later default changes it.
    pub missing: Value,
    /// It was dropped: nobody sees it. Rows go on having a place for it, with what it was in old ones and NULL in new ones.
    pub dropped: bool,
    /// Its sequences.
    pub sequences: ColumnSequences,
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Name, unique in its schema.
    pub name: String,
    /// Columns, each with whether it descends.
    pub columns: Vec<(usize, bool)>,
    /// UNIQUE.
    pub unique: bool,
    /// Made by a UNIQUE constraint (dropped with it, not by DROP INDEX).
    pub constraint: bool,
    /// The tree that holds the entries.
    pub tree: TreeId,
    /// May reads use it, and is UNIQUE proved?
    pub state: IndexState,
    /// UNIQUE over columns that do not place the rows: the tree in which every key has its owner. It is divided by the
    /// hash of the indexed columns (`sql::integrity`).
    pub global: Option<TreeId>,
}

/// Life of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexState {
    /// Maintained by writes, not yet proved complete and unique everywhere: reads do not use it.
    Building,
    /// In use.
    Active,
    /// As `Building`, and its columns take no NULL: it becomes the table's primary key, and its tree that of the rows.
    BecomingPrimary,
}

impl IndexState {
    /// Not yet proved to hold everywhere?
    #[must_use]
    pub const fn is_building(self) -> bool {
        matches!(self, Self::Building | Self::BecomingPrimary)
    }
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Name.
    pub name: String,
    /// Condition as SQL text.
    pub expression: String,
    /// Does it hold for all rows? Not known of one that was added NOT VALID, and not yet validated.
    pub valid: bool,
}

/// Schemas that exist without being created.
pub const BUILT_IN_SCHEMAS: [&str; 4] = ["public", "pg_catalog", "information_schema", "system"];

impl Catalog {
    /// Does this schema exist?
    #[must_use]
    pub fn has_schema(&self, name: &str) -> bool {
        let own_public = |database: &String| name.strip_prefix(database.as_str()) == Some(".public");
        BUILT_IN_SCHEMAS.contains(&name)
            || self.schemas.iter().any(|schema| schema == name)
            || self.databases.iter().any(own_public)
    }

    /// A table by schema and name.
    #[must_use]
    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<Table>> {
        // The map's key is a pair of strings; a look-up by borrowed parts would need a second map.
        self.tables.get(&(schema.to_owned(), name.to_owned()))
    }

    /// A table by name: in the schema that is named, else in the first of the search path that has it.
    #[must_use]
    pub fn find_table(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Arc<Table>> {
        match schema {
            Some(schema) => self.table(schema, name),
            None => search_path.iter().find_map(|schema| self.table(schema, name)),
        }
    }

    /// What can be read under this name: a table as [`Catalog::find_table`] finds it, or one of the schema `system`.
    #[must_use]
    pub fn find_relation(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Arc<Table>> {
        let of_system = |schema: &str| if schema == system::SCHEMA { system::table(name) } else { None };
        match schema {
            Some(schema) => of_system(schema).or_else(|| self.table(schema, name)),
            None => search_path.iter().find_map(|schema| of_system(schema).or_else(|| self.table(schema, name))),
        }
    }

    /// A secondary index with its table, by schema (an index lives in its table's) and name.
    #[must_use]
    pub fn index(&self, schema: &str, name: &str) -> Option<(&Arc<Table>, &Index)> {
        self.tables
            .values()
            .filter(|table| table.schema == schema)
            .find_map(|table| Some((table, table.indexes.iter().find(|index| index.name == name)?)))
    }

    /// A table by its number.
    #[must_use]
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.values().find(|table| table.id == id)
    }

    /// The foreign keys that reference a table: each with the table that has it and its position there.
    pub fn references_to(&self, parent: TableId) -> impl Iterator<Item = (&Arc<Table>, usize)> {
        self.tables.values().flat_map(move |table| {
            let to_parent = move |(_, key): &(usize, &ForeignKey)| key.parent == parent;
            table.foreign_keys.iter().enumerate().filter(to_parent).map(move |(number, _)| (table, number))
        })
    }

    /// Is there a constraint whose check can wait for COMMIT?
    #[must_use]
    pub fn has_deferrable(&self) -> bool {
        self.tables.values().any(|table| table.foreign_keys.iter().any(|key| key.deferrable))
    }

    /// Is this name taken in the schema, by a table, an index or a primary key? They share one space of names.
    #[must_use]
    pub fn has_relation(&self, schema: &str, name: &str) -> bool {
        self.table(schema, name).is_some()
            || self.index(schema, name).is_some()
            || self
                .tables
                .values()
                .any(|table| table.schema == schema && table.primary_key_name.as_deref() == Some(name))
    }

    /// Panics unless the invariants of the module hold.
    pub fn check(&self) {
        let mut trees = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for ((schema, name), table) in &self.tables {
            assert!((schema, name) == (&table.schema, &table.name), "a table is filed under its own name");
            assert!(ids.insert(table.id) && table.id.0 < self.next_table, "table numbers are given once");
            for tree in table.trees() {
                assert!(trees.insert(tree) && tree.0 < self.next_tree, "tree numbers are given once");
            }
            let columns = table.columns.len();
            let used = table.primary_key.iter().chain(&table.partition_key).copied();
            let indexed = table.indexes.iter().flat_map(|index| index.columns.iter().map(|(column, _)| *column));
            assert!(
                used.chain(indexed).all(|column| column < columns && !table.columns[column].dropped),
                "keys name columns that exist"
            );
            assert!(
                table.placement != Placement::Replicated || table.partition_key.is_empty(),
                "a table that every partition has is not divided by a key"
            );
            assert!(
                table.primary_key.iter().all(|column| table.columns[*column].not_null),
                "a primary key's columns are not null"
            );
            for key in &table.foreign_keys {
                let parent = self.table_by_id(key.parent);
                let width = parent.map_or(0, |parent| parent.columns.len());
                assert!(
                    key.columns.len() == key.parent_columns.len()
                        && key.columns.iter().all(|column| *column < columns)
                        && key.parent_columns.iter().all(|column| *column < width),
                    "a foreign key pairs columns of two tables that exist"
                );
            }
        }
        self.check_sequences();
        self.check_databases();
    }
}

impl Table {
    /// A table that has nothing yet, and is placed by hash.
    #[must_use]
    pub fn new(id: TableId, tree: TreeId, schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id,
            schema: schema.into(),
            name: name.into(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            primary_key_name: None,
            tree,
            indexes: Vec::new(),
            checks: Vec::new(),
            partition_key: Vec::new(),
            placement: Placement::Hash,
            foreign_keys: Vec::new(),
            sequence: None,
            replication: Replication::default(),
        }
    }

    /// Has every partition all its rows?
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        self.placement == Placement::Replicated
    }

    /// By what its rows are placed, in a word; `None`: a system table, in no partition.
    #[must_use]
    pub fn placed_by(&self) -> Option<&'static str> {
        match self.placement {
            _ if self.is_system() => None,
            Placement::Replicated => Some("replicated"),
            Placement::Range(_) => Some("range"),
            Placement::Hash if self.partition_key.is_empty() => Some("together"),
            Placement::Hash => Some("hash"),
        }
    }

    /// Position of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name && !column.dropped)
    }

    /// The index that is becoming the primary key.
    #[must_use]
    pub fn becoming_primary(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.state == IndexState::BecomingPrimary)
    }

    /// The tree of rows and those of the indexes, the owners' among them.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> + '_ {
        std::iter::once(self.tree)
            .chain(self.indexes.iter().flat_map(|index| [Some(index.tree), index.global]).flatten())
    }

    /// Has it a constraint of this name, of whatever kind?
    #[must_use]
    pub fn has_constraint(&self, name: &str) -> bool {
        self.primary_key_name.as_deref() == Some(name)
            || self.indexes.iter().any(|index| index.constraint && index.name == name)
            || self.checks.iter().any(|check| check.name == name)
            || self.foreign_keys.iter().any(|key| key.name == name)
    }

    /// Types of the columns.
    #[must_use]
    pub fn types(&self) -> Vec<DataType> {
        self.columns.iter().map(|column| column.data_type).collect()
    }
}
