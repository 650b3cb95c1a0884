//! `indexes-agree`: an index tells of the rows of its table and of no others; a statement of several rows leaves all of
//! them or none; constraints hold for whoever looks.
//!
//! An audit reads the table and each of its indexes at one instant, so what they tell must be the same rows. Apart from
//! that only batches are judged: whole or absent, never there after a refusal, there after an acknowledgement unless
//! somebody may have withdrawn them.

use super::{Checker, Finding, History, Judgement, Recorded};
use crate::history::{Outcome, Seen};
use crate::operation::{Doom, Operation};
use crate::workload::{BATCH_ROWS, BATCH_STRIDE, FIRST_REFUSED, WAYS};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
pub(super) struct IndexesAgree;

impl Checker for IndexesAgree {
    fn name(&self) -> &'static str {
        "indexes-agree"
    }

    fn doc(&self) -> &'static str {
        "indexes and table tell of the same rows, constraints hold, and a statement of several rows leaves all or none"
    }

    fn check(&self, history: &History) -> Finding {
        let mut batches = Batches::default();
        for recorded in &history.operations {
            match recorded.operation {
                Operation::Stock { batch, .. } => drop(batches.stocked.insert((recorded.workload, batch), recorded)),
                Operation::Withdraw { batch } => {
                    batches.withdrawn.entry((recorded.workload, batch)).or_default().push(recorded);
                }
                _ => {}
            }
        }
        Finding::first(self, &history.operations, |recorded| {
            judge(&batches, recorded).map_err(|(kind, what)| (kind, format!("{what}; told to {recorded}")))
        })
    }
}

#[derive(Default)]
struct Batches<'h> {
    stocked: BTreeMap<(u32, u64), &'h Recorded>,
    withdrawn: BTreeMap<(u32, u64), Vec<&'h Recorded>>,
}

fn judge(batches: &Batches<'_>, recorded: &Recorded) -> Judgement {
    let is_ours = matches!(
        recorded.operation,
        Operation::Stock { .. }
            | Operation::Repaint { .. }
            | Operation::Renumber { .. }
            | Operation::Withdraw { .. }
            | Operation::Audit
            | Operation::Redefine { .. }
    );
    if !is_ours {
        return Ok(());
    }
    let doomed = match recorded.operation {
        Operation::Stock { doom, .. } => doom != Doom::None,
        Operation::Renumber { doomed, .. } => doomed,
        _ => false,
    };
    match (&recorded.outcome, recorded.operation) {
        // Class XX: the server says itself that what it holds makes no sense.
        (Outcome::Unknown(words), _) if words.starts_with("XX001") => {
            Err(("corrupt", format!("the server answers `{words}`")))
        }
        (Outcome::Failed(words), Operation::Stock { doom: Doom::None, batch, .. }) if words.starts_with("23") => {
            Err(("refused-for-nothing", format!("batch {batch} violates nothing, and the server answers `{words}`")))
        }
        (Outcome::Failed(words), Operation::Renumber { doomed: false, batch }) if words.starts_with("23") => {
            Err(("refused-for-nothing", format!("batch {batch} violates nothing, and the server answers `{words}`")))
        }
        (Outcome::Done(Seen::Value(rows)), _) if doomed && *rows != Some(0) => Err((
            "accepted-though-violating",
            format!("the statement violates a constraint, and {rows:?} rows changed"),
        )),
        (Outcome::Done(_), Operation::Redefine { number: FIRST_REFUSED.. }) => {
            Err(("defined-though-violating", "rows violate the definition, and it was acknowledged".to_owned()))
        }
        (Outcome::Done(Seen::Value(Some(0))), _) => Ok(()),
        (Outcome::Done(Seen::Value(rows)), _) if *rows != Some(BATCH_ROWS as i64) => {
            Err(("batch-torn", format!("{rows:?} rows of a batch of {BATCH_ROWS} changed")))
        }
        (Outcome::Done(Seen::Rows(rows)), Operation::Audit) => audit(batches, recorded, rows),
        _ => Ok(()),
    }
}

/// A row as an audit shows it: number, code, color.
type Row = (u64, i64, i64);

fn audit(batches: &Batches<'_>, audit: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
    let mut ways: [Vec<Row>; 3] = Default::default();
    for row in rows {
        let read = read(row).ok_or_else(|| ("unreadable", format!("a row is unreadable: {row:?}")))?;
        ways[read.0].push(read.1);
    }
    for way in &mut ways {
        way.sort_unstable();
    }
    let [table, by_color, by_code] = &ways;
    for (name, index) in [("color", by_color), ("code", by_code)] {
        if let Some(what) = difference(table, index) {
            return Err(("index-differs", format!("the index on {name} {what}")));
        }
    }
    let mut codes = BTreeSet::new();
    let mut whole: BTreeMap<u64, u64> = BTreeMap::new();
    for (id, code, color) in table {
        if !codes.insert(code) || *color < 0 {
            return Err(("constraint-broken", format!("row {id} has code {code} and color {color}")));
        }
        *whole.entry(id / BATCH_STRIDE).or_default() += 1;
    }
    for (batch, rows) in &whole {
        // Row 0 is the setup's.
        match batches.stocked.get(&(audit.workload, *batch)) {
            None if *batch == 0 => {}
            None => return Err(("from-nowhere", format!("nobody stocked batch {batch}, and it is there"))),
            Some(stock) if matches!(stock.outcome, Outcome::Failed(_)) => {
                return Err(("refused-yet-there", format!("{stock} was refused, and {rows} of its rows are there")));
            }
            Some(stock) if *rows != BATCH_ROWS => {
                return Err(("batch-torn", format!("{rows} of the {BATCH_ROWS} rows of {stock} are there")));
            }
            Some(_) => {}
        }
    }
    for ((workload, batch), stock) in &batches.stocked {
        let before = *workload == audit.workload && stock.latest_ns() < audit.invoked_ns;
        let until = audit.returned_ns.unwrap_or(u64::MAX);
        let withdrawn = batches.withdrawn.get(&(*workload, *batch)).into_iter().flatten();
        let kept = withdrawn.filter(|withdraw| withdraw.invoked_ns <= until).count() == 0;
        if before && kept && matches!(stock.outcome, Outcome::Done(_)) && !whole.contains_key(batch) {
            return Err(("lost", format!("{stock} was acknowledged, and its rows are not there")));
        }
    }
    Ok(())
}

/// A row with the way that it was read.
fn read(row: &[Option<String>]) -> Option<(usize, Row)> {
    let [Some(way), Some(id), Some(code), Some(color)] = row else { return None };
    let way = WAYS.iter().position(|known| known == way)?;
    Some((way, (id.parse().ok()?, code.parse().ok()?, color.parse().ok()?)))
}

fn difference(table: &[Row], index: &[Row]) -> Option<String> {
    let shown = |(id, code, color): &Row| format!("row {id} (code {code}, color {color})");
    let (mut table, mut index) = (table.iter().peekable(), index.iter().peekable());
    loop {
        match (table.peek(), index.peek()) {
            (None, None) => return None,
            (Some(one), Some(other)) if one == other => {
                table.next();
                index.next();
            }
            (Some(one), other) if other.is_none_or(|other| *one < *other) => {
                return Some(format!("does not know {}, and the table has it", shown(one)));
            }
            (_, Some(other)) => {
                return Some(format!("tells of {}, and the table has it not so, or not so often", shown(other)));
            }
            (Some(_), None) => unreachable!("the arm before takes it"),
        }
    }
}
