//! Binding: from syntax trees to plans. Names are resolved, types inferred as PostgreSQL infers them, casts made explicit.
//!
//! An expression of unknown type is an untyped literal, NULL, or a parameter whose type nobody has told; it takes the
//! type of the place where it is used, and a parameter keeps the first one that it got.

mod copy;
mod data_type;
mod expression;
mod from;
mod function;
mod grouping;
mod literal;
mod locking;
mod name;
mod predicate;
mod query;
mod scope;
mod select;
mod sequence;
mod series;
mod standalone;
mod write;

pub(super) use data_type::{data_type, data_type_in};
pub(super) use from::shifted;
pub(super) use name::{find_by_parts, find_relation, find_table, fold, name_parts, qualified, qualified_parts};
pub(super) use sequence::{Named, draws, quoted_name, renamed_in, sequences_in, stored_name};
pub(super) use standalone::{Use, column_uses, conversion, converted_default, default_drawn, default_value};
pub(super) use write::output_columns;

use self::scope::Scope;
use super::cast::{self, CastContext};
use super::expr::Expr;
use super::parse::{Overriding, character_position, parse_expression, too_complex};
use super::plan::{AggregateCall, Write};
use super::sequence::Draws;
use super::settings::Settings;
use super::{context::Context, prepared::OutputColumn};
use crate::catalog::{Catalog, Column, Table};
use crate::types::random::SeedableRng;
use crate::types::{DataType, Rng, SqlError, SqlState, Timestamp, Value};
use sqlparser::ast;
use sqlparser::tokenizer::Span;

/// Deepest expression or query, in levels of the tree.
const MAX_DEPTH: u32 = 100;

/// A bound expression with its type; `None`: unknown.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) data_type: Option<DataType>,
    pub(super) span: Span,
}

/// Where an aggregate call may stand.
#[derive(Debug)]
enum Aggregates {
    /// Nowhere here; says where "here" is.
    Refused(&'static str),
    /// Collected.
    Allowed(Vec<AggregateCall>),
}

/// The state of binding one statement.
pub(super) struct Binder<'a> {
    catalog: &'a Catalog,
    settings: &'a Settings,
    text: &'a str,
    parameters: Vec<Option<DataType>>,
    /// Enclosing queries' columns, innermost last.
    scopes: Vec<Scope>,
    aggregates: Aggregates,
    /// WITH queries in sight, innermost last.
    tables: Vec<(String, query::Bound)>,
    /// FOR UPDATE and its kin at the end of the query that is being bound.
    locking: Vec<locking::Clause>,
    /// The first of the statement's, in its own words.
    locked: Option<&'static str>,
    /// Memory slots given to uncorrelated subqueries.
    slots: usize,
    /// Has the subquery being bound looked at an enclosing row, how far out?
    reached: usize,
    depth: u32,
    /// Where columns are named, for whoever wants to know.
    uses: Option<Vec<Use>>,
    /// What is drawn from sequences.
    draws: Draws,
    /// What is being bound is evaluated for rows that were written, by whoever wrote them.
    own: bool,
    /// Sequences that are named, in the order of binding.
    named: Vec<sequence::Named>,
    /// How often `setval` is called.
    sets: usize,
    /// The text is the catalog's: its names do not depend on the session.
    stored: bool,
    /// What stands behind the columns of an INSERT.
    overriding: Option<Overriding>,
    /// For the values of literals: zone, and a clock that nothing may look at.
    context: Context,
}

/// A bound statement.
pub(super) enum Statement {
    Query(Box<query::Bound>),
    Write { write: Write, columns: Vec<OutputColumn>, tag: &'static str },
}

impl<'a> Binder<'a> {
    pub(in crate::sql) fn new(
        catalog: &'a Catalog,
        settings: &'a Settings,
        text: &'a str,
        known: &[Option<DataType>],
    ) -> Self {
        Self {
            catalog,
            settings,
            text,
            parameters: known.to_vec(),
            scopes: Vec::new(),
            aggregates: Aggregates::Refused("here"),
            tables: Vec::new(),
            locking: Vec::new(),
            locked: None,
            slots: 0,
            reached: 0,
            depth: 0,
            uses: None,
            draws: Draws::default(),
            own: false,
            named: Vec::new(),
            sets: 0,
            stored: false,
            overriding: None,
            context: Context::new(Timestamp(0), Rng::from_seed([0; 32]), &settings.time_zone, 0),
        }
    }

