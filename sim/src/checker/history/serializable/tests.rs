//! Histories written by hand, one line a transaction: `T1 0..5 a1:7 r2=3,4`: it lasted from 0 to 5 ms, appended 7 to list
//! 1, and read list 2 as [3, 4]. `T1? 0..` may have happened, `T1! 0..5` was refused.

mod random;

use super::*;

fn transactions(text: &str) -> Vec<Transaction> {
    text.trim().lines().map(|line| transaction(line.trim())).collect()
}

fn transaction(line: &str) -> Transaction {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().expect(line);
    let (from, to) = words.next().and_then(|times| times.split_once("..")).expect(line);
    let ns = |ms: &str| ms.parse::<u64>().expect(line) * 1_000_000;
    let fate = match name.chars().last() {
        Some('?') => Fate::Unknown,
        Some('!') => Fate::Refused,
        _ => Fate::Committed,
    };
    Transaction {
        label: name.trim_end_matches(['?', '!']).to_owned(),
        said: "one statement",
        invoked_ns: ns(from),
        returned_ns: (!to.is_empty()).then(|| ns(to)),
        fate,
        steps: words.map(|word| step(line, word)).collect(),
    }
}

fn step(line: &str, word: &str) -> Step {
    let key = |key: &str| (0, key.parse().expect(line));
    match (word.strip_prefix('a'), word.strip_prefix('r')) {
        (Some(append), _) => {
            let (list, value) = append.split_once(':').expect(line);
            Step::Append { key: key(list), value: value.parse().expect(line) }
        }
        (_, Some(read)) => {
            let (list, values) = read.split_once('=').expect(line);
            let values = values.split(',').filter(|value| !value.is_empty());
            Step::Read { key: key(list), list: values.map(|value| value.parse().expect(line)).collect() }
        }
        _ => panic!("no step: {word}"),
    }
}

fn good(text: &str) {
    if let Err(anomaly) = judge(&transactions(text)) {
        panic!("{} in {text}:\n{}", anomaly.kind, anomaly.what);
    }
}

/// The words for what is wrong.
fn bad(kind: &str, text: &str) -> String {
    let anomaly = judge(&transactions(text)).expect_err(text);
    assert_eq!(anomaly.kind, kind, "{}", anomaly.what);
    anomaly.what
}

#[test]
fn clean_histories() {
    good("");
    good("T1 0..1 r1=");
    good("T1 0..1 a1:7\nT2 2..3 r1=7\nT3 4..5 a1:8 r1=7,8\nT4 6..7 r1=7,8 r2=");
    // Concurrent appends in either order, and readers between them.
    good("T1 0..9 a1:7\nT2 0..9 a1:8\nT3 1..8 r1=8\nT4 10..11 r1=8,7");
    good("T1 0..9 a1:7\nT2 0..9 a1:8\nT3 1..8 r1=\nT4 10..11 r1=7,8");
    // Nobody reads it.
    good("T1 0..1 a1:7\nT2 2..3 a1:8");
    // Whole transactions over several lists, some values of one after the other.
    good("T1 0..1 a1:1 a1:2 a2:3\nT2 2..3 r1=1,2 r2=3 a1:4\nT3 4..5 r1=1,2,4");
    // Returned at the instant at which the other one is invoked: concurrent.
    good("T1 0..5 a1:7\nT2 5..6 r1=");
    // Workloads have lists of their own: no clash. Repeated reads agree.
    good("T1 0..1 a1:7\nT2 2..3 r1=7 r2= r1=7");
}

#[test]
fn what_may_not_have_happened() {
    good("T1? 0.. a1:7\nT2 1..2 r1=");
    good("T1? 0.. a1:7\nT2 1..2 r1=\nT3 8..9 r1=7");
    // Whoever is seen has happened whole.
    bad("G-single", "T1? 0.. a1:7 a2:8\nT2 1..2 r1=7 r2=");
    bad("G-single-realtime", "T1? 0.. a1:7 a2:8\nT2 1..2 r1=7\nT3 3..4 r2=");
    // It cannot have happened before it was invoked.
    bad("G1c-realtime", "T1 0..1 r1=7\nT2? 2.. a1:7");
    good("T1! 0..1 a1:7\nT2 2..3 r1=");
    bad("aborted-read", "T1! 0..1 a1:7\nT2 2..3 r1=7");
}

