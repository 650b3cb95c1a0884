//! SQL logic files: `tests/sql/**.slt` against the engine, without sessions and network.
//!
//! `query` compares rows as PostgreSQL prints them (NULL as `NULL`, an empty string as `(empty)`), `statement error`
//! matches `SQLSTATE: message`, followed by detail, hint and position if there are any.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

mod engine;

use engine::{Engine, shown};
use orrery::types::{DataType, SqlError, Value};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use std::path::{Path, PathBuf};

struct Database(Engine);

#[derive(Debug)]
struct Failure(SqlError);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = &self.0;
        write!(f, "{error}")?;
        let parts = [("DETAIL", &error.detail), ("HINT", &error.hint), ("CONSTRAINT", &error.constraint)];
        for (name, part) in parts {
            if let Some(part) = part {
                write!(f, " {name}: {part}")?;
            }
        }
        error.position.map_or(Ok(()), |position| write!(f, " AT {position}"))
    }
}

impl std::error::Error for Failure {}

fn column_type(data_type: DataType) -> DefaultColumnType {
    match data_type {
        DataType::Int2 | DataType::Int4 | DataType::Int8 => DefaultColumnType::Integer,
        DataType::Float8 | DataType::Numeric(_) => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) if text.is_empty() => "(empty)".to_owned(),
        other => shown(other),
    }
}

impl DB for Database {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, text: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let answer = self.0.run(text).map_err(Failure)?.pop();
        Ok(match answer {
            Some(answer) if !answer.columns.is_empty() => DBOutput::Rows {
                types: answer.columns.iter().map(|column| column_type(column.data_type)).collect(),
                rows: answer.result.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
            },
            Some(answer) => DBOutput::StatementComplete(answer.result.affected),
            None => DBOutput::StatementComplete(0),
        })
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
}

#[test]
fn sql_logic_files_hold() {
    let mut found = Vec::new();
    files(Path::new("tests/sql"), &mut found);
    found.sort();
    assert!(!found.is_empty(), "there are files to run");
    let mut failures = Vec::new();
    for path in found {
        let mut runner = Runner::new(|| async { Ok(Database(Engine::new())) });
        if let Err(error) = runner.run_file(&path) {
            failures.push(format!("{}\n{error}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Nesting and chains are refused past a limit; below it, and at it, the stack of a thread is enough.
#[test]
fn no_text_overflows_the_stack() {
    let texts = |n: usize| {
        vec![
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1", "- ".repeat(n)),
            format!("SELECT {}true", "NOT ".repeat(n)),
            format!("SELECT 1{}", " + 1".repeat(n)),
            format!("SELECT true{}", " AND true".repeat(n)),
            format!("SELECT true{}", " OR (false AND true)".repeat(n)),
            format!("SELECT 1{}", "::int".repeat(n)),
            format!("SELECT 'a'{}", " || 'b'".repeat(n)),
            format!("SELECT 1{}", " IS NULL".repeat(n)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n)),
            format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
            format!("SELECT * FROM {}(SELECT 1 AS a) x{}", "(SELECT * FROM ".repeat(n), ") x".repeat(n)),
            format!("SELECT {}1{}", "COALESCE(NULL, ".repeat(n), ")".repeat(n)),
            format!("SELECT 1 BETWEEN 0 AND {}2{}", "(1 BETWEEN 0 AND ".repeat(n), ")".repeat(n)),
        ]
    };
    for n in [1, 10, 30, 60, 63, 64, 65, 150, 190, 200, 210, 390, 410, 900, 1_990, 2_010, 5_000, 100_000] {
        for text in texts(n) {
            if let Err(error) = Engine::new().run(&text) {
                let state = error.state.as_str();
                let known = ["54001", "42883", "42804", "42601"].contains(&state);
                assert!(known, "{error} for {}", &text[..text.len().min(60)]);
                assert!(n > 10 || state != "54001", "{n} levels are not too many: {}", &text[..text.len().min(60)]);
            }
        }
    }
}
