//! Names: folding, qualification, and the errors that say what was not found.

use crate::catalog::{Catalog, Table, stored_schema};
use crate::sql::settings::Settings;
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

/// The stored name of the schema, if one is named, and the name.
pub(in crate::sql) fn qualified(
    catalog: &Catalog,
    settings: &Settings,
    name: &ObjectName,
) -> Result<(Option<String>, String), SqlError> {
    qualified_parts(catalog, settings, &name_parts(name)?)
}

/// The same from parts that are folded already. A schema that does not exist is named as one of the session's database.
pub(in crate::sql) fn qualified_parts(
    catalog: &Catalog,
    settings: &Settings,
    parts: &[String],
) -> Result<(Option<String>, String), SqlError> {
    match parts {
        [name] => Ok((None, name.clone())),
        [qualifiers @ .., name] if (1..=2).contains(&qualifiers.len()) => {
            let schema = catalog.schema_named(&settings.database, qualifiers);
            let missing = || match qualifiers {
                [schema] => Some(stored_schema(&settings.database, schema)),
                [database, schema] => catalog.has_database(database).then(|| stored_schema(database, schema)),
                _ => None,
            };
            match schema.or_else(missing) {
                Some(schema) => Ok((Some(schema), name.clone())),
                None => Err(SqlError::new(
                    SqlState::INVALID_CATALOG_NAME,
                    format!("database \"{}\" does not exist", qualifiers[0]),
                )),
            }
        }
        _ => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {}", parts.join(".")),
        )),
    }
}

/// The table of a name, to be written or redefined. The caller adds the position.
pub(in crate::sql) fn find_table<'a>(
    catalog: &'a Catalog,
    name: &ObjectName,
    settings: &Settings,
) -> Result<&'a Arc<Table>, SqlError> {
    find_by_parts(catalog, &name_parts(name)?, settings)
}

/// The same by parts of a name that are folded already.
pub(in crate::sql) fn find_by_parts<'a>(
    catalog: &'a Catalog,
    parts: &[String],
    settings: &Settings,
) -> Result<&'a Arc<Table>, SqlError> {
    let table = relation_by_parts(catalog, parts, settings)?;
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
    settings: &Settings,
) -> Result<&'a Arc<Table>, SqlError> {
    relation_by_parts(catalog, &name_parts(name)?, settings)
}

fn relation_by_parts<'a>(
    catalog: &'a Catalog,
    parts: &[String],
    settings: &Settings,
) -> Result<&'a Arc<Table>, SqlError> {
    let (schema, table) = qualified_parts(catalog, settings, parts)?;
    catalog.find_relation(schema.as_deref(), &table, &settings.search_path).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", parts.join(".")))
    })
}
