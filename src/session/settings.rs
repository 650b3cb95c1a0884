//! Settings of a session: one literal list of what can be set and shown, and what a session has made of it.

use crate::catalog::stored_schema;
use crate::partition::message;
use crate::sql::Deferral;
use crate::types::datetime::TimeZone;
use crate::types::{Duration, SqlError, SqlState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version of PostgreSQL whose behaviour drivers may expect; they parse its beginning.
const SERVER_VERSION: &str = concat!("15.0 (Orrery ", env!("CARGO_PKG_VERSION"), ")");

/// The idempotency token.
const TOKEN: &str = "orrery.idempotency_token";

/// What values a setting takes.
#[derive(Clone, Copy)]
enum Domain {
    /// Shown, never set.
    ReadOnly,
    /// Any text.
    Text,
    /// `on` or `off`.
    Bool,
    /// A whole number in the range.
    Integer(i64, i64),
    /// Milliseconds, or a number with a unit; shown with the largest unit that divides it.
    Milliseconds,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The encoding of clients: UTF-8 under any of its names.
    Utf8,
    /// Text of at most so many bytes.
    Short(usize),
    /// `DateStyle`: ISO, with any order of day and month.
    DateStyle,
    /// A time zone.
    TimeZone,
    /// Text cut to 63 bytes and kept to printable ASCII, as PostgreSQL does for `application_name`.
    Name,
}

/// An entry of the list.
struct Setting {
    name: &'static str,
    default: &'static str,
    domain: Domain,
    /// Reported to the client at startup and on each change (ParameterStatus).
    reported: bool,
    description: &'static str,
}

const fn setting(name: &'static str, default: &'static str, domain: Domain, description: &'static str) -> Setting {
    Setting { name, default, domain, reported: false, description }
}

const fn reported(name: &'static str, default: &'static str, domain: Domain, description: &'static str) -> Setting {
    Setting { name, default, domain, reported: true, description }
}

/// All settings, in the order of `SHOW ALL`. Those whose description says "accepted" have no effect: they are what
/// drivers and dumps set without asking.
#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    reported("application_name", "", Domain::Name, "Name of the application, for statistics and logs."),
    setting("bytea_output", "hex", Domain::OneOf(&["hex"]), "Output format of bytea: hex."),
    setting("check_function_bodies", "on", Domain::Bool, "Accepted; there are no functions to check."),
    reported("client_encoding", "UTF8", Domain::Utf8, "Encoding of clients: UTF-8."),
    setting("client_min_messages", "notice", Domain::OneOf(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]), "Least severity of messages that are sent."),
    reported("DateStyle", "ISO, MDY", Domain::DateStyle, "Output of dates (ISO), and the order of ambiguous input."),
    setting("default_table_access_method", "heap", Domain::OneOf(&["heap"]), "Accepted; rows live in memory."),
    setting("default_tablespace", "", Domain::Text, "Accepted; there are no tablespaces."),
    setting("default_transaction_deferrable", "off", Domain::Bool, "Accepted."),
    setting("default_transaction_isolation", "serializable", Domain::OneOf(&["serializable", "repeatable read", "read committed", "read uncommitted"]), "Accepted: every transaction is strictly serializable."),
    reported("default_transaction_read_only", "off", Domain::Bool, "Transactions may not write unless they say so."),
    setting("extra_float_digits", "1", Domain::Integer(-15, 3), "Accepted: floats are printed with the fewest digits that read back the same."),
    setting("idle_in_transaction_session_timeout", "0", Domain::Milliseconds, "A session that is idle in a transaction block for so long is closed; 0: never."),
    setting("idle_session_timeout", "0", Domain::Milliseconds, "A session that is idle outside of a block for so long is closed; 0: never."),
    reported("in_hot_standby", "off", Domain::ReadOnly, "Never."),
    reported("integer_datetimes", "on", Domain::ReadOnly, "Dates and times are integers."),
    reported("IntervalStyle", "postgres", Domain::OneOf(&["postgres"]), "Output of intervals."),
    reported("is_superuser", "on", Domain::ReadOnly, "Everybody is, until roles exist."),
    setting("jit", "off", Domain::Bool, "Accepted; nothing is compiled to machine code."),
    setting("lc_collate", "C", Domain::ReadOnly, "Texts are ordered by their bytes."),
    setting("lc_ctype", "C", Domain::ReadOnly, "Character classes."),
    setting("lc_messages", "C", Domain::Text, "Accepted; messages are English."),
    setting("lc_monetary", "C", Domain::Text, "Accepted."),
    setting("lc_numeric", "C", Domain::Text, "Accepted."),
    setting("lc_time", "C", Domain::Text, "Accepted."),
    setting("lock_timeout", "0", Domain::Milliseconds, "Accepted; nothing is locked."),
    setting("max_identifier_length", "63", Domain::ReadOnly, "Longest name, in bytes."),
    setting(TOKEN, "", Domain::Short(128), "What is executed under this name is executed once, however often it is asked for; '': it has none."),
    setting("row_security", "on", Domain::Bool, "Accepted; there are no row policies."),
    setting("search_path", "\"$user\", public", Domain::Text, "Schemas in which names are looked for."),
    reported("server_encoding", "UTF8", Domain::ReadOnly, "Encoding of the database."),
    reported("server_version", SERVER_VERSION, Domain::ReadOnly, "Version: PostgreSQL's that is followed, and Orrery's."),
    setting("server_version_num", "150000", Domain::ReadOnly, "The followed version as a number."),
    reported("session_authorization", "", Domain::ReadOnly, "The user of the session."),
    reported("standard_conforming_strings", "on", Domain::OneOf(&["on"]), "Backslashes in '…' are ordinary."),
    setting("statement_timeout", "0", Domain::Milliseconds, "Longest time for a statement; 0: the cluster's own limit."),
    setting("synchronize_seqscans", "on", Domain::Bool, "Accepted."),
    setting("synchronous_commit", "on", Domain::OneOf(&["on", "off", "local", "remote_write", "remote_apply"]), "Accepted: a write is acknowledged when a quorum has it on disk."),
    reported("TimeZone", "UTC", Domain::TimeZone, "Time zone of input and output."),
    setting("transaction_isolation", "serializable", Domain::OneOf(&["serializable", "repeatable read", "read committed", "read uncommitted"]), "Accepted: every transaction is strictly serializable."),
    setting("transaction_read_only", "off", Domain::OneOf(&["off"]), "Transactions may write."),
    setting("xmloption", "content", Domain::OneOf(&["content", "document"]), "Accepted."),
];

