//! Statements over several partitions come to what they come to over one.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

mod engine;

use engine::cluster::{Cluster, Counts};
use engine::generate::{self, ALL, Dice, TABLES};
use engine::{Answer, Engine, shown};
use orrery::types::SqlError;
use sqllogictest::{DefaultColumnType, Record, parse};
use std::path::{Path, PathBuf};

/// Numbers of partitions.
const SIZES: [usize; 4] = [1, 2, 3, 8];

fn rows(answer: &Answer, sorted: bool) -> Vec<Vec<String>> {
    let cell = |value| if matches!(value, &orrery::types::Value::Null) { "NULL".to_owned() } else { shown(value) };
    let mut rows: Vec<Vec<String>> = answer.result.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    if !sorted {
        rows.sort();
    }
    rows
}

/// One store, and several numbers of them.
struct Both {
    one: Engine,
    many: Vec<Cluster>,
}

impl Both {
    fn new(text: &str) -> Self {
        let mut both = Self { one: Engine::new(), many: SIZES.map(Cluster::new).into() };
        both.one.run(text).unwrap();
        for cluster in &mut both.many {
            cluster.run(text).unwrap();
        }
        both
    }

    /// Runs a statement everywhere and compares. `ordered`: the order of the rows too.
    fn same(&mut self, text: &str, ordered: bool) {
        let expected = self.one.run(text).map(|mut answers| answers.pop().unwrap());
        for cluster in &mut self.many {
            let got = cluster.run(text).map(|mut answers| answers.pop().unwrap());
            let of = cluster.stores.len();
            match (&expected, &got) {
                (Ok(expected), Ok(got)) => {
                    assert_eq!(rows(expected, ordered), rows(got, ordered), "over {of} partitions: {text}");
                    assert_eq!(expected.tag, got.tag, "over {of} partitions: {text}");
                }
                (Err(expected), Err(got)) => {
                    // Of several errors another may come first: their class is the same.
                    let state = |error: &SqlError| [error.state.0[0], error.state.0[1]];
                    assert_eq!(state(expected), state(got), "over {of} partitions: {text}\n{expected}\n{got}");
                }
                (expected, got) => {
                    let told = |answer: &Result<Answer, SqlError>| {
                        answer.as_ref().map_or_else(ToString::to_string, |answer| answer.tag.clone())
                    };
                    panic!("one: {}, {of} partitions: {}: {text}", told(expected), told(got));
                }
            }
            if expected.as_ref().is_ok_and(|answer| !answer.tag.starts_with("SELECT")) {
                cluster.check();
            }
        }
    }
}

fn filled(dice: &mut Dice) -> Both {
    let mut both = Both::new(TABLES);
    for statement in generate::rows(dice) {
        both.same(&statement, false);
    }
    both
}

