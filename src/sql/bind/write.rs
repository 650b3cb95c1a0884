//! INSERT, UPDATE, DELETE, TRUNCATE.

use super::query::BoundColumn;
use super::scope::{Scope, ScopeColumn};
use super::{Aggregates, Binder, Statement, Typed, find_table, fold};
use crate::catalog::{Column, Table};
use crate::sql::distribute::is_same;
use crate::sql::expr::Expr;
use crate::sql::integrity::is_watched;
use crate::sql::parse::Overriding;
use crate::sql::plan::{
    Access, Conflict, ConflictKey, Delete, Insert, JoinKind, Node, Rows, Scan, Target, Update, Write,
};
use crate::sql::prepared::OutputColumn;
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::ast::{self, Spanned, TableFactor, UpdateTableFromKind};
use std::sync::Arc;

/// 428C9, generated_always.
const GENERATED_ALWAYS: SqlState = SqlState(*b"428C9");

impl Binder<'_> {
    pub(super) fn target(
        &mut self,
        table: &Arc<Table>,
        returning: Option<&[ast::SelectItem]>,
        scope: Scope,
    ) -> Result<(Target, Vec<OutputColumn>), SqlError> {
        let (returning, columns) = match returning {
            None => (None, Vec::new()),
            Some(items) => {
                let (expressions, columns) = self.of_own_rows(|binder| binder.returning(items, scope))?;
                (Some(expressions), output_columns(&columns))
            }
        };
        let mut checks = Vec::with_capacity(table.checks.len());
        for check in &table.checks {
            checks.push((check.name.clone(), super::compile_check(self.settings, table, &check.expression)?));
        }
        let watched = is_watched(self.catalog, table);
        Ok((Target { table: table.clone(), checks, watched, returning }, columns))
    }

    /// A table that is written because another one is.
    pub(in crate::sql) fn written(&mut self, table: &Arc<Table>) -> Result<Target, SqlError> {
        Ok(self.target(table, None, Scope::of_table(table, &table.name))?.0)
    }

    pub(super) fn insert(&mut self, insert: &ast::Insert) -> Result<Statement, SqlError> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a function or query is not supported"));
        };
        let table = find_table(self.catalog, name, self.settings).map_err(|error| self.at(name.span(), error))?.clone();
        let columns = self.insert_columns(&table, &insert.columns)?;
        let source = match &insert.source {
            None => {
                let mut row = self.defaults(&table)?;
                row.iter_mut().for_each(|value| self.place(value));
                Node::Values(vec![row])
            }
            Some(query) => match query.body.as_ref() {
                ast::SetExpr::Values(values)
                    if query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() =>
                {
                    self.insert_values(&table, &columns, !insert.columns.is_empty(), values)?
                }
                _ => self.insert_query(&table, &columns, !insert.columns.is_empty(), query)?,
            },
        };
        let alias = insert.table_alias.as_ref().map_or_else(|| table.name.clone(), |alias| fold(&alias.alias));
        let conflict = match &insert.on {
            None => None,
            Some(ast::OnInsert::OnConflict(conflict)) => Some(self.conflict(&table, &alias, conflict, &source)?),
            Some(_) => return Err(SqlError::unsupported("ON DUPLICATE KEY is not supported").hint("Use ON CONFLICT.")),
        };
        let (target, columns) = self.target(&table, insert.returning.as_deref(), Scope::of_table(&table, &alias))?;
        let keys = partition_keys(&table, &source);
        let write = Write::Insert(Box::new(Insert { target, source, conflict, keys }));
        Ok(Statement::Write { write, columns, tag: "INSERT" })
    }

    fn insert_columns(&self, table: &Table, names: &[ast::ObjectName]) -> Result<Vec<usize>, SqlError> {
        if names.is_empty() {
            return Ok(table.live_columns().map(|(place, _)| place).collect());
        }
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let column = self.target_column(table, name)?;
            if columns.contains(&column) {
                let message = format!("column \"{}\" specified more than once", table.columns[column].name);
                return self.error(name.span(), SqlState::DUPLICATE_COLUMN, message);
            }
            columns.push(column);
        }
        Ok(columns)
    }

    fn target_column(&self, table: &Table, name: &ast::ObjectName) -> Result<usize, SqlError> {
        let column = super::name_parts(name)?.pop().unwrap_or_default();
        table.column(&column).ok_or_else(|| {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
            self.at(name.span(), SqlError::new(SqlState::UNDEFINED_COLUMN, message))
        })
    }

    pub(in crate::sql) fn defaults(&mut self, table: &Table) -> Result<Vec<Expr>, SqlError> {
        table.columns.iter().map(|column| self.default_of(column)).collect()
    }

    /// May INSERT give this column a value? `false`: what is given is passed over, for the sequence's.
    fn may_be_given(&self, column: &Column, span: sqlparser::tokenizer::Span) -> Result<bool, SqlError> {
        let Some(identity) = column.sequences.identity else { return Ok(true) };
        match self.overriding {
            Some(Overriding::System) => Ok(true),
            Some(Overriding::User) => Ok(false),
            None if !identity.always => Ok(true),
            None => {
                let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
                let error = SqlError::new(GENERATED_ALWAYS, message)
                    .detail(format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name))
                    .hint("Use OVERRIDING SYSTEM VALUE to override.");
                Err(self.at(span, error))
            }
        }
    }

    fn check_width(
        &self,
        given: usize,
        columns: usize,
        listed: bool,
        span: sqlparser::tokenizer::Span,
    ) -> Result<(), SqlError> {
        if given > columns {
            return self.error(span, SqlState::SYNTAX_ERROR, "INSERT has more expressions than target columns");
        }
        if given < columns && listed {
            return self.error(span, SqlState::SYNTAX_ERROR, "INSERT has more target columns than expressions");
        }
        Ok(())
    }

    fn insert_values(
        &mut self,
        table: &Table,
        columns: &[usize],
        listed: bool,
        values: &ast::Values,
    ) -> Result<Node, SqlError> {
        self.aggregates = Aggregates::Refused("VALUES");
        let defaults = self.defaults(table)?;
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let span = row
                .content
                .get(columns.len().min(row.content.len().saturating_sub(1)))
                .map_or_else(sqlparser::tokenizer::Span::empty, Spanned::span);
            if row.content.len() != width {
                return self.error(span, SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length");
            }
            self.check_width(width, columns.len(), listed, span)?;
            let mut bound = defaults.clone();
            for (value, column) in row.content.iter().zip(columns) {
                if !is_default(value) && self.may_be_given(&table.columns[*column], value.span())? {
                    let typed = self.expression(value)?;
                    bound[*column] = self.assign(typed, &table.columns[*column])?;
                }
            }
            // Each is evaluated once: what they draw is known before, their partition key too.
            bound.iter_mut().for_each(|value| self.place(value));
            rows.push(bound);
        }
        Ok(Node::Values(rows))
    }

    fn insert_query(
        &mut self,
        table: &Table,
        columns: &[usize],
        listed: bool,
        query: &ast::Query,
    ) -> Result<Node, SqlError> {
        let targets: Vec<DataType> = columns.iter().map(|column| table.columns[*column].data_type).collect();
        let bound = self.query_for(query, &targets)?;
        self.check_width(bound.columns.len(), columns.len(), listed, query.span())?;
        let mut row = self.defaults(table)?;
        for (place, (column, source)) in columns.iter().zip(&bound.columns).enumerate() {
            if !self.may_be_given(&table.columns[*column], query.span())? {
                continue;
            }
            let typed = Typed { expr: Expr::Column(place), data_type: Some(source.data_type), span: query.span() };
            row[*column] = self.assign(typed, &table.columns[*column])?;
        }
        Ok(Node::Project { input: Box::new(bound.plan), columns: row })
    }

    fn conflict(
        &mut self,
        table: &Arc<Table>,
        alias: &str,
        conflict: &ast::OnConflict,
        source: &Node,
    ) -> Result<Conflict, SqlError> {
        let key = match &conflict.conflict_target {
            None => None,
            Some(ast::ConflictTarget::Columns(idents)) => Some(self.conflict_key(table, idents)?),
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                let name = super::name_parts(name)?.pop().unwrap_or_default();
                let index = table.indexes.iter().position(|index| index.constraint && index.name == name);
                Some(match index {
                    Some(index) => ConflictKey::Index(index),
                    None if table.primary_key_name.as_deref() == Some(&name) => ConflictKey::Primary,
                    None => {
                        let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
                        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                    }
                })
            }
        };
        let owners = |index: &usize| table.indexes[*index].global.is_some();
        let elsewhere = match key {
            None => (0..table.indexes.len()).find(owners),
            Some(ConflictKey::Index(index)) => Some(index).filter(owners),
            Some(ConflictKey::Primary) => None,
        };
        if let Some(index) = elsewhere
            && (!is_same(source) || table.primary_key.is_empty())
        {
            // Who else has rows in the way is asked once the proposed rows are known, and once only.
            let name = &table.indexes[index].name;
            let hint = match table.primary_key.is_empty() {
                true => "Give the table a primary key, or partition it by those columns.",
                false => "Write the rows with VALUES, name the primary key, or partition the table by those columns.",
            };
            return Err(SqlError::unsupported(format!("ON CONFLICT over \"{name}\" is not supported here"))
                .detail("Its columns do not place the rows: a conflicting row may be in another partition.")
                .hint(hint));
        }
        let elsewhere = elsewhere.is_some();
        let ast::OnConflictAction::DoUpdate(update) = &conflict.action else {
            return Ok(Conflict { key, update: None, elsewhere });
        };
        if key.is_none() {
            let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).hint("For example, ON CONFLICT (column_name)."));
        }
        let mut scope = Scope::of_table(table, alias);
        let excluded = Scope::of_table(table, "excluded").columns;
        // An unqualified name is the existing row's column.
        scope.columns.extend(excluded.into_iter().map(|column| ScopeColumn { merged: true, ..column }));
        self.scopes.push(scope);
        let bound = self.of_own_rows(|binder| {
            let assignments = binder.assignments(table, &update.assignments)?;
            Ok((assignments, binder.filter(update.selection.as_ref())?))
        });
        self.scopes.pop();
        Ok(Conflict { key, update: Some(bound?), elsewhere })
    }

    fn conflict_key(&self, table: &Table, idents: &[ast::Ident]) -> Result<ConflictKey, SqlError> {
        let mut columns = Vec::with_capacity(idents.len());
        for ident in idents {
            let name = fold(ident);
            match table.column(&name) {
                Some(column) => columns.push(column),
                None => {
                    let message = format!("column \"{name}\" does not exist");
                    return self.error(ident.span, SqlState::UNDEFINED_COLUMN, message);
                }
            }
        }
        let same = |key: &mut dyn Iterator<Item = usize>| {
            let key: Vec<usize> = key.collect();
            !key.is_empty()
                && key.iter().all(|column| columns.contains(column))
                && columns.iter().all(|column| key.contains(column))
        };
        if same(&mut table.primary_key.iter().copied()) {
            return Ok(ConflictKey::Primary);
        }
        let index = table
            .indexes
            .iter()
            .position(|index| index.unique && same(&mut index.columns.iter().map(|(column, _)| *column)));
        index.map(ConflictKey::Index).ok_or_else(|| {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
        })
    }

    fn assignments(&mut self, table: &Table, list: &[ast::Assignment]) -> Result<Vec<(usize, Expr)>, SqlError> {
        self.aggregates = Aggregates::Refused("UPDATE");
        let mut assignments: Vec<(usize, Expr)> = Vec::with_capacity(list.len());
        for assignment in list {
            let pairs: Vec<(&ast::ObjectName, &ast::Expr)> = match (&assignment.target, &assignment.value) {
                (ast::AssignmentTarget::ColumnName(name), value) => vec![(name, value)],
                (ast::AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                    names.iter().zip(values).collect()
                }
                _ => return Err(SqlError::unsupported("this form of SET (…) = … is not supported")),
            };
            for (name, value) in pairs {
                let column = self.target_column(table, name)?;
                if assignments.iter().any(|(other, _)| *other == column) {
                    let message = format!("multiple assignments to same column \"{}\"", table.columns[column].name);
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                }
                let expr = if is_default(value) {
                    self.default_of(&table.columns[column])?
                } else {
                    if table.columns[column].sequences.identity.is_some_and(|identity| identity.always) {
                        let name = &table.columns[column].name;
                        let message = format!("column \"{name}\" can only be updated to DEFAULT");
                        let error = SqlError::new(GENERATED_ALWAYS, message)
                            .detail(format!("Column \"{name}\" is an identity column defined as GENERATED ALWAYS."));
                        return Err(self.at(value.span(), error));
                    }
                    let typed = self.expression(value)?;
                    self.assign(typed, &table.columns[column])?
                };
                assignments.push((column, expr));
            }
        }
        Ok(assignments)
    }

    fn filter(&mut self, selection: Option<&ast::Expr>) -> Result<Option<Expr>, SqlError> {
        let Some(selection) = selection else { return Ok(None) };
        self.aggregates = Aggregates::Refused("WHERE");
        let typed = self.expression(selection)?;
        self.condition(typed, "WHERE").map(Some)
    }

    /// The one table of an UPDATE or DELETE, with its alias.
    fn written_table(&self, table: &ast::TableWithJoins) -> Result<(Arc<Table>, String), SqlError> {
        let TableFactor::Table { name, alias, args: None, .. } = &table.relation else {
            return Err(SqlError::unsupported("only tables can be written"));
        };
        if !table.joins.is_empty() {
            return Err(SqlError::unsupported("joins in UPDATE and DELETE are not supported"));
        }
        let found = find_table(self.catalog, name, self.settings).map_err(|error| self.at(name.span(), error))?;
        let alias = alias.as_ref().map_or_else(|| found.name.clone(), |alias| fold(&alias.name));
        Ok((found.clone(), alias))
    }

    pub(super) fn update(&mut self, update: &ast::Update) -> Result<Statement, SqlError> {
        if update.limit.is_some() || !update.order_by.is_empty() {
            return Err(SqlError::unsupported("ORDER BY and LIMIT in UPDATE are not supported"));
        }
        let from = update.from.as_ref().map(|from| {
            let (UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) = from;
            from.as_slice()
        });
        let (table, alias) = self.written_table(&update.table)?;
        let (joined, scope) = self.joined_with(&table, &alias, from)?;
        self.scopes.push(scope.clone());
        let bound = self.assignments(&table, &update.assignments).and_then(|assignments| {
            let condition = self.filter(update.selection.as_ref())?;
            Ok((assignments, condition))
        });
        self.scopes.pop();
        let (assignments, condition) = bound?;
        let (target, columns) = self.target(&table, update.returning.as_deref(), scope)?;
        let rows = rows(&table, alias, joined, condition);
        let write = Write::Update(Box::new(Update { target, rows, assignments }));
        Ok(Statement::Write { write, columns, tag: "UPDATE" })
    }

    pub(super) fn delete(&mut self, delete: &ast::Delete) -> Result<Statement, SqlError> {
        if delete.limit.is_some() || !delete.order_by.is_empty() || !delete.tables.is_empty() {
            return Err(SqlError::unsupported("ORDER BY and LIMIT in DELETE are not supported"));
        }
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
        let [table] = from.as_slice() else {
            return Err(SqlError::unsupported("DELETE from several tables is not supported"));
        };
        let (table, alias) = self.written_table(table)?;
        let (joined, scope) = self.joined_with(&table, &alias, delete.using.as_deref())?;
        self.scopes.push(scope.clone());
        let condition = self.filter(delete.selection.as_ref());
        self.scopes.pop();
        let condition = condition?;
        let (target, columns) = self.target(&table, delete.returning.as_deref(), scope)?;
        let rows = rows(&table, alias, joined, condition);
        Ok(Statement::Write { write: Write::Delete(Box::new(Delete { target, rows })), columns, tag: "DELETE" })
    }

    /// The target of an UPDATE or DELETE with what FROM or USING names, and the columns that can be named.
    fn joined_with(
        &mut self,
        table: &Arc<Table>,
        alias: &str,
        from: Option<&[ast::TableWithJoins]>,
    ) -> Result<(Option<Node>, Scope), SqlError> {
        let mut scope = Scope::of_table(table, alias);
        let Some(from) = from.filter(|from| !from.is_empty()) else { return Ok((None, scope)) };
        self.aggregates = Aggregates::Refused("FROM");
        let others = self.from(from)?;
        let mut scan = whole(table, alias.to_owned(), None);
        scan.with_key = true;
        // The row's key, which has no name.
        scope.columns.push(ScopeColumn {
            relation: String::new(),
            name: String::new(),
            data_type: DataType::Bytea,
            origin: None,
            merged: true,
            hidden: false,
            locks: None,
        });
        let target = (Node::Scan(Box::new(scan)), scope);
        let (node, scope) = self.join(target, others, JoinKind::Inner, &ast::JoinConstraint::None)?;
        Ok((Some(node), scope))
    }

    pub(in crate::sql) fn truncate(&mut self, truncate: &ast::Truncate) -> Result<Statement, SqlError> {
        if truncate.partitions.is_some() || truncate.if_exists {
            return Err(SqlError::unsupported("this form of TRUNCATE is not supported"));
        }
        let mut tables = Vec::with_capacity(truncate.table_names.len());
        for target in &truncate.table_names {
            let table = find_table(self.catalog, &target.name, self.settings)
                .map_err(|error| self.at(target.name.span(), error))?;
            tables.push(table.clone());
        }
        let cascade = matches!(truncate.cascade, Some(ast::CascadeOption::Cascade));
        self.referencing(&mut tables, cascade)?;
        Ok(Statement::Write { write: Write::Truncate(tables), columns: Vec::new(), tag: "TRUNCATE TABLE" })
    }

    /// Tables that reference those that are emptied are emptied too, if it is to cascade.
    fn referencing(&self, tables: &mut Vec<Arc<Table>>, cascade: bool) -> Result<(), SqlError> {
        let mut at = 0;
        while let Some(parent) = tables.get(at).cloned() {
            for (child, _) in self.catalog.references_to(parent.id) {
                if tables.iter().any(|table| table.id == child.id) {
                    continue;
                }
                if !cascade {
                    return Err(SqlError::unsupported(
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .detail(format!("Table \"{}\" references \"{}\".", child.name, parent.name))
                    .hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        child.name
                    )));
                }
                tables.push(Arc::clone(child));
            }
            at += 1;
        }
        Ok(())
    }
}

fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

fn rows(table: &Arc<Table>, alias: String, joined: Option<Node>, condition: Option<Expr>) -> Rows {
    match (joined, condition) {
        (None, condition) => Rows::Scan(Box::new(whole(table, alias, condition))),
        (Some(node), None) => Rows::Join(node),
        (Some(node), Some(condition)) => Rows::Join(Node::Filter { input: Box::new(node), condition }),
    }
}

fn whole(table: &Arc<Table>, alias: String, condition: Option<Expr>) -> Scan {
    let access = Access::everything(table);
    Scan {
        table: table.clone(),
        alias,
        wanted: table.every_column(),
        access,
        condition,
        pinned: None,
        order: Vec::new(),
        with_key: false,
    }
}

/// Columns as a session describes them.
pub(in crate::sql) fn output_columns(columns: &[BoundColumn]) -> Vec<OutputColumn> {
    let output = |column: &BoundColumn| OutputColumn {
        name: column.name.clone(),
        data_type: column.data_type,
        origin: column.origin.map(|(table, place)| (table, u16::try_from(place + 1).unwrap_or(0))),
    };
    columns.iter().map(output).collect()
}

/// The partition key of each row of VALUES, if all are known from the parameters.
fn partition_keys(table: &Table, source: &Node) -> Option<Vec<Vec<Expr>>> {
    let Node::Values(rows) = source else { return None };
    if table.partition_key.is_empty() {
        return None;
    }
    rows.iter()
        .map(|row| {
            let key: Vec<Expr> = table.partition_key.iter().map(|column| row[*column].clone()).collect();
            key.iter().all(Expr::is_known_before).then_some(key)
        })
        .collect()
}
