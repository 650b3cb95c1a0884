//! Sequences in expressions: `nextval`, `currval`, `lastval`, `pg_get_serial_sequence`, and columns that have one.
//!
//! The sequence must be known when the statement is planned, so its name is a literal. See [`crate::sql::sequence`] for
//! where the values come from.
//!
//! Defaults of columns are kept as texts, and name their sequences there. Which ones, and where, is asked of the binder
//! ([`sequences_in`]), and only the literals that name them are ever replaced. (To look for `nextval` among the tokens, and
//! to write all of them anew, missed sequences that were named in another way, and lost doubled quotes of other literals.)

use super::{Binder, Typed, find_by_parts};
use crate::catalog::{Catalog, Column, Table};
use crate::sql::expr::{Call, Expr};
use crate::sql::function;
use crate::sql::parse::{byte_offset, parse_expression};
use crate::sql::plan::Node;
use crate::sql::sequence::Placed;
use crate::sql::settings::Settings;
use crate::types::{DataType, SqlError, SqlState, TableId, Value};
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Span, Token, Tokenizer};
use std::sync::Arc;

/// A place where an expression names a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sql) struct Named {
    /// Which one.
    pub(in crate::sql) sequence: TableId,
    /// The literal that names it; `None`: it is more than a literal.
    pub(in crate::sql) literal: Option<Span>,
}

