//! Scalar functions: one literal list of self-contained entries.
//!
//! An entry is a name with a signature, how it may be planned, what it does, and cases that show it; `pg_proc`, `\df`
//! and the tests are derived from the list. COALESCE, NULLIF, GREATEST and LEAST are expressions, not functions: their
//! arguments are evaluated lazily or typed by [`super::operator::common_type`].
//!
//! # Invariants
//! - Evaluation depends on the arguments and the [`Context`] alone.
//! - Results are bounded: nothing builds more than [`MAX_RESULT_BYTES`].

mod datetime;
mod math;
mod md5;
mod sequence;
mod session;
mod string;

use super::context::Context;
use super::overload::{Choice, choose, type_names};
use crate::types::{DataType, SqlError, SqlState, Value};

/// Most bytes that a function builds (54000 beyond).
pub const MAX_RESULT_BYTES: usize = 64 << 20;

/// `54000` when a result of that size would be too large.
pub fn check_size(bytes: usize) -> Result<(), SqlError> {
    if bytes > MAX_RESULT_BYTES {
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
    }
    Ok(())
}

/// How much a result may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Equal arguments give equal results: may be computed while planning.
    Immutable,
    /// The same within one statement: may be computed once per execution.
    Stable,
    /// Anew for each row.
    Volatile,
}

/// What an entry computes with.
#[derive(Clone, Copy)]
pub enum Body {
    /// Arguments alone.
    Pure(fn(&[Value]) -> Result<Value, SqlError>),
    /// Clock, dice, session too.
    InContext(fn(&mut Context, &[Value]) -> Result<Value, SqlError>),
    /// The arguments' types as written (`pg_typeof`).
    Typed(fn(&[Option<DataType>]) -> Value),
}

/// A case that shows what a function does: arguments as text (`None`: NULL) and the result as PostgreSQL prints it.
pub type Case = (&'static [Option<&'static str>], Option<&'static str>);

/// An entry of the list.
pub struct Function {
    /// Name.
    pub name: &'static str,
    /// Parameter types.
    pub arguments: &'static [DataType],
    /// Are further arguments of any type taken after `arguments` (`concat`)?
    pub variadic: bool,
    /// Type of the result.
    pub result: DataType,
    /// How much it may be relied on.
    pub volatility: Volatility,
    /// NULL as soon as an argument is?
    pub strict: bool,
    /// One sentence for `\df+` and the manual.
    pub doc: &'static str,
    /// What it does.
    pub body: Body,
    /// Cases, run by the tests.
    pub cases: &'static [Case],
}

/// All families, each a literal list.
const FAMILIES: &[&[Function]] =
    &[math::FUNCTIONS, string::FUNCTIONS, datetime::FUNCTIONS, session::FUNCTIONS, sequence::FUNCTIONS];

/// Does it draw from a sequence?
#[must_use]
pub fn is_nextval(call: &Call) -> bool {
    call.function.name == "nextval"
}

/// Every entry.
pub fn all() -> impl Iterator<Item = &'static Function> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// Is there a function of that name?
#[must_use]
pub fn exists(name: &str) -> bool {
    all().any(|function| function.name == name)
}

/// A function resolved: arguments are to be cast (implicitly) to `arguments` first.
#[derive(Clone)]
pub struct Call {
    /// Which.
    pub function: &'static Function,
    /// Types to cast the arguments to.
    pub arguments: Vec<DataType>,
    /// Type of the result.
    pub result: DataType,
    given: Vec<Option<DataType>>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.function.name, self.arguments)
    }
}

impl Call {
    /// Computes.
    pub fn eval(&self, context: &mut Context, arguments: &[Value]) -> Result<Value, SqlError> {
        if self.function.strict && arguments.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        match self.function.body {
            Body::Pure(evaluate) => evaluate(arguments),
            Body::InContext(evaluate) => evaluate(context, arguments),
            Body::Typed(evaluate) => Ok(evaluate(&self.given)),
        }
    }
}

