//! A planned statement: what a session describes and a replica runs.

use super::bind::{self, Binder};
use super::context::Context;
use super::distribute::Division;
use super::execute::{self, Flow, Run};
use super::footprint::{Footprint, Placement};
use super::integrity::{self, Due, Web};
use super::parse::{Constraints, Copy, Kind, Parsed, character_position};
use super::plan::{self, Node, Write};
use super::sequence::{Drawing, Draws, Placed};
use super::settings::{Settings, StatementResult};
use crate::catalog::{Catalog, Table};
use crate::planted;
use crate::storage::Store;
use crate::types::{DataType, PartitionId, SqlError, SqlState, TableId, Value};
use sqlparser::ast;
use std::sync::{Arc, OnceLock};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Name.
    pub name: String,
    /// Type with modifiers.
    pub data_type: DataType,
    /// The table and the 1-based column that it shows unchanged.
    pub origin: Option<(TableId, u16)>,
}

/// A bound and planned statement. Good for any store at the catalog version it was made for.
#[derive(Debug)]
pub struct Prepared {
    parameters: Vec<DataType>,
    columns: Vec<OutputColumn>,
    pub(super) plan: Plan,
    placement: Placement,
    /// What it draws from sequences.
    draws: Draws,
    /// Columns that set a sequence.
    sets: Vec<usize>,
    /// SELECT FOR UPDATE, or FOR SHARE.
    locks: Option<&'static str>,
    tag: &'static str,
    /// ORDER BY stands in the text: whether the plan needs a sort for it is another question.
    ordered: bool,
    /// What several participants do; made when it is first asked for.
    division: OnceLock<Division>,
    /// What hangs together with the written table by constraints.
    web: Option<Web>,
    /// It writes nothing itself: it has checks made that have waited.
    due: Option<Due>,
}

/// What is run.
#[derive(Debug)]
pub(super) enum Plan {
    Query(Node),
    Write(Write),
    Explain(Vec<String>),
}

/// Binds and plans a statement of kind Query, Write or Explain. `parameter_types` are the types known of `$1`, `$2`, …;
/// the rest is inferred.
///
/// # Errors
/// What the statement's names, types and values have wrong.
pub fn prepare(
    catalog: &Catalog,
    statement: &Parsed,
    settings: &Settings,
    parameter_types: &[Option<DataType>],
) -> Result<Prepared, SqlError> {
    if let Kind::Copy(copy) = &statement.kind {
        return prepare_copy(catalog, statement, settings, copy);
    }
    if let Kind::Constraints(told) = &statement.kind {
        return prepare_check(catalog, settings, told);
    }
    let Some(tree) = &statement.statement else {
        return Err(SqlError::new(SqlState::INTERNAL_ERROR, "this statement has no plan"));
    };
    let (tree, explains) = match tree.as_ref() {
        ast::Statement::Explain { statement: explained, analyze, format, options, .. } => {
            if *analyze || format.is_some() {
                return Err(no_explain("ANALYZE or a format other than text"));
            }
            for option in options.iter().flatten() {
                check_explain_option(option, &statement.text)?;
            }
            (explained.as_ref(), true)
        }
        other => (other, false),
    };
    let ordered = matches!(tree, ast::Statement::Query(query) if query.order_by.is_some());
    let mut binder = Binder::new(catalog, settings, &statement.text, parameter_types).overriding(statement.overriding);
    let bound = binder.statement(tree)?;
    let (draws, sets, locks) = (binder.draws(), binder.sets(tree)?, binder.locks_rows());
    let parameters = binder.into_parameters()?;
    let mut prepared = match bound {
        bind::Statement::Query(bound) => {
            let columns = bind::output_columns(&bound.columns);
            let plan = plan::optimise(bound.plan);
            let placement = Placement::of_query(&plan);
            Prepared {
                parameters,
                columns,
                plan: Plan::Query(plan),
                placement,
                draws,
                sets,
                locks,
                tag: "SELECT",
                ordered,
                division: OnceLock::new(),
                web: None,
                due: None,
            }
        }
        bind::Statement::Write { mut write, columns, tag } => {
            match &mut write {
                Write::Insert(insert) => {
                    let source = std::mem::replace(&mut insert.source, Node::Nothing);
                    insert.source = plan::optimise(source);
                }
                Write::Update(update) => plan::optimise_rows(&mut update.rows),
                Write::Delete(delete) => plan::optimise_rows(&mut delete.rows),
                Write::Truncate(_) | Write::Copy(_) => {}
            }
            let placement = Placement::of_write(&write);
            let web = web_of(catalog, settings, &write)?;
            Prepared {
                parameters,
                columns,
                plan: Plan::Write(write),
                placement,
                draws,
                sets,
                locks,
                tag,
                ordered,
                division: OnceLock::new(),
                web,
                due: None,
            }
        }
    };
    prepared.placement.check()?;
    if explains {
        let lines = match &prepared.plan {
            Plan::Query(plan) => plan::explain(plan),
            Plan::Write(write) => plan::explain_write(write),
            Plan::Explain(lines) => lines.clone(),
        };
        prepared.plan = Plan::Explain(lines);
        prepared.placement = Placement::default();
        prepared.draws = Draws::default();
        prepared.sets = Vec::new();
        prepared.locks = None;
        prepared.tag = "EXPLAIN";
        prepared.columns =
            vec![OutputColumn { name: "QUERY PLAN".to_owned(), data_type: DataType::Text, origin: None }];
    }
    Ok(prepared)
}

