//! Would a transaction be shown the same by now? What is answered without executing again is what executing again comes to.

use super::{Bench, Transaction, rows, write};
use crate::partition::message::{Commitment, Outcome, ReplyBody, RequestBody};
use crate::types::random::{SeedableRng, below};
use crate::types::{Rng, Value};
use std::sync::Arc;

impl Transaction {
    fn list(&self, number: u64) -> RequestBody {
        let copy = Self { number, statements: self.statements.clone() };
        let RequestBody::Commit(list) = copy.commit() else { panic!("a COMMIT is a commitment") };
        RequestBody::Validate(Arc::new(Commitment::clone(&list)))
    }
}

/// What the leader says of a transaction: is it unchanged, would it be shown again, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Unchanged,
    ShownAgain,
    Conflict,
}

fn validate(bench: &mut Bench, one: &Transaction, number: u64) -> Answer {
    match bench.prove(9, one.list(number)) {
        ReplyBody::Done(Outcome::Holds { unchanged: true, .. }) => Answer::Unchanged,
        ReplyBody::Done(Outcome::Holds { .. }) => Answer::ShownAgain,
        ReplyBody::Done(Outcome::Error { error, .. }) if error.state.as_str() == "40001" => Answer::Conflict,
        other => panic!("no answer to the question: {other:?}"),
    }
}

/// A number that no transaction has: there is no fork, so everything is executed again.
const NOBODY: u64 = 1 << 40;

fn bench() -> Bench {
    let mut bench = Bench::with_table();
    bench.commit(2, write(&["INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (5, 50)"]));
    bench
}

/// What a transaction does, what others write beside it, and what is to be said of it then.
const CASES: &[(&str, &str, Answer)] = &[
    ("SELECT n FROM t WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 2", Answer::Unchanged),
    ("SELECT n FROM t WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 1", Answer::Conflict),
    ("SELECT n FROM t WHERE id = 1", "UPDATE t SET n = n WHERE id = 1", Answer::ShownAgain),
    ("SELECT n FROM t WHERE id = 4", "INSERT INTO t VALUES (4, 40)", Answer::Conflict),
    ("SELECT n FROM t WHERE id = 4", "INSERT INTO t VALUES (6, 60)", Answer::Unchanged),
    ("SELECT id FROM t WHERE id > 3 AND id < 5", "INSERT INTO t VALUES (4, 40)", Answer::Conflict),
    ("SELECT id FROM t WHERE id > 3 AND id < 5", "DELETE FROM t WHERE id = 2", Answer::Unchanged),
    ("SELECT count(*) FROM t", "DELETE FROM t WHERE id = 2", Answer::Conflict),
    ("SELECT count(*) FROM t", "UPDATE t SET n = 0 WHERE id = 2", Answer::ShownAgain),
    ("UPDATE t SET n = n + 1 WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 1", Answer::ShownAgain),
    ("UPDATE t SET n = n + 1 WHERE id = 1", "DELETE FROM t WHERE id = 1", Answer::Conflict),
    ("INSERT INTO t VALUES (7, 70)", "INSERT INTO t VALUES (8, 80)", Answer::Unchanged),
    ("INSERT INTO t VALUES (7, 70) RETURNING id", "DELETE FROM t WHERE id = 3", Answer::Unchanged),
    ("DELETE FROM t WHERE id = 9", "INSERT INTO t VALUES (9, 90)", Answer::Conflict),
    ("SELECT n FROM t WHERE id = 1", "TRUNCATE t", Answer::Conflict),
];

#[test]
fn what_is_read_and_what_is_written_decide() {
    for (read, written, expected) in CASES {
        let mut bench = bench();
        let mut one = Transaction::new(1);
        one.ask(&mut bench, read);
        assert_eq!(validate(&mut bench, &one, 1), Answer::Unchanged, "{read}: nobody has written anything");
        bench.commit(3, write(&[written]));
        assert_eq!(validate(&mut bench, &one, 1), *expected, "{read}; then {written}");
    }
}

#[test]
fn a_fork_stays_of_its_beginning_however_often_it_is_unchanged() {
    let mut bench = bench();
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "SELECT n FROM t WHERE id = 1");
    bench.commit(3, write(&["UPDATE t SET n = 21 WHERE id = 2"]));
    assert_eq!(validate(&mut bench, &one, 1), Answer::Unchanged);
    // It is shown what was there at its beginning, and that is not there any more.
    assert_eq!(rows(&one.ask(&mut bench, "SELECT n FROM t WHERE id = 2")), [[Value::Int4(20)]]);
    assert_eq!(validate(&mut bench, &one, 1), Answer::Conflict);
}