/// Resolves by name (folded) and argument types; `None` is an untyped literal, parameter or NULL.
pub fn resolve(name: &str, arguments: &[Option<DataType>]) -> Result<Call, SqlError> {
    let found: Vec<&'static Function> = all().filter(|function| function.name == name).collect();
    let signatures: Vec<Vec<DataType>> = found
        .iter()
        .map(|function| {
            let mut types = function.arguments.to_vec();
            if function.variadic {
                // "any": each further argument is taken as it is.
                types.extend(arguments.iter().skip(types.len()).map(|t| t.unwrap_or(DataType::Text).base()));
            }
            types
        })
        .collect();
    let describe = || format!("function {name}({})", type_names(arguments));
    match choose(&signatures, arguments) {
        Choice::One(at) => Ok(Call {
            function: found[at],
            arguments: signatures[at].clone(),
            result: found[at].result,
            given: arguments.to_vec(),
        }),
        Choice::None => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("{} does not exist", describe()))
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")),
        Choice::Ambiguous => Err(SqlError::new(SqlState::AMBIGUOUS_FUNCTION, format!("{} is not unique", describe()))
            .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::random::SeedableRng;
    use crate::types::{Rng, Timestamp, text};
    use std::collections::BTreeSet;

    #[test]
    fn cases_of_all_entries_hold() {
        let mut context = Context::new(Timestamp(0), Rng::from_seed([7; 32]), "UTC", 0);
        for function in all() {
            let types: Vec<Option<DataType>> = function.arguments.iter().map(|t| Some(*t)).collect();
            let call = resolve(function.name, &types).unwrap();
            assert!(std::ptr::eq(call.function, function), "{} {types:?} finds another entry", function.name);
            assert!(!function.doc.is_empty());
            for (arguments, expected) in function.cases {
                let values: Vec<Value> = arguments
                    .iter()
                    .zip(function.arguments)
                    .map(|(text, t)| text.map_or(Value::Null, |text| text::parse(text, *t, &context.time).unwrap()))
                    .collect();
                let result = call.eval(&mut context, &values);
                let shown =
                    result.as_ref().map(|value| (!value.is_null()).then(|| text::print(value, &context.time.zone)));
                assert_eq!(
                    shown.as_ref().ok().and_then(Option::as_deref),
                    *expected,
                    "{}{arguments:?}: {result:?}",
                    function.name
                );
            }
            if function.strict && !function.arguments.is_empty() {
                let nulls = vec![Value::Null; function.arguments.len()];
                assert_eq!(call.eval(&mut context, &nulls).unwrap(), Value::Null);
            }
        }
    }

    #[test]
    fn signatures_are_unique() {
        let mut seen = BTreeSet::new();
        for function in all() {
            assert!(seen.insert((function.name, format!("{:?}", function.arguments))), "{} twice", function.name);
        }
    }

    #[test]
    fn large_results_are_refused() {
        let mut context = Context::new(Timestamp(0), Rng::from_seed([7; 32]), "UTC", 0);
        for (name, arguments) in [
            ("repeat", vec![Value::text("ab"), Value::Int4(i32::MAX)]),
            ("lpad", vec![Value::text("ab"), Value::Int4(i32::MAX)]),
        ] {
            let call = resolve(name, &[Some(DataType::Text), Some(DataType::Int4)]).unwrap();
            assert_eq!(call.eval(&mut context, &arguments).unwrap_err().state, SqlState::PROGRAM_LIMIT_EXCEEDED);
        }
    }

    #[test]
    fn unknown_names_and_types_are_told_as_postgresql_tells_them() {
        let error = resolve("nosuch", &[Some(DataType::Int4), None]).unwrap_err();
        assert_eq!(error.message, "function nosuch(integer, unknown) does not exist");
        assert_eq!(resolve("round", &[None]).unwrap().result, DataType::Float8);
        assert_eq!(resolve("length", &[None]).unwrap().arguments, [DataType::Text]);
        assert_eq!(resolve("abs", &[Some(DataType::Numeric(Some((5, 2))))]).unwrap().result, DataType::Numeric(None));
    }
}
