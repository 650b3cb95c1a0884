//! From the first byte to the first ReadyForQuery.

use super::leaving::newcomer_refused;
use super::{Cancel, Connection, Phase, Task};
use crate::catalog::BUILT_IN_DATABASES;
use crate::session::codec::{self, Malformed, Opening};
use crate::session::settings::Settings;
use crate::session::shared::Turn;
use crate::sometimes;
use crate::types::{SessionId, SqlError, SqlState};
use pgwire::messages::startup::Startup;

/// Newest minor version of protocol 3 that is spoken.
const NEWEST_MINOR: u16 = 2;
/// Most databases that are named to whoever asks for one that is not there.
const MAX_HINTED: usize = 8;

/// What came of looking at the input.
pub(super) enum Taken {
    /// No packet is whole.
    Nothing,
    /// A packet was dealt with.
    Something,
    /// A cancel request; the connection is over.
    Cancel(Cancel),
}

impl Connection {
    /// Takes one packet, if one is whole.
    pub(super) fn take_opening(&mut self, turn: &mut Turn<'_>) -> Taken {
        match codec::opening(&mut self.input) {
            Ok(None) => return Taken::Nothing,
            Ok(Some(Opening::Ssl | Opening::Gss)) => {
                self.writer.decline_encryption();
                self.flush = true;
            }
            Ok(Some(Opening::Cancel(process, secret))) => {
                self.leave_silently(turn);
                return Taken::Cancel(Cancel { process, secret });
            }
            Ok(Some(Opening::Startup(startup))) => {
                if let Err(error) = self.startup(turn, startup) {
                    self.fatal(turn, &error);
                }
            }
            Err(Malformed::Protocol(error) | Malformed::Encoding(_, error)) => self.violation(turn, &error),
        }
        Taken::Something
    }

    fn startup(&mut self, turn: &mut Turn<'_>, startup: Startup) -> Result<(), SqlError> {
        // Only protocol 3.2 knows keys longer than four bytes.
        if startup.protocol_number_minor < 2 {
            self.secret.truncate(4);
        }
        let options: Vec<_> = startup.parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
        if startup.protocol_number_minor > NEWEST_MINOR || !options.is_empty() {
            self.writer.negotiate(startup.protocol_number_minor.min(NEWEST_MINOR), options);
        }
        if turn.shared.stopping.is_some() {
            return Err(newcomer_refused());
        }
        let parameter = |name: &str| startup.parameters.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let user = parameter("user").ok_or_else(|| {
            let message = "no PostgreSQL user name specified in startup packet";
            SqlError::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message)
        })?;
        if parameter("replication").is_some_and(|value| !matches!(value, "off" | "false" | "no" | "0")) {
            return Err(SqlError::unsupported("streaming replication is not supported"));
        }
        // PostgreSQL takes the user's name for a missing database; nobody has one of his own here.
        let database = parameter("database").unwrap_or(BUILT_IN_DATABASES[0]);
        if turn.shared.sessions >= turn.shared.config.max_connections {
            turn.shared.stats.refused += 1;
            return Err(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
        }
        self.settings = Settings::new(user, database);
        if let Some(options) = parameter("options") {
            self.startup_options(options)?;
        }
        for (name, value) in &startup.parameters {
            if !matches!(name.as_str(), "user" | "database" | "options" | "replication") && !name.starts_with("_pq_.") {
                self.settings.set_at_start(name, value)?;
            }
        }
        self.look_up_zone();
        turn.shared.sessions += 1;
        self.phase = Phase::Waiting(turn.now + turn.shared.config.statement_timeout);
        if let Some(number) = turn.shared.number {
            self.complete_startup(turn, number);
        }
        Ok(())
    }

    /// `options`: `-c name=value` and `--name=value`, as psql's PGOPTIONS sends them. A backslash keeps the next character.
    fn startup_options(&mut self, options: &str) -> Result<(), SqlError> {
        let mut words = split_options(options).into_iter();
        while let Some(word) = words.next() {
            let assignment = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
                Some("") => words.next().unwrap_or_default(),
                Some(rest) => rest.to_owned(),
                None => {
                    let message = format!("invalid command-line argument for server process: {word}");
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                }
            };
            let (name, value) = assignment.split_once('=').ok_or_else(|| {
                let message = format!("-c {assignment} requires a value");
                SqlError::new(SqlState::SYNTAX_ERROR, message)
            })?;
            self.settings.set_at_start(&name.replace('-', "_"), value)?;
        }
        Ok(())
    }

    /// The gateway has its number: the session begins.
    pub(super) fn complete_startup(&mut self, turn: &mut Turn<'_>, number: u64) {
        self.session = SessionId { gateway: number, counter: self.session.counter };
        self.phase = Phase::Open;
        self.begin(turn);
        self.enter(turn);
    }

    /// The session begins if its database exists. One that is not known here is asked for first.
    pub(super) fn enter(&mut self, turn: &mut Turn<'_>) {
        let database = &self.settings.travelling().database;
        if turn.shared.catalog.has_database(database) {
            return self.greet(turn);
        }
        if !self.confirmed {
            sometimes!("session.database_looked_up");
            return self.refresh(turn, Task::Enter);
        }
        let others = turn.shared.catalog.databases.iter().map(String::as_str);
        let known: Vec<_> = BUILT_IN_DATABASES.into_iter().chain(others.take(MAX_HINTED)).collect();
        let message = format!("database \"{database}\" does not exist");
        let error = SqlError::new(SqlState::INVALID_CATALOG_NAME, message)
            .hint(format!("There are \"{}\"; CREATE DATABASE makes another.", known.join("\", \"")));
        self.fatal(turn, &error);
    }

    fn greet(&mut self, turn: &mut Turn<'_>) {
        if turn.shared.stopping.is_some() {
            return self.fatal(turn, &newcomer_refused());
        }
        self.greeted = true;
        self.writer.authentication_ok();
        for (name, value) in self.settings.reported() {
            self.writer.parameter_status(name, &value);
        }
        self.writer.key_data(self.process, &self.secret);
        self.begin(turn);
        self.ready_for_query();
    }

    /// Too many connections for even one more startup packet.
    pub(in crate::session) fn refuse(&mut self, turn: &mut Turn<'_>) {
        turn.shared.stats.refused += 1;
        let error = SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
        self.fatal(turn, &error);
    }
}

fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = options.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => word.extend(characters.next()),
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
