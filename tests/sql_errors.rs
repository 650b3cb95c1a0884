//! Error texts, beside the statements that cause them: `tests/golden/sql/errors.sql`, one statement a line, and
//! `alter.sql`: ALTER TABLE with what rows look like afterwards.
//!
//! State, wording and position are PostgreSQL 15's where it has the error; the file was compared with it.

mod engine;

use engine::{Engine, shown};
use orrery::types::SqlError;

fn described(error: &SqlError) -> String {
    let mut text = error.to_string();
    if let Some(position) = error.position {
        text.push_str(&format!(" AT {position}"));
    }
    for (name, part) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
        if let Some(part) = part {
            text.push_str(&format!(" {name}: {part}"));
        }
    }
    text
}

/// What each statement of a script comes to.
fn outcomes(script: &str) -> String {
    let mut engine = Engine::new();
    let mut lines = String::new();
    for statement in script.lines() {
        let outcome = match engine.run(statement.trim_end_matches(';')) {
            Err(error) => described(&error),
            Ok(answers) => {
                let rows = answers.iter().flat_map(|answer| &answer.result.rows);
                let row = |row: &Vec<_>| row.iter().map(shown).collect::<Vec<_>>().join("|");
                let rows = rows.map(row).collect::<Vec<_>>().join(" ");
                let notices = answers.iter().flat_map(|answer| &answer.notices);
                let notices: String = notices.map(|notice| format!(" NOTICE: {}", notice.message)).collect();
                format!("ok {rows}{notices}")
            }
        };
        lines.push_str(&format!("{statement}\n  {}\n", outcome.trim_end()));
    }
    lines
}

fn compare(name: &str, script: &str) {
    insta::with_settings!({ snapshot_path => "golden/sql", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, outcomes(script));
    });
}

#[test]
fn errors_are_worded_as_postgresql_words_them() {
    compare("errors", include_str!("golden/sql/errors.sql"));
}

#[test]
fn tables_are_altered_as_postgresql_alters_them() {
    compare("alter", include_str!("golden/sql/alter.sql"));
}
