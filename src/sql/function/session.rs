//! Facts of the session and of the server, and identifiers from its dice.

use super::{Body, Function, Volatility};
use crate::sql::context::Context;
use crate::types::random::RngCore;
use crate::types::{DataType, SqlError, Value};

use DataType::{Int4, Text, Uuid};

/// An entry without arguments.
const fn entry(
    name: &'static str,
    result: DataType,
    volatility: Volatility,
    doc: &'static str,
    body: fn(&mut Context, &[Value]) -> Result<Value, SqlError>,
) -> Function {
    Function {
        name,
        arguments: &[],
        variadic: false,
        result,
        volatility,
        strict: true,
        doc,
        body: Body::InContext(body),
        cases: &[],
    }
}

/// The list.
pub(super) const FUNCTIONS: &[Function] = &[
    entry("version", Text, Volatility::Stable, "What server this is", |_, _| {
        Ok(Value::text(concat!(
            "PostgreSQL 15.0 (Orrery ",
            env!("CARGO_PKG_VERSION"),
            ") deterministic distributed in-memory database"
        )))
    }),
    entry("current_database", Text, Volatility::Stable, "Name of the database", |context, _| {
        Ok(Value::text(&context.session.database))
    }),
    entry("current_catalog", Text, Volatility::Stable, "Name of the database", |context, _| {
        Ok(Value::text(&context.session.database))
    }),
    entry("current_schema", Text, Volatility::Stable, "Schema that new tables go to", |context, _| {
        Ok(context.session.schema.as_ref().map_or(Value::Null, Value::text))
    }),
    entry("current_user", Text, Volatility::Stable, "Name of the user", |context, _| {
        Ok(Value::text(&context.session.user))
    }),
    entry("session_user", Text, Volatility::Stable, "Name under which the session logged in", |context, _| {
        Ok(Value::text(&context.session.user))
    }),
    entry("user", Text, Volatility::Stable, "Name of the user", |context, _| Ok(Value::text(&context.session.user))),
    entry("pg_backend_pid", Int4, Volatility::Stable, "Number of the session", |context, _| {
        Ok(Value::Int4(context.session.backend))
    }),
    entry("gen_random_uuid", Uuid, Volatility::Volatile, "A random UUID (version 4)", |context, _| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&context.rng.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&context.rng.next_u64().to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(Value::Uuid(bytes))
    }),
    Function {
        name: "pg_typeof",
        arguments: &[],
        variadic: true,
        result: Text,
        volatility: Volatility::Stable,
        strict: false,
        doc: "Name of the argument's type",
        body: Body::Typed(|types| Value::text(types.first().copied().flatten().map_or("unknown", DataType::base_name))),
        cases: &[],
    },
];
