//! Where a table's rows are to be: PARTITION BY, WITH (replicated), PARTITION TABLE, and what placement asks of keys.
//!
//! ```sql
//! CREATE TABLE … (…);                                       -- hash of the primary key's first column
//! CREATE TABLE … (…) PARTITION BY HASH (a, b);              -- hash of these
//! CREATE TABLE … (…) PARTITION BY RANGE (a) WITH (split_at = '100, 200');
//! CREATE TABLE … (…) WITH (replicated);                     -- everywhere
//! CREATE TABLE … (…) WITH (replication = 1);                -- see `replication`
//! PARTITION TABLE t ON COLUMN a;                            -- from now on hash of a; rows move
//! ```
//! Each partition looks at its own rows only. So a PRIMARY KEY holds in all of them exactly if rows with equal keys are in
//! one place: it must contain the partition key. A UNIQUE that does not has a tree of owners besides (`sql::integrity`).

use super::Change;
use super::replication::Told;
use crate::catalog::{IndexState, Placement, Table};
use crate::sql::bind::{find_by_parts, fold};
use crate::sql::parse::partition_table;
use crate::types::datetime::TimeContext;
use crate::types::{DataType, SqlError, SqlState, Value, text};
use sqlparser::ast::{self, CreateTableOptions, Ident};

/// Most split points of a table.
const MAX_SPLITS: usize = 1_000;

/// What WITH says.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) replicated: bool,
    split_at: Option<String>,
    pub(super) replication: Told,
}

pub(super) fn options(options: &CreateTableOptions) -> Result<Options, SqlError> {
    let mut told = Options::default();
    let options = match options {
        CreateTableOptions::None => return Ok(told),
        CreateTableOptions::With(options) => options,
        _ => return Err(SqlError::unsupported("these table options are not supported")),
    };
    for option in options {
        let (name, value) = self::option(option);
        if told.replication.take(&name, &value)? {
            continue;
        }
        match name.as_str() {
            "replicated" => {
                told.replicated = text::parse(&value, DataType::Bool, &TimeContext::default())
                    .map_err(|_| {
                        let message = format!("invalid value for boolean option \"replicated\": {value}");
                        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                    })?
                    .as_bool()
                    == Some(true);
            }
            "split_at" => told.split_at = Some(value),
            other if other == "fillfactor" || other.starts_with("autovacuum_") => {}
            other => {
                let message = format!("unrecognized parameter \"{other}\"");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        }
    }
    Ok(told)
}

/// A parameter and its value.
pub(super) fn option(option: &ast::SqlOption) -> (String, String) {
    match option {
        ast::SqlOption::KeyValue { key, value } => (fold(key), value_of(value)),
        ast::SqlOption::Ident(key) => (fold(key), "true".to_owned()),
        other => (other.to_string(), String::new()),
    }
}

fn value_of(value: &ast::Expr) -> String {
    match value {
        ast::Expr::Value(literal) => match &literal.value {
            ast::Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message)
}

/// Decides where the rows of a new table are.
pub(super) fn place(
    table: &mut Table,
    partition_by: Option<&ast::Expr>,
    options: &Options,
    at: &dyn Fn(&Ident, SqlError) -> SqlError,
) -> Result<(), SqlError> {
    if options.replicated {
        if partition_by.is_some() {
            let hint = "Every partition has all its rows: leave out one of the two.";
            return Err(invalid("a replicated table cannot have PARTITION BY").hint(hint));
        }
        table.placement = Placement::Replicated;
    }
    let Some(partition_by) = partition_by else {
        if options.split_at.is_some() {
            return Err(invalid("split_at is of no use without PARTITION BY RANGE"));
        }
        if !options.replicated {
            table.partition_key = table.primary_key.first().copied().into_iter().collect();
        }
        return Ok(());
    };
    let (strategy, columns) = strategy(partition_by)?;
    let mut key = Vec::with_capacity(columns.len());
    for ident in columns {
        let position = key_column(table, &fold(ident)).map_err(|error| at(ident, error))?;
        if key.contains(&position) {
            let message = format!("column \"{}\" appears twice in the partition key", table.columns[position].name);
            return Err(at(ident, SqlError::new(SqlState::DUPLICATE_COLUMN, message)));
        }
        key.push(position);
    }
    if strategy == "range" {
        let [column] = key.as_slice() else {
            return Err(SqlError::unsupported("PARTITION BY RANGE takes one column")
                .hint("Give the leading column, or use PARTITION BY HASH."));
        };
        let Some(split_at) = &options.split_at else {
            return Err(invalid("PARTITION BY RANGE needs to know where the ranges end")
                .hint("For example, PARTITION BY RANGE (id) WITH (split_at = '1000, 2000')."));
        };
        table.placement = Placement::Range(split_points(split_at, table.columns[*column].data_type)?);
    } else if options.split_at.is_some() {
        return Err(invalid("split_at is of no use without PARTITION BY RANGE"));
    }
    table.partition_key = key;
    Ok(())
}

/// `hash` or `range`, and the columns.
fn strategy(partition_by: &ast::Expr) -> Result<(String, Vec<&Ident>), SqlError> {
    let unsupported = || {
        SqlError::unsupported("only PARTITION BY HASH (column, …) and PARTITION BY RANGE (column) are supported")
            .hint("Expressions cannot be partitioned by: make the value a column.")
    };
    let ast::Expr::Function(function) = partition_by else { return Err(unsupported()) };
    let ast::FunctionArguments::List(list) = &function.args else { return Err(unsupported()) };
    let strategy = function.name.to_string().to_lowercase();
    if !["hash", "range"].contains(&strategy.as_str()) || list.args.is_empty() {
        return Err(unsupported());
    }
    let column = |argument| match argument {
        &ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(ref ident))) => Ok(ident),
        _ => Err(unsupported()),
    };
    Ok((strategy, list.args.iter().map(column).collect::<Result<_, _>>()?))
}