/// The settings of one session.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Values that differ from the list's defaults, by the list's spelling; names with a dot in lower case.
    values: BTreeMap<String, String>,
    /// What RESET goes back to: what the startup packet set.
    at_start: BTreeMap<String, String>,
    /// What travels with each batch, kept in step.
    travelling: Arc<message::Settings>,
}

/// A setting's change that the client must be told of.
pub(super) type Report = Option<(&'static str, String)>;

impl Settings {
    /// Settings of a session of `user` in `database`.
    pub(super) fn new(user: &str, database: &str) -> Self {
        let mut values = BTreeMap::new();
        values.insert("session_authorization".to_owned(), user.to_owned());
        let mut settings = Self { at_start: values.clone(), values, travelling: Arc::default() };
        settings.travelling =
            Arc::new(message::Settings { user: user.to_owned(), database: database.to_owned(), ..Default::default() });
        settings.refresh();
        settings
    }

    /// What travels with each batch.
    pub(super) const fn travelling(&self) -> &Arc<message::Settings> {
        &self.travelling
    }

    /// Sets a setting that came in the startup packet: RESET goes back to it.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub(super) fn set_at_start(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        self.set(name, value)?;
        self.at_start = self.values.clone();
        Ok(())
    }

    /// `SET name = value`.
    ///
    /// # Errors
    /// 42704 for an unknown name without a dot, 55P02 for one that cannot be changed, 22023 for a value outside its domain.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Report, SqlError> {
        let Some(setting) = find(name) else {
            let custom = custom_name(name)?;
            self.values.insert(custom, value.to_owned());
            return Ok(None);
        };
        let value = canonical(setting, value)?;
        if self.values.get(setting.name).map_or(setting.default, String::as_str) == value {
            return Ok(None);
        }
        let report = setting.reported.then(|| (setting.name, value.clone()));
        self.values.insert(setting.name.to_owned(), value);
        self.refresh();
        Ok(report)
    }

    /// `RESET name`, `SET name TO DEFAULT`.
    ///
    /// # Errors
    /// 42704 for an unknown name, 55P02 for one that cannot be changed.
    pub(super) fn reset(&mut self, name: &str) -> Result<Report, SqlError> {
        let Some(setting) = find(name) else {
            let custom = custom_name(name)?;
            self.values.remove(&custom);
            return Ok(None);
        };
        if matches!(setting.domain, Domain::ReadOnly) {
            return Err(read_only(setting));
        }
        Ok(self.reset_one(setting))
    }

    /// `RESET ALL`: what the client must be told of.
    pub(super) fn reset_all(&mut self) -> Vec<(&'static str, String)> {
        self.values.retain(|name, _| !name.contains('.'));
        SETTINGS.iter().filter_map(|setting| self.reset_one(setting)).collect()
    }

    /// Goes back to the settings that were before; returns the changes that the client wants to know.
    pub(super) fn restore(&mut self, before: Self) -> Vec<(&'static str, String)> {
        let now = std::mem::replace(self, before);
        self.reported().filter(|(name, value)| now.reported().any(|(n, v)| n == *name && v != *value)).collect()
    }

    fn reset_one(&mut self, setting: &Setting) -> Report {
        let before = self.get(setting);
        match self.at_start.get(setting.name) {
            Some(value) => self.values.insert(setting.name.to_owned(), value.clone()),
            None => self.values.remove(setting.name),
        };
        let after = self.get(setting);
        if before == after {
            return None;
        }
        self.refresh();
        setting.reported.then_some((setting.name, after))
    }

    /// `SHOW name`: the column's name and the value.
    ///
    /// # Errors
    /// 42704 for an unknown name.
    pub(super) fn show(&self, name: &str) -> Result<(String, String), SqlError> {
        match find(name) {
            Some(setting) => Ok((setting.name.to_owned(), self.get(setting))),
            None => {
                let folded = name.to_ascii_lowercase();
                match self.values.get(&folded) {
                    Some(value) if folded.contains('.') => Ok((folded, value.clone())),
                    _ => Err(unknown(name)),
                }
            }
        }
    }

    /// `SHOW ALL`: name, value, description.
    pub(super) fn show_all(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> + '_ {
        SETTINGS.iter().map(|setting| (setting.name, self.get(setting), setting.description))
    }

    /// What the client is told at startup.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        SETTINGS.iter().filter(|setting| setting.reported).map(|setting| (setting.name, self.get(setting)))
    }

    /// The idempotency token, if one is set.
    pub(super) fn idempotency_token(&self) -> Option<&str> {
        self.values.get(TOKEN).map(String::as_str).filter(|token| !token.is_empty())
    }

    /// The idempotency token is of no more use. Returns what it was.
    pub(super) fn forget_token(&mut self) -> Option<String> {
        self.idempotency_token()?;
        self.values.insert(TOKEN.to_owned(), String::new())
    }

    /// `statement_timeout`; `None`: not set.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    /// May transactions not write unless they say so?
    pub(super) fn reads_only(&self) -> bool {
        self.values.get("default_transaction_read_only").is_some_and(|value| value == "on")
    }

    /// How long the session may be idle, in a transaction block or outside; `None`: for ever.
    pub(super) fn idle_timeout(&self, in_block: bool) -> Option<Duration> {
        self.duration(if in_block { "idle_in_transaction_session_timeout" } else { "idle_session_timeout" })
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        let value = self.values.get(name)?;
        let milliseconds = parse_milliseconds(value).ok()?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds.unsigned_abs()))
    }

    /// Are notices of this severity wanted?
    pub(super) fn wants_notices(&self) -> bool {
        !matches!(self.values.get("client_min_messages").map(String::as_str), Some("warning" | "error"))
    }

    fn get(&self, setting: &Setting) -> String {
        self.values.get(setting.name).map_or(setting.default, String::as_str).to_owned()
    }

    /// Which constraints wait for COMMIT.
    pub(super) fn defer(&mut self, deferral: Option<Deferral>) {
        if self.travelling.deferral != deferral {
            Arc::make_mut(&mut self.travelling).deferral = deferral;
        }
    }

    /// Brings what travels into step.
    fn refresh(&mut self) {
        let path = find("search_path").map(|setting| self.get(setting)).unwrap_or_default();
        let user = self.travelling.user.clone();
        let mut search_path = parse_search_path(&path, &user);
        for schema in &mut search_path {
            *schema = stored_schema(&self.travelling.database, schema);
        }
        let travelling = message::Settings {
            search_path,
            time_zone: find("TimeZone").map(|setting| self.get(setting)).unwrap_or_default(),
            user,
            database: self.travelling.database.clone(),
            deferral: self.travelling.deferral.clone(),
        };
        if *self.travelling != travelling {
            self.travelling = Arc::new(travelling);
        }
    }
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn read_only(setting: &Setting) -> SqlError {
    // 55P02, cant_change_runtime_param.
    SqlError::new(SqlState(*b"55P02"), format!("parameter \"{}\" cannot be changed", setting.name))
}

