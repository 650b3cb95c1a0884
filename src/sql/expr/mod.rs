//! Bound expressions: names resolved, types known, casts explicit.

mod evaluate;

pub(super) use evaluate::{evaluate, is_true};

use super::cast::CastContext;
use super::function::{self, Volatility};
use super::operator;
use super::plan::Node;
use crate::types::{DataType, Value};
use std::cmp::Ordering;

/// An expression over a row, the parameters and the rows of enclosing queries.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Constant(Value),
    /// A literal that means something else at another time: `'now'`.
    Literal {
        text: String,
        to: DataType,
    },
    Parameter(usize),
    /// What was drawn from a sequence before execution, by its place; and what is not there, if it is not (`currval of …`).
    Drawn(usize, std::sync::Arc<str>),
    Column(usize),
    /// A column of an enclosing query's row; level 0 is the nearest.
    Outer {
        level: usize,
        column: usize,
    },
    /// An aggregate's result; replaced by a column before execution.
    Aggregate(usize),
    Call(Box<Call>),
    Binary(Box<Binary>),
    Unary(operator::Unary, Box<Self>),
    Like(Box<Like>),
    Compare(Box<Compare>),
    Cast(Box<Cast>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    IsNull(Box<Self>),
    /// IS TRUE, IS FALSE.
    Is(Box<Self>, bool),
    /// IS DISTINCT FROM.
    Distinct(Box<Compare>),
    /// `needle IN (list)`.
    In(Box<In>),
    Case(Box<Case>),
    Coalesce(Vec<Self>),
    /// GREATEST (`true`) or LEAST.
    Extreme(bool, Vec<Self>, DataType),
    Subquery(Box<Subquery>),
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) call: function::Call,
    pub(super) arguments: Vec<Expr>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        // Two calls of `random()` are never the same expression.
        self.call.function.volatility != Volatility::Volatile
            && std::ptr::eq(self.call.function, other.call.function)
            && self.arguments == other.arguments
    }
}

#[derive(Clone, Debug)]
pub(super) struct Binary {
    pub(super) operator: operator::Binary,
    pub(super) left: Expr,
    pub(super) right: Expr,
}

impl PartialEq for Binary {
    fn eq(&self, other: &Self) -> bool {
        let types = |binary: &Self| (binary.operator.operator, binary.operator.left, binary.operator.right);
        types(self) == types(other) && self.left == other.left && self.right == other.right
    }
}

