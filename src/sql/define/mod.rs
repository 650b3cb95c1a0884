//! DDL as a function from one catalog to the next.
//!
//! Nothing is touched here: [`super::install()`] brings a store to the new catalog. Expressions are compiled once to see
//! that they are sound and then kept as text. What a definition asks of the rows that are there it says as [`Work`].

mod alter;
mod database;
mod foreign;
mod index;
mod names;
mod placement;
mod replication;
mod sequence;
mod table;
mod work;

pub(super) use names::quoted;
pub(super) use placement::check_keys;
pub(super) use work::TableWork;
pub use work::Work;

use super::bind;
use super::parse::{self, Parsed, activation};
use super::settings::Settings;
use crate::catalog::{Catalog, Index, IndexState, Table, shown_schema, system};
use crate::types::{CatalogVersion, SqlError, SqlState, TableId, Timestamp, TreeId};
use sqlparser::ast::{self, ObjectType, SchemaName, Statement};
use std::sync::Arc;

/// What a DDL statement comes to.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The catalog from now on; the version is raised by one if anything has changed, else it is the old one.
    pub catalog: Catalog,
    /// Command tag (`CREATE TABLE`).
    pub tag: String,
    /// Notices (`relation "t" already exists, skipping`).
    pub notices: Vec<SqlError>,
    /// What is to be done with the rows that are there, besides trees that come and go.
    pub work: Work,
}

/// What a definition depends on besides the catalog and its own text.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Of the session.
    pub settings: &'a Settings,
    /// Data partitions of the cluster: with more than one, a UNIQUE that one partition alone cannot keep is refused.
    pub partitions: u32,
    /// `now()`: a column that is added with it as its default has this value in all rows that are there.
    pub now: Timestamp,
    /// Replicas of each partition, if that is known here: the cluster partition does.
    pub replicas: Option<u32>,
}

/// Applies a statement of [`super::Kind::Define`]. Pure.
///
/// # Errors
/// What the definition has wrong, or conflicts with.
pub fn define(catalog: &Catalog, statement: &Parsed, surroundings: &Surroundings<'_>) -> Result<Definition, SqlError> {
    let Surroundings { settings, partitions, now, replicas } = *surroundings;
    let mut next = Change {
        catalog: catalog.clone(),
        settings,
        text: &statement.text,
        partitions,
        replicas,
        now,
        notices: Vec::new(),
        work: Work::default(),
        disowned: Vec::new(),
        cascades: false,
    };
    let tag = match statement.statement.as_deref() {
        None if statement.is_internal() => next.activate(&statement.text)?,
        None => {
            let text = &statement.text;
            if let Some(statement) = parse::sequence(text)? {
                sequence::define(&mut next, &statement)?
            } else if let Some(statement) = parse::database(text)? {
                database::define(&mut next, &statement)?
            } else if let Some(said) = parse::cluster_default(text)? {
                next.cluster_default(&said)?
            } else {
                placement::partition(&mut next)?
            }
        }
        Some(Statement::Truncate(truncate)) => sequence::truncate(&mut next, truncate)?,
        Some(Statement::CreateTable(create)) => table::create(&mut next, create)?,
        Some(Statement::CreateIndex(create)) => index::create(&mut next, create)?,
        Some(Statement::AlterTable(alter)) => alter::table(&mut next, alter)?,
        Some(Statement::AlterIndex { name, operation }) => alter::index(&mut next, name, operation)?,
        Some(Statement::CreateSchema { schema_name, if_not_exists, .. }) => {
            next.create_schema(schema_name, *if_not_exists)?
        }
        Some(Statement::Drop { object_type, if_exists, names, cascade, .. }) => {
            next.drop(*object_type, *if_exists, names, *cascade)?
        }
        Some(other) => {
            let words: Vec<_> = statement.text.split_whitespace().take(2).map(str::to_uppercase).collect();
            let _ = other;
            return Err(SqlError::unsupported(format!("{} is not supported yet", words.join(" "))));
        }
    };
    if next.catalog != *catalog {
        sequence::sweep(&mut next, catalog)?;
        next.catalog.version = CatalogVersion(catalog.version.0 + 1);
        next.catalog.check();
    }
    Ok(Definition { catalog: next.catalog, tag: tag.to_owned(), notices: next.notices, work: next.work })
}

/// What a definition is called that is a transaction of its own and cannot be part of another; `None`: it can.
///
/// # Errors
/// When its text cannot be read.
pub fn stands_alone(statement: &Parsed) -> Result<Option<&'static str>, SqlError> {
    let text = &statement.text;
    if statement.statement.is_some() || statement.is_internal() {
        return Ok(None);
    }
    if let Some(of_database) = parse::database(text)? {
        return Ok(Some(of_database.tag()));
    }
    Ok(parse::cluster_default(text)?.map(|_| "ALTER CLUSTER"))
}

