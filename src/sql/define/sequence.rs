//! CREATE, ALTER and DROP SEQUENCE; SERIAL and IDENTITY; TRUNCATE … RESTART IDENTITY.
//!
//! What concerns values that were reserved already is a new generation of the sequence: see [`crate::catalog::Sequence`].
//! A sequence that goes with a column is noted there, so that whatever drops the column drops it ([`sweep`]); a default that
//! draws from a sequence names it, and the name is changed with the sequence's ([`rename`]).
//!
//! TRUNCATE … RESTART IDENTITY is a definition: the tables get new, empty trees, and their sequences a new beginning, in one
//! instant of all partitions.

use super::Change;
use super::names::Names;
use crate::catalog::{Catalog, Column, Identity, Sequence, Table};
use crate::sql::bind::{Binder, Named, Statement, qualified_parts, quoted_name, renamed_in, sequences_in, stored_name};
use crate::sql::parse::{self, Options};
use crate::sql::plan::Write;
use crate::types::{DataType, SqlError, SqlState, TableId};
use sqlparser::ast;
use std::collections::BTreeSet;
use std::sync::Arc;

/// 2BP01, dependent_objects_still_exist.
const DEPENDENT_OBJECTS: SqlState = SqlState(*b"2BP01");

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn not_ready(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}