/// A name with a dot belongs to an extension or an application: anybody may set it.
fn custom_name(name: &str) -> Result<String, SqlError> {
    if name.contains('.') && name.len() <= 128 { Ok(name.to_ascii_lowercase()) } else { Err(unknown(name)) }
}

fn invalid(setting: &Setting, value: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{}\": \"{value}\"", setting.name),
    )
}

/// The value as it is kept and shown.
fn canonical(setting: &Setting, value: &str) -> Result<String, SqlError> {
    match setting.domain {
        Domain::ReadOnly => Err(read_only(setting)),
        Domain::Text => Ok(value.to_owned()),
        Domain::Name => Ok(printable(value)),
        Domain::Short(most) if value.len() > most => {
            let message = format!("value of parameter \"{}\" is longer than {most} bytes", setting.name);
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
        Domain::Short(_) => Ok(value.to_owned()),
        Domain::Bool => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".to_owned()),
            "off" | "false" | "no" | "0" | "f" | "n" => Ok("off".to_owned()),
            _ => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", setting.name),
            )),
        },
        Domain::Integer(least, most) => match value.trim().parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
            Ok(number) => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("{number} is outside the valid range for parameter \"{}\" ({least} .. {most})", setting.name),
            )),
            Err(_) => Err(invalid(setting, value)),
        },
        Domain::Milliseconds => parse_milliseconds(value)
            .ok()
            .filter(|milliseconds| (0..=i64::from(i32::MAX)).contains(milliseconds))
            .map(show_milliseconds)
            .ok_or_else(|| invalid(setting, value)),
        Domain::OneOf(words) => one_of(setting, words, value),
        Domain::Utf8 => match value.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" => Ok("UTF8".to_owned()),
            _ => Err(invalid(setting, value).hint("Orrery speaks UTF8 only.")),
        },
        Domain::DateStyle => date_style(setting, value),
        Domain::TimeZone => time_zone(value).ok_or_else(|| invalid(setting, value)),
    }
}

