//! `generate_series` in FROM, the one function that may stand there.

use super::scope::{Scope, ScopeColumn};
use super::{Aggregates, Binder, Typed, fold};
use crate::sql::cast::CastContext;
use crate::sql::plan::{Node, Series};
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::ast::{self, Spanned};

impl Binder<'_> {
    pub(super) fn series(
        &mut self,
        name: &ast::ObjectName,
        arguments: &[ast::FunctionArg],
        alias: Option<&ast::TableAlias>,
    ) -> Result<(Node, Scope), SqlError> {
        let function = super::name_parts(name)?.pop().unwrap_or_default();
        if function != "generate_series" {
            let error = SqlError::unsupported(format!("function {function} in FROM is not supported"));
            return Err(self.at(name.span(), error));
        }
        let aggregates = std::mem::replace(&mut self.aggregates, Aggregates::Refused("functions in FROM"));
        let bound = arguments.iter().map(|argument| self.argument(argument)).collect::<Result<Vec<_>, _>>();
        self.aggregates = aggregates;
        let bound = bound?;
        let wide = bound.iter().any(|typed| typed.data_type == Some(DataType::Int8));
        let data_type = if wide { DataType::Int8 } else { DataType::Int4 };
        let mut values = Vec::with_capacity(3);
        for typed in bound {
            let known = typed.data_type;
            let Some(typed) = self.coerce(typed, data_type, CastContext::Implicit)? else {
                let shown = known.map_or("unknown", DataType::base_name);
                let message = format!("generate_series over {shown} is not supported");
                return Err(self.at(name.span(), SqlError::unsupported(message).hint("Give integers.")));
            };
            values.push(typed.expr);
        }
        let mut values = values.into_iter();
        let (Some(from), Some(to), step, None) = (values.next(), values.next(), values.next(), values.next()) else {
            let message = "function generate_series takes two or three arguments";
            return self.error(name.span(), SqlState::UNDEFINED_FUNCTION, message);
        };
        let relation = alias.map_or(function, |alias| fold(&alias.name));
        // The column is called as the relation is, unless it has a name of its own.
        let column = alias.and_then(|alias| alias.columns.first()).map_or_else(|| relation.clone(), |c| fold(&c.name));
        let column = ScopeColumn {
            relation: relation.clone(),
            name: column,
            data_type,
            origin: None,
            merged: false,
            hidden: false,
            locks: None,
        };
        let series = Series { alias: relation, from, to, step, data_type };
        Ok((Node::Series(Box::new(series)), Scope { columns: vec![column] }))
    }

    fn argument(&mut self, argument: &ast::FunctionArg) -> Result<Typed, SqlError> {
        match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => self.expression(expr),
            _ => Err(SqlError::unsupported("this kind of argument is not supported in FROM")),
        }
    }
}
