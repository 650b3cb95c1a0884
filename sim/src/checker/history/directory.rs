//! `directory-sound`: the directory of nodes shows each node once, under an address that somebody has given it, and nobody who was
//! removed; and as nobody here says FORCE, there are never fewer nodes for replicas than each group has voters.

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
        Finding::first(self, &history.operations, |recorded| match (recorded.operation, &recorded.outcome) {
            (Operation::Directory, Outcome::Done(Seen::Rows(rows))) => {
                judge(&given, recorded, rows).map_err(|(kind, message)| (kind, format!("{recorded}: {message}")))
            }
            _ => Ok(()),
        })
    }
}

/// Node, membership, address, voters of each group.
fn judge(given: &BTreeMap<String, BTreeSet<String>>, _reader: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
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