fn no_explain(what: &str) -> SqlError {
    SqlError::unsupported(format!("EXPLAIN with {what} is not supported"))
        .hint("EXPLAIN alone shows the plan: it depends on the statement and the definitions, not on the rows.")
}

/// Options that would add what there is not (costs, buffers) are taken as they are; those that would change what is done
/// or how it is shown are not.
fn check_explain_option(option: &ast::UtilityOption, text: &str) -> Result<(), SqlError> {
    let name = bind::fold(&option.name);
    let value = option.arg.as_ref().map_or_else(|| "on".to_owned(), |arg| arg.to_string().to_lowercase());
    let off = ["off", "false", "0"].contains(&value.trim_matches('\''));
    match name.as_str() {
        "costs" | "verbose" | "settings" | "buffers" | "wal" | "timing" | "summary" => Ok(()),
        "analyze" if off => Ok(()),
        "format" if value.trim_matches('\'') == "text" => Ok(()),
        "analyze" => Err(no_explain("ANALYZE")),
        "format" => Err(no_explain("a format other than text")),
        _ => {
            let position = character_position(text, option.name.span.start);
            let message = format!("unrecognized EXPLAIN option \"{name}\"");
            Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position))
        }
    }
}

fn prepare_copy(catalog: &Catalog, statement: &Parsed, settings: &Settings, copy: &Copy) -> Result<Prepared, SqlError> {
    let mut binder = Binder::new(catalog, settings, &statement.text, &[]);
    let write = binder.copy(copy)?;
    let draws = binder.draws();
    let placement = Placement::of_write(&write);
    let web = web_of(catalog, settings, &write)?;
    // The data and the number of their first line.
    let parameters = vec![DataType::Bytea, DataType::Int8];
    let (columns, plan, division) = (Vec::new(), Plan::Write(write), OnceLock::new());
    let sets = Vec::new();
    Ok(Prepared {
        parameters,
        columns,
        plan,
        placement,
        draws,
        sets,
        locks: None,
        tag: "COPY",
        ordered: false,
        division,
        web,
        due: None,
    })
}

/// SET CONSTRAINTS … IMMEDIATE, where something waits: a write that writes no rows of its own.
fn prepare_check(catalog: &Catalog, settings: &Settings, told: &Constraints) -> Result<Prepared, SqlError> {
    let due = Due::of(catalog, integrity::constraints(catalog, settings, told)?);
    let write = Write::Truncate(Vec::new());
    Ok(Prepared {
        parameters: Vec::new(),
        columns: Vec::new(),
        placement: Placement::of_write(&write),
        plan: Plan::Write(write),
        draws: Draws::default(),
        sets: Vec::new(),
        locks: None,
        tag: "SET CONSTRAINTS",
        ordered: false,
        division: OnceLock::new(),
        web: Some(Web::of_deferrable(catalog, settings)?),
        due: Some(due),
    })
}

/// What hangs together with the table that is written.
fn web_of(catalog: &Catalog, settings: &Settings, write: &Write) -> Result<Option<Web>, SqlError> {
    match write {
        Write::Insert(insert) => Web::of(catalog, settings, &insert.target.table),
        Write::Update(update) => Web::of(catalog, settings, &update.target.table),
        Write::Delete(delete) => Web::of(catalog, settings, &delete.target.table),
        Write::Copy(copy) => Web::of(catalog, settings, &copy.target.table),
        Write::Truncate(_) => Ok(None),
    }
}

