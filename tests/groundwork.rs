//! What a definition finds prepared must be what it would have made: two engines execute the same, one of them prepares
//! definitions while others write, as far as it happens to come, and they are compared byte by byte.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

mod engine;

use engine::Engine;
use orrery::types::Instant;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert {
        id: i64,
        a: Option<i64>,
        b: i64,
    },
    /// Several rows at once; their values change places.
    Turn {
        by: i64,
    },
    Set {
        id: i64,
        a: Option<i64>,
    },
    Delete {
        from: i64,
        to: i64,
    },
    Prepare(usize),
    Lay(usize),
    Define(usize),
    Other(usize),
}

/// What is prepared, and what takes it back.
const DEFINITIONS: [(&str, &str); 12] = [
    ("CREATE INDEX i0 ON t (b, a DESC)", "DROP INDEX i0"),
    ("CREATE UNIQUE INDEX i1 ON t (b)", "DROP INDEX i1"),
    ("ALTER TABLE t ADD CONSTRAINT i2 UNIQUE (a, b)", "ALTER TABLE t DROP CONSTRAINT i2"),
    ("ALTER TABLE t ADD CONSTRAINT c3 CHECK (a < 5 OR b % 2 = 0)", "ALTER TABLE t DROP CONSTRAINT c3"),
    ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", "ALTER TABLE t ALTER COLUMN a DROP NOT NULL"),
    ("ALTER TABLE u ADD PRIMARY KEY (b)", "ALTER TABLE u DROP CONSTRAINT u_pkey"),
    ("CREATE INDEX i6 ON u (a)", "DROP INDEX i6"),
    ("ALTER TABLE u ADD PRIMARY KEY (id, a)", "ALTER TABLE u DROP CONSTRAINT u_pkey, ALTER COLUMN a DROP NOT NULL"),
    ("ALTER TABLE t ALTER COLUMN a TYPE numeric USING a * 3", "ALTER TABLE t ALTER COLUMN a TYPE int8 USING a / 3"),
    ("ALTER TABLE u ALTER COLUMN b TYPE varchar(1)", "ALTER TABLE u ALTER COLUMN b TYPE int8 USING b::int8"),
    ("ALTER TABLE w ALTER COLUMN b TYPE int8 USING b / 20", "ALTER TABLE w ALTER COLUMN b TYPE int8 USING b * 20"),
    (
        "ALTER TABLE w ADD CONSTRAINT i11 UNIQUE (id, a), ALTER COLUMN b TYPE numeric",
        "ALTER TABLE w DROP CONSTRAINT i11, ALTER COLUMN b TYPE int8",
    ),
];

