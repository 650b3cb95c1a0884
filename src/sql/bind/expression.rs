//! Expressions: syntax to bound trees.

use super::scope::Found;
use super::{Binder, Typed, Use, fold};
use crate::sql::cast::CastContext;
use crate::sql::expr::{Binary, Case, Compare, Comparison, Expr};
use crate::sql::operator::{self, BinaryOperator, UnaryOperator};
use crate::sql::parse::too_complex;
use crate::types::{DataType, SqlError, SqlState, Value};
use sqlparser::ast::{self, Spanned};
use sqlparser::tokenizer::Span;

/// Longest chain of one-by-one operators: `1 + 1 + …` is as deep as it is long.
const MAX_CHAIN: usize = 400;

impl Binder<'_> {
    /// Binds an expression.
    pub(super) fn expression(&mut self, expr: &ast::Expr) -> Result<Typed, SqlError> {
        self.deeper(|binder| binder.expression_inside(expr))
    }

    fn expression_inside(&mut self, expr: &ast::Expr) -> Result<Typed, SqlError> {
        use ast::Expr as Ast;
        let span = expr.span();
        let boolean = |expr| Ok(Typed { expr, data_type: Some(DataType::Bool), span });
        match expr {
            Ast::Identifier(ident) if ident.quote_style.is_none() && self.is_niladic(ident) => {
                self.call(&ident.value.to_lowercase(), Vec::new(), span)
            }
            Ast::Identifier(ident) => self.column(None, ident, span),
            Ast::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., relation, name] => self.column(Some(relation), name, span),
                _ => Err(SqlError::unsupported("this name is not supported")),
            },
            Ast::Nested(inner) => self.expression(inner),
            Ast::Value(literal) => self.literal(literal),
            Ast::TypedString(typed) => {
                let to = super::data_type(&typed.data_type).map_err(|error| self.at(span, error))?;
                let literal = self.literal(&typed.value)?;
                self.explicit(literal, to, span)
            }
            Ast::Cast { expr, data_type, kind: ast::CastKind::Cast | ast::CastKind::DoubleColon, .. } => {
                let to = super::data_type(data_type).map_err(|error| self.at(span, error))?;
                let typed = self.expression(expr)?;
                self.explicit(typed, to, span)
            }
            Ast::BinaryOp { .. } => self.chain(expr),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr, span),
            Ast::IsNull(inner) => boolean(Expr::IsNull(Box::new(self.any_type(inner)?))),
            Ast::IsNotNull(inner) => boolean(Expr::Not(Box::new(Expr::IsNull(Box::new(self.any_type(inner)?))))),
            Ast::IsTrue(inner) => boolean(self.is(inner, "IS TRUE", true)?),
            Ast::IsNotTrue(inner) => boolean(Expr::Not(Box::new(self.is(inner, "IS NOT TRUE", true)?))),
            Ast::IsFalse(inner) => boolean(self.is(inner, "IS FALSE", false)?),
            Ast::IsNotFalse(inner) => boolean(Expr::Not(Box::new(self.is(inner, "IS NOT FALSE", false)?))),
            Ast::IsUnknown(inner) | Ast::IsNotUnknown(inner) => {
                let negated = matches!(expr, Ast::IsNotUnknown(_));
                let typed = self.expression(inner)?;
                let place = if negated { "IS NOT UNKNOWN" } else { "IS UNKNOWN" };
                let condition = Expr::IsNull(Box::new(self.condition(typed, place)?));
                boolean(negate_if(negated, condition))
            }
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right, false, span),
            Ast::IsNotDistinctFrom(left, right) => self.distinct(left, right, true, span),
            Ast::InList { .. } | Ast::Between { .. } | Ast::Like { .. } | Ast::ILike { .. } => self.predicate(expr),
            Ast::InSubquery { .. } | Ast::Exists { .. } | Ast::Subquery(_) | Ast::AnyOp { .. } | Ast::AllOp { .. } => {
                self.subquery_expression(expr)
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), span)
            }
            Ast::Function(function) => self.function(function),
            other => self.special_function(other),
        }
    }

    /// Functions that are called without parentheses.
    fn is_niladic(&self, ident: &ast::Ident) -> bool {
        const NILADIC: [&str; 7] = [
            "current_date",
            "current_timestamp",
            "localtimestamp",
            "current_user",
            "session_user",
            "user",
            "current_catalog",
        ];
        NILADIC.contains(&ident.value.to_lowercase().as_str())
    }

    fn column(&mut self, relation: Option<&ast::Ident>, ident: &ast::Ident, span: Span) -> Result<Typed, SqlError> {
        let (qualifier, relation, name) = (relation, relation.map(fold), fold(ident));
        let mut missing_relation = true;
        for (level, scope) in self.scopes.iter().rev().enumerate() {
            match scope.find(relation.as_deref(), &name) {
                Found::Column(column) => {
                    let data_type = Some(scope.columns[column].data_type);
                    self.reached = self.reached.max(level);
                    if let Some(uses) = &mut self.uses {
                        uses.push(Use { column, name: ident.span, relation: qualifier.map(|relation| relation.span) });
                    }
                    let expr = if level == 0 { Expr::Column(column) } else { Expr::Outer { level: level - 1, column } };
                    return Ok(Typed { expr, data_type, span });
                }
                Found::Ambiguous => {
                    let message = format!("column reference \"{name}\" is ambiguous");
                    return self.error(span, SqlState::AMBIGUOUS_COLUMN, message);
                }
                Found::NoColumn if relation.is_some() => {
                    missing_relation = false;
                    break;
                }
                Found::NoColumn | Found::NoRelation => {}
            }
        }
        match relation {
            Some(relation) if missing_relation => {
                let message = format!("missing FROM-clause entry for table \"{relation}\"");
                self.error(span, SqlState::UNDEFINED_TABLE, message)
            }
            Some(relation) => {
                let message = format!("column {relation}.{name} does not exist");
                self.error(span, SqlState::UNDEFINED_COLUMN, message)
            }
            None => self.error(span, SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")),
        }
    }

    /// An expression whose type does not matter; an unknown one is text.
    fn any_type(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        let typed = self.expression(expr)?;
        self.known(typed).map(|typed| typed.expr)
    }

    /// With its type known: text, if nothing else has been said.
    pub(super) fn known(&mut self, typed: Typed) -> Result<Typed, SqlError> {
        if typed.data_type.is_some() {
            return Ok(typed);
        }
        let Typed { expr, span, .. } = typed;
        let expr = self.give_type(expr, DataType::Text, CastContext::Implicit, span)?;
        Ok(Typed { expr, data_type: Some(DataType::Text), span })
    }

    fn is(&mut self, expr: &ast::Expr, place: &str, wanted: bool) -> Result<Expr, SqlError> {
        let typed = self.expression(expr)?;
        Ok(Expr::Is(Box::new(self.condition(typed, place)?), wanted))
    }

    /// `CAST`, `::`.
    pub(super) fn explicit(&mut self, typed: Typed, to: DataType, span: Span) -> Result<Typed, SqlError> {
        let from = typed.data_type;
        match self.coerce(typed, to, CastContext::Explicit)? {
            Some(typed) => Ok(Typed { span, ..typed }),
            None => {
                let from = from.map_or("unknown", DataType::base_name);
                let message = format!("cannot cast type {from} to {}", to.base_name());
                self.error(span, SqlState::CANNOT_COERCE, message)
            }
        }
    }

    /// Operators of one level: the tree leans to the left, as deep as the chain is long, so it is walked in a loop.
    fn chain(&mut self, expr: &ast::Expr) -> Result<Typed, SqlError> {
        let mut first = expr;
        let mut rest = Vec::new();
        while let ast::Expr::BinaryOp { left, op, right } = first {
            rest.push((left.as_ref(), op, right.as_ref()));
            first = left;
        }
        let mut typed = self.expression(first)?;
        let mut depth = 0;
        for (left, op, right) in rest.into_iter().rev() {
            typed = match op {
                ast::BinaryOperator::And | ast::BinaryOperator::Or => self.connect(typed, op, right)?,
                _ => {
                    depth += 1;
                    if depth > MAX_CHAIN {
                        return Err(too_complex());
                    }
                    self.binary(typed, op, left, right)?
                }
            };
        }
        Ok(typed)
    }

    fn connect(&mut self, left: Typed, op: &ast::BinaryOperator, right: &ast::Expr) -> Result<Typed, SqlError> {
        let span = left.span;
        let and = *op == ast::BinaryOperator::And;
        let place = if and { "AND" } else { "OR" };
        let left = self.condition(left, place)?;
        let right = self.expression(right)?;
        let right = self.condition(right, place)?;
        let expr = match (left, and) {
            (Expr::And(mut list), true) => {
                list.push(right);
                Expr::And(list)
            }
            (Expr::Or(mut list), false) => {
                list.push(right);
                Expr::Or(list)
            }
            (left, true) => Expr::And(vec![left, right]),
            (left, false) => Expr::Or(vec![left, right]),
        };
        Ok(Typed { expr, data_type: Some(DataType::Bool), span })
    }

    fn binary(
        &mut self,
        left: Typed,
        op: &ast::BinaryOperator,
        left_syntax: &ast::Expr,
        right: &ast::Expr,
    ) -> Result<Typed, SqlError> {
        let Some(sign) = sign(op) else {
            return Err(SqlError::unsupported(format!("operator {op} is not supported")));
        };
        if matches!(left_syntax, ast::Expr::Tuple(_)) || matches!(right, ast::Expr::Tuple(_)) {
            return Err(SqlError::unsupported("comparing rows is not supported"));
        }
        let right = self.expression(right)?;
        self.operate(sign, left, right).map_err(|error| self.at_operator(error, left_syntax.span()))
    }

    /// An error about an operator stands where the operator does: behind its left operand.
    pub(super) fn at_operator(&self, mut error: SqlError, left: Span) -> SqlError {
        if matches!(error.state, SqlState::UNDEFINED_FUNCTION | SqlState::AMBIGUOUS_FUNCTION) {
            error.position = self.position_behind(left);
        }
        error
    }

    /// Where the operator behind an operand stands.
    fn position_behind(&self, span: Span) -> Option<u32> {
        if span.end.line == 0 {
            return None;
        }
        let end = super::character_position(self.text, span.end);
        let skip = |c: &char| c.is_whitespace() || *c == ')';
        let blanks = self.text.chars().skip(end as usize - 1).take_while(skip).count();
        u32::try_from(blanks).ok().map(|blanks| end + blanks)
    }

    /// A binary operator over bound operands.
    pub(super) fn operate(&mut self, sign: BinaryOperator, left: Typed, right: Typed) -> Result<Typed, SqlError> {
        let span = left.span;
        let resolved =
            operator::resolve_binary(sign, left.data_type, right.data_type).map_err(|error| self.at(span, error))?;
        let both_integers = is_integer(left.data_type) && is_integer(right.data_type);
        // `||` takes anything beside a text, as its text; the other operators only what casts by itself.
        let strength = if sign == BinaryOperator::Concat { CastContext::Explicit } else { CastContext::Implicit };
        let left = self.operand_as(left, resolved.left, strength)?;
        let right = self.operand_as(right, resolved.right, strength)?;
        let expr = match Comparison::of(sign) {
            // Integers of any width compare by value; everything else has been cast to one type.
            Some(comparison) if resolved.left.base() == resolved.right.base() || both_integers => {
                let data_type = if both_integers { DataType::Int8 } else { resolved.left };
                Expr::Compare(Box::new(Compare { comparison, left, right, data_type }))
            }
            _ => self.fold_binary(Binary { operator: resolved, left, right }).map_err(|error| self.at(span, error))?,
        };
        Ok(Typed { expr, data_type: Some(resolved.result), span })
    }

    /// Arithmetic of constants is done now, unless it fails: then where and when it fails is execution's affair.
    fn fold_binary(&self, binary: Binary) -> Result<Expr, SqlError> {
        if let (Expr::Constant(left), Expr::Constant(right)) = (&binary.left, &binary.right)
            && let Ok(value) = binary.operator.eval(left, right)
        {
            return Ok(Expr::Constant(value));
        }
        Ok(Expr::Binary(Box::new(binary)))
    }

    pub(super) fn operand(&mut self, typed: Typed, to: DataType) -> Result<Expr, SqlError> {
        self.operand_as(typed, to, CastContext::Implicit)
    }

    fn operand_as(&mut self, typed: Typed, to: DataType, strength: CastContext) -> Result<Expr, SqlError> {
        // char(n) stays char(n): the operator's own type has no length.
        if let Some(from) = typed.data_type
            && from.base() == to.base()
        {
            return Ok(typed.expr);
        }
        let (span, from) = (typed.span, typed.data_type);
        match self.coerce(typed, to, strength)? {
            Some(typed) => Ok(typed.expr),
            None => {
                let from = from.map_or("unknown", DataType::base_name);
                let message = format!("cannot cast type {from} to {}", to.base_name());
                self.error(span, SqlState::CANNOT_COERCE, message)
            }
        }
    }

    fn unary(&mut self, op: ast::UnaryOperator, inner: &ast::Expr, span: Span) -> Result<Typed, SqlError> {
        let sign = match op {
            ast::UnaryOperator::Not => {
                let typed = self.expression(inner)?;
                let expr = Expr::Not(Box::new(self.condition(typed, "NOT")?));
                return Ok(Typed { expr, data_type: Some(DataType::Bool), span });
            }
            ast::UnaryOperator::Minus => {
                // The smallest integer has no positive twin: the sign belongs to the number.
                if let ast::Expr::Value(literal) = inner
                    && let ast::Value::Number(digits, long) = &literal.value
                {
                    let value = ast::Value::Number(format!("-{digits}"), *long);
                    return self.literal(&ast::ValueWithSpan { value, span });
                }
                // In PostgreSQL the sign binds tighter than the power: -3 ^ 2 is 9.
                if let ast::Expr::BinaryOp { left, op: power @ ast::BinaryOperator::PGExp, right } = inner {
                    let base = ast::Expr::UnaryOp { op, expr: left.clone() };
                    let (left, op, right) = (Box::new(base), power.clone(), right.clone());
                    return self.expression(&ast::Expr::BinaryOp { left, op, right });
                }
                UnaryOperator::Minus
            }
            ast::UnaryOperator::Plus => UnaryOperator::Plus,
            other => return Err(SqlError::unsupported(format!("operator {other} is not supported"))),
        };
        let typed = self.expression(inner)?;
        let typed = if typed.data_type.is_none() {
            // As PostgreSQL: the preferred type of numbers.
            self.coerce(typed.clone(), DataType::Float8, CastContext::Implicit)?.unwrap_or(typed)
        } else {
            typed
        };
        let resolved = operator::resolve_unary(sign, typed.data_type).map_err(|error| self.at(span, error))?;
        let data_type = Some(resolved.operand);
        if let Expr::Constant(value) = &typed.expr
            && !value.is_null()
            && let Ok(value) = resolved.eval(value)
        {
            return Ok(Typed { expr: Expr::Constant(value), data_type, span });
        }
        Ok(Typed { expr: Expr::Unary(resolved, Box::new(typed.expr)), data_type, span })
    }

    fn distinct(&mut self, left: &ast::Expr, right: &ast::Expr, negated: bool, span: Span) -> Result<Typed, SqlError> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let equal = self.operate(BinaryOperator::Equal, left, right)?;
        let expr = match equal.expr {
            Expr::Compare(compare) => negate_if(negated, Expr::Distinct(compare)),
            _ => return Err(SqlError::unsupported("IS DISTINCT FROM is not supported for these types")),
        };
        Ok(Typed { expr, data_type: Some(DataType::Bool), span })
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        span: Span,
    ) -> Result<Typed, SqlError> {
        let operand = operand.map(|operand| self.expression(operand)).transpose()?;
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            let condition = self.expression(&when.condition)?;
            tests.push(match &operand {
                None => self.condition(condition, "CASE/WHEN")?,
                Some(operand) => self.operate(BinaryOperator::Equal, operand.clone(), condition)?.expr,
            });
            results.push(self.expression(&when.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.expression(otherwise)?,
            None => Typed { expr: Expr::Constant(Value::Null), data_type: None, span },
        });
        let (mut results, data_type) = self.unify(results, "CASE")?;
        let otherwise = results.pop().unwrap_or(Expr::Constant(Value::Null));
        let branches = tests.into_iter().zip(results).collect();
        let expr = Expr::Case(Box::new(Case { branches, otherwise }));
        Ok(Typed { expr, data_type: Some(data_type), span })
    }

    /// Brings expressions to their common type. `construct` names the place in messages.
    pub(super) fn unify(&mut self, list: Vec<Typed>, construct: &str) -> Result<(Vec<Expr>, DataType), SqlError> {
        let types: Vec<_> = list.iter().map(|typed| typed.data_type).collect();
        let common = operator::common_type(&types, construct).map_err(|error| {
            let first = types.iter().flatten().next();
            let odd = list
                .iter()
                .find(|typed| typed.data_type.is_some_and(|t| Some(t.category()) != first.map(|f| f.category())));
            odd.map_or_else(|| error.clone(), |odd| self.at(odd.span, error.clone()))
        })?;
        let mut expressions = Vec::with_capacity(list.len());
        for typed in list {
            expressions.push(if typed.data_type == Some(common) { typed.expr } else { self.operand(typed, common)? });
        }
        Ok((expressions, common))
    }
}

