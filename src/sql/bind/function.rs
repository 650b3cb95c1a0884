//! Calls: functions, aggregates, and what SQL writes as a call but evaluates lazily.

use super::{Aggregates, Binder, Typed};
use crate::sql::expr::{Call, Case, Expr};
use crate::sql::operator::BinaryOperator;
use crate::sql::plan::{AggregateCall, Stage};
use crate::sql::{aggregate, function};
use crate::types::{DataType, SqlError, SqlState, Value};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};
use sqlparser::tokenizer::Span;

impl Binder<'_> {
    pub(super) fn function(&mut self, call: &ast::Function) -> Result<Typed, SqlError> {
        let span = call.span();
        let mut parts = super::name_parts(&call.name)?;
        let name = parts.pop().unwrap_or_default();
        if call.over.is_some() {
            return Err(self.at(span, SqlError::unsupported("window functions are not supported")));
        }
        if !call.within_group.is_empty() || call.null_treatment.is_some() {
            return Err(self.at(span, SqlError::unsupported("ordered-set aggregates are not supported")));
        }
        let (arguments, star, distinct) = self.arguments(&call.args, span)?;
        if aggregate::exists(&name) {
            return self.aggregate(&name, arguments, star, distinct, call.filter.as_deref(), span);
        }
        if star || distinct || call.filter.is_some() {
            let what = if star {
                "(*)"
            } else if distinct {
                "DISTINCT"
            } else {
                "FILTER"
            };
            let message = format!("{what} specified, but {name} is not an aggregate function");
            return self.error(span, SqlState::WRONG_OBJECT_TYPE, message);
        }
        if let Some(typed) = self.sequence_function(&name, &arguments, span)? {
            return Ok(typed);
        }
        let mut typed = Vec::with_capacity(arguments.len());
        for argument in arguments {
            typed.push(self.expression(argument)?);
        }
        match name.as_str() {
            "coalesce" => self.coalesce(typed, span),
            "nullif" => self.nullif(typed, span),
            "greatest" | "least" => {
                let (list, data_type) = self.unify(typed, &name.to_uppercase())?;
                let expr = Expr::Extreme(name == "greatest", list, data_type);
                Ok(Typed { expr, data_type: Some(data_type), span })
            }
            _ => self.call(&name, typed, span),
        }
    }

    /// The arguments' syntax, whether they are a star, whether DISTINCT stands before them.
    fn arguments<'x>(
        &self,
        arguments: &'x FunctionArguments,
        span: Span,
    ) -> Result<(Vec<&'x ast::Expr>, bool, bool), SqlError> {
        let list = match arguments {
            FunctionArguments::None => return Ok((Vec::new(), false, false)),
            FunctionArguments::Subquery(_) => {
                return Err(self.at(span, SqlError::unsupported("a subquery as argument is not supported")));
            }
            FunctionArguments::List(list) => list,
        };
        if !list.clauses.is_empty() {
            return Err(self.at(span, SqlError::unsupported("ORDER BY in a call is not supported")));
        }
        let distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
        let mut expressions = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expressions.push(expr),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => return Ok((Vec::new(), true, distinct)),
                _ => return Err(self.at(span, SqlError::unsupported("named arguments are not supported"))),
            }
        }
        Ok((expressions, false, distinct))
    }

    /// A call of a scalar function with bound arguments.
    pub(super) fn call(&mut self, name: &str, arguments: Vec<Typed>, span: Span) -> Result<Typed, SqlError> {
        let types: Vec<_> = arguments.iter().map(|typed| typed.data_type).collect();
        let call = function::resolve(name, &types).map_err(|error| self.at(span, error))?;
        let mut expressions = Vec::with_capacity(arguments.len());
        for (typed, to) in arguments.into_iter().zip(&call.arguments) {
            expressions.push(self.operand(typed, *to)?);
        }
        let data_type = Some(call.result);
        let expr = Expr::Call(Box::new(Call { call, arguments: expressions }));
        Ok(Typed { expr, data_type, span })
    }

    fn coalesce(&mut self, arguments: Vec<Typed>, span: Span) -> Result<Typed, SqlError> {
        let (list, data_type) = self.unify(arguments, "COALESCE")?;
        Ok(Typed { expr: Expr::Coalesce(list), data_type: Some(data_type), span })
    }

    fn nullif(&mut self, arguments: Vec<Typed>, span: Span) -> Result<Typed, SqlError> {
        let Ok([left, right]) = <[Typed; 2]>::try_from(arguments) else {
            return self.error(span, SqlState::UNDEFINED_FUNCTION, "NULLIF takes two arguments");
        };
        let left = self.known(left)?;
        let test = self.operate(BinaryOperator::Equal, left.clone(), right)?.expr;
        let data_type = left.data_type;
        let branches = vec![(test, Expr::Constant(Value::Null))];
        Ok(Typed { expr: Expr::Case(Box::new(Case { branches, otherwise: left.expr })), data_type, span })
    }

    fn aggregate(
        &mut self,
        name: &str,
        arguments: Vec<&ast::Expr>,
        star: bool,
        distinct: bool,
        filter: Option<&ast::Expr>,
        span: Span,
    ) -> Result<Typed, SqlError> {
        let mut calls = match std::mem::replace(&mut self.aggregates, Aggregates::Refused("nested")) {
            Aggregates::Allowed(calls) => calls,
            Aggregates::Refused(place) => {
                self.aggregates = Aggregates::Refused(place);
                let message = match place {
                    "nested" => "aggregate function calls cannot be nested".to_owned(),
                    _ => format!("aggregate functions are not allowed in {place}"),
                };
                return self.error(span, SqlState::GROUPING_ERROR, message);
            }
        };
        let bound = self.aggregate_call(name, arguments, star, distinct, filter, span);
        let result = bound.map(|(call, data_type)| {
            let known = calls.iter().position(|other| {
                other.name == call.name
                    && other.aggregate == call.aggregate
                    && other.arguments == call.arguments
                    && other.distinct == call.distinct
                    && other.filter == call.filter
            });
            let place = known.unwrap_or_else(|| {
                calls.push(call);
                calls.len() - 1
            });
            Typed { expr: Expr::Aggregate(place), data_type: Some(data_type), span }
        });
        self.aggregates = Aggregates::Allowed(calls);
        result
    }

    fn aggregate_call(
        &mut self,
        name: &str,
        arguments: Vec<&ast::Expr>,
        star: bool,
        distinct: bool,
        filter: Option<&ast::Expr>,
        span: Span,
    ) -> Result<(AggregateCall, DataType), SqlError> {
        let mut typed = Vec::with_capacity(arguments.len());
        for argument in arguments {
            typed.push(self.expression(argument)?);
        }
        let filter = match filter {
            None => None,
            Some(filter) => {
                let typed = self.expression(filter)?;
                Some(self.condition(typed, "FILTER")?)
            }
        };
        let types: Vec<_> = typed.iter().map(|typed| typed.data_type).collect();
        let resolved = if star && name == "count" {
            aggregate::count_rows()
        } else {
            aggregate::resolve(name, &types).map_err(|error| self.at(span, error))?
        };
        let mut expressions = Vec::with_capacity(typed.len());
        for (typed, to) in typed.into_iter().zip(&resolved.arguments) {
            expressions.push(self.operand(typed, *to)?);
        }
        let data_type = resolved.result;
        let distinct = distinct.then(|| resolved.arguments.clone());
        let call = AggregateCall {
            aggregate: resolved,
            name: name.to_owned(),
            arguments: expressions,
            distinct,
            filter,
            stage: Stage::Whole,
        };
        Ok((call, data_type))
    }

    /// What the grammar gives a syntax of its own, although it is a function.
    pub(super) fn special_function(&mut self, expr: &ast::Expr) -> Result<Typed, SqlError> {
        use ast::Expr as Ast;
        let span = expr.span();
        let text =
            |text: String| Typed { expr: Expr::Constant(Value::text(text)), data_type: Some(DataType::Text), span };
        let (name, arguments) = match expr {
            Ast::Extract { field, expr, .. } => {
                let field = text(field.to_string().to_lowercase());
                ("extract", vec![field, self.expression(expr)?])
            }
            Ast::Ceil { expr, .. } => ("ceil", vec![self.expression(expr)?]),
            Ast::Floor { expr, .. } => ("floor", vec![self.expression(expr)?]),
            Ast::Position { expr, r#in } => ("strpos", vec![self.expression(r#in)?, self.expression(expr)?]),
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.expression(expr)?];
                match substring_from {
                    Some(from) => arguments.push(self.expression(from)?),
                    None => arguments.push(Typed {
                        expr: Expr::Constant(Value::Int4(1)),
                        data_type: Some(DataType::Int4),
                        span,
                    }),
                }
                if let Some(length) = substring_for {
                    arguments.push(self.expression(length)?);
                }
                ("substring", arguments)
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut arguments = vec![self.expression(expr)?];
                let characters = trim_characters.iter().flatten();
                for what in trim_what.as_deref().into_iter().chain(characters) {
                    arguments.push(self.expression(what)?);
                }
                (name, arguments)
            }
            Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut arguments = Vec::new();
                for part in
                    [Some(expr), Some(overlay_what), Some(overlay_from), overlay_for.as_ref()].into_iter().flatten()
                {
                    arguments.push(self.expression(part)?);
                }
                ("overlay", arguments)
            }
            Ast::AtTimeZone { timestamp, time_zone } => {
                ("timezone", vec![self.expression(time_zone)?, self.expression(timestamp)?])
            }
            Ast::Collate { expr, collation } => {
                let name = super::name_parts(collation)?.pop().unwrap_or_default();
                if !["C", "POSIX", "default"].contains(&name.as_str()) {
                    let message = format!("collation \"{name}\" for encoding \"UTF8\" does not exist");
                    return self.error(span, SqlState::UNDEFINED_OBJECT, message);
                }
                return self.expression(expr);
            }
            other => {
                let text: String = other.to_string().chars().take(40).collect();
                return Err(self.at(span, SqlError::unsupported(format!("the expression {text} is not supported"))));
            }
        };
        self.call(name, arguments, span)
    }
}
