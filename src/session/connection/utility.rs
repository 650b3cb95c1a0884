//! What the session itself answers: settings and prepared statements.

use super::Connection;
use crate::session::settings::{Report, Settings};
use crate::session::shared::Turn;
use crate::session::writer::Severity;
use crate::sql::{self, Discard, Drew, Kind, Maintain, Modes, SetScope, SetValue};
use crate::types::{SqlError, SqlState, Timestamp, Value};

/// An answer that no partition was asked for.
#[derive(Default)]
pub(super) struct Answer {
    /// Command tag; `None`: the statement was empty.
    pub(super) tag: Option<&'static str>,
    /// Columns, all text, and rows.
    pub(super) rows: Option<(Vec<String>, Vec<Vec<Value>>)>,
    pub(super) notices: Vec<(Severity, SqlError)>,
    /// Changed settings that the client wants to know.
    pub(super) reports: Vec<(&'static str, String)>,
}

impl Answer {
    pub(super) fn tag(tag: &'static str) -> Self {
        Self { tag: Some(tag), ..Self::default() }
    }

    /// With a warning that no block is open.
    pub(super) fn warning(tag: &'static str, message: &str) -> Self {
        Self::notice(tag, SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
    }

    /// With a warning.
    pub(super) fn notice(tag: &'static str, state: SqlState, message: &str) -> Self {
        Self { notices: vec![(Severity::Warning, SqlError::new(state, message))], ..Self::tag(tag) }
    }

    pub(super) fn reporting_all(mut self, reports: Vec<(&'static str, String)>) -> Self {
        self.reports.extend(reports);
        self
    }

    fn reporting(mut self, report: Report) -> Self {
        self.reports.extend(report);
        self
    }
}

impl Connection {
    /// VACUUM and ANALYZE: their tables must exist.
    pub(super) fn maintain(&self, turn: &Turn<'_>, statement: &Maintain) -> Result<Answer, SqlError> {
        sql::maintain(&self.drafted_catalog(turn), statement, self.settings.travelling()).map(Answer::tag)
    }

    /// Answers a statement that is the session's own business.
    pub(super) fn utility(&mut self, kind: &Kind) -> Result<Answer, SqlError> {
        if let Kind::Set { scope: SetScope::Local, name, .. } = kind {
            self.remember_local(name);
        }
        let answer = match kind {
            Kind::Set { scope: SetScope::Local, .. } if !self.in_block() => {
                Answer::warning("SET", "SET LOCAL can only be used in transaction blocks")
            }
            Kind::Set { name, value: SetValue::Default, .. } => {
                Answer::tag("SET").reporting(self.settings.reset(name)?)
            }
            Kind::Set { name, value: SetValue::List(values), .. } => {
                Answer::tag("SET").reporting(self.settings.set(name, &joined(name, values))?)
            }
            Kind::Show { name } => self.show(name)?,
            Kind::Reset { name: Some(name) } => Answer::tag("RESET").reporting(self.settings.reset(name)?),
            Kind::Reset { name: None } => Answer { reports: self.settings.reset_all(), ..Answer::tag("RESET") },
            Kind::Discard(what) => self.discard(*what),
            Kind::Deallocate { name } => self.deallocate(name.as_deref())?,
            Kind::Empty
            | Kind::Query
            | Kind::Write
            | Kind::Explain
            | Kind::Define
            | Kind::Administer(_)
            | Kind::Copy(_)
            | Kind::Maintain(_)
            | Kind::Recover(_)
            | Kind::Constraints(_)
            | Kind::Transaction(_) => Answer::default(),
        };
        self.look_up_zone();
        Ok(answer)
    }

    /// Columns of the rows that such a statement returns, all of them text; `None`: it returns none.
    pub(super) fn utility_columns(&self, kind: &Kind) -> Option<Vec<String>> {
        match kind {
            Kind::Show { name } if name == "all" => Some(all_columns()),
            Kind::Show { name } => Some(vec![self.settings.show(name).map_or_else(|_| name.clone(), |(name, _)| name)]),
            _ => None,
        }
    }

    fn show(&self, name: &str) -> Result<Answer, SqlError> {
        let text = |text: &str| Value::Text(text.into());
        let rows = if name == "all" {
            let all = self.settings.show_all();
            let rows = all.map(|(name, value, description)| vec![text(name), text(&value), text(description)]);
            (all_columns(), rows.collect())
        } else {
            let (name, value) = self.settings.show(name)?;
            (vec![name], vec![vec![text(&value)]])
        };
        Ok(Answer { rows: Some(rows), ..Answer::tag("SHOW") })
    }

    pub(super) fn session_modes(&mut self, modes: &Modes) -> Result<Answer, SqlError> {
        let mut answer = Answer::tag("SET");
        if let Some(read_only) = modes.read_only {
            let value = if read_only { "on" } else { "off" };
            answer = answer.reporting(self.settings.set("default_transaction_read_only", value)?);
        }
        if let Some(isolation) = &modes.isolation {
            answer = answer.reporting(self.settings.set("default_transaction_isolation", isolation)?);
        }
        if let Some(deferrable) = modes.deferrable {
            let value = if deferrable { "on" } else { "off" };
            answer = answer.reporting(self.settings.set("default_transaction_deferrable", value)?);
        }
        Ok(answer)
    }

    fn discard(&mut self, what: Discard) -> Answer {
        match what {
            Discard::All => {
                self.drew = Drew::default();
                self.statements.clear();
                Answer { reports: self.settings.reset_all(), ..Answer::tag("DISCARD ALL") }
            }
            Discard::Plans => Answer::tag("DISCARD PLANS"),
            Discard::Sequences => {
                self.drew = Drew::default();
                Answer::tag("DISCARD SEQUENCES")
            }
            Discard::Temporary => Answer::tag("DISCARD TEMP"),
        }
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<Answer, SqlError> {
        let Some(name) = name else {
            self.statements.clear();
            return Ok(Answer::tag("DEALLOCATE ALL"));
        };
        if self.statements.remove(name).is_none() {
            let message = format!("prepared statement \"{name}\" does not exist");
            return Err(SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message));
        }
        Ok(Answer::tag("DEALLOCATE"))
    }
}

fn all_columns() -> Vec<String> {
    ["name", "setting", "description"].map(str::to_owned).to_vec()
}

/// Values of a SET as one text. Names of a search path keep their spelling by quotes.
fn joined(name: &str, values: &[String]) -> String {
    let quoted = |value: &String| {
        let plain = value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain && !value.is_empty() { value.clone() } else { format!("\"{}\"", value.replace('"', "\"\"")) }
    };
    let values: Vec<_> = if name == "search_path" { values.iter().map(quoted).collect() } else { values.to_vec() };
    values.join(", ")
}

/// Surroundings of a statement that is evaluated here.
pub(super) fn context(turn: &mut Turn<'_>, now: Timestamp, settings: &Settings, process: i32) -> sql::Context {
    let dice = turn.shared.dice();
    let mut context = sql::Context::of(&turn.shared.catalog, settings.travelling(), now, dice, 0);
    context.session.backend = process;
    context
}
