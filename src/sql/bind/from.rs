//! FROM: tables, subqueries, WITH queries, and joins, as one stream of rows.

use super::expression::is_integer;
use super::query::Bound;
use super::scope::{Found, Scope, ScopeColumn};
use super::{Binder, Typed, find_relation, fold};
use crate::sql::expr::{Comparison, Expr};
use crate::sql::operator::BinaryOperator;
use crate::sql::plan::{Access, Join, JoinKind, Node, Scan};
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor};

impl Binder<'_> {
    /// All of a FROM; several items are a cross join.
    pub(super) fn from(&mut self, from: &[ast::TableWithJoins]) -> Result<(Node, Scope), SqlError> {
        let mut joined: Option<(Node, Scope)> = None;
        for item in from {
            let next = self.joins(item)?;
            joined = Some(match joined {
                None => next,
                Some(left) => self.join(left, next, JoinKind::Inner, &JoinConstraint::None)?,
            });
        }
        Ok(joined.unwrap_or((Node::Once, Scope::default())))
    }

    fn joins(&mut self, item: &ast::TableWithJoins) -> Result<(Node, Scope), SqlError> {
        let mut left = self.factor(&item.relation)?;
        for join in &item.joins {
            let (kind, constraint) = match &join.join_operator {
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::CrossJoin(constraint) => (JoinKind::Inner, constraint),
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinKind::Left, constraint),
                JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinKind::Right, constraint),
                JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint),
                _ => return Err(SqlError::unsupported("this kind of join is not supported")),
            };
            let right = self.factor(&join.relation)?;
            left = self.join(left, right, kind, constraint)?;
        }
        Ok(left)
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<(Node, Scope), SqlError> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let parts = super::name_parts(name)?;
                if let [only] = parts.as_slice()
                    && let Some((_, bound)) = self.tables.iter().rev().find(|(name, _)| name == only)
                {
                    let bound = bound.clone();
                    return self.named(bound, only, alias.as_ref());
                }
                let table =
                    find_relation(self.catalog, name, self.settings).map_err(|error| self.at(name.span(), error))?;
                let shown = alias.as_ref().map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
                let mut scope = Scope::of_table(table, &shown);
                self.rename(&mut scope, &shown, alias.as_ref())?;
                let with_key = !table.is_system() && self.locks(&shown);
                if with_key {
                    scope.with_key(table, &shown);
                }
                let scan = Scan {
                    table: table.clone(),
                    alias: shown,
                    wanted: table.every_column(),
                    access: Access::everything(table),
                    condition: None,
                    pinned: None,
                    order: Vec::new(),
                    with_key,
                };
                Ok((Node::Scan(Box::new(scan)), scope))
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => self.series(name, &args.args, alias.as_ref()),
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let bound = self.query(subquery)?;
                let Some(alias) = alias else {
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, "subquery in FROM must have an alias")
                        .hint("For example, FROM (SELECT ...) [AS] foo."));
                };
                let name = fold(&alias.name);
                self.named(bound, &name, Some(alias))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.deeper(|binder| binder.joins(table_with_joins))
            }
            _ => Err(SqlError::unsupported("this kind of FROM item is not supported")),
        }
    }

    /// A bound query as a relation.
    fn named(&self, bound: Bound, name: &str, alias: Option<&ast::TableAlias>) -> Result<(Node, Scope), SqlError> {
        let relation = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
        let columns = bound.columns.iter().map(|column| ScopeColumn {
            relation: relation.clone(),
            name: column.name.clone(),
            data_type: column.data_type,
            origin: None,
            merged: false,
            hidden: false,
            locks: None,
        });
        let mut scope = Scope { columns: columns.collect() };
        self.rename(&mut scope, &relation, alias)?;
        Ok((bound.plan, scope))
    }

    /// Column aliases: `t (a, b)`.
    fn rename(&self, scope: &mut Scope, relation: &str, alias: Option<&ast::TableAlias>) -> Result<(), SqlError> {
        let Some(alias) = alias else { return Ok(()) };
        let live = scope.columns.iter().filter(|column| !column.hidden);
        let (have, given) = (live.count(), alias.columns.len());
        if given > have {
            let message = format!("table \"{relation}\" has {have} columns available but {given} columns specified");
            return self.error(alias.name.span, SqlState::INVALID_COLUMN_REFERENCE, message);
        }
        for (column, definition) in scope.columns.iter_mut().filter(|column| !column.hidden).zip(&alias.columns) {
            column.name = fold(&definition.name);
        }
        Ok(())
    }

    pub(super) fn join(
        &mut self,
        left: (Node, Scope),
        right: (Node, Scope),
        kind: JoinKind,
        constraint: &JoinConstraint,
    ) -> Result<(Node, Scope), SqlError> {
        let (left_width, right_width) = (left.1.columns.len(), right.1.columns.len());
        if let Some(twice) = left.1.columns.iter().find(|l| right.1.columns.iter().any(|r| r.relation == l.relation)) {
            let message = format!("table name \"{}\" specified more than once", twice.relation);
            return Err(SqlError::new(SqlState(*b"42712"), message));
        }
        let (left_scope, right_scope) = (left.1, right.1);
        let names: Vec<String> = match constraint {
            JoinConstraint::Using(columns) => columns
                .iter()
                .map(|name| Ok(super::name_parts(name)?.pop().unwrap_or_default()))
                .collect::<Result<_, SqlError>>()?,
            JoinConstraint::Natural => {
                let shared = |column: &&ScopeColumn| {
                    let same = |other: &ScopeColumn| other.name == column.name && !other.hidden;
                    !column.hidden && right_scope.columns.iter().any(same)
                };
                left_scope.columns.iter().filter(shared).map(|column| column.name.clone()).collect()
            }
            _ => Vec::new(),
        };
        if !names.is_empty() && matches!(kind, JoinKind::Right | JoinKind::Full) {
            return Err(SqlError::unsupported("USING and NATURAL in RIGHT and FULL joins are not supported"));
        }
        let mut scope = left_scope.clone();
        scope.columns.extend(right_scope.columns.clone());
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            scope.outer(0..left_width);
        }
        if matches!(kind, JoinKind::Left | JoinKind::Full) {
            scope.outer(left_width..left_width + right_width);
        }
        let mut conditions = Vec::new();
        for name in names {
            let side = |scope: &Scope, which: &str| match scope.find(None, &name) {
                Found::Column(column) => Ok(column),
                Found::Ambiguous => Err(SqlError::new(
                    SqlState::AMBIGUOUS_COLUMN,
                    format!("common column name \"{name}\" appears more than once in {which} table"),
                )),
                _ => Err(SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{name}\" specified in USING clause does not exist in {which} table"),
                )),
            };
            let (l, r) = (side(&left_scope, "left")?, left_width + side(&right_scope, "right")?);
            let typed = |column: usize, scope: &Scope| Typed {
                expr: Expr::Column(column),
                data_type: Some(scope.columns[column].data_type),
                span: sqlparser::tokenizer::Span::empty(),
            };
            conditions.push(self.operate(BinaryOperator::Equal, typed(l, &scope), typed(r, &scope))?.expr);
            scope.columns[r].merged = true;
        }
        if let JoinConstraint::On(condition) = constraint {
            self.scopes.push(scope.clone());
            let aggregates = std::mem::replace(&mut self.aggregates, super::Aggregates::Refused("JOIN conditions"));
            let bound = self.expression(condition).and_then(|typed| self.condition(typed, "JOIN/ON"));
            self.aggregates = aggregates;
            self.scopes.pop();
            conditions.push(bound?);
        }
        let mut join =
            Join { kind, left: left.0, right: right.0, left_width, right_width, keys: Vec::new(), condition: None };
        let conjuncts = conditions.into_iter().flat_map(Expr::conjuncts).collect();
        join.take_keys(conjuncts);
        Ok((Node::Join(Box::new(join)), scope))
    }
}

