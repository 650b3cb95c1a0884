//! FOREIGN KEY: definition, and what hangs on a table or a key because of it.

use super::Change;
use super::names::joined;
use crate::catalog::{Catalog, ForeignAction, ForeignKey, Table};
use crate::sql::bind::{find_table, fold, qualified};
use crate::sql::integrity::{comparable, referenced_key};
use crate::sql::settings::Settings;
use crate::types::{SqlError, SqlState, TableId};
use sqlparser::ast::{
    ConstraintCharacteristics, ConstraintReferenceMatchKind, DeferrableInitial, ForeignKeyConstraint, Ident,
    NullsDistinctOption, ReferentialAction, UniqueConstraint,
};
use std::sync::Arc;

/// `42830`
const INVALID_FOREIGN_KEY: SqlState = SqlState(*b"42830");
/// `2BP01`
pub(super) const DEPENDENT_OBJECTS_STILL_EXIST: SqlState = SqlState(*b"2BP01");

/// A foreign key of `table`, which need not be in the catalog yet. `columns` are those of a REFERENCES behind a column.
pub(super) fn resolve(
    catalog: &Catalog,
    settings: &Settings,
    table: &Table,
    told: &ForeignKeyConstraint,
    columns: &[Ident],
) -> Result<ForeignKey, SqlError> {
    let own = position_of(table, if told.columns.is_empty() { columns } else { &told.columns })?;
    let (schema, parent_name) = qualified(catalog, settings, &told.foreign_table)?;
    let is_own = parent_name == table.name && schema.as_ref().is_none_or(|schema| *schema == table.schema);
    let parent = match find_table(catalog, &told.foreign_table, settings) {
        Ok(parent) if parent.id != table.id && !(is_own && schema.is_none()) => Some(Arc::clone(parent)),
        Err(error) if !is_own => return Err(error),
        _ => None,
    };
    let parent: &Table = parent.as_deref().unwrap_or(table);
    let name = name_of(table, told, &own)?;
    let referenced = if told.referred_columns.is_empty() {
        if parent.primary_key.is_empty() {
            let message = format!("there is no primary key for referenced table \"{}\"", parent.name);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        }
        parent.primary_key.clone()
    } else {
        position_of(parent, &told.referred_columns)?
    };
    if own.len() != referenced.len() {
        let message = "number of referencing and referenced columns for foreign key disagree";
        return Err(SqlError::new(INVALID_FOREIGN_KEY, message));
    }
    if referenced_key(parent, &referenced).is_none() {
        let message =
            format!("there is no unique constraint matching given keys for referenced table \"{}\"", parent.name);
        return Err(SqlError::new(INVALID_FOREIGN_KEY, message));
    }
    for (column, of_parent) in own.iter().zip(&referenced) {
        let (column, of_parent) = (&table.columns[*column], &parent.columns[*of_parent]);
        if !comparable(column.data_type, of_parent.data_type) {
            let message = format!("foreign key constraint \"{name}\" cannot be implemented");
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message).detail(format!(
                "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                column.name, of_parent.name, column.data_type, of_parent.data_type
            )));
        }
    }
    let (deferrable, deferred) = deferral(told.characteristics.as_ref())?;
    Ok(ForeignKey {
        name,
        columns: own,
        parent: parent.id,
        parent_columns: referenced,
        full: match told.match_kind {
            Some(ConstraintReferenceMatchKind::Full) => true,
            Some(ConstraintReferenceMatchKind::Partial) => {
                return Err(SqlError::unsupported("MATCH PARTIAL not yet implemented"));
            }
            Some(ConstraintReferenceMatchKind::Simple) | None => false,
        },
        on_delete: action(told.on_delete),
        on_update: action(told.on_update),
        deferrable,
        deferred,
        valid: true,
    })
}

const fn action(told: Option<ReferentialAction>) -> ForeignAction {
    match told {
        Some(ReferentialAction::NoAction) | None => ForeignAction::NoAction,
        Some(ReferentialAction::Restrict) => ForeignAction::Restrict,
        Some(ReferentialAction::Cascade) => ForeignAction::Cascade,
        Some(ReferentialAction::SetNull) => ForeignAction::SetNull,
        Some(ReferentialAction::SetDefault) => ForeignAction::SetDefault,
    }
}

/// DEFERRABLE, INITIALLY DEFERRED.
fn deferral(told: Option<&ConstraintCharacteristics>) -> Result<(bool, bool), SqlError> {
    let Some(told) = told else { return Ok((false, false)) };
    if told.enforced == Some(false) {
        return Err(SqlError::unsupported("NOT ENFORCED is not supported"));
    }
    let deferred = matches!(told.initially, Some(DeferrableInitial::Deferred));
    if deferred && told.deferrable == Some(false) {
        let message = "constraint declared INITIALLY DEFERRED must be DEFERRABLE";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
    }
    Ok((deferred || told.deferrable == Some(true), deferred))
}

