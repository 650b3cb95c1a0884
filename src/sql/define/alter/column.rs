//! ADD COLUMN, DROP COLUMN, ALTER COLUMN … DEFAULT and NOT NULL.

use super::Alteration;
use crate::catalog::{Column, Table};
use crate::planted;
use crate::sql::bind::{self, fold};
use crate::sql::context::Context;
use crate::sql::define::quoted;
use crate::sql::define::table::{Added, added};
use crate::sql::distribute::is_volatile;
use crate::sql::execute::Run;
use crate::sql::expr::{Expr, evaluate};
use crate::storage::Store;
use crate::types::random::SeedableRng;
use crate::types::{Rng, SqlError, SqlState, Value};
use sqlparser::ast::{self, AlterColumnOperation, Ident};

/// Most columns of a table, dropped ones among them: PostgreSQL's limit.
const MAX_COLUMNS: usize = 1_600;

impl Alteration<'_, '_> {
    pub(super) fn add_column(&mut self, definition: &ast::ColumnDef, if_not_exists: bool) -> Result<(), SqlError> {
        let name = fold(&definition.name);
        if self.table.column(&name).is_some() {
            let message = format!("column \"{name}\" of relation \"{}\" already exists", self.table.name);
            if !if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            self.change.notice(SqlState::DUPLICATE_COLUMN, format!("{message}, skipping"));
            return Ok(());
        }
        if self.table.columns.len() >= MAX_COLUMNS {
            // 54011, too_many_columns.
            let error = SqlError::new(SqlState(*b"54011"), format!("tables can have at most {MAX_COLUMNS} columns"));
            let dropped = self.table.columns.len() - self.table.live_columns().count();
            return Err(if dropped == 0 { error } else { error.detail(format!("{dropped} of them were dropped.")) });
        }
        let Added { mut column, keys, checks, foreign, sequence } =
            added(&self.change.catalog, &self.table, definition, self.change.text)?;
        let serial = sequence.is_some();
        if let Some(wanted) = sequence {
            wanted.add(self.change, &self.table.schema, &mut column);
        }
        // A planted bug: the place of the last column is free again once that is dropped.
        if planted!(116) && self.table.columns.last().is_some_and(|last| last.dropped) {
            self.table.columns.pop();
        }
        let place = self.table.columns.len();
        if let Some(text) = column.default.as_ref().filter(|_| !serial) {
            let stored = bind::check_default(&self.change.catalog, self.change.settings, &column, text)?;
            column.default = Some(stored);
        }
        if serial || column.default.is_some() {
            let (catalog, settings) = (&self.change.catalog, self.change.settings);
            let value = bind::default_drawn(catalog, settings, &column, &mut self.draws)?;
            if is_volatile(&value) {
                self.values.push((place, value));
                self.rewrites = true;
            } else {
                column.missing = self.value_now(&value)?;
            }
        }
        if column.not_null && column.missing.is_null() {
            self.not_null.insert(place);
        }
        self.table.columns.push(column);
        for (name, primary) in keys {
            self.add_key(name, std::slice::from_ref(&definition.name), primary)?;
        }
        for (name, condition) in checks {
            self.add_check(name, &condition, false)?;
        }
        for key in foreign {
            self.add_foreign_key(&key, std::slice::from_ref(&definition.name), false)?;
        }
        Ok(())
    }

    /// What an expression without dice comes to at this moment; it is the same wherever it is asked.
    fn value_now(&self, value: &Expr) -> Result<Value, SqlError> {
        let dice = Rng::from_seed([0; 32]);
        let mut context = Context::new(self.change.now, dice, &self.change.settings.time_zone, 0);
        evaluate(value, &[], &mut Run::new(&Store::new(), &[], &mut context))
    }

