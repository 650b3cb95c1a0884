//! IN, BETWEEN, LIKE, and what asks subqueries.

use super::expression::{negate_if, sign};
use super::{Binder, Typed};
use crate::sql::cast::CastContext;
use crate::sql::expr::{Comparison, Expr, In, Like, Subquery, SubqueryKind};
use crate::sql::operator::BinaryOperator;
use crate::sql::plan::optimise;
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::ast::{self, Spanned};
use sqlparser::tokenizer::Span;

impl Binder<'_> {
    pub(super) fn predicate(&mut self, expr: &ast::Expr) -> Result<Typed, SqlError> {
        let span = expr.span();
        let expr = match expr {
            ast::Expr::InList { expr, list, negated } => {
                let needle = self.expression(expr)?;
                negate_if(*negated, self.in_list(needle, list)?)
            }
            ast::Expr::Between { expr, negated, low, high } => {
                let value = self.expression(expr)?;
                let (low, high) = (self.expression(low)?, self.expression(high)?);
                let from = self.operate(BinaryOperator::GreaterEqual, value.clone(), low)?.expr;
                let to = self.operate(BinaryOperator::LessEqual, value, high)?.expr;
                negate_if(*negated, Expr::And(vec![from, to]))
            }
            ast::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_deref(), false)?
            }
            ast::Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_deref(), true)?
            }
            _ => return Err(SqlError::unsupported("LIKE ANY is not supported")),
        };
        Ok(Typed { expr, data_type: Some(DataType::Bool), span })
    }

    fn in_list(&mut self, needle: Typed, list: &[ast::Expr]) -> Result<Expr, SqlError> {
        let mut values = Vec::with_capacity(list.len());
        for value in list {
            values.push(self.expression(value)?);
        }
        // All of one type: one list. Otherwise each value is compared in its own way, as PostgreSQL does for row values.
        let mut all = vec![needle.clone()];
        all.extend(values.iter().cloned());
        let types: Vec<_> = all.iter().map(|typed| typed.data_type).collect();
        if crate::sql::operator::common_type(&types, "IN").is_ok() {
            let (mut expressions, data_type) = self.unify(all, "IN")?;
            let needle = expressions.remove(0);
            if let Expr::Cast(cast) = &needle
                && super::expression::is_integer(Some(cast.from))
                && super::expression::is_integer(Some(cast.to))
            {
                // Integers compare by value: without the cast an index on the column serves.
                let needle = cast.input.clone();
                return Ok(Expr::In(Box::new(In { needle, list: expressions, data_type })));
            }
            return Ok(Expr::In(Box::new(In { needle, list: expressions, data_type })));
        }
        let mut equalities = Vec::with_capacity(values.len());
        for value in values {
            equalities.push(self.operate(BinaryOperator::Equal, needle.clone(), value)?.expr);
        }
        Ok(Expr::Or(equalities))
    }

    fn like(
        &mut self,
        negated: bool,
        input: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        insensitive: bool,
    ) -> Result<Expr, SqlError> {
        let syntax = input;
        let (input, pattern) = (self.expression(input)?, self.expression(pattern)?);
        let Some(escape) = escape else {
            let operator = match (insensitive, negated) {
                (false, false) => BinaryOperator::Like,
                (false, true) => BinaryOperator::NotLike,
                (true, false) => BinaryOperator::ILike,
                (true, true) => BinaryOperator::NotILike,
            };
            let like = self.operate(operator, input, pattern);
            return like.map(|typed| typed.expr).map_err(|error| self.at_operator(error, syntax.span()));
        };
        let escape = self.expression(escape)?;
        let mut text = |typed: Typed| self.operand(typed, DataType::Text);
        let like = Like { input: text(input)?, pattern: text(pattern)?, escape: text(escape)?, insensitive };
        Ok(negate_if(negated, Expr::Like(Box::new(like))))
    }

    pub(super) fn subquery_expression(&mut self, expr: &ast::Expr) -> Result<Typed, SqlError> {
        let span = expr.span();
        let boolean = |expr| Ok(Typed { expr, data_type: Some(DataType::Bool), span });
        match expr {
            ast::Expr::Exists { subquery, negated } => {
                let (subquery, _) = self.subquery(subquery, SubqueryKind::Exists)?;
                boolean(negate_if(*negated, subquery))
            }
            ast::Expr::Subquery(query) => {
                let (expr, types) = self.subquery(query, SubqueryKind::Scalar)?;
                let [data_type] = types.as_slice() else {
                    return self.error(span, SqlState::SYNTAX_ERROR, "subquery must return only one column");
                };
                Ok(Typed { expr, data_type: Some(*data_type), span })
            }
            ast::Expr::InSubquery { expr, subquery, negated } => {
                let any = self.quantified(expr, BinaryOperator::Equal, subquery, true, span)?;
                boolean(negate_if(*negated, any))
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } | ast::Expr::AllOp { left, compare_op, right } => {
                let any = matches!(expr, ast::Expr::AnyOp { .. });
                let ast::Expr::Subquery(query) = right.as_ref() else {
                    return Err(SqlError::unsupported("ANY and ALL over arrays are not supported"));
                };
                let Some(sign) = sign(compare_op) else {
                    return Err(SqlError::unsupported(format!("operator {compare_op} is not supported")));
                };
                boolean(self.quantified(left, sign, query, any, span)?)
            }
            _ => Err(SqlError::unsupported("this subquery is not supported")),
        }
    }

    fn quantified(
        &mut self,
        left: &ast::Expr,
        sign: BinaryOperator,
        query: &ast::Query,
        any: bool,
        span: Span,
    ) -> Result<Expr, SqlError> {
        let Some(comparison) = Comparison::of(sign) else {
            return Err(SqlError::unsupported("ANY and ALL need a comparison"));
        };
        if matches!(left, ast::Expr::Tuple(_)) {
            return Err(SqlError::unsupported("comparing rows is not supported"));
        }
        let needle = self.expression(left)?;
        let (subquery, types) = self.subquery(query, SubqueryKind::Scalar)?;
        let [found] = types.as_slice() else {
            let message =
                if types.len() > 1 { "subquery has too many columns" } else { "subquery has too few columns" };
            return self.error(span, SqlState::SYNTAX_ERROR, message);
        };
        let resolved = crate::sql::operator::resolve_binary(sign, needle.data_type, Some(*found))
            .map_err(|error| self.at_operator(error, left.span()))?;
        let Expr::Subquery(mut subquery) = subquery else {
            return Err(SqlError::unsupported("this subquery is not supported"));
        };
        let integers = super::expression::is_integer(needle.data_type) && super::expression::is_integer(Some(*found));
        if !integers && found.base() != resolved.right.base() {
            let cast = self.cast(Expr::Column(0), *found, resolved.right, CastContext::Implicit)?;
            let plan = std::mem::replace(&mut subquery.plan, crate::sql::plan::Node::Nothing);
            subquery.plan = crate::sql::plan::Node::Project { input: Box::new(plan), columns: vec![cast] };
        }
        let needle = self.operand(needle, resolved.left)?;
        let data_type = if integers { DataType::Int8 } else { resolved.left };
        subquery.kind = if any {
            SubqueryKind::Any { needle, comparison, data_type }
        } else {
            SubqueryKind::All { needle, comparison, data_type }
        };
        Ok(Expr::Subquery(subquery))
    }

    /// Binds a query inside an expression; also the types of its columns.
    fn subquery(&mut self, query: &ast::Query, kind: SubqueryKind) -> Result<(Expr, Vec<DataType>), SqlError> {
        let outer_reached = std::mem::take(&mut self.reached);
        // An aggregate in a subquery is the subquery's own.
        let aggregates = std::mem::replace(&mut self.aggregates, super::Aggregates::Refused("here"));
        let bound = self.query(query);
        self.aggregates = aggregates;
        // `reached` counts from inside: 0 is the subquery's own scope, 1 the row it is evaluated over.
        let reached = std::mem::replace(&mut self.reached, outer_reached);
        self.reached = self.reached.max(reached.saturating_sub(1));
        let bound = bound?;
        let slot = (reached == 0).then(|| {
            self.slots += 1;
            self.slots - 1
        });
        let types = bound.columns.iter().map(|column| column.data_type).collect();
        Ok((Expr::Subquery(Box::new(Subquery { kind, plan: optimise(bound.plan), slot })), types))
    }
}