/// What a UNIQUE can say and is not kept.
pub(super) fn refuse_unique(key: &UniqueConstraint) -> Result<(), SqlError> {
    if key.nulls_distinct == NullsDistinctOption::NotDistinct {
        return Err(SqlError::unsupported("NULLS NOT DISTINCT is not supported"));
    }
    if !key.include.is_empty() {
        return Err(SqlError::unsupported("INCLUDE is not supported"));
    }
    refuse_deferrable(key.characteristics.as_ref())
}

/// Two rows cannot lie under one key, not even until COMMIT.
pub(super) fn refuse_deferrable(told: Option<&ConstraintCharacteristics>) -> Result<(), SqlError> {
    let Some(told) = told else { return Ok(()) };
    if told.deferrable == Some(true) || matches!(told.initially, Some(DeferrableInitial::Deferred)) {
        return Err(SqlError::unsupported("deferrable UNIQUE and PRIMARY KEY are not supported")
            .hint("Keys are checked at the end of each statement: one UPDATE may exchange the keys of several rows."));
    }
    if told.enforced == Some(false) {
        return Err(SqlError::unsupported("NOT ENFORCED is not supported"));
    }
    Ok(())
}

fn name_of(table: &Table, told: &ForeignKeyConstraint, columns: &[usize]) -> Result<String, SqlError> {
    if let Some(name) = told.name.as_ref().map(fold) {
        if table.has_constraint(&name) {
            let message = format!("constraint \"{name}\" for relation \"{}\" already exists", table.name);
            return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
        }
        return Ok(name);
    }
    let names: Vec<_> = columns.iter().map(|column| table.columns[*column].name.as_str()).collect();
    let columns = super::index::joined_columns(&names);
    let names = (0_u32..).map(|number| {
        let label = if number == 0 { "fkey".to_owned() } else { format!("fkey{number}") };
        joined(&table.name, &columns, &label)
    });
    let free = names.into_iter().find(|name| !table.has_constraint(name));
    Ok(free.expect("there are more numbers than constraints"))
}

fn position_of(table: &Table, columns: &[Ident]) -> Result<Vec<usize>, SqlError> {
    let mut positions = Vec::with_capacity(columns.len());
    for ident in columns {
        let name = fold(ident);
        let position = table.column(&name).ok_or_else(|| {
            let message = format!("column \"{name}\" referenced in foreign key constraint does not exist");
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if positions.contains(&position) {
            let message = format!("column \"{name}\" appears twice in foreign key constraint");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        positions.push(position);
    }
    Ok(positions)
}

impl Change<'_> {
    /// Tables are about to go: the foreign keys of others that reference them go too, if it is to cascade.
    pub(super) fn release_references(&mut self, doomed: &[TableId], cascade: bool) -> Result<(), SqlError> {
        let mut holding = Vec::new();
        for id in doomed {
            for (child, number) in self.catalog.references_to(*id).filter(|(child, _)| !doomed.contains(&child.id)) {
                let parent = self.catalog.table_by_id(*id).map_or_else(String::new, |table| table.name.clone());
                holding.push((Arc::clone(child), child.foreign_keys[number].name.clone(), parent));
            }
        }
        if let (Some((child, key, parent)), false) = (holding.first(), cascade) {
            let message = format!("cannot drop table {parent} because other objects depend on it");
            return Err(SqlError::new(DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(format!("constraint {key} on table {} depends on table {parent}", child.name))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (child, key, _) in holding {
            self.drop_foreign_key(child.id, &key);
            self.notice(SqlState(*b"00000"), format!("drop cascades to constraint {key} on table {}", child.name));
        }
        Ok(())
    }

    fn drop_foreign_key(&mut self, table: TableId, name: &str) {
        if let Some(table) = self.catalog.table_by_id(table) {
            let mut table = Table::clone(table);
            table.foreign_keys.retain(|key| key.name != name);
            self.replace(table);
        }
    }

    /// A key of `table` is about to go: no foreign key may need it, or those that do go too.
    pub(super) fn release_key(
        &mut self,
        table: &Table,
        remaining: &Table,
        (what, on): (&str, &str),
        cascade: bool,
    ) -> Result<(), SqlError> {
        let needs = |(_, number): &(&Arc<Table>, usize), child: &Table| {
            referenced_key(remaining, &child.foreign_keys[*number].parent_columns).is_none()
        };
        let holding: Vec<_> = self
            .catalog
            .references_to(table.id)
            .filter(|reference| needs(reference, reference.0))
            .map(|(child, number)| (Arc::clone(child), child.foreign_keys[number].name.clone()))
            .collect();
        if let (Some((child, key)), false) = (holding.first(), cascade) {
            let message = format!("cannot drop {what} because other objects depend on it");
            return Err(SqlError::new(DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(format!("constraint {key} on table {} depends on {on}", child.name))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (child, key) in holding {
            self.drop_foreign_key(child.id, &key);
            self.notice(SqlState(*b"00000"), format!("drop cascades to constraint {key} on table {}", child.name));
        }
        Ok(())
    }
}
