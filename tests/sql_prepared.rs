//! Prepared statements: inferred parameters, footprints, the cache.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

mod engine;

use engine::{Engine, shown};
use orrery::sql::{Footprint, Prepared, parse, prepare};
use orrery::types::{DataType, PartitionId, Value};

fn prepared(engine: &Engine, text: &str) -> Prepared {
    prepare(&engine.catalog, &parse(text).unwrap()[0], &engine.settings, &[]).unwrap()
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    engine.run("CREATE TABLE t (id bigint, k int, v text, n numeric(6,2), PRIMARY KEY (id, k))").unwrap();
    engine
}

#[test]
fn parameters_take_the_type_of_their_place() {
    let engine = engine();
    let types = |text: &str| prepared(&engine, text).parameters().to_vec();
    assert_eq!(types("SELECT * FROM t WHERE id = $1 AND v LIKE $2"), [DataType::Int8, DataType::Text]);
    assert_eq!(
        types("INSERT INTO t VALUES ($1, $2, $3, $4)"),
        [DataType::Int8, DataType::Int4, DataType::Text, DataType::Numeric(None)]
    );
    assert_eq!(
        types("UPDATE t SET n = n + $2 WHERE k IN ($1, $3)"),
        [DataType::Int4, DataType::Numeric(None), DataType::Int4]
    );
    assert_eq!(types("SELECT $1"), [DataType::Text]);
    assert_eq!(types("SELECT $1::date, $1"), [DataType::Date]);
    assert_eq!(types("SELECT v FROM t LIMIT $1 OFFSET $2"), [DataType::Int8, DataType::Int8]);
    assert_eq!(types("SELECT CASE WHEN $1 THEN $2 ELSE 1 END"), [DataType::Bool, DataType::Int4]);
    let error = prepare(&engine.catalog, &parse("SELECT $2::int").unwrap()[0], &engine.settings, &[]).unwrap_err();
    assert_eq!(error.to_string(), "42P18: could not determine data type of parameter $1");
}

#[test]
fn footprints_follow_the_partition_key() {
    let engine = engine();
    let at = |text: &str, parameters: &[Value]| prepared(&engine, text).footprint(parameters, 4).unwrap();
    let one = |text: &str, parameters: &[Value]| match at(text, parameters) {
        Footprint::One(partition) => partition,
        other => panic!("{text}: {other:?}"),
    };
    let home = one("SELECT * FROM t WHERE id = 7", &[]);
    assert_eq!(one("SELECT * FROM t WHERE id = $1 AND k > 3", &[Value::Int8(7)]), home);
    assert_eq!(one("INSERT INTO t VALUES ($1, 1, 'x', 1)", &[Value::Int8(7)]), home);
    assert_eq!(one("UPDATE t SET v = 'y' WHERE id = 7::smallint", &[]), home);
    assert_eq!(one("DELETE FROM t WHERE 7 = id", &[]), home);
    assert_eq!(at("SELECT 1", &[]), Footprint::Constant);
    let all = Footprint::Several((1..=4).map(PartitionId).collect());
    assert_eq!(at("SELECT * FROM t WHERE k = 7", &[]), all);
    assert_eq!(at("UPDATE t SET id = id + 1 WHERE id = 7", &[]), all);
    let mut both = vec![home, one("SELECT * FROM t WHERE id = 8", &[])];
    both.sort_unstable();
    assert_eq!(at("UPDATE t SET id = 8 WHERE id = 7", &[]), Footprint::Several(both));
    assert!(matches!(at("INSERT INTO t VALUES (1,1),(2,1),(3,1),(4,1),(5,1),(6,1)", &[]), Footprint::Several(_)));
    let whole = prepared(&engine, "SELECT * FROM t").footprint(&[], 1).unwrap();
    assert_eq!(whole, Footprint::One(PartitionId(1)));
}

#[test]
fn a_statement_does_not_see_its_own_writes() {
    let mut engine = engine();
    engine.run("INSERT INTO t SELECT column1, column1, 'x', 1 FROM (VALUES (1), (2), (3)) v").unwrap();
    engine.run("INSERT INTO t SELECT id + 10, k, v, n FROM t").unwrap();
    engine.run("UPDATE t SET n = n + (SELECT count(*) FROM t)").unwrap();
    let answer = engine.run("SELECT count(*), min(n), max(n) FROM t").unwrap().remove(0);
    let row: Vec<_> = answer.result.rows[0].iter().map(shown).collect();
    assert_eq!(row, ["6", "7.00", "7.00"]);
}

#[test]
fn a_failed_statement_leaves_nothing() {
    let mut engine = engine();
    engine.run("CREATE UNIQUE INDEX by_v ON t (v)").unwrap();
    engine.run("INSERT INTO t VALUES (1, 1, 'a', 1), (2, 2, 'b', 2), (3, 3, NULL, 3), (4, 4, NULL, 4)").unwrap();
    let digest = engine.store.digest();
    for text in [
        "INSERT INTO t VALUES (5, 5, 'c', 5), (6, 6, 'a', 6)",
        "UPDATE t SET v = 'z'",
        "UPDATE t SET id = 1, k = 1",
        "UPDATE t SET n = n / (id - 3)",
    ] {
        assert!(engine.run(text).is_err(), "{text}");
        assert_eq!(engine.store.digest(), digest, "{text}");
    }
}

#[test]
fn equal_texts_are_planned_once() {
    let mut engine = engine();
    for _ in 0..3 {
        engine.execute("SELECT v FROM t WHERE id = $1", &[Value::Int8(1)]).unwrap();
    }
    assert_eq!(engine.plans.len(), 1);
    engine.run("CREATE INDEX ON t (v)").unwrap();
    engine.execute("SELECT v FROM t WHERE id = $1", &[Value::Int8(1)]).unwrap();
    assert_eq!(engine.plans.len(), 2, "another catalog, another plan");
}
