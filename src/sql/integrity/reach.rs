//! Which partitions a statement's constraints concern, as far as can be said before it runs.

use super::super::expr::Expr;
use super::super::footprint::value_of;
use super::super::placement::Home;
use super::super::plan::{Insert, Node, Update, Write};
use super::super::sequence::Drawing;
use super::{Knot, Web, converted, home_of_owner, home_of_parent, together};
use crate::catalog::{ForeignAction, Table};
use crate::types::{PartitionId, SqlError, TableId, Value};
use std::collections::BTreeSet;

/// Partitions that a statement's constraints concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Reach {
    /// None but those that execute it, each on its own.
    Here,
    /// These, and those that execute it.
    Known(BTreeSet<PartitionId>),
    /// Perhaps any.
    Everywhere,
}

/// What is done to rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Insert,
    Delete,
    /// Of these columns.
    Update(Vec<usize>),
}

/// Which partitions the constraints of a write concern, of `partitions` data partitions.
///
/// # Errors
/// When values cannot be computed.
pub(in crate::sql) fn reach(
    web: &Web,
    write: &Write,
    parameters: &[Value],
    drawn: &Drawing,
    partitions: u32,
) -> Result<Reach, SqlError> {
    if partitions <= 1 {
        return Ok(Reach::Here);
    }
    let mut survey = Survey { web, drawn, partitions, seen: BTreeSet::new() };
    match write {
        Write::Truncate(_) => Ok(Reach::Here),
        Write::Copy(copy) => Ok(survey.general(copy.target.table.id, Deed::Insert)),
        Write::Delete(delete) => Ok(survey.general(delete.target.table.id, Deed::Delete)),
        Write::Insert(insert) => survey.insert(insert, parameters),
        Write::Update(update) => survey.update(update, parameters),
    }
}

struct Survey<'a> {
    web: &'a Web,
    drawn: &'a Drawing,
    partitions: u32,
    seen: BTreeSet<(TableId, Deed)>,
}

