//! Every checker catches bad histories, by name, and bears unknown outcomes in good ones.
//!
//! Histories are written as lines `client from..to operation => outcome`, times in milliseconds; `?` is unknown, `!`
//! refused, `=N` shows a value, `ok` nothing, `rows a,b;c,d` rows.

use super::*;
use crate::history::Seen;

fn history(text: &str) -> History {
    let mut counters = BTreeMap::new();
    let operations = text.trim().lines().map(|line| recorded(line.trim(), &mut counters)).collect::<Vec<_>>();
    let mut history = History { operations, keys: vec![3], chaos_ns: u64::MAX };
    history.operations.sort_by_key(|recorded| recorded.invoked_ns);
    history
}

fn recorded(line: &str, counters: &mut BTreeMap<u32, u32>) -> Recorded {
    let (head, outcome) = line.split_once(" => ").expect(line);
    let mut words = head.splitn(3, ' ');
    let client: u32 = words.next().expect(line).trim_start_matches('c').parse().expect(line);
    let (from, to) = words.next().expect(line).split_once("..").expect(line);
    let counter = counters.entry(client).or_insert(0);
    *counter += 1;
    let ns = |ms: &str| ms.parse::<u64>().expect(line) * 1_000_000;
    Recorded {
        id: OperationId::new(client, *counter),
        workload: 0,
        operation: words.next().expect(line).parse().expect(line),
        invoked_ns: ns(from),
        returned_ns: (!to.is_empty()).then(|| ns(to)),
        outcome: outcome_of(outcome),
    }
}

fn outcome_of(text: &str) -> Outcome {
    let rows = |text: &str| {
        let row = |row: &str| row.split(',').map(|field| Some(field.trim().to_owned())).collect();
        text.split(';').filter(|row| !row.trim().is_empty()).map(row).collect()
    };
    match text {
        "?" => Outcome::Unknown("connection lost".to_owned()),
        "!" => Outcome::Failed("40001".to_owned()),
        "ok" => Outcome::Done(Seen::Nothing),
        "none" => Outcome::Done(Seen::Value(None)),
        "written" => Outcome::Done(Seen::Written(true)),
        "missed" => Outcome::Done(Seen::Written(false)),
        other if other.starts_with('?') => Outcome::Unknown(other[1..].to_owned()),
        other if other.starts_with('!') => Outcome::Failed(other[1..].to_owned()),
        other => Outcome::Done(match (other.strip_prefix('='), other.strip_prefix("rows")) {
            (Some(value), _) => Seen::Value(Some(value.parse().expect(text))),
            (_, Some(list)) => Seen::Rows(rows(list)),
            _ => panic!("no outcome: {text}"),
        }),
    }
}

fn find(checker: &str, text: &str) -> Vec<String> {
    let checker = CHECKERS.iter().find(|known| known.name() == checker).expect("a checker");
    let finding = checker.check(&history(text));
    assert_eq!(finding.gave_up, 0);
    finding.violations.into_iter().map(|violation| format!("{}\n  {}", violation.kind, violation.message)).collect()
}

fn good(checker: &str, text: &str) {
    assert_eq!(find(checker, text), Vec::<String>::new(), "{text}");
}

fn bad(checker: &str, kind: &str, text: &str) {
    let found = find(checker, text);
    assert_eq!(found.len(), 1, "{text}");
    assert!(found[0].starts_with(&format!("{kind}\n")), "expected {kind}, found {found:?} in {text}");
}

const REGISTERS: &str = "linearizable-registers";