const QUERIES: &[&str] = &[
    "SELECT * FROM a",
    "SELECT t, id FROM a WHERE g > 1",
    "SELECT * FROM a WHERE id IN (1, 4, 7, 10, 30)",
    "SELECT count(*), sum(g), avg(g), min(t), max(n), sum(n), avg(n), bool_and(g > 1), bool_or(g > 1) FROM a",
    "SELECT count(*), sum(g), avg(n) FROM a WHERE id < 0",
    "SELECT g, count(*), sum(n) + 1, stddev(g) FROM a GROUP BY g HAVING count(*) > 1",
    "SELECT g % 2, max(t) FROM a GROUP BY 1",
    "SELECT id, count(*) FROM a GROUP BY id",
    "SELECT x, count(*), sum(v) FROM b GROUP BY x",
    "SELECT y % 3, count(*) FILTER (WHERE v > 3), count(DISTINCT v) FROM b GROUP BY y % 3",
    "SELECT DISTINCT g FROM a",
    "SELECT DISTINCT g, t FROM a WHERE id > 5",
    "SELECT count(DISTINCT g), string_agg('x', ',') FROM a",
    "SELECT a.id, b.y FROM a JOIN b ON a.id = b.x",
    "SELECT a.id, b.y FROM a LEFT JOIN b ON a.id = b.x AND b.v > 2",
    "SELECT a.id, b.y FROM a RIGHT JOIN b ON a.id = b.x",
    "SELECT a.id, b.y FROM a FULL JOIN b ON a.id = b.x",
    "SELECT a.id, b.x FROM a JOIN b ON a.g = b.v",
    "SELECT a.id, c.name FROM a JOIN c ON a.t = c.code",
    "SELECT a.id, c.name FROM a LEFT JOIN c ON a.t = c.code",
    "SELECT a.id, c.name FROM a RIGHT JOIN c ON a.t = c.code",
    "SELECT a.id, c.name FROM a FULL JOIN c ON a.g = c.g",
    "SELECT c.name, count(a.id) FROM c LEFT JOIN a ON a.t = c.code GROUP BY c.name",
    "SELECT a.id, b.y, c.name FROM a, b, c WHERE a.id = b.x AND c.g = a.g",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.id)",
    "SELECT id FROM a WHERE g IN (SELECT v FROM b)",
    "SELECT id FROM a WHERE t IN (SELECT code FROM c)",
    "SELECT id, (SELECT max(v) FROM b WHERE b.y > a.id) FROM a",
    "SELECT id, (SELECT name FROM c WHERE c.code = a.t) FROM a",
    "SELECT g FROM a UNION SELECT v FROM b",
    "SELECT g FROM a UNION ALL SELECT v FROM b",
    "SELECT id FROM a UNION SELECT x FROM b",
    "SELECT g FROM a INTERSECT SELECT v FROM b",
    "SELECT id FROM a EXCEPT SELECT x FROM b",
    "SELECT id FROM a INTERSECT ALL SELECT x FROM b",
    "SELECT g FROM c UNION ALL SELECT g FROM a",
    "SELECT * FROM h",
    "SELECT count(*) FROM h",
    "SELECT h.k, a.id FROM h JOIN a ON h.k = a.id",
    "SELECT k, count(*) FROM h GROUP BY k",
    "SELECT h1.k, h2.v FROM h h1 JOIN h h2 ON h1.k = h2.k",
    "SELECT * FROM p",
    "SELECT p.k, a.id FROM p JOIN a ON p.k = a.id",
    "SELECT s, count(*) FROM p GROUP BY s",
    "SELECT * FROM s WHERE k = 'k3'",
    "SELECT * FROM s WHERE k IN ('k1', 'k4', 'k7', 'k9')",
    "SELECT s.v, p.k FROM s JOIN p ON s.v = p.v",
    "SELECT * FROM c",
    "SELECT count(*) FROM c, (SELECT id FROM a WHERE g = 1) x",
    "SELECT * FROM (SELECT id, g FROM a ORDER BY g, id LIMIT 5) x JOIN b ON b.x = x.id",
    "SELECT sum(total) FROM (SELECT x, sum(v) AS total FROM b GROUP BY x) q",
    "SELECT count(*) FROM (SELECT DISTINCT g FROM a) q",
    "WITH q AS (SELECT x, count(*) AS n FROM b GROUP BY x) SELECT q.x, a.t, q.n FROM q JOIN a ON a.id = q.x",
    "SELECT generate_series, count(a.id) FROM generate_series(0, 4) LEFT JOIN a ON a.g = generate_series GROUP BY 1",
    "SELECT CASE WHEN count(*) > 0 THEN (SELECT max(g) FROM a) END FROM b",
    "SELECT 1 / (id - id) FROM a",
    "SELECT id FROM a WHERE g = 1 OR 1 / (g - g) = 1",
    "SELECT 1 WHERE false AND EXISTS (SELECT 1 FROM a WHERE 1 / (g - g) = 1)",
    "VALUES (1), (2)",
    "SELECT count(*) FROM a WHERE id = 3 OR id = 5",
];