impl Survey<'_> {
    fn general(&mut self, table: TableId, deed: Deed) -> Reach {
        if self.goes_elsewhere(table, deed) { Reach::Everywhere } else { Reach::Here }
    }

    /// Can this concern any partition but that of the row?
    fn goes_elsewhere(&mut self, table: TableId, deed: Deed) -> bool {
        if !self.seen.insert((table, deed.clone())) {
            return false;
        }
        let Some(knot) = self.web.knots.get(&table) else { return true };
        self.owns_elsewhere(knot, &deed)
            || self.references_elsewhere(knot, &deed)
            || self.referenced_elsewhere(knot, &deed)
    }

    fn owns_elsewhere(&self, knot: &Knot, deed: &Deed) -> bool {
        let table = &knot.target.table;
        table.indexes.iter().filter(|index| index.global.is_some()).any(|index| match deed {
            Deed::Insert | Deed::Delete => true,
            Deed::Update(columns) => {
                let indexed = index.columns.iter().any(|(column, _)| columns.contains(column));
                indexed || moves(table, columns)
            }
        })
    }

    fn references_elsewhere(&self, knot: &Knot, deed: &Deed) -> bool {
        let table = &knot.target.table;
        table.foreign_keys.iter().zip(&knot.parents).any(|(key, parent)| {
            let concerned = match deed {
                Deed::Insert => true,
                Deed::Delete => false,
                Deed::Update(columns) => key.columns.iter().any(|column| columns.contains(column)),
            };
            concerned && !together(table, key, parent, self.partitions)
        })
    }

    fn referenced_elsewhere(&mut self, knot: &Knot, deed: &Deed) -> bool {
        let web = self.web;
        knot.children.iter().any(|(child, number)| {
            let Ok((of_child, key, parent)) = web.foreign_key(*child, *number) else { return true };
            let (table, action) = (
                &of_child.target.table,
                match deed {
                    Deed::Insert => return false,
                    Deed::Delete => key.on_delete,
                    Deed::Update(columns) if key.parent_columns.iter().any(|column| columns.contains(column)) => {
                        key.on_update
                    }
                    Deed::Update(_) => return false,
                },
            );
            if !together(table, key, parent, self.partitions) {
                return true;
            }
            match (action, deed) {
                (ForeignAction::NoAction | ForeignAction::Restrict, _) => false,
                (ForeignAction::Cascade, Deed::Delete) => self.goes_elsewhere(*child, Deed::Delete),
                // The child may have to move.
                _ => moves(table, &key.columns) || self.goes_elsewhere(*child, Deed::Update(key.columns.clone())),
            }
        })
    }

    fn insert(&mut self, insert: &Insert, parameters: &[Value]) -> Result<Reach, SqlError> {
        let table = insert.target.table.id;
        let updates = insert.conflict.as_ref().and_then(|conflict| conflict.update.as_ref());
        if let Some((assignments, _)) = updates {
            let columns = assignments.iter().map(|(column, _)| *column).collect();
            if self.goes_elsewhere(table, Deed::Update(columns)) {
                return Ok(Reach::Everywhere);
            }
        }
        if !self.goes_elsewhere(table, Deed::Insert) {
            return Ok(Reach::Here);
        }
        let (Node::Values(rows), Some(knot)) = (&insert.source, self.web.knots.get(&table)) else {
            return Ok(Reach::Everywhere);
        };
        let mut found = BTreeSet::new();
        for row in rows {
            let value = |column: usize| self.known(knot, column, &row[column], parameters);
            if !self.places_of(knot, None, &value, &mut found)? {
                return Ok(Reach::Everywhere);
            }
        }
        Ok(Reach::Known(found))
    }

    fn update(&mut self, update: &Update, parameters: &[Value]) -> Result<Reach, SqlError> {
        let table = update.target.table.id;
        let columns: Vec<usize> = update.assignments.iter().map(|(column, _)| *column).collect();
        let deed = Deed::Update(columns.clone());
        if !self.goes_elsewhere(table, deed.clone()) {
            return Ok(Reach::Here);
        }
        let Some(knot) = self.web.knots.get(&table) else { return Ok(Reach::Everywhere) };
        if self.owns_elsewhere(knot, &deed) || self.referenced_elsewhere(knot, &deed) {
            return Ok(Reach::Everywhere);
        }
        let mut found = BTreeSet::new();
        let value = |column: usize| match update.assignments.iter().find(|(assigned, _)| *assigned == column) {
            Some((_, expr)) => self.known(knot, column, expr, parameters),
            None => Ok(None),
        };
        let all = self.places_of(knot, Some(&columns), &value, &mut found)?;
        Ok(if all { Reach::Known(found) } else { Reach::Everywhere })
    }

    /// The value that a column gets; `None`: it is not known before execution.
    fn known(&self, knot: &Knot, column: usize, expr: &Expr, parameters: &[Value]) -> Result<Option<Value>, SqlError> {
        if !expr.is_known_before() {
            return Ok(None);
        }
        value_of(expr, knot.target.table.columns[column].data_type, parameters, self.drawn)
    }

    /// Where the keys of a new row are known, and the parents of its references (of those with any of these columns);
    /// `false`: that cannot be said.
    fn places_of(
        &self,
        knot: &Knot,
        changed: Option<&[usize]>,
        value: &dyn Fn(usize) -> Result<Option<Value>, SqlError>,
        found: &mut BTreeSet<PartitionId>,
    ) -> Result<bool, SqlError> {
        let table = &knot.target.table;
        if changed.is_none() {
            for index in table.indexes.iter().filter(|index| index.global.is_some()) {
                let columns: Vec<usize> = index.columns.iter().map(|(column, _)| *column).collect();
                let Some(key) = all(&columns, value)? else { return Ok(false) };
                if !key.iter().any(Value::is_null) {
                    found.insert(home_of_owner(table, index, &key, self.partitions));
                }
            }
        }
        for (key, parent) in table.foreign_keys.iter().zip(&knot.parents) {
            let concerned = changed.is_none_or(|changed| key.columns.iter().any(|column| changed.contains(column)));
            if !concerned || together(table, key, parent, self.partitions) {
                continue;
            }
            let Some(values) = all(&key.columns, value)? else { return Ok(false) };
            if values.iter().any(Value::is_null) {
                continue;
            }
            // What can be no parent's key is refused where the row is.
            let Some(values) = converted(&values, parent, &key.parent_columns) else { continue };
            match home_of_parent(parent, &key.parent_columns, &values, self.partitions)? {
                Home::At(partition) => drop(found.insert(partition)),
                Home::Everywhere => return Ok(false),
            }
        }
        Ok(true)
    }
}

fn all(
    columns: &[usize],
    value: &dyn Fn(usize) -> Result<Option<Value>, SqlError>,
) -> Result<Option<Vec<Value>>, SqlError> {
    columns.iter().map(|column| value(*column)).collect()
}

/// May a row with new values in these columns belong elsewhere?
fn moves(table: &Table, columns: &[usize]) -> bool {
    table.partition_key.iter().any(|column| columns.contains(column))
}