#[test]
fn anomalies_of_one_read_or_two() {
    bad("from-nowhere", "T1 0..1 r1=7");
    bad("appended-twice", "T1 0..1 a1:7\nT2 2..3 r1=7,7");
    bad("appended-twice", "T1 0..1 a1:6 a1:7\nT2 2..3 r1=6,7,6,7");
    bad("intermediate-read", "T1 0..5 a1:7 a1:8\nT2 2..3 r1=7");
    bad("torn", "T1 0..5 a1:7 a1:8\nT2 0..5 a1:9\nT3 6..7 r1=7,9,8");
    bad("torn", "T1 0..5 a1:7 a1:8\nT2 2..3 r1=8");
    bad("torn", "T1 0..5 a1:7 a1:8\nT2 2..3 r1=8,7");
    bad("incompatible-order", "T1 0..9 a1:7\nT2 0..9 a1:8\nT3 1..2 r1=7\nT4 3..4 r1=8");
    bad("incompatible-order", "T1 0..9 a1:7\nT2 0..9 a1:8\nT3 1..8 r1=7,8\nT4 1..8 r1=8,7");
    bad("lost-append", "T1 0..1 a1:7\nT2 2..3 r1=");
    bad("lost-append", "T1 0..1 a1:7\nT2 2..3 a1:8\nT3 4..5 r1=8");
    bad("internal", "T1 0..1 a1:7 r1=");
    bad("internal", "T1 0..1 a1:7 r1=7,8\nT2 0..1 a1:8");
    bad("internal", "T1 0..1 r1= r1=8\nT2 0..1 a1:8");
    bad("internal", "T1 0..1 r1=7 a1:7");
    bad("unreadable", "T1 0..1 a1:7\nT2 2..3 a1:7");
}

