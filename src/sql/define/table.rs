//! CREATE TABLE.

use super::Change;
use super::foreign;
use super::index::joined_columns;
use super::names::Names;
use super::{placement, sequence};
use crate::catalog::{Catalog, Check, Column, Identity, Index, IndexState, Sequence, Table};
use crate::sql::bind::{self, data_type_in, fold};
use crate::sql::parse::{Options, character_position};
use crate::sql::settings::Settings;
use crate::types::{DataType, SqlError, SqlState, TableId, TreeId};
use sqlparser::ast::{self, CheckConstraint, ColumnOption, Ident, TableConstraint};

/// A table being put together.
struct Draft<'a> {
    table: Table,
    names: Names<'a>,
    text: &'a str,
    next_tree: u32,
    /// Explicit name and columns of what PRIMARY KEY and UNIQUE ask for, resolved when all columns are known.
    keys: Vec<Key>,
    checks: Vec<(Option<String>, ast::Expr)>,
    /// Each with the column behind which it stands.
    foreign: Vec<(ast::ForeignKeyConstraint, Option<Ident>)>,
    sequences: Vec<Wanted>,
}

/// The sequence of a SERIAL or IDENTITY column.
pub(super) struct Wanted {
    column: usize,
    name: String,
    /// GENERATED, and whether ALWAYS; `None`: SERIAL.
    identity: Option<bool>,
    sequence: Sequence,
}

impl Wanted {
    /// Puts it into the catalog, for its column.
    pub(super) fn add(self, change: &mut Change<'_>, schema: &str, column: &mut Column) {
        let id = sequence::add(change, self.sequence, schema.to_owned(), self.name).id;
        column.sequences.identity = self.identity.map(|always| Identity { always, sequence: id });
        column.sequences.owned.push(id);
    }
}

struct Key {
    name: Option<String>,
    primary: bool,
    columns: Vec<Ident>,
}

