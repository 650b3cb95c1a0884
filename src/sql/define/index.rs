//! CREATE INDEX.

use super::Change;
use super::names::{Names, joined};
use super::placement;
use crate::catalog::{Index, IndexState, Table};
use crate::sql::bind::{find_table, fold};
use crate::types::{SqlError, SqlState};
use sqlparser::ast::{self, OrderBySort};

pub(super) fn create(change: &mut Change<'_>, create: &ast::CreateIndex) -> Result<&'static str, SqlError> {
    refuse_what_is_missing(create)?;
    let table = find_table(&change.catalog, &create.table_name, change.settings)?.clone();
    let columns = columns(&table, &create.columns)?;
    let mut names = Names { catalog: &change.catalog, schema: &table.schema, given: Vec::new() };
    let name = match &create.name {
        None => {
            let columns: Vec<_> = columns.iter().map(|(column, _)| table.columns[*column].name.as_str()).collect();
            names.choose(&table.name, &joined_columns(&columns), "idx")
        }
        Some(name) => {
            let (_, name) = change.qualified(name)?;
            if !names.is_free(&name) {
                let message = format!("relation \"{name}\" already exists");
                if !create.if_not_exists {
                    return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
                }
                change.notice(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
                return Ok("CREATE INDEX");
            }
            name
        }
    };
    // Whether UNIQUE holds is known only when every partition has looked: until then reads must not trust it.
    let state = if create.unique { IndexState::Building } else { IndexState::Active };
    let tree = change.tree();
    let mut table = Table::clone(&table);
    table.indexes.push(Index { name, columns, unique: create.unique, constraint: false, tree, state, global: None });
    placement::own_keys(change, &mut table, false);
    placement::check_keys(&table, change.partitions)?;
    change.replace(table);
    Ok("CREATE INDEX")
}

/// Column names joined as PostgreSQL does for the names it invents.
pub(super) fn joined_columns(columns: &[&str]) -> String {
    columns
        .iter()
        .skip(1)
        .fold(columns.first().copied().unwrap_or_default().to_owned(), |all, column| joined(&all, "", column))
}

fn refuse_what_is_missing(create: &ast::CreateIndex) -> Result<(), SqlError> {
    let method = create.using.as_ref().map(|method| method.to_string().to_lowercase());
    let missing = if create.concurrently {
        "CREATE INDEX CONCURRENTLY"
    } else if create.predicate.is_some() {
        "a partial index (WHERE)"
    } else if !create.include.is_empty() {
        "INCLUDE"
    } else if create.nulls_distinct == Some(false) {
        "NULLS NOT DISTINCT"
    } else if method.as_deref().is_some_and(|method| method != "btree") {
        "an access method other than btree"
    } else {
        return Ok(());
    };
    Err(SqlError::unsupported(format!("{missing} is not supported")))
}

fn columns(table: &Table, columns: &[ast::IndexColumn]) -> Result<Vec<(usize, bool)>, SqlError> {
    let mut keys = Vec::with_capacity(columns.len());
    for column in columns {
        let ast::Expr::Identifier(ident) = &column.column.expr else {
            return Err(SqlError::unsupported("an index on an expression is not supported"));
        };
        let options = &column.column.options;
        let descends = matches!(options.sort, Some(OrderBySort::Desc));
        if options.nulls_first.is_some_and(|first| first != descends) || column.operator_class.is_some() {
            return Err(SqlError::unsupported("NULLS FIRST/LAST and operator classes in an index are not supported"));
        }
        let name = fold(ident);
        let Some(position) = table.column(&name) else {
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")));
        };
        keys.push((position, descends));
    }
    Ok(keys)
}