#[test]
fn cycles_are_told() {
    insta::assert_snapshot!(bad("G-single", "T1 0..9 r1= a1:7\nT2 0..9 r1= a1:8\nT3 10..11 r1=7,8"), @"
    no order of 2 transactions explains what they saw (a lost update):
                  T2 (one statement, 0.000000 s – 0.009000 s, acknowledged): read list 1 as [], append 8 to list 1
                  T1 (one statement, 0.000000 s – 0.009000 s, acknowledged): read list 1 as [], append 7 to list 1
                  T2 must come before T1: T2 read list 1 as [], without 7, which T1 appended (in [7, 8], as T3 read it, 7 comes next)
                  T1 must come before T2: of their appends to list 1, 7 stands before 8 in [7, 8], as T3 read it
                  so T2 would come before itself
    ");
    insta::assert_snapshot!(bad("G2", "T1 0..9 r1= a2:7\nT2 0..9 r2= a1:8\nT3 10..11 r1=8 r2=7"), @"
    no order of 2 transactions explains what they saw (write skew):
                  T1 (one statement, 0.000000 s – 0.009000 s, acknowledged): read list 1 as [], append 7 to list 2
                  T2 (one statement, 0.000000 s – 0.009000 s, acknowledged): read list 2 as [], append 8 to list 1
                  T1 must come before T2: T1 read list 1 as [], without 8, which T2 appended (in [8], as T3 read it, 8 comes next)
                  T2 must come before T1: T2 read list 2 as [], without 7, which T1 appended (in [7], as T3 read it, 7 comes next)
                  so T1 would come before itself
    ");
    insta::assert_snapshot!(bad("G-single-realtime", "T1 0..1 a1:7\nT2 2..3 r1=\nT3 4..5 r1=7"), @"
    no order of 2 transactions explains what they saw (a stale read):
                  T1 (one statement, 0.000000 s – 0.001000 s, acknowledged): append 7 to list 1
                  T2 (one statement, 0.002000 s – 0.003000 s, acknowledged): read list 1 as []
                  T2 must come before T1: T2 read list 1 as [], without 7, which T1 appended (in [7], as T3 read it, 7 comes next)
                  T1 must come before T2: it had returned at 0.001000 s, and T2 was invoked at 0.002000 s
                  so T2 would come before itself
    ");
    insta::assert_snapshot!(
        bad("G2", "W1 0..9 a1:7\nW2 0..9 a2:8\nR1 0..9 r1=7 r2=\nR2 0..9 r1= r2=8\nR3 10..11 r1=7 r2=8"),
        @"
    no order of 4 transactions explains what they saw (a long fork: two readers saw two writers in opposite orders):
                  W1 (one statement, 0.000000 s – 0.009000 s, acknowledged): append 7 to list 1
                  R1 (one statement, 0.000000 s – 0.009000 s, acknowledged): read list 1 as [7], read list 2 as []
                  W2 (one statement, 0.000000 s – 0.009000 s, acknowledged): append 8 to list 2
                  R2 (one statement, 0.000000 s – 0.009000 s, acknowledged): read list 1 as [], read list 2 as [8]
                  W1 must come before R1: R1 read list 1 with 7, which W1 appended, as its last
                  R1 must come before W2: R1 read list 2 as [], without 8, which W2 appended (in [8], as R2 read it, 8 comes next)
                  W2 must come before R2: R2 read list 2 with 8, which W2 appended, as its last
                  R2 must come before W1: R2 read list 1 as [], without 7, which W1 appended (in [7], as R1 read it, 7 comes next)
                  so W1 would come before itself
    "
    );
}

#[test]
fn cycles_of_every_class() {
    // Appends to two lists in opposite orders.
    bad("G0", "T1 0..9 a1:1 a2:2\nT2 0..9 a1:3 a2:4\nT3 10..11 r1=1,3 r2=4,2");
    bad("G0-realtime", "T1 0..1 a1:1\nT2 2..3 a1:2\nT3 4..5 r1=2,1");
    // Each sees the other.
    bad("G1c", "T1 0..9 a1:1 r2=2\nT2 0..9 a2:2 r1=1");
    bad("G1c-realtime", "T1 0..1 r1=1\nT2 2..3 a1:1");
    // Half of a transaction is seen.
    bad("G-single", "T1 0..9 a1:1 a2:2\nT2 0..9 r1=1 r2=\nT3 10..11 r2=2");
    // A stale read: what was seen before is gone and comes back.
    bad("G-single-realtime", "T1 0..9 a1:1\nT2 1..2 r1=1\nT3 3..4 r1=\nT4 10..11 r1=1");
    // Write skew is G2 even when nobody reads what was written: each is missed by the other.
    bad("G2", "T1 0..9 r1= a2:7\nT2 0..9 r2= a1:8");
    // T3 was over when T1 began, and yet T1 comes before T2 before T3.
    bad("G2-realtime", "T1 4..5 r1=\nT2 0..9 a1:7 r2=\nT3 1..2 a2:8\nT4 10..11 r1=7 r2=8");
}

#[test]
fn real_time_goes_through_those_between() {
    // T1 before T2 before T3, and T3 misses T1.
    let what = bad("G-single-realtime", "T1 0..1 a1:7\nT2 2..3 r2=\nT3 4..5 r1=\nT4 6..7 r1=7");
    assert!(what.contains("T1 must come before T3: it had returned at 0.001000 s"), "{what}");
}

#[test]
fn what_clients_noted() {
    use crate::history::OperationId;
    let recorded = |counter, operation: &str, from, to, outcome| Recorded {
        id: OperationId::new(1, counter),
        workload: 3,
        operation: operation.parse().expect("an operation"),
        invoked_ns: from,
        returned_ns: Some(to),
        outcome,
    };
    let rows = |rows: &[(&str, Option<&str>)]| {
        let row = |(key, value): &(&str, Option<&str>)| vec![Some((*key).to_owned()), value.map(str::to_owned)];
        Outcome::Done(Seen::Rows(rows.iter().map(row).collect()))
    };
    let check = |operations: Vec<Recorded>| {
        let found = StrictlySerializable.check(&History { operations, keys: vec![4; 4], chaos_ns: u64::MAX });
        found.violations.first().map(|violation| violation.kind.clone())
    };
    let append =
        recorded(0, "lists_block 10 r1 a2 a2", 0, 1, rows(&[("1", Some("")), ("2", Some("1")), ("2", Some("1"))]));
    let read = |two| recorded(1, "read_lists", 2, 3, rows(&[("1", Some("")), ("2", two)]));
    assert_eq!(check(vec![append.clone(), read(Some(",41,42"))]), None);
    assert_eq!(check(vec![append.clone(), read(Some(""))]).as_deref(), Some("lost-append"));
    assert_eq!(check(vec![append.clone(), read(None)]).as_deref(), Some("row-vanished"));
    assert_eq!(check(vec![append, read(Some(",x"))]).as_deref(), Some("unreadable"));
    let nothing = recorded(0, "lists_batch 10 a2", 0, 1, rows(&[("2", Some("0"))]));
    assert_eq!(check(vec![nothing]).as_deref(), Some("row-vanished"));
    let lost = recorded(0, "lists_batch 10 a2", 0, 1, Outcome::Unknown("connection lost".to_owned()));
    assert_eq!(check(vec![lost.clone(), read(Some(""))]), None);
    assert_eq!(check(vec![lost, read(Some(",40"))]), None);
}

#[test]
fn of_long_lists_what_matters_is_shown() {
    let values: Vec<u64> = (1..=20).collect();
    assert_eq!(tell::list(&values[..6]), "[1, 2, 3, 4, 5, 6]");
    assert_eq!(tell::list(&values), "[… 14 more, 15, 16, 17, 18, 19, 20]");
    let all = values.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let writers: Vec<String> = values.iter().map(|value| format!("W{value} 0..1 a1:{value}")).collect();
    let stale = format!("{}\nR1 2..3 r1=1,2,3,4,5,6,7,8,9\nR2 4..5 r1={all} r2=\nR3 6..7 a3:99", writers.join("\n"));
    let told = bad("G-single-realtime", &stale);
    assert!(told.contains("in [… 5 more, 6, 7, 8, 9, 10, 11, 9 more …], as R2 read it, 10 comes next"), "{told}");
    assert!(told.contains("R1 (one statement, 0.002000 s – 0.003000 s, acknowledged): read list 1 as ["), "{told}");
}
