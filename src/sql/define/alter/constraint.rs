//! ADD CONSTRAINT, VALIDATE CONSTRAINT, DROP CONSTRAINT.

use super::Alteration;
use crate::catalog::{Check, ForeignKey, Table};
use crate::sql::bind::{self, fold};
use crate::sql::define::foreign;
use crate::sql::define::table::{check_name, plain_columns, refuse_unenforced};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{self, Ident, TableConstraint};

pub(super) fn taken(table: &Table, name: &str) -> SqlError {
    let message = format!("constraint \"{name}\" for relation \"{}\" already exists", table.name);
    SqlError::new(SqlState::DUPLICATE_OBJECT, message)
}

impl Alteration<'_, '_> {
    pub(super) fn add_constraint(&mut self, constraint: &TableConstraint, not_valid: bool) -> Result<(), SqlError> {
        let all_rows = |what: &str| match not_valid {
            true => Err(SqlError::unsupported(format!("{what} constraints cannot be marked NOT VALID"))),
            false => Ok(()),
        };
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                all_rows("PRIMARY KEY")?;
                foreign::refuse_deferrable(key.characteristics.as_ref())?;
                self.add_key(key.name.as_ref().map(fold), &plain_columns(&key.columns)?, true)
            }
            TableConstraint::Unique(key) => {
                all_rows("UNIQUE")?;
                foreign::refuse_unique(key)?;
                self.add_key(key.name.as_ref().map(fold), &plain_columns(&key.columns)?, false)
            }
            TableConstraint::Check(check) => {
                refuse_unenforced(check)?;
                self.add_check(check.name.as_ref().map(fold), &check.expr, not_valid)
            }
            TableConstraint::ForeignKey(key) => self.add_foreign_key(key, &[], not_valid),
            _ => Err(SqlError::unsupported("this constraint cannot be added to a table yet")),
        }
    }

    pub(super) fn add_check(
        &mut self,
        name: Option<String>,
        condition: &ast::Expr,
        not_valid: bool,
    ) -> Result<(), SqlError> {
        let table = &self.table;
        // As in PostgreSQL, its errors have no place in the statement.
        let unplaced = |error: SqlError| SqlError { position: None, ..error };
        let used = bind::check_condition(table, condition, self.change.text).map_err(unplaced)?;
        let name = match name {
            Some(name) if table.has_constraint(&name) => return Err(taken(table, &name)),
            Some(name) => name,
            None => check_name(table, &used, &|name| table.has_constraint(name)),
        };
        if !not_valid {
            self.proving.push(name.clone());
        }
        self.table.checks.push(Check { name, expression: condition.to_string(), valid: !not_valid });
        self.table.checks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    pub(super) fn validate(&mut self, ident: &Ident) -> Result<(), SqlError> {
        let name = fold(ident);
        if let Some(key) = self.table.foreign_keys.iter_mut().find(|key| key.name == name) {
            // If it was not before, the rows are looked at ([`crate::sql::integrity`]).
            key.valid = true;
            return Ok(());
        }
        let Some(check) = self.table.checks.iter_mut().find(|check| check.name == name) else {
            let relation = &self.table.name;
            return Err(if self.table.has_constraint(&name) {
                let message = format!(
                    "constraint \"{name}\" of relation \"{relation}\" is not a foreign key or check constraint"
                );
                SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
            } else {
                self.no_constraint(&name)
            });
        };
        if !std::mem::replace(&mut check.valid, true) {
            self.proving.push(name);
        }
        Ok(())
    }

    /// Unless it is NOT VALID, the rows that are there are looked at ([`crate::sql::integrity`]). `columns`: that behind which
    /// REFERENCES stands.
    pub(super) fn add_foreign_key(
        &mut self,
        told: &ast::ForeignKeyConstraint,
        columns: &[Ident],
        not_valid: bool,
    ) -> Result<(), SqlError> {
        let key = foreign::resolve(&self.change.catalog, self.change.settings, &self.table, told, columns)?;
        self.table.foreign_keys.push(ForeignKey { valid: !not_valid, ..key });
        Ok(())
    }

    pub(super) fn drop_constraint(&mut self, ident: &Ident, if_exists: bool, cascade: bool) -> Result<(), SqlError> {
        let name = fold(ident);
        if !self.table.has_constraint(&name) {
            let error = self.no_constraint(&name);
            if !if_exists {
                return Err(error);
            }
            self.change.notice(SqlState(*b"00000"), format!("{}, skipping", error.message));
            return Ok(());
        }
        if self.table.primary_key_name.as_deref() == Some(&name) {
            // Rows were filed under it. They get hidden ids, and stay in their partitions; its columns stay NOT NULL.
            self.table.primary_key_name = None;
            self.table.primary_key.clear();
            self.rewrites = true;
        }
        self.table.foreign_keys.retain(|key| key.name != name);
        self.table.checks.retain(|check| check.name != name);
        self.table.indexes.retain(|index| !index.constraint || index.name != name);
        let what = format!("constraint {name} on table {}", self.table.name);
        self.release_key((&what, &format!("index {name}")), cascade)
    }

    /// What is left of the table must have the keys that foreign keys reference, or these go too. Those of the table itself are
    /// dropped from what it is to be.
    pub(super) fn release_key(&mut self, what: (&str, &str), cascade: bool) -> Result<(), SqlError> {
        self.change.replace(self.table.clone());
        self.change.release_key(&self.before, &self.table, what, cascade)?;
        if let Some(now) = self.change.catalog.table_by_id(self.table.id) {
            self.table.foreign_keys.clone_from(&now.foreign_keys);
        }
        Ok(())
    }

    fn no_constraint(&self, name: &str) -> SqlError {
        let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", self.table.name);
        SqlError::new(SqlState::UNDEFINED_OBJECT, message)
    }
}