#[test]
fn good_registers() {
    good(REGISTERS, "c1 0..1 read 1 => =0");
    good(REGISTERS, "c1 0..5 write 1 7 => written\nc2 1..2 read 1 => =0\nc2 3..4 read 1 => =7\nc3 6..7 read 1 => =7");
    // Concurrent writes in either order.
    good(REGISTERS, "c1 0..9 write 1 7 => written\nc2 0..9 write 1 8 => written\nc3 10..11 read 1 => =7");
    good(REGISTERS, "c1 0..9 write 1 7 => written\nc2 0..9 write 1 8 => written\nc3 10..11 read 1 => =8");
    // Rows are apart.
    good(REGISTERS, "c1 0..1 write 1 7 => written\nc2 2..3 read 2 => =0");
    // Compare and set.
    good(
        REGISTERS,
        "c1 0..1 compare 1 0 7 => written\nc2 2..3 compare 1 0 8 => missed\nc2 4..5 compare 1 7 9 => written\nc1 6..7 read 1 => =9",
    );
    // Write and read at once.
    good(REGISTERS, "c1 0..1 write_read 1 7 => =7\nc1 2..3 read 1 => =7");
    // A refused write is not there.
    good(REGISTERS, "c1 0..1 write 1 7 => !\nc1 2..3 read 1 => =0");
}

#[test]
fn unknown_writes_may_be_there_or_not_and_late() {
    let unknown = "c1 0..1 write 1 7 => ?";
    good(REGISTERS, &format!("{unknown}\nc2 2..3 read 1 => =0"));
    good(REGISTERS, &format!("{unknown}\nc2 2..3 read 1 => =7"));
    good(REGISTERS, &format!("{unknown}\nc2 2..3 read 1 => =0\nc2 4..5 write 1 8 => written\nc2 6..7 read 1 => =7"));
    bad(
        REGISTERS,
        "stale-read",
        &format!("{unknown}\nc2 2..3 read 1 => =7\nc2 4..5 read 1 => =0\nc2 6..7 read 1 => =7"),
    );
    // An unknown one that nobody saw may explain a miss.
    good(REGISTERS, &format!("{unknown}\nc2 2..3 compare 1 0 8 => missed\nc2 4..5 write 1 9 => written"));
    // One that was seen only through a chain of compares.
    good(REGISTERS, "c1 0..1 write 1 7 => ?\nc2 2..3 compare 1 7 8 => ?\nc3 4..5 read 1 => =8");
    // Never answered at all.
    good(REGISTERS, "c1 0.. write 1 7 => ?\nc2 2..3 read 1 => =7");
}

#[test]
fn bad_registers() {
    let two = "c1 0..1 write 1 7 => written\nc1 2..3 write 1 8 => written";
    bad(REGISTERS, "stale-read", &format!("{two}\nc2 4..5 read 1 => =7"));
    bad(REGISTERS, "stale-read", "c1 0..1 write 1 7 => written\nc2 4..5 read 1 => =0");
    bad(REGISTERS, "refused-yet-seen", "c1 0..1 write 1 7 => !\nc2 4..5 read 1 => =7");
    bad(REGISTERS, "from-nowhere", "c2 4..5 read 1 => =7");
    bad(REGISTERS, "from-the-future", "c2 4..5 read 1 => =7\nc1 6..7 write 1 7 => written");
    bad(REGISTERS, "row-vanished", "c2 4..5 read 1 => none");
    bad(REGISTERS, "row-vanished", "c2 4..5 write 1 7 => missed");
    bad(REGISTERS, "transaction-torn", "c1 0..1 write_read 1 7 => =8");
    bad(REGISTERS, "missed-yet-seen", "c1 0..1 compare 1 5 7 => missed\nc1 2..3 read 1 => =7");
    // A lost update: both found 0.
    bad(REGISTERS, "stale-read", "c1 0..1 compare 1 0 7 => written\nc2 2..3 compare 1 0 8 => written");
    bad(REGISTERS, "not-linearizable", "c1 0..9 compare 1 0 7 => written\nc2 0..9 compare 1 0 8 => written");
    // It missed what was certainly there.
    bad(REGISTERS, "not-linearizable", "c1 0..1 compare 1 0 7 => missed\nc1 2..3 read 1 => =0");
    // Two readers disagree about the order of two concurrent writes.
    bad(
        REGISTERS,
        "not-linearizable",
        "c1 0..9 write 1 7 => written\nc2 0..9 write 1 8 => written\nc3 1..2 read 1 => =7\nc3 3..4 read 1 => =8\nc4 5..6 read 1 => =7",
    );
}