/// A column that may be part of a partition key.
fn key_column(table: &Table, name: &str) -> Result<usize, SqlError> {
    let position = table.column(name).ok_or_else(|| {
        let message = format!("column \"{name}\" named in partition key does not exist");
        let columns: Vec<_> = table.live_columns().map(|(_, column)| column.name.as_str()).collect();
        let hint = format!("Columns of \"{}\": {}.", table.name, columns.join(", "));
        SqlError::new(SqlState::UNDEFINED_COLUMN, message).hint(hint)
    })?;
    if !table.columns[position].not_null {
        return Err(invalid(format!("partition key column \"{name}\" may be NULL"))
            .hint("A row needs a place: declare the column NOT NULL."));
    }
    Ok(position)
}

/// `10, 20` or `"a, b", c`: values of the column's type, ascending.
fn split_points(list: &str, data_type: DataType) -> Result<Vec<Value>, SqlError> {
    let mut points: Vec<Value> = Vec::new();
    for part in parts(list) {
        let value = text::parse(&part, data_type, &TimeContext::default())?;
        if points.last().is_some_and(|last| last.compare_as(&value, data_type).is_ge()) {
            return Err(invalid(format!("split points must ascend: \"{part}\" does not")));
        }
        points.push(value);
    }
    match points.len() {
        0 => Err(invalid("split_at names no value")),
        count if count > MAX_SPLITS => Err(invalid(format!("more than {MAX_SPLITS} split points"))),
        _ => Ok(points),
    }
}

/// Parts between commas, without the blanks around them; a part in double quotes is taken as it stands.
fn parts(list: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let (part, behind) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((quoted, behind)) => (quoted.to_owned(), behind.split_once(',').map_or("", |(_, behind)| behind)),
            None => {
                let (part, behind) = rest.split_once(',').unwrap_or((rest, ""));
                (part.trim_end().to_owned(), behind)
            }
        };
        parts.push(part);
        rest = behind.trim_start();
    }
    parts
}

/// `PARTITION TABLE t ON COLUMN c`, as VoltDB has it.
pub(super) fn partition(change: &mut Change<'_>) -> Result<&'static str, SqlError> {
    let (name, column) = partition_table(change.text)?;
    let mut table = Table::clone(find_by_parts(&change.catalog, &name, change.settings)?);
    if table.becoming_primary().is_some() {
        return Err(SqlError::new(SqlState(*b"55006"), "the table is getting a primary key")
            .hint("Wait until ALTER TABLE … ADD PRIMARY KEY has ended."));
    }
    let position = key_column(&table, &column)?;
    table.partition_key = vec![position];
    table.placement = Placement::Hash;
    own_keys(change, &mut table, true);
    check_keys(&table, change.partitions)?;
    change.replace(table);
    Ok("PARTITION TABLE")
}

/// Gives every UNIQUE that one partition alone cannot keep a tree of owners, and takes it from the others. Owners change
/// when rows have `moved`: their trees are then made anew.
pub(super) fn own_keys(change: &mut Change<'_>, table: &mut Table, moved: bool) {
    let divided = change.partitions > 1 && !table.is_replicated();
    for number in 0..table.indexes.len() {
        let index = &table.indexes[number];
        let covers = |column: &usize| index.columns.iter().any(|(indexed, _)| indexed == column);
        let kept_here = table.partition_key.iter().all(covers);
        let global = match index.global {
            _ if !index.unique || !divided || kept_here || index.state == IndexState::BecomingPrimary => None,
            Some(tree) if !moved => Some(tree),
            _ => Some(change.tree()),
        };
        table.indexes[number].global = global;
    }
}

/// Can every UNIQUE and PRIMARY KEY of a table be kept?
pub(in crate::sql) fn check_keys(table: &Table, partitions: u32) -> Result<(), SqlError> {
    let future = table.becoming_primary().filter(|_| table.partition_key.is_empty() && !table.is_replicated());
    let key = match future {
        // Once that is the primary key, its first column places the rows.
        Some(index) => index.columns.iter().take(1).map(|(column, _)| *column).collect(),
        None => table.partition_key.clone(),
    };
    let lacks = |columns: &[usize]| key.iter().find(|column| !columns.contains(column)).copied();
    if !table.primary_key.is_empty()
        && let Some(column) = lacks(&table.primary_key)
    {
        return Err(lacking("PRIMARY KEY", table, column));
    }
    if partitions <= 1 {
        return Ok(());
    }
    for index in table.indexes.iter().filter(|index| index.unique && index.global.is_none()) {
        let columns: Vec<usize> = index.columns.iter().map(|(column, _)| *column).collect();
        if let Some(column) = lacks(&columns) {
            return Err(lacking("UNIQUE", table, column));
        }
    }
    Ok(())
}

/// 0A000, worded as PostgreSQL words it for its partitioned tables.
pub(super) fn lacking(what: &str, table: &Table, column: usize) -> SqlError {
    let column = &table.columns[column].name;
    SqlError::unsupported("unique constraint on partitioned table must include all partitioning columns")
        .detail(format!(
            "{what} constraint on table \"{}\" lacks column \"{column}\" which is part of the partition key.",
            table.name
        ))
        .hint(format!(
            "Include column \"{column}\", choose other columns by PARTITION BY HASH (…), or make the table WITH (REPLICATED)."
        ))
}
