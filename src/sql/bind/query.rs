//! Queries as a whole: WITH, set operations, VALUES, and ORDER BY and LIMIT over their result.

use super::{Binder, Typed, fold};
use crate::sql::cast::CastContext;
use crate::sql::expr::Expr;
use crate::sql::operator::common_type;
use crate::sql::plan::{Combine, CombineKind, Limit, Node, Sort, SortKey};
use crate::types::{DataType, SqlError, SqlState, TableId};
use sqlparser::ast::{self, OrderByKind, OrderBySort, SetExpr, SetOperator, SetQuantifier, Spanned};

/// A bound query.
#[derive(Clone, Debug)]
pub(in crate::sql) struct Bound {
    pub(in crate::sql) plan: Node,
    pub(in crate::sql) columns: Vec<BoundColumn>,
}

/// A column of its result.
#[derive(Clone, Debug)]
pub(in crate::sql) struct BoundColumn {
    pub(in crate::sql) name: String,
    pub(in crate::sql) data_type: DataType,
    /// Text only because nothing said otherwise: a set operation may still say.
    pub(in crate::sql) guessed: bool,
    pub(in crate::sql) origin: Option<(TableId, usize)>,
}

/// LIMIT and OFFSET.
pub(super) type Bounds = (Option<Expr>, Option<Expr>);

