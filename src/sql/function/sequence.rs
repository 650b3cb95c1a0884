//! Sequences, for whoever looks into the list: the binder resolves these itself (`sql::bind::sequence`), because the
//! sequence has to be known when a statement is planned. Only `nextval` and `setval` are ever called, with what the binder has found.

use super::{Body, Function, Volatility};
use crate::types::{DataType, SqlError, Value};

use DataType::{Bool, Int8, Text};

const fn entry(
    name: &'static str,
    arguments: &'static [DataType],
    result: DataType,
    volatility: Volatility,
    doc: &'static str,
    body: Body,
) -> Function {
    Function { name, arguments, variadic: false, result, volatility, strict: true, doc, body, cases: &[] }
}

fn bound_elsewhere(_: &[Value]) -> Result<Value, SqlError> {
    Err(SqlError::unsupported("this use of a function of sequences is not supported"))
}

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[
    entry(
        "nextval",
        &[Text],
        Int8,
        Volatility::Volatile,
        "Next value of a sequence",
        // Bound: the number of the stream.
        Body::InContext(|context, arguments| Ok(crate::sql::sequence::next(context, &arguments[0]))),
    ),
    entry(
        "currval",
        &[Text],
        Int8,
        Volatility::Volatile,
        "Value that the session drew last from a sequence",
        Body::Pure(bound_elsewhere),
    ),
    entry(
        "lastval",
        &[],
        Int8,
        Volatility::Volatile,
        "Value that the session drew last from any sequence",
        Body::Pure(bound_elsewhere),
    ),
    entry(
        "setval",
        &[Text, Int8],
        Int8,
        Volatility::Volatile,
        "Sets a sequence's last value",
        // Bound: number, name and range of the sequence before what is set.
        Body::Pure(crate::sql::sequence::set),
    ),
    entry(
        "setval",
        &[Text, Int8, Bool],
        Int8,
        Volatility::Volatile,
        "Sets a sequence's last value, and whether the next one follows it",
        Body::Pure(bound_elsewhere),
    ),
    entry(
        "pg_get_serial_sequence",
        &[Text, Text],
        Text,
        Volatility::Stable,
        "Name of the sequence that goes with a table's column",
        Body::Pure(bound_elsewhere),
    ),
];
