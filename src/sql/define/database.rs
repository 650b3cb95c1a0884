//! CREATE DATABASE and DROP DATABASE; the names of schemas.

use super::Change;
use crate::catalog::{BUILT_IN_DATABASES, Catalog, stored_schema};
use crate::sql::bind::{self, name_parts};
use crate::sql::parse::Database;
use crate::types::{SqlError, SqlState};
use sqlparser::ast;

/// `42P04`
const DUPLICATE_DATABASE: SqlState = SqlState(*b"42P04");
/// `55006`
const OBJECT_IN_USE: SqlState = SqlState(*b"55006");

pub(super) fn define(change: &mut Change<'_>, statement: &Database) -> Result<&'static str, SqlError> {
    match statement {
        Database::Create { name, if_not_exists } => create(change, name, *if_not_exists),
        Database::Drop { name, if_exists } => drop(change, name, *if_exists),
    }
}

fn create(change: &mut Change<'_>, name: &str, if_not_exists: bool) -> Result<&'static str, SqlError> {
    let catalog = &mut change.catalog;
    if catalog.has_database(name) {
        let message = format!("database \"{name}\" already exists");
        if !if_not_exists {
            return Err(SqlError::new(DUPLICATE_DATABASE, message));
        }
        change.notice(DUPLICATE_DATABASE, format!("{message}, skipping"));
        return Ok("CREATE DATABASE");
    }
    if name.is_empty() || name.contains('.') {
        let message = format!("unacceptable database name \"{name}\"");
        return Err(
            SqlError::new(SqlState::RESERVED_NAME, message).detail("A name with a dot means a schema of a database.")
        );
    }
    let prefix = format!("{name}.");
    if let Some(schema) = catalog.schemas.iter().find(|schema| schema.starts_with(&prefix)) {
        let message = format!("database \"{name}\" would have the schema \"{schema}\" that belongs to another one");
        return Err(SqlError::new(DUPLICATE_DATABASE, message));
    }
    catalog.databases.push(name.to_owned());
    catalog.databases.sort();
    Ok("CREATE DATABASE")
}

fn drop(change: &mut Change<'_>, name: &str, if_exists: bool) -> Result<&'static str, SqlError> {
    if BUILT_IN_DATABASES.contains(&name) {
        return Err(SqlError::unsupported(format!("database \"{name}\" cannot be dropped")));
    }
    if !change.catalog.has_database(name) {
        let message = format!("database \"{name}\" does not exist");
        if !if_exists {
            return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, message));
        }
        change.notice(SqlState(*b"00000"), format!("{message}, skipping"));
        return Ok("DROP DATABASE");
    }
    if change.settings.database == name {
        return Err(SqlError::new(OBJECT_IN_USE, "cannot drop the currently open database")
            .hint("Connect to another one, \"orrery\" for example."));
    }
    let schemas: Vec<String> = change.catalog.schemas_of(name).collect();
    let inside = |catalog: &Catalog| -> Vec<_> {
        catalog.tables.values().filter(|table| schemas.contains(&table.schema)).map(|table| table.id).collect()
    };
    let doomed = inside(&change.catalog);
    // Nothing of another database goes because this one does.
    change.release_references(&doomed, false)?;
    change.catalog.tables.retain(|(schema, _), _| !schemas.contains(schema));
    change.catalog.schemas.retain(|schema| !schemas.contains(schema));
    change.catalog.databases.retain(|database| database != name);
    Ok("DROP DATABASE")
}

impl Change<'_> {
    /// The stored name of the schema, if one is named, and the name.
    pub(super) fn qualified(&self, name: &ast::ObjectName) -> Result<(Option<String>, String), SqlError> {
        bind::qualified(&self.catalog, self.settings, name)
    }

    /// The name of a schema as it is, or is to be, stored; and as it is called.
    pub(super) fn schema_name(&self, name: &ast::ObjectName) -> Result<(String, String), SqlError> {
        let parts = name_parts(name)?;
        let (database, schema) = match parts.as_slice() {
            [schema] => (self.settings.database.as_str(), schema),
            [database, schema] if self.catalog.has_database(database) => (database.as_str(), schema),
            [database, _] => {
                let message = format!("database \"{database}\" does not exist");
                return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, message));
            }
            _ => {
                let message = format!("improper qualified name (too many dotted names): {}", parts.join("."));
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
        };
        Ok((stored_schema(database, schema), parts.join(".")))
    }

    /// Would a new schema of this name be taken for one of another database?
    pub(super) fn is_ambiguous(&self, name: &ast::ObjectName) -> bool {
        let own = name_parts(name).unwrap_or_default().pop().unwrap_or_default();
        own.split_once('.').is_some_and(|(database, _)| self.catalog.has_database(database))
    }
}
