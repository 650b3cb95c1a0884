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

use crate::types::{CatalogVersion, DataType, TableId, TreeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All definitions at one version. Cheap to clone: tables are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Raised by each DDL that changes anything.
    pub version: CatalogVersion,
    /// Tables by (schema, name).
    pub tables: BTreeMap<(String, String), Arc<Table>>,
    /// Schemas that exist besides `public`, `pg_catalog`, `information_schema` and `system`.
    pub schemas: Vec<String>,
    /// Next unused table number.
    pub next_table: u32,
    /// Next unused tree number.
    pub next_tree: u32,
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
    /// Positions of the columns that decide the partition (default: the primary key's first); empty: the hidden row id.
    pub partition_key: Vec<usize>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type with modifiers.
    pub data_type: DataType,
    /// NOT NULL, also by being in the primary key.
    pub not_null: bool,
    /// DEFAULT as SQL text.
    pub default: Option<String>,
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
}

/// Life of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexState {
    /// Maintained by writes, not yet proved complete and unique everywhere: reads do not use it.
    Building,
    /// In use.
    Active,
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Name.
    pub name: String,
    /// Condition as SQL text.
    pub expression: String,
}