impl Binder<'_> {
    /// Binds a query.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Bound, SqlError> {
        self.query_for(query, &[])
    }

    /// Binds a query whose unknown columns are to have these types (INSERT … SELECT).
    pub(super) fn query_for(&mut self, query: &ast::Query, targets: &[DataType]) -> Result<Bound, SqlError> {
        self.deeper(|binder| {
            let named = binder.tables.len();
            let bound = binder.with(query).and_then(|()| binder.query_inside(query, targets));
            binder.tables.truncate(named);
            bound
        })
    }

    fn with(&mut self, query: &ast::Query) -> Result<(), SqlError> {
        let Some(with) = &query.with else { return Ok(()) };
        if with.recursive {
            return Err(SqlError::unsupported("WITH RECURSIVE is not supported"));
        }
        for table in &with.cte_tables {
            let reached = std::mem::take(&mut self.reached);
            let mut bound = self.query(&table.query)?;
            if std::mem::replace(&mut self.reached, reached) > 0 {
                // Its plan is put wherever it is named, at another distance from the row that it speaks of.
                return Err(SqlError::unsupported("a WITH query that refers to an enclosing query is not supported"));
            }
            for (column, definition) in bound.columns.iter_mut().zip(&table.alias.columns) {
                column.name = fold(&definition.name);
            }
            self.tables.push((fold(&table.alias.name), bound));
        }
        Ok(())
    }

    fn query_inside(&mut self, query: &ast::Query, targets: &[DataType]) -> Result<Bound, SqlError> {
        let clauses = self.lock_clauses(query)?;
        let enclosing = std::mem::replace(&mut self.locking, clauses);
        let bound = self.query_unlocked(query, targets);
        self.locking = enclosing;
        bound
    }

    fn query_unlocked(&mut self, query: &ast::Query, targets: &[DataType]) -> Result<Bound, SqlError> {
        let order: &[ast::OrderByExpr] = match query.order_by.as_ref().map(|order| &order.kind) {
            None => &[],
            Some(OrderByKind::Expressions(list)) => list,
            Some(OrderByKind::All(_)) => return Err(SqlError::unsupported("ORDER BY ALL is not supported")),
        };
        let bounds = self.bounds(query)?;
        match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order, bounds, targets),
            body => {
                let bound = self.body(body, targets)?;
                let keys = self.output_order(&bound.columns, order)?;
                let plan = limited(sorted(bound.plan, keys, &bounds), bounds);
                Ok(Bound { plan, columns: bound.columns })
            }
        }
    }

    fn body(&mut self, body: &SetExpr, targets: &[DataType]) -> Result<Bound, SqlError> {
        match body {
            SetExpr::Select(select) => self.deeper(|binder| binder.select(select, &[], (None, None), targets)),
            SetExpr::Query(query) => self.query_for(query, targets),
            SetExpr::Values(values) => {
                // A scope of its own, empty: columns in it can only be those of enclosing queries.
                self.scopes.push(super::scope::Scope::default());
                let bound = self.values(values, targets);
                self.scopes.pop();
                bound
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => self.deeper(|binder| {
                let (left, right) = (binder.body(left, targets)?, binder.body(right, targets)?);
                binder.combine(left, *op, *set_quantifier, right)
            }),
            _ => Err(SqlError::unsupported("this kind of query is not supported")),
        }
    }

    fn combine(
        &self,
        left: Bound,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: Bound,
    ) -> Result<Bound, SqlError> {
        let (kind, name) = match op {
            SetOperator::Union => (CombineKind::Union, "UNION"),
            SetOperator::Intersect => (CombineKind::Intersect, "INTERSECT"),
            SetOperator::Except | SetOperator::Minus => (CombineKind::Except, "EXCEPT"),
        };
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            _ => return Err(SqlError::unsupported("BY NAME is not supported")),
        };
        if left.columns.len() != right.columns.len() {
            let message = format!("each {name} query must have the same number of columns");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        let mut types = Vec::with_capacity(left.columns.len());
        for (l, r) in left.columns.iter().zip(&right.columns) {
            let known = |column: &BoundColumn| (!column.guessed).then_some(column.data_type);
            types.push(common_type(&[known(l), known(r)], name)?);
        }
        let guessed: Vec<bool> = left.columns.iter().zip(&right.columns).map(|(l, r)| l.guessed && r.guessed).collect();
        let columns = left.columns.iter().zip(&types).zip(guessed).map(|((column, data_type), guessed)| BoundColumn {
            name: column.name.clone(),
            data_type: *data_type,
            guessed,
            origin: None,
        });
        let columns = columns.collect();
        let (left, right) = (self.converted(left, &types)?, self.converted(right, &types)?);
        Ok(Bound { plan: Node::Combine(Box::new(Combine { kind, all, left, right, types })), columns })
    }

    /// A bound query's rows as rows of these types.
    fn converted(&self, bound: Bound, types: &[DataType]) -> Result<Node, SqlError> {
        if bound.columns.iter().zip(types).all(|(column, to)| column.data_type == *to) {
            return Ok(bound.plan);
        }
        let mut columns = Vec::with_capacity(types.len());
        for (place, (column, to)) in bound.columns.iter().zip(types).enumerate() {
            let strength = if column.guessed { CastContext::Explicit } else { CastContext::Implicit };
            columns.push(self.cast(Expr::Column(place), column.data_type, *to, strength)?);
        }
        Ok(Node::Project { input: Box::new(bound.plan), columns })
    }

    fn values(&mut self, values: &ast::Values, targets: &[DataType]) -> Result<Bound, SqlError> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut columns: Vec<Vec<Typed>> = (0..width).map(|_| Vec::with_capacity(values.rows.len())).collect();
        let aggregates = std::mem::replace(&mut self.aggregates, super::Aggregates::Refused("VALUES"));
        for row in &values.rows {
            if row.content.len() != width {
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
            }
            for (column, value) in columns.iter_mut().zip(&row.content) {
                column.push(self.expression(value)?);
            }
        }
        self.aggregates = aggregates;
        let mut rows: Vec<Vec<Expr>> = (0..values.rows.len()).map(|_| Vec::with_capacity(width)).collect();
        let mut described = Vec::with_capacity(width);
        for (number, column) in columns.into_iter().enumerate() {
            let guessed = column.iter().all(|typed| typed.data_type.is_none());
            let (expressions, data_type) = match targets.get(number) {
                Some(target) if guessed => {
                    let mut expressions = Vec::with_capacity(column.len());
                    for typed in column {
                        expressions
                            .extend(self.coerce(typed, *target, CastContext::Assignment)?.map(|typed| typed.expr));
                    }
                    (expressions, *target)
                }
                _ => self.unify(column, "VALUES")?,
            };
            for (row, expr) in rows.iter_mut().zip(expressions) {
                row.push(expr);
            }
            let guessed = guessed && targets.get(number).is_none();
            described.push(BoundColumn { name: format!("column{}", number + 1), data_type, guessed, origin: None });
        }
        Ok(Bound { plan: Node::Values(rows), columns: described })
    }

    /// ORDER BY over a result whose input cannot be seen any more: by position or name only.
    fn output_order(&mut self, columns: &[BoundColumn], order: &[ast::OrderByExpr]) -> Result<Vec<SortKey>, SqlError> {
        let mut keys = Vec::with_capacity(order.len());
        for item in order {
            let place = match &item.expr {
                ast::Expr::Identifier(ident) => {
                    let name = fold(ident);
                    columns.iter().position(|column| column.name == name).ok_or_else(|| {
                        let message = format!("column \"{name}\" does not exist");
                        self.at(ident.span, SqlError::new(SqlState::UNDEFINED_COLUMN, message))
                    })?
                }
                other => {
                    match self.position(other, columns.len(), "ORDER BY")? {
                        Some(place) => place,
                        None => {
                            let message = "invalid UNION/INTERSECT/EXCEPT ORDER BY clause";
                            return Err(SqlError::unsupported(message)
                            .detail("Only result column names can be used, not expressions or functions.")
                            .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause."));
                        }
                    }
                }
            };
            keys.push(sort_key(Expr::Column(place), columns[place].data_type, &item.options));
        }
        Ok(keys)
    }

    /// An integer literal in ORDER BY or GROUP BY is a position.
    pub(super) fn position(&self, expr: &ast::Expr, width: usize, clause: &str) -> Result<Option<usize>, SqlError> {
        let ast::Expr::Value(literal) = expr else { return Ok(None) };
        match &literal.value {
            ast::Value::Number(digits, _) => match digits.parse::<usize>() {
                Ok(position) if (1..=width).contains(&position) => Ok(Some(position - 1)),
                Ok(position) => {
                    let message = format!("{clause} position {position} is not in select list");
                    self.error(literal.span, SqlState::INVALID_COLUMN_REFERENCE, message)
                }
                Err(_) => self.error(literal.span, SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}")),
            },
            ast::Value::Placeholder(_) => Ok(None),
            _ => self.error(literal.span, SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}")),
        }
    }

    fn bounds(&mut self, query: &ast::Query) -> Result<Bounds, SqlError> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(_) => return Err(SqlError::unsupported("this LIMIT clause is not supported")),
        };
        let fetch = match &query.fetch {
            None => None,
            Some(fetch) if fetch.with_ties || fetch.percent => {
                return Err(SqlError::unsupported("FETCH with TIES or PERCENT is not supported"));
            }
            Some(ast::Fetch { quantity: Some(quantity), .. }) => Some(self.bound(quantity, "LIMIT")?),
            Some(_) => Some(Expr::Constant(crate::types::Value::Int8(1))),
        };
        let limit = limit.map(|limit| self.bound(limit, "LIMIT")).transpose()?;
        let offset = offset.map(|offset| self.bound(offset, "OFFSET")).transpose()?;
        Ok((limit.or(fetch), offset))
    }

    fn bound(&mut self, expr: &ast::Expr, clause: &str) -> Result<Expr, SqlError> {
        // Columns are not in sight here, whatever encloses the query.
        let typed = self.expression(expr)?;
        let (span, data_type) = (typed.span, typed.data_type);
        if typed.expr.reads_row() {
            let message = format!("argument of {clause} must not contain variables");
            return self.error(expr.span(), SqlState::INVALID_COLUMN_REFERENCE, message);
        }
        match self.coerce(typed, DataType::Int8, CastContext::Assignment)? {
            Some(typed) => Ok(typed.expr),
            None => {
                let name = data_type.map_or("unknown", DataType::base_name);
                let message = format!("argument of {clause} must be type bigint, not type {name}");
                self.error(span, SqlState::DATATYPE_MISMATCH, message)
            }
        }
    }
}

pub(super) fn sort_key(expr: Expr, data_type: DataType, options: &ast::OrderByOptions) -> SortKey {
    let descending = matches!(options.sort, Some(OrderBySort::Desc));
    SortKey { expr, data_type, descending, nulls_first: options.nulls_first.unwrap_or(descending) }
}

/// With a sort on top, if there is anything to sort by.
pub(super) fn sorted(input: Node, keys: Vec<SortKey>, bounds: &Bounds) -> Node {
    if keys.is_empty() {
        return input;
    }
    let top = bounds.0.is_some().then(|| bounds.clone());
    Node::Sort(Box::new(Sort { input, keys, top }))
}

/// With a limit on top, if there is one.
pub(super) fn limited(input: Node, (limit, offset): Bounds) -> Node {
    if limit.is_none() && offset.is_none() {
        return input;
    }
    Node::Limit(Box::new(Limit { input, limit, offset, partial: false }))
}
