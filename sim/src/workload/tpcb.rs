//! `tpcb`: TPC-B's transaction over rows that lie apart: a customer, one of few tellers, one of very few branches, and a note
//! in the history. Everybody meets at the branches: what is blind there (`balance = balance + 5`) disturbs nobody, and the
//! four sums agree whenever anybody looks.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::{How, Operation};
use orrery::types::Rng;
use orrery::types::random::below;

/// Customers of a branch.
const CUSTOMERS: u32 = 8;
/// Tellers of a branch.
const TELLERS: u32 = 3;

/// See the module.
pub(super) struct Tpcb;

impl Kind for Tpcb {
    fn name(&self) -> &'static str {
        "tpcb"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["sums-agree"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let n = place.workload;
        let mut steps = Vec::new();
        for table in ["branches", "tellers", "customers"] {
            steps.push(format!("CREATE TABLE IF NOT EXISTS {table}_{n} (id int8 PRIMARY KEY, balance int8 NOT NULL)"));
        }
        steps.push(format!(
            "CREATE TABLE IF NOT EXISTS payments_{n} (id int8 PRIMARY KEY, customer int8 NOT NULL, amount int8 NOT NULL)"
        ));
        let branches = branches(place);
        for (table, rows) in [("branches", branches), ("tellers", branches * TELLERS), ("customers", place.keys)] {
            steps.extend((0..rows).map(|id| format!("INSERT INTO {table}_{n} (id, balance) VALUES ({id}, 0)")));
        }
        steps
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM customers_{} WHERE id = {}", place.workload, place.keys - 1)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, _earlier: &[Operation]) -> Operation {
        if below(rng, 100) < 80 { pay(rng, place, unique) } else { Operation::Sums }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let mut last = pay(rng, place, unique);
        if let Operation::Pay { how, .. } = &mut last {
            *how = How::Two;
        }
        let mut operations = vec![last];
        if reads {
            operations.extend([Operation::Sums, Operation::Payments]);
        }
        operations
    }

    fn exchange(&self, place: Place, operation: Operation, _style: Style) -> Exchange {
        let n = place.workload;
        let sum = |table: &str, column: &str| format!("SELECT coalesce(sum({column}), 0)::int8 FROM {table}_{n}");
        Exchange::Simple(match operation {
            Operation::Pay { how: How::Block, .. } => format!("BEGIN; {}", statements(place, operation)[0]),
            Operation::Pay { .. } => statements(place, operation).join("; "),
            Operation::Sums => [
                sum("branches", "balance"),
                sum("tellers", "balance"),
                sum("customers", "balance"),
                sum("payments", "amount"),
            ]
            .join("; "),
            Operation::Payments => {
                format!("SELECT id, amount FROM payments_{n}; {}", sum("branches", "balance"))
            }
            other => unreachable!("tpcb never plans `{other}`"),
        })
    }

    fn next(&self, place: Place, operation: Operation, answered: u32, _answer: &Answer) -> Option<Exchange> {
        let Operation::Pay { how: How::Block, .. } = operation else { return None };
        let statements = statements(place, operation);
        let commit = (answered as usize == statements.len()).then_some("COMMIT");
        let next = statements.get(answered as usize).map(String::as_str).or(commit);
        next.map(|text| Exchange::Simple(text.to_owned()))
    }

    fn interpret(&self, operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        match operation {
            Operation::Pay { .. } => Seen::Nothing,
            _ => Seen::Rows(answer.results.iter().flat_map(|result| texts(&result.rows)).collect()),
        }
    }
}

const fn branches(place: Place) -> u32 {
    place.keys.div_ceil(CUSTOMERS)
}

fn pay(rng: &mut Rng, place: Place, unique: u64) -> Operation {
    let mut row = |rows: u32| below(rng, u64::from(rows)) as u32;
    let branches = branches(place);
    let (customer, teller, branch, amount) = (row(place.keys), row(branches * TELLERS), row(branches), 1 + row(99));
    let how = match row(3) {
        0 => How::Two,
        1 => How::One,
        _ => How::Block,
    };
    Operation::Pay { id: unique, customer, teller, branch, amount, how }
}

/// One after the other, as pgbench says them. In one of the ways the customer is shown the balance, so that
/// whoever else changes it in between is noticed.
fn statements(place: Place, operation: Operation) -> Vec<String> {
    let Operation::Pay { id, customer, teller, branch, amount, how } = operation else { return Vec::new() };
    let n = place.workload;
    let add = |table: &str, row: u32| format!("UPDATE {table}_{n} SET balance = balance + {amount} WHERE id = {row}");
    let mut statements = vec![add("customers", customer)];
    if how != How::One {
        statements.push(format!("SELECT balance FROM customers_{n} WHERE id = {customer}"));
    }
    statements.extend([
        add("tellers", teller),
        add("branches", branch),
        format!("INSERT INTO payments_{n} (id, customer, amount) VALUES ({id}, {customer}, {amount})"),
    ]);
    statements
}