const ORDERED: &[&str] = &[
    "SELECT * FROM a ORDER BY id",
    "SELECT t FROM a ORDER BY id DESC",
    "SELECT id FROM a ORDER BY g, id",
    "SELECT id FROM a ORDER BY g DESC NULLS LAST, t NULLS FIRST, id",
    "SELECT n FROM a ORDER BY id LIMIT 4",
    "SELECT n FROM a ORDER BY id LIMIT 3 OFFSET 2",
    "SELECT id FROM a ORDER BY g, id LIMIT 5 OFFSET 3",
    "SELECT id FROM a ORDER BY id OFFSET 7",
    "SELECT id + 1 AS i FROM a ORDER BY i DESC LIMIT 2",
    "SELECT g, count(*) FROM a GROUP BY g ORDER BY count(*) DESC, g",
    "SELECT g, count(*) FROM a GROUP BY g ORDER BY 2 DESC, 1 LIMIT 2",
    "SELECT x, sum(v) FROM b GROUP BY x ORDER BY x DESC LIMIT 3",
    "SELECT DISTINCT g FROM a ORDER BY g",
    "SELECT DISTINCT g FROM a ORDER BY g DESC LIMIT 2 OFFSET 1",
    "SELECT a.id, b.y FROM a JOIN b ON a.id = b.x ORDER BY a.id, b.y",
    "SELECT a.id, b.y FROM a JOIN b ON a.g = b.v ORDER BY b.y DESC, a.id LIMIT 6",
    "SELECT g FROM a UNION SELECT v FROM b ORDER BY 1",
    "SELECT id FROM a UNION ALL SELECT y FROM b ORDER BY 1 DESC LIMIT 5",
    "SELECT k, v FROM h ORDER BY k, v",
    "SELECT * FROM (SELECT id, g FROM a ORDER BY id DESC LIMIT 6) q ORDER BY g, id",
    "SELECT * FROM a WHERE g = 1 ORDER BY g, id LIMIT 2",
    "SELECT x, y FROM b WHERE x = 3 ORDER BY y DESC LIMIT 2",
];

const WRITES: &[&str] = &[
    "INSERT INTO a VALUES (100, 1, 'n', 1), (101, 2, 'n', 2), (102, 3, 'n', 3) RETURNING id, g + 1",
    "INSERT INTO a VALUES (100, 1, 'n', 1), (200, 2, 'n', 2)",
    "INSERT INTO a VALUES (300, 1, 'n', 1), (300, 2, 'n', 2)",
    "INSERT INTO a VALUES (100, 7, 'm', 1), (203, 7, 'm', 2) ON CONFLICT (id) DO UPDATE SET g = excluded.g RETURNING *",
    "INSERT INTO a (id) SELECT y + 1000 FROM b WHERE x < 3",
    "INSERT INTO a (id, g) SELECT x + 5000, count(*) FROM b GROUP BY x RETURNING id",
    "INSERT INTO a (id) SELECT id + 2000 FROM a WHERE g = 1",
    "INSERT INTO m SELECT id, g FROM a",
    "INSERT INTO m SELECT id, g FROM a ON CONFLICT DO NOTHING",
    "INSERT INTO c SELECT 'a' || id, t, g FROM a WHERE id > 40",
    "INSERT INTO c VALUES ('z1', 'new', 4), ('z2', 'new', 5) RETURNING code",
    "INSERT INTO h SELECT id, t FROM a",
    "INSERT INTO h SELECT g, code FROM c",
    "INSERT INTO p SELECT generate_series, 'g', 1 FROM generate_series(1, 9)",
    "INSERT INTO p (k, v) SELECT k, v FROM h WHERE k IS NOT NULL",
    "UPDATE a SET g = g + 1",
    "UPDATE a SET t = 'u' WHERE g > 2 RETURNING id, t",
    "UPDATE a SET g = (SELECT max(v) FROM b) WHERE id % 2 = 0",
    "UPDATE a SET t = (SELECT name FROM c WHERE c.code = a.t) WHERE g < 3",
    "UPDATE a SET id = id + 100000",
    "UPDATE a SET id = id + 1",
    "UPDATE a SET id = 7 WHERE g = 3",
    "UPDATE b SET x = x + 1, v = 0 WHERE y % 2 = 1 RETURNING x, y",
    "UPDATE b SET x = y WHERE v IN (SELECT g FROM a)",
    "UPDATE p SET k = k + 1",
    "UPDATE p SET k = NULL WHERE k = 3",
    "UPDATE h SET k = 1 WHERE v = 'p'",
    "UPDATE h SET v = (SELECT t FROM a WHERE a.id = h.k)",
    "UPDATE c SET g = g + 1 RETURNING code",
    "UPDATE c SET g = (SELECT count(*) FROM a) WHERE code = 'x'",
    "UPDATE s SET k = 'moved', v = 9 WHERE k = 'k3'",
    "DELETE FROM a WHERE id IN (SELECT x FROM b) RETURNING id",
    "DELETE FROM b WHERE v > 3",
    "DELETE FROM b WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.id = b.y)",
    "DELETE FROM c WHERE g = 1",
    "DELETE FROM h WHERE k < 3",
    "DELETE FROM p WHERE v = (SELECT max(v) FROM p)",
    "UPDATE a SET g = q.n FROM (SELECT x, count(*) AS n FROM b GROUP BY x) q WHERE q.x = a.id RETURNING a.id, q.n",
    "UPDATE a SET t = c.name FROM c WHERE c.code = a.t RETURNING a.id, c.code",
    "UPDATE a SET g = 77 FROM b WHERE b.x = a.id",
    "UPDATE a SET g = 78 FROM b, h WHERE b.v = a.g AND h.k = b.x",
    "UPDATE c SET g = 5 FROM a WHERE a.t = c.code",
    "UPDATE c SET g = d.g + 1 FROM c d WHERE d.code = 'x'",
    "UPDATE h SET v = 'joined' FROM a WHERE a.id = h.k",
    "UPDATE p SET v = p.v + 1 FROM a WHERE a.id = p.k",
    "UPDATE p SET k = p.k + q.m FROM (SELECT max(id) AS m FROM a) q WHERE p.v > 0",
    "DELETE FROM b USING a WHERE a.id = b.x AND a.g > 1 RETURNING b.y",
    "DELETE FROM a USING b, c WHERE a.g = b.v AND c.code = a.t",
    "DELETE FROM h USING h i WHERE h.k = i.k AND i.v = 'q'",
    "TRUNCATE b, p",
    "INSERT INTO b VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)",
    "DELETE FROM a",
];