    /// The column's place stays; nobody sees it any more. Indexes and constraints that it is part of go with it.
    pub(super) fn drop_column(&mut self, ident: &Ident, if_exists: bool, cascade: bool) -> Result<(), SqlError> {
        let name = fold(ident);
        let Some(place) = self.table.column(&name) else {
            let error = self.no_column(&name);
            if !if_exists {
                return Err(error);
            }
            self.change.notice(SqlState(*b"00000"), format!("{}, skipping", error.message));
            return Ok(());
        };
        let table = &self.table;
        if table.partition_key.contains(&place) {
            let message = format!(
                "cannot drop column \"{name}\" because it is part of the partition key of relation \"{}\"",
                table.name
            );
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).hint(format!(
                "Rows are placed by it. PARTITION TABLE {} ON COLUMN … places them by another column.",
                quoted(&table.name)
            )));
        }
        if table.primary_key.contains(&place) {
            return Err(in_primary_key("cannot drop", table, &name));
        }
        let mut checks = Vec::with_capacity(table.checks.len());
        for check in &table.checks {
            if bind::column_uses(table, &check.expression)?.iter().all(|found| found.column != place) {
                checks.push(check.clone());
            }
        }
        self.table.checks = checks;
        self.table.indexes.retain(|index| index.columns.iter().all(|(column, _)| *column != place));
        self.table.foreign_keys.retain(|key| !key.columns.contains(&place));
        let what = format!("column {name} of table {}", self.table.name);
        self.release_key((&what, &what), cascade)?;
        self.table.columns[place].drop_it(place);
        Ok(())
    }

    pub(super) fn alter_column(&mut self, ident: &Ident, operation: &AlterColumnOperation) -> Result<(), SqlError> {
        let place = self.position(ident)?;
        match operation {
            AlterColumnOperation::SetDefault { value } => self.set_default(place, value)?,
            AlterColumnOperation::DropDefault => {
                let instead = "Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.";
                self.refuse_identity(place).map_err(|error| error.hint(instead))?;
                self.table.columns[place].default = None;
            }
            AlterColumnOperation::SetNotNull => {
                if !self.table.columns[place].not_null {
                    self.table.columns[place].not_null = true;
                    self.not_null.insert(place);
                }
            }
            AlterColumnOperation::DropNotNull => self.drop_not_null(place)?,
            AlterColumnOperation::SetDataType { data_type, using, .. } => {
                self.retype(place, data_type, using.as_ref())?;
            }
            AlterColumnOperation::AddGenerated { .. } => {
                return Err(SqlError::unsupported("identity columns are not supported"));
            }
        }
        Ok(())
    }

    /// Its values come of its sequence, and must be there.
    fn refuse_identity(&self, place: usize) -> Result<(), SqlError> {
        let column = &self.table.columns[place];
        if column.sequences.identity.is_none() {
            return Ok(());
        }
        let message = format!("column \"{}\" of relation \"{}\" is an identity column", column.name, self.table.name);
        Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
    }

    fn set_default(&mut self, place: usize, value: &ast::Expr) -> Result<(), SqlError> {
        self.refuse_identity(place)?;
        let column = &self.table.columns[place];
        let text = bind::check_default(&self.change.catalog, self.change.settings, column, &value.to_string())?;
        let changed = Column { default: Some(text.clone()), ..column.clone() };
        let compiled = bind::default_value(&self.change.catalog, self.change.settings, &changed)?;
        // DEFAULT NULL is no default.
        let none = matches!(&compiled, Expr::Constant(value) if value.is_null());
        self.table.columns[place].default = (!none).then_some(text);
        // A planted bug: rows that are older than the column follow its newest default, as if they were read under another
        // version of the catalog than that which added it.
        if planted!(115) && !is_volatile(&compiled) {
            self.table.columns[place].missing = self.value_now(&compiled)?;
        }
        Ok(())
    }

    fn drop_not_null(&mut self, place: usize) -> Result<(), SqlError> {
        self.refuse_identity(place)?;
        let (table, name) = (&self.table, &self.table.columns[place].name);
        if table.primary_key.contains(&place) {
            let message = format!("column \"{name}\" is in a primary key");
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        if table.partition_key.contains(&place) {
            let message = format!("column \"{name}\" is in the partition key of relation \"{}\"", table.name);
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message)
                .hint("A row needs a place: the column must stay NOT NULL."));
        }
        self.table.columns[place].not_null = false;
        self.not_null.remove(&place);
        Ok(())
    }
}

fn in_primary_key(what: &str, table: &Table, column: &str) -> SqlError {
    let message = format!("{what} column \"{column}\" because it is in the primary key of relation \"{}\"", table.name);
    let key = table.primary_key_name.as_deref().unwrap_or_default();
    let hint = format!("ALTER TABLE {} DROP CONSTRAINT {} comes first.", quoted(&table.name), quoted(key));
    SqlError::unsupported(message).hint(hint)
}
