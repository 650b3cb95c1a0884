//! `strictly-serializable`: there is one order of all transactions that respects real time and explains every list that
//! was read. Elle's list-append (Kingsbury and Alvaro, *Elle: Inferring Isolation Anomalies from Experimental
//! Observations*, VLDB 2020, §4–5), with real-time edges.
//!
//! Every transaction is a list of steps: append a value, unique in the run, to a key's list, or read a key's list. A list
//! that was read tells who appended before whom; from all of them follows who must come before whom:
//! - *ww*: of two appends the one that stands earlier in the list;
//! - *wr*: whoever reads a list comes after the one whose append it ends with;
//! - *rw*: and before the one who appended what comes next;
//! - *real time*: whoever had returned before another was invoked comes before it.
//!
//! A cycle of these is a contradiction. Its class is that of Adya's thesis, named after the weakest set of edges that
//! shows it: G0 (ww), G1c (and wr), G-single (and one rw), G2 (several rw), each with `-realtime` when it takes real time
//! to see it. Before cycles come the anomalies of a single read or of two ([`order`]). The first anomaly is told, in words
//! ([`tell`]), and no other: what follows from it would only hide it.
//!
//! # Invariants
//! - Nothing is found in a history that some order explains, and something in every other: with all appends unique, the
//!   edges are all that an order has to respect (`tests/random.rs` compares with a search through all orders).
//! - An unknown transaction counts only if somebody saw one of its appends; then all of it has happened. A refused one may
//!   not be seen at all.
//! - Linear in the history but for the width of its concurrency: real-time edges are only drawn to those that no other
//!   completed one stands between ([`graph`]).
//!
//! # Caveats
//! - What a transaction read that was not acknowledged in the end is not judged.

mod graph;
mod order;
mod tell;
#[cfg(test)]
mod tests;

use super::{Checker, Finding, History, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::{Micro, Operation};
use crate::run::Violation;

/// See the module.
pub(super) struct StrictlySerializable;

/// A list: position of its workload in the plan, and its key there.
type Key = (u32, u32);

/// A transaction as the judge sees it.
#[derive(Clone, Debug)]
struct Transaction {
    /// As its client numbers it.
    label: String,
    /// How its client said it.
    said: &'static str,
    invoked_ns: u64,
    /// `None`: it may take effect at any time, if it does.
    returned_ns: Option<u64>,
    fate: Fate,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    Unknown,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Append {
        key: Key,
        value: u64,
    },
    /// Only of committed ones.
    Read {
        key: Key,
        list: Vec<u64>,
    },
}

/// What is wrong.
#[derive(Debug)]
struct Anomaly {
    kind: String,
    at_ns: u64,
    what: String,
}

impl Checker for StrictlySerializable {
    fn name(&self) -> &'static str {
        "strictly-serializable"
    }

    fn doc(&self) -> &'static str {
        "all transactions over lists can be put in one order that respects real time and explains every list that was read"
    }

    fn check(&self, history: &History) -> Finding {
        let verdict = history
            .operations
            .iter()
            .filter_map(|recorded| transaction(recorded).transpose())
            .collect::<Result<Vec<_>, _>>()
            .and_then(|transactions| judge(&transactions));
        let mut finding = Finding::default();
        if let Err(anomaly) = verdict {
            let Anomaly { kind, at_ns, what } = anomaly;
            finding.violations.push(Violation { checker: self.name(), kind, at_ns, message: what });
        }
        finding
    }
}

/// Judges a history of transactions.
fn judge(transactions: &[Transaction]) -> Result<(), Anomaly> {
    let orders = order::infer(transactions)?;
    let graph = graph::draw(transactions, &orders);
    match graph.worst_cycle() {
        None => Ok(()),
        Some(cycle) => Err(tell::cycle(transactions, &orders, &cycle)),
    }
}

/// What a client noted, if it was about lists.
fn transaction(recorded: &Recorded) -> Result<Option<Transaction>, Anomaly> {
    let (fate, rows) = match &recorded.outcome {
        Outcome::Done(Seen::Rows(rows)) => (Fate::Committed, rows.as_slice()),
        Outcome::Done(_) => (Fate::Committed, &[][..]),
        Outcome::Unknown(_) => (Fate::Unknown, &[][..]),
        Outcome::Failed(_) => (Fate::Refused, &[][..]),
    };
    let mut said = "one statement";
    let steps = match recorded.operation {
        Operation::Lists { id, script, micros } => {
            said = script.in_words();
            let mut steps = Vec::new();
            for (index, micro) in micros.iter().enumerate() {
                steps.extend(step(recorded, fate, id, index, micro, rows.get(index))?);
            }
            steps
        }
        Operation::ReadLists => {
            let key = |row: &Row| row.first()?.as_ref()?.parse().ok();
            let mut steps = Vec::new();
            for row in rows {
                let key = key(row).ok_or_else(|| wrong(recorded, "unreadable", format!("showed {row:?}")))?;
                steps.push(read(recorded, key, row)?);
            }
            steps
        }
        _ => return Ok(None),
    };
    Ok(Some(Transaction {
        label: recorded.id.to_string(),
        said,
        invoked_ns: recorded.invoked_ns,
        returned_ns: recorded.returned_ns.filter(|_| fate != Fate::Unknown),
        fate,
        steps,
    }))
}

type Row = Vec<Option<String>>;

/// A step with what came of it; nothing, for a read of which nothing came.
fn step(
    recorded: &Recorded,
    fate: Fate,
    id: u64,
    index: usize,
    micro: Micro,
    row: Option<&Row>,
) -> Result<Option<Step>, Anomaly> {
    let key = (recorded.workload, micro.key);
    match (micro.append, fate, row) {
        (true, Fate::Committed, Some(row)) if row.get(1) != Some(&Some("1".to_owned())) => {
            Err(wrong(recorded, "row-vanished", format!("found no row {} to append to", micro.key)))
        }
        (true, ..) => Ok(Some(Step::Append { key, value: Operation::appended(id, index) })),
        (false, Fate::Committed, Some(row)) => read(recorded, micro.key, row).map(Some),
        (false, Fate::Committed, None) => {
            Err(wrong(recorded, "unreadable", format!("was acknowledged without what it read of {}", micro.key)))
        }
        (false, ..) => Ok(None),
    }
}

fn read(recorded: &Recorded, key: u32, row: &Row) -> Result<Step, Anomaly> {
    let Some(Some(text)) = row.get(1) else {
        return Err(wrong(recorded, "row-vanished", format!("found no row {key}")));
    };
    let list = text.split(',').filter(|value| !value.is_empty()).map(str::parse).collect::<Result<_, _>>();
    let list = list.map_err(|_| wrong(recorded, "unreadable", format!("read {key} as `{text}`")))?;
    Ok(Step::Read { key: (recorded.workload, key), list })
}

fn wrong(recorded: &Recorded, kind: &str, what: String) -> Anomaly {
    let at_ns = recorded.returned_ns.unwrap_or(recorded.invoked_ns);
    Anomaly { kind: kind.to_owned(), at_ns, what: format!("{recorded} {what}") }
}