#[test]
fn a_violation_is_told_in_words() {
    let found = find(REGISTERS, "c1 0..1 write 1 7 => written\nc1 2..3 write 1 8 => written\nc2 4..5 read 1 => =7");
    insta::assert_snapshot!(found.join("\n"), @r"
    stale-read
      row 1: c2.1 `read 1` (acknowledged, 0.004000 s – 0.005000 s) saw 7 (c1.1 `write 1 7` (acknowledged, 0.000000 s – 0.001000 s)), which c1.2 `write 1 8` (acknowledged, 0.002000 s – 0.003000 s) had overwritten before
    ");
    let found = find("exactly-once", "c1 0..1 transfer 5 0 1 3 => !\nc2 4..5 ledger => rows 0,97;1,103;2,100;5,0,1,3");
    insta::assert_snapshot!(found.join("\n"), @r"
    refused-yet-applied
      c1.1 `transfer 5 0 1 3` (refused, 0.000000 s – 0.001000 s) was refused, and the ledger has it; seen by c2.1 `ledger` (acknowledged, 0.004000 s – 0.005000 s)
    ");
}

#[test]
fn long_histories_are_judged_quickly() {
    // Eight clients on one row, each operation overlapping those of the others: ten thousand operations.
    let mut text = String::new();
    let mut value = 0;
    for round in 0..1250 {
        let from = round * 10;
        for client in 0..8 {
            match (client + round) % 4 {
                0 => {
                    let next = round * 8 + client + 1;
                    text.push_str(&format!("c{client} {from}..{} write 1 {next} => written\n", from + 9));
                    if client >= 4 {
                        value = next;
                    }
                }
                _ => text.push_str(&format!("c{client} {from}..{} read 1 => ={value}\n", from + 9)),
            }
        }
    }
    // Reads of a round may see the value from before or one of its two writes: nothing is wrong.
    good(REGISTERS, &text);
}

const BANK: &str = "money-conserved";

#[test]
fn money() {
    good(BANK, "c1 0..1 sum => =300\nc2 0..1 balances => rows 0,90;1,110;2,100\nc2 2..3 sum => ?");
    bad(BANK, "sum-changed", "c1 0..1 sum => =299");
    bad(BANK, "sum-changed", "c1 0..1 balances => rows 0,90;1,100;2,100");
    bad(BANK, "accounts-missing", "c1 0..1 balances => rows 0,200;1,100");
    bad(BANK, "unreadable", "c1 0..1 sum => none");
}

#[test]
fn exactly_once() {
    let ledger = "rows 0,97;1,103;2,100;5,0,1,3";
    let nothing = "rows 0,100;1,100;2,100";
    let name = "exactly-once";
    good(name, &format!("c1 0..1 transfer 5 0 1 3 => ok\nc2 4..5 ledger => {ledger}"));
    good(name, &format!("c1 0..1 transfer 5 0 1 3 => ?\nc2 4..5 ledger => {ledger}"));
    good(name, &format!("c1 0..1 transfer 5 0 1 3 => ?\nc2 4..5 ledger => {nothing}"));
    good(name, &format!("c1 0..1 transfer 5 0 1 3 => !\nc2 4..5 ledger => {nothing}"));
    // Acknowledged only after the read began.
    good(name, &format!("c1 0..6 transfer 5 0 1 3 => ok\nc2 4..5 ledger => {nothing}"));
    bad(name, "lost", &format!("c1 0..1 transfer 5 0 1 3 => ok\nc2 4..5 ledger => {nothing}"));
    bad(name, "refused-yet-applied", &format!("c1 0..1 transfer 5 0 1 3 => !\nc2 4..5 ledger => {ledger}"));
    bad(name, "from-nowhere", &format!("c2 4..5 ledger => {ledger}"));
    bad(name, "altered", &format!("c1 0..1 transfer 5 0 1 4 => ok\nc2 4..5 ledger => {ledger}"));
    let twice = "rows 0,94;1,106;2,100;5,0,1,3;5,0,1,3";
    bad(name, "applied-twice", &format!("c1 0..1 transfer 5 0 1 3 => ok\nc2 4..5 ledger => {twice}"));
    let moved_twice = "rows 0,94;1,106;2,100;5,0,1,3";
    bad(name, "balance-differs", &format!("c1 0..1 transfer 5 0 1 3 => ok\nc2 4..5 ledger => {moved_twice}"));
}

#[test]
fn durable() {
    let name = "acknowledged-durable";
    good(name, "c1 0..1 insert 5 => ok\nc2 4..5 read_rows => rows 0,x;5,y\nc2 6..7 read_row 5 => rows 5,y");
    good(name, "c1 0..1 insert 5 => ?\nc2 4..5 read_rows => rows 0,x\nc2 6..7 read_row 5 => rows 5,y");
    bad(name, "lost", "c1 0..1 insert 5 => ok\nc2 4..5 read_rows => rows 0,x");
    bad(name, "lost", "c1 0..1 insert 5 => ok\nc2 4..5 read_row 5 => rows");
    bad(name, "refused-yet-there", "c1 0..1 insert 5 => !\nc2 4..5 read_rows => rows 0,x;5,y");
    bad(name, "duplicated", "c1 0..1 insert 5 => ok\nc2 4..5 read_rows => rows 0,x;5,y;5,y");
    bad(name, "from-nowhere", "c2 4..5 read_rows => rows 0,x;5,y");
}

#[test]
fn reads_agree() {
    let name = "reads-agree";
    good(name, "c1 0..1 read_row 5 => rows 5,a\nc2 4..5 read_rows => rows 0,x;5,a\nc2 6..7 read_row 5 => rows");
    bad(name, "row-changed", "c1 0..1 read_row 5 => rows 5,a\nc2 4..5 read_rows => rows 0,x;5,b");
}

#[test]
fn indexes_agree() {
    let name = "indexes-agree";
    let rows = |way: &str, rows: &[&str]| rows.iter().map(|row| format!("{way},{row}")).collect::<Vec<_>>().join(";");
    let audit = |table: &[&str], color: &[&str], code: &[&str]| {
        let ways = [rows("table", table), rows("color", color), rows("code", code)];
        format!("c2 4..5 audit => rows {}", ways.join(";"))
    };
    let same = |table: &[&str]| audit(table, table, table);
    let stock = "c1 0..1 stock 5 0 => =3";
    let five = ["0,0,0", "20,20000,0", "21,21000,1", "22,22000,2"];
    good(name, &format!("{stock}\n{}", same(&five)));
    good(name, &format!("c1 0..1 stock 5 0 => ?\n{}", same(&["0,0,0"])));
    good(name, &format!("c1 0..1 stock_dup_code 5 0 => !\n{}", same(&["0,0,0"])));
    good(name, &format!("{stock}\nc1 2..3 withdraw 5 => ?\n{}", same(&["0,0,0"])));
    good(name, "c1 0..1 renumber_dup_code 5 => =0");
    bad(name, "index-differs", &format!("{stock}\n{}", audit(&five, &five[1..], &five)));
    bad(name, "index-differs", &format!("{stock}\n{}", audit(&five, &five, &five[..3])));
    bad(name, "index-differs", &audit(&five[..1], &five[..1], &five[..2]));
    let twice = ["0,0,0", "20,20000,0", "20,20000,0", "21,21000,1", "22,22000,2"];
    bad(name, "index-differs", &format!("{stock}\n{}", audit(&five, &twice, &five)));
    bad(name, "constraint-broken", &same(&["0,0,0", "20,0,0"]));
    bad(name, "constraint-broken", &same(&["0,0,0", "20,20000,-1"]));
    bad(name, "batch-torn", &format!("{stock}\n{}", same(&five[..3])));
    bad(name, "batch-torn", "c1 0..1 repaint 5 1 => =2");
    bad(name, "from-nowhere", &same(&five));
    bad(name, "refused-yet-there", &format!("c1 0..1 stock 5 0 => !\n{}", same(&five)));
    bad(name, "lost", &format!("{stock}\n{}", same(&["0,0,0"])));
    bad(name, "accepted-though-violating", "c1 0..1 stock_bad_color 5 0 => =4");
    bad(name, "accepted-though-violating", "c1 0..1 renumber_dup_code 5 => =3");
    bad(name, "refused-for-nothing", "c1 0..1 stock 5 0 => !23505 duplicate key");
    bad(name, "corrupt", "c1 0..1 audit => ?XX001 an index entry without its row");
}

#[test]
fn checkers_have_names_of_their_own_and_workloads_know_them() {
    let names: std::collections::BTreeSet<&str> = CHECKERS.iter().map(|checker| checker.name()).collect();
    assert_eq!(names.len(), CHECKERS.len());
    for kind in crate::workload::WORKLOADS {
        assert!(kind.checkers().iter().all(|name| names.contains(name)), "{} names unknown checkers", kind.name());
    }
}

const SUMS: &str = "sums-agree";

#[test]
fn sums() {
    let paid = "c1 0..1 pay 7 1 2 0 5 => ok\nc2 2..3 pay_block 8 2 2 0 6 => ?";
    good(SUMS, &format!("{paid}\nc3 4..5 sums => rows 5;5;5;5\nc3 6..7 payments => rows 7,5;8,6;11"));
    good(SUMS, &format!("{paid}\nc3 6..7 payments => rows 7,5;5"));
    bad(SUMS, "sums-differ", &format!("{paid}\nc3 4..5 sums => rows 5;5;11;5"));
    bad(SUMS, "unreadable", &format!("{paid}\nc3 4..5 sums => rows 5;5;5"));
    bad(SUMS, "lost", &format!("{paid}\nc3 6..7 payments => rows 8,6;6"));
    bad(SUMS, "sums-differ", &format!("{paid}\nc3 6..7 payments => rows 7,5;11"));
    bad(SUMS, "paid-twice", &format!("{paid}\nc3 6..7 payments => rows 7,5;7,5;10"));
    bad(SUMS, "from-nowhere", &format!("{paid}\nc3 6..7 payments => rows 7,5;9,1;6"));
    bad(SUMS, "refused-yet-paid", "c1 0..1 pay 7 1 2 0 5 => !\nc3 6..7 payments => rows 7,5;5");
}

const CLAIMS: &str = "claims-exclusive";

#[test]
fn claims() {
    let claimed = "c1 0..1 claim 7 1 2 => =2";
    good(CLAIMS, &format!("{claimed}\nc2 2..3 names => rows 2,7;1,7"));
    good(
        CLAIMS,
        &format!("{claimed}\nc1 2..3 release 7 => =2\nc2 4..5 claim 8 2 0 => =2\nc2 6..7 names => rows 2,8;0,8"),
    );
    good(CLAIMS, &format!("{claimed}\nc2 2..3 claim 8 2 0 => !23505"));
    good(CLAIMS, "c1 0..1 claim 7 1 2 => ?\nc2 2..3 claim 8 2 0 => !23505\nc2 4..5 names => rows");
    bad(CLAIMS, "refused-for-nobody", "c2 2..3 claim 8 2 0 => !23505");
    bad(CLAIMS, "refused-for-nobody", &format!("{claimed}\nc1 2..3 release 7 => =2\nc2 4..5 claim 8 2 0 => !23505"));
    bad(CLAIMS, "refused-for-nobody", "c1 0..1 claim 7 1 2 => !40001\nc2 2..3 claim 8 2 0 => !23505");
    bad(CLAIMS, "lost", &format!("{claimed}\nc2 2..3 names => rows"));
    bad(CLAIMS, "torn", &format!("{claimed}\nc2 2..3 names => rows 2,7"));
    bad(CLAIMS, "two-owners", &format!("{claimed}\nc2 0..1 claim 8 2 0 => =2\nc2 2..3 names => rows 2,7;2,8"));
    bad(CLAIMS, "refused-yet-there", "c1 0..1 claim 7 1 2 => !40001\nc2 2..3 names => rows 1,7;2,7");
    bad(CLAIMS, "two-times", &format!("{claimed}\nc2 2..3 names => rows 2,7,noon;1,7,midnight"));
    bad(CLAIMS, "from-nowhere", "c2 2..3 names => rows 1,7;2,7");
    let given_back = format!("{claimed}\nc1 2..3 release 7 => =2");
    bad(CLAIMS, "given-back-yet-there", &format!("{given_back}\nc2 4..5 names => rows 1,7;2,7"));
}

const ORPHANS: &str = "no-orphans";

#[test]
fn orphans() {
    let born = "c1 0..1 found 2 => ok\nc1 2..3 bear 7 2 => ok";
    good(ORPHANS, &format!("{born}\nc2 4..5 kin => rows parent,2;child,7,2;toy,7"));
    good(ORPHANS, &format!("{born}\nc2 4..5 dissolve 2 => ok\nc2 6..7 kin => rows"));
    good(ORPHANS, &format!("{born}\nc2 4..9 dissolve 2 => ok\nc1 5..6 bear 8 2 => !23503"));
    good(ORPHANS, "c1 0..1 bear 7 2 => !23503");
    bad(ORPHANS, "orphan", &format!("{born}\nc2 4..5 kin => rows child,7,2;toy,7"));
    bad(ORPHANS, "orphan", &format!("{born}\nc2 4..5 dissolve 2 => ok\nc2 6..7 kin => rows toy,7"));
    bad(ORPHANS, "torn", &format!("{born}\nc2 4..5 kin => rows parent,2;child,7,2"));
    bad(ORPHANS, "two-toys", &format!("{born}\nc2 4..5 kin => rows parent,2;child,7,2;toy,7;toy,7"));
    bad(ORPHANS, "lost", &format!("{born}\nc2 4..5 kin => rows parent,2"));
    bad(ORPHANS, "refused-for-nothing", "c1 0..1 found 2 => ok\nc1 2..3 bear 7 2 => !23503");
    bad(ORPHANS, "refused-yet-there", "c1 2..3 bear 7 2 => !40001\nc2 4..5 kin => rows parent,2;child,7,2;toy,7");
    bad(ORPHANS, "from-nowhere", "c2 4..5 kin => rows parent,2;child,7,2;toy,7");
}

const SCHEMA: &str = "schema-agrees";

#[test]
fn schemas() {
    let made = "c1 2..3 create_table 5 => ok";
    good(SCHEMA, &format!("c2 0..1 need_table 5 0 => !42P01\n{made}\nc2 4..5 need_table 5 9 => ok"));
    good(SCHEMA, &format!("{made}\nc1 6..9 drop_table 5 => ok\nc2 7..8 need_table 5 9 => !42P01"));
    good(
        SCHEMA,
        &format!("{made}\nc1 6..7 drop_table 5 => ?\nc2 8..9 need_table 5 9 => ok\nc2 10..11 need_table 5 9 => !42P01"),
    );
    good(SCHEMA, "c1 0..1 create_column 5 => ?\nc2 2..3 need_column 5 0 => ok\nc2 4..5 need_column 5 0 => ok");
    bad(SCHEMA, "not-there", &format!("{made}\nc2 4..5 need_table 5 9 => !42P01"));
    bad(SCHEMA, "not-there", "c1 0..1 create_column 5 => ok\nc2 4..5 need_column 5 0 => !42703");
    bad(SCHEMA, "before-it-was-made", &format!("c2 0..1 need_table 5 0 => ok\n{made}"));
    bad(SCHEMA, "before-it-was-made", "c1 0..1 create_table 5 => !42P07\nc2 2..3 need_table 5 0 => ok");
    bad(SCHEMA, "after-it-was-dropped", &format!("{made}\nc1 4..5 drop_table 5 => ok\nc2 6..7 need_table 5 0 => ok"));
    let column = "c1 0..1 create_column 5 => ok\nc2 2..3 need_column 5 9 => ?";
    good(SCHEMA, &format!("{column}\nc2 4..5 need_column 5 0 => rows 5\nc2 6..7 need_column 5 0 => rows 9"));
    bad(SCHEMA, "another-value", &format!("{column}\nc2 4..5 need_column 5 0 => rows -1"));
    bad(SCHEMA, "another-value", &format!("{column}\nc2 4..5 need_column 5 0 => rows -"));
    bad(SCHEMA, "another-value", "c1 0..1 create_column 5 => ok\nc2 4..5 need_column 5 0 => rows 9");
    good(SCHEMA, "c1 0..1 count => rows 5;5");
    bad(SCHEMA, "index-differs", "c1 0..1 count => rows 5;4");
}

const OBSERVED: &str = "system-tables-sound";

#[test]
fn observed() {
    let nodes = "c1 0..1 observe_nodes => rows 1,up;2,up;3,unreachable";
    good(OBSERVED, &format!("{nodes}\nc2 2..3 observe_nodes => rows 1,unreachable;2,up;3,up"));
    good(OBSERVED, "c1 0..1 observe_sessions => rows 1,0,7\nc1 2..3 observe_sessions => rows 1,0,8;2,0,7");
    bad(OBSERVED, "rows-come-and-go", &format!("{nodes}\nc2 2..3 observe_nodes => rows 1,up;2,up"));
    bad(OBSERVED, "twice", "c1 0..1 observe_events => rows 1,0,7;1,0,7");
    bad(OBSERVED, "nobody-answers", "c1 0..1 observe_nodes => rows 1,unreachable;2,unreachable");
    let leads = "c1 0..1 observe_replicas => rows 1,1,leader,4;1,2,follower,4";
    good(OBSERVED, &format!("{leads}\nc2 2..3 observe_replicas => rows 1,1,leader,4;1,2,leader,5"));
    bad(OBSERVED, "two-leaders", &format!("{leads}\nc2 2..3 observe_replicas => rows 1,1,follower,4;1,2,leader,4"));
}

#[test]
fn internal_errors() {
    good("no-internal-errors", "c1 0..1 read 1 => !40001\nc1 2..3 read 1 => ?connection lost");
    bad("no-internal-errors", "XX000 a bug", "c1 0..1 read 1 => ?XX000 a bug");
}

const VALUES: &str = "values-once";

#[test]
fn values_of_sequences() {
    good(VALUES, "c1 0..1 issue 4 => rows 1,1\nc2 0..1 ticket 5 => rows 2\nc2 2..3 issued => rows 1,1,4");
    good(VALUES, "c1 0..1 issue 4 => ?\nc2 2..3 issued => rows 7,9,4");
    good(VALUES, "c1 0..1 issue 4 => rows 1,1\nc1 2..3 renew 6 4 => rows 1,2\nc2 4..5 issued => rows 1,2,4");
    bad(VALUES, "value-twice", "c1 0..1 issue 4 => rows 1,1\nc2 0..1 ticket 5 => rows 1");
    bad(VALUES, "value-twice", "c1 0..1 ticket 4 => rows 1\nc2 2..3 ticket 5 => rows 1");
    bad(VALUES, "value-twice", "c1 0..1 issue 4 => ?\nc2 0..1 ticket 5 => rows 1\nc2 2..3 issued => rows 1,1,4");
    bad(VALUES, "identity-twice", "c1 0..1 issue 4 => rows 1,1\nc2 0..1 issue 8 => rows 1,2");
    bad(VALUES, "refused", "c1 0..1 issue 4 => !23505");
    bad(VALUES, "rows", "c1 0..1 issue 4 => rows 1,1;2,2");
    bad(VALUES, "from-nowhere", "c1 0..1 issue 4 => !40001\nc2 2..3 issued => rows 1,1,4");
    bad(VALUES, "from-nowhere", "c2 0..1 ticket 5 => rows 3000001");
    let jumped = "c3 2..3 jump 2 => ok";
    good(VALUES, &format!("{jumped}\nc1 4..5 issue 4 => rows 1,3000001"));
    good(VALUES, &format!("c1 1..5 issue 4 => rows 1,1\n{jumped}"));
    good(VALUES, &format!("{jumped}\nc1 4..5 ticket 4 => rows 1"));
    bad(VALUES, "from-before", &format!("{jumped}\nc1 4..5 issue 4 => rows 1,1"));
}
