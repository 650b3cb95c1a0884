//! A corpus of SQL logic files from other databases, if there is one: the folder that the
//! environment variable `ORRERY_CORPUS` names.
//!
//! Prints how many records of each folder come out as recorded. It asserts no rate, only that nothing panics: the files
//! are written for other dialects, and what Orrery refuses it refuses with an error.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test bounds its own time")]

mod engine;

use engine::{Engine, shown};
use orrery::types::{SqlError, Value};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner, parse_file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time for the whole corpus, and for one file.
const BUDGET: Duration = Duration::from_secs(40);
const FILE_BUDGET: Duration = Duration::from_secs(4);

/// Statements that panicked.
static PANICS: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

struct Database(Engine);

#[derive(Debug)]
struct Failure(SqlError);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {}

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
        let engine = std::panic::AssertUnwindSafe(&mut self.0);
        let answer = std::panic::catch_unwind(|| {
            let engine = engine;
            engine.0.run(text)
        });
        let Ok(answer) = answer else {
            PANICS.lock().unwrap().push(text.to_owned());
            return Err(Failure(SqlError::new(orrery::types::SqlState::INTERNAL_ERROR, "panic")));
        };
        let answer = answer.map_err(Failure)?.pop();
        Ok(match answer {
            Some(answer) if !answer.columns.is_empty() => DBOutput::Rows {
                types: vec![DefaultColumnType::Any; answer.columns.len()],
                rows: answer.result.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
            },
            Some(answer) => DBOutput::StatementComplete(answer.result.affected),
            None => DBOutput::StatementComplete(0),
        })
    }

    fn engine_name(&self) -> &'static str {
        "postgresql"
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_in_the_corpus_panics() {
    let Ok(folder) = std::env::var("ORRERY_CORPUS").map(PathBuf::from) else {
        println!("skipped: ORRERY_CORPUS names no folder of SQL logic files");
        return;
    };
    let mut found = Vec::new();
    files(&folder, &mut found);
    if found.is_empty() {
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    // Small files first: the budget then reaches as many kinds as it can.
    found.sort_by_key(|path| (std::fs::metadata(path).map_or(0, |data| data.len()), path.clone()));
    let began = Instant::now();
    let mut rates: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let (mut ran, mut left) = (0, 0);
    for path in found {
        if began.elapsed() > BUDGET {
            left += 1;
            continue;
        }
        ran += 1;
        let name = path.strip_prefix(&folder).unwrap().parent().map(|p| p.display().to_string()).unwrap_or_default();
        let rate = rates.entry(name).or_default();
        run_file(&path, rate, &mut reasons);
    }
    for (folder, (good, all)) in &rates {
        println!("{folder}: {good} of {all}");
    }
    let (good, all) = rates.values().fold((0, 0), |sum, rate| (sum.0 + rate.0, sum.1 + rate.1));
    println!("{good} of {all} records as recorded; {ran} files, {left} left out for time");
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons.iter().take(40) {
        println!("{count:6} {reason}");
    }
    let panics = PANICS.lock().unwrap();
    assert!(panics.is_empty(), "{} statements panic: {:#?}", panics.len(), &panics[..panics.len().min(10)]);
}

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test's time limit")]
fn run_file(path: &Path, rate: &mut (u32, u32), reasons: &mut BTreeMap<String, u32>) {
    let Ok(records) = parse_file::<DefaultColumnType>(path) else {
        *reasons.entry("file not understood by the runner".to_owned()).or_default() += 1;
        return;
    };
    let mut runner = Runner::new(|| async { Ok(Database(Engine::new())) });
    runner.add_label("postgresql");
    let began = Instant::now();
    for record in records {
        if began.elapsed() > FILE_BUDGET || matches!(record, sqllogictest::Record::Halt { .. }) {
            break;
        }
        let counts = matches!(record, sqllogictest::Record::Statement { .. } | sqllogictest::Record::Query { .. });
        let result = runner.run(record);
        if counts {
            rate.1 += 1;
            match result {
                Ok(_) => rate.0 += 1,
                Err(error) => {
                    let text = error.display(false).to_string();
                    if std::env::var("ORRERY_CORPUS_SHOW").is_ok_and(|show| text.contains(&show)) {
                        println!("--- {}\n{text}", path.display());
                    }
                    let reason: String = text.lines().next().unwrap_or_default().chars().take(110).collect();
                    *reasons.entry(reason).or_default() += 1;
                }
            }
        }
    }
}