impl Binder<'_> {
    /// A call of a function that concerns sequences; `None`: it is none.
    pub(super) fn sequence_function(
        &mut self,
        name: &str,
        arguments: &[&ast::Expr],
        span: Span,
    ) -> Result<Option<Typed>, SqlError> {
        let int8 = |expr| Ok(Some(Typed { expr, data_type: Some(DataType::Int8), span }));
        match (name, arguments) {
            ("nextval", [name]) => match self.sequence_argument(name)? {
                Some(sequence) => int8(self.next_of(&sequence)?),
                None => int8(Expr::Constant(Value::Null)),
            },
            ("currval", [name]) => match self.sequence_argument(name)? {
                Some(sequence) => {
                    let place = self.draws.place(Placed::Current(Arc::clone(&sequence)));
                    int8(Expr::Drawn(place, format!("currval of sequence \"{}\" is", sequence.name).into()))
                }
                None => int8(Expr::Constant(Value::Null)),
            },
            ("lastval", []) => {
                let place = self.draws.place(Placed::Last);
                int8(Expr::Drawn(place, "lastval is".into()))
            }
            ("setval", [name, value] | [name, value, _]) => {
                let Some(sequence) = self.sequence_argument(name)? else { return int8(Expr::Constant(Value::Null)) };
                int8(self.set_of(&sequence, value, arguments.get(2).copied())?)
            }
            ("pg_get_serial_sequence", [table, column]) => {
                let expr = Expr::Constant(self.serial_sequence(table, column)?);
                Ok(Some(Typed { expr, data_type: Some(DataType::Text), span }))
            }
            _ => Ok(None),
        }
    }

    /// The sequence that an argument names; `None`: the argument is NULL.
    fn sequence_argument(&mut self, argument: &ast::Expr) -> Result<Option<Arc<Table>>, SqlError> {
        let span = ast::Spanned::span(argument);
        let Some((name, literal)) = self.literal_argument(argument)? else { return Ok(None) };
        let parts = names_in(&name)?;
        // The catalog's own texts are read as in `orrery`, whoever reads them.
        let stored = Settings::default();
        let settings = if self.stored { &stored } else { self.settings };
        if parts.is_empty() || parts.len() > 3 {
            return self.error(span, SqlState(*b"42602"), format!("invalid name syntax: \"{name}\""));
        }
        let (schema, relation) =
            super::qualified_parts(self.catalog, settings, &parts).map_err(|error| self.at(span, error))?;
        let found = self.catalog.find_relation(schema.as_deref(), &relation, &settings.search_path);
        match found {
            Some(table) if table.is_sequence() => {
                self.named.push(Named { sequence: table.id, literal });
                Ok(Some(Arc::clone(table)))
            }
            Some(table) => {
                let message = format!("\"{}\" is not a sequence", table.name);
                self.error(span, SqlState::WRONG_OBJECT_TYPE, message)
            }
            None => self.error(span, SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")),
        }
    }

    /// The text of an argument that must be known by now, through casts to `regclass` and `text`; and where it stands, if it is a
    /// literal and nothing else.
    fn literal_argument(&mut self, argument: &ast::Expr) -> Result<Option<(String, Option<Span>)>, SqlError> {
        let mut inner = argument;
        loop {
            inner = match inner {
                ast::Expr::Nested(expr) => expr,
                ast::Expr::Cast { expr, data_type, .. } if names_itself(data_type)? => expr,
                _ => break,
            };
        }
        let literal = if let ast::Expr::Value(value) = inner { Some(value.span) } else { None };
        let typed = self.expression(inner)?;
        match typed.expr {
            Expr::Constant(Value::Text(text)) => Ok(Some((text.to_string(), literal))),
            Expr::Constant(Value::Null) => Ok(None),
            _ => {
                let error = SqlError::unsupported("the name of a sequence must be a literal")
                    .hint("Which values a statement draws is decided before it is executed: write nextval('name').");
                Err(self.at(typed.span, error))
            }
        }
    }

    /// `pg_get_serial_sequence`: the first sequence that goes with a column.
    fn serial_sequence(&mut self, table: &ast::Expr, column: &ast::Expr) -> Result<Value, SqlError> {
        let (Some((table, _)), Some((name, _))) = (self.literal_argument(table)?, self.literal_argument(column)?)
        else {
            return Ok(Value::Null);
        };
        let table = find_by_parts(self.catalog, &names_in(&table)?, self.settings)?;
        let column = table.columns.iter().find(|column| column.name == name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        let owned = column.sequences.owned.first().and_then(|sequence| self.catalog.table_by_id(*sequence));
        Ok(owned.map_or(Value::Null, |sequence| {
            Value::text(format!("{}.{}", quoted_name(&sequence.schema), quoted_name(&sequence.name)))
        }))
    }

    /// The next value of a stream.
    fn next_of(&mut self, sequence: &Arc<Table>) -> Result<Expr, SqlError> {
        let stream = self.draws.stream(sequence, self.own);
        let call = function::resolve("nextval", &[Some(DataType::Text)])?;
        let arguments = vec![Expr::Constant(Value::Int8(i64::try_from(stream).unwrap_or(i64::MAX)))];
        Ok(Expr::Call(Box::new(Call { call, arguments })))
    }

    /// The default of a column, compiled: its identity's next value, or its DEFAULT.
    pub(super) fn default_of(&mut self, column: &Column) -> Result<Expr, SqlError> {
        if let Some(identity) = column.sequences.identity {
            let sequence = self.catalog.table_by_id(identity.sequence).cloned().ok_or_else(|| {
                let message = format!("the sequence of column \"{}\" does not exist", column.name);
                SqlError::new(SqlState::UNDEFINED_OBJECT, message)
            })?;
            let expr = self.next_of(&sequence)?;
            let typed = Typed { expr, data_type: Some(DataType::Int8), span: Span::empty() };
            return self.assign(typed, column);
        }
        let Some(text) = &column.default else { return Ok(Expr::Constant(Value::Null)) };
        let expression = parse_expression(text)?;
        let mut binder = Binder::new(self.catalog, self.settings, text, &[]);
        binder.stored = true;
        binder.own = self.own;
        std::mem::swap(&mut binder.draws, &mut self.draws);
        let bound = binder.expression(&expression).and_then(|typed| binder.assign(typed, column));
        std::mem::swap(&mut binder.draws, &mut self.draws);
        bound
    }

    /// `setval`: what it comes to is told to the session, which sets the sequence (see [`crate::sql::Set`]).
    fn set_of(
        &mut self,
        sequence: &Arc<Table>,
        value: &ast::Expr,
        called: Option<&ast::Expr>,
    ) -> Result<Expr, SqlError> {
        let value = self.expression(value)?;
        let value = self.operand(value, DataType::Int8)?;
        let called = match called {
            None => Expr::TRUE,
            Some(called) => {
                let called = self.expression(called)?;
                self.operand(called, DataType::Bool)?
            }
        };
        let (min, max) = sequence.sequence.as_deref().map_or((1, i64::MAX), |sequence| (sequence.min, sequence.max));
        let call = function::resolve("setval", &[Some(DataType::Text), Some(DataType::Int8)])?;
        let arguments = vec![
            Expr::Constant(Value::Int8(i64::from(sequence.id.0))),
            Expr::Constant(Value::text(&sequence.name)),
            Expr::Constant(Value::Int8(min)),
            Expr::Constant(Value::Int8(max)),
            value,
            called,
        ];
        self.sets += 1;
        Ok(Expr::Call(Box::new(Call { call, arguments })))
    }

    /// The columns of a statement that are `setval`. Nothing else can be: the session looks for them there.
    pub(in crate::sql) fn sets(&self, statement: &ast::Statement) -> Result<Vec<usize>, SqlError> {
        if self.sets == 0 {
            return Ok(Vec::new());
        }
        let unsupported = || SqlError::unsupported("setval is supported only as a column of SELECT");
        let ast::Statement::Query(query) = statement else { return Err(unsupported()) };
        let ast::SetExpr::Select(select) = query.body.as_ref() else { return Err(unsupported()) };
        let mut columns = Vec::new();
        for (place, item) in select.projection.iter().enumerate() {
            let expr = match item {
                ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => expr,
                _ => return Err(unsupported()),
            };
            if let ast::Expr::Function(call) = expr
                && super::name_parts(&call.name)?.last().is_some_and(|name| name == "setval")
            {
                columns.push(place);
            }
        }
        if columns.len() != self.sets || select.distinct.is_some() || query.order_by.is_some() {
            return Err(unsupported());
        }
        Ok(columns)
    }

    /// Gives every `nextval` of an expression that is evaluated once a place of its own.
    pub(super) fn place(&mut self, expr: &mut Expr) {
        if let Expr::Call(call) = expr
            && function::is_nextval(&call.call)
            && let Some(Expr::Constant(stream)) = call.arguments.first()
        {
            let stream = stream.as_i64().and_then(|stream| usize::try_from(stream).ok());
            if let Some(stream) = stream.and_then(|stream| self.draws.streams.get(stream)) {
                let next = Placed::Next(Arc::clone(&stream.sequence));
                *expr = Expr::Drawn(self.draws.place(next), "nextval is".into());
            }
            return;
        }
        for child in expr.children_mut() {
            self.place(child);
        }
    }

    /// The same for a query of one row.
    pub(super) fn place_in_query(&mut self, plan: &mut Node) {
        if let Node::Project { input, columns } = plan
            && matches!(**input, Node::Once)
        {
            for column in columns {
                self.place(column);
            }
        }
    }

    /// Binds what is evaluated for rows that were written, by whoever wrote them.
    pub(super) fn of_own_rows<T>(
        &mut self,
        bind: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let before = std::mem::replace(&mut self.own, true);
        let bound = bind(self);
        self.own = before;
        bound
    }

    /// Refuses `nextval` where nobody brings values.
    pub(in crate::sql) fn refuse_draws(&self, expr: &Expr, place: &str) -> Result<(), SqlError> {
        if draws(expr) {
            return Err(SqlError::unsupported(format!("nextval in {place} is not supported"))
                .hint("Draw the value in VALUES, in a DEFAULT, or by a SELECT before."));
        }
        Ok(())
    }
}

/// Does it draw from a sequence?
pub(in crate::sql) fn draws(expr: &Expr) -> bool {
    let mut draws = false;
    expr.walk(&mut |expr| draws |= matches!(expr, Expr::Call(call) if function::is_nextval(&call.call)));
    draws
}

/// A type under which a text names the same sequence as without it.
fn names_itself(data_type: &ast::DataType) -> Result<bool, SqlError> {
    match data_type {
        ast::DataType::Regclass | ast::DataType::Text => Ok(true),
        ast::DataType::Custom(name, _) => Ok(super::name_parts(name)?.last().is_some_and(|name| name == "regclass")),
        _ => Ok(false),
    }
}

/// A default as the catalog keeps it: the sequences that it names are named in full, whatever the search path is.
pub(super) fn stored(catalog: &Catalog, named: &[Named], text: &str) -> Result<String, SqlError> {
    let unsupported = || {
        SqlError::unsupported("a DEFAULT that does not name its sequence by a literal")
            .hint("It goes with the sequence when that is renamed or dropped: write nextval('name').")
    };
    let name = |named: &Named| {
        let sequence = catalog.table_by_id(named.sequence).ok_or_else(unsupported)?;
        Ok((named.literal.ok_or_else(unsupported)?, stored_name(sequence)))
    };
    let names = named.iter().map(name).collect::<Result<_, SqlError>>()?;
    let stored = renamed_in(text, names);
    // Whoever reads it must come to the same sequences: literals can be written in pieces.
    let sequences = |named: &[Named]| named.iter().map(|named| named.sequence).collect::<Vec<_>>();
    if sequences(&sequences_in(catalog, &stored)?) != sequences(named) {
        return Err(unsupported());
    }
    Ok(stored)
}

/// How a DEFAULT in the catalog names a sequence.
pub(in crate::sql) fn stored_name(sequence: &Table) -> String {
    let name = quoted_name(&sequence.name);
    if sequence.schema == "public" { name } else { format!("{}.{name}", quoted_name(&sequence.schema)) }
}

/// Quoted where folding would change it.
pub(in crate::sql) fn quoted_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if starts && name.chars().all(plain) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The text of an expression in which these literals are replaced, and nothing else is touched.
pub(in crate::sql) fn renamed_in(text: &str, mut names: Vec<(Span, String)>) -> String {
    // From behind: places before a replacement stay.
    names.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    // What is bound twice (the operand of BETWEEN) is in the text once.
    names.dedup();
    let mut text = text.to_owned();
    for (span, name) in names {
        let (from, to) = (byte_offset(&text, span.start), byte_offset(&text, span.end));
        text.replace_range(from..to, &format!("'{}'", name.replace('\'', "''")));
    }
    text
}

/// The sequences that an expression of the catalog names, and where.
pub(in crate::sql) fn sequences_in(catalog: &Catalog, text: &str) -> Result<Vec<Named>, SqlError> {
    let expression = parse_expression(text)?;
    let settings = Settings::default();
    let mut binder = Binder::new(catalog, &settings, text, &[]);
    binder.stored = true;
    binder.expression(&expression)?;
    Ok(binder.named)
}

/// The parts of a name in a text, folded as in SQL.
fn names_in(text: &str) -> Result<Vec<String>, SqlError> {
    let invalid = || SqlError::new(SqlState(*b"42602"), format!("invalid name syntax: \"{text}\""));
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().map_err(|_| invalid())?;
    let mut parts = Vec::new();
    let mut wants_name = true;
    for token in tokens {
        match token {
            Token::Word(word) if wants_name => {
                parts.push(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() });
                wants_name = false;
            }
            Token::Period if !wants_name => wants_name = true,
            Token::Whitespace(_) => {}
            _ => return Err(invalid()),
        }
    }
    if wants_name { Err(invalid()) } else { Ok(parts) }
}
