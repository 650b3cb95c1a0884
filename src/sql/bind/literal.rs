//! Literals: numbers have the smallest type that holds them, strings have none until a place gives them one.

use super::{Binder, Typed};
use crate::sql::expr::Expr;
use crate::types::{DataType, Numeric, SqlError, SqlState, Value};
use sqlparser::ast::{self, ValueWithSpan};
use sqlparser::tokenizer::Span;

/// Most parameters of a statement: the protocol counts them in sixteen bits.
const MAX_PARAMETERS: usize = 65_535;

impl Binder<'_> {
    pub(super) fn literal(&mut self, literal: &ValueWithSpan) -> Result<Typed, SqlError> {
        let span = literal.span;
        let typed = |expr, data_type| Ok(Typed { expr, data_type, span });
        let constant = |value, data_type| typed(Expr::Constant(value), data_type);
        match &literal.value {
            ast::Value::Null => constant(Value::Null, None),
            ast::Value::Boolean(value) => constant(Value::Bool(*value), Some(DataType::Bool)),
            ast::Value::Number(digits, _) => {
                let (value, data_type) = number(digits).map_err(|error| self.at(span, error))?;
                constant(value, Some(data_type))
            }
            ast::Value::SingleQuotedString(text)
            | ast::Value::EscapedStringLiteral(text)
            | ast::Value::UnicodeStringLiteral(text)
            | ast::Value::NationalStringLiteral(text) => constant(Value::text(text), None),
            ast::Value::DollarQuotedString(text) => constant(Value::text(&text.value), None),
            ast::Value::Placeholder(name) => self.parameter(name, span),
            other => Err(self.at(span, SqlError::unsupported(format!("the literal {other} is not supported")))),
        }
    }

    fn parameter(&mut self, name: &str, span: Span) -> Result<Typed, SqlError> {
        let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let Some(number @ 1..=MAX_PARAMETERS) = number else {
            return self.error(span, SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"));
        };
        if self.parameters.len() < number {
            self.parameters.resize(number, None);
        }
        Ok(Typed { expr: Expr::Parameter(number - 1), data_type: self.parameters[number - 1], span })
    }
}

fn number(digits: &str) -> Result<(Value, DataType), SqlError> {
    if let Ok(value) = digits.parse::<i32>() {
        return Ok((Value::Int4(value), DataType::Int4));
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Ok((Value::Int8(value), DataType::Int8));
    }
    Ok((Value::Numeric(Numeric::parse(digits)?), DataType::Numeric(None)))
}