/// Definitions that come in between.
const OTHERS: [&str; 6] = [
    "TRUNCATE t",
    "ALTER TABLE t ADD COLUMN c int8 DEFAULT 7",
    "ALTER TABLE t DROP COLUMN c",
    "ALTER TABLE t ALTER COLUMN b TYPE numeric USING b + 1",
    "ALTER TABLE t RENAME COLUMN a TO d",
    "ALTER TABLE t RENAME COLUMN d TO a",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![5 => (0..12_i64).prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![
        9 => (0..40_i64, value.clone(), 0..60_i64).prop_map(|(id, a, b)| Step::Insert { id, a, b }),
        1 => (1..40_i64).prop_map(|by| Step::Turn { by }),
        2 => (0..40_i64, value).prop_map(|(id, a)| Step::Set { id, a }),
        1 => (0..40_i64, 0..40_i64).prop_map(|(from, to)| Step::Delete { from, to }),
        4 => (0..DEFINITIONS.len()).prop_map(Step::Prepare),
        5 => (0..9_usize).prop_map(Step::Lay),
        3 => (0..DEFINITIONS.len()).prop_map(Step::Define),
        1 => (0..OTHERS.len()).prop_map(Step::Other),
    ];
    proptest::collection::vec(step, 1..120)
}

fn literal(value: Option<i64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

/// What is executed in this step, on all tables.
fn texts(step: &Step) -> Vec<String> {
    let all = |text: &dyn Fn(&str) -> String| vec![text("t"), text("u"), text("w")];
    match step {
        Step::Insert { id, a, b } => {
            all(&|table| format!("INSERT INTO {table} (id, a, b) VALUES ({id}, {}, {b})", literal(*a)))
        }
        Step::Turn { by } => all(&|table| format!("UPDATE {table} SET b = (b + {by}) % 60 WHERE b < 60")),
        Step::Set { id, a } => all(&|table| format!("UPDATE {table} SET a = {} WHERE id = {id}", literal(*a))),
        Step::Delete { from, to } => all(&|table| format!("DELETE FROM {table} WHERE id > {from} AND id < {to}")),
        Step::Define(number) => vec![DEFINITIONS[*number].0.to_owned()],
        Step::Other(number) => vec![OTHERS[*number].to_owned()],
        Step::Prepare(_) | Step::Lay(_) => Vec::new(),
    }
}

fn run(engine: &mut Engine, text: &str) -> Result<(), String> {
    engine.run(text).map(drop).map_err(|error| format!("{error:?}"))
}

fn both() -> (Engine, Engine) {
    let (mut prepared, mut plain) = (Engine::new(), Engine::new());
    for engine in [&mut prepared, &mut plain] {
        run(engine, "CREATE TABLE t (id int8 PRIMARY KEY, a int8, b int8 NOT NULL)").unwrap();
        run(engine, "CREATE TABLE u (id int8, a int8, b int8)").unwrap();
        run(engine, "CREATE TABLE w (id int8, a int8, b int8, PRIMARY KEY (id, b))").unwrap();
    }
    (prepared, plain)
}

fn compare(prepared: &Engine, plain: &Engine, text: &str) {
    assert_eq!(prepared.catalog, plain.catalog, "after {text}");
    assert_eq!(prepared.store.digest(), plain.store.digest(), "after {text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_prepared_definition_comes_to_the_same(steps in steps()) {
        let (mut prepared, mut plain) = both();
        for step in &steps {
            match step {
                // A definition that is refused now may be none later.
                Step::Prepare(number) => drop(prepared.prepare(DEFINITIONS[*number].0)),
                Step::Lay(rows) => drop(prepared.groundwork.lay(&mut prepared.store, *rows)),
                _ => {}
            }
            for text in texts(step) {
                let (one, other) = (run(&mut prepared, &text), run(&mut plain, &text));
                prop_assert_eq!(&one, &other, "{}", &text);
                compare(&prepared, &plain, &text);
                if let (Step::Define(number), Ok(())) = (step, one) {
                    // So that it can come again.
                    for engine in [&mut prepared, &mut plain] {
                        run(engine, DEFINITIONS[*number].1).unwrap();
                    }
                }
            }
        }
    }
}

/// So many rows, and a definition that is prepared to the end.
fn prepared_to_the_end(definition: &str) -> (Engine, Engine) {
    let (mut prepared, mut plain) = both();
    for id in 0..100 {
        for engine in [&mut prepared, &mut plain] {
            for table in ["t", "u", "w"] {
                run(engine, &format!("INSERT INTO {table} VALUES ({id}, {id} % 7, {id})")).unwrap();
            }
        }
    }
    assert!(prepared.prepare(definition).unwrap() > 0);
    while prepared.groundwork.has_work(&prepared.store) {
        prepared.groundwork.lay(&mut prepared.store, 9);
    }
    assert_eq!(prepared.prepare(definition).unwrap(), 0);
    (prepared, plain)
}

#[test]
fn what_was_written_since_is_in_an_index_that_was_finished_before() {
    let definition = DEFINITIONS[0].0;
    let (mut prepared, mut plain) = prepared_to_the_end(definition);
    for text in ["UPDATE t SET b = b + 1000 WHERE id % 3 = 0", "DELETE FROM t WHERE id > 90", definition] {
        run(&mut prepared, text).unwrap();
        run(&mut plain, text).unwrap();
        compare(&prepared, &plain, text);
    }
}

#[test]
fn rows_that_change_places_break_no_unique() {
    let definition = DEFINITIONS[1].0;
    let (mut prepared, mut plain) = prepared_to_the_end(definition);
    for text in ["UPDATE t SET b = 99 - b", definition] {
        run(&mut prepared, text).unwrap();
        run(&mut plain, text).unwrap();
    }
    compare(&prepared, &plain, definition);
}

#[test]
fn a_row_that_comes_last_is_refused_like_any_other() {
    for (number, row) in [(1, "(1000, 0, 5)"), (3, "(1000, 9, 1)"), (4, "(1000, NULL, 1000)")] {
        let definition = DEFINITIONS[number].0;
        let (mut prepared, mut plain) = prepared_to_the_end(definition);
        let insert = format!("INSERT INTO t VALUES {row}");
        for engine in [&mut prepared, &mut plain] {
            run(engine, &insert).unwrap();
        }
        let refused = run(&mut prepared, definition);
        assert!(refused.is_err(), "{definition}");
        assert_eq!(refused, run(&mut plain, definition));
        compare(&prepared, &plain, definition);
    }
}

/// A definition, a row that stands in its way, and what takes it out again.
const IN_THE_WAY: [(&str, &str, &str); 5] = [
    (DEFINITIONS[1].0, "INSERT INTO t VALUES (1000, 0, 5)", "UPDATE t SET b = 1000 WHERE id = 5"),
    ("ALTER TABLE t ADD CHECK (b >= 0)", "INSERT INTO t VALUES (7000, 9, -1)", "DELETE FROM t WHERE id = 7000"),
    (DEFINITIONS[5].0, "INSERT INTO u VALUES (1000, 0, 5)", "DELETE FROM u WHERE id = 5"),
    (DEFINITIONS[11].0, "INSERT INTO w VALUES (50, 1, 1000)", "UPDATE w SET a = 70 WHERE id = 50 AND b = 50"),
    (
        "ALTER TABLE w ALTER COLUMN b TYPE int8 USING b / 200",
        "INSERT INTO w VALUES (-7, 1, 20), (-7, 1, 30)",
        "DELETE FROM w WHERE b = 20 AND id = -7",
    ),
];

#[test]
fn a_row_in_the_way_is_refused_without_looking_at_the_others_again_and_may_go() {
    for (definition, row, mended) in IN_THE_WAY {
        let (mut prepared, mut plain) = prepared_to_the_end(definition);
        for (text, refused) in [(row, false), (definition, true), (mended, false), (definition, false)] {
            prepared.groundwork.take_rows_in_turn();
            let one = run(&mut prepared, text);
            assert!(prepared.groundwork.take_rows_in_turn() < 9, "{definition} has looked at its rows again");
            assert_eq!(one, run(&mut plain, text), "{text}");
            assert_eq!(one.is_err(), refused, "{text}: {one:?}");
            compare(&prepared, &plain, text);
        }
    }
}

#[test]
fn preparation_stops_at_a_row_in_the_way_and_goes_on_when_it_is_out_of_it() {
    let (mut prepared, mut plain) = both();
    for id in 0..100 {
        for engine in [&mut prepared, &mut plain] {
            run(engine, &format!("INSERT INTO t VALUES ({id}, NULLIF({id} % 50, 7), {id})")).unwrap();
        }
    }
    let definition = DEFINITIONS[4].0;
    assert_eq!(prepared.prepare(definition).unwrap(), 100);
    while prepared.groundwork.has_work(&prepared.store) {
        prepared.groundwork.lay(&mut prepared.store, 9);
    }
    assert_eq!(prepared.prepare(definition).unwrap(), 0, "it is known what is wrong");
    for (mended, refused) in [("UPDATE t SET a = 1 WHERE id = 7", true), ("UPDATE t SET a = 1 WHERE id = 57", false)] {
        for engine in [&mut prepared, &mut plain] {
            run(engine, mended).unwrap();
        }
        while prepared.groundwork.has_work(&prepared.store) {
            prepared.groundwork.lay(&mut prepared.store, 9);
        }
        assert_eq!(prepared.prepare(definition).unwrap(), 0);
        prepared.groundwork.take_rows_in_turn();
        let (one, other) = (run(&mut prepared, definition), run(&mut plain, definition));
        assert_eq!((one.is_err(), &one), (refused, &other));
        assert_eq!(prepared.groundwork.take_rows_in_turn(), 0);
    }
    compare(&prepared, &plain, definition);
}

#[test]
fn what_nobody_asks_for_is_forgotten() {
    let (mut prepared, _) = prepared_to_the_end(DEFINITIONS[0].0);
    prepared.groundwork.expire(&mut prepared.store, Instant(1));
    run(&mut prepared, "INSERT INTO t VALUES (1000, 1, 1)").unwrap();
    assert_eq!(prepared.store.written(), 1, "it is followed");
    prepared.groundwork.expire(&mut prepared.store, Instant(u64::MAX));
    assert_eq!(prepared.store.written(), 0, "nobody wants to know any more");
    assert!(prepared.prepare(DEFINITIONS[0].0).unwrap() > 0, "it begins anew");
}