/// LIKE with ESCAPE.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Like {
    pub(super) input: Expr,
    pub(super) pattern: Expr,
    pub(super) escape: Expr,
    pub(super) insensitive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Operands are of one type, or any two integers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compare {
    pub(super) comparison: Comparison,
    pub(super) left: Expr,
    pub(super) right: Expr,
    pub(super) data_type: DataType,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cast {
    pub(super) input: Expr,
    pub(super) from: DataType,
    pub(super) to: DataType,
    pub(super) strength: CastContext,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct In {
    pub(super) needle: Expr,
    pub(super) list: Vec<Expr>,
    pub(super) data_type: DataType,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) branches: Vec<(Expr, Expr)>,
    pub(super) otherwise: Expr,
}

#[derive(Clone, Debug)]
pub(super) struct Subquery {
    pub(super) kind: SubqueryKind,
    pub(super) plan: Node,
    /// Its place in the memory of results, if it does not depend on an enclosing row.
    pub(super) slot: Option<usize>,
}

impl PartialEq for Subquery {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

#[derive(Clone, Debug)]
pub(super) enum SubqueryKind {
    Scalar,
    Exists,
    /// `needle comparison ANY (…)`; IN is `= ANY`.
    Any {
        needle: Expr,
        comparison: Comparison,
        data_type: DataType,
    },
    /// `needle comparison ALL (…)`.
    All {
        needle: Expr,
        comparison: Comparison,
        data_type: DataType,
    },
}

impl Comparison {
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// With the operands exchanged.
    pub(super) const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub(super) const fn of(operator: operator::BinaryOperator) -> Option<Self> {
        use operator::BinaryOperator as Sign;
        Some(match operator {
            Sign::Equal => Self::Equal,
            Sign::NotEqual => Self::NotEqual,
            Sign::Less => Self::Less,
            Sign::LessEqual => Self::LessOrEqual,
            Sign::Greater => Self::Greater,
            Sign::GreaterEqual => Self::GreaterOrEqual,
            _ => return None,
        })
    }
}

impl Expr {
    pub(super) const TRUE: Self = Self::Constant(Value::Bool(true));

    /// The parts directly below; not into subqueries, except what they compare with.
    pub(super) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_)
            | Self::Literal { .. }
            | Self::Parameter(_)
            | Self::Drawn(..)
            | Self::Column(_)
            | Self::Outer { .. }
            | Self::Aggregate(_) => Vec::new(),
            Self::Call(call) => call.arguments.iter().collect(),
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Like(like) => vec![&like.input, &like.pattern, &like.escape],
            Self::Compare(compare) | Self::Distinct(compare) => vec![&compare.left, &compare.right],
            Self::Cast(cast) => vec![&cast.input],
            Self::And(list) | Self::Or(list) | Self::Coalesce(list) | Self::Extreme(_, list, _) => {
                list.iter().collect()
            }
            Self::Not(input) | Self::IsNull(input) | Self::Is(input, _) | Self::Unary(_, input) => vec![input],
            Self::In(list) => std::iter::once(&list.needle).chain(&list.list).collect(),
            Self::Case(case) => {
                let branches = case.branches.iter().flat_map(|(when, then)| [when, then]);
                branches.chain([&case.otherwise]).collect()
            }
            Self::Subquery(subquery) => match &subquery.kind {
                SubqueryKind::Any { needle, .. } | SubqueryKind::All { needle, .. } => vec![needle],
                _ => Vec::new(),
            },
        }
    }

    /// As [`Self::children`], to be changed.
    pub(super) fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Constant(_)
            | Self::Literal { .. }
            | Self::Parameter(_)
            | Self::Drawn(..)
            | Self::Column(_)
            | Self::Outer { .. }
            | Self::Aggregate(_) => Vec::new(),
            Self::Call(call) => call.arguments.iter_mut().collect(),
            Self::Binary(binary) => vec![&mut binary.left, &mut binary.right],
            Self::Like(like) => vec![&mut like.input, &mut like.pattern, &mut like.escape],
            Self::Compare(compare) | Self::Distinct(compare) => vec![&mut compare.left, &mut compare.right],
            Self::Cast(cast) => vec![&mut cast.input],
            Self::And(list) | Self::Or(list) | Self::Coalesce(list) | Self::Extreme(_, list, _) => {
                list.iter_mut().collect()
            }
            Self::Not(input) | Self::IsNull(input) | Self::Is(input, _) | Self::Unary(_, input) => vec![input],
            Self::In(list) => std::iter::once(&mut list.needle).chain(&mut list.list).collect(),
            Self::Case(case) => {
                let branches = case.branches.iter_mut().flat_map(|(when, then)| [when, then]);
                branches.chain([&mut case.otherwise]).collect()
            }
            Self::Subquery(subquery) => match &mut subquery.kind {
                SubqueryKind::Any { needle, .. } | SubqueryKind::All { needle, .. } => vec![needle],
                _ => Vec::new(),
            },
        }
    }

    /// Calls `visit` for this and everything below it, subqueries' plans excepted.
    pub(super) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    fn has(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.has(test))
    }

    /// Does it depend on the row that it is evaluated over? Correlated subqueries do.
    pub(super) fn reads_row(&self) -> bool {
        self.has(&|expr| match expr {
            Self::Column(_) | Self::Aggregate(_) => true,
            Self::Subquery(subquery) => subquery.slot.is_none(),
            _ => false,
        })
    }

    /// Is it one value for the whole of an execution, whichever row is looked at?
    pub(super) fn is_fixed(&self) -> bool {
        !self.reads_row()
            && !self
                .has(&|expr| matches!(expr, Self::Call(call) if call.call.function.volatility == Volatility::Volatile))
    }

    /// Is it known from the parameters alone, before execution?
    pub(super) fn is_known_before(&self) -> bool {
        self.is_fixed()
            && !self.has(&|expr| match expr {
                Self::Subquery(_) | Self::Outer { .. } | Self::Literal { .. } => true,
                Self::Call(call) => call.call.function.volatility != Volatility::Immutable,
                _ => false,
            })
    }

    /// Does it depend on the row that it is evaluated over, and on nothing else: no clock, no dice, no setting, no other row?
    pub(super) fn is_of_row_alone(&self) -> bool {
        !self.has(&|expr| match expr {
            Self::Subquery(_) | Self::Outer { .. } | Self::Literal { .. } => true,
            Self::Call(call) => call.call.function.volatility != Volatility::Immutable,
            // What a local time is depends on the session's time zone, and what `now` and `today` are in a text on the clock, too.
            Self::Cast(cast) => {
                let clock = matches!(cast.to, DataType::Date | DataType::Timestamp) && cast.from.is_string();
                clock || [cast.from, cast.to].contains(&DataType::TimestampTz)
            }
            _ => false,
        })
    }

    /// Splits at AND.
    pub(super) fn conjuncts(self) -> Vec<Self> {
        match self {
            Self::And(list) => list.into_iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// Joins with AND; no conjunct is `None`.
    pub(super) fn all(mut list: Vec<Self>) -> Option<Self> {
        match list.len() {
            0 => None,
            1 => list.pop(),
            _ => Some(Self::And(list)),
        }
    }
}
