//! `directory-sound`: the directory of nodes shows each node once, under an address that somebody has given it, and nobody who was
//! removed; and as nobody here says FORCE, there are never fewer nodes for replicas than each group has voters.
//!
//! Steps are judged among themselves, at all times: what was acknowledged about a node that had been removed before is wrong, for numbers
//! are not given twice. A *reading* is as new as the nodes that answer it, so that during the chaos it may lack what was acknowledged. Once
//! all is healed, and a step was acknowledged after that, whoever has carried that out answers as well: then what was removed is gone,
//! and no address is shown that had been replaced.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) struct DirectorySound;

impl Checker for DirectorySound {
    fn name(&self) -> &'static str {
        "directory-sound"
    }

    fn doc(&self) -> &'static str {
        "the directory shows each node once, under an address that it was given, and enough of them"
    }

    fn check(&self, history: &History) -> Finding {
        let mut given: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for recorded in &history.operations {
            let (node, address) = match recorded.operation {
                Operation::Readdress { node, value } => (node, format!("said-{value}:1")),
                Operation::Enlist { node } => (node, format!("enlisted-{node}:1")),
                _ => continue,
            };
            given.entry(node.to_string()).or_default().insert(address);
        }
        let steps = Steps::of(history);
        Finding::first(self, &history.operations, |recorded| match (recorded.operation, &recorded.outcome) {
            (Operation::Directory, Outcome::Done(Seen::Rows(rows))) => judge(&given, rows)
                .and_then(|()| if steps.is_current(recorded) { steps.shown(recorded, rows) } else { Ok(()) })
                .map_err(|(kind, message)| (kind, format!("{recorded}: {message}"))),
            (_, Outcome::Done(_)) => steps.follows(recorded),
            _ => Ok(()),
        })
    }
}

/// Node, membership, address, voters of each group.
fn judge(given: &BTreeMap<String, BTreeSet<String>>, rows: &[Vec<Option<String>>]) -> Judgement {
    let mut nodes = BTreeSet::new();
    for row in rows {
        let field = |at: usize| row.get(at).and_then(Option::as_deref);
        let node = field(0).unwrap_or("NULL");
        if !nodes.insert(node) {
            return Err(("twice", format!("node {node} is shown twice")));
        }
        let known = |address: &str| given.get(node).is_some_and(|given| given.contains(address));
        if let Some(address) = field(2).filter(|address| !known(address)) {
            return Err(("invented", format!("node {node} is shown under {address}, which nobody has said")));
        }
        if field(1) == Some("removed") {
            return Err(("removed", format!("node {node} is shown although it was removed")));
        }
    }
    let active = rows.iter().filter(|row| row.get(1).and_then(Option::as_deref) == Some("active")).count();
    let voters = rows.first().and_then(|row| row.get(3)?.as_deref()?.parse::<usize>().ok());
    if let Some(voters) = voters.filter(|voters| active < *voters) {
        return Err(("k-safety", format!("{active} nodes are left for {voters} voters of each group")));
    }
    Ok(())
}

/// What was acknowledged.
struct Steps {
    /// When it was known that a node had been removed.
    removed: BTreeMap<u32, u64>,
    /// Addresses that were given, with when each was asked for, and when it was known to be in force.
    addresses: BTreeMap<u32, Vec<(String, u64, u64)>>,
    /// When the first step that was asked for after the healing was acknowledged.
    current_ns: Option<u64>,
}

/// Of which node a step speaks.
const fn about(operation: Operation) -> Option<u32> {
    match operation {
        Operation::Readdress { node, .. }
        | Operation::Enlist { node }
        | Operation::Drain { node }
        | Operation::Activate { node }
        | Operation::Prefer { node, .. }
        | Operation::Expel { node } => Some(node),
        _ => None,
    }
}

impl Steps {
    fn of(history: &History) -> Self {
        let mut steps = Self { removed: BTreeMap::new(), addresses: BTreeMap::new(), current_ns: None };
        for recorded in &history.operations {
            let (Outcome::Done(_), Some(returned)) = (&recorded.outcome, recorded.returned_ns) else { continue };
            match recorded.operation {
                Operation::Expel { node } => {
                    let known = steps.removed.entry(node).or_insert(returned);
                    *known = returned.min(*known);
                }
                Operation::Readdress { node, value } => {
                    let address = (format!("said-{value}:1"), recorded.invoked_ns, returned);
                    steps.addresses.entry(node).or_default().push(address);
                }
                _ => {}
            }
            let step = about(recorded.operation).is_some() || matches!(recorded.operation, Operation::Pace { .. });
            if step && recorded.invoked_ns >= history.chaos_ns {
                steps.current_ns = Some(steps.current_ns.map_or(returned, |known| known.min(returned)));
            }
        }
        steps
    }