#[test]
fn queries_are_those_of_one_store() {
    for seed in 0..4 {
        let mut both = filled(&mut Dice(seed));
        for query in QUERIES {
            both.same(query, false);
        }
        for query in ORDERED {
            both.same(query, true);
        }
    }
}

#[test]
fn writes_are_those_of_one_store() {
    for seed in 0..2 {
        for write in WRITES {
            let mut both = filled(&mut Dice(seed));
            both.same(write, false);
            for table in ALL {
                both.same(&format!("SELECT * FROM {table}"), false);
            }
        }
        // And one after the other.
        let mut both = filled(&mut Dice(seed + 100));
        for write in WRITES {
            both.same(write, false);
            for table in ALL {
                both.same(&format!("SELECT * FROM {table}"), false);
            }
        }
    }
}

#[test]
fn random_statements_are_those_of_one_store() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let mut both = filled(&mut dice);
        for _ in 0..6 {
            for _ in 0..6 {
                let (query, ordered) = generate::query(&mut dice);
                both.same(&query, ordered);
            }
            both.same(&generate::write(&mut dice), false);
            for table in ALL {
                both.same(&format!("SELECT * FROM {table}"), false);
            }
        }
    }
}

#[test]
fn participants_roll_the_dice_together_or_apart() {
    let mut both = filled(&mut Dice(1));
    for cluster in &mut both.many {
        cluster.run("CREATE TABLE u (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v int)").unwrap();
        cluster.run("CREATE TABLE w (id int PRIMARY KEY, u uuid)").unwrap();
        cluster.run("INSERT INTO u (v) SELECT 1 FROM generate_series(1, 30)").unwrap();
        cluster.run("INSERT INTO u (v) VALUES (1), (2), (3), (4), (5), (6)").unwrap();
        cluster.run("INSERT INTO u SELECT gen_random_uuid(), id FROM a").unwrap();
        cluster.run("INSERT INTO w SELECT id, gen_random_uuid() FROM a").unwrap();
        cluster.run("UPDATE p SET k = (random() * 1000)::int").unwrap();
        cluster.run("UPDATE c SET g = (random() * 1000000)::int").unwrap();
        cluster.check();
        for (table, expected) in [("u", "56"), ("w", "20"), ("p", "40")] {
            let answer = cluster.run(&format!("SELECT count(*) FROM {table}")).unwrap().remove(0);
            assert_eq!(rows(&answer, true), [[expected]], "{table} over {}", cluster.stores.len());
        }
        let answer = cluster.run("SELECT count(DISTINCT u) FROM w").unwrap().remove(0);
        assert_eq!(rows(&answer, true), [["20"]], "no two rows get one number");
    }
}

