//! SQL logic files: `tests/sql/**.slt` against the engine, without sessions and network.
//!
//! `query` compares rows as PostgreSQL prints them (NULL as `NULL`, an empty string as `(empty)`), `statement error`
//! matches `SQLSTATE: message`, followed by detail, hint and position if there are any.

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
