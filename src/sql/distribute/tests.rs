//! How statements are divided, as plans: what each participant runs, and what is run over that.

use super::Division;
use crate::catalog::Catalog;
use crate::sql::plan::explain;
use crate::sql::{Settings, Surroundings, define, parse, prepare};
use crate::types::Timestamp;
use std::fmt::Write;

const TABLES: &[&str] = &[
    "CREATE TABLE a (id int PRIMARY KEY, g int, t text)",
    "CREATE TABLE b (x int, y int, v int, PRIMARY KEY (x, y))",
    "CREATE TABLE c (code text PRIMARY KEY, name text) WITH (REPLICATED)",
    "CREATE TABLE h (k int, v text)",
];

const STATEMENTS: &[&str] = &[
    "SELECT t FROM a WHERE g = 1",
    "SELECT t FROM a ORDER BY id LIMIT 3 OFFSET 2",
    "SELECT t FROM a ORDER BY g, t",
    "SELECT count(*), avg(g) FROM a WHERE t > 'x'",
    "SELECT g, sum(id) FROM a GROUP BY g HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 5",
    "SELECT x, sum(v) FROM b GROUP BY x",
    "SELECT count(DISTINCT g) FROM a",
    "SELECT DISTINCT g FROM a",
    "SELECT a.t, b.v FROM a JOIN b ON a.id = b.x",
    "SELECT a.t, c.name FROM a LEFT JOIN c ON a.t = c.code",
    "SELECT a.t, c.name FROM a RIGHT JOIN c ON a.t = c.code",
    "SELECT a.t, b.v FROM a JOIN b ON a.g = b.v",
    "SELECT id FROM a UNION ALL SELECT y FROM b",
    "SELECT id FROM a UNION SELECT x FROM b",
    "SELECT id FROM a EXCEPT SELECT y FROM b",
    "SELECT id FROM a WHERE g IN (SELECT v FROM b)",
    "SELECT id FROM a WHERE t IN (SELECT code FROM c)",
    "SELECT h.v, count(*) FROM h GROUP BY h.v",
    "SELECT id FROM a ORDER BY random()",
    "INSERT INTO a VALUES (1, 2, 'x'), (2, 3, 'y')",
    "INSERT INTO a (id, g) SELECT x, count(*) FROM b GROUP BY x",
    "INSERT INTO a (id, g) SELECT y, x FROM b",
    "INSERT INTO c SELECT code || '2', name FROM c",
    "UPDATE a SET g = g + 1 WHERE t IN (SELECT name FROM c)",
    "UPDATE a SET g = (SELECT max(v) FROM b)",
    "UPDATE a SET id = id + 1",
    "UPDATE a SET g = b.v FROM b WHERE b.x = a.id",
    "UPDATE a SET g = b.v FROM b WHERE b.y = a.id",
    "UPDATE a SET g = 0 WHERE id = (SELECT id FROM a WHERE g > 1 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
    "UPDATE a SET g = 0 FROM (SELECT id FROM a ORDER BY g LIMIT 2 FOR UPDATE) AS s WHERE a.id = s.id",
    "DELETE FROM b WHERE v > 3",
    "DELETE FROM b WHERE v = (SELECT max(v) FROM b)",
];

#[test]
fn statements_are_divided() {
    let settings = Settings::default();
    let mut catalog = Catalog::default();
    let surroundings = Surroundings { settings: &settings, partitions: 1, now: Timestamp(0), replicas: None };
    for table in TABLES {
        catalog = define(&catalog, &parse(table).unwrap()[0], &surroundings).unwrap().catalog;
    }
    let mut shown = String::new();
    for text in STATEMENTS {
        let plan = prepare(&catalog, &parse(text).unwrap()[0], &settings, &[]).unwrap();
        writeln!(shown, "{text}\n---").unwrap();
        match plan.division() {
            Division::Split(split) => {
                writeln!(shown, "each:   {}", explain(&split.fragment).join("\n        ")).unwrap();
                writeln!(shown, "merge:  {}", explain(&split.merge).join("\n        ")).unwrap();
            }
            Division::Gather(wants) => writeln!(shown, "gather: {wants}").unwrap(),
            Division::Alone => writeln!(shown, "each writes what is its own").unwrap(),
            Division::Exchange { shared, own } => {
                writeln!(shown, "gather: {shared}; of its own: {own}; then each writes what is its own").unwrap();
            }
        }
        writeln!(shown).unwrap();
    }
    insta::assert_snapshot!(shown);
}

/// What others are to be given is bounded; what a participant reads of its own rows is not.
#[test]
fn a_contribution_has_a_bound() {
    use crate::sql::{Context, Share, install};
    use crate::storage::Store;
    use crate::types::random::SeedableRng;
    use crate::types::{PartitionId, Rng, SqlState, Timestamp};
    let settings = Settings::default();
    let empty = Catalog::default();
    let table = parse("CREATE TABLE t (k int PRIMARY KEY, v text)").unwrap();
    let surroundings = Surroundings { settings: &settings, partitions: 1, now: Timestamp(0), replicas: None };
    let definition = define(&empty, &table[0], &surroundings).unwrap();
    let catalog = definition.catalog;
    let mut store = Store::new();
    let mut at = Context::new(Timestamp(0), Rng::from_seed([0; 32]), "UTC", 0);
    install(&mut store, &empty, &catalog, &definition.work, &mut at).unwrap();
    let context = |own| {
        let mut context = Context::new(Timestamp(0), Rng::from_seed([0; 32]), "UTC", 0);
        context.share = own;
        context
    };
    let fill = "INSERT INTO t SELECT g, repeat('x', 1000000) FROM generate_series(1, 34) g (g)";
    let plan = prepare(&catalog, &parse(fill).unwrap()[0], &settings, &[]).unwrap();
    plan.execute(&mut store, &[], &mut context(None)).unwrap();
    let share = Some(Share { own: PartitionId(1), partitions: 2 });
    for (text, fits) in [
        ("SELECT count(*) FROM t a JOIN t b ON a.v = b.v", false),
        ("SELECT count(*) FROM t a JOIN t b ON a.v = b.v WHERE a.k < 16 AND b.k < 16", true),
        ("SELECT count(*) FROM t", true),
    ] {
        let plan = prepare(&catalog, &parse(text).unwrap()[0], &settings, &[]).unwrap();
        let result = plan.query_fragment(&store, &[], &mut context(share));
        assert_eq!(result.as_ref().err().map(|error| error.state), (!fits).then_some(SqlState::PROGRAM_LIMIT_EXCEEDED));
    }
}
