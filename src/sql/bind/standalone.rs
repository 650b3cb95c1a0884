//! Expressions that belong to a definition rather than to a statement over rows: what ALTER TABLE asks of them.

use super::scope::Scope;
use super::{Aggregates, Binder, compile};
use crate::catalog::{Catalog, Column, Table};
use crate::sql::cast::{CastContext, can_cast};
use crate::sql::expr::Expr;
use crate::sql::parse::parse_expression;
use crate::sql::sequence::Draws;
use crate::sql::settings::Settings;
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{self, Spanned};
use sqlparser::tokenizer::Span;

/// A place where an expression names a column of its table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sql) struct Use {
    /// Which column.
    pub(in crate::sql) column: usize,
    /// Where its name stands.
    pub(in crate::sql) name: Span,
    /// Where the table's name stands before it, if it does.
    pub(in crate::sql) relation: Option<Span>,
}

/// Where the text of a CHECK names columns, in order.
pub(in crate::sql) fn column_uses(table: &Table, text: &str) -> Result<Vec<Use>, SqlError> {
    let (catalog, settings) = (Catalog::default(), Settings::default());
    let expression = parse_expression(text)?;
    let mut binder = Binder::new(&catalog, &settings, text, &[]);
    binder.scopes.push(Scope::of_table(table, &table.name));
    binder.uses = Some(Vec::new());
    binder.expression(&expression)?;
    let mut uses = binder.uses.unwrap_or_default();
    uses.sort_by_key(|found| found.name.start);
    // What is bound twice (the operand of BETWEEN) is in the text once.
    uses.dedup();
    Ok(uses)
}

/// The value that a column has by default.
pub(in crate::sql) fn default_value(catalog: &Catalog, settings: &Settings, column: &Column) -> Result<Expr, SqlError> {
    Binder::new(catalog, settings, column.default.as_deref().unwrap_or_default(), &[]).default_of(column)
}

/// The same, with what it draws from sequences, behind what others draw.
pub(in crate::sql) fn default_drawn(
    catalog: &Catalog,
    settings: &Settings,
    column: &Column,
    draws: &mut Draws,
) -> Result<Expr, SqlError> {
    let mut binder = Binder::new(catalog, settings, column.default.as_deref().unwrap_or_default(), &[]);
    std::mem::swap(&mut binder.draws, draws);
    let value = binder.default_of(column);
    std::mem::swap(&mut binder.draws, draws);
    value
}

/// The value that a column gets when it changes its type to that of `after`: of USING's expression over the row as it
/// was, else of itself.
pub(in crate::sql) fn conversion(
    settings: &Settings,
    table: &Table,
    (place, after): (usize, &Column),
    using: Option<&ast::Expr>,
    text: &str,
) -> Result<Expr, SqlError> {
    let (name, to) = (&after.name, after.data_type);
    let refused = |what: &str, hint: String| {
        let message = format!("{what} \"{name}\" cannot be cast automatically to type {}", to.base_name());
        SqlError::new(SqlState::DATATYPE_MISMATCH, message).hint(hint)
    };
    let catalog = Catalog::default();
    let mut binder = Binder::new(&catalog, settings, text, &[]);
    let Some(using) = using else {
        let from = table.columns[place].data_type;
        if !can_cast(from, to, CastContext::Assignment) {
            let hint = format!("You might need to specify \"USING {}::{to}\".", crate::sql::define::quoted(name));
            return Err(refused("column", hint));
        }
        return binder.cast(Expr::Column(place), from, to, CastContext::Assignment);
    };
    binder.scopes.push(Scope::of_table(table, &table.name));
    binder.aggregates = Aggregates::Refused("transform expressions");
    let typed = binder.expression(using)?;
    if binder.slots > 0 {
        let error = SqlError::unsupported("cannot use subquery in transform expression");
        return Err(binder.at(using.span(), error));
    }
    let coerced = binder.coerce(typed, to, CastContext::Assignment)?;
    let converted = coerced.ok_or_else(|| {
        refused("result of USING clause for column", "You might need to add an explicit cast.".to_owned())
    })?;
    Ok(converted.expr)
}

/// The default of a column that changes its type, compiled for the new one. As in PostgreSQL an expression is taken as it was
/// written, and an untyped literal as the value of the old type that it was.
pub(in crate::sql) fn converted_default(
    catalog: &Catalog,
    settings: &Settings,
    before: &Column,
    after: &Column,
) -> Result<Option<Expr>, SqlError> {
    let Some(text) = &before.default else { return Ok(None) };
    let (from, to) = (before.data_type, after.data_type);
    let refused = || {
        let (name, to) = (&before.name, to.base_name());
        let message = format!("default for column \"{name}\" cannot be cast automatically to type {to}");
        SqlError::new(SqlState::DATATYPE_MISMATCH, message)
    };
    compile(catalog, settings, text, &mut |binder, expression| {
        binder.stored = true;
        let typed = binder.expression(expression)?;
        if typed.data_type.is_some() {
            return Ok(binder.coerce(typed, to, CastContext::Assignment)?.ok_or_else(refused)?.expr);
        }
        let old = binder.assign(typed, before)?;
        if !can_cast(from, to, CastContext::Assignment) {
            return Err(refused());
        }
        binder.cast(old, from, to, CastContext::Assignment)
    })
    .map(Some)
}