impl Prepared {
    /// Types of `$1`, `$2`, ….
    #[must_use]
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// Columns of the rows returned; empty if none are, or if they have no columns.
    #[must_use]
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// Does it return rows (a query, RETURNING, EXPLAIN)?
    #[must_use]
    pub fn returns_rows(&self) -> bool {
        match &self.plan {
            Plan::Query(_) | Plan::Explain(_) => true,
            Plan::Write(Write::Insert(insert)) => insert.target.returning.is_some(),
            Plan::Write(Write::Update(update)) => update.target.returning.is_some(),
            Plan::Write(Write::Delete(delete)) => delete.target.returning.is_some(),
            Plan::Write(Write::Truncate(_) | Write::Copy(_)) => false,
        }
    }

    /// The command's name, as errors give it.
    #[must_use]
    pub fn command(&self) -> &'static str {
        if self.tag == "COPY" { "COPY FROM" } else { self.tag }
    }

    /// Does it lock rows? It is called so.
    #[must_use]
    pub const fn locks(&self) -> Option<&'static str> {
        self.locks
    }

    /// For a COPY: how many fields a line of its data has.
    #[must_use]
    pub fn copy_width(&self) -> usize {
        match &self.plan {
            Plan::Write(Write::Copy(copy)) => copy.columns.len(),
            _ => 0,
        }
    }

    /// Does it ask for an order of its rows?
    #[must_use]
    pub const fn orders_rows(&self) -> bool {
        self.ordered
    }

    /// Does it write nothing? Then `query` runs it.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        !matches!(self.plan, Plan::Write(_))
    }

    /// Is it a COPY? Its pieces are one statement.
    #[must_use]
    pub const fn is_copy(&self) -> bool {
        matches!(self.plan, Plan::Write(Write::Copy(_)))
    }

    /// Command tag: `INSERT 0 1`.
    #[must_use]
    pub fn tag(&self, affected: u64) -> String {
        match self.tag {
            "INSERT" => format!("INSERT 0 {affected}"),
            tag @ ("TRUNCATE TABLE" | "EXPLAIN" | "SET CONSTRAINTS") => tag.to_owned(),
            tag => format!("{tag} {affected}"),
        }
    }

    /// The system tables that it reads. No partition has them: the session runs such a statement over rows that it has
    /// gathered ([`super::fill`]).
    pub fn system_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.placement.system_tables()
    }

    /// Partitions that it touches with these parameters, of `partitions` data partitions.
    ///
    /// # Errors
    /// When the partition key's value cannot be computed.
    pub fn footprint(&self, parameters: &[Value], partitions: u32) -> Result<Footprint, SqlError> {
        self.placement.footprint(parameters, &self.known_drawn(parameters)?, partitions)
    }

    /// What it draws from sequences. The values that a session has drawn travel as one parameter behind the statement's
    /// own ([`super::Drawn::to_parameter`]); what is missing is told by an error of which [`super::wanted`] speaks.
    #[must_use]
    pub const fn draws(&self) -> &Draws {
        &self.draws
    }

    /// Columns of its rows that are `setval`: each holds a [`super::Set`], which the session has to carry out.
    #[must_use]
    pub fn sets(&self) -> &[usize] {
        &self.sets
    }

    /// The tables and sequences that it is about, those with whose constraints it hangs together among them; in order, each once.
    /// System tables are none.
    #[must_use]
    pub fn relations(&self) -> Vec<&Arc<Table>> {
        let mut found: Vec<&Arc<Table>> = Vec::new();
        match &self.plan {
            Plan::Query(plan) => plan.scans(&mut |scan| found.push(&scan.table)),
            Plan::Write(write) => write.tables(&mut |table| found.push(table)),
            Plan::Explain(_) => {}
        }
        found.extend(self.web.iter().flat_map(Web::tables));
        found.extend(self.draws.streams.iter().map(|stream| &stream.sequence));
        found.extend(self.draws.placed.iter().filter_map(|placed| match placed {
            Placed::Next(sequence) | Placed::Current(sequence) => Some(sequence),
            Placed::Last => None,
        }));
        found.retain(|table| self.system_tables().all(|system| system.id != table.id));
        found.sort_by_key(|table| table.id);
        found.dedup_by_key(|table| table.id);
        found
    }

    /// The values that are known before execution.
    pub(super) fn known_drawn(&self, parameters: &[Value]) -> Result<Drawing, SqlError> {
        if self.draws.is_empty() {
            return Ok(Drawing::default());
        }
        self.drawing(parameters, PartitionId(0), PartitionId(0))
    }

    fn drawing(&self, parameters: &[Value], partition: PartitionId, own: PartitionId) -> Result<Drawing, SqlError> {
        Drawing::of(&self.draws, partition, own, parameters.get(self.parameters.len()))
    }

    /// Runs something with the values that were drawn for it.
    pub(super) fn with_drawn(
        &self,
        parameters: &[Value],
        context: &mut Context,
        run: impl FnOnce(&mut Context) -> Result<StatementResult, SqlError>,
    ) -> Result<StatementResult, SqlError> {
        if self.draws.is_empty() {
            return run(context);
        }
        // Who draws for rows of its own has values of its own.
        // Planted 128: all draw from the same.
        let share = context.share.filter(|_| !planted!(128));
        let by = |has: bool| share.filter(|_| has).map_or(PartitionId(0), |share| share.own);
        context.drawn = self.drawing(parameters, by(self.draws_by_row()), by(self.draws_for_own()))?;
        let result = run(context);
        context.drawn.settle(result)
    }

    /// Runs a read-only statement. `parameters` must have the types of [`Self::parameters`].
    ///
    /// # Errors
    /// What the values have wrong.
    pub fn query(
        &self,
        store: &Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        self.check_parameters(parameters)?;
        if let Some(table) = self.system_tables().find(|table| !store.has_tree(table.tree)) {
            let message = format!("\"system.{}\" cannot be read together with other statements", table.name);
            return Err(SqlError::unsupported(message).hint("Send the statement on its own."));
        }
        match &self.plan {
            Plan::Query(plan) => self
                .with_drawn(parameters, context, |context| run_to_end(plan, &mut Run::new(store, parameters, context))),
            Plan::Explain(lines) => {
                let rows: Vec<_> = lines.iter().map(|line| vec![Value::text(line)]).collect();
                Ok(StatementResult { affected: rows.len() as u64, rows, suspended: false })
            }
            Plan::Write(_) => Err(SqlError::new(SqlState::INTERNAL_ERROR, "a write was run as a query")),
        }
    }

    /// Runs any statement. After an error the caller rolls the store back to its mark.
    ///
    /// # Errors
    /// What the values have wrong, constraints among it.
    pub fn execute(
        &self,
        store: &mut Store,
        parameters: &[Value],
        context: &mut Context,
    ) -> Result<StatementResult, SqlError> {
        let Plan::Write(write) = &self.plan else { return self.query(store, parameters, context) };
        self.check_parameters(parameters)?;
        let result = self.with_drawn(parameters, context, |context| match write {
            Write::Insert(insert) => execute::insert(insert, None, store, parameters, context),
            Write::Update(update) => execute::update(update, store, parameters, context),
            Write::Delete(delete) => execute::delete(delete, store, parameters, context),
            Write::Copy(copy) => execute::copy(copy, store, parameters, context),
            Write::Truncate(tables) => {
                for table in tables {
                    execute::truncate(store, table);
                }
                Ok(StatementResult::default())
            }
        })?;
        self.settle_here(store, context)?;
        Ok(result)
    }

    /// The checks that it has made; `None`: it is an ordinary statement.
    #[must_use]
    pub const fn due(&self) -> Option<&Due> {
        self.due.as_ref()
    }

    /// May checks of what it does be left to the end of its block?
    #[must_use]
    pub fn defers(&self) -> bool {
        self.web.as_ref().is_some_and(Web::defers)
    }

    /// Would they be if it stood in a block, without SET CONSTRAINTS?
    #[must_use]
    pub fn can_defer(&self) -> bool {
        self.web.as_ref().is_some_and(Web::can_defer)
    }

    /// The web, for whoever settles, and the write.
    pub(super) const fn woven(&self) -> Option<(&Web, &Write)> {
        match (&self.web, &self.plan) {
            (Some(web), Plan::Write(write)) => Some((web, write)),
            _ => None,
        }
    }

    /// How several participants execute it.
    pub(super) fn division(&self) -> &Division {
        self.division.get_or_init(|| Division::of(&self.plan))
    }

    pub(super) fn check_parameters(&self, parameters: &[Value]) -> Result<(), SqlError> {
        let (given, wanted) = (parameters.len(), self.parameters.len());
        if given < wanted {
            let message = format!("bind message supplies {given} parameters, but the statement requires {wanted}");
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        Ok(())
    }
}

/// A plan's rows, as many as the client wants.
pub(super) fn run_to_end(plan: &Node, at: &mut Run<'_>) -> Result<StatementResult, SqlError> {
    let most = match at.context.max_rows {
        0 => usize::MAX,
        most => most as usize,
    };
    let mut result = StatementResult::default();
    let flow = execute::run(plan, at, &mut |_, row| {
        result.rows.push(row);
        Ok(if result.rows.len() >= most { Flow::Stop } else { Flow::More })
    })?;
    result.suspended = flow == Flow::Stop;
    result.affected = result.rows.len() as u64;
    Ok(result)
}