impl Join {
    /// Conjuncts over the joined row: equalities between the sides become keys, the rest stays a condition.
    pub(in crate::sql) fn take_keys(&mut self, conjuncts: Vec<Expr>) {
        let mut rest: Vec<Expr> = self.condition.take().map(Expr::conjuncts).unwrap_or_default();
        for conjunct in conjuncts {
            if let Expr::Compare(compare) = &conjunct
                && compare.comparison == Comparison::Equal
            {
                let sides = (self.side(&compare.left), self.side(&compare.right));
                let (left, right) = match sides {
                    (Some(false), Some(true)) => (compare.left.clone(), compare.right.clone()),
                    (Some(true), Some(false)) => (compare.right.clone(), compare.left.clone()),
                    _ => {
                        rest.push(conjunct);
                        continue;
                    }
                };
                let data_type = if is_integer(Some(compare.data_type)) { DataType::Int8 } else { compare.data_type };
                self.keys.push((left, shifted(right, self.left_width), data_type));
                continue;
            }
            rest.push(conjunct);
        }
        self.condition = Expr::all(rest);
    }

    /// Which side's columns an expression reads: `Some(false)` the left's only, `Some(true)` the right's only.
    fn side(&self, expr: &Expr) -> Option<bool> {
        let mut sides = (false, false);
        let mut correlated = false;
        expr.walk(&mut |expr| match expr {
            Expr::Column(column) if *column < self.left_width => sides.0 = true,
            Expr::Column(_) => sides.1 = true,
            Expr::Subquery(subquery) => correlated |= subquery.slot.is_none(),
            _ => {}
        });
        match sides {
            _ if correlated => None,
            (true, false) => Some(false),
            (false, true) => Some(true),
            _ => None,
        }
    }
}

/// With columns counted from the right input's first.
pub(in crate::sql) fn shifted(mut expr: Expr, by: usize) -> Expr {
    if let Expr::Column(column) = &mut expr {
        *column -= by;
    }
    for child in expr.children_mut() {
        let taken = std::mem::replace(child, Expr::TRUE);
        *child = shifted(taken, by);
    }
    expr
}
