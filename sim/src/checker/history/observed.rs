//! `system-tables-sound`: what the cluster tells of itself holds together, whoever asks, and whoever is dead or cut off: the same
//! nodes, partitions and replicas in every answer, none twice, and at most one leader of a partition in an era; and who lacks nothing
//! of its leader's log has lacked it for no time.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::{Observed, Operation};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) struct SystemTablesSound;

type Row = [Option<String>];

impl Checker for SystemTablesSound {
    fn name(&self) -> &'static str {
        "system-tables-sound"
    }

    fn doc(&self) -> &'static str {
        "system tables name the same nodes, partitions and replicas in every answer, and one leader of a partition in an era"
    }

    fn check(&self, history: &History) -> Finding {
        let mut known = Known::default();
        Finding::first(self, &history.operations, |recorded| match (recorded.operation, &recorded.outcome) {
            (Operation::Observe { what }, Outcome::Done(Seen::Rows(rows))) => {
                known.judge(recorded, what, rows).map_err(|(kind, message)| (kind, format!("{recorded}: {message}")))
            }
            _ => Ok(()),
        })
    }
}

/// What all answers have in common.
#[derive(Default)]
struct Known<'a> {
    /// By table: what its rows are named by, as its first reader saw them.
    names: BTreeMap<Observed, (&'a Recorded, BTreeSet<String>)>,
    /// By partition and era.
    leaders: BTreeMap<(String, String), String>,
}

impl<'a> Known<'a> {
    fn judge(&mut self, recorded: &'a Recorded, what: Observed, rows: &[Vec<Option<String>>]) -> Judgement {
        let key = what.key();
        let mut names = BTreeSet::new();
        for row in rows {
            let name: Vec<&str> = row.iter().take(key).map(|field| field.as_deref().unwrap_or("NULL")).collect();
            let name = name.join(", ");
            if name.split(", ").any(|part| part == "NULL") {
                return Err(("nameless", format!("a row of system.{} has no key", what.name())));
            }
            if !names.insert(name.clone()) {
                return Err(("twice", format!("system.{} has a row ({name}) twice", what.name())));
            }
        }
        if what.is_fixed() {
            let (first, seen) = self.names.entry(what).or_insert_with(|| (recorded, names.clone()));
            if *seen != names {
                let message =
                    format!("system.{} has the rows {names:?}, and had {seen:?} when seen by {first}", what.name());
                return Err(("rows-come-and-go", message));
            }
        }
        match what {
            Observed::Nodes if !rows.iter().any(|row| field(row, 1) == "up") => {
                Err(("nobody-answers", "no node is up, not even the one that says so".to_owned()))
            }
            Observed::Replicas => rows.iter().try_for_each(|row| self.lead(row).and_then(|()| keeps_up(row))),
            _ => Ok(()),
        }
    }

    /// Partition, node, role, era.
    fn lead(&mut self, row: &Row) -> Judgement {
        if field(row, 2) != "leader" {
            return Ok(());
        }
        let (partition, node, era) = (field(row, 0), field(row, 1), field(row, 3));
        let leader = self.leaders.entry((partition.to_owned(), era.to_owned())).or_insert_with(|| node.to_owned());
        if leader == node {
            return Ok(());
        }
        Err(("two-leaders", format!("nodes {leader} and {node} both lead partition {partition} in era {era}")))
    }
}

/// Behind that: executed, digest, durable, bytes and milliseconds that it lacks.
fn keeps_up(row: &Row) -> Judgement {
    let (partition, node, bytes, age) = (field(row, 0), field(row, 1), field(row, 7), field(row, 8));
    if bytes == "0" && age != "0" {
        let message = format!("node {node} lacks nothing of partition {partition}, and has for {age} ms");
        return Err(("lacks-nothing", message));
    }
    Ok(())
}

fn field(row: &Row, at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or("NULL")
}