fn one_of(setting: &Setting, words: &[&str], value: &str) -> Result<String, SqlError> {
    // What has no other value may be switched to it under any of a Boolean's names.
    let wanted = match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" if words.contains(&"on") => "on".to_owned(),
        "false" | "no" | "0" if words.contains(&"off") => "off".to_owned(),
        other => other.to_owned(),
    };
    words.iter().find(|word| **word == wanted).map(|word| (*word).to_owned()).ok_or_else(|| {
        let mut error = invalid(setting, value);
        error.hint = Some(format!("Available values: {}.", words.join(", ")));
        error
    })
}

fn date_style(setting: &Setting, value: &str) -> Result<String, SqlError> {
    let mut order = "MDY";
    for word in value.split(',').map(|word| word.trim().to_ascii_lowercase()) {
        match word.as_str() {
            "iso" | "default" => {}
            "mdy" | "us" | "noneuro" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return Err(invalid(setting, value).hint("Orrery prints dates in the ISO style only.")),
        }
    }
    // Only the ISO order is understood on input too; the word is kept because drivers compare it.
    Ok(format!("ISO, {order}"))
}

fn time_zone(value: &str) -> Option<String> {
    let trimmed = value.trim();
    match trimmed.to_ascii_lowercase().as_str() {
        "zulu" | "default" | "local" => return Some("UTC".to_owned()),
        _ => {}
    }
    TimeZone::parse(trimmed).ok().map(|zone| zone.name().to_owned())
}

