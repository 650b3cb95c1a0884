//! ALTER TABLE and ALTER INDEX.
//!
//! Actions of one ALTER TABLE are taken in PostgreSQL's order, not in that of writing: what is dropped first, then types,
//! then new columns, and constraints at the end, so that they can be about those columns. All of them come to one next
//! catalog and one piece of [`Work`](super::Work) on the rows, so they happen together or not at all.
//!
//! What touches no row takes no longer for a large table: RENAME, DROP COLUMN (the column is marked), ADD COLUMN with a default
//! that is one value (the value is kept in the catalog, for the rows that are too short to have the column), DEFAULT, DROP NOT
//! NULL, NOT VALID, a type that holds the old one's values as they are. SET NOT NULL, CHECK and VALIDATE read all rows. UNIQUE
//! builds an index. A default that rolls dice, any other change of type, and DROP of a primary key write all rows anew, into new
//! trees, and build all indexes.

mod column;
mod constraint;
mod key;
mod rename;
mod retype;

pub(super) use key::promote;
pub(super) use rename::index;

use super::names::Names;
use super::{Change, TableWork, placement, quoted, replication};
use crate::catalog::Table;
use crate::sql::bind::{self, find_table, fold};
use crate::sql::expr::Expr;
use crate::sql::sequence::Draws;
use crate::types::{SqlError, SqlState, TreeId, Value};
use sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation as Operation, Ident, TableConstraint};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A table on its way from what it was to what it is to be.
struct Alteration<'c, 'a> {
    change: &'c mut Change<'a>,
    before: Arc<Table>,
    table: Table,
    /// Columns that get another value in every row.
    values: Vec<(usize, Expr)>,
    /// Are all rows written anew?
    rewrites: bool,
    /// Columns in which no row may have NULL.
    not_null: BTreeSet<usize>,
    /// CHECKs that all rows must keep.
    proving: Vec<String>,
    /// What the values draw from sequences.
    draws: Draws,
}

