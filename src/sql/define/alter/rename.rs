//! RENAME of a table, a column, a constraint, an index.
//!
//! Conditions of CHECKs are kept as texts. Where they name a column, and its table before it, is found by resolving their names as
//! for execution: a function or a type may be called like a column, and stays as it is.

use super::{constraint, quoted};
use crate::catalog::{Check, Table};
use crate::sql::bind::{self, Use, fold, name_parts};
use crate::sql::define::Change;
use crate::sql::parse::{byte_offset, is_forgiving};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{self, AlterIndexOperation, Ident, RenameTableNameKind};
use sqlparser::tokenizer::Span;
use std::sync::Arc;

/// A name without a schema: RENAME moves nothing elsewhere.
fn new_name(name: &ast::ObjectName) -> Result<String, SqlError> {
    match name_parts(name)?.as_mut_slice() {
        [name] => Ok(std::mem::take(name)),
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "the new name takes no schema")),
    }
}

fn new_table_name(name: &RenameTableNameKind) -> Result<String, SqlError> {
    match name {
        RenameTableNameKind::To(name) => new_name(name),
        RenameTableNameKind::As(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"AS\"")),
    }
}

fn relation_taken(change: &Change<'_>, schema: &str, name: &str) -> Result<(), SqlError> {
    if change.catalog.has_relation(schema, name) {
        return Err(SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")));
    }
    Ok(())
}

pub(super) fn table(change: &mut Change<'_>, table: &Table, name: &RenameTableNameKind) -> Result<(), SqlError> {
    let name = new_table_name(name)?;
    relation_taken(change, &table.schema, &name)?;
    let mut renamed = table.clone();
    for check in &mut renamed.checks {
        *check = rewritten(table, check, &|found| Some((found.relation?, quoted(&name))))?;
    }
    change.catalog.tables.remove(&(table.schema.clone(), table.name.clone()));
    renamed.name = name;
    change.replace(renamed);
    Ok(())
}

pub(super) fn column(change: &mut Change<'_>, table: &Table, old: &Ident, new: &Ident) -> Result<(), SqlError> {
    let (old, new) = (fold(old), fold(new));
    let Some(place) = table.column(&old) else {
        return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{old}\" does not exist")));
    };
    if table.column(&new).is_some() {
        let message = format!("column \"{new}\" of relation \"{}\" already exists", table.name);
        return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
    }
    let mut renamed = table.clone();
    for check in &mut renamed.checks {
        *check = rewritten(table, check, &|found| (found.column == place).then(|| (found.name, quoted(&new))))?;
    }
    renamed.columns[place].name = new;
    change.replace(renamed);
    Ok(())
}

/// A condition with some of its names replaced.
fn rewritten(table: &Table, check: &Check, replace: &dyn Fn(Use) -> Option<(Span, String)>) -> Result<Check, SqlError> {
    let mut check = check.clone();
    // From behind: places before a replacement stay.
    for found in bind::column_uses(table, &check.expression)?.into_iter().rev() {
        if let Some((span, name)) = replace(found) {
            let (from, to) = (byte_offset(&check.expression, span.start), byte_offset(&check.expression, span.end));
            check.expression.replace_range(from..to, &name);
        }
    }
    Ok(check)
}

pub(super) fn constraint(change: &mut Change<'_>, table: &Table, old: &Ident, new: &Ident) -> Result<(), SqlError> {
    let (old, new) = (fold(old), fold(new));
    if !table.has_constraint(&old) {
        let message = format!("constraint \"{old}\" for table \"{}\" does not exist", table.name);
        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
    }
    let mut renamed = table.clone();
    let foreign = renamed.foreign_keys.iter_mut().find(|key| key.name == old);
    if foreign.is_none() && table.checks.iter().all(|check| check.name != old) {
        relation_taken(change, &table.schema, &new)?;
    }
    if table.has_constraint(&new) {
        return Err(constraint::taken(table, &new));
    }
    match renamed.checks.iter_mut().find(|check| check.name == old) {
        _ if foreign.is_some() => {
            if let Some(key) = foreign {
                key.name = new;
            }
        }
        Some(check) => {
            check.name = new;
            renamed.checks.sort_by(|a, b| a.name.cmp(&b.name));
        }
        None => rename_index(&mut renamed, &old, &new),
    }
    change.replace(renamed);
    Ok(())
}

/// An index, or the primary key's.
fn rename_index(table: &mut Table, old: &str, new: &str) {
    if table.primary_key_name.as_deref() == Some(old) {
        table.primary_key_name = Some(new.to_owned());
    }
    for index in table.indexes.iter_mut().filter(|index| index.name == old) {
        new.clone_into(&mut index.name);
    }
}

/// The table to which an index or primary key of this name belongs.
fn owner(change: &Change<'_>, schema: Option<&str>, name: &str) -> Option<Arc<Table>> {
    let has = |table: &&Arc<Table>| {
        table.primary_key_name.as_deref() == Some(name) || table.indexes.iter().any(|index| index.name == name)
    };
    let within = |schema: &str| change.catalog.tables.values().filter(|table| table.schema == schema).find(has);
    match schema {
        Some(schema) => within(schema).cloned(),
        None => change.settings.search_path.iter().find_map(|schema| within(schema)).cloned(),
    }
}

/// `ALTER INDEX … RENAME TO …`
pub(in crate::sql::define) fn index(
    change: &mut Change<'_>,
    name: &ast::ObjectName,
    operation: &AlterIndexOperation,
) -> Result<&'static str, SqlError> {
    let AlterIndexOperation::RenameIndex { index_name } = operation;
    if !rename_relation(change, name, &new_name(index_name)?)? {
        let message = format!("relation \"{}\" does not exist", change.qualified(name)?.1);
        if !is_forgiving(change.text) {
            return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
        }
        change.notice(SqlState(*b"00000"), format!("{message}, skipping"));
    }
    Ok("ALTER INDEX")
}

/// ALTER TABLE renames an index too, as in PostgreSQL. `false`: there is none.
pub(super) fn index_as_table(
    change: &mut Change<'_>,
    name: &ast::ObjectName,
    new: &RenameTableNameKind,
) -> Result<bool, SqlError> {
    rename_relation(change, name, &new_table_name(new)?)
}

fn rename_relation(change: &mut Change<'_>, name: &ast::ObjectName, new: &str) -> Result<bool, SqlError> {
    let (schema, old) = change.qualified(name)?;
    let Some(table) = owner(change, schema.as_deref(), &old) else { return Ok(false) };
    relation_taken(change, &table.schema, new)?;
    let mut renamed = Table::clone(&table);
    rename_index(&mut renamed, &old, new);
    change.replace(renamed);
    Ok(true)
}