    /// Binds a statement of kind Query or Write.
    pub(super) fn statement(&mut self, statement: &ast::Statement) -> Result<Statement, SqlError> {
        match statement {
            ast::Statement::Query(query) => {
                let mut query = Box::new(self.query(query)?);
                self.place_in_query(&mut query.plan);
                Ok(Statement::Query(query))
            }
            ast::Statement::Insert(insert) => self.insert(insert),
            ast::Statement::Update(update) => self.update(update),
            ast::Statement::Delete(delete) => self.delete(delete),
            ast::Statement::Truncate(truncate) => self.truncate(truncate),
            _ => Err(SqlError::unsupported("this statement cannot be planned")),
        }
    }

    /// OVERRIDING stood in the text.
    pub(super) const fn overriding(mut self, overriding: Option<Overriding>) -> Self {
        self.overriding = overriding;
        self
    }

    /// What it draws from sequences.
    pub(super) fn draws(&mut self) -> Draws {
        std::mem::take(&mut self.draws)
    }

    /// What it is called if it locks rows.
    pub(super) const fn locks_rows(&self) -> Option<&'static str> {
        self.locked
    }

    /// Types of the parameters, all of which must be known by now.
    pub(super) fn into_parameters(self) -> Result<Vec<DataType>, SqlError> {
        let typed = self.parameters.into_iter().enumerate().map(|(number, data_type)| {
            data_type.ok_or_else(|| {
                let message = format!("could not determine data type of parameter ${}", number + 1);
                SqlError::new(SqlState::INDETERMINATE_DATATYPE, message)
            })
        });
        typed.collect()
    }

    fn at(&self, span: Span, error: SqlError) -> SqlError {
        if span.start.line == 0 || error.position.is_some() {
            return error;
        }
        error.at(character_position(self.text, span.start))
    }

    fn error<T>(&self, span: Span, state: SqlState, message: impl Into<String>) -> Result<T, SqlError> {
        Err(self.at(span, SqlError::new(state, message)))
    }

    /// One level deeper; every recursion of the binder passes here.
    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        if self.depth >= MAX_DEPTH {
            return Err(too_complex());
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// Gives an expression a type: unknown ones take it, others are cast as far as `strength` allows. `None`: they cannot be.
    fn coerce(&mut self, typed: Typed, to: DataType, strength: CastContext) -> Result<Option<Typed>, SqlError> {
        let Typed { expr, data_type, span } = typed;
        let Some(from) = data_type else {
            let expr = self.give_type(expr, to, strength, span)?;
            return Ok(Some(Typed { expr, data_type: Some(to), span }));
        };
        if !cast::can_cast(from, to, strength) {
            return Ok(None);
        }
        let expr = self.cast(expr, from, to, strength).map_err(|error| self.at(span, error))?;
        Ok(Some(Typed { expr, data_type: Some(to), span }))
    }

    /// The cast as an expression; of a constant done at once, if no clock is involved.
    fn cast(&self, expr: Expr, from: DataType, to: DataType, strength: CastContext) -> Result<Expr, SqlError> {
        if cast::is_relabel(from, to) {
            return Ok(expr);
        }
        let clockless = |data_type| !matches!(data_type, DataType::Date | DataType::Timestamp | DataType::TimestampTz);
        if let Expr::Constant(value) = &expr
            && (value.is_null() || clockless(from) && clockless(to))
            && let Ok(value) = cast::cast(&self.context, value.clone(), from, to, strength)
        {
            return Ok(Expr::Constant(value));
        }
        Ok(Expr::Cast(Box::new(super::expr::Cast { input: expr, from, to, strength })))
    }

    fn give_type(&mut self, expr: Expr, to: DataType, strength: CastContext, span: Span) -> Result<Expr, SqlError> {
        match expr {
            Expr::Parameter(number) => {
                self.parameters[number] = Some(to.base());
                self.cast(Expr::Parameter(number), to.base(), to, strength)
            }
            Expr::Constant(Value::Text(text)) => {
                // These words mean the time of execution.
                let lower = text.trim().to_ascii_lowercase();
                let timely = matches!(to, DataType::Date | DataType::Timestamp | DataType::TimestampTz)
                    && ["now", "today", "tomorrow", "yesterday"].iter().any(|word| lower.contains(word));
                if timely {
                    return Ok(Expr::Literal { text: text.to_string(), to });
                }
                let value = cast::cast_literal(&self.context, &text, to.base(), strength);
                let value = value.map_err(|error| self.at(span, error))?;
                cast::apply_modifier(value, to, strength).map(Expr::Constant)
            }
            other => Ok(other),
        }
    }

    /// As [`Self::coerce`] for a place that must be a condition.
    fn condition(&mut self, typed: Typed, place: &str) -> Result<Expr, SqlError> {
        let (span, data_type) = (typed.span, typed.data_type);
        match self.coerce(typed, DataType::Bool, CastContext::Assignment)? {
            Some(typed) => Ok(typed.expr),
            None => {
                let name = data_type.map_or("unknown", DataType::base_name);
                let message = format!("argument of {place} must be type boolean, not type {name}");
                self.error(span, SqlState::DATATYPE_MISMATCH, message)
            }
        }
    }

    /// The value for a column: assignment cast, or 42804.
    fn assign(&mut self, typed: Typed, column: &Column) -> Result<Expr, SqlError> {
        let (span, data_type) = (typed.span, typed.data_type);
        match self.coerce(typed, column.data_type, CastContext::Assignment)? {
            Some(typed) => Ok(typed.expr),
            None => {
                let message = format!(
                    "column \"{}\" is of type {} but expression is of type {}",
                    column.name,
                    column.data_type.base_name(),
                    data_type.map_or("unknown", DataType::base_name)
                );
                let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message)
                    .hint("You will need to rewrite or cast the expression.");
                Err(self.at(span, error))
            }
        }
    }
}