pub(super) fn table(change: &mut Change<'_>, alter: &ast::AlterTable) -> Result<&'static str, SqlError> {
    let table = match find_table(&change.catalog, &alter.name, change.settings) {
        Ok(table) => Arc::clone(table),
        Err(error) if error.state == SqlState::UNDEFINED_TABLE => {
            if let [Operation::RenameTable { table_name }] = alter.operations.as_slice()
                && rename::index_as_table(change, &alter.name, table_name)?
            {
                return Ok("ALTER TABLE");
            }
            if !alter.if_exists {
                return Err(error);
            }
            change.notice(SqlState(*b"00000"), format!("{}, skipping", error.message));
            return Ok("ALTER TABLE");
        }
        Err(error) => return Err(error),
    };
    match alter.operations.as_slice() {
        [Operation::RenameTable { table_name }] => rename::table(change, &table, table_name)?,
        [Operation::RenameColumn { old_column_name, new_column_name }] => {
            rename::column(change, &table, old_column_name, new_column_name)?;
        }
        [Operation::RenameConstraint { old_name, new_name }] => {
            rename::constraint(change, &table, old_name, new_name)?;
        }
        several => {
            let mut actions: Vec<&Operation> = several.iter().collect();
            actions.sort_by_key(|action| pass(action));
            let mut alteration = Alteration::new(change, table);
            for action in actions {
                alteration.act(action)?;
            }
            alteration.finish()?;
        }
    }
    Ok("ALTER TABLE")
}

/// PostgreSQL's order.
fn pass(action: &Operation) -> u8 {
    match action {
        Operation::DropColumn { .. } | Operation::DropConstraint { .. } => 0,
        Operation::AlterColumn { op, .. } => match op {
            AlterColumnOperation::DropDefault | AlterColumnOperation::DropNotNull => 0,
            AlterColumnOperation::SetDataType { .. } => 1,
            AlterColumnOperation::SetNotNull => 3,
            _ => 5,
        },
        Operation::AddColumn { .. } => 2,
        Operation::AddConstraint {
            constraint: TableConstraint::PrimaryKey(_) | TableConstraint::Unique(_), ..
        } => 4,
        Operation::AddConstraint { .. } => 5,
        _ => 6,
    }
}

impl<'c, 'a> Alteration<'c, 'a> {
    fn new(change: &'c mut Change<'a>, before: Arc<Table>) -> Self {
        let table = Table::clone(&before);
        let (values, not_null, proving) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self { change, before, table, values, rewrites: false, not_null, proving, draws: Draws::default() }
    }

    fn act(&mut self, action: &Operation) -> Result<(), SqlError> {
        match action {
            Operation::AddColumn { column_def, if_not_exists, column_position: None, .. } => {
                self.add_column(column_def, *if_not_exists)
            }
            Operation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                let cascade = *drop_behavior == Some(ast::DropBehavior::Cascade);
                column_names.iter().try_for_each(|name| self.drop_column(name, *if_exists, cascade))
            }
            Operation::AlterColumn { column_name, op } => self.alter_column(column_name, op),
            Operation::AddConstraint { constraint, not_valid } => self.add_constraint(constraint, *not_valid),
            Operation::DropConstraint { if_exists, name, drop_behavior } => {
                let cascade = *drop_behavior == Some(ast::DropBehavior::Cascade);
                self.drop_constraint(name, *if_exists, cascade)
            }
            Operation::ValidateConstraint { name } => self.validate(name),
            Operation::SetOptionsParens { options } => {
                self.table.replication = replication::of_options(options)?.over(self.table.replication);
                self.change.check_replication(self.table.replication)
            }
            Operation::RenameTable { .. } | Operation::RenameColumn { .. } | Operation::RenameConstraint { .. } => {
                // In PostgreSQL's grammar it has no place there.
                Err(SqlError::new(SqlState::SYNTAX_ERROR, "RENAME cannot be combined with other actions")
                    .hint("Give it a statement of its own."))
            }
            other => {
                let text = other.to_string();
                let word = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase());
                let words: Vec<_> = text.split_whitespace().take_while(word).take(3).collect();
                Err(SqlError::unsupported(format!("ALTER TABLE … {} is not supported", words.join(" "))))
            }
        }
    }

    /// Position of a column of the table as it stands now.
    fn position(&self, ident: &Ident) -> Result<usize, SqlError> {
        let name = fold(ident);
        self.table.column(&name).ok_or_else(|| self.no_column(&name))
    }

    fn no_column(&self, name: &str) -> SqlError {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", self.table.name);
        SqlError::new(SqlState::UNDEFINED_COLUMN, message)
    }

    /// Names of relations that are taken, by this table's new indexes too.
    fn names(&self) -> Names<'_> {
        let indexes = self.table.indexes.iter().map(|index| index.name.clone());
        let given = indexes.chain(self.table.primary_key_name.clone()).collect();
        Names { catalog: &self.change.catalog, schema: &self.table.schema, given }
    }

    /// Ends it: the next catalog has the table, and the rows what is to be done with them.
    fn finish(mut self) -> Result<(), SqlError> {
        if self.rewrites {
            self.renew_trees();
        }
        let mut checks = Vec::with_capacity(self.proving.len());
        for check in self.table.checks.iter().filter(|check| self.proving.contains(&check.name)) {
            let condition = bind::compile_check(self.change.settings, &self.table, &check.expression)?;
            checks.push((check.name.clone(), condition));
        }
        placement::own_keys(self.change, &mut self.table, self.rewrites);
        placement::check_keys(&self.table, self.change.partitions)?;
        let not_null: Vec<usize> =
            self.not_null.into_iter().filter(|place| !self.table.columns[*place].dropped).collect();
        if self.rewrites || !not_null.is_empty() || !checks.is_empty() {
            let (table, values) = (self.table.id, self.values);
            let streams = self.draws.streams.into_iter().map(|stream| stream.sequence).collect();
            self.change.work.0.push(TableWork { table, values, not_null, checks, streams });
        }
        self.change.replace(self.table);
        Ok(())
    }

    /// Rows go to a new tree, with all their columns; entries of indexes, which name rows by their keys, too.
    fn renew_trees(&mut self) {
        self.table.tree = self.change.tree();
        let old: Vec<TreeId> = self.before.trees().collect();
        for index in self.table.indexes.iter_mut().filter(|index| old.contains(&index.tree)) {
            index.tree = self.change.tree();
        }
        for (place, column) in self.table.columns.iter_mut().enumerate() {
            let missing = std::mem::replace(&mut column.missing, Value::Null);
            if place >= self.before.columns.len() && !missing.is_null() {
                self.values.push((place, Expr::Constant(missing)));
            }
        }
        self.not_null
            .extend(self.table.columns.iter().enumerate().filter(|(_, column)| column.not_null).map(|(at, _)| at));
    }
}