fn range(data_type: DataType) -> (i64, i64) {
    match data_type {
        DataType::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

fn type_of(name: &str) -> Result<DataType, SqlError> {
    match name {
        "smallint" | "int2" => Ok(DataType::Int2),
        "integer" | "int" | "int4" => Ok(DataType::Int4),
        "bigint" | "int8" => Ok(DataType::Int8),
        _ => Err(invalid("sequence type must be smallint, integer, or bigint")),
    }
}

/// A new sequence, `data_type` unless the options name one.
pub(super) fn new(options: &Options, data_type: DataType) -> Result<Sequence, SqlError> {
    let data_type = options.data_type.as_deref().map_or(Ok(data_type), type_of)?;
    let mut sequence = Sequence {
        data_type,
        start: 0,
        increment: 1,
        min: 0,
        max: 0,
        cache: 1,
        cycle: false,
        generation: 0,
        reset: crate::catalog::Reset { generation: 0, value: 0, called: false },
    };
    let bounds = Options {
        min: options.min.or(Some(None)),
        max: options.max.or(Some(None)),
        start: None,
        restart: None,
        ..options.clone()
    };
    change_bounds(&mut sequence, &bounds)?;
    sequence.start = options.start.unwrap_or(if sequence.increment > 0 { sequence.min } else { sequence.max });
    within(&sequence, "START", sequence.start)?;
    sequence.reset(sequence.start, false);
    Ok(sequence)
}

fn change_bounds(sequence: &mut Sequence, options: &Options) -> Result<(), SqlError> {
    if let Some(increment) = options.increment {
        if increment == 0 {
            return Err(invalid("INCREMENT must not be zero"));
        }
        sequence.increment = increment;
    }
    if let Some(cache) = options.cache {
        if cache < 1 {
            return Err(invalid(format!("CACHE ({cache}) must be greater than zero")));
        }
        sequence.cache = cache;
    }
    sequence.cycle = options.cycle.unwrap_or(sequence.cycle);
    let (least, greatest) = range(sequence.data_type);
    let name = sequence.data_type.to_string();
    let ascends = sequence.increment > 0;
    if let Some(min) = options.min {
        sequence.min = min.unwrap_or(if ascends { 1 } else { least });
    }
    if let Some(max) = options.max {
        sequence.max = max.unwrap_or(if ascends { greatest } else { -1 });
    }
    for (what, bound) in [("MAXVALUE", sequence.max), ("MINVALUE", sequence.min)] {
        if !(least..=greatest).contains(&bound) {
            return Err(invalid(format!("{what} ({bound}) is out of range for sequence data type {name}")));
        }
    }
    if sequence.min >= sequence.max {
        let (min, max) = (sequence.min, sequence.max);
        return Err(invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})")));
    }
    Ok(())
}

fn within(sequence: &Sequence, what: &str, value: i64) -> Result<(), SqlError> {
    if value < sequence.min {
        return Err(invalid(format!("{what} value ({value}) cannot be less than MINVALUE ({})", sequence.min)));
    }
    if value > sequence.max {
        return Err(invalid(format!("{what} value ({value}) cannot be greater than MAXVALUE ({})", sequence.max)));
    }
    Ok(())
}

/// ALTER SEQUENCE's options.
fn alter(sequence: &mut Sequence, options: &Options) -> Result<(), SqlError> {
    let before = sequence.clone();
    let mut options = options.clone();
    if let Some(name) = &options.data_type {
        let (old, new) = (range(sequence.data_type), type_of(name)?);
        sequence.data_type = new;
        // Bounds that were the type's are the new one's.
        if options.max.is_none() && sequence.max == old.1 {
            options.max = Some(Some(range(new).1));
        }
        if options.min.is_none() && sequence.min == old.0 {
            options.min = Some(Some(range(new).0));
        }
    }
    change_bounds(sequence, &options)?;
    sequence.start = options.start.unwrap_or(sequence.start);
    within(sequence, "START", sequence.start)?;
    if let Some(restart) = options.restart {
        let value = restart.unwrap_or(sequence.start);
        within(sequence, "RESTART", value)?;
        sequence.reset(value, false);
    }
    if let Some((value, called)) = options.set {
        within(sequence, "SETVAL", value)?;
        sequence.reset(value, called);
    }
    let values = |of: &Sequence| (of.increment, of.min, of.max, of.cycle, of.data_type);
    if sequence.generation == before.generation && values(sequence) != values(&before) {
        sequence.generation += 1;
    }
    Ok(())
}

/// CREATE SEQUENCE and its kin.
pub(super) fn define(change: &mut Change<'_>, statement: &parse::Sequence) -> Result<&'static str, SqlError> {
    match statement {
        parse::Sequence::Create { if_not_exists, name, options } => create(change, *if_not_exists, name, options),
        parse::Sequence::Alter { if_exists, name, options } => {
            let Some(found) = change.find_sequence(name, *if_exists)? else { return Ok("ALTER SEQUENCE") };
            let mut table = Table::clone(&found);
            if let Some(sequence) = &mut table.sequence {
                alter(sequence, options)?;
            }
            change.replace(table);
            if let Some(owner) = &options.owned_by {
                own(change, &found, owner.as_deref())?;
            }
            Ok("ALTER SEQUENCE")
        }
        parse::Sequence::Rename { if_exists, name, to } => {
            if let Some(found) = change.find_sequence(name, *if_exists)? {
                rename(change, &found, to)?;
            }
            Ok("ALTER SEQUENCE")
        }
        parse::Sequence::Column { if_exists, table, column, identity } => {
            identity_of(change, *if_exists, table, column, identity)?;
            Ok("ALTER TABLE")
        }
    }
}

fn create(
    change: &mut Change<'_>,
    if_not_exists: bool,
    name: &[String],
    options: &Options,
) -> Result<&'static str, SqlError> {
    let (schema, name) = qualified_parts(&change.catalog, change.settings, name)?;
    let schema = change.schema_for(schema)?;
    if change.catalog.has_relation(&schema, &name) {
        let message = format!("relation \"{name}\" already exists");
        if !if_not_exists {
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
        }
        change.notice(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
        return Ok("CREATE SEQUENCE");
    }
    let table = add(change, new(options, DataType::Int8)?, schema, name);
    if let Some(Some(owner)) = &options.owned_by {
        own(change, &table, Some(owner))?;
    }
    Ok("CREATE SEQUENCE")
}

/// Puts a new sequence into the catalog.
pub(super) fn add(change: &mut Change<'_>, sequence: Sequence, schema: String, name: String) -> Arc<Table> {
    let id = TableId(change.catalog.next_table);
    change.catalog.next_table += 1;
    let table = sequence.relation(id, change.tree(), schema, name);
    change.replace(table.clone());
    Arc::new(table)
}

impl Change<'_> {
    /// The sequence of a name; `None`: it is not there, and need not be.
    fn find_sequence(&mut self, parts: &[String], if_exists: bool) -> Result<Option<Arc<Table>>, SqlError> {
        let (schema, name) = qualified_parts(&self.catalog, self.settings, parts)?;
        match self.catalog.find_table(schema.as_deref(), &name, &self.settings.search_path) {
            Some(found) if found.is_sequence() => Ok(Some(Arc::clone(found))),
            Some(_) => Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a sequence"))),
            None => {
                let message = format!("relation \"{name}\" does not exist");
                if !if_exists {
                    return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                }
                self.notice(SqlState(*b"00000"), format!("{message}, skipping"));
                Ok(None)
            }
        }
    }

    /// DROP SEQUENCE.
    pub(super) fn drop_sequence(
        &mut self,
        name: &ast::ObjectName,
        _: bool,
    ) -> Result<Option<(SqlState, String)>, SqlError> {
        let (schema, name) = self.qualified(name)?;
        let Some(found) = self.catalog.find_table(schema.as_deref(), &name, &self.settings.search_path).cloned() else {
            return Ok(Some((SqlState::UNDEFINED_TABLE, format!("sequence \"{name}\" does not exist"))));
        };
        if !found.is_sequence() {
            let message = format!("\"{name}\" is not a sequence");
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        if let Some((table, column)) = identity_column(&self.catalog, found.id) {
            let what = format!("column {} of table {}", column.name, table.name);
            let message = format!("cannot drop sequence {name} because {what} requires it");
            return Err(SqlError::new(DEPENDENT_OBJECTS, message).hint(format!("You can drop {what} instead.")));
        }
        self.catalog.tables.remove(&(found.schema.clone(), found.name.clone()));
        Ok(None)
    }

    /// Changes a column of a table.
    fn with_column(&mut self, table: TableId, name: &str, edit: impl FnOnce(&mut Column)) {
        let Some(found) = self.catalog.table_by_id(table) else { return };
        let mut table = Table::clone(found);
        if let Some(column) = table.columns.iter_mut().find(|column| column.name == name) {
            edit(column);
        }
        self.replace(table);
    }
}

fn identity_column(catalog: &Catalog, sequence: TableId) -> Option<(&Arc<Table>, &Column)> {
    catalog.tables.values().find_map(|table| {
        let is = |column: &&Column| column.sequences.identity.is_some_and(|identity| identity.sequence == sequence);
        Some((table, table.columns.iter().find(is)?))
    })
}

/// OWNED BY; `None`: NONE.
fn own(change: &mut Change<'_>, sequence: &Table, owner: Option<&[String]>) -> Result<(), SqlError> {
    if identity_column(&change.catalog, sequence.id).is_some() {
        return Err(SqlError::unsupported("cannot change ownership of identity sequence"));
    }
    let owner = match owner {
        None => None,
        Some([table @ .., column]) if !table.is_empty() => {
            let found = crate::sql::bind::find_by_parts(&change.catalog, table, change.settings)?;
            if found.schema != sequence.schema {
                return Err(not_ready("sequence must be in same schema as table it is linked to"));
            }
            if found.column(column).is_none() {
                let message = format!("column \"{column}\" of relation \"{}\" does not exist", found.name);
                return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
            }
            Some((found.id, column.clone()))
        }
        Some(_) => {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                .hint("Specify OWNED BY table.column or OWNED BY NONE."));
        }
    };
    let before = change.catalog.owner_of(sequence.id).map(|(table, column)| (table.id, column.name.clone()));
    if let Some((table, column)) = before {
        change.with_column(table, &column, |column| column.sequences.owned.retain(|owned| *owned != sequence.id));
    }
    match owner {
        Some((table, column)) => change.with_column(table, &column, |column| column.sequences.owned.push(sequence.id)),
        None => change.disowned.push(sequence.id),
    }
    Ok(())
}

/// ALTER SEQUENCE … RENAME: defaults that draw from it follow.
fn rename(change: &mut Change<'_>, sequence: &Table, to: &str) -> Result<(), SqlError> {
    if change.catalog.has_relation(&sequence.schema, to) {
        return Err(SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{to}\" already exists")));
    }
    let renamed = Table { name: to.to_owned(), ..sequence.clone() };
    let new = stored_name(&renamed);
    // Defaults are read while the sequence still has the name that stands there.
    for table in drawing_from(&change.catalog, &change.catalog, sequence.id) {
        let mut table = Table::clone(&table);
        for default in table.columns.iter_mut().filter_map(|column| column.default.as_mut()) {
            let named = uses(&change.catalog, default, sequence.id);
            let literals = named.into_iter().filter_map(|named| Some((named.literal?, new.clone())));
            *default = renamed_in(default, literals.collect());
        }
        change.replace(table);
    }
    change.catalog.tables.remove(&(sequence.schema.clone(), sequence.name.clone()));
    change.replace(renamed);
    Ok(())
}