/// The DDL that puts the next index that is being built in use, for whoever has seen that it holds; `None`: none is.
#[must_use]
pub fn next_to_finish(catalog: &Catalog) -> Option<String> {
    catalog.tables.values().find_map(|table| {
        let index = table.indexes.iter().find(|index| index.state.is_building())?;
        Some(format!("ALTER INDEX {} SET ACTIVE", catalog.written_name(&table.schema, &index.name)))
    })
}

/// A catalog in the making.
struct Change<'a> {
    catalog: Catalog,
    settings: &'a Settings,
    text: &'a str,
    /// Number of data partitions.
    partitions: u32,
    /// Of each partition; `None`: it is not known here.
    replicas: Option<u32>,
    now: Timestamp,
    notices: Vec<SqlError>,
    work: Work,
    /// Sequences that go with no column any more, and stay.
    disowned: Vec<TableId>,
    /// What depends on what is dropped may be dropped too.
    cascades: bool,
}

impl Change<'_> {
    fn tree(&mut self) -> TreeId {
        let tree = TreeId(self.catalog.next_tree);
        self.catalog.next_tree += 1;
        tree
    }

    fn notice(&mut self, state: SqlState, message: String) {
        self.notices.push(SqlError::new(state, message));
    }

    /// The schema to create in.
    fn schema_for(&self, named: Option<String>) -> Result<String, SqlError> {
        let missing = |name: &str| {
            let message = format!("schema \"{}\" does not exist", shown_schema(&self.settings.database, name));
            SqlError::new(SqlState::INVALID_SCHEMA_NAME, message)
        };
        let schema = match named {
            Some(schema) if self.catalog.has_schema(&schema) => schema,
            Some(schema) => return Err(missing(&schema)),
            None => self
                .settings
                .search_path
                .iter()
                .find(|schema| self.catalog.has_schema(schema) && *schema != "pg_catalog")
                .cloned()
                .ok_or_else(|| {
                    SqlError::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in")
                })?,
        };
        if ["pg_catalog", "information_schema", "system"].contains(&schema.as_str()) {
            let state = SqlState(*b"42501");
            return Err(SqlError::new(state, format!("permission denied to create in schema \"{schema}\"")));
        }
        Ok(schema)
    }

    fn replace(&mut self, table: Table) {
        self.catalog.tables.insert((table.schema.clone(), table.name.clone()), Arc::new(table));
    }

    fn create_schema(&mut self, name: &SchemaName, if_not_exists: bool) -> Result<&'static str, SqlError> {
        let SchemaName::Simple(name) = name else {
            return Err(SqlError::unsupported("CREATE SCHEMA AUTHORIZATION is not supported"));
        };
        let ambiguous = self.is_ambiguous(name);
        let (name, shown) = self.schema_name(name)?;
        if self.catalog.has_schema(&name) {
            let message = format!("schema \"{shown}\" already exists");
            if !if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_SCHEMA, message));
            }
            self.notice(SqlState::DUPLICATE_SCHEMA, format!("{message}, skipping"));
        } else if shown.starts_with("pg_") || ambiguous {
            return Err(SqlError::new(SqlState::RESERVED_NAME, format!("unacceptable schema name \"{shown}\""))
                .detail(
                    "The prefix \"pg_\" is reserved for system schemas, a database's name and a dot for its own.",
                ));
        } else {
            self.catalog.schemas.push(name);
        }
        Ok("CREATE SCHEMA")
    }

    fn drop(
        &mut self,
        kind: ObjectType,
        if_exists: bool,
        names: &[ast::ObjectName],
        cascade: bool,
    ) -> Result<&'static str, SqlError> {
        let (drop, tag): (fn(&mut Self, &ast::ObjectName, bool) -> _, _) = match kind {
            ObjectType::Table => (Self::drop_table, "DROP TABLE"),
            ObjectType::Index => (Self::drop_index, "DROP INDEX"),
            ObjectType::Schema => (Self::drop_schema, "DROP SCHEMA"),
            ObjectType::Sequence => (Self::drop_sequence, "DROP SEQUENCE"),
            other => return Err(SqlError::unsupported(format!("DROP {other} is not supported"))),
        };
        self.cascades |= cascade;
        if kind == ObjectType::Table {
            let found = names.iter().filter_map(|name| self.qualified(name).ok());
            let found = found.filter_map(|(schema, table)| {
                Some(self.catalog.find_table(schema.as_deref(), &table, &self.settings.search_path)?.id)
            });
            let doomed: Vec<_> = found.collect();
            self.release_references(&doomed, cascade)?;
        }
        for name in names {
            if let Some((state, message)) = drop(self, name, cascade)? {
                if !if_exists {
                    return Err(SqlError::new(state, message));
                }
                self.notice(SqlState(*b"00000"), format!("{message}, skipping"));
            }
        }
        Ok(tag)
    }

    /// The outcome of a drop: `Some` says what was not there.
    fn drop_table(&mut self, name: &ast::ObjectName, _: bool) -> Result<Option<(SqlState, String)>, SqlError> {
        let (schema, table) = self.qualified(name)?;
        if schema.as_deref() == Some(system::SCHEMA) && system::table(&table).is_some() {
            let message = format!("permission denied: \"{table}\" is a system table");
            return Err(SqlError::new(SqlState(*b"42501"), message));
        }
        if let Some(found) = self.catalog.find_table(schema.as_deref(), &table, &self.settings.search_path).cloned() {
            if found.is_sequence() {
                let message = format!("\"{table}\" is not a table");
                return Err(
                    SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).hint("Use DROP SEQUENCE to remove a sequence.")
                );
            }
            self.catalog.tables.remove(&(found.schema.clone(), found.name.clone()));
            return Ok(None);
        }
        Ok(Some(match schema {
            Some(schema) if !self.catalog.has_schema(&schema) => (
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{}\" does not exist", shown_schema(&self.settings.database, &schema)),
            ),
            _ => (SqlState::UNDEFINED_TABLE, format!("table \"{table}\" does not exist")),
        }))
    }

    fn drop_index(&mut self, name: &ast::ObjectName, cascade: bool) -> Result<Option<(SqlState, String)>, SqlError> {
        let (schema, name) = self.qualified(name)?;
        let Some((table, index)) = self.find_index(schema, &name) else {
            let owner = self.catalog.tables.values().find(|table| table.primary_key_name.as_deref() == Some(&name));
            return match owner {
                Some(table) => Err(required_by_constraint(&name, &table.name)),
                None => Ok(Some((SqlState::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist")))),
            };
        };
        // One that is being built is no constraint yet.
        if index.constraint && !index.state.is_building() {
            return Err(required_by_constraint(&name, &table.name));
        }
        let mut remaining = Table::clone(&table);
        remaining.indexes.retain(|other| other.tree != index.tree);
        self.release_key(&table, &remaining, (&format!("index {name}"), &format!("index {name}")), cascade)?;
        if let Some(now) = self.catalog.table_by_id(table.id) {
            remaining.foreign_keys.clone_from(&now.foreign_keys);
        }
        self.replace(remaining);
        Ok(None)
    }

    fn find_index(&self, schema: Option<String>, name: &str) -> Option<(Arc<Table>, Index)> {
        let found = match schema {
            Some(schema) => self.catalog.index(&schema, name),
            None => self.settings.search_path.iter().find_map(|schema| self.catalog.index(schema, name)),
        };
        found.map(|(table, index)| (Arc::clone(table), index.clone()))
    }

    fn drop_schema(&mut self, name: &ast::ObjectName, cascade: bool) -> Result<Option<(SqlState, String)>, SqlError> {
        let (name, shown) = self.schema_name(name)?;
        if !self.catalog.schemas.contains(&name) {
            if self.catalog.has_schema(&name) {
                return Err(SqlError::unsupported(format!("schema \"{shown}\" cannot be dropped")));
            }
            return Ok(Some((SqlState::INVALID_SCHEMA_NAME, format!("schema \"{shown}\" does not exist"))));
        }
        let inside: Vec<_> = self.catalog.tables.keys().filter(|(schema, _)| *schema == name).cloned().collect();
        if let (Some((_, table)), false) = (inside.first(), cascade) {
            let state = SqlState(*b"2BP01");
            let message = format!("cannot drop schema {shown} because other objects depend on it");
            return Err(SqlError::new(state, message)
                .detail(format!("table {shown}.{table} depends on schema {shown}"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let doomed: Vec<_> =
            self.catalog.tables.values().filter(|table| table.schema == name).map(|table| table.id).collect();
        self.release_references(&doomed, true)?;
        self.catalog.tables.retain(|(schema, _), _| *schema != name);
        self.catalog.schemas.retain(|schema| *schema != name);
        Ok(None)
    }

    /// `ALTER INDEX … SET ACTIVE`, which only sessions say: see [`next_to_finish`].
    fn activate(&mut self, text: &str) -> Result<&'static str, SqlError> {
        let (schema, name) = bind::qualified_parts(&self.catalog, self.settings, &activation(text)?)?;
        let (table, index) = self
            .find_index(schema, &name)
            .ok_or_else(|| SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))?;
        let mut table = Table::clone(&table);
        if index.state == IndexState::BecomingPrimary {
            alter::promote(self, &mut table, &index);
        }
        for other in table.indexes.iter_mut().filter(|other| other.tree == index.tree) {
            other.state = IndexState::Active;
        }
        placement::own_keys(self, &mut table, index.state == IndexState::BecomingPrimary);
        self.replace(table);
        Ok("ALTER INDEX")
    }
}

fn required_by_constraint(name: &str, table: &str) -> SqlError {
    let state = SqlState(*b"2BP01");
    let message = format!("cannot drop index {name} because constraint {name} on table {table} requires it");
    SqlError::new(state, message).hint(format!("You can drop constraint {name} on table {table} instead."))
}
