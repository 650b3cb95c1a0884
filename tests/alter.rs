//! Random ALTERs and rows against a model: what a table shows must not depend on when its columns came, and one partition
//! and several must show the same.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

mod engine;

use engine::cluster::Cluster;
use engine::{Engine, shown};
use orrery::types::{SqlState, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Columns by name: in the order of definition, each with its default.
#[derive(Clone, Debug, Default)]
struct Model {
    columns: Vec<(String, Option<i64>)>,
    rows: BTreeMap<i64, Vec<Option<i64>>>,
    names: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Insert { id: i64, value: Option<i64> },
    Update { id: i64, column: usize, value: Option<i64> },
    Delete { id: i64 },
    Add { default: Option<i64>, indexed: bool },
    AddAndForget { default: i64, later: i64 },
    Drop { column: usize },
    Rename { column: usize },
    Default { column: usize, default: Option<i64> },
    NotNull { column: usize },
    Widen { column: usize, expression: bool },
    Index { column: usize },
    Check { column: usize, above: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![3 => (0..9_i64).prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![
        6 => (0..12_i64, value.clone()).prop_map(|(id, value)| Step::Insert { id, value }),
        3 => (0..12_i64, 0..6_usize, value.clone()).prop_map(|(id, column, value)| Step::Update { id, column, value }),
        1 => (0..12_i64).prop_map(|id| Step::Delete { id }),
        4 => (value.clone(), any::<bool>()).prop_map(|(default, indexed)| Step::Add { default, indexed }),
        1 => (0..9_i64, 0..9_i64).prop_map(|(default, later)| Step::AddAndForget { default, later }),
        2 => (0..6_usize).prop_map(|column| Step::Drop { column }),
        1 => (0..6_usize).prop_map(|column| Step::Rename { column }),
        2 => (0..6_usize, value).prop_map(|(column, default)| Step::Default { column, default }),
        1 => (0..6_usize).prop_map(|column| Step::NotNull { column }),
        1 => (0..6_usize, any::<bool>()).prop_map(|(column, expression)| Step::Widen { column, expression }),
        1 => (0..6_usize).prop_map(|column| Step::Index { column }),
        1 => (0..6_usize, 0..5_i64).prop_map(|(column, above)| Step::Check { column, above }),
    ];
    proptest::collection::vec(step, 1..40)
}

fn literal(value: Option<i64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

impl Model {
    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    fn pick(&self, column: usize) -> Option<usize> {
        (!self.columns.is_empty()).then(|| column % self.columns.len())
    }

    /// The statement, and what it does if it is not refused.
    fn plan(&mut self, step: &Step) -> Option<(String, Self)> {
        let mut next = self.clone();
        let at = |column: usize| self.pick(column).map(|place| (place, self.columns[place].0.clone()));
        let text = match step {
            Step::Insert { id, value } => {
                let mut row: Vec<_> = self.columns.iter().map(|(_, default)| *default).collect();
                let (mut names, mut values) = ("id".to_owned(), id.to_string());
                if let (Some(first), Some((name, _))) = (row.first_mut(), self.columns.first()) {
                    *first = *value;
                    names = format!("id, {name}");
                    values = format!("{id}, {}", literal(*value));
                }
                next.rows.insert(*id, row);
                format!("INSERT INTO t ({names}) VALUES ({values})")
            }
            Step::Update { id, column, value } => {
                let (place, name) = at(*column)?;
                if let Some(row) = next.rows.get_mut(id) {
                    row[place] = *value;
                }
                format!("UPDATE t SET {name} = {} WHERE id = {id}", literal(*value))
            }
            Step::Delete { id } => {
                next.rows.remove(id);
                format!("DELETE FROM t WHERE id = {id}")
            }
            Step::Add { default, indexed } => {
                let name = next.new_name();
                next.columns.push((name.clone(), *default));
                next.rows.values_mut().for_each(|row| row.push(*default));
                let index = if *indexed { format!("; CREATE INDEX ON t ({name})") } else { String::new() };
                format!("ALTER TABLE t ADD COLUMN {name} int DEFAULT {}{index}", literal(*default))
            }
            Step::AddAndForget { default, later } => {
                let name = next.new_name();
                next.columns.push((name.clone(), Some(*later)));
                next.rows.values_mut().for_each(|row| row.push(Some(*default)));
                format!(
                    "ALTER TABLE t ADD COLUMN {name} int NOT NULL DEFAULT {default}, ALTER COLUMN {name} SET DEFAULT {later}"
                )
            }
            Step::Drop { column } => {
                let (place, name) = at(*column)?;
                next.columns.remove(place);
                for row in next.rows.values_mut() {
                    row.remove(place);
                }
                format!("ALTER TABLE t DROP COLUMN {name}")
            }
            Step::Rename { column } => {
                let (place, name) = at(*column)?;
                let new = next.new_name();
                next.columns[place].0.clone_from(&new);
                format!("ALTER TABLE t RENAME {name} TO {new}")
            }
            Step::Default { column, default } => {
                let (place, name) = at(*column)?;
                next.columns[place].1 = *default;
                format!("ALTER TABLE t ALTER {name} SET DEFAULT {}", literal(*default))
            }
            Step::NotNull { column } => format!("ALTER TABLE t ALTER {} SET NOT NULL", at(*column)?.1),
            Step::Widen { column, expression: false } => format!("ALTER TABLE t ALTER {} TYPE bigint", at(*column)?.1),
            Step::Widen { column, expression: true } => {
                let (place, name) = at(*column)?;
                for row in next.rows.values_mut() {
                    row[place] = row[place].map(|value| value + 1);
                }
                format!("ALTER TABLE t ALTER {name} TYPE bigint USING {name} + 1")
            }
            Step::Index { column } => format!("CREATE INDEX ON t ({} DESC)", at(*column)?.1),
            Step::Check { column, above } => {
                let name = at(*column)?.1;
                format!("ALTER TABLE t ADD CHECK ({name} >= {above} OR t.{name} IS NULL)")
            }
        };
        Some((text, next))
    }

    fn shown(&self) -> Vec<Vec<String>> {
        let cell = |value: &Option<i64>| shown(&value.map_or(Value::Null, Value::Int8));
        self.rows
            .iter()
            .map(|(id, row)| std::iter::once(id.to_string()).chain(row.iter().map(cell)).collect())
            .collect()
    }
}

fn cells(rows: &[Vec<Value>]) -> Vec<Vec<String>> {
    rows.iter().map(|row| row.iter().map(shown).collect()).collect()
}

/// What a statement may be refused with: what it asks of rows is not so, or a row is not.
fn is_fair(state: SqlState) -> bool {
    [SqlState::UNIQUE_VIOLATION, SqlState::NOT_NULL_VIOLATION, SqlState::CHECK_VIOLATION].contains(&state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_table_shows_its_columns_whenever_they_came(steps in steps()) {
        let (mut one, mut several) = (Engine::new(), Cluster::new(3));
        let mut model = Model::default();
        let create = "CREATE TABLE t (id int PRIMARY KEY)";
        one.run(create).unwrap();
        several.run(create).unwrap();
        for step in &steps {
            let Some((text, next)) = model.plan(step) else { continue };
            let told = one.run(&text).map(drop);
            let told_by_several = several.run(&text).map(drop);
            prop_assert_eq!(
                told.as_ref().map_err(|error| (error.state, &error.message)),
                told_by_several.as_ref().map_err(|error| (error.state, &error.message)),
                "{}", text
            );
            match told {
                Ok(()) => model = next,
                Err(error) => prop_assert!(is_fair(error.state), "{}: {}", text, error),
            }
            let all = "SELECT * FROM t ORDER BY id";
            prop_assert_eq!(cells(&one.run(all).unwrap()[0].result.rows), model.shown(), "{}", text);
            prop_assert_eq!(cells(&several.run(all).unwrap()[0].result.rows), model.shown(), "{}", text);
            // Along an index, if there is one, and with the missing values of old rows in its entries.
            for (place, (name, _)) in model.columns.iter().enumerate() {
                let found = one.run(&format!("SELECT id FROM t WHERE {name} = 3 ORDER BY id")).unwrap();
                let expected = model.rows.iter().filter(|(_, row)| row[place] == Some(3));
                let expected: Vec<_> = expected.map(|(id, _)| vec![id.to_string()]).collect();
                prop_assert_eq!(cells(&found[0].result.rows), expected, "{} after {}", name, text);
            }
        }
        several.check();
    }
}
