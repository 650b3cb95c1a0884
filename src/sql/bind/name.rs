//! Names: folding, qualification, and the errors that say what was not found.

use crate::catalog::{Catalog, Table};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use std::sync::Arc;

/// Longest identifier in bytes; longer ones are cut as PostgreSQL does.
const MAX_NAME: usize = 63;

/// An identifier as it is stored: folded unless quoted, cut to 63 bytes.
pub(in crate::sql) fn fold(ident: &Ident) -> String {
    let mut name = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
    if name.len() > MAX_NAME {
        let end = (0..=MAX_NAME).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        name.truncate(end);
    }
    name
}

/// The parts of a dotted name, folded.
pub(in crate::sql) fn name_parts(name: &ObjectName) -> Result<Vec<String>, SqlError> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(fold(ident)),
            ObjectNamePart::Function(_) => Err(SqlError::unsupported("functions in names are not supported")),
        })
        .collect()
}

/// Schema, if one is named, and name. The databases `orrery` and `postgres` may stand before them.
pub(in crate::sql) fn qualified(name: &ObjectName) -> Result<(Option<String>, String), SqlError> {
    qualified_parts(&name_parts(name)?)
}

/// The same from parts that are folded already.
fn qualified_parts(parts: &[String]) -> Result<(Option<String>, String), SqlError> {
    match parts {
        [name] => Ok((None, name.clone())),
        [schema, name] => Ok((Some(schema.clone()), name.clone())),
        [database, schema, name] if ["orrery", "postgres"].contains(&database.as_str()) => {
            Ok((Some(schema.clone()), name.clone()))
        }
        _ => Err(SqlError::unsupported(format!(
            "cross-database references are not implemented: \"{}\"",
            parts.join(".")
        ))),
    }
}

/// The table of a name, to be written or redefined. The caller adds the position.
pub(in crate::sql) fn find_table<'a>(
    catalog: &'a Catalog,
    name: &ObjectName,
    search_path: &[String],
) -> Result<&'a Arc<Table>, SqlError> {
    find_by_parts(catalog, &name_parts(name)?, search_path)
}

/// The same by parts of a name that are folded already.
pub(in crate::sql) fn find_by_parts<'a>(
    catalog: &'a Catalog,
    parts: &[String],
    search_path: &[String],
) -> Result<&'a Arc<Table>, SqlError> {
    let table = relation_by_parts(catalog, parts, search_path)?;
    if table.is_system() {
        let message = format!("permission denied: \"{}\" is a system table", table.name);
        // 42501, insufficient_privilege.
        return Err(SqlError::new(SqlState(*b"42501"), message));
    }
    if table.is_sequence() {
        let message = format!("\"{}\" is not a table", table.name);
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).detail("This is a sequence."));
    }
    Ok(table)
}

/// What can be read under a name: tables, and those of the schema `system`. The caller adds the position.
pub(in crate::sql) fn find_relation<'a>(
    catalog: &'a Catalog,
    name: &ObjectName,
    search_path: &[String],
) -> Result<&'a Arc<Table>, SqlError> {
    relation_by_parts(catalog, &name_parts(name)?, search_path)
}

fn relation_by_parts<'a>(
    catalog: &'a Catalog,
    parts: &[String],
    search_path: &[String],
) -> Result<&'a Arc<Table>, SqlError> {
    let (schema, table) = qualified_parts(parts)?;
    catalog.find_relation(schema.as_deref(), &table, search_path).ok_or_else(|| {
        let shown = schema.map_or_else(|| table.clone(), |schema| format!("{schema}.{table}"));
        SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"))
    })
}
