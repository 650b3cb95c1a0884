//! `money-conserved`: whenever anybody looks at all accounts at once, the sum is what the bank opened with.

use super::{Checker, Finding, History, Judgement, Recorded, time};
use crate::history::{Outcome, Seen};
use crate::operation::Operation;
use crate::workload::OPENING_BALANCE;

/// See the module.
pub(super) struct MoneyConserved;

impl Checker for MoneyConserved {
    fn name(&self) -> &'static str {
        "money-conserved"
    }

    fn doc(&self) -> &'static str {
        "every sum and every full read of the accounts shows the money that the bank opened with"
    }

    fn check(&self, history: &History) -> Finding {
        Finding::first(self, &history.operations, |recorded| {
            judge(history, recorded)
                .map_err(|(kind, what)| (kind, format!("{recorded} {what}, at {}", time(recorded.invoked_ns))))
        })
    }
}

fn judge(history: &History, recorded: &Recorded) -> Judgement {
    let Outcome::Done(seen) = &recorded.outcome else { return Ok(()) };
    let accounts = i64::from(history.keys[recorded.workload as usize]);
    let expected = accounts * OPENING_BALANCE;
    let sum = match (recorded.operation, seen) {
        (Operation::Sum, Seen::Value(Some(sum))) => *sum,
        (Operation::Sum, other) => return Err(("unreadable", format!("showed {other:?} instead of a sum"))),
        (Operation::Balances | Operation::Ledger, Seen::Rows(rows)) => {
            let balances = balances(rows).ok_or_else(|| ("unreadable", format!("showed unreadable rows: {rows:?}")))?;
            if balances.len() as i64 != accounts {
                let what = format!("showed {} accounts, there are {accounts}", balances.len());
                return Err(("accounts-missing", what));
            }
            balances.iter().map(|(_, balance)| balance).sum()
        }
        _ => return Ok(()),
    };
    if sum == expected {
        return Ok(());
    }
    let change = if sum < expected { "money has vanished" } else { "money has appeared" };
    Err(("sum-changed", format!("showed a sum of {sum} where {expected} was expected: {change}")))
}

/// Accounts and balances among the rows of a full read: those with two columns.
pub(super) fn balances(rows: &[Vec<Option<String>>]) -> Option<Vec<(u32, i64)>> {
    rows.iter()
        .filter(|row| row.len() == 2)
        .map(|row| Some((row[0].as_ref()?.parse().ok()?, row[1].as_ref()?.parse().ok()?)))
        .collect()
}