/// Compiles an expression that stands alone: a default or a check.
fn compile(
    catalog: &Catalog,
    settings: &Settings,
    text: &str,
    bind: &mut dyn FnMut(&mut Binder<'_>, &ast::Expr) -> Result<Expr, SqlError>,
) -> Result<Expr, SqlError> {
    let expression = parse_expression(text)?;
    let mut binder = Binder::new(catalog, settings, text, &[]);
    bind(&mut binder, &expression)
}

/// The condition of a CHECK over a table's columns, compiled.
pub(super) fn compile_check(settings: &Settings, table: &Table, text: &str) -> Result<Expr, SqlError> {
    compile(&Catalog::default(), settings, text, &mut |binder, expression| {
        binder.scopes.push(Scope::of_table(table, &table.name));
        binder.aggregates = Aggregates::Refused("check constraints");
        let typed = binder.expression(expression)?;
        binder.condition(typed, "CHECK")
    })
}

/// Checks the condition of a CHECK in a definition; returns the columns that it uses.
pub(super) fn check_condition(table: &Table, expression: &ast::Expr, text: &str) -> Result<Vec<usize>, SqlError> {
    let (catalog, settings) = (Catalog::default(), Settings::default());
    let mut binder = Binder::new(&catalog, &settings, text, &[]);
    binder.scopes.push(Scope::of_table(table, &table.name));
    binder.aggregates = Aggregates::Refused("check constraints");
    let typed = binder.expression(expression)?;
    let condition = binder.condition(typed, "CHECK")?;
    if binder.slots > 0 {
        return Err(SqlError::unsupported("cannot use subquery in check constraint"));
    }
    let mut used = Vec::new();
    condition.walk(&mut |expr| {
        if let Expr::Column(column) = expr
            && !used.contains(column)
        {
            used.push(*column);
        }
    });
    Ok(used)
}

/// Checks a column's default in a definition; returns it as the catalog keeps it, its sequences named in full.
pub(super) fn check_default(
    catalog: &Catalog,
    settings: &Settings,
    column: &Column,
    text: &str,
) -> Result<String, SqlError> {
    let strip = |mut error: SqlError| {
        error.position = None;
        error
    };
    let expression = parse_expression(text).map_err(strip)?;
    let mut binder = Binder::new(catalog, settings, text, &[]);
    binder.aggregates = Aggregates::Refused("DEFAULT expressions");
    binder.default_value(column, &expression).map_err(strip)?;
    if binder.sets > 0 {
        // What it comes to is a definition, which the session makes of a column of SELECT.
        return Err(SqlError::unsupported("setval in a DEFAULT is not supported"));
    }
    sequence::stored(catalog, &binder.named, text)
}

impl Binder<'_> {
    fn default_value(&mut self, column: &Column, expression: &ast::Expr) -> Result<Expr, SqlError> {
        let typed = self.expression(expression).map_err(|error| {
            if error.state == SqlState::UNDEFINED_COLUMN {
                SqlError::unsupported("cannot use column reference in DEFAULT expression")
            } else {
                error
            }
        })?;
        if self.slots > 0 {
            return Err(SqlError::unsupported("cannot use subquery in DEFAULT expression"));
        }
        let data_type = typed.data_type;
        self.assign(typed, column).map_err(|error| match (error.state, data_type) {
            (SqlState::DATATYPE_MISMATCH, Some(data_type)) => SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{}\" is of type {} but default expression is of type {}",
                    column.name,
                    column.data_type.base_name(),
                    data_type.base_name()
                ),
            )
            .hint("You will need to rewrite or cast the expression."),
            _ => error,
        })
    }
}