/// Where a default names a sequence of the catalog. One that cannot be read names none: it cannot be executed either.
fn uses(catalog: &Catalog, default: &str, sequence: TableId) -> Vec<Named> {
    let mut named = sequences_in(catalog, default).unwrap_or_default();
    named.retain(|named| named.sequence == sequence);
    named
}

/// Tables that have defaults which draw from a sequence, read in a catalog that has it.
fn drawing_from(tables: &Catalog, catalog: &Catalog, sequence: TableId) -> Vec<Arc<Table>> {
    let draws =
        |column: &Column| column.default.as_deref().is_some_and(|default| !uses(catalog, default, sequence).is_empty());
    tables.tables.values().filter(|table| table.columns.iter().any(draws)).cloned().collect()
}

/// The default of a column that is SERIAL.
pub(super) fn serial_default(schema: &str, name: &str) -> String {
    let name = quoted_name(name);
    let name = if schema == "public" { name } else { format!("{}.{name}", quoted_name(schema)) };
    format!("nextval('{}'::regclass)", name.replace('\'', "''"))
}

fn identity_of(
    change: &mut Change<'_>,
    if_exists: bool,
    table: &[String],
    column: &str,
    identity: &parse::Identity,
) -> Result<(), SqlError> {
    let found = match crate::sql::bind::find_by_parts(&change.catalog, table, change.settings) {
        Ok(found) => Arc::clone(found),
        Err(error) if if_exists && error.state == SqlState::UNDEFINED_TABLE => {
            change.notice(SqlState(*b"00000"), format!("{}, skipping", error.message));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let name = &found.name;
    let Some(definition) = found.columns.iter().find(|known| known.name == column) else {
        let message = format!("column \"{column}\" of relation \"{name}\" does not exist");
        return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
    };
    let now = definition.sequences.identity;
    match (identity, now) {
        (parse::Identity::Add { .. }, Some(_)) => {
            Err(not_ready(format!("column \"{column}\" of relation \"{name}\" is already an identity column")))
        }
        (parse::Identity::Add { .. }, None) if !definition.not_null => Err(not_ready(format!(
            "column \"{column}\" of relation \"{name}\" must be declared NOT NULL before identity can be added"
        ))),
        (parse::Identity::Add { .. }, None) if definition.default.is_some() => {
            Err(not_ready(format!("column \"{column}\" of relation \"{name}\" already has a default value")))
        }
        (parse::Identity::Add { always, options }, None) => {
            let sequence = new(options, identity_type(definition.data_type)?)?;
            let mut names = Names { catalog: &change.catalog, schema: &found.schema, given: Vec::new() };
            let chosen = names.choose(name, column, "seq");
            let sequence = add(change, sequence, found.schema.clone(), chosen).id;
            change.with_column(found.id, column, |column| {
                column.sequences.identity = Some(Identity { always: *always, sequence });
                column.sequences.owned.push(sequence);
            });
            Ok(())
        }
        (parse::Identity::Set { always, options }, Some(now)) => {
            if let Some(mut table) = change.catalog.table_by_id(now.sequence).map(|table| Table::clone(table)) {
                if let Some(sequence) = &mut table.sequence {
                    alter(sequence, options)?;
                }
                change.replace(table);
            }
            change.with_column(found.id, column, |column| {
                column.sequences.identity = Some(Identity { always: always.unwrap_or(now.always), ..now });
            });
            Ok(())
        }
        (parse::Identity::Drop { .. }, Some(now)) => {
            change.with_column(found.id, column, |column| {
                column.sequences.identity = None;
                column.sequences.owned.retain(|owned| *owned != now.sequence);
            });
            Ok(())
        }
        (parse::Identity::Drop { if_exists: true }, None) => {
            let message = format!("column \"{column}\" of relation \"{name}\" is not an identity column, skipping");
            change.notice(SqlState(*b"00000"), message);
            Ok(())
        }
        (parse::Identity::Set { .. } | parse::Identity::Drop { .. }, None) => {
            Err(not_ready(format!("column \"{column}\" of relation \"{name}\" is not an identity column")))
        }
    }
}

/// The column of an identity changes its type: so does the sequence behind it.
pub(super) fn retype_identity(change: &mut Change<'_>, sequence: TableId, to: DataType) -> Result<(), SqlError> {
    let options = Options { data_type: Some(identity_type(to)?.to_string()), ..Options::default() };
    let Some(mut table) = change.catalog.table_by_id(sequence).map(|table| Table::clone(table)) else { return Ok(()) };
    if let Some(sequence) = &mut table.sequence {
        alter(sequence, &options)?;
    }
    change.replace(table);
    Ok(())
}

/// The type of the sequence behind an identity column.
pub(super) fn identity_type(data_type: DataType) -> Result<DataType, SqlError> {
    match data_type {
        DataType::Int2 | DataType::Int4 | DataType::Int8 => Ok(data_type),
        _ => Err(invalid("identity column type must be smallint, integer, or bigint")),
    }
}

/// The options that stand in CREATE TABLE.
pub(super) fn options_of(options: &[ast::SequenceOptions]) -> Result<Options, SqlError> {
    use ast::SequenceOptions as Told;
    let number = |expr: &ast::Expr| {
        let text = expr.to_string().replace(' ', "");
        text.parse::<i64>()
            .map_err(|_| SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{text}\"")))
    };
    let bound = |expr: &Option<ast::Expr>| expr.as_ref().map(number).transpose();
    let mut found = Options::default();
    for option in options {
        match option {
            Told::IncrementBy(expr, _) => found.increment = Some(number(expr)?),
            Told::MinValue(expr) => found.min = Some(bound(expr)?),
            Told::MaxValue(expr) => found.max = Some(bound(expr)?),
            Told::StartWith(expr, _) => found.start = Some(number(expr)?),
            Told::Cache(expr) => found.cache = Some(number(expr)?),
            // `sqlparser` has it the wrong way round: true is NO CYCLE.
            Told::Cycle(no) => found.cycle = Some(!no),
        }
    }
    Ok(found)
}