/// Definitions after which rows belong elsewhere.
const MOVES: &[(&str, &[&str])] = &[
    ("h", &["ALTER TABLE h ADD PRIMARY KEY (k, v)"]),
    ("h", &["ALTER TABLE h ADD PRIMARY KEY (v, k)", "PARTITION TABLE h ON COLUMN k"]),
    ("b", &["PARTITION TABLE b ON COLUMN y", "PARTITION TABLE b ON COLUMN x"]),
    ("p", &["ALTER TABLE p ADD PRIMARY KEY (k)"]),
    ("n", &["PARTITION TABLE n ON COLUMN i", "ALTER TABLE n ADD PRIMARY KEY (i, j)", "PARTITION TABLE n ON COLUMN j"]),
    ("r", &["PARTITION TABLE r ON COLUMN i"]),
];

#[test]
fn rows_move_when_definitions_say_so() {
    let mut moved = 0;
    for (table, statements) in MOVES {
        let mut both = filled(&mut Dice(7));
        both.same("TRUNCATE h", false);
        both.same("INSERT INTO h SELECT g, 'v' || g % 5 FROM generate_series(1, 30) g (g)", false);
        both.same("CREATE TABLE n (i int NOT NULL, j int NOT NULL, t text)", false);
        both.same("CREATE INDEX n_t ON n (t)", false);
        both.same("INSERT INTO n SELECT g, g * 7, 't' || g FROM generate_series(1, 40) g (g)", false);
        both.same("CREATE TABLE r (i int PRIMARY KEY, t text) WITH (REPLICATED)", false);
        both.same("INSERT INTO r SELECT i, t FROM n", false);
        for statement in *statements {
            let before: Vec<usize> =
                both.many[3].stores.iter().map(|store| size(&both.many[3], store, table)).collect();
            both.same(statement, false);
            let after: Vec<usize> = both.many[3].stores.iter().map(|store| size(&both.many[3], store, table)).collect();
            moved += usize::from(before != after);
            both.same(&format!("SELECT * FROM {table}"), false);
            both.same(&format!("SELECT count(*) FROM {table}"), false);
        }
        both.same("SELECT * FROM n WHERE t = 't17'", false);
        both.same("INSERT INTO n VALUES (17, 17 * 7, 'again')", false);
        both.same("DELETE FROM n WHERE i = 17 RETURNING j", false);
        both.same(&format!("INSERT INTO {table} SELECT * FROM {table}"), false);
        both.same(&format!("DELETE FROM {table}"), false);
    }
    assert!(moved == 8, "rows move to other partitions, and are found there: {moved}");
}

fn size(cluster: &Cluster, store: &orrery::storage::Store, table: &str) -> usize {
    store.len(cluster.catalog.table("public", table).unwrap().tree)
}

/// Whole-number results print alike; floats may differ in the last digits, since sums depend on the order of rows.
fn rounded(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let cell = |cell: String| match cell.parse::<f64>() {
        Ok(number) if cell.len() > 15 && cell.contains('.') => format!("{number:.9e}"),
        _ => cell,
    };
    let mut rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
    rows.sort();
    rows
}

/// What SQL leaves open: which rows a LIMIT takes, in which order strings are put together, what dice show.
const OPEN: [&str; 8] = ["limit", "offset", "fetch", "string_agg", "random", "explain", "insert", "returning"];

