//! `sums-agree`: what was paid stands with the customers, the tellers, the branches and in the history, and the four agree
//! for whoever looks at them at one instant; the history has each acknowledged payment once, and no refused one.

use super::{Checker, Finding, History, Judgement, Recorded, seen_by};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use std::collections::BTreeMap;

/// See the module.
pub(super) struct SumsAgree;

impl Checker for SumsAgree {
    fn name(&self) -> &'static str {
        "sums-agree"
    }

    fn doc(&self) -> &'static str {
        "branches, tellers, customers and history hold the same money, and the history each payment once"
    }

    fn check(&self, history: &History) -> Finding {
        let mut payments: BTreeMap<(u32, u64), &Recorded> = BTreeMap::new();
        for recorded in &history.operations {
            if let Operation::Pay { id, .. } = recorded.operation {
                payments.insert((recorded.workload, id), recorded);
            }
        }
        Finding::first(self, &history.operations, |read| {
            let judged = match (read.operation, &read.outcome) {
                (Operation::Sums, Outcome::Done(Seen::Rows(rows))) => sums(rows),
                (Operation::Payments, Outcome::Done(Seen::Rows(rows))) => noted(&payments, read, rows),
                _ => Ok(()),
            };
            judged.map_err(seen_by(read))
        })
    }
}

fn number(row: &[Option<String>], column: usize) -> Option<u64> {
    row.get(column)?.as_ref()?.parse().ok()
}

fn sums(rows: &[Vec<Option<String>>]) -> Judgement {
    let sums: Option<Vec<u64>> = rows.iter().map(|row| number(row, 0)).collect();
    let Some([branches, tellers, customers, history]) = sums.as_deref() else {
        return Err(("unreadable", format!("instead of four sums there were {rows:?}")));
    };
    if branches == tellers && tellers == customers && customers == history {
        return Ok(());
    }
    let what = format!(
        "the branches hold {branches}, the tellers {tellers}, the customers {customers}, and the history {history}"
    );
    Err(("sums-differ", what))
}

fn noted(payments: &BTreeMap<(u32, u64), &Recorded>, read: &Recorded, rows: &[Vec<Option<String>>]) -> Judgement {
    let Some((sum, rows)) = rows.split_last() else { return Err(("unreadable", "there was nothing".to_owned())) };
    let mut notes: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows {
        let (Some(id), Some(amount)) = (number(row, 0), number(row, 1)) else {
            return Err(("unreadable", format!("the history has {row:?}")));
        };
        if notes.insert(id, amount).is_some() {
            return Err(("paid-twice", format!("payment {id} stands in the history twice")));
        }
        match payments.get(&(read.workload, id)) {
            None => return Err(("from-nowhere", format!("nobody asked for payment {id}, and the history has it"))),
            Some(payment) if matches!(payment.outcome, Outcome::Failed(_)) => {
                return Err(("refused-yet-paid", format!("{payment} was refused, and the history has it")));
            }
            Some(_) => {}
        }
    }
    for ((workload, id), payment) in payments {
        let before = *workload == read.workload && payment.latest_ns() < read.invoked_ns;
        if before && matches!(payment.outcome, Outcome::Done(_)) && !notes.contains_key(id) {
            return Err(("lost", format!("{payment} was acknowledged, and the history does not have it")));
        }
    }
    let noted: u64 = notes.values().sum();
    match number(sum, 0) {
        Some(sum) if sum == noted => Ok(()),
        sum => Err(("sums-differ", format!("the branches hold {sum:?}, and the payments add up to {noted}"))),
    }
}