pub(super) fn negate_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

pub(super) fn is_integer(data_type: Option<DataType>) -> bool {
    matches!(data_type, Some(DataType::Int2 | DataType::Int4 | DataType::Int8))
}

pub(super) fn sign(op: &ast::BinaryOperator) -> Option<BinaryOperator> {
    use ast::BinaryOperator as Ast;
    Some(match op {
        Ast::Plus => BinaryOperator::Add,
        Ast::Minus => BinaryOperator::Subtract,
        Ast::Multiply => BinaryOperator::Multiply,
        Ast::Divide => BinaryOperator::Divide,
        Ast::Modulo => BinaryOperator::Modulo,
        Ast::PGExp | Ast::BitwiseXor => BinaryOperator::Power,
        Ast::StringConcat => BinaryOperator::Concat,
        Ast::Eq => BinaryOperator::Equal,
        Ast::NotEq => BinaryOperator::NotEqual,
        Ast::Lt => BinaryOperator::Less,
        Ast::LtEq => BinaryOperator::LessEqual,
        Ast::Gt => BinaryOperator::Greater,
        Ast::GtEq => BinaryOperator::GreaterEqual,
        Ast::PGLikeMatch => BinaryOperator::Like,
        Ast::PGNotLikeMatch => BinaryOperator::NotLike,
        Ast::PGILikeMatch => BinaryOperator::ILike,
        Ast::PGNotILikeMatch => BinaryOperator::NotILike,
        _ => return None,
    })
}