pub(super) fn create(change: &mut Change<'_>, create: &ast::CreateTable) -> Result<&'static str, SqlError> {
    refuse_what_is_missing(create)?;
    let options = placement::options(&create.table_options)?;
    let (schema, name) = change.qualified(&create.name)?;
    let schema = change.schema_for(schema)?;
    if change.catalog.has_relation(&schema, &name) {
        let message = format!("relation \"{name}\" already exists");
        if !create.if_not_exists {
            return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
        }
        change.notice(SqlState::DUPLICATE_TABLE, format!("{message}, skipping"));
        return Ok("CREATE TABLE");
    }
    let mut draft = Draft::new(&change.catalog, &schema, name, change.text);
    for column in &create.columns {
        draft.column(column)?;
    }
    for constraint in &create.constraints {
        draft.constraint(constraint)?;
    }
    draft.resolve_keys()?;
    draft.resolve_checks()?;
    draft.resolve_defaults(change.settings)?;
    let Draft { mut table, next_tree, foreign, sequences, .. } = draft;
    let text = change.text;
    let at = |ident: &Ident, error: SqlError| error.at(character_position(text, ident.span.start));
    placement::place(&mut table, create.partition_by.as_deref(), &options, &at)?;
    table.replication = options.replication.over(table.replication);
    change.check_replication(table.replication)?;
    change.catalog.next_tree = next_tree;
    placement::own_keys(change, &mut table, false);
    placement::check_keys(&table, change.partitions)?;
    for (told, column) in foreign {
        let key = foreign::resolve(&change.catalog, change.settings, &table, &told, column.as_slice())?;
        table.foreign_keys.push(key);
    }
    change.catalog.next_table += 1;
    for wanted in sequences {
        let column = wanted.column;
        wanted.add(change, &table.schema, &mut table.columns[column]);
    }
    change.replace(table);
    Ok("CREATE TABLE")
}

fn refuse_what_is_missing(create: &ast::CreateTable) -> Result<(), SqlError> {
    let missing = if create.temporary {
        "CREATE TEMPORARY TABLE"
    } else if create.query.is_some() {
        "CREATE TABLE AS"
    } else if create.like.is_some() {
        "CREATE TABLE LIKE"
    } else if create.inherits.is_some() {
        "INHERITS"
    } else if create.partition_of.is_some() {
        return Err(SqlError::unsupported("PARTITION OF is not supported")
            .hint("PARTITION BY places rows; the partitions themselves are made by the cluster."));
    } else {
        return Ok(());
    };
    Err(SqlError::unsupported(format!("{missing} is not supported")))
}

impl<'a> Draft<'a> {
    fn new(catalog: &'a Catalog, schema: &'a str, name: String, text: &'a str) -> Self {
        let (id, tree) = (TableId(catalog.next_table), TreeId(catalog.next_tree));
        let table = Table::new(id, tree, schema, name.clone());
        let names = Names { catalog, schema, given: vec![name] };
        Draft {
            table,
            names,
            text,
            next_tree: catalog.next_tree + 1,
            keys: Vec::new(),
            checks: Vec::new(),
            foreign: Vec::new(),
            sequences: Vec::new(),
        }
    }

    fn at(&self, ident: &Ident, error: SqlError) -> SqlError {
        error.at(character_position(self.text, ident.span.start))
    }

    fn column(&mut self, definition: &ast::ColumnDef) -> Result<(), SqlError> {
        let name = fold(&definition.name);
        if self.table.column(&name).is_some() {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let serial = serial(&definition.data_type);
        let data_type = serial.map_or_else(|| data_type_in(&definition.data_type, self.text), Ok)?;
        let (mut not_null, mut null, mut default) = (serial.is_some(), false, None);
        if serial.is_some() {
            let sequence = self.wants(&name, None, sequence::new(&Options::default(), data_type)?);
            default = Some(sequence::serial_default(&self.table.schema, &sequence));
        }
        let mut identity = false;
        for option in &definition.options {
            let constraint = option.name.as_ref().map(fold);
            match &option.option {
                ColumnOption::Null => null = true,
                ColumnOption::NotNull => not_null = true,
                ColumnOption::Default(expression) if default.is_none() => default = Some(expression.to_string()),
                ColumnOption::Default(_) => {
                    let (table, state) = (&self.table.name, SqlState::SYNTAX_ERROR);
                    let message =
                        format!("multiple default values specified for column \"{name}\" of table \"{table}\"");
                    return Err(SqlError::new(state, message));
                }
                ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => {
                    let primary = matches!(option.option, ColumnOption::PrimaryKey(_));
                    match &option.option {
                        ColumnOption::PrimaryKey(key) => foreign::refuse_deferrable(key.characteristics.as_ref())?,
                        ColumnOption::Unique(key) => foreign::refuse_unique(key)?,
                        _ => {}
                    }
                    self.keys.push(Key { name: constraint, primary, columns: vec![definition.name.clone()] });
                }
                ColumnOption::ForeignKey(key) => {
                    let mut key = key.clone();
                    key.name = option.name.clone().or(key.name);
                    self.foreign.push((key, Some(definition.name.clone())));
                }
                ColumnOption::Check(check) => {
                    refuse_unenforced(check)?;
                    self.checks.push((constraint, check.expr.as_ref().clone()));
                }
                ColumnOption::Generated { generated_as, sequence_options, generation_expr: None, .. } => {
                    if identity || default.is_some() {
                        let what = if identity {
                            "multiple identity specifications"
                        } else {
                            "both default and identity specified"
                        };
                        let message = format!("{what} for column \"{name}\" of table \"{}\"", self.table.name);
                        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                    }
                    let options = sequence::options_of(sequence_options.as_deref().unwrap_or_default())?;
                    let sequence = sequence::new(&options, sequence::identity_type(data_type)?)?;
                    self.wants(&name, Some(*generated_as == ast::GeneratedAs::Always), sequence);
                    (identity, not_null) = (true, true);
                }
                other => return Err(refused_option(other)),
            }
        }
        if identity && default.is_some() {
            let table = &self.table.name;
            let message = format!("both default and identity specified for column \"{name}\" of table \"{table}\"");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        if null && not_null {
            let (table, state) = (&self.table.name, SqlState::SYNTAX_ERROR);
            let message = format!("conflicting NULL/NOT NULL declarations for column \"{name}\" of table \"{table}\"");
            return Err(SqlError::new(state, message));
        }
        self.table.columns.push(Column { not_null, default, ..Column::new(name, data_type) });
        Ok(())
    }

    /// The next column gets a sequence; returns its name.
    fn wants(&mut self, column: &str, identity: Option<bool>, sequence: Sequence) -> String {
        let table = self.table.name.clone();
        let name = self.names.choose(&table, column, "seq");
        let column = self.table.columns.len();
        self.sequences.push(Wanted { column, name: name.clone(), identity, sequence });
        name
    }

    fn constraint(&mut self, constraint: &TableConstraint) -> Result<(), SqlError> {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                foreign::refuse_deferrable(key.characteristics.as_ref())?;
                let columns = plain_columns(&key.columns)?;
                self.keys.push(Key { name: key.name.as_ref().map(fold), primary: true, columns });
            }
            TableConstraint::Unique(key) => {
                foreign::refuse_unique(key)?;
                let columns = plain_columns(&key.columns)?;
                self.keys.push(Key { name: key.name.as_ref().map(fold), primary: false, columns });
            }
            TableConstraint::Check(check) => {
                refuse_unenforced(check)?;
                self.checks.push((check.name.as_ref().map(fold), check.expr.as_ref().clone()));
            }
            TableConstraint::ForeignKey(key) => self.foreign.push((key.clone(), None)),
            other => return Err(SqlError::unsupported(format!("constraint {other} is not supported"))),
        }
        Ok(())
    }

    fn resolve_keys(&mut self) -> Result<(), SqlError> {
        // PostgreSQL makes the primary key first, whatever the order of writing.
        let mut keys = std::mem::take(&mut self.keys);
        keys.sort_by_key(|key| !key.primary);
        for key in keys {
            let mut positions = Vec::with_capacity(key.columns.len());
            for ident in &key.columns {
                let name = fold(ident);
                let position = self.table.column(&name).ok_or_else(|| {
                    let message = format!("column \"{name}\" named in key does not exist");
                    self.at(ident, SqlError::new(SqlState::UNDEFINED_COLUMN, message))
                })?;
                if positions.contains(&position) {
                    let what = if key.primary { "primary key" } else { "unique" };
                    let message = format!("column \"{name}\" appears twice in {what} constraint");
                    return Err(self.at(ident, SqlError::new(SqlState::DUPLICATE_COLUMN, message)));
                }
                positions.push(position);
            }
            self.add_key(key, positions)?;
        }
        Ok(())
    }

    fn add_key(&mut self, key: Key, positions: Vec<usize>) -> Result<(), SqlError> {
        let table = self.table.name.clone();
        let columns: Vec<_> = positions.iter().map(|column| self.table.columns[*column].name.as_str()).collect();
        let columns = joined_columns(&columns);
        let name = match key.name {
            Some(name) if !self.names.is_free(&name) => {
                let message = format!("relation \"{name}\" already exists");
                return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
            }
            Some(name) => {
                self.names.given.push(name.clone());
                name
            }
            None if key.primary => self.names.choose(&table, "", "pkey"),
            None => self.names.choose(&table, &columns, "key"),
        };
        if key.primary {
            if self.table.primary_key_name.is_some() {
                let message = format!("multiple primary keys for table \"{table}\" are not allowed");
                return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
            }
            for column in &positions {
                self.table.columns[*column].not_null = true;
            }
            self.table.primary_key = positions;
            self.table.primary_key_name = Some(name);
            return Ok(());
        }
        let tree = TreeId(self.next_tree);
        self.next_tree += 1;
        let columns = positions.into_iter().map(|column| (column, false)).collect();
        // The table is empty: there is nothing to prove.
        let state = IndexState::Active;
        self.table.indexes.push(Index { name, columns, unique: true, constraint: true, tree, state, global: None });
        Ok(())
    }

    fn resolve_checks(&mut self) -> Result<(), SqlError> {
        let mut given: Vec<String> = self.checks.iter().filter_map(|(name, _)| name.clone()).collect();
        for (name, expression) in std::mem::take(&mut self.checks) {
            let used = bind::check_condition(&self.table, &expression, self.text)?;
            let name = name.unwrap_or_else(|| check_name(&self.table, &used, &|name| given.iter().any(|g| g == name)));
            if self.table.checks.iter().any(|check| check.name == name) {
                let message = format!("check constraint \"{name}\" already exists");
                return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
            }
            given.push(name.clone());
            self.table.checks.push(Check { name, expression: expression.to_string(), valid: true });
        }
        self.table.checks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    fn resolve_defaults(&mut self, settings: &Settings) -> Result<(), SqlError> {
        let catalog = self.names.catalog;
        for (place, column) in self.table.columns.iter_mut().enumerate() {
            // A serial's is made here, for a sequence that is not there yet.
            if let Some(default) = &column.default
                && !self.sequences.iter().any(|sequence| sequence.column == place)
            {
                column.default = Some(bind::check_default(catalog, settings, column, default)?);
            }
        }
        Ok(())
    }
}

/// The name of a CHECK that was given none: after its column, if it has only one.
pub(super) fn check_name(table: &Table, used: &[usize], taken: &dyn Fn(&str) -> bool) -> String {
    let only = match used {
        [one] => table.columns[*one].name.as_str(),
        _ => "",
    };
    (0_u32..)
        .map(|number| {
            let label = if number == 0 { "check".to_owned() } else { format!("check{number}") };
            super::names::joined(&table.name, only, &label)
        })
        .find(|name| !taken(name))
        .expect("there are more numbers than constraints")
}

/// A column as ADD COLUMN defines it, put at the end of a table, with the keys and conditions that come with it.
pub(super) struct Added {
    pub(super) column: Column,
    pub(super) keys: Vec<(Option<String>, bool)>,
    pub(super) checks: Vec<(Option<String>, ast::Expr)>,
    pub(super) foreign: Vec<ast::ForeignKeyConstraint>,
    /// Of a SERIAL or IDENTITY column.
    pub(super) sequence: Option<Wanted>,
}

/// Reads the definition of a column that is added to a table.
pub(super) fn added(
    catalog: &Catalog,
    table: &Table,
    definition: &ast::ColumnDef,
    text: &str,
) -> Result<Added, SqlError> {
    let mut draft = Draft::new(catalog, &table.schema, table.name.clone(), text);
    draft.table = table.clone();
    draft.column(definition)?;
    let sequence = draft.sequences.pop();
    let column = draft.table.columns.pop().expect("a definition that was read has added its column");
    let keys = draft.keys.into_iter().map(|key| (key.name, key.primary)).collect();
    let foreign = draft.foreign.into_iter().map(|(key, _)| key).collect();
    Ok(Added { column, keys, checks: draft.checks, foreign, sequence })
}

/// The integer type behind `serial` and its kin.
fn serial(data_type: &ast::DataType) -> Option<DataType> {
    let ast::DataType::Custom(name, modifiers) = data_type else { return None };
    if !modifiers.is_empty() {
        return None;
    }
    match bind::name_parts(name).ok()?.as_slice() {
        [name] => match name.as_str() {
            "serial" | "serial4" => Some(DataType::Int4),
            "bigserial" | "serial8" => Some(DataType::Int8),
            "smallserial" | "serial2" => Some(DataType::Int2),
            _ => None,
        },
        _ => None,
    }
}

/// A CHECK is enforced or refused.
pub(super) fn refuse_unenforced(check: &CheckConstraint) -> Result<(), SqlError> {
    match check.enforced {
        Some(false) => Err(SqlError::unsupported("NOT ENFORCED is not supported")),
        Some(true) | None => Ok(()),
    }
}

pub(super) fn plain_columns(columns: &[ast::IndexColumn]) -> Result<Vec<Ident>, SqlError> {
    columns
        .iter()
        .map(|column| match &column.column.expr {
            ast::Expr::Identifier(ident) => Ok(ident.clone()),
            other => Err(SqlError::unsupported(format!("a key on the expression {other} is not supported"))),
        })
        .collect()
}

fn refused_option(option: &ColumnOption) -> SqlError {
    match option {
        ColumnOption::Identity(_) => SqlError::unsupported("this form of identity is not supported")
            .hint("Write GENERATED ALWAYS AS IDENTITY or GENERATED BY DEFAULT AS IDENTITY."),
        ColumnOption::Generated { .. } => SqlError::unsupported("generated columns are not supported")
            .hint("Compute the expression in the queries that need it."),
        ColumnOption::Collation(_) => {
            SqlError::unsupported("COLLATE is not supported").hint("The only collation is \"C\".")
        }
        other => SqlError::unsupported(format!("column option {other} is not supported")),
    }
}
