//! The extended query protocol: statements are parsed, parameters bound, portals executed, each by a message.
//!
//! All that is executed before a Sync is one transaction (`implicit`). A portal executed with a row limit runs once, to its end; the rows beyond the limit wait in the portal, so
//! that all of them are of one instant.

use super::execution::Item;
use super::utility::Answer;
use super::{Connection, Mode, Origin, Task};
use crate::planted;
use crate::session::codec::Incoming;
use crate::session::shared::Turn;
use crate::session::values;
use crate::session::writer::{Format, Formats};
use crate::sql::{self, Kind, OutputColumn, Parsed, Prepared};
use crate::types::datetime::TimeContext;
use crate::types::{DataType, SqlError, SqlState, Value};
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::messages::extendedquery::{Bind, Parse};
use std::collections::VecDeque;
use std::sync::Arc;

/// Most prepared statements of a session, and most portals.
const MAX_NAMES: usize = 10_000;

/// A prepared statement.
pub(super) struct Statement {
    pub(super) parsed: Parsed,
    /// Types of the parameters, all resolved.
    pub(super) types: Vec<DataType>,
    /// The same as the planner takes them.
    known: Vec<Option<DataType>>,
    /// Columns as they were when it was parsed: clients rely on them.
    columns: Vec<OutputColumn>,
}

/// A statement with its parameters.
#[derive(Clone)]
pub(super) struct Portal {
    pub(super) statement: Arc<Statement>,
    parameters: Vec<Value>,
    formats: Formats,
    state: PortalState,
}

#[derive(Clone)]
enum PortalState {
    /// Not run.
    Ready,
    /// Run; these rows are still to be fetched.
    Rows { rows: VecDeque<Vec<Value>>, plan: Arc<Prepared>, affected: u64 },
    /// Everything was fetched.
    Done,
}

impl Connection {
    /// One message of an open session.
    pub(super) fn message(&mut self, turn: &mut Turn<'_>, message: Incoming) {
        let message = match message {
            Incoming::FunctionCall if self.skipping => return,
            Incoming::FunctionCall => {
                self.mode = Mode::Simple;
                return self.fail(turn, SqlError::unsupported("fast-path function calls are not supported"));
            }
            Incoming::Message(message) => message,
        };
        if self.copy.is_some() {
            return self.copy_message(turn, message);
        }
        match message {
            Message::Sync(_) => {
                self.skipping = false;
                self.end_together(turn);
            }
            Message::Terminate(_) => self.leave_silently(turn),
            _ if self.skipping => {}
            Message::Query(query) => self.simple_query(turn, &query.query),
            Message::Flush(_) => self.flush = true,
            Message::Parse(_) | Message::Bind(_) | Message::Describe(_) | Message::Execute(_) | Message::Close(_) => {
                self.mode = Mode::Extended;
                self.extended(turn, message);
            }
            // Left over from a COPY that was refused: PostgreSQL passes over them too.
            Message::CopyData(_) | Message::CopyDone(_) | Message::CopyFail(_) => {}
            _ => {
                let error = SqlError::new(SqlState::PROTOCOL_VIOLATION, "unexpected message");
                self.violation(turn, &error);
            }
        }
    }

    fn extended(&mut self, turn: &mut Turn<'_>, message: Message) {
        let done = match message {
            Message::Parse(parse) => {
                self.task = Some(Task::Parse(parse));
                Ok(())
            }
            Message::Describe(describe) => {
                self.task = Some(Task::Describe(describe.target_type, describe.name.unwrap_or_default()));
                Ok(())
            }
            Message::Execute(execute) => {
                let max_rows = usize::try_from(execute.max_rows).unwrap_or(0);
                self.task = Some(Task::Execute(execute.name.unwrap_or_default(), max_rows));
                Ok(())
            }
            Message::Bind(bind) => self.bind(turn, bind),
            Message::Close(close) => self.close(close.target_type, &close.name.unwrap_or_default()),
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.fail(turn, error);
        }
    }

