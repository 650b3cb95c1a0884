//! GROUP BY: after binding over the input's rows, expressions are rewritten over the groups' rows.

use super::scope::Scope;
use super::{Binder, Typed};
use crate::sql::expr::Expr;
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::tokenizer::Span;

/// Keys of the groups. A group's row is its keys followed by its aggregates.
pub(super) struct Keys<'s> {
    pub(super) scope: &'s Scope,
    /// As written.
    pub(super) keys: Vec<(Expr, DataType)>,
    /// Columns that follow from a primary key among the keys; they become keys too.
    pub(super) implied: Vec<usize>,
}

impl<'s> Keys<'s> {
    pub(super) fn new(binder: &Binder<'_>, scope: &'s Scope, keys: Vec<(Expr, DataType)>) -> Self {
        let mut implied = Vec::new();
        for table in binder.catalog.tables.values().filter(|table| !table.primary_key.is_empty()) {
            // A table may stand in FROM more than once: each under a name of its own.
            let mut relations: Vec<&str> = Vec::new();
            for column in scope.columns.iter().filter(|column| column.origin.is_some_and(|(id, _)| id == table.id)) {
                if !relations.contains(&column.relation.as_str()) {
                    relations.push(&column.relation);
                }
            }
            for relation in relations {
                let place = |key: usize| {
                    let is = |column: &super::scope::ScopeColumn| {
                        column.relation == relation && column.origin == Some((table.id, key))
                    };
                    scope.columns.iter().position(is)
                };
                let grouped =
                    |key: &usize| place(*key).is_some_and(|at| keys.iter().any(|(k, _)| *k == Expr::Column(at)));
                if table.primary_key.iter().all(grouped) {
                    implied.extend((0..table.columns.len()).filter_map(place));
                }
            }
        }
        Self { scope, keys, implied }
    }

    /// All keys, the implied ones included.
    pub(super) fn all(&self) -> Vec<(Expr, DataType)> {
        let implied = self.implied.iter().map(|at| (Expr::Column(*at), self.scope.columns[*at].data_type));
        self.keys.iter().cloned().chain(implied).collect()
    }

    /// Rewrites an expression over the input's rows into one over the groups' rows.
    pub(super) fn rewrite(&self, binder: &Binder<'_>, expr: &mut Expr, span: Span) -> Result<(), SqlError> {
        if let Some(key) = self.keys.iter().position(|(key, _)| key == expr) {
            *expr = Expr::Column(key);
            return Ok(());
        }
        match expr {
            Expr::Aggregate(place) => *expr = Expr::Column(self.keys.len() + self.implied.len() + *place),
            Expr::Column(column) => {
                let Some(implied) = self.implied.iter().position(|at| at == column) else {
                    let column = &self.scope.columns[*column];
                    let message = format!(
                        "column \"{}.{}\" must appear in the GROUP BY clause or be used in an aggregate function",
                        column.relation, column.name
                    );
                    return binder.error(span, SqlState::GROUPING_ERROR, message);
                };
                *expr = Expr::Column(self.keys.len() + implied);
            }
            Expr::Subquery(subquery) if subquery.slot.is_none() => {
                return Err(SqlError::unsupported(
                    "correlated subqueries beside GROUP BY or aggregates are not supported",
                ));
            }
            other => {
                for child in other.children_mut() {
                    self.rewrite(binder, child, span)?;
                }
            }
        }
        Ok(())
    }

    /// As [`Self::rewrite`], with the place of the column that offends.
    pub(super) fn rewrite_typed(&self, binder: &Binder<'_>, typed: &mut Typed) -> Result<(), SqlError> {
        self.rewrite(binder, &mut typed.expr, typed.span)
    }
}