    /// Nothing is acknowledged about who had been removed.
    fn follows(&self, recorded: &Recorded) -> Judgement {
        let Some(node) = about(recorded.operation) else { return Ok(()) };
        match self.removed.get(&node) {
            Some(removed) if *removed < recorded.invoked_ns => {
                Err(("raised", format!("{recorded} was acknowledged; node {node} had been removed before")))
            }
            _ => Ok(()),
        }
    }

    /// Does this reading know all that was acknowledged before it?
    fn is_current(&self, reader: &Recorded) -> bool {
        self.current_ns.is_some_and(|at| at < reader.invoked_ns)
    }

    fn shown(&self, reader: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
        for row in rows {
            let field = |at: usize| row.get(at).and_then(Option::as_deref);
            let Some(node) = field(0).and_then(|node| node.parse::<u32>().ok()) else { continue };
            if self.removed.get(&node).is_some_and(|removed| *removed < reader.invoked_ns) {
                return Err(("removed", format!("node {node} is shown, and it had been removed before")));
            }
            let given = self.addresses.get(&node).map(Vec::as_slice).unwrap_or_default();
            let shown = given.iter().find(|(address, ..)| field(2) == Some(address));
            let replaced = |of: u64| {
                let later = |(_, asked, known): &(String, u64, u64)| *asked > of && *known < reader.invoked_ns;
                given.iter().find(|address| later(address))
            };
            if let Some((address, _, known)) = shown
                && let Some((next, ..)) = replaced(*known)
            {
                return Err(("lost", format!("node {node} is shown under {address}, which {next} had replaced")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::OperationId;

    fn found(operations: &[(u64, Operation, Option<&str>)]) -> Option<String> {
        let recorded = |(nth, (at, operation, address)): (usize, &(u64, Operation, Option<&str>))| {
            let row = |address: &&str| ["1", "active", address, "1"].map(|field| Some(field.to_owned())).to_vec();
            let rows = address.iter().map(row).collect();
            Recorded {
                id: OperationId::new(1, nth as u32),
                workload: 0,
                operation: *operation,
                invoked_ns: *at,
                returned_ns: Some(at + 5),
                outcome: Outcome::Done(if *operation == Operation::Directory {
                    Seen::Rows(rows)
                } else {
                    Seen::Nothing
                }),
            }
        };
        let operations = operations.iter().enumerate().map(recorded).collect();
        let history = History { operations, keys: vec![3], chaos_ns: 1000 };
        DirectorySound.check(&history).violations.first().map(|violation| violation.kind.clone())
    }

    #[test]
    fn what_was_removed_stays_removed() {
        let (expel, drain) = (Operation::Expel { node: 1 }, Operation::Drain { node: 1 });
        assert_eq!(found(&[(10, drain, None), (20, expel, None)]), None);
        assert_eq!(found(&[(20, expel, None), (22, drain, None)]), None, "at the same time");
        assert_eq!(found(&[(20, expel, None), (30, drain, None)]).as_deref(), Some("raised"));
        assert_eq!(found(&[(20, expel, None), (30, expel, None)]).as_deref(), Some("raised"));
    }

    #[test]
    fn a_reading_after_the_healing_lacks_nothing() {
        let say = |value| Operation::Readdress { node: 1, value };
        let (read, pace) = (Operation::Directory, Operation::Pace { moves: 2 });
        let first = [(10, say(7), None), (20, say(8), None)];
        let then = |more: &[(u64, Operation, Option<&str>)]| found(&[&first[..], more].concat());
        assert_eq!(then(&[(500, read, Some("said-7:1"))]), None, "nodes that know better may not answer");
        assert_eq!(then(&[(1100, read, Some("said-7:1"))]), None, "nor have all come back at once");
        assert_eq!(then(&[(1000, pace, None), (1100, read, Some("said-8:1"))]), None);
        assert_eq!(then(&[(1000, pace, None), (1100, read, Some("said-7:1"))]).as_deref(), Some("lost"));
        assert_eq!(then(&[(1000, pace, None), (1100, read, Some(""))]).as_deref(), Some("invented"));
        let gone = (30, Operation::Expel { node: 1 }, None);
        assert_eq!(then(&[gone, (1000, pace, None), (1100, read, Some("said-8:1"))]).as_deref(), Some("removed"));
        assert_eq!(then(&[gone, (1100, read, Some("said-8:1"))]), None);
    }
}
