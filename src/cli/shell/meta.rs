//! Commands that begin with a backslash.

use super::Shell;
use crate::cli::table::Style;
use crate::client::{Failure, Rows};

/// What comes after a command.
pub(super) enum Next {
    GoOn,
    Quit,
}

const HELP: &str = "\
  \\d [NAME]          tables, or one table with its columns, indexes and constraints
  \\ds                sequences
  \\dS                system tables: what can be known of the cluster
  \\timing [on|off]   show how long each statement takes
  \\x [on|off]        a line for each value
  \\conninfo          where this shell is connected
  \\?                 this list
  \\q                 end

A statement ends with a semicolon. SELECT * FROM system.nodes; shows the cluster.";

impl Shell {
    /// Runs a line that begins with a backslash.
    pub(super) fn command(&mut self, line: &str) -> Result<Next, Failure> {
        let mut words = line.trim_end_matches(';').split_whitespace();
        let (command, argument) = (words.next().unwrap_or_default(), words.next());
        match command {
            "\\q" => return Ok(Next::Quit),
            "\\?" | "\\h" | "\\help" => self.say(HELP),
            "\\timing" => {
                self.timing = switched(argument, self.timing);
                self.say(&format!("Timing is {}.", if self.timing { "on" } else { "off" }));
            }
            "\\x" => {
                let on = switched(argument, self.style == Style::Expanded);
                self.style = if on { Style::Expanded } else { Style::Aligned };
                self.say(&format!("Expanded display is {}.", if on { "on" } else { "off" }));
            }
            "\\conninfo" => {
                let target = &self.target;
                let text = format!(
                    "Connected to database \"{}\" as user \"{}\" on {} port {}, server {}.",
                    target.database,
                    target.user,
                    target.host,
                    target.port,
                    self.client.parameter("server_version").unwrap_or("unknown")
                );
                self.say(&text);
            }
            "\\ds" => self.sequences()?,
            "\\dS" => self.list("schema = 'system'", "description")?,
            "\\d" | "\\dt" => match argument {
                Some(name) => self.describe(name)?,
                None => self.list("schema <> 'system'", "primary_key, partition_key")?,
            },
            _ => {
                self.complain(&format!("invalid command {command}: \\? lists them"));
                self.failed = true;
            }
        }
        Ok(Next::GoOn)
    }

    fn list(&mut self, which: &str, more: &str) -> Result<(), Failure> {
        let query = format!("SELECT schema, name, {more} FROM system.tables WHERE {which} ORDER BY schema, name");
        let rows = self.client.rows(&query, super::DESCRIBE)?;
        if rows.rows.is_empty() {
            self.say("There are no tables.");
        } else {
            self.draw(&rows);
        }
        Ok(())
    }

    fn sequences(&mut self) -> Result<(), Failure> {
        let query = "SELECT schema, name, type, start_value, increment_by, owned_by FROM system.sequences \
                     ORDER BY schema, name";
        let rows = self.client.rows(query, super::DESCRIBE)?;
        if rows.rows.is_empty() {
            self.say("There are no sequences.");
        } else {
            self.draw(&rows);
        }
        Ok(())
    }

    fn describe(&mut self, name: &str) -> Result<(), Failure> {
        let (schema, table) = parts(name);
        let condition = |column: &str| match &schema {
            Some(schema) => format!("schema = {} AND {column} = {}", literal(schema), literal(&table)),
            None => format!("{column} = {} AND schema <> 'system'", literal(&table)),
        };
        let found = self.client.rows(
            &format!("SELECT schema, name, partition_key, placement FROM system.tables WHERE {}", condition("name")),
            super::DESCRIBE,
        )?;
        if found.rows.is_empty() {
            self.complain(&format!("there is no table \"{name}\": \\d lists them"));
            self.failed = true;
        }
        for row in &found.rows {
            let value = |place: usize| row.get(place).cloned().flatten();
            let (Some(schema), Some(table)) = (value(0), value(1)) else { continue };
            self.describe_one(&schema, &table, value(2), value(3).as_deref())?;
        }
        Ok(())
    }

    fn describe_one(
        &mut self,
        schema: &str,
        table: &str,
        partition_key: Option<String>,
        placement: Option<&str>,
    ) -> Result<(), Failure> {
        let of = format!("schema = {} AND table_name = {}", literal(schema), literal(table));
        let columns = self.client.rows(
            &format!(
                "SELECT name, type, CASE WHEN not_null THEN 'not null' END AS nullable, \
                 coalesce('generated ' || identity || ' as identity', default_value) AS default \
                 FROM system.columns WHERE {of} ORDER BY position"
            ),
            super::DESCRIBE,
        )?;
        self.say(&format!("Table {schema}.{table}"));
        self.draw(&columns);
        let indexes = self.client.rows(
            &format!(
                "SELECT name, CASE WHEN is_unique THEN 'UNIQUE ' ELSE '' END || '(' || columns || ')' || \
                 CASE WHEN state = 'active' THEN '' ELSE ', ' || state END FROM system.indexes WHERE {of} ORDER BY name"
            ),
            super::DESCRIBE,
        )?;
        let constraints = self.client.rows(
            &format!("SELECT name, definition FROM system.constraints WHERE {of} ORDER BY kind DESC, name"),
            super::DESCRIBE,
        )?;
        self.items("Constraints:", &constraints);
        self.items("Indexes:", &indexes);
        match (partition_key, placement) {
            (Some(key), Some("range")) => self.say(&format!("Partitioned by range of ({key})")),
            (Some(key), _) => self.say(&format!("Partitioned by ({key})")),
            (None, Some("replicated")) => self.say("Replicated: every partition has all rows"),
            (None, _) => {}
        }
        Ok(())
    }

    fn items(&mut self, heading: &str, rows: &Rows) {
        if !rows.rows.is_empty() {
            self.say(heading);
        }
        for row in &rows.rows {
            let values: Vec<_> = row.iter().flatten().map(String::as_str).collect();
            self.say(&format!("    {}", values.join("  ")));
        }
    }
}

fn switched(argument: Option<&str>, now: bool) -> bool {
    match argument {
        Some("on") => true,
        Some("off") => false,
        _ => !now,
    }
}

/// Schema, if one is named, and table; folded unless quoted.
fn parts(name: &str) -> (Option<String>, String) {
    let fold = |part: &str| match part.strip_prefix('"').and_then(|part| part.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => part.to_lowercase(),
    };
    match name.split_once('.') {
        Some((schema, table)) if !name.starts_with('"') || schema.ends_with('"') => (Some(fold(schema)), fold(table)),
        _ => (None, fold(name)),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_as_in_sql() {
        let both = |name: &str| {
            let (schema, table) = parts(name);
            format!("{schema:?} {table}")
        };
        assert_eq!(both("Planet"), "None planet");
        assert_eq!(both("My.\"Big Table\""), "Some(\"my\") Big Table");
        assert_eq!(both("\"a.b\""), "None a.b");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
