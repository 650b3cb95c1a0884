//! `acknowledged-durable`: an inserted row, once acknowledged, is there for every read that begins later; a refused one
//! never is.

use super::{Checker, Finding, History, Judgement, Recorded, seen_by};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) struct AcknowledgedDurable;

impl Checker for AcknowledgedDurable {
    fn name(&self) -> &'static str {
        "acknowledged-durable"
    }

    fn doc(&self) -> &'static str {
        "every read shows every row whose insertion was acknowledged before it began, and none that was refused"
    }

    fn check(&self, history: &History) -> Finding {
        let mut inserts: BTreeMap<(u32, u64), &Recorded> = BTreeMap::new();
        for recorded in &history.operations {
            if let Operation::Insert { id } = recorded.operation {
                inserts.insert((recorded.workload, id), recorded);
            }
        }
        Finding::first(self, &history.operations, |read| {
            let Outcome::Done(Seen::Rows(rows)) = &read.outcome else { return Ok(()) };
            let judged = match read.operation {
                Operation::ReadRow { id } => judge_row(&inserts, read, id, rows),
                Operation::ReadRows => judge_all(&inserts, read, rows),
                _ => Ok(()),
            };
            judged.map_err(seen_by(read))
        })
    }
}

type Inserts<'h> = BTreeMap<(u32, u64), &'h Recorded>;
type Rows = [Vec<Option<String>>];

fn id_of(row: &[Option<String>]) -> Option<u64> {
    row.first()?.as_ref()?.parse().ok()
}

fn judge_row(inserts: &Inserts<'_>, read: &Recorded, id: u64, rows: &Rows) -> Judgement {
    let Some(insert) = inserts.get(&(read.workload, id)) else { return Ok(()) };
    match (&insert.outcome, rows.len()) {
        (Outcome::Done(_), 0) if insert.latest_ns() < read.invoked_ns => {
            Err(("lost", format!("{insert} was acknowledged, and its row is not there")))
        }
        (Outcome::Failed(_), 1..) => Err(("refused-yet-there", format!("{insert} was refused, and its row is there"))),
        (_, 0 | 1) => Ok(()),
        (_, n) => Err(("duplicated", format!("row {id} is there {n} times"))),
    }
}

fn judge_all(inserts: &Inserts<'_>, read: &Recorded, rows: &Rows) -> Judgement {
    let mut shown = BTreeSet::new();
    for row in rows {
        let id = id_of(row).ok_or_else(|| ("unreadable", format!("a row is unreadable: {row:?}")))?;
        if !shown.insert(id) {
            return Err(("duplicated", format!("row {id} is there twice")));
        }
        // Row 0 is the setup's.
        match inserts.get(&(read.workload, id)) {
            None if id != 0 => return Err(("from-nowhere", format!("nobody inserted row {id}, and it is there"))),
            Some(insert) if matches!(insert.outcome, Outcome::Failed(_)) => {
                return Err(("refused-yet-there", format!("{insert} was refused, and its row is there")));
            }
            _ => {}
        }
    }
    for ((workload, id), insert) in inserts {
        let before = *workload == read.workload && insert.latest_ns() < read.invoked_ns;
        if before && matches!(insert.outcome, Outcome::Done(_)) && !shown.contains(id) {
            return Err(("lost", format!("{insert} was acknowledged, and its row is not there")));
        }
    }
    Ok(())
}