/// TRUNCATE … RESTART IDENTITY.
pub(super) fn truncate(change: &mut Change<'_>, truncate: &ast::Truncate) -> Result<&'static str, SqlError> {
    for id in emptied(change, truncate)? {
        let Some(found) = change.catalog.table_by_id(id) else { continue };
        let mut table = Table::clone(found);
        if table.indexes.iter().any(|index| index.state.is_building()) {
            let message = format!("cannot truncate \"{}\" because one of its indexes is being built", table.name);
            return Err(SqlError::new(SqlState(*b"55006"), message));
        }
        table.tree = change.tree();
        for index in &mut table.indexes {
            index.tree = change.tree();
            index.global = index.global.map(|_| change.tree());
        }
        let owned: Vec<TableId> = table.columns.iter().flat_map(|column| column.sequences.owned.clone()).collect();
        change.replace(table);
        for sequence in owned {
            let Some(mut table) = change.catalog.table_by_id(sequence).map(|table| Table::clone(table)) else {
                continue;
            };
            if let Some(sequence) = &mut table.sequence {
                sequence.reset(sequence.start, false);
            }
            change.replace(table);
        }
    }
    Ok("TRUNCATE TABLE")
}

/// The tables that a TRUNCATE empties, those that reference them among them where it cascades.
fn emptied(change: &Change<'_>, truncate: &ast::Truncate) -> Result<Vec<TableId>, SqlError> {
    match Binder::new(&change.catalog, change.settings, change.text, &[]).truncate(truncate)? {
        Statement::Write { write: Write::Truncate(tables), .. } => Ok(tables.iter().map(|table| table.id).collect()),
        _ => Err(SqlError::new(SqlState::INTERNAL_ERROR, "a TRUNCATE is bound as one")),
    }
}

/// After a change: sequences go whose column is gone, and defaults may not draw from what is gone.
pub(super) fn sweep(change: &mut Change<'_>, before: &Catalog) -> Result<(), SqlError> {
    let owned = |catalog: &Catalog| -> BTreeSet<TableId> {
        let columns = catalog.tables.values().flat_map(|table| &table.columns);
        columns.flat_map(|column| column.sequences.owned.iter().copied()).collect()
    };
    let now = owned(&change.catalog);
    let orphans: Vec<TableId> = owned(before)
        .into_iter()
        .filter(|sequence| !now.contains(sequence) && !change.disowned.contains(sequence))
        .collect();
    // Defaults are read in a catalog that has what is gone beside what is new.
    let mut all = change.catalog.clone();
    for (table, _) in before.sequences().filter(|(table, _)| change.catalog.table_by_id(table.id).is_none()) {
        all.tables.entry((table.schema.clone(), table.name.clone())).or_insert_with(|| Arc::clone(table));
    }
    change.catalog.tables.retain(|_, table| !(table.is_sequence() && orphans.contains(&table.id)));
    let gone = before.sequences().filter(|(table, _)| change.catalog.table_by_id(table.id).is_none());
    let gone: Vec<(TableId, String)> = gone.map(|(table, _)| (table.id, table.name.clone())).collect();
    for (sequence, name) in gone {
        for table in drawing_from(&change.catalog, &all, sequence) {
            let mut table = Table::clone(&table);
            let draws = |column: &&mut Column| {
                column.default.as_deref().is_some_and(|default| !uses(&all, default, sequence).is_empty())
            };
            for column in table.columns.iter_mut().filter(draws) {
                if !change.cascades {
                    let message = format!("cannot drop sequence {name} because other objects depend on it");
                    let (column, table) = (&column.name, &table.name);
                    return Err(SqlError::new(DEPENDENT_OBJECTS, message)
                        .detail(format!(
                            "default value for column {column} of table {table} depends on sequence {name}"
                        ))
                        .hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                column.default = None;
            }
            change.replace(table);
        }
    }
    Ok(())
}