#[test]
fn a_fork_that_was_made_again_is_of_now() {
    let mut bench = bench();
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "UPDATE t SET n = n + 1 WHERE id = 1");
    bench.commit(3, write(&["UPDATE t SET n = 100 WHERE id = 1", "UPDATE t SET n = 200 WHERE id = 2"]));
    assert_eq!(validate(&mut bench, &one, 1), Answer::ShownAgain);
    assert_eq!(validate(&mut bench, &one, 1), Answer::Unchanged, "nothing was written since");
    let shown = rows(&one.ask(&mut bench, "SELECT n FROM t WHERE id < 3 ORDER BY id"));
    assert_eq!(shown, [[Value::Int4(101)], [Value::Int4(200)]]);
    assert_eq!(validate(&mut bench, &one, 1), Answer::Unchanged);
    assert_eq!(bench.commit(4, one.commit()), ReplyBody::Done(Outcome::Committed));
}

#[test]
fn what_nobody_remembers_is_executed_again() {
    let mut bench = bench();
    let mut one = Transaction::new(1);
    one.ask(&mut bench, "SELECT n FROM t WHERE id = 1");
    // More changes than are kept.
    bench.commit(3, write(&["INSERT INTO t SELECT id, 0 FROM generate_series(1000, 18000) AS g (id)"]));
    assert_eq!(validate(&mut bench, &one, 1), Answer::ShownAgain);
    assert_eq!(validate(&mut bench, &one, 1), Answer::Unchanged);
}

fn drawn(rng: &mut Rng) -> String {
    let (a, b) = (below(rng, 8), below(rng, 8));
    match below(rng, 9) {
        0 => format!("SELECT n FROM t WHERE id = {a}"),
        1 => format!("SELECT id, n FROM t WHERE id >= {a} AND id < {b}"),
        2 => "SELECT count(*) FROM t".to_owned(),
        3 => format!("UPDATE t SET n = n + 1 WHERE id = {a}"),
        4 => format!("UPDATE t SET n = (SELECT sum(n) FROM t AS o WHERE o.id < {a}) WHERE id = {b}"),
        5 => format!("DELETE FROM t WHERE id = {a}"),
        6 => format!("INSERT INTO t SELECT {a}, {b} WHERE NOT EXISTS (SELECT 1 FROM t WHERE id = {a})"),
        7 => format!("SELECT n FROM t WHERE n > {} ORDER BY id LIMIT 1", a * 7),
        _ => format!("UPDATE t SET n = n * 2 WHERE id BETWEEN {a} AND {b} RETURNING id"),
    }
}

#[test]
fn over_random_schedules_a_cheap_answer_is_that_of_executing_again() {
    let mut answers = [0; 3];
    for seed in 0..150 {
        let mut rng = Rng::seed_from_u64(seed);
        let mut bench = bench();
        let mut open: Vec<Transaction> = Vec::new();
        for number in 1..40 {
            match below(&mut rng, 4) {
                0 => drop(bench.commit(100 + number, write(&[&drawn(&mut rng)]))),
                1 if open.len() < 3 => {
                    let mut one = Transaction::new(number);
                    one.ask(&mut bench, &drawn(&mut rng));
                    open.push(one);
                }
                2 if !open.is_empty() => {
                    let at = below(&mut rng, open.len() as u64) as usize;
                    open[at].ask(&mut bench, &drawn(&mut rng));
                }
                _ if !open.is_empty() => {
                    let at = below(&mut rng, open.len() as u64) as usize;
                    let whole = validate(&mut bench, &open[at], NOBODY);
                    let said = validate(&mut bench, &open[at], open[at].number);
                    let (same, shown) = (said == whole, said == Answer::Unchanged && whole == Answer::ShownAgain);
                    assert!(same || shown, "seed {seed}: said was {said:?}, and executing again comes to {whole:?}");
                    answers[said as usize] += 1;
                    if said == Answer::Conflict {
                        open.remove(at);
                    }
                }
                _ => {}
            }
        }
    }
    assert!(answers.iter().all(|times| *times > 50), "each answer is met: {answers:?}");
}