fn printable(value: &str) -> String {
    value.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(63).collect()
}

fn parse_milliseconds(value: &str) -> Result<i64, ()> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(value.len());
    let number: i64 = value[..digits].parse().map_err(|_| ())?;
    let factor = match value[digits..].trim() {
        "" | "ms" => 1,
        "us" => return Ok(number / 1000),
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(()),
    };
    number.checked_mul(factor).ok_or(())
}

fn show_milliseconds(milliseconds: i64) -> String {
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")] {
        if milliseconds != 0 && milliseconds % factor == 0 {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    if milliseconds == 0 { "0".to_owned() } else { format!("{milliseconds}ms") }
}

/// Names of `search_path`, folded and unquoted; `"$user"` is the user.
fn parse_search_path(path: &str, user: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut characters = path.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if quoted => name.push(c),
            c if c.is_whitespace() => {}
            c => name.extend(c.to_lowercase()),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    for name in &mut names {
        if name == "$user" {
            user.clone_into(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("ada", "orrery")
    }

    #[test]
    fn search_paths_travel_folded_and_unquoted() {
        let mut settings = settings();
        assert_eq!(settings.travelling().search_path, ["ada", "public"]);
        settings.set("SEARCH_PATH", "Foo, \"Bar\", \"a\"\"b\" ,pg_catalog").unwrap();
        assert_eq!(settings.travelling().search_path, ["foo", "Bar", "a\"b", "pg_catalog"]);
        settings.set("search_path", "").unwrap();
        assert!(settings.travelling().search_path.is_empty());
    }

    #[test]
    fn durations_take_units_and_are_shown_with_the_largest() {
        let mut settings = settings();
        for (value, shown) in [("1500", "1500ms"), ("2s", "2s"), ("120000", "2min"), ("0", "0"), ("7 ms", "7ms")] {
            settings.set("statement_timeout", value).unwrap();
            assert_eq!(settings.show("statement_timeout").unwrap().1, shown);
        }
        assert_eq!(settings.statement_timeout(), Some(Duration::from_millis(7)));
        for value in ["-1", "x", "9999999999d", ""] {
            assert_eq!(settings.set("statement_timeout", value).unwrap_err().state, SqlState::INVALID_PARAMETER_VALUE);
        }
    }

    #[test]
    fn only_changes_of_reported_settings_are_reported() {
        let mut settings = settings();
        assert_eq!(
            settings.set("application_name", "psql\u{1}").unwrap(),
            Some(("application_name", "psql?".to_owned()))
        );
        assert_eq!(settings.set("application_name", "psql?").unwrap(), None);
        assert_eq!(settings.set("extra_float_digits", "3").unwrap(), None);
        assert_eq!(settings.reset_all(), [("application_name", String::new())]);
    }

    #[test]
    fn names_with_a_dot_are_the_applications_own() {
        let mut settings = settings();
        assert_eq!(settings.set("my.thing", "7").unwrap(), None);
        assert_eq!(settings.show("My.Thing").unwrap(), ("my.thing".to_owned(), "7".to_owned()));
        assert_eq!(settings.set("nonsense", "7").unwrap_err().state, SqlState::UNDEFINED_OBJECT);
        assert_eq!(settings.show("nonsense").unwrap_err().state, SqlState::UNDEFINED_OBJECT);
    }

    #[test]
    fn what_cannot_be_otherwise_is_refused() {
        let mut settings = settings();
        for (name, value, state) in [
            ("server_version", "16", SqlState(*b"55P02")),
            ("client_encoding", "latin1", SqlState::INVALID_PARAMETER_VALUE),
            ("standard_conforming_strings", "off", SqlState::INVALID_PARAMETER_VALUE),
            ("DateStyle", "German", SqlState::INVALID_PARAMETER_VALUE),
            ("extra_float_digits", "4", SqlState::INVALID_PARAMETER_VALUE),
            ("row_security", "maybe", SqlState::INVALID_PARAMETER_VALUE),
        ] {
            assert_eq!(settings.set(name, value).unwrap_err().state, state, "{name}");
        }
        assert_eq!(settings.set("datestyle", "iso, dmy").unwrap(), Some(("DateStyle", "ISO, DMY".to_owned())));
        assert_eq!(settings.set("client_encoding", "utf-8").unwrap(), None);
    }
}