/// Runs the statements of a file over one store and over several, until the several refuse a definition that one takes.
fn compare_file(
    text: &str,
    partitions: usize,
    seen: &mut (u64, u64),
    counts: &mut Counts,
    differences: &mut Vec<String>,
) {
    let Ok(records) = parse::<DefaultColumnType>(text) else { return };
    let (mut one, mut many) = (Engine::new(), Cluster::new(partitions));
    many.spread = true;
    std::mem::swap(&mut many.counts, counts);
    compare_records(records, &mut one, &mut many, seen, differences);
    std::mem::swap(&mut many.counts, counts);
}

fn compare_records(
    records: Vec<Record<DefaultColumnType>>,
    one: &mut Engine,
    many: &mut Cluster,
    seen: &mut (u64, u64),
    differences: &mut Vec<String>,
) {
    for record in records {
        let statement = match record {
            Record::Statement { sql, .. } | Record::Query { sql, .. } => sql,
            Record::Halt { .. } => return,
            _ => continue,
        };
        let (expected, got) = (one.run(&statement), many.run(&statement));
        // Which of the rows that are there is given which number is open: the files go different ways from there.
        let text = statement.to_lowercase();
        if text.contains("alter table") && NUMBERS.iter().any(|word| text.contains(word)) {
            return;
        }
        let open = OPEN.iter().any(|word| statement.to_lowercase().contains(word));
        match (expected, got) {
            (Ok(expected), Ok(got)) => {
                seen.0 += 1;
                let last = |answers: Vec<Answer>| answers.into_iter().next_back();
                let (Some(expected), Some(got)) = (last(expected), last(got)) else { continue };
                let shown = |answer: &Answer| rounded(rows(answer, false));
                if expected.tag != got.tag || !open && shown(&expected) != shown(&got) {
                    differences.push(format!(
                        "{statement}\n{} {:?}\n{} {:?}",
                        expected.tag,
                        shown(&expected),
                        got.tag,
                        shown(&got)
                    ));
                }
            }
            (Err(_), Err(_)) => seen.1 += 1,
            (Ok(_), Err(error)) if PLACED.iter().any(|reason| error.message.contains(reason)) => return,
            (Ok(_), Err(error)) => differences.push(format!("{statement}\none: done\nmany: {error}")),
            (Err(error), Ok(_)) => differences.push(format!("{statement}\none: {error}\nmany: done")),
        }
    }
}

/// What numbers rows that are there.
const NUMBERS: [&str; 3] = ["nextval", "serial", "identity"];

/// What several partitions refuse and one does not, because of where rows are: the files go different ways from there.
const PLACED: [&str; 3] =
    ["ON CONFLICT over", "part of the partition key", "on partitioned table must include all partitioning columns"];

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

/// `tests/sql`, and the folder that `ORRERY_CORPUS` names, if it does.
#[test]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test bounds its own time")]
#[allow(clippy::print_stdout, reason = "its figures are what it is for")]
fn files_of_statements_come_to_the_same() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql"), &mut found);
    if let Ok(folder) = std::env::var("ORRERY_CORPUS") {
        files(Path::new(&folder), &mut found);
    }
    found.sort_by_key(|path| (std::fs::metadata(path).map_or(0, |data| data.len()), path.clone()));
    let began = std::time::Instant::now();
    let (mut seen, mut differences) = ((0, 0), Vec::new());
    let mut counts = Counts::default();
    for (path, partitions) in found.iter().zip([3, 2, 8].into_iter().cycle()) {
        if began.elapsed().as_secs() > 60 {
            break;
        }
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let before = differences.len();
        compare_file(&text, partitions, &mut seen, &mut counts, &mut differences);
        for difference in &mut differences[before..] {
            *difference = format!("{}: {difference}", path.display());
        }
    }
    println!("{} statements done by both, {} refused by both, of {} files: {counts:?}", seen.0, seen.1, found.len());
    assert!(counts.fragments > 20, "several partitions take part: {counts:?}");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n\n"));
}