    /// Parse.
    pub(super) fn perform_parse(&mut self, turn: &mut Turn<'_>, parse: Parse) {
        let name = parse.name.clone().unwrap_or_default();
        if name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return self.fail(turn, SqlError::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        let parsed = match self.parse_one(&parse) {
            Ok(parsed) => parsed,
            Err(error) => return self.fail(turn, error),
        };
        if let (false, Err(error)) = (self.in_block(), self.allowed(&parsed.kind)) {
            return self.fail(turn, error);
        }
        let declared = match declared_types(&parse.type_oids) {
            Ok(declared) => declared,
            Err(error) => return self.fail(turn, error),
        };
        let statement = if matches!(parsed.kind, Kind::Query | Kind::Write | Kind::Explain) {
            match self.plan(turn, &parsed, &declared) {
                Ok(plan) => Statement {
                    types: plan.parameters().to_vec(),
                    known: plan.parameters().iter().copied().map(Some).collect(),
                    columns: plan.columns().to_vec(),
                    parsed,
                },
                Err(error) => return self.confirm(turn, Task::Parse(parse), error),
            }
        } else {
            Statement { parsed, types: Vec::new(), known: Vec::new(), columns: Vec::new() }
        };
        self.statements.insert(name, Arc::new(statement));
        self.writer.parse_complete();
    }

    fn parse_one(&self, parse: &Parse) -> Result<Parsed, SqlError> {
        if self.statements.len() >= MAX_NAMES {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many prepared statements"));
        }
        let mut statements = sql::parse(&parse.query)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => Ok(statement),
            _ => {
                Err(SqlError::new(SqlState::SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement"))
            }
        }
    }

    /// Plans a statement under the catalog known now, or that of the open block. Positions of errors are counted in what the client sent.
    pub(super) fn plan(
        &self,
        turn: &mut Turn<'_>,
        parsed: &Parsed,
        types: &[Option<DataType>],
    ) -> Result<Arc<Prepared>, SqlError> {
        let catalog = self.planning_catalog(turn);
        let plan = match self.plan_behind_drafts(parsed, types) {
            Ok(None) => turn.shared.plans.prepare_parsed(&catalog, parsed, self.settings.travelling(), types),
            Ok(Some(plan)) => Ok(plan),
            Err(error) => Err(error),
        };
        plan.map_err(|error| shifted(error, parsed.offset))
    }

    /// The plan of a prepared statement under the catalog known now. Its columns must be those that the client knows.
    pub(super) fn plan_of(&self, turn: &mut Turn<'_>, statement: &Statement) -> Result<Arc<Prepared>, SqlError> {
        let plan = self.plan(turn, &statement.parsed, &statement.known)?;
        let same = plan.columns().len() == statement.columns.len()
            && plan
                .columns()
                .iter()
                .zip(&statement.columns)
                .all(|(new, old)| new.name == old.name && new.data_type == old.data_type);
        if same { Ok(plan) } else { Err(SqlError::unsupported("cached plan must not change result type")) }
    }

    fn statement(&self, name: &str) -> Result<&Arc<Statement>, SqlError> {
        self.statements.get(name).ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    fn bind(&mut self, turn: &Turn<'_>, bind: Bind) -> Result<(), SqlError> {
        let statement = Arc::clone(self.statement(bind.statement_name.as_deref().unwrap_or_default())?);
        if !self.in_block() {
            self.allowed(&statement.parsed.kind)?;
        }
        let name = bind.portal_name.clone().unwrap_or_default();
        if !name.is_empty() && self.portals.contains_key(&name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, message));
        }
        if self.portals.len() >= MAX_NAMES {
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many portals"));
        }
        let time = TimeContext { now: self.clock(turn), zone: self.zone.clone() };
        let parameters = self.parameters(&time, &bind, &statement)?;
        let formats = Formats::new(bind.result_column_format_codes);
        if let Some(code) = formats.unknown_code() {
            return Err(unsupported_format(code));
        }
        if formats.len() > 1 && formats.len() != statement.column_count(self) {
            let message = format!(
                "bind message has {} result formats but query has {} columns",
                formats.len(),
                statement.column_count(self)
            );
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        self.portals.insert(name, Portal { statement, parameters, formats, state: PortalState::Ready });
        self.writer.bind_complete();
        Ok(())
    }

    fn parameters(&self, time: &TimeContext, bind: &Bind, statement: &Statement) -> Result<Vec<Value>, SqlError> {
        let (given, needed) = (bind.parameters.len(), statement.types.len());
        let formats = Formats::new(bind.parameter_format_codes.clone());
        if formats.len() > 1 && formats.len() != given {
            let message = format!("bind message has {} parameter formats but {given} parameters", formats.len());
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        if given != needed {
            let name = bind.statement_name.as_deref().unwrap_or_default();
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {needed}"
            );
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        if let Some(code) = formats.unknown_code() {
            return Err(unsupported_format(code));
        }
        let mut values = Vec::with_capacity(given);
        for (index, (bytes, data_type)) in bind.parameters.iter().zip(&statement.types).enumerate() {
            values.push(match bytes {
                None => Value::Null,
                Some(bytes) => values::decode(bytes, index + 1, *data_type, formats.get(index), time)?,
            });
        }
        Ok(values)
    }

    /// Describe.
    pub(super) fn perform_describe(&mut self, turn: &mut Turn<'_>, kind: u8, name: String) {
        let found = match kind {
            b'S' => self.statement(&name).map(|statement| (Arc::clone(statement), Formats::default())),
            b'P' => self
                .portals
                .get(&name)
                .map(|portal| (Arc::clone(&portal.statement), portal.formats.clone()))
                .ok_or_else(|| no_portal(&name)),
            _ => Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, "invalid DESCRIBE message subtype")),
        };
        let (statement, formats) = match found {
            Ok(found) => found,
            Err(error) => return self.fail(turn, error),
        };
        if matches!(statement.parsed.kind, Kind::Query | Kind::Write | Kind::Explain) {
            match self.plan_of(turn, &statement) {
                Ok(plan) => {
                    self.describe_parameters(kind, &statement);
                    if plan.returns_rows() {
                        let columns = plan.columns().iter().map(|column| (column.name.as_str(), column.data_type));
                        self.writer.row_description(columns, &formats);
                    } else {
                        self.writer.no_data();
                    }
                }
                Err(error) => self.confirm(turn, Task::Describe(kind, name), error),
            }
            return;
        }
        self.describe_parameters(kind, &statement);
        match self.utility_columns(&statement.parsed.kind) {
            Some(columns) => {
                let columns = columns.iter().map(|column| (column.as_str(), DataType::Text));
                self.writer.row_description(columns, &formats);
            }
            None => self.writer.no_data(),
        }
    }

    fn describe_parameters(&mut self, kind: u8, statement: &Statement) {
        if kind == b'S' {
            self.writer.parameter_description(&statement.types);
        }
    }

    /// Execute.
    pub(super) fn perform_execute(&mut self, turn: &mut Turn<'_>, name: String, max_rows: usize) {
        let Some(portal) = self.portals.get(&name) else { return self.fail(turn, no_portal(&name)) };
        let statement = Arc::clone(&portal.statement);
        match portal.state {
            PortalState::Ready => {}
            PortalState::Rows { .. } => return self.fetch(turn, &name, max_rows),
            PortalState::Done if statement.parsed.kind == Kind::Query => {
                return self.writer.command_complete("SELECT 0");
            }
            PortalState::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                return self.fail(turn, SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
            }
        }
        let kind = &statement.parsed.kind;
        if let Err(error) = self.allowed(kind).and_then(|()| self.covered_by_token(kind)) {
            return self.fail(turn, error);
        }
        let task = Task::Execute(name, max_rows);
        let Some(Task::Execute(name, max_rows)) = self.join_pipeline(turn, &statement.parsed.kind, task) else {
            return;
        };
        self.defer_in_block(turn);
        match statement.parsed.kind {
            Kind::Transaction(ref transaction) => {
                self.finish_portal(&name);
                self.transact(turn, transaction, Origin::Portal(name, max_rows));
            }
            Kind::Query | Kind::Write => match self.plan_of(turn, &statement) {
                Ok(plan) => {
                    // A portal runs once.
                    let parameters = self.portals.get_mut(&name).map(|portal| std::mem::take(&mut portal.parameters));
                    let item =
                        Item::new(&statement.parsed, plan, statement.known.clone(), parameters.unwrap_or_default());
                    self.execute_batch(turn, vec![item], Origin::Portal(name, max_rows));
                }
                Err(error) => self.confirm(turn, Task::Execute(name, max_rows), error),
            },
            Kind::Explain if !self.confirmed => self.refresh(turn, Task::Execute(name, max_rows)),
            Kind::Explain => match self.plan_of(turn, &statement) {
                Ok(plan) => {
                    let parameters = self.portals.get_mut(&name).map(|portal| std::mem::take(&mut portal.parameters));
                    let item =
                        Item::new(&statement.parsed, plan, statement.known.clone(), parameters.unwrap_or_default());
                    self.execute_here(turn, &[item], Origin::Portal(name, max_rows));
                }
                Err(error) => self.fail(turn, error),
            },
            Kind::Define if self.in_block() && !planted!(228) => {
                self.finish_portal(&name);
                self.define_in_block(turn, statement.parsed.clone(), Origin::Portal(name, max_rows));
            }
            Kind::Define => {
                self.finish_portal(&name);
                self.define(turn, statement.parsed.clone(), Origin::Portal(name, max_rows));
            }
            Kind::Administer(ref change) => {
                self.finish_portal(&name);
                self.administer(turn, change, &statement.parsed.text, Origin::Portal(name, max_rows));
            }
            Kind::Constraints(ref told) => {
                self.finish_portal(&name);
                self.set_constraints(turn, &statement.parsed, told, Origin::Portal(name, max_rows));
            }
            Kind::Recover(node) => {
                self.finish_portal(&name);
                self.recover(turn, node, Origin::Portal(name, max_rows));
            }
            Kind::Copy(_) => self.begin_copy(turn, Task::Execute(name, max_rows)),
            Kind::Maintain(ref maintain) => match self.maintain(turn, maintain) {
                Ok(answer) => {
                    self.finish_portal(&name);
                    self.write_answer(&answer, false, &Formats::default());
                }
                Err(error) => self.confirm(turn, Task::Execute(name, max_rows), error),
            },
            _ => {
                self.finish_portal(&name);
                let formats = self.portals.get(&name).map(|portal| portal.formats.clone()).unwrap_or_default();
                match self.utility(&statement.parsed.kind) {
                    Ok(answer) => self.write_answer(&answer, false, &formats),
                    Err(error) => self.fail(turn, error),
                }
            }
        }
    }

    pub(super) fn finish_portal(&mut self, name: &str) {
        if let Some(portal) = self.portals.get_mut(name) {
            portal.state = PortalState::Done;
        }
    }

    /// The portal's statement is to be begun again.
    pub(super) fn rewind_portal(&mut self, name: &str) {
        if let Some(portal) = self.portals.get_mut(name) {
            portal.state = PortalState::Ready;
        }
    }

    /// The portal's statement has been executed.
    pub(super) fn fill_portal(
        &mut self,
        turn: &mut Turn<'_>,
        name: &str,
        max_rows: usize,
        plan: Arc<Prepared>,
        result: sql::StatementResult,
    ) {
        if !plan.returns_rows() {
            self.finish_portal(name);
            return self.writer.command_complete(&plan.tag(result.affected));
        }
        if let Some(portal) = self.portals.get_mut(name) {
            portal.state = PortalState::Rows { rows: result.rows.into(), plan, affected: result.affected };
        }
        self.fetch(turn, name, max_rows);
    }

    /// Hands out rows of a portal that has been run.
    fn fetch(&mut self, turn: &mut Turn<'_>, name: &str, max_rows: usize) {
        let Some(mut portal) = self.portals.remove(name) else { return };
        if let PortalState::Rows { rows, plan, affected } = &mut portal.state {
            let limit = if max_rows == 0 { usize::MAX } else { max_rows };
            let mut sent = 0;
            while sent < limit
                && let Some(row) = rows.pop_front()
            {
                self.writer.data_row(&row, &portal.formats, &self.zone);
                self.hand_over_pieces(turn);
                sent += 1;
            }
            if sent == limit {
                // As in PostgreSQL: that there is nothing more shows only when more is asked for.
                self.writer.portal_suspended();
            } else {
                let count = if plan.is_read_only() { u64::try_from(sent).unwrap_or(u64::MAX) } else { *affected };
                self.writer.command_complete(&plan.tag(count));
                portal.state = PortalState::Done;
            }
        }
        self.portals.insert(name.to_owned(), portal);
    }

    fn close(&mut self, kind: u8, name: &str) -> Result<(), SqlError> {
        match kind {
            b'S' => {
                self.statements.remove(name);
            }
            b'P' => {
                self.portals.remove(name);
            }
            _ => return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, "invalid CLOSE message subtype")),
        }
        self.writer.close_complete();
        Ok(())
    }

    /// Writes what the session itself has answered.
    pub(super) fn write_answer(&mut self, answer: &Answer, described: bool, formats: &Formats) {
        for (severity, notice) in &answer.notices {
            self.writer.notice(*severity, notice);
            self.flush = true;
        }
        for (name, value) in &answer.reports {
            self.writer.parameter_status(name, value);
        }
        if let Some((columns, rows)) = &answer.rows {
            if described {
                let columns = columns.iter().map(|column| (column.as_str(), DataType::Text));
                self.writer.row_description(columns, formats);
            }
            for row in rows {
                self.writer.data_row(row, formats, &self.zone);
            }
        }
        match answer.tag {
            Some(tag) => self.writer.command_complete(tag),
            None => self.writer.empty_query(),
        }
    }
}

impl Statement {
    fn column_count(&self, connection: &Connection) -> usize {
        match connection.utility_columns(&self.parsed.kind) {
            Some(columns) => columns.len(),
            None => self.columns.len(),
        }
    }
}

/// The error with its position moved by that many characters.
pub(super) fn shifted(mut error: SqlError, offset: u32) -> SqlError {
    error.position = error.position.map(|position| position.saturating_add(offset));
    error
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn unsupported_format(code: i16) -> SqlError {
    debug_assert!(Format::from_code(code).is_none());
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {code}"))
}

/// Types that the client declares; 0 and `unknown` leave the choice to the planner.
fn declared_types(oids: &[u32]) -> Result<Vec<Option<DataType>>, SqlError> {
    const UNKNOWN: u32 = 705;
    oids.iter()
        .enumerate()
        .map(|(index, oid)| match (*oid, DataType::from_oid(*oid)) {
            (0 | UNKNOWN, _) => Ok(None),
            (_, Some(data_type)) => Ok(Some(data_type)),
            (oid, None) => Err(SqlError::unsupported(format!(
                "parameter ${} has a type that Orrery does not have (OID {oid})",
                index + 1
            ))),
        })
        .collect()
}
